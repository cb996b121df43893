// SPDX-License-Identifier: Apache-2.0
// The other side of core/codec/ext_proc.h: the messages that Envoy writes on an ext_proc stream,
// and what it reads of the replies. Errors: false, for what is no reply. Threads: pure functions.
// Source: Envoy's external_processor.proto.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "core/codec/ext_proc.h"

namespace fairlead::sim {

using HeaderPair = std::pair<std::string_view, std::string_view>;

struct ProxyMessage {
  codec::ProcessingPhase phase = codec::ProcessingPhase::kNone;
  std::span<const HeaderPair> headers{};
  std::string_view body{};
  bool end = false;
  std::string_view served{};  // host:port that answered; empty: not told.
};
// In full duplex both ways, as every message says here.
std::string encode(const ProxyMessage& message);

struct ProxyReply {
  enum class Kind { kNone, kHeaders, kBody, kTrailers, kImmediate };
  Kind kind = Kind::kNone;
  codec::ProcessingSide side = codec::ProcessingSide::kRequest;
  std::string destinations;  // Of a header reply to the request.
  std::string body;
  bool end = false;
};
[[nodiscard]] bool decode(std::string_view message, ProxyReply& out);

}  // namespace fairlead::sim
