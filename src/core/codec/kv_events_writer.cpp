// SPDX-License-Identifier: Apache-2.0
#include "core/codec/kv_events_writer.h"

namespace fairlead::codec {
namespace {

// What vLLM declares without a default is always written, nil or not.
constexpr std::size_t kStoredPairs = 9;
constexpr std::size_t kRemovedPairs = 3;

}  // namespace

void KvEventsWriter::key(std::string_view name) {
  if (encoding_ == KvEncoding::kMaps) append_msgpack_text(body_, name);
}

void KvEventsWriter::text_or_nil(std::string_view text) {
  if (text.empty()) {
    append_msgpack_nil(body_);
  } else {
    append_msgpack_text(body_, text);
  }
}

void KvEventsWriter::add_hashes(const KvEvent& event) {
  key("block_hashes");
  append_msgpack_array(body_, event.hashes.size());
  for (const std::uint64_t hash : event.hashes) append_msgpack_unsigned(body_, hash);
}

void KvEventsWriter::add(const KvEvent& event) {
  ++events_;
  switch (event.kind) {
    case KvEventKind::kStored:
      return add_stored(event);
    case KvEventKind::kRemoved:
      return add_removed(event);
    case KvEventKind::kCleared:
      break;
  }
  if (encoding_ == KvEncoding::kMaps) {
    append_msgpack_map(body_, 1);
    append_msgpack_text(body_, "type");
  } else {
    append_msgpack_array(body_, 1);
  }
  append_msgpack_text(body_, "AllBlocksCleared");
}

void KvEventsWriter::add_stored(const KvEvent& event) {
  const bool maps = encoding_ == KvEncoding::kMaps;
  if (maps) {
    append_msgpack_map(body_, kStoredPairs + (event.group ? 1 : 0) +
                                  (event.spec_kind.empty() ? 0 : 1) +
                                  (event.locality.empty() ? 0 : 1));
    append_msgpack_text(body_, "type");
  } else {
    append_msgpack_array(body_, event.locality.empty() ? 12 : 13);
  }
  append_msgpack_text(body_, "BlockStored");
  add_hashes(event);
  key("parent_block_hash");
  if (event.parent) {
    append_msgpack_unsigned(body_, *event.parent);
  } else {
    append_msgpack_nil(body_);
  }
  key("token_ids");
  append_msgpack_array(body_, event.tokens.size());
  for (const std::uint32_t token : event.tokens) append_msgpack_unsigned(body_, token);
  key("block_size");
  append_msgpack_unsigned(body_, event.block_size);
  key("lora_id");
  if (event.lora_id) {
    append_msgpack_signed(body_, *event.lora_id);
  } else {
    append_msgpack_nil(body_);
  }
  key("medium");
  text_or_nil(event.medium);
  key("lora_name");
  text_or_nil(event.lora_name);
  key("extra_keys");
  if (event.extra_keys.encoded().empty()) {
    append_msgpack_array(body_, event.hashes.size());
    for (std::size_t i = 0; i < event.hashes.size(); ++i) append_msgpack_nil(body_);
  } else {
    body_ += event.extra_keys.encoded();
  }
  if (!maps || event.group) {
    key("group_idx");
    append_msgpack_unsigned(body_, event.group.value_or(0));
  }
  if (!maps || !event.spec_kind.empty()) {
    key("kv_cache_spec_kind");
    text_or_nil(event.spec_kind);
  }
  if (!maps) append_msgpack_nil(body_);  // The sliding window.
  if (!event.locality.empty()) {
    key("locality");
    append_msgpack_text(body_, event.locality);
  }
}

void KvEventsWriter::add_removed(const KvEvent& event) {
  if (encoding_ == KvEncoding::kMaps) {
    append_msgpack_map(body_,
                       kRemovedPairs + (event.group ? 1 : 0) + (event.locality.empty() ? 0 : 1));
    append_msgpack_text(body_, "type");
  } else {
    append_msgpack_array(body_, event.locality.empty() ? 4 : 5);
  }
  append_msgpack_text(body_, "BlockRemoved");
  add_hashes(event);
  key("medium");
  text_or_nil(event.medium);
  if (encoding_ == KvEncoding::kArrays || event.group) {
    key("group_idx");
    append_msgpack_unsigned(body_, event.group.value_or(0));
  }
  if (!event.locality.empty()) {
    key("locality");
    append_msgpack_text(body_, event.locality);
  }
}

void KvEventsWriter::finish(double timestamp, std::optional<std::uint32_t> rank, std::string& out) {
  append_msgpack_array(out, 3);
  append_msgpack_double(out, timestamp);
  append_msgpack_array(out, events_);
  out += body_;
  if (rank) {
    append_msgpack_unsigned(out, *rank);
  } else {
    append_msgpack_nil(out);
  }
  body_.clear();
  events_ = 0;
}

}  // namespace fairlead::codec
