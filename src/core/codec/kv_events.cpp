// SPDX-License-Identifier: Apache-2.0
#include "core/codec/kv_events.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "core/codec/http1_text.h"

namespace fairlead::codec {
namespace {

// Scratch memory that a small payload gives back after a large one.
constexpr std::size_t kKeptElements = std::size_t{1} << 20;
constexpr std::size_t kLeastElements = std::size_t{1} << 12;
constexpr std::size_t kDigestTail = 8;

// A text, or nothing where there is a value of another type.
bool read_text_or_skip(MsgpackReader& reader, std::string_view& out) {
  out = {};
  return reader.type() == MsgpackType::kText ? reader.text(out) : reader.skip();
}

template <class Number>
bool read_number_or_skip(MsgpackReader& reader, std::optional<Number>& out) {
  const MsgpackType type = reader.type();
  if (type != MsgpackType::kUnsigned && type != MsgpackType::kSigned) return reader.skip();
  std::uint64_t bits = 0;
  if (!reader.integer_bits(bits)) return false;
  if (bits <= std::numeric_limits<std::uint32_t>::max()) out = static_cast<Number>(bits);
  return true;
}

bool read_hash(MsgpackReader& reader, std::uint64_t& out) {
  if (reader.type() != MsgpackType::kBinary) return reader.integer_bits(out);
  const MsgpackReader before = reader;
  std::string_view digest;
  if (!reader.binary(digest)) return false;
  if (digest.size() < kDigestTail) {
    reader = before;
    return reader.fail(MsgpackFault::kWrongType);
  }
  out = 0;
  for (const char byte : digest.substr(digest.size() - kDigestTail)) {
    out = out << 8 | static_cast<std::uint8_t>(byte);
  }
  return true;
}

std::optional<KvEventKind> kind_of(std::string_view tag) {
  if (tag == "BlockStored") return KvEventKind::kStored;
  if (tag == "BlockRemoved") return KvEventKind::kRemoved;
  if (tag == "AllBlocksCleared") return KvEventKind::kCleared;
  return std::nullopt;
}

KvDecodeError error_of(MsgpackFault fault) {
  switch (fault) {
    case MsgpackFault::kWrongType:
      return KvDecodeError::kWrongType;
    case MsgpackFault::kReserved:
      return KvDecodeError::kReservedByte;
    case MsgpackFault::kLengthLies:
      return KvDecodeError::kLengthLies;
    case MsgpackFault::kNone:
    case MsgpackFault::kTruncated:
      break;
  }
  return KvDecodeError::kTruncated;
}

}  // namespace

std::string_view to_string(KvDecodeError error) {
  switch (error) {
    case KvDecodeError::kPayloadTooLarge:
      return "payload_too_large";
    case KvDecodeError::kTooManyEvents:
      return "too_many_events";
    case KvDecodeError::kTooManyHashes:
      return "too_many_hashes";
    case KvDecodeError::kTruncated:
      return "truncated";
    case KvDecodeError::kWrongType:
      return "wrong_type";
    case KvDecodeError::kLengthLies:
      return "length_lies";
    case KvDecodeError::kReservedByte:
      return "reserved_byte";
    case KvDecodeError::kFieldMissing:
      return "field_missing";
    case KvDecodeError::kTrailingBytes:
      return "trailing_bytes";
  }
  return "unknown";
}

// The name of a field in the map form; its place in the array form is in read_array_event().
enum class KvEventDecoder::Field : std::uint8_t {
  kHashes,
  kParent,
  kTokens,
  kBlockSize,
  kLoraId,
  kMedium,
  kLoraNameOrMetadata,
  kExtraKeys,
  kGroup,
  kSpecKind,
  kLocality,
  kLocalityOrElse,
  kCacheSalt,
  kType,
  kOther,
};

KvEventDecoder::Field KvEventDecoder::field_of(std::string_view key) {
  // Of a known length, so that comparing takes no call.
  const auto is = [at = key.data()]<std::size_t size>(const char(&name)[size], Field field) {
    return std::memcmp(at, name, size - 1) == 0 ? field : Field::kOther;
  };
  switch (key.size()) {
    case 4:
      return is("type", Field::kType);
    case 6:
      return is("medium", Field::kMedium);
    case 7:
      return is("lora_id", Field::kLoraId);
    case 8:
      return is("locality", Field::kLocality);
    case 9:
      if (key[0] == 't') return is("token_ids", Field::kTokens);
      if (key[0] == 'g') return is("group_idx", Field::kGroup);
      return is("lora_name", Field::kLoraNameOrMetadata);
    case 10:
      if (key[0] == 'b') return is("block_size", Field::kBlockSize);
      if (key[0] == 'e') return is("extra_keys", Field::kExtraKeys);
      return is("cache_salt", Field::kCacheSalt);
    case 12:
      return is("block_hashes", Field::kHashes);
    case 17:
      return is("parent_block_hash", Field::kParent);
    case 18:
      return is("kv_cache_spec_kind", Field::kSpecKind);
    default:
      return Field::kOther;
  }
}

void KvEventDecoder::reserve(std::size_t payload_bytes) {
  const bool too_small = capacity_ < payload_bytes;
  const bool too_large = capacity_ > kKeptElements && payload_bytes < kKeptElements / 8;
  if (!too_small && !too_large) return;
  capacity_ = std::max(payload_bytes + payload_bytes / 2, kLeastElements);
  tokens_ = std::make_unique_for_overwrite<std::uint32_t[]>(capacity_);
  hashes_ = std::make_unique_for_overwrite<std::uint64_t[]>(capacity_);
  if (too_large) std::vector<KvEvent>().swap(events_);
}

std::optional<KvFault> KvEventDecoder::decode(std::string_view payload, KvBatch& out) {
  out = {};
  events_.clear();
  if (payload.size() > limits_.payload_bytes_max) {
    return KvFault{KvDecodeError::kPayloadTooLarge, limits_.payload_bytes_max};
  }
  reserve(payload.size());
  tokens_used_ = 0;
  hashes_used_ = 0;
  error_.reset();
  MsgpackReader reader(payload);
  if (read_batch(reader, out) && !reader.at_end()) fail(reader, KvDecodeError::kTrailingBytes);
  if (error_ && reader.ok()) return KvFault{*error_, reader.offset()};
  if (!reader.ok()) return KvFault{error_of(reader.fault()), reader.offset()};
  out.events = events_;
  return std::nullopt;
}

bool KvEventDecoder::fail(MsgpackReader& reader, KvDecodeError error) {
  if (reader.ok() && !error_) error_ = error;
  return false;
}

bool KvEventDecoder::read_batch(MsgpackReader& reader, KvBatch& out) {
  std::uint32_t parts = 0;
  if (reader.type() == MsgpackType::kMap) {
    return reader.map(parts) && read_batch_map(reader, parts, out);
  }
  if (!reader.array(parts)) return false;
  if (parts < 2) return fail(reader, KvDecodeError::kFieldMissing);
  if (!reader.number(out.timestamp) || !read_events(reader, out)) return false;
  if (parts > 2 && !read_rank(reader, out)) return false;
  for (std::uint32_t i = 3; i < parts; ++i) {
    if (!reader.skip()) return false;
  }
  return true;
}

bool KvEventDecoder::read_batch_map(MsgpackReader& reader, std::uint32_t pairs, KvBatch& out) {
  bool events_seen = false;
  for (std::uint32_t i = 0; i < pairs; ++i) {
    std::string_view key;
    if (!read_text_or_skip(reader, key)) return false;
    bool done = false;
    if (key == "ts") {
      done = reader.number(out.timestamp);
    } else if (key == "events" && !events_seen) {
      done = read_events(reader, out);
      events_seen = true;
    } else if (key == "data_parallel_rank") {
      done = read_rank(reader, out);
    } else {
      done = reader.skip();
    }
    if (!done) return false;
  }
  return events_seen || fail(reader, KvDecodeError::kFieldMissing);
}

bool KvEventDecoder::read_rank(MsgpackReader& reader, KvBatch& out) {
  return read_number_or_skip(reader, out.rank);
}

bool KvEventDecoder::read_events(MsgpackReader& reader, KvBatch& out) {
  std::uint32_t events = 0;
  if (!reader.array(events)) return false;
  if (events > limits_.events_max) return fail(reader, KvDecodeError::kTooManyEvents);
  for (std::uint32_t i = 0; i < events; ++i) {
    if (!read_event(reader, out)) return false;
  }
  return true;
}

bool KvEventDecoder::read_event(MsgpackReader& reader, KvBatch& out) {
  if (reader.type() == MsgpackType::kMap) return read_map_event(reader, out);
  if (reader.type() == MsgpackType::kArray) return read_array_event(reader, out);
  return reader.skip() && fail(reader, KvDecodeError::kWrongType);
}

bool KvEventDecoder::check_event(MsgpackReader& reader, const KvEvent& event) {
  if (event.kind == KvEventKind::kCleared || event.hashes.data() != nullptr) return true;
  return fail(reader, KvDecodeError::kFieldMissing);
}

bool KvEventDecoder::read_array_event(MsgpackReader& reader, KvBatch& out) {
  using enum Field;
  static constexpr std::array kStoredFields{
      kHashes,    kParent, kTokens,   kBlockSize, kLoraId,  kMedium, kLoraNameOrMetadata,
      kExtraKeys, kGroup,  kSpecKind, kOther,     kLocality};
  // For a while removals had a kind and a window where the locality stands now.
  static constexpr std::array kRemovedFields{kHashes, kMedium, kGroup, kLocalityOrElse};
  std::uint32_t parts = 0;
  if (!reader.array(parts)) return false;
  if (parts == 0) return fail(reader, KvDecodeError::kFieldMissing);
  std::string_view tag;
  if (!reader.text(tag)) return false;
  KvEvent& event = events_.emplace_back();
  const std::optional<KvEventKind> kind = kind_of(tag);
  std::span<const Field> fields;
  if (kind == KvEventKind::kStored) fields = kStoredFields;
  if (kind == KvEventKind::kRemoved) fields = kRemovedFields;
  for (std::uint32_t i = 0; i + 1 < parts; ++i) {
    const Field field = i < fields.size() ? fields[i] : kOther;
    if (!read_field(reader, field, event)) return false;
  }
  if (!kind) {
    events_.pop_back();
    ++out.unknown_events;
    return true;
  }
  event.kind = *kind;
  return check_event(reader, event);
}

// Finds the kind of an event whose fields come in another order than vLLM's.
bool KvEventDecoder::find_kind(MsgpackReader ahead, std::uint32_t pairs, std::string_view& tag) {
  for (std::uint32_t i = 0; i < pairs; ++i) {
    std::string_view key;
    if (!read_text_or_skip(ahead, key)) return false;
    if (key == "type") return read_text_or_skip(ahead, tag);
    if (!ahead.skip()) return false;
  }
  return false;
}

bool KvEventDecoder::read_map_event(MsgpackReader& reader, KvBatch& out) {
  const MsgpackReader start = reader;
  std::uint32_t pairs = 0;
  if (!reader.map(pairs)) return false;
  // The kind decides whether the other fields mean anything; it nearly always comes first.
  std::string_view key;
  std::string_view tag;
  if (pairs == 0) return fail(reader, KvDecodeError::kFieldMissing);
  MsgpackReader first = reader;
  if (read_text_or_skip(first, key) && key == "type") {
    reader = first;
    --pairs;
    if (!read_text_or_skip(reader, tag)) return false;
  } else if (!find_kind(reader, pairs, tag)) {
    // Either the event is malformed, which passing over it shows, or it has no kind.
    reader = start;
    return reader.skip() && fail(reader, KvDecodeError::kFieldMissing);
  }
  const std::optional<KvEventKind> kind = kind_of(tag);
  if (!kind) {
    reader = start;
    ++out.unknown_events;
    return reader.skip();
  }
  KvEvent& event = events_.emplace_back();
  event.kind = *kind;
  for (std::uint32_t i = 0; i < pairs; ++i) {
    if (!read_text_or_skip(reader, key)) return false;
    if (!read_field(reader, field_of(key), event)) return false;
  }
  return check_event(reader, event);
}

bool KvEventDecoder::read_field(MsgpackReader& reader, Field field, KvEvent& event) {
  switch (field) {
    case Field::kHashes:
      return read_hashes(reader, event);
    case Field::kParent: {
      if (reader.take_nil()) return true;
      std::uint64_t hash = 0;
      if (!read_hash(reader, hash)) return false;
      event.parent = hash;
      return true;
    }
    case Field::kTokens:
      return read_tokens(reader, event);
    case Field::kBlockSize: {
      if (reader.take_nil()) return true;
      std::uint64_t size = 0;
      const MsgpackReader before = reader;
      if (!reader.integer_bits(size)) return false;
      if (size > std::numeric_limits<std::uint32_t>::max()) {
        reader = before;
        return reader.fail(MsgpackFault::kWrongType);
      }
      event.block_size = static_cast<std::uint32_t>(size);
      return true;
    }
    case Field::kLoraId:
      return read_number_or_skip(reader, event.lora_id);
    case Field::kMedium:
      return read_text_or_skip(reader, event.medium);
    case Field::kLoraNameOrMetadata: {
      std::uint32_t pairs = 0;
      if (reader.type() != MsgpackType::kMap) return read_text_or_skip(reader, event.lora_name);
      if (!reader.map(pairs)) return false;
      for (std::uint32_t i = 0; i < pairs; ++i) {
        std::string_view key;
        if (!read_text_or_skip(reader, key)) return false;
        const bool is_salt = key == "cache_salt";
        if (!(is_salt ? read_text_or_skip(reader, event.cache_salt) : reader.skip())) return false;
      }
      return true;
    }
    case Field::kExtraKeys: {
      std::string_view encoded;
      if (!reader.skip(encoded)) return false;
      event.extra_keys = KvExtraKeys(encoded);
      return true;
    }
    case Field::kGroup:
      return read_number_or_skip(reader, event.group);
    case Field::kSpecKind:
      return read_text_or_skip(reader, event.spec_kind);
    case Field::kLocality:
      return read_text_or_skip(reader, event.locality);
    case Field::kLocalityOrElse: {
      std::string_view text;
      if (!read_text_or_skip(reader, text)) return false;
      if (same_ignoring_case(text, "local") || same_ignoring_case(text, "remote")) {
        event.locality = text;
      }
      return true;
    }
    case Field::kCacheSalt:
      return read_text_or_skip(reader, event.cache_salt);
    case Field::kType:
    case Field::kOther:
      break;
  }
  return reader.skip();
}

bool KvEventDecoder::read_hashes(MsgpackReader& reader, KvEvent& event) {
  std::uint32_t count = 0;
  if (!reader.array(count)) return false;
  if (count > limits_.hashes_max - hashes_used_) {
    return fail(reader, KvDecodeError::kTooManyHashes);
  }
  std::uint64_t* out = hashes_.get() + hashes_used_;
  for (std::size_t i = read_wide_integers(reader, count, out); i < count; ++i) {
    if (!read_hash(reader, out[i])) return false;
  }
  hashes_used_ += count;
  event.hashes = {out, count};
  return true;
}

bool KvEventDecoder::read_tokens(MsgpackReader& reader, KvEvent& event) {
  if (reader.take_nil()) return true;
  std::uint32_t count = 0;
  if (!reader.array(count)) return false;
  std::uint32_t* out = tokens_.get() + tokens_used_;
  event.tokens_readable = read_token_ids(reader, count, out);
  if (!reader.ok()) return false;
  event.tokens = {};
  if (!event.tokens_readable) return true;
  tokens_used_ += count;
  event.tokens = {out, count};
  return true;
}

std::uint32_t kv_batch_rank(std::string_view payload) {
  MsgpackReader reader(payload);
  std::optional<std::uint32_t> rank;
  std::uint32_t parts = 0;
  if (reader.type() == MsgpackType::kMap) {
    if (!reader.map(parts)) return 0;
    for (std::string_view key; parts > 0 && read_text_or_skip(reader, key); --parts) {
      const bool read =
          key == "data_parallel_rank" ? read_number_or_skip(reader, rank) : reader.skip();
      if (!read) return 0;
    }
    return rank.value_or(0);
  }
  const bool read = reader.array(parts) && parts > 2 && reader.skip() && reader.skip() &&
                    read_number_or_skip(reader, rank);
  return read ? rank.value_or(0) : 0;
}

KvExtraKeys::KvExtraKeys(std::string_view encoded) : encoded_(encoded), reader_(encoded) {
  if (reader_.type() != MsgpackType::kArray || !reader_.array(blocks_)) {
    blocks_ = 0;
    return;
  }
  // Nearly always there is one nil for each block.
  const std::string_view rest = reader_.rest();
  if (rest.find_first_not_of(static_cast<char>(0xC0)) == std::string_view::npos) blocks_ = 0;
}

bool KvExtraKeys::next_block() {
  KvExtraItem left;
  while (items_ > 0) {
    if (!next(left)) return false;
  }
  if (blocks_ == 0) return false;
  --blocks_;
  if (reader_.type() != MsgpackType::kArray) return reader_.skip();
  return reader_.array(items_);
}

bool KvExtraKeys::next(KvExtraItem& out) {
  if (items_ == 0) return false;
  --items_;
  return read(out);
}

bool KvExtraKeys::read(KvExtraItem& out) {
  out = {};
  std::uint64_t bits = 0;
  switch (reader_.type()) {
    case MsgpackType::kText:
      out.kind = KvExtraItem::Kind::kText;
      return reader_.text(out.text);
    case MsgpackType::kBinary:
      out.kind = KvExtraItem::Kind::kBytes;
      return reader_.binary(out.text);
    case MsgpackType::kUnsigned:
    case MsgpackType::kSigned:
      out.kind = KvExtraItem::Kind::kNumber;
      if (!reader_.integer_bits(bits)) return false;
      out.number = static_cast<std::int64_t>(bits);
      return true;
    case MsgpackType::kArray:
      return read_nested(out);
    default:
      return reader_.skip(out.text);
  }
}

bool KvExtraKeys::read_nested(KvExtraItem& out) {
  const MsgpackReader start = reader_;
  std::uint32_t parts = 0;
  std::uint64_t bits = 0;
  const bool is_media = reader_.array(parts) && parts == 2 &&
                        reader_.type() == MsgpackType::kText && reader_.text(out.text) &&
                        reader_.integer_bits(bits);
  if (is_media) {
    out.kind = KvExtraItem::Kind::kMedia;
    out.number = static_cast<std::int64_t>(bits);
    return true;
  }
  reader_ = start;
  out = {};
  return reader_.skip(out.text);
}

}  // namespace fairlead::codec
