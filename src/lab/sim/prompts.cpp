// SPDX-License-Identifier: Apache-2.0
#include "lab/sim/prompts.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/tokens/block_hash.h"
#include "core/tokens/estimate.h"

namespace fairlead::sim {
namespace {

constexpr std::size_t kGroupsMin = 4;
constexpr std::size_t kMoreGroups = 8;
constexpr std::size_t kSharedBlocksMin = 3;
constexpr std::size_t kMoreSharedBlocks = 24;
constexpr std::size_t kOwnTokensMax = 60;
constexpr std::size_t kOutputTokensMin = 3;
constexpr std::size_t kMoreOutputTokens = 20;
constexpr std::size_t kBytesPerToken = 4;  // Of the estimate.

std::string draw_text(Random& random, std::size_t bytes) {
  std::string text(bytes, ' ');
  for (char& letter : text) letter = static_cast<char>('a' + random.below(26));
  return text;
}

Prompt make_prompt(const std::string& text, std::uint32_t output_tokens) {
  Prompt prompt;
  auto content = std::make_shared<engine::SequenceContent>();
  tokens::append_text_tokens(text, content->tokens);
  auto hashes = std::make_shared<engine::BlockHashes>();
  tokens::chain_block_hashes(content->tokens, kBlockTokens, tokens::chain_seed("m", "", ""),
                             *hashes);
  prompt.prompt_tokens = static_cast<std::uint32_t>(content->tokens.size());
  prompt.output_tokens = output_tokens;
  prompt.body = fmt::format(R"({{"model":"m","prompt":"{}","max_tokens":{},"stream":true,)"
                            R"("stream_options":{{"include_usage":true}}}})",
                            text, output_tokens);
  const prefix::TokenKeys keys(kKeySeed);
  prompt.token_keys.resize(content->tokens.size() / kBlockTokens);
  keys.keys(keys.root({.block_tokens = kBlockTokens}), content->tokens, kBlockTokens,
            prompt.token_keys);
  prompt.hashes = std::move(hashes);
  prompt.content = std::move(content);
  return prompt;
}

}  // namespace

std::vector<Prompt> draw_prompts(Random& random, std::size_t count) {
  std::vector<std::string> shared(kGroupsMin + random.below(kMoreGroups));
  for (std::string& text : shared) {
    const std::size_t blocks = kSharedBlocksMin + random.below(kMoreSharedBlocks);
    text = draw_text(random, blocks * kBlockTokens * kBytesPerToken);
  }
  std::vector<Prompt> prompts;
  prompts.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::string& whole = shared[random.below(shared.size())];
    // Some follow the group's text only for a part of the way.
    const std::size_t follows =
        random.below(3) == 0 ? 1 + random.below(whole.size()) : whole.size();
    const std::size_t own = (1 + random.below(kOwnTokensMax)) * kBytesPerToken;
    prompts.push_back(make_prompt(
        whole.substr(0, follows) + draw_text(random, own),
        static_cast<std::uint32_t>(kOutputTokensMin + random.below(kMoreOutputTokens))));
  }
  return prompts;
}

void PromptBlocks::add(std::span<const Prompt> prompts) {
  for (const Prompt& prompt : prompts) {
    for (std::size_t i = 0; i < prompt.token_keys.size(); ++i) {
      blocks_.push_back(
          {(*prompt.hashes)[i], prompt.token_keys[i], i == 0 ? 0 : (*prompt.hashes)[i - 1]});
    }
  }
  std::ranges::sort(blocks_, {}, &Block::hash);
  const auto same = std::ranges::unique(blocks_, {}, &Block::hash);
  blocks_.erase(same.begin(), same.end());
}

const PromptBlocks::Block* PromptBlocks::find(std::uint64_t hash) const {
  const auto found = std::ranges::lower_bound(blocks_, hash, {}, &Block::hash);
  return found == blocks_.end() || found->hash != hash ? nullptr : &*found;
}

}  // namespace fairlead::sim
