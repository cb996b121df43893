// SPDX-License-Identifier: Apache-2.0
// The other side of ext_proc.h: what Envoy writes and reads on an ext_proc stream, as plain values
// for tests, simulated worlds and benchmarks: messages encoded, replies decoded. The wire format
// that both use has libprotobuf for a referee in its tests.
// Errors: false, for what is no reply. Threads: values and pure functions.
// Source: Envoy's external_processor.proto.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/codec/ext_proc.h"

namespace fairlead::codec::envoy {

using HeaderList = std::vector<std::pair<std::string, std::string>>;

struct EnvoyMessage {
  ProcessingPhase phase = ProcessingPhase::kNone;
  HeaderList headers{};
  std::string body{};
  bool end = false;
  std::optional<ProtocolConfiguration> protocol{};
  std::string metadata{};
  bool observability = false;
};
std::string encode(const EnvoyMessage& message);

// Serialized Metadata.
std::string subset_metadata(const std::vector<std::string>& endpoints);
std::string served_metadata(std::string_view endpoint);

enum class ReplyKind { kNone, kHeaders, kBody, kTrailers, kImmediate };
enum class BodyReplyKind { kKept, kCleared, kReplaced, kStreamed };

struct EnvoyReply {
  ReplyKind kind = ReplyKind::kNone;
  ProcessingSide side = ProcessingSide::kRequest;
  HeaderList set{};
  std::vector<std::string> remove{};
  bool clears_route_cache = false;
  BodyReplyKind body_kind = BodyReplyKind::kKept;
  std::string body{};  // An immediate reply's too.
  bool end = false;
  int status = 0;
  std::string details{};
  std::string metadata_endpoints{};                  // Of the dynamic metadata.
  std::map<std::string, double> metadata_numbers{};  // Likewise, by "namespace/key[/key]".

  // Empty: not set.
  std::string header(std::string_view name) const;
  bool removes(std::string_view name) const;
};
// False for what is no ProcessingResponse.
bool decode(std::string_view message, EnvoyReply& out);

}  // namespace fairlead::codec::envoy
