// SPDX-License-Identifier: Apache-2.0
// The tokens of chunks of text that were tokenised before, so that turn n of a conversation costs
// its new text only.
//
// Exact: a chunk is found by a seeded hash and then compared byte for byte, and where chunks begin
// and end is TextCuts' rule, which makes their tokens those of the whole text. Bounded in bytes;
// what was not asked for the longest makes room. Errors: none. Threads: TokenCache is
// thread-compatible; io/text puts a lock around it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/tokens/text_cuts.h"
#include "core/tokens/tokenizer.h"

namespace fairlead::tokens {

enum class Cached : std::uint8_t { kMissing, kAppended };

class ChunkCache {
 public:
  virtual ~ChunkCache() = default;
  // Appends the tokens of the chunk, as model number `model` has them, if they are known.
  virtual Cached append(std::uint32_t model, std::string_view chunk,
                        std::vector<std::uint32_t>& out) = 0;
  virtual void insert(std::uint32_t model, std::string_view chunk,
                      std::span<const std::uint32_t> tokens) = 0;
};

class TokenCache final : public ChunkCache {
 public:
  // What an entry costs beside its text and tokens: list and map nodes, string and vector.
  static constexpr std::size_t kEntryBytes = 160;

  // Chunks above an eighth of `bytes_max` are not kept. `seed` comes from Random, so that nobody
  // can choose texts that meet in one place.
  TokenCache(std::size_t bytes_max, std::uint64_t seed);

  Cached append(std::uint32_t model, std::string_view chunk,
                std::vector<std::uint32_t>& out) override;
  void insert(std::uint32_t model, std::string_view chunk,
              std::span<const std::uint32_t> tokens) override;

  std::size_t bytes() const { return bytes_; }
  std::size_t entries() const { return entries_.size(); }
  std::uint64_t evicted() const { return evicted_; }

 private:
  struct Entry {
    std::uint64_t key;
    std::uint32_t model;
    std::string text;
    std::vector<std::uint32_t> tokens;
  };
  using Entries = std::list<Entry>;

  static std::size_t cost(std::size_t text_bytes, std::size_t tokens);
  std::uint64_t key_of(std::uint32_t model, std::string_view chunk) const;
  void drop(Entries::iterator entry);

  std::size_t bytes_max_;
  std::uint64_t seed_;
  std::size_t bytes_ = 0;
  std::uint64_t evicted_ = 0;
  Entries entries_;  // The last asked for first.
  std::unordered_map<std::uint64_t, Entries::iterator> by_key_;
};

// Whether to go on, asked before each chunk.
class Patience {
 public:
  enum class Answer : std::uint8_t { kGoOn, kStop };
  virtual ~Patience() = default;
  virtual Answer ask() = 0;
};

struct TextCost {
  std::size_t bytes = 0;         // Of the text.
  std::size_t cached_bytes = 0;  // Of it, those that were not tokenised now.
};

// Appends the tokens of `text` chunk by chunk; what is new goes into the cache. `cuts` are those of
// the tokenizer. On failure `out` holds the tokens so far.
tl::expected<TextCost, TextFailure> append_tokens(const Tokenizer& tokenizer, const TextCuts& cuts,
                                                  std::uint32_t model, std::string_view text,
                                                  ChunkCache& cache, Patience& patience,
                                                  std::vector<std::uint32_t>& out);

}  // namespace fairlead::tokens
