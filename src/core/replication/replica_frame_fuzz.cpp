// SPDX-License-Identifier: Apache-2.0
// Frames in pieces, the first byte choosing how they are cut: the messages are those of the whole,
// and what is read is written back the same.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "core/replication/replica_frame.h"

namespace {

using namespace fairlead::replication;

constexpr std::size_t kMax = 100;

// All whole frames, written anew; "!" behind them when one is too long.
std::string read_frames(std::string_view bytes, std::size_t piece) {
  FrameReader reader(kMax);
  std::string out;
  while (!bytes.empty()) {
    std::string_view now = bytes.substr(0, piece);
    bytes.remove_prefix(now.size());
    while (!now.empty()) {
      const FrameReader::Step step = reader.next(now);
      if (step == FrameReader::Step::kTooLong) return out + "!";
      if (step == FrameReader::Step::kMore) break;
      Seal seal;
      std::copy(reader.seal().begin(), reader.seal().end(), seal.begin());
      append_frame(out, reader.message(), seal);
    }
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string whole = read_frames(bytes, bytes.size() + 1);
  FAIRLEAD_ASSERT(read_frames(bytes, 1 + data[0] % 50) == whole);
  FAIRLEAD_ASSERT(!whole.empty() && whole.back() == '!' || bytes.starts_with(whole));
  if (const auto challenge = read_greeting(bytes))
    FAIRLEAD_ASSERT(greeting_of(*challenge) == bytes);
  return 0;
}
