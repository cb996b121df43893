// SPDX-License-Identifier: Apache-2.0
// Stretches of steps against the same steps taken one by one, under random traffic, with tight and
// ample caches, one model beside the other.
#include <gtest/gtest.h>

#include "base/random.h"
#include "lab/engine/model/engine_model.h"

namespace fairlead::engine {
namespace {

EngineProfile stretch_profile(Random& random) {
  EngineProfile profile;
  profile.name = "stretched";
  profile.model = "tiny";
  profile.block_size = 16;
  profile.max_model_len = 400;
  profile.kv_tokens = 400 + static_cast<std::int64_t>(random.below(3000));
  profile.max_num_seqs = 1 + static_cast<std::int64_t>(random.below(20));
  profile.max_batched_tokens = 8 + static_cast<std::int64_t>(random.below(500));
  profile.step_floor_s = 0.01;
  profile.per_token_s = 1e-5;
  profile.kv_read_s = 1e-6;
  profile.attention_s = 1e-7;
  profile.host_overhead_s = 0.03 * random.uniform();
  profile.noise_sigma = random.below(2) == 0 ? 0 : 0.1;
  profile.async_scheduling = random.below(2) == 0;
  return profile;
}

struct Ran {
  Time end{};
  std::uint32_t longest = 0;
};

// Both models go on until `until` or for as long as they have work, and agree after each stretch.
void run_both(EngineModel& stretched, EngineModel& single, Time until, Time horizon, Ran& ran) {
  std::vector<TokenEvent> last;
  std::vector<TokenEvent> each;
  for (Time now = ran.end; now < until; ran.end = now) {
    const auto at = stretched.next_step_at(now);
    ASSERT_EQ(at, single.next_step_at(now));
    if (!at) {
      ran.end = until;
      return;
    }
    now = std::max(now, *at);
    if (now >= until) {
      ran.end = now;
      return;
    }
    const auto plan = stretched.begin_stretch(now, horizon);
    ASSERT_TRUE(plan.has_value());
    ran.longest = std::max(ran.longest, plan->steps);
    Time then = now;
    for (std::uint32_t step = 0; step < plan->steps; ++step) {
      const auto one = single.begin_step(then);
      ASSERT_TRUE(one.has_value());
      ASSERT_EQ(one->sequences, plan->sequences);
      ASSERT_EQ(single.load().kv_usage, stretched.load().kv_usage);
      ASSERT_EQ(single.load().running, stretched.load().running);
      ASSERT_EQ(single.load().waiting, stretched.load().waiting);
      then += one->duration;
      each.clear();
      single.finish_step(each);
      if (step + 1 == plan->steps) continue;
      for (const TokenEvent& event : each) ASSERT_TRUE(event.output_tokens > 1 && !event.finished);
    }
    now += plan->duration;
    ASSERT_EQ(now, then);
    last.clear();
    stretched.finish_step(last);
    ASSERT_EQ(last.size(), each.size());
    for (std::size_t i = 0; i < last.size(); ++i) {
      ASSERT_EQ(last[i].tag, each[i].tag);
      ASSERT_EQ(last[i].output_tokens, each[i].output_tokens);
      ASSERT_EQ(last[i].finished, each[i].finished);
    }
    ASSERT_EQ(stretched.counters().steps, single.counters().steps);
    ASSERT_EQ(stretched.counters().generation_tokens, single.counters().generation_tokens);
  }
}

TEST(EngineModel, AStretchEqualsItsSingleSteps) {
  std::uint32_t longest = 0;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    Random random(seed);
    const EngineProfile profile = stretch_profile(random);
    const Duration overhead = from_seconds(profile.host_overhead_s);
    EngineModel stretched(profile, seed);
    EngineModel single(profile, seed);
    Ran ran;
    Time arrival{};
    for (std::uint64_t i = 0; i < 60; ++i) {
      arrival += from_seconds(random.exponential(i % 20 < 10 ? 0.01 : 0.6));
      run_both(stretched, single, arrival, arrival + overhead, ran);
      if (::testing::Test::HasFatalFailure()) return;
      const Submission submission{.prompt_tokens = 1 + static_cast<std::int64_t>(random.below(200)),
                                  .output_tokens = 1 + static_cast<std::int64_t>(random.below(150)),
                                  .output_seed = i,
                                  .tag = i};
      ASSERT_TRUE(stretched.submit(submission, arrival));
      ASSERT_TRUE(single.submit(submission, arrival));
    }
    run_both(stretched, single, arrival + std::chrono::hours(1), Time::max(), ran);
    if (::testing::Test::HasFatalFailure()) return;
    EXPECT_TRUE(stretched.idle() && single.idle());
    longest = std::max(longest, ran.longest);
  }
  EXPECT_EQ(longest, 15U);  // Between two steps that fill a block.
}

}  // namespace
}  // namespace fairlead::engine
