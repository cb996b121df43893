// SPDX-License-Identifier: Apache-2.0
// The operations of the KV index benchmark: a file of 64-bit little-endian words that our program
// and the peers' read alike.
//
//   "KVINDEX1", pods, then records: head = kind | pod << 8 | n << 32, and
//   1 store    parent's engine hash (0: none), n engine hashes, n content hashes
//   2 remove   n engine hashes
//   3 query    n content hashes, then the depths of all pods by the naive twin, four 16-bit numbers
//              a word; pod is 1 when the query is also timed, with those of equal n around it
//   4 section  n is the Section that begins
//
// Single-threaded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fairlead::bench {

enum class OpKind : std::uint8_t { kStore = 1, kRemove = 2, kQuery = 3, kSection = 4 };

// What a stretch of operations measures.
enum Section : std::uint32_t {
  kStream = 1,  // The workload itself, from an empty index.
  kChurn = 2,   // Tails removed and stored again; ends where it began.
  kStore1 = 3,  // Decoding: many sequences grow by one block in turn.
  kRemove = 4,  // Half of what is held, least recent first.
  kSectionsEnd = 5,
};

struct Op {
  OpKind kind{};
  std::uint32_t pod = 0;
  std::uint64_t parent = 0;
  std::span<const std::uint64_t> engines{};
  std::span<const std::uint64_t> contents{};
  std::span<const std::uint64_t> depths{};
  std::uint32_t section = 0;

  std::size_t blocks() const { return kind == OpKind::kQuery ? 0 : engines.size(); }
};

class OpsFile {
 public:
  static constexpr std::uint64_t kMagic = 0x3158'4544'4e49'564b;  // "KVINDEX1"

  // False when the file cannot be read or is none of ours.
  static std::optional<OpsFile> read(const std::string& path) {
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    if (!file) return std::nullopt;
    OpsFile out;
    out.words_.resize(static_cast<std::size_t>(file.tellg()) / sizeof(std::uint64_t));
    file.seekg(0);
    file.read(reinterpret_cast<char*>(out.words_.data()),
              static_cast<std::streamsize>(out.words_.size() * sizeof(std::uint64_t)));
    if (!file || out.words_.size() < 2 || out.words_[0] != kMagic) return std::nullopt;
    return out;
  }

  std::uint32_t pods() const { return static_cast<std::uint32_t>(words_[1]); }

  // Calls `each` with every Op in turn until it returns false.
  template <typename Each>
  void visit(Each&& each) const {
    const std::span<const std::uint64_t> words = words_;
    const std::size_t depth_words = (pods() + 3) / 4;
    for (std::size_t at = 2; at < words.size();) {
      const std::uint64_t head = words[at++];
      const std::size_t n = head >> 32;
      Op op{.kind = static_cast<OpKind>(head & 0xff),
            .pod = static_cast<std::uint32_t>(head >> 8 & 0xff'ffff)};
      if (op.kind == OpKind::kStore) {
        op.parent = words[at];
        op.engines = words.subspan(at + 1, n);
        op.contents = words.subspan(at + 1 + n, n);
        at += 1 + 2 * n;
      } else if (op.kind == OpKind::kRemove) {
        op.engines = words.subspan(at, n);
        at += n;
      } else if (op.kind == OpKind::kQuery) {
        op.contents = words.subspan(at, n);
        op.depths = words.subspan(at + n, depth_words);
        at += n + depth_words;
      } else {
        op.section = static_cast<std::uint32_t>(n);
      }
      if (!each(std::as_const(op))) return;
    }
  }

 private:
  std::vector<std::uint64_t> words_;
};

// The depth that the naive twin gives `pod`.
inline std::uint16_t expected_depth(std::span<const std::uint64_t> depths, std::size_t pod) {
  return static_cast<std::uint16_t>(depths[pod / 4] >> (16 * (pod % 4)));
}

}  // namespace fairlead::bench
