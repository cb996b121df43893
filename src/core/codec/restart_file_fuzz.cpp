// SPDX-License-Identifier: Apache-2.0
// Hostile bytes as the file of a router's restart. As they are, they are mostly refused at their
// checksums; so the same bytes are the payloads of records too, whose heads are made right. What is
// read is read the same after it was written anew.
#include <xxhash.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "core/codec/restart_file.h"

namespace {

using namespace fairlead::codec;

std::string write_again(const RestartImage& image) {
  RestartWriter writer;
  writer.add(image.head);
  if (image.calibration) writer.add(*image.calibration);
  for (const auto& one : image.endpoints) writer.add(one);
  for (const auto& one : image.histories) writer.add(one);
  for (const auto& one : image.domains) writer.add(one);
  RestartRun run;
  for (RestartRuns runs = image.runs; runs.next(run);) writer.add(run);
  for (const auto& one : image.publishers) writer.add(one);
  writer.finish();
  return writer.take();
}

void look(std::string_view bytes) {
  RestartImage image;
  if (const auto fault = read_restart(bytes, image)) {
    FAIRLEAD_ASSERT(fault->offset <= bytes.size() && !fault->describe().empty());
    FAIRLEAD_ASSERT(image.endpoints.empty() && image.publishers.empty());
    return;
  }
  const std::string again = write_again(image);
  RestartImage copy;
  FAIRLEAD_ASSERT(!read_restart(again, copy));
  FAIRLEAD_ASSERT(write_again(copy) == again);
}

// A file whose records have the payloads that the bytes say: a kind, a size, and the payload.
std::string with_checksums(std::string_view bytes) {
  std::string file("FLRESUM\n\1\0\0\0\0\0\0\0", 16);
  std::uint64_t number = 0;
  while (bytes.size() >= 3) {
    const std::uint32_t kind = static_cast<unsigned char>(bytes[0]) % 9;
    const std::size_t asked = static_cast<unsigned char>(bytes[1]) |
                              std::size_t{static_cast<unsigned char>(bytes[2])} << 8;
    const std::string_view payload = bytes.substr(3, asked);
    bytes.remove_prefix(3 + payload.size());
    const auto size = static_cast<std::uint32_t>(payload.size());
    const std::uint64_t seed = number++ << 32 ^ std::uint64_t{kind} << 56 ^ size;
    const std::uint64_t sum = XXH3_64bits_withSeed(payload.data(), size, seed);
    char head[16];
    std::memcpy(head, &size, 4);
    std::memcpy(head + 4, &kind, 4);
    std::memcpy(head + 8, &sum, 8);
    file.append(head, sizeof head).append(payload);
  }
  return file;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  look(bytes);
  look(with_checksums(bytes));
  return 0;
}
