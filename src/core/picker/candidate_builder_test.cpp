// SPDX-License-Identifier: Apache-2.0
// What the candidate table says of the endpoints, column by column.
#include "core/picker/candidate_builder.h"

#include <gtest/gtest.h>

#include <string>

#include "core/prefix/routed_history.h"

namespace fairlead::picker {
namespace {

class CandidateBuilderTest : public ::testing::Test {
 protected:
  CandidateBuilderTest() {
    pool.version = 1;
    for (std::uint32_t slot = 0; slot < 4; ++slot) {
      model::Endpoint endpoint;
      endpoint.ref = {slot, 0};
      endpoint.name = "e" + std::to_string(slot);
      endpoint.models = {"m"};
      endpoint.health = model::Health::kHealthy;
      pool.endpoints.push_back(endpoint);
    }
    request.model = "m";
    request.prompt_tokens = 1024;
  }

  model::PoolSnapshot pool;
  fleet::InFlightTable inflight;
  fleet::LoadTable load;
  fleet::PlacementLedger ledger;
  prefix::RoutedHistory history{1024, 1 << 20};
  model::InferenceRequest request;
  Time now{std::chrono::seconds(100)};
};

TEST_F(CandidateBuilderTest, ASilentEngineHasAsMuchOfOthersAsTheFullestThatTells) {
  load.write(1, {.scraped_at = now, .others = {.tokens = 200, .decoding = 4}});
  load.write(2, {.scraped_at = now, .stale = true, .others = {.decoding = 7}});
  CandidateBuilder builder({inflight, load, ledger, history});
  Random random(1);
  using Values = std::vector<float>;
  const auto& table = builder.build(request, pool, {}, {}, now, random);
  EXPECT_EQ(table.others_tokens, (Values{0, 200, 200, 0}));
  EXPECT_EQ(table.others_decoding, (Values{0, 4, 7, 0}));
}

TEST_F(CandidateBuilderTest, OneEngineWithAllOthersWaitingHardlyMakesACrowd) {
  for (std::uint32_t slot = 0; slot < 3; ++slot) {
    load.write(slot, {.scraped_at = now, .others = {.unstarted = 3}});
  }
  CandidateBuilder builder({inflight, load, ledger, history});
  Random random(1);
  using Values = std::vector<float>;
  load.write(3, {.scraped_at = now, .others = {.unstarted = 7}});
  EXPECT_EQ(builder.build(request, pool, {}, {}, now, random).others_unstarted, Values(4, 4));
  load.write(3, {.scraped_at = now, .others = {.unstarted = 1e9}});
  EXPECT_EQ(builder.build(request, pool, {}, {}, now, random).others_unstarted,
            Values(4, (3 * 3 + 8 * (1 + 3)) / 4.0F));
  load.write(3, {.scraped_at = now, .stale = true, .others = {.unstarted = 1e9}});
  EXPECT_EQ(builder.build(request, pool, {}, {}, now, random).others_unstarted,
            Values(4, 9 / 4.0F));
}

TEST_F(CandidateBuilderTest, ColumnsTellAdaptersAndTheAgeOfMetrics) {
  fleet::AdapterRow adapters;
  adapters.active[0] = fleet::adapter_hash("m");
  adapters.active_count = 1;
  adapters.max = 3;
  load.write(1, {0, 0, 0, now - std::chrono::milliseconds(250)}, adapters);
  adapters.waiting = adapters.active;
  adapters.waiting_count = 1;
  adapters.active_count = 0;
  load.write(2, {0, 0, 0, now}, adapters);
  CandidateBuilder builder({inflight, load, ledger, history});
  Random random(1);
  const auto& table = builder.build(request, pool, {}, {}, now, random);
  using Values = std::vector<float>;
  EXPECT_EQ(table.adapter, (Values{0, scheduling::kAdapterActive, scheduling::kAdapterWaiting, 0}));
  EXPECT_EQ(table.adapter_room, (Values{0, 2, 2, 0}));
  EXPECT_EQ(table.metrics_age,
            (Values{scheduling::kMetricsAgeMax, 0.25F, 0, scheduling::kMetricsAgeMax}));
  const auto& unwanted = builder.build(request, pool, {}, {}, now, random, {});
  EXPECT_EQ(unwanted.adapter, Values(4, 0.0F));
  EXPECT_EQ(unwanted.metrics_age, Values(4, 0.0F));
  EXPECT_TRUE(filled_columns().has(scheduling::Column::kMetricsAge));
  EXPECT_FALSE(filled_columns().has(scheduling::Column::kHeaders)) << "a front adds these";
}

TEST_F(CandidateBuilderTest, EndpointsAreEquallyFastUnlessSomebodyMeasuresAndAsks) {
  fleet::SpeedTable speeds;
  for (int i = 0; i < 400; ++i) {
    now += std::chrono::seconds(1);
    for (std::uint32_t slot = 0; slot < 4; ++slot) {
      speeds.first_token(slot, now, 1000, now + std::chrono::milliseconds(slot == 1 ? 900 : 100));
    }
  }
  SharedState shared{inflight, load, ledger, history};
  Random random(1);
  CandidateBuilder blind(shared);
  EXPECT_EQ(blind.build(request, pool, {}, {}, now, random).slowness, std::vector<float>(4, 1.0F));
  shared.speeds = &speeds;
  CandidateBuilder builder(shared);
  const auto& table = builder.build(request, pool, {}, {}, now, random);
  EXPECT_GT(table.slowness[1], 2);
  EXPECT_NEAR(table.slowness[0], table.slowness[3], 0.01);
  const auto& unwanted = builder.build(request, pool, {}, {}, now, random, {});
  EXPECT_EQ(unwanted.slowness, std::vector<float>(4, 1.0F));
}

class ShortageTest : public CandidateBuilderTest {
 protected:
  // Prompts of 64 blocks of 16 tokens, each with keys of its own, of which no endpoint holds any
  // more than history tells.
  float ask(std::uint64_t first, std::uint64_t prompts) {
    keys.resize(64);
    request.block_tokens = 16;
    for (std::uint64_t prompt = first; prompt < first + prompts; ++prompt) {
      for (std::size_t i = 0; i < keys.size(); ++i) keys[i] = mix64(64 * prompt + i + 1);
      request.keys = keys;
      builder.build(request, pool, {}, {}, now, random);
      builder.learn(request, 0, scheduling::kAllColumns);
      if (recorded) history.record(0, keys);
    }
    return builder.build(request, pool, {}, {}, now, random).shortage[0];
  }
  void have_memory(float tokens_each) {
    for (std::uint32_t slot = 0; slot < 4; ++slot) {
      load.write(slot, {0, 0, 0, now, false, tokens_each});
    }
  }

  std::vector<std::uint64_t> keys;  // Of the last request, which refers to them.
  fleet::SeenBlocks seen;
  Random random{1};
  bool recorded = false;
  CandidateBuilder builder{
      SharedState{inflight, load, ledger, history, nullptr, nullptr, nullptr, &seen}};
};

TEST_F(ShortageTest, IsWhatIsComputedThatTwiceTheMemoryWouldStillHold) {
  have_memory(20 * 1024);  // 80 prompts in all.
  EXPECT_EQ(ask(0, 100), 0) << "nothing comes again";
  EXPECT_GT(ask(0, 100), 0.1) << "all comes again before 160 others did";
  EXPECT_LE(ask(0, 100), 1);
}

TEST_F(ShortageTest, IsNotWhatALargerMemoryWouldHaveLostToo) {
  have_memory(10 * 1024);
  ask(0, 100);
  EXPECT_EQ(ask(0, 100), 0) << "100 others came since, and there is room for 80 with twice as much";
}

TEST_F(ShortageTest, IsNotWhatIsStillHeld) {
  recorded = true;
  have_memory(20 * 1024);
  ask(0, 10);
  EXPECT_EQ(ask(0, 10), 0);
}

TEST_F(ShortageTest, IsNotKnownWhereNoEngineTellsItsMemoryOrNobodyAsks) {
  ask(0, 10);
  EXPECT_EQ(ask(0, 10), 0);
  have_memory(20 * 1024);
  ask(0, 10);
  EXPECT_GT(ask(0, 10), 0);
  EXPECT_EQ(builder.build(request, pool, {}, {}, now, random, {}).shortage[0], 0);
}

TEST_F(CandidateBuilderTest, WhatANewPromptBringsIsTheMeanOfThoseThatNobodyHeld) {
  CandidateBuilder builder({inflight, load, ledger, history});
  Random random(1);
  const auto cold_tokens = [&] {
    return builder.build(request, pool, {}, {}, now, random).cold_tokens[0];
  };
  EXPECT_EQ(cold_tokens(), 0) << "there was none";
  request.block_tokens = 16;
  std::vector<std::uint64_t> keys;
  for (const std::uint64_t blocks : {8U, 24U}) {
    keys.assign(blocks, blocks);
    request.keys = keys;
    request.prompt_tokens = static_cast<std::uint32_t>(16 * blocks);
    builder.build(request, pool, {}, {}, now, random);
    builder.learn(request, 0, scheduling::kAllColumns);
    history.record(0, keys);
  }
  EXPECT_EQ(cold_tokens(), 16 * 16);
  builder.learn(request, 0, scheduling::kAllColumns);
  EXPECT_EQ(cold_tokens(), 16 * 16) << "somebody holds it";
  request.keys = {};
  builder.build(request, pool, {}, {}, now, random);
  builder.learn(request, 0, scheduling::kAllColumns);
  EXPECT_EQ(cold_tokens(), 16 * 16) << "nobody can find it again";
}

TEST_F(CandidateBuilderTest, ContextAndPlacedTokensAreTheEndpointsOwnAndPlacedFromTheLeast) {
  const fleet::InFlightShare share(inflight, {2, 0}, 10, 700);
  // More than a float tells apart.
  constexpr std::uint64_t kLong = std::uint64_t{1} << 40;
  for (std::uint32_t slot = 0; slot < 4; ++slot) ledger.note_placed(slot, kLong + 3 * slot + 5);
  CandidateBuilder builder({inflight, load, ledger, history});
  Random random(1);
  using Values = std::vector<float>;
  using scheduling::Column;
  const auto& table = builder.build(request, pool, {}, {}, now, random,
                                    {Column::kInFlightContext, Column::kPlacedTokens});
  EXPECT_EQ(table.inflight_context, (Values{0, 0, 700, 0}));
  EXPECT_EQ(table.placed_tokens, (Values{0, 3, 6, 9}));
  const auto& unwanted = builder.build(request, pool, {}, {}, now, random, {});
  EXPECT_EQ(unwanted.inflight_context, Values(4, 0.0F));
  EXPECT_EQ(unwanted.placed_tokens, Values(4, 0.0F));
}

class Engines final : public prefix::ToldKnowledge {
 public:
  void told(std::span<const std::uint64_t> keys, std::span<prefix::ToldBlocks> out,
            prefix::ToldScratch& /*scratch*/) const override {
    asked.assign(keys.begin(), keys.end());
    out[0] = {5, prefix::Trust::kTrusted};
    out[1] = {0, prefix::Trust::kTrusted};
    out[2] = {3, prefix::Trust::kSuspect};
  }
  mutable std::vector<std::uint64_t> asked;
};

TEST_F(CandidateBuilderTest, WhatAnEngineTellsCountsMoreThanWhatWasSentThere) {
  const std::vector<std::uint64_t> keys = {1, 2, 3, 4};
  const std::vector<std::uint64_t> token_keys = {7, 8, 9};
  for (std::uint32_t slot = 0; slot < 4; ++slot) history.record(slot, keys);
  request.keys = keys;
  request.block_tokens = 256;
  request.token_block = 16;
  const Engines engines;
  CandidateBuilder builder({inflight, load, ledger, history, nullptr, &engines});
  Random random(1);
  using Values = std::vector<float>;
  // It was not tokenized: nobody can be asked.
  EXPECT_EQ(builder.build(request, pool, {}, {}, now, random).cached_tokens, Values(4, 1023));
  EXPECT_EQ(builder.table().cache_trust, Values(4, 0));
  EXPECT_TRUE(engines.asked.empty());

  request.token_keys = token_keys;
  const auto& table = builder.build(request, pool, {}, {}, now, random);
  EXPECT_EQ(engines.asked, token_keys);
  EXPECT_EQ(table.cached_tokens, (Values{80, 0, 1023, 1023})) << "a suspect may hold more";
  EXPECT_EQ(table.own_uncached_tokens, (Values{944, 1024, 1, 1}));
  EXPECT_EQ(table.cache_trust, (Values{1, 1, 0.5F, 0}));
  // The last token is always computed, and with it its block.
  request.prompt_tokens = 80;
  EXPECT_EQ(builder.build(request, pool, {}, {}, now, random).cached_tokens[0], 64);
  request.prompt_tokens = 81;
  EXPECT_EQ(builder.build(request, pool, {}, {}, now, random).cached_tokens[0], 80);
}

// Matched size over whole size, by hand. Item i has the hash i + 1.
TEST_F(CandidateBuilderTest, TheShareOfMediaIsBySize) {
  struct Vector {
    std::vector<std::uint64_t> sizes;
    std::vector<std::vector<std::uint64_t>> held;  // Of each endpoint: which items.
    std::vector<float> expected;
  };
  const Vector vectors[] = {
      {{}, {{}, {}, {}, {}}, {0, 0, 0, 0}},
      {{100}, {{0}, {}, {}, {}}, {1, 0, 0, 0}},
      {{100}, {{}, {}, {}, {}}, {0, 0, 0, 0}},
      {{100}, {{0}, {0}, {0}, {0}}, {1, 1, 1, 1}},
      {{100, 100}, {{0}, {1}, {0, 1}, {}}, {0.5F, 0.5F, 1, 0}},
      {{100, 300}, {{0}, {1}, {0, 1}, {}}, {0.25F, 0.75F, 1, 0}},
      {{300, 100}, {{0}, {1}, {}, {0, 1}}, {0.75F, 0.25F, 0, 1}},
      {{1, 1, 2}, {{0}, {2}, {0, 2}, {1}}, {0.25F, 0.5F, 0.75F, 0.25F}},
      {{1, 1, 2}, {{0, 1}, {0, 1, 2}, {}, {2, 1}}, {0.5F, 1, 0, 0.75F}},
      {{5, 3}, {{7}, {0}, {1}, {7, 8}}, {0, 0.625F, 0.375F, 0}},  // Others' items do not count.
      {{10, 20, 30, 40}, {{3}, {2}, {1}, {0}}, {0.4F, 0.3F, 0.2F, 0.1F}},
      {{10, 20, 30, 40}, {{3, 2}, {2, 1}, {1, 0}, {0, 3}}, {0.7F, 0.5F, 0.3F, 0.5F}},
      {{10, 20, 30, 40}, {{0, 1, 2}, {1, 2, 3}, {}, {0, 1, 2, 3}}, {0.6F, 0.9F, 0, 1}},
      {{0}, {{0}, {}, {}, {}}, {0, 0, 0, 0}},  // Of no size at all.
      {{0, 8}, {{0}, {1}, {0, 1}, {}}, {0, 1, 1, 0}},
      {{7, 7, 7, 7, 7, 7, 7}, {{0}, {0, 1}, {0, 1, 2}, {}}, {1.0F / 7, 2.0F / 7, 3.0F / 7, 0}},
      {{1000000, 1}, {{1}, {0}, {}, {0, 1}}, {1.0F / 1000001, 1000000.0F / 1000001, 0, 1}},
      {{2, 2, 2, 2}, {{0, 2}, {1, 3}, {0, 1, 2, 3}, {3}}, {0.5F, 0.5F, 1, 0.25F}},
      {{16, 48}, {{}, {}, {}, {0}}, {0, 0, 0, 0.25F}},
      {{16, 48}, {{}, {1}, {}, {}}, {0, 0.75F, 0, 0}},
      {{9, 1}, {{0, 5, 6}, {1, 5}, {5}, {6, 1, 0}}, {0.9F, 0.1F, 0, 1}},
  };
  for (const Vector& vector : vectors) {
    SCOPED_TRACE(&vector - vectors);
    prefix::RoutedHistory sent{1, model::kMediaItemsKept};
    for (std::uint32_t slot = 0; slot < 4; ++slot) {
      for (const std::uint64_t item : vector.held[slot]) {
        sent.record(slot, std::vector<std::uint64_t>{item + 1});
      }
    }
    std::vector<model::MediaItem> media;
    for (const std::uint64_t size : vector.sizes) media.push_back({media.size() + 1, size});
    request.media = media;
    CandidateBuilder builder({inflight, load, ledger, history, &sent});
    Random random(1);
    const auto& table = builder.build(request, pool, {}, {}, now, random);
    for (std::size_t row = 0; row < 4; ++row) {
      EXPECT_NEAR(static_cast<double>(table.media_cached[row]),
                  static_cast<double>(vector.expected[row]), 1e-6);
    }
  }
}

}  // namespace
}  // namespace fairlead::picker
