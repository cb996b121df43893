// SPDX-License-Identifier: Apache-2.0
#include "lab/world/prepared_workload.h"

#include <unordered_map>

#include "base/assert.h"
#include "core/prefix/token_keys.h"
#include "lab/load/model/prompt_content.h"

namespace fairlead::world {

PreparedWorkload::PreparedWorkload(load::Workload workload, std::uint32_t engine_block_tokens,
                                   std::uint32_t router_block_tokens)
    : workload_(std::move(workload)),
      engine_block_tokens_(engine_block_tokens),
      router_block_tokens_(router_block_tokens) {
  FAIRLEAD_ASSERT(engine_block_tokens > 0 && router_block_tokens > 0);
  const prefix::TokenKeys token_keys(kTokenKeySeed);
  const std::uint64_t root = token_keys.root({.block_tokens = engine_block_tokens});
  // Requests with one prompt share their parts, so the first part's position names the prompt.
  std::unordered_map<std::uint32_t, std::uint32_t> prompt_at;
  prompt_of_.reserve(workload_.requests.size());
  for (const load::PlannedRequest& request : workload_.requests) {
    const auto [found, fresh] =
        prompt_at.try_emplace(request.first_part, static_cast<std::uint32_t>(prompts_.size()));
    if (fresh) {
      PromptKeys keys;
      auto engine = std::make_shared<std::vector<std::uint64_t>>();
      load::append_block_hashes(workload_.prompt_and_answer(request), engine_block_tokens, *engine);
      load::append_block_hashes(workload_.prompt(request), router_block_tokens, keys.router);
      // An engine's hash stands for its block's content here: it commits to that and more.
      keys.token.reserve(engine->size());
      std::uint64_t key = root;
      for (const std::uint64_t hash : *engine) {
        key = token_keys.chain(key, hash);
        keys.token.push_back(key);
      }
      keys.engine = std::move(engine);
      prompts_.push_back(std::move(keys));
    }
    prompt_of_.push_back(found->second);
  }
}

}  // namespace fairlead::world
