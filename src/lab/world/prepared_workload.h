// SPDX-License-Identifier: Apache-2.0
// PreparedWorkload: a workload with the keys of every prompt computed once, so that many policies
// and seeds can be run over it. Requests that share a prompt share its keys.
// Immutable once made; readable from any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "lab/load/model/workload.h"

namespace fairlead::world {

struct PromptKeys {
  // One a KV block of the engine; they go on into an answer that a later prompt repeats.
  std::shared_ptr<const std::vector<std::uint64_t>> engine;
  std::vector<std::uint64_t> router;  // One a block of the router's history.
  std::vector<std::uint64_t> token;   // As `engine`, chained as what engines tell is (TokenKeys).
};

class PreparedWorkload {
 public:
  // Of the chaining of token keys, and so of every index that is asked by them.
  static constexpr std::uint64_t kTokenKeySeed = 1;

  // Block sizes in tokens, above 0.
  PreparedWorkload(load::Workload workload, std::uint32_t engine_block_tokens,
                   std::uint32_t router_block_tokens);

  const load::Workload& workload() const { return workload_; }
  const PromptKeys& keys(std::uint32_t request) const { return prompts_[prompt_of_[request]]; }
  std::uint32_t engine_block_tokens() const { return engine_block_tokens_; }
  std::uint32_t router_block_tokens() const { return router_block_tokens_; }

 private:
  load::Workload workload_;
  std::uint32_t engine_block_tokens_;
  std::uint32_t router_block_tokens_;
  std::vector<PromptKeys> prompts_;
  std::vector<std::uint32_t> prompt_of_;
};

}  // namespace fairlead::world
