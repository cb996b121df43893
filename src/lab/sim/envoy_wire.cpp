// SPDX-License-Identifier: Apache-2.0
#include "lab/sim/envoy_wire.h"

#include "core/codec/protobuf_wire.h"

namespace fairlead::sim {
namespace {

using codec::ProcessingPhase;
using codec::WireReader;
using codec::WireWriter;

bool carries_body(ProcessingPhase phase) {
  return phase == ProcessingPhase::kRequestBody || phase == ProcessingPhase::kResponseBody;
}

void write_served(std::string_view served, WireWriter& writer) {
  const auto metadata = writer.begin(8);
  const auto entry = writer.begin(1);
  writer.bytes(1, codec::kLoadBalancerNamespace);
  const auto fields = writer.begin(2);
  const auto field = writer.begin(1);
  writer.bytes(1, codec::kServedKey);
  const auto value = writer.begin(2);
  writer.bytes(3, served);
  writer.end(value);
  writer.end(field);
  writer.end(fields);
  writer.end(entry);
  writer.end(metadata);
}

bool read_streamed(std::string_view mutation, ProxyReply& out) {
  WireReader reader(mutation);
  while (reader.next()) {
    if (!reader.is_bytes(3)) continue;  // A streamed response is all that full duplex has.
    WireReader streamed(reader.bytes());
    while (streamed.next()) {
      if (streamed.is_bytes(1)) out.body = streamed.bytes();
      if (streamed.is_varint(2)) out.end = streamed.number() != 0;
    }
    if (!streamed.ok()) return false;
  }
  return reader.ok();
}

bool read_header_changes(std::string_view mutation, ProxyReply& out) {
  WireReader reader(mutation);
  while (reader.next()) {
    if (!reader.is_bytes(1)) continue;
    codec::HeaderMapReader option(reader.bytes());  // A HeaderValueOption has the same shape.
    codec::Http1Header header;
    while (option.next(header)) {
      if (header.name == codec::kDestinationHeader) out.destinations = header.value;
    }
  }
  return reader.ok();
}

bool read_common(std::string_view response, ProxyReply& out) {
  WireReader outer(response);
  while (outer.next()) {
    if (!outer.is_bytes(1)) continue;
    WireReader reader(outer.bytes());
    while (reader.next()) {
      if (reader.is_bytes(2) && !read_header_changes(reader.bytes(), out)) return false;
      if (reader.is_bytes(3) && !read_streamed(reader.bytes(), out)) return false;
    }
    if (!reader.ok()) return false;
  }
  return outer.ok();
}

}  // namespace

std::string encode(const ProxyMessage& message) {
  std::string out;
  WireWriter writer(out);
  const auto phase = writer.begin(static_cast<std::uint32_t>(message.phase) + 1);
  if (carries_body(message.phase)) {
    if (!message.body.empty()) writer.bytes(1, message.body);
    if (message.end) writer.varint(2, 1);
  } else {
    const auto map = writer.begin(1);
    for (const auto& [name, value] : message.headers) {
      const auto header = writer.begin(1);
      writer.bytes(1, name);
      writer.bytes(3, value);
      writer.end(header);
    }
    writer.end(map);
    if (message.end) writer.varint(3, 1);
  }
  writer.end(phase);
  if (!message.served.empty()) write_served(message.served, writer);
  const auto protocol = writer.begin(11);
  writer.varint(1, static_cast<std::uint64_t>(codec::BodySendMode::kFullDuplexStreamed));
  writer.varint(2, static_cast<std::uint64_t>(codec::BodySendMode::kFullDuplexStreamed));
  writer.end(protocol);
  return out;
}

bool decode(std::string_view message, ProxyReply& out) {
  using Kind = ProxyReply::Kind;
  out = {};
  WireReader reader(message);
  while (reader.next()) {
    const std::uint32_t field = reader.field();
    if (field >= 1 && field <= 6) {
      out.kind = static_cast<Kind>((field + 1) / 2);
      out.side =
          field % 2 == 1 ? codec::ProcessingSide::kRequest : codec::ProcessingSide::kResponse;
      if (out.kind != Kind::kTrailers && !read_common(reader.bytes(), out)) return false;
    } else if (field == 7) {
      out.kind = Kind::kImmediate;
    }
  }
  return reader.ok() && out.kind != Kind::kNone;
}

}  // namespace fairlead::sim
