// SPDX-License-Identifier: Apache-2.0
// The bytes of a gRPC call in pieces, the first byte choosing how they are cut: the messages are
// those of a naive reading of the whole. And texts that a client controls.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/assert.h"
#include "core/codec/grpc_frame.h"

namespace {

using fairlead::codec::GrpcFrameReader;
using Kind = GrpcFrameReader::Kind;

constexpr std::size_t kMax = 400;

struct Reading {
  std::vector<std::string> messages;
  bool failed = false;
  bool at_boundary = true;
};

Reading read_naively(std::string_view bytes) {
  Reading out;
  while (bytes.size() >= 5) {
    std::size_t size = 0;
    for (std::size_t i = 1; i < 5; ++i) size = size * 256 + static_cast<unsigned char>(bytes[i]);
    if (bytes[0] != 0 || size > kMax) {
      out.failed = true;
      return out;
    }
    if (bytes.size() < 5 + size) break;
    out.messages.emplace_back(bytes.substr(5, size));
    bytes.remove_prefix(5 + size);
  }
  out.at_boundary = bytes.empty();
  return out;
}

Reading read_pieces(std::string_view bytes, std::uint32_t seed) {
  GrpcFrameReader reader(kMax);
  Reading out;
  std::string parts;
  while (!bytes.empty()) {
    seed = seed * 1664525 + 1013904223;
    std::string_view now = bytes.substr(0, 1 + (seed >> 24) % 40);
    bytes.remove_prefix(now.size());
    while (!now.empty()) {
      const GrpcFrameReader::Step step = reader.next(now);
      if (step.kind == Kind::kError) {
        out.failed = true;
        return out;
      }
      parts += step.bytes;
      if (step.kind == Kind::kWhole) FAIRLEAD_ASSERT(parts.size() == step.bytes.size());
      if (step.kind != Kind::kWhole && step.kind != Kind::kLast) continue;
      FAIRLEAD_ASSERT(parts.size() == reader.message_size());
      out.messages.push_back(parts);
      parts.clear();
    }
  }
  out.at_boundary = reader.at_boundary();
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace fairlead::codec;
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Reading whole = read_naively(bytes);
  const Reading pieces = read_pieces(bytes, data[0]);
  FAIRLEAD_ASSERT(whole.messages == pieces.messages);
  FAIRLEAD_ASSERT(whole.failed == pieces.failed);
  if (!whole.failed) FAIRLEAD_ASSERT(whole.at_boundary == pieces.at_boundary);

  const auto timeout = parse_grpc_timeout(bytes);
  if (timeout) FAIRLEAD_ASSERT(timeout->count() >= 0);
  std::string text;
  append_grpc_message(text, bytes);
  for (const char c : text) FAIRLEAD_ASSERT(c >= ' ' && c <= '~');
  return 0;
}
