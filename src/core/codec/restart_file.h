// SPDX-License-Identifier: Apache-2.0
// What a router keeps over its own restart, as the bytes of one file: its key seed, facts of the
// endpoints, the prefixes that were routed there, and the KV index with the places that its streams
// had reached. Plain values here; core/prefix and router/ say what they mean.
//
//   file    = magic (8 bytes) | version (4) | 0 (4) | record... | the record kEnd, last of all
//   record  = bytes of payload (4) | kind (4) | XXH3 of the payload (8) | payload
// Numbers are little-endian. A checksum is seeded with the record's number in the file, its kind
// and its size, so that records lost, doubled or swapped are found. kEnd counts the records.
//
// Reading looks at every byte before anything is given out, so whoever gets a RestartImage can use
// it whole; any damage is a RestartFault that names the place. What a version of this file means
// never changes: another version is a fault. Bounds: the constants below; a writer that is given
// more than a record may hold asserts, a reader faults.
// The bytes are private: the seed lets strangers make keys collide. Threads: values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fairlead::codec {

inline constexpr std::uint32_t kRestartVersion = 1;
inline constexpr std::size_t kRestartRecordBytesMax = std::size_t{16} << 20;
inline constexpr std::size_t kRestartTextMax = 4096;  // Texts are cut there.
inline constexpr std::uint32_t kRestartRunBlocksMax = 4096;
inline constexpr std::uint32_t kRestartRunNamesMax = 1U << 20;
inline constexpr std::uint32_t kRestartDomainsMax = 1U << 24;
inline constexpr std::uint32_t kRestartNone = 0xffffffff;  // No parent, slot or domain.

// What all else depends on.
struct RestartHead {
  std::uint64_t key_seed = 0;
  double saved_at = 0;             // Seconds since the Unix epoch.
  std::uint64_t block_bytes = 0;   // Of the keys of routed prompts.
  std::uint32_t tokens_asked = 0;  // A token block's size as configured; 0: no index.
  std::uint32_t tokens_told = 0;   // As engines told it.
  std::uint32_t domains = 0;       // Of the index's hashes.
  friend bool operator==(const RestartHead&, const RestartHead&) = default;
};

// What was learnt while running, beside the endpoints' own facts. `version` says what follows: 1
// has the turn of round-robin alone. Of another version nothing is read, and the rest of the file
// is.
struct RestartCalibration {
  std::uint32_t version = 1;
  std::uint64_t turn = 0;
  friend bool operator==(const RestartCalibration&, const RestartCalibration&) = default;
};

struct RestartEndpoint {
  std::string name;
  std::string address;  // "10.0.0.7:8000", resolved.
  // As its metrics told, so that a restart meanwhile is noticed.
  std::optional<double> started_at;
  std::optional<double> prefix_queries;
  std::uint64_t budget_bytes = 0;  // Of its history.
  // Cold placements since its last one; 0: it never had one.
  std::uint64_t cold_age = 0;
  friend bool operator==(const RestartEndpoint&, const RestartEndpoint&) = default;
};

// Stretches of prompts that an endpoint has, from the most recently used on. A stretch goes on
// where its parent ends, which is before it in the list.
struct RestartHistory {
  enum class Kind : std::uint8_t { kPrompts, kMedia };
  struct Stretch {
    std::uint32_t parent = kRestartNone;
    std::uint32_t blocks = 0;  // So many of `keys`, behind those of the stretches before; not 0.
    friend bool operator==(const Stretch&, const Stretch&) = default;
  };
  std::uint32_t endpoint = 0;  // By its order in the file.
  Kind kind = Kind::kPrompts;
  std::vector<Stretch> stretches;
  std::vector<std::uint64_t> keys;
  friend bool operator==(const RestartHistory&, const RestartHistory&) = default;
};

// Engines that hash alike, and the index's domain for them.
struct RestartDomain {
  std::uint32_t algorithm = 0;
  std::string seed;
  std::uint32_t domain = 0;
  friend bool operator==(const RestartDomain&, const RestartDomain&) = default;
};

struct RestartPublisher {
  struct Group {
    std::uint32_t number = 0;
    std::uint8_t kind = 0;
    friend bool operator==(const Group&, const Group&) = default;
  };
  std::string endpoint;  // Its name.
  std::string events;
  std::string replay;
  std::string topic;
  std::uint32_t rank = 0;
  std::uint64_t next = 0;  // The number that it goes on from; at least 1.
  std::uint64_t witness = 0;
  bool complete = false;
  // Numbers below this may be in the index already.
  std::uint64_t settled = 0;
  std::vector<std::uint32_t> slots;  // By tier; kRestartNone: none.
  std::vector<Group> groups;
  std::uint32_t block_tokens = 0;
  std::uint32_t domain = kRestartNone;
  friend bool operator==(const RestartPublisher&, const RestartPublisher&) = default;
};

// Consecutive blocks of one chain. Hashes are the index's own, salted by their domain.
struct RestartRun {
  struct Name {
    std::uint32_t offset = 0;
    std::uint64_t hash = 0;
    friend bool operator==(const Name&, const Name&) = default;
  };
  struct Holder {
    std::uint16_t slot = 0;
    std::uint16_t blocks = 0;  // Leading ones that it holds; not 0.
    friend bool operator==(const Holder&, const Holder&) = default;
  };
  std::vector<std::uint64_t> keys;
  std::vector<std::uint64_t> hashes;  // As many.
  std::vector<Name> names;            // By which other domains know blocks.
  std::vector<Holder> holders;
  friend bool operator==(const RestartRun&, const RestartRun&) = default;
};

class RestartWriter {
 public:
  RestartWriter();

  void add(const RestartHead& head);
  void add(const RestartCalibration& calibration);
  void add(const RestartEndpoint& endpoint);
  void add(const RestartHistory& history);
  void add(const RestartDomain& domain);
  void add(const RestartPublisher& publisher);
  // Runs gather; they are in the bytes at the next record of another kind, or when they are many.
  void add(const RestartRun& run);
  void finish();

  // What was written since the last call.
  std::string take();
  // All in all, with what was not taken yet.
  std::uint64_t bytes() const { return taken_ + out_.size() + runs_.size(); }

 private:
  enum class Kind : std::uint32_t;
  void record(Kind kind, std::string_view payload);
  void flush_runs();

  friend class RestartReader;
  std::string out_;
  std::string runs_;
  std::string scratch_;
  std::uint64_t taken_ = 0;
  std::uint64_t records_ = 0;
};

struct RestartFault {
  enum class Kind : std::uint8_t {
    kForeign,    // Not such a file.
    kVersion,    // Of another version.
    kTruncated,  // It ends too early.
    kChecksum,   // A record's bytes are not those that were written.
    kMalformed,  // They are, and make no sense.
  };
  Kind kind = Kind::kForeign;
  std::uint64_t offset = 0;  // Of the record, or of what is missing.
  std::string_view what;     // Static text.

  std::string describe() const;
};
std::string_view to_string(RestartFault::Kind kind);

// Walks the runs of a file that was read. Cheap to copy.
class RestartRuns {
 public:
  // False at the end. `run` is reused.
  bool next(RestartRun& run);

 private:
  friend class RestartReader;
  std::vector<std::string_view> records_;
  std::size_t record_ = 0;
  std::size_t at_ = 0;
};

struct RestartImage {
  RestartHead head;
  std::optional<RestartCalibration> calibration;
  std::vector<RestartEndpoint> endpoints;
  std::vector<RestartHistory> histories;
  std::vector<RestartDomain> domains;
  std::vector<RestartPublisher> publishers;
  RestartRuns runs;  // Views of the bytes.
};

// Replaces `image`; after a fault there is nothing in it.
std::optional<RestartFault> read_restart(std::string_view bytes, RestartImage& image);

}  // namespace fairlead::codec
