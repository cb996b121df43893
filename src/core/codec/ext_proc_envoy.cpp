// SPDX-License-Identifier: Apache-2.0
#include "core/codec/ext_proc_envoy.h"

#include <algorithm>
#include <bit>

#include "core/codec/protobuf_wire.h"

namespace fairlead::codec::envoy {
namespace {

bool is_body(ProcessingPhase phase) {
  return phase == ProcessingPhase::kRequestBody || phase == ProcessingPhase::kResponseBody;
}

// metadata.filter_metadata[space].fields[key] = value, where `value` is a serialized Value.
std::string one_metadata(std::string_view space, std::string_view key, std::string_view value) {
  std::string out;
  WireWriter writer(out);
  const auto entry = writer.begin(1);
  writer.bytes(1, space);
  const auto fields = writer.begin(2);
  const auto inner = writer.begin(1);
  writer.bytes(1, key);
  writer.bytes(2, value);
  writer.end(inner);
  writer.end(fields);
  writer.end(entry);
  return out;
}

bool read_changes(std::string_view mutation, EnvoyReply& out) {
  WireReader reader(mutation);
  while (reader.next()) {
    if (reader.is_bytes(2)) out.remove.emplace_back(reader.bytes());
    if (!reader.is_bytes(1)) continue;
    HeaderMapReader option(reader.bytes());  // A HeaderValueOption has the same shape.
    Http1Header header;
    while (option.next(header)) out.set.emplace_back(header.name, header.value);
  }
  return reader.ok();
}

bool read_body_mutation(std::string_view mutation, EnvoyReply& out) {
  WireReader reader(mutation);
  while (reader.next()) {
    if (reader.is_bytes(1)) {
      out.body_kind = BodyReplyKind::kReplaced;
      out.body = reader.bytes();
    } else if (reader.is_varint(2)) {
      out.body_kind = BodyReplyKind::kCleared;
    } else if (reader.is_bytes(3)) {
      out.body_kind = BodyReplyKind::kStreamed;
      WireReader streamed(reader.bytes());
      while (streamed.next()) {
        if (streamed.is_bytes(1)) out.body = streamed.bytes();
        if (streamed.is_varint(2)) out.end = streamed.number() != 0;
      }
      if (!streamed.ok()) return false;
    }
  }
  return reader.ok();
}

bool read_common(std::string_view response, EnvoyReply& out) {
  WireReader outer(response);
  while (outer.next()) {
    if (!outer.is_bytes(1)) continue;
    WireReader reader(outer.bytes());
    while (reader.next()) {
      if (reader.is_bytes(2) && !read_changes(reader.bytes(), out)) return false;
      if (reader.is_bytes(3) && !read_body_mutation(reader.bytes(), out)) return false;
      if (reader.is_varint(5)) out.clears_route_cache = reader.number() != 0;
    }
    if (!reader.ok()) return false;
  }
  return outer.ok();
}

// fields["envoy.lb"].struct_value.fields["x-gateway-destination-endpoint"] of a Struct. As a Value
// that holds a Struct is not a Struct, the outer step is made here.
std::string destination_of(std::string_view metadata) {
  WireReader entries(metadata);
  while (entries.next()) {
    std::string name;
    std::string fields;
    WireReader entry(entries.bytes());
    while (entry.next()) {
      if (entry.is_bytes(1)) name = entry.bytes();
      if (!entry.is_bytes(2)) continue;
      WireReader value(entry.bytes());
      while (value.next()) {
        if (value.is_bytes(5)) fields = value.bytes();
      }
    }
    if (name != kLoadBalancerNamespace) continue;
    // Wrapped as metadata of one namespace, so that the codec's own look-up finds it.
    std::string wrapped;
    WireWriter writer(wrapped);
    const auto space = writer.begin(1);
    writer.bytes(1, name);
    writer.bytes(2, fields);
    writer.end(space);
    return std::string(string_of_value(find_metadata(wrapped, name, kDestinationHeader)));
  }
  return {};
}

// The numbers of a Struct, and of those in it.
void collect_numbers(std::string_view fields, const std::string& path,
                     std::map<std::string, double>& out) {
  WireReader entries(fields);
  while (entries.next()) {
    std::string name;
    WireReader entry(entries.bytes());
    while (entry.next()) {
      if (entry.is_bytes(1)) name = entry.bytes();
      if (!entry.is_bytes(2)) continue;
      std::string here = path;
      if (!here.empty()) here += '/';
      here += name;
      WireReader value(entry.bytes());
      while (value.next()) {
        if (value.is_bytes(5)) collect_numbers(value.bytes(), here, out);
        if (value.field() == 2) out[here] = std::bit_cast<double>(value.number());
      }
    }
  }
}

bool read_immediate(std::string_view response, EnvoyReply& out) {
  WireReader reader(response);
  while (reader.next()) {
    if (reader.is_bytes(2) && !read_changes(reader.bytes(), out)) return false;
    if (reader.is_bytes(3)) out.body = reader.bytes();
    if (reader.is_bytes(5)) out.details = reader.bytes();
    if (!reader.is_bytes(1)) continue;
    WireReader status(reader.bytes());
    while (status.next()) out.status = static_cast<int>(status.number());
  }
  return reader.ok();
}

}  // namespace

std::string encode(const EnvoyMessage& message) {
  std::string out;
  WireWriter writer(out);
  if (message.phase != ProcessingPhase::kNone) {
    const auto phase = writer.begin(static_cast<std::uint32_t>(message.phase) + 1);
    if (is_body(message.phase)) {
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
  }
  if (!message.metadata.empty()) writer.bytes(8, message.metadata);
  if (message.observability) writer.varint(10, 1);
  if (message.protocol) {
    const auto protocol = writer.begin(11);
    writer.varint(1, static_cast<std::uint64_t>(message.protocol->request_body));
    writer.varint(2, static_cast<std::uint64_t>(message.protocol->response_body));
    writer.end(protocol);
  }
  return out;
}

std::string subset_metadata(const std::vector<std::string>& endpoints) {
  std::string value;
  WireWriter writer(value);
  const auto list = writer.begin(6);
  for (const std::string& endpoint : endpoints) {
    const auto item = writer.begin(1);
    writer.bytes(3, endpoint);
    writer.end(item);
  }
  writer.end(list);
  return one_metadata(kSubsetNamespace, kSubsetKey, value);
}

std::string served_metadata(std::string_view endpoint) {
  std::string value;
  WireWriter(value).bytes(3, endpoint);
  return one_metadata(kLoadBalancerNamespace, kServedKey, value);
}

std::string EnvoyReply::header(std::string_view name) const {
  for (const auto& [key, value] : set) {
    if (key == name) return value;
  }
  return {};
}

bool EnvoyReply::removes(std::string_view name) const {
  return std::ranges::find(remove, name) != remove.end();
}

bool decode(std::string_view message, EnvoyReply& out) {
  out = {};
  WireReader reader(message);
  while (reader.next()) {
    const std::uint32_t field = reader.field();
    if (reader.is_bytes(8)) {
      out.metadata_endpoints = destination_of(reader.bytes());
      collect_numbers(reader.bytes(), "", out.metadata_numbers);
    } else if (field >= 1 && field <= 6) {
      out.kind = static_cast<ReplyKind>((field + 1) / 2);
      out.side = field % 2 == 1 ? ProcessingSide::kRequest : ProcessingSide::kResponse;
      if (out.kind != ReplyKind::kTrailers && !read_common(reader.bytes(), out)) return false;
    } else if (field == 7) {
      out.kind = ReplyKind::kImmediate;
      if (!read_immediate(reader.bytes(), out)) return false;
    }
  }
  return reader.ok() && out.kind != ReplyKind::kNone;
}

}  // namespace fairlead::codec::envoy
