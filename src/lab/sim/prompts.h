// SPDX-License-Identifier: Apache-2.0
// The prompts of a simulated world: groups that share beginnings of several lengths, as bodies that
// clients send, as tokens that engines compute, and as keys that the index is asked by.
// Threads: values; immutable once drawn.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/random.h"
#include "core/prefix/token_keys.h"
#include "lab/engine/model/engine_model.h"

namespace fairlead::sim {

inline constexpr std::uint32_t kBlockTokens = 16;
inline constexpr std::uint64_t kKeySeed = 0x73696d;

struct Prompt {
  std::string body;  // Of a POST to /v1/completions.
  std::uint32_t prompt_tokens = 0;
  std::uint32_t output_tokens = 0;
  std::shared_ptr<const engine::BlockHashes> hashes;
  std::shared_ptr<const engine::SequenceContent> content;
  std::vector<std::uint64_t> token_keys;  // As the router makes them.
};

std::vector<Prompt> draw_prompts(Random& random, std::size_t count);

// The blocks of all prompts of a world, by their engine hash.
class PromptBlocks {
 public:
  struct Block {
    std::uint64_t hash = 0;
    std::uint64_t key = 0;     // The index's name of it.
    std::uint64_t parent = 0;  // The hash of the block before; 0: it is a prompt's first.
  };

  void add(std::span<const Prompt> prompts);
  // Null: of no prompt.
  const Block* find(std::uint64_t hash) const;

 private:
  std::vector<Block> blocks_;  // Ascending.
};

}  // namespace fairlead::sim
