// SPDX-License-Identifier: Apache-2.0
// KV-cache events as engines publish them: the MessagePack payload of one ZeroMQ message becomes a
// batch of events. One decoder takes what vLLM 0.9 to 0.33 and SGLang send: a batch as array or
// map, events as tagged arrays of any length or tagged maps in any order, hashes as integers of
// either sign or as digests. Unknown kinds of events are passed over and counted, unknown fields
// are passed over.
//
// Texts and extra keys are views into the payload; hashes and tokens lie in memory that the decoder
// reuses. All are valid until the next decode(). Units: tokens and tokens a block.
// Errors: a KvFault with the byte at which decoding stopped; then no event of the batch is given
// out, because half of one would leave an index wrong. Everything is bounded by KvDecodeLimits.
// Threads: one owner. Allocates only to grow.
// Source: vllm/distributed/kv_events.py; SGLang's disaggregation/kv_events.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/codec/msgpack_reader.h"

namespace fairlead::codec {

enum class KvEventKind : std::uint8_t {
  kStored,
  kRemoved,
  kCleared,  // All blocks of this data-parallel rank, in every tier and group.
};

// What was hashed into a block beside its tokens and its parent.
struct KvExtraItem {
  enum class Kind : std::uint8_t {
    kText,    // An adapter's name; in a request's first block also its cache salt.
    kMedia,   // An identifier, and where the item begins relative to the block, maybe before it.
    kBytes,   // A digest of prompt embeddings.
    kNumber,  // An adapter's number, of old versions.
    kOther,   // Nested in a way that is not known: its encoded bytes.
  };
  Kind kind = Kind::kOther;
  std::string_view text;
  std::int64_t number = 0;
};

// The extra keys of an event, block by block:
//   KvExtraKeys keys = event.extra_keys;
//   while (keys.next_block()) while (keys.next(item)) ...
// Blocks that nothing was added to have no items. There may be fewer blocks than hashes.
class KvExtraKeys {
 public:
  KvExtraKeys() = default;
  // `encoded` is a whole, valid MessagePack value; anything but an array counts as nothing.
  explicit KvExtraKeys(std::string_view encoded);

  bool empty() const { return blocks_ == 0; }  // No block has any.
  std::string_view encoded() const { return encoded_; }

  bool next_block();
  bool next(KvExtraItem& out);

 private:
  bool read(KvExtraItem& out);
  bool read_nested(KvExtraItem& out);

  std::string_view encoded_;
  MsgpackReader reader_{{}};
  std::uint32_t blocks_ = 0;
  std::uint32_t items_ = 0;  // Left in the current block.
};

struct KvEvent {
  KvEventKind kind = KvEventKind::kStored;
  // Digests are cut to their last eight bytes, which is the integer form of the same hash.
  std::span<const std::uint64_t> hashes;
  // Of kStored only, from here. None: the blocks begin a chain, or it was not told.
  std::optional<std::uint64_t> parent;
  // Of all the blocks, one after the other. Empty when only hashes are told, and when an element
  // was no token id, as tokens_readable says.
  std::span<const std::uint32_t> tokens;
  std::uint32_t block_size = 0;
  bool tokens_readable = true;
  std::optional<std::int64_t> lora_id;
  std::string_view lora_name;
  std::string_view spec_kind;   // Empty: not told.
  std::string_view cache_salt;  // SGLang's.
  KvExtraKeys extra_keys;
  // Of kStored and kRemoved.
  std::optional<std::uint32_t> group;
  std::string_view medium;    // Empty: not told.
  std::string_view locality;  // Empty: not told.
};

struct KvBatch {
  double timestamp = 0;               // Seconds by the engine's wall clock.
  std::optional<std::uint32_t> rank;  // Data-parallel.
  std::span<const KvEvent> events;
  std::uint32_t unknown_events = 0;
};

enum class KvDecodeError : std::uint8_t {
  kPayloadTooLarge,
  kTooManyEvents,
  kTooManyHashes,
  kTruncated,
  kWrongType,     // A value of another type than its field has.
  kLengthLies,    // A container with more elements than bytes are left.
  kReservedByte,  // 0xC1, which is no MessagePack.
  kFieldMissing,  // An event without its hashes or its kind, a batch without its events.
  kTrailingBytes,
};
std::string_view to_string(KvDecodeError error);

struct KvFault {
  KvDecodeError error;
  std::size_t offset;  // In the payload.
};

struct KvDecodeLimits {
  std::size_t payload_bytes_max = std::size_t{16} << 20;
  std::size_t events_max = std::size_t{256} << 10;
  // Of all events of a batch. A hash may take one byte here, and costs whoever applies it as much
  // as hundreds: so that a batch is applied about as fast as it comes.
  std::size_t hashes_max = std::size_t{1} << 20;
};

class KvEventDecoder {
 public:
  explicit KvEventDecoder(const KvDecodeLimits& limits = {}) : limits_(limits) {}

  // Nothing when all went well.
  [[nodiscard]] std::optional<KvFault> decode(std::string_view payload, KvBatch& out);

 private:
  enum class Field : std::uint8_t;
  static Field field_of(std::string_view key);

  void reserve(std::size_t payload_bytes);
  bool read_batch(MsgpackReader& reader, KvBatch& out);
  bool read_batch_map(MsgpackReader& reader, std::uint32_t pairs, KvBatch& out);
  static bool read_rank(MsgpackReader& reader, KvBatch& out);
  bool read_events(MsgpackReader& reader, KvBatch& out);
  bool read_event(MsgpackReader& reader, KvBatch& out);
  bool read_array_event(MsgpackReader& reader, KvBatch& out);
  bool read_map_event(MsgpackReader& reader, KvBatch& out);
  static bool find_kind(MsgpackReader ahead, std::uint32_t pairs, std::string_view& tag);
  bool check_event(MsgpackReader& reader, const KvEvent& event);
  bool read_field(MsgpackReader& reader, Field field, KvEvent& event);
  bool read_hashes(MsgpackReader& reader, KvEvent& event);
  bool read_tokens(MsgpackReader& reader, KvEvent& event);
  bool fail(MsgpackReader& reader, KvDecodeError error);

  KvDecodeLimits limits_;
  std::vector<KvEvent> events_;
  // At least as many elements as the payload has bytes, because each takes one or more.
  std::unique_ptr<std::uint32_t[]> tokens_;
  std::unique_ptr<std::uint64_t[]> hashes_;
  std::size_t capacity_ = 0;
  std::size_t tokens_used_ = 0;
  std::size_t hashes_used_ = 0;
  std::optional<KvDecodeError> error_;  // Beside the reader's own faults.
};

// The data-parallel rank of a batch, without decoding its events; 0 when it is not told.
std::uint32_t kv_batch_rank(std::string_view payload);

// Decodes `count` token ids at the reader. False when one of the values is none: they are then
// passed over, the reader may have failed, and `out` is worth nothing.
[[nodiscard]] bool read_token_ids(MsgpackReader& reader, std::uint32_t count, std::uint32_t* out);
// Decodes integers while they are of eight bytes, as hashes are, at most `count`; returns how many.
[[nodiscard]] std::size_t read_wide_integers(MsgpackReader& reader, std::uint32_t count,
                                             std::uint64_t* out);

}  // namespace fairlead::codec
