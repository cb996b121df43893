// SPDX-License-Identifier: Apache-2.0
#include "lab/engine/model/cache_log.h"

#include <gtest/gtest.h>

#include <map>

#include "base/random.h"
#include "core/tokens/block_hash.h"
#include "lab/engine/model/engine_model.h"

namespace fairlead::engine {
namespace {

constexpr std::int64_t kLogBlock = 4;

Submission logged_submission(Random& random) {
  // Few different prompts, so that they share blocks and evict each other's.
  auto content = std::make_shared<SequenceContent>();
  const std::uint64_t family = random.below(3);
  const auto prompt = static_cast<std::int64_t>(1 + random.below(40));
  const auto output = static_cast<std::int64_t>(1 + random.below(8));
  for (std::int64_t i = 0; i < prompt + output; ++i) {
    content->tokens.push_back(
        static_cast<std::uint32_t>(family * 1000 + static_cast<std::uint64_t>(i)));
  }
  auto hashes = std::make_shared<BlockHashes>();
  tokens::chain_block_hashes(content->tokens, kLogBlock, 1, *hashes);
  return {.block_hashes = std::move(hashes),
          .prompt_tokens = prompt,
          .output_tokens = output,
          .output_seed = random.next(),
          .logged_blocks = content->tokens.size() / kLogBlock,
          .content = content};
}

// Copies of each block by what the log says; every block that the cache has must have one.
TEST(CacheLog, SaysWhatTheCacheHolds) {
  EngineProfile profile;
  profile.name = "logged";
  profile.model = "tiny";
  profile.kv_tokens = 20 * kLogBlock;
  profile.block_size = kLogBlock;
  profile.max_model_len = 60;
  profile.max_batched_tokens = 32;
  profile.step_floor_s = 0.001;
  std::uint64_t removals = 0;
  std::uint64_t copies = 0;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Random random(seed);
    EngineModel model(profile, seed);
    CacheLog log;
    model.log_cache_to(&log);
    std::map<std::uint64_t, int> held;
    std::vector<TokenEvent> events;
    Time now{};
    for (int step = 0; step < 300; ++step) {
      if (random.below(3) == 0) {
        ASSERT_TRUE(model.submit(logged_submission(random), now));
      }
      if (const auto at = model.next_step_at(now)) {
        now = *at;
        if (const auto plan = model.begin_step(now)) {
          now += plan->duration;
          model.finish_step(events);
        }
      }
      if (random.below(50) == 0 && model.reset_prefix_cache()) {
        ASSERT_EQ(log.back().kind, CacheChange::Kind::kCleared);
      }
      for (const CacheChange& change : log) {
        if (change.kind == CacheChange::Kind::kCleared) held.clear();
        if (change.kind == CacheChange::Kind::kRemoved) {
          ASSERT_GT(held[change.hash]--, 0);
          ++removals;
        }
        for (const std::uint64_t hash : change.hashes) copies += held[hash]++ > 0 ? 1 : 0;
        if (change.kind != CacheChange::Kind::kStored) continue;
        // The hashes are those of the tokens, given the parent.
        BlockHashes expected;
        tokens::chain_block_hashes(
            std::span(change.content->tokens)
                .subspan(change.first_block * kLogBlock, change.hashes.size() * kLogBlock),
            kLogBlock, change.parent.value_or(1), expected);
        ASSERT_EQ(change.hashes, expected);
      }
      log.clear();
      std::map<std::uint64_t, int> listed;
      std::vector<std::uint64_t> hashes;
      model.list_logged(hashes);
      for (const std::uint64_t hash : hashes) ++listed[hash];
      std::erase_if(held, [](const auto& entry) { return entry.second == 0; });
      ASSERT_EQ(listed, held);
      for (const auto& [hash, count] : held) {
        ASSERT_EQ(model.cached_blocks(std::span(&hash, 1)), count > 0 ? 1U : 0U);
      }
    }
  }
  EXPECT_GT(removals, 1000U);
  EXPECT_GT(copies, 0U);
}

}  // namespace
}  // namespace fairlead::engine
