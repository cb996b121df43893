// SPDX-License-Identifier: Apache-2.0
// KvStorm: random engine events, applied to a trie and to its naive twin alike: prompts that share
// prefixes, stores in pieces, late parents, copies, placeholders, evictions from tail, middle and
// head, retirement, sweeping in slices and reuse of slots; engines of several hash domains. All
// from one seed.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "core/prefix/kv_trie.h"
#include "core/prefix/testing/kv_twin.h"

namespace fairlead::prefix {

struct KvStormShape {
  std::uint32_t slots = 8;  // Engines; the trie has twice as many rows.
  std::uint32_t domains = 2;
  std::uint32_t longest = 60;  // Blocks of a prompt.
  std::uint32_t alphabet = 3;  // Different contents a block can have: few make prompts share.
  std::uint32_t retire_per_10k = 10;
  std::uint64_t budget_bytes = std::uint64_t{64} << 20;
};

class KvStorm {
 public:
  struct Prompt {
    std::uint32_t root = 0;
    std::vector<std::uint64_t> contents;
    std::vector<std::uint64_t> keys;
  };

  KvStorm(const KvStormShape& shape, std::uint64_t seed);

  // One event, to both.
  void step();
  // A prompt near those in use.
  const Prompt& query();
  // The first row in which the trie's answer differs from the twin's, in words.
  std::optional<std::string> difference(const Prompt& prompt) const;
  // Also between what figures say and what the twin holds.
  std::optional<std::string> difference_in_totals() const;

  KvTrie& trie() { return trie_; }
  const KvTrie& trie() const { return trie_; }
  const KvTwin& twin() const { return twin_; }
  std::uint32_t rows() const { return trie_.slots_max(); }
  std::uint64_t events() const { return events_; }

 private:
  struct Engine {
    KvSlot slot = 0;
    std::uint32_t domain = 0;
    std::vector<Prompt> stored;  // A few of those it was given.
  };
  struct Late {
    std::size_t engine;
    KvSlot slot;
    Prompt prompt;
    std::size_t from, to;
  };

  std::vector<std::uint64_t> hashes(std::uint32_t domain, const Prompt& prompt, std::size_t from,
                                    std::size_t to) const;
  void store(const Engine& engine, const Prompt& prompt, std::size_t from, std::size_t to);
  void store_some(std::size_t engine);
  void remove_some(std::size_t engine);
  void hold_some(std::size_t engine);
  void retire(std::size_t engine);
  void deliver();
  void sweep();
  Prompt grow(const Prompt& from);

  KvStormShape shape_;
  std::uint64_t seed_;
  Random random_;
  TokenKeys keys_;
  KvTrie trie_;
  KvTwin twin_;
  std::vector<KvDomain> domains_;
  std::vector<Engine> engines_;
  std::vector<Prompt> recent_;
  std::deque<Late> late_;
  std::vector<KvSlot> retired_;
  Prompt query_;
  std::uint64_t events_ = 0;
};

}  // namespace fairlead::prefix
