// SPDX-License-Identifier: Apache-2.0
#include "lab/engine/model/engine_model.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <numeric>
#include <sstream>

#include "base/random.h"

namespace fairlead::engine {
namespace {

EngineProfile shipped(const std::string& name) {
  std::ifstream file(FAIRLEAD_SOURCE_DIR "/data/engines/" + name + ".yaml");
  std::stringstream text;
  text << file.rdbuf();
  return parse_profile(text.str(), name).value();
}

// Ten tokens a block, ten blocks, one millisecond a step.
EngineProfile small() {
  EngineProfile profile;
  profile.name = "small";
  profile.model = "small";
  profile.kv_tokens = 100;
  profile.block_size = 10;
  profile.max_batched_tokens = 50;
  profile.max_model_len = 100;
  profile.step_floor_s = 1e-3;
  return profile;
}

std::shared_ptr<const BlockHashes> numbered(std::uint64_t first, std::size_t count) {
  auto hashes = std::make_shared<BlockHashes>(count);
  std::iota(hashes->begin(), hashes->end(), first);
  return hashes;
}

struct Arrival {
  double at_s;
  Submission submission;
};

struct Outcome {
  double ttft_s = 0;
  double end_s = 0;
  std::uint32_t output_tokens = 0;
  std::uint32_t cached_tokens = 0;
  Time first_scheduled{};
};

struct History {
  std::map<std::uint64_t, Outcome> outcomes;  // By tag.
  std::vector<std::uint64_t> finish_order;
  std::vector<StepPlan> steps;
};

// Drives one engine in virtual time until it is idle; arrivals in order of time.
History drive(EngineModel& model, const std::vector<Arrival>& arrivals) {
  History run;
  std::map<std::uint64_t, double> arrived;
  std::vector<TokenEvent> events;
  std::size_t next = 0;
  Time now{};
  const auto arrive_until = [&](Time time) {
    for (; next < arrivals.size(); ++next) {
      const Time at = Time{} + from_seconds(arrivals[next].at_s);
      if (at > time) return;
      arrived[arrivals[next].submission.tag] = arrivals[next].at_s;
      EXPECT_TRUE(model.submit(arrivals[next].submission, at).has_value());
    }
  };
  while (true) {
    arrive_until(now);
    const auto at = model.next_step_at(now);
    if (!at && next == arrivals.size()) return run;
    if (!at || (next < arrivals.size() && Time{} + from_seconds(arrivals[next].at_s) < *at)) {
      now = Time{} + from_seconds(arrivals[next].at_s);
      continue;
    }
    const auto plan = model.begin_step(*at);
    EXPECT_TRUE(plan.has_value());
    run.steps.push_back(*plan);
    now = *at + plan->duration;
    arrive_until(now);
    events.clear();
    model.finish_step(events);
    for (const TokenEvent& event : events) {
      Outcome& outcome = run.outcomes[event.tag];
      if (event.output_tokens == 1) outcome.ttft_s = to_seconds(now) - arrived[event.tag];
      outcome.output_tokens = event.output_tokens;
      outcome.cached_tokens = event.cached_tokens;
      outcome.first_scheduled = event.first_scheduled;
      if (event.finished) {
        outcome.end_s = to_seconds(now);
        run.finish_order.push_back(event.tag);
      }
    }
  }
}

double itl_ms(const Outcome& outcome, double arrival_s) {
  return (outcome.end_s - arrival_s - outcome.ttft_s) / (outcome.output_tokens - 1) * 1e3;
}

// As in the published runs: 7,200-token prompts, 6,000 of them shared by a group.
Submission chat(std::uint64_t tag, std::uint64_t prompt, std::int64_t output) {
  return {.block_hashes = numbered(prompt * 1000, 112),
          .prompt_tokens = 7200,
          .output_tokens = output,
          .output_seed = tag,
          .tag = tag};
}

TEST(EngineCalibration, AColdPromptOf7200TokensTakes380Milliseconds) {
  EngineModel model(shipped("qwen3-32b-2xh100"), 1);
  const History run = drive(model, {{0, chat(1, 1, 10)}});
  EXPECT_NEAR(run.outcomes.at(1).ttft_s, 0.38, 0.01);
}

// Published of a ladder's upper half: means of 0.12 s at 35 and 0.15 s at 40 requests/s.
TEST(EngineCalibration, ARepeatedPromptAmongDecodesTakesAsLongAsPublished) {
  EngineModel model(shipped("qwen3-32b-2xh100"), 1);
  std::vector<Arrival> arrivals;
  for (std::uint64_t i = 0; i < 90; ++i) arrivals.push_back({0, chat(i, 1, 2000)});
  for (std::uint64_t i = 0; i < 20; ++i) {
    arrivals.push_back({3 + 0.117 * static_cast<double>(i), chat(100 + i, 1, 10)});
  }
  const History run = drive(model, arrivals);
  double sum = 0;
  for (std::uint64_t i = 0; i < 20; ++i) {
    EXPECT_EQ(run.outcomes.at(100 + i).cached_tokens, 112U * 64);
    sum += run.outcomes.at(100 + i).ttft_s;
  }
  EXPECT_NEAR(sum / 20, 0.135, 0.015);
}

TEST(EngineCalibration, InterTokenLatencyAtLowAndHighLoad) {
  // 3 requests/s over 8 engines.
  std::vector<Arrival> arrivals;
  for (std::uint64_t i = 0; i < 20; ++i) {
    arrivals.push_back({static_cast<double>(i) * 8 / 3, chat(i, i % 5, 1000)});
  }
  EngineModel low(shipped("qwen3-32b-2xh100"), 1);
  const History idle = drive(low, arrivals);
  double sum = 0;
  for (std::uint64_t i = 0; i < 20; ++i) sum += itl_ms(idle.outcomes.at(i), arrivals[i].at_s);
  EXPECT_GT(sum / 20, 11.0);
  EXPECT_LT(sum / 20, 13.4);

  // 88 sequences with 7.2k to 8.2k of context.
  arrivals.clear();
  for (std::uint64_t i = 0; i < 88; ++i) arrivals.push_back({0, chat(i, 1, 1000)});
  EngineModel high(shipped("qwen3-32b-2xh100"), 1);
  const History busy = drive(high, arrivals);
  const double itl = itl_ms(busy.outcomes.at(80), 0);
  EXPECT_GT(itl, 42);
  EXPECT_LT(itl, 47);
}

TEST(EngineCalibration, GptOssPrefillFitsThePublishedTimes) {
  const std::map<std::int64_t, double> published_ms{
      {2048, 78}, {8192, 250}, {16384, 510}, {32768, 1173}, {49152, 1988}};
  for (const auto& [tokens, expected] : published_ms) {
    EngineModel model(shipped("gpt-oss-120b-h200"), 1);
    const History run = drive(model, {{0, {.prompt_tokens = tokens, .output_tokens = 1}}});
    EXPECT_NEAR(run.outcomes.at(0).ttft_s * 1e3 / expected, 1, 0.06) << tokens;
  }
}

TEST(EngineModel, StepTimeFollowsItsFormula) {
  EngineProfile profile = small();
  profile.kv_tokens = 1000;
  profile.per_token_s = 1e-4;
  profile.attention_s = 1e-5;
  profile.kv_read_s = 1e-6;
  profile.per_sequence_s = 2e-5;
  EngineModel model(profile, 1);
  const History run = drive(model, {{0, {.prompt_tokens = 80, .output_tokens = 2}}});
  ASSERT_EQ(run.steps.size(), 3U);
  // Chunks of 50 and 30 tokens, then one decode with 81 tokens of context.
  EXPECT_NEAR(to_seconds(run.steps[0].duration), 50e-4 + 1e-5 * 50 * 25 + 2e-5, 1e-9);
  EXPECT_NEAR(to_seconds(run.steps[1].duration), 30e-4 + 1e-5 * 30 * (50 + 15) + 2e-5, 1e-9);
  EXPECT_NEAR(to_seconds(run.steps[2].duration), 1e-3 + 1e-6 * 81 + 2e-5, 1e-9);
}

TEST(EngineModel, HostOverheadDelaysWhatTheSchedulerSees) {
  EngineProfile profile = small();
  profile.host_overhead_s = 0.03;
  EngineModel model(profile, 1);
  const Time start = Time{} + std::chrono::seconds(5);
  ASSERT_TRUE(model.submit({.prompt_tokens = 10, .output_tokens = 1}, start).has_value());
  EXPECT_EQ(model.load().waiting, 0U);
  EXPECT_FALSE(model.idle());
  EXPECT_FALSE(model.begin_step(start).has_value());
  const Time ready = start + std::chrono::milliseconds(30);
  EXPECT_EQ(model.next_step_at(start), ready);
  const auto plan = model.begin_step(ready);
  ASSERT_TRUE(plan.has_value());
  EXPECT_EQ(plan->prefill_tokens, 10U);
}

// Steps of 1 ms from 0 on; the second sequence comes during the third step.
Time second_scheduled(EngineProfile profile) {
  EngineModel model(std::move(profile), 1);
  const History run = drive(model, {{0, {.prompt_tokens = 10, .output_tokens = 9, .tag = 1}},
                                    {0.0025, {.prompt_tokens = 10, .output_tokens = 1, .tag = 2}},
                                    {1, {.prompt_tokens = 10, .output_tokens = 1, .tag = 3}}});
  EXPECT_EQ(run.outcomes.at(3).first_scheduled, Time{} + std::chrono::seconds(1));  // Idle.
  return run.outcomes.at(2).first_scheduled;
}

TEST(EngineModel, AStepPlannedAheadLacksWhoCameDuringTheOneBefore) {
  EngineProfile profile = small();
  profile.step_floor_s = 1e-3;
  EXPECT_EQ(second_scheduled(profile), Time{} + std::chrono::milliseconds(4));
  profile.async_scheduling = false;
  EXPECT_EQ(second_scheduled(profile), Time{} + std::chrono::milliseconds(3));
}

TEST(EngineModel, OnlyWholeContiguousBlocksHitAndTheLastTokenIsRecomputed) {
  EngineModel model(small(), 1);
  drive(model, {{0, {.block_hashes = numbered(1, 3), .prompt_tokens = 30, .output_tokens = 1}}});

  // The whole prompt is cached, but its last block must be computed again for its last token.
  History run = drive(
      model, {{1, {.block_hashes = numbered(1, 3), .prompt_tokens = 30, .output_tokens = 1}}});
  EXPECT_EQ(run.outcomes.at(0).cached_tokens, 20U);
  EXPECT_EQ(run.steps[0].prefill_tokens, 10U);
  run = drive(model,
              {{2, {.block_hashes = numbered(1, 3), .prompt_tokens = 31, .output_tokens = 1}}});
  EXPECT_EQ(run.outcomes.at(0).cached_tokens, 30U);
  EXPECT_EQ(run.steps[0].prefill_tokens, 1U);

  // Block 2 is unknown, so block 3 does not count.
  auto gap = std::make_shared<BlockHashes>(BlockHashes{1, 77, 3});
  EXPECT_EQ(model.cached_blocks(*gap), 1U);
  run = drive(model, {{3, {.block_hashes = gap, .prompt_tokens = 30, .output_tokens = 1}}});
  EXPECT_EQ(run.outcomes.at(0).cached_tokens, 10U);
  EXPECT_EQ(model.counters().prefix_queries, 121U);
  EXPECT_EQ(model.counters().prefix_hits, 60U);
}

TEST(EngineModel, ABlockCanBeHitFromTheStepThatFillsIt) {
  EngineModel model(small(), 1);
  const History run = drive(
      model,
      {{0, {.block_hashes = numbered(1, 3), .prompt_tokens = 35, .output_tokens = 2, .tag = 1}},
       {0, {.block_hashes = numbered(1, 3), .prompt_tokens = 35, .output_tokens = 2, .tag = 2}}});
  EXPECT_EQ(run.outcomes.at(1).cached_tokens, 0U);
  EXPECT_EQ(run.outcomes.at(2).cached_tokens, 30U);
  EXPECT_EQ(run.steps[0].prefill_tokens, 40U);
}

TEST(EngineModel, AnAnswerWhoseTextIsKnownIsHitByTheNextTurn) {
  EngineModel model(small(), 1);
  // 25 tokens of prompt, 21 of output: the last is never computed, so 45 are in the cache.
  drive(model, {{0, {.block_hashes = numbered(1, 4), .prompt_tokens = 25, .output_tokens = 21}}});
  EXPECT_EQ(model.cached_blocks(*numbered(1, 5)), 4U);
  const History run = drive(
      model, {{1, {.block_hashes = numbered(1, 5), .prompt_tokens = 55, .output_tokens = 1}}});
  EXPECT_EQ(run.outcomes.at(0).cached_tokens, 40U);
}

TEST(EngineModel, OutputsWithTheirOwnSeedAreNotShared) {
  EngineModel model(small(), 1);
  for (std::uint64_t seed = 1; seed <= 2; ++seed) {
    ASSERT_TRUE(model
                    .submit({.block_hashes = numbered(1, 1),
                             .prompt_tokens = 12,
                             .output_tokens = 20,
                             .output_seed = seed},
                            Time{})
                    .has_value());
  }
  std::vector<TokenEvent> events;
  for (int step = 0; step < 19; ++step) {
    ASSERT_TRUE(model.begin_step(Time{}).has_value());
    model.finish_step(events);
  }
  // 30 tokens each with the first block shared.
  EXPECT_DOUBLE_EQ(model.load().kv_usage, 0.5);
}

TEST(EngineModel, LongPromptsAreChunkedAndDecodesGoFirst) {
  EngineModel model(small(), 1);
  ASSERT_TRUE(model.submit({.prompt_tokens = 5, .output_tokens = 9, .tag = 1}, Time{}).has_value());
  std::vector<TokenEvent> events;
  ASSERT_TRUE(model.begin_step(Time{}).has_value());
  ASSERT_TRUE(
      model.submit({.prompt_tokens = 80, .output_tokens = 1, .tag = 2}, Time{}).has_value());
  model.finish_step(events);
  auto plan = model.begin_step(Time{});
  EXPECT_EQ(plan->decode_tokens, 1U);
  EXPECT_EQ(plan->prefill_tokens, 49U);
  events.clear();
  model.finish_step(events);
  ASSERT_EQ(events.size(), 1U);  // The half-done prompt emits nothing.
  EXPECT_EQ(events[0].tag, 1U);
  plan = model.begin_step(Time{});
  EXPECT_EQ(plan->prefill_tokens, 31U);
  events.clear();
  model.finish_step(events);
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[1].tag, 2U);
  EXPECT_TRUE(events[1].finished);
}

TEST(EngineModel, AdmissionIsFirstComeFirstServedWithinTheSequenceLimit) {
  EngineProfile profile = small();
  profile.max_num_seqs = 2;
  EngineModel model(profile, 1);
  std::vector<Arrival> arrivals;
  for (std::uint64_t tag = 1; tag <= 5; ++tag) {
    arrivals.push_back({0, {.prompt_tokens = 5, .output_tokens = 3, .tag = tag}});
  }
  const History run = drive(model, arrivals);
  EXPECT_EQ(run.finish_order, (std::vector<std::uint64_t>{1, 2, 3, 4, 5}));
  for (const StepPlan& step : run.steps) EXPECT_LE(step.sequences, 2U);
}

TEST(EngineModel, AHeadThatDoesNotFitBlocksTheQueueBehindIt) {
  EngineProfile profile = small();
  profile.max_batched_tokens = 200;
  EngineModel model(profile, 1);
  const History run =
      drive(model, {{0, {.prompt_tokens = 45, .output_tokens = 30, .output_seed = 1, .tag = 1}},
                    {0, {.prompt_tokens = 60, .output_tokens = 1, .output_seed = 2, .tag = 2}},
                    {0, {.prompt_tokens = 5, .output_tokens = 1, .output_seed = 3, .tag = 3}}});
  EXPECT_EQ(run.steps[0].sequences, 1U);  // The third would fit, but is not let past.
  EXPECT_EQ(run.finish_order, (std::vector<std::uint64_t>{1, 2, 3}));
}

TEST(EngineModel, WhenBlocksRunOutTheNewestIsRecomputedAndLosesNothing) {
  EngineModel model(small(), 1);
  // Both grow to 70 tokens, 140 in a cache of 100.
  const History run = drive(
      model,
      {{0, {.block_hashes = numbered(1, 2), .prompt_tokens = 25, .output_tokens = 45, .tag = 1}},
       {0, {.block_hashes = numbered(50, 2), .prompt_tokens = 25, .output_tokens = 45, .tag = 2}},
       {0.01, {.prompt_tokens = 9, .output_tokens = 1, .tag = 3}}});
  EXPECT_GE(model.counters().preemptions, 1U);
  EXPECT_EQ(run.outcomes.at(1).output_tokens, 45U);
  EXPECT_EQ(run.outcomes.at(2).output_tokens, 45U);
  EXPECT_LT(run.outcomes.at(1).end_s, run.outcomes.at(2).end_s);
  EXPECT_NEAR(run.outcomes.at(1).end_s, 0.045, 1e-9);  // The older one is never delayed.
  EXPECT_EQ(model.counters().generation_tokens, 91U);
  EXPECT_EQ(model.counters().prompt_tokens, 59U);
  EXPECT_EQ(model.load().kv_usage, 0);
}

TEST(EngineModel, AbortFreesBlocksInEveryStage) {
  EngineProfile profile = small();
  profile.max_num_seqs = 1;
  EngineModel model(profile, 1);
  std::vector<TokenEvent> events;
  const SequenceId running = *model.submit({.prompt_tokens = 30, .output_tokens = 9}, Time{});
  const SequenceId waiting = *model.submit({.prompt_tokens = 30, .output_tokens = 9}, Time{});
  ASSERT_TRUE(model.begin_step(Time{}).has_value());
  const SequenceId arriving = *model.submit({.prompt_tokens = 30, .output_tokens = 9}, Time{});
  model.abort(running);
  EXPECT_GT(model.load().kv_usage, 0);  // The step still computes it.
  model.finish_step(events);
  EXPECT_TRUE(events.empty());
  EXPECT_EQ(model.load().kv_usage, 0);
  model.abort(running);
  model.abort(waiting);
  model.abort(arriving);
  EXPECT_TRUE(model.idle());
  EXPECT_EQ(model.next_step_at(Time{}), std::nullopt);

  const SequenceId next = *model.submit({.prompt_tokens = 30, .output_tokens = 9}, Time{});
  EXPECT_NE(next, arriving);
  model.abort(arriving);  // Its slot has a new owner.
  EXPECT_FALSE(model.idle());
}

TEST(EngineModel, AdaptersBeyondTheLimitWaitWithoutBlockingOthers) {
  EngineModel model(small(), 1);  // One adapter at once.
  std::vector<TokenEvent> events;
  for (const std::uint32_t adapter : {1U, 2U, 0U, 1U}) {
    ASSERT_TRUE(model.submit({.prompt_tokens = 5, .output_tokens = 2, .adapter = adapter}, Time{}));
  }
  EXPECT_EQ(model.begin_step(Time{})->sequences, 3U);
  EXPECT_EQ(model.adapters()[1].running, 2U);
  EXPECT_EQ(model.adapters()[2].running, 0U);
  EXPECT_EQ(model.adapters()[2].waiting, 1U);
  model.finish_step(events);
  EXPECT_EQ(model.begin_step(Time{})->sequences, 3U);
  model.finish_step(events);
  EXPECT_EQ(model.begin_step(Time{})->sequences, 1U);
  EXPECT_EQ(model.adapters()[2].running, 1U);
}

TEST(EngineModel, RefusesWhatCanNeverRun) {
  EngineModel model(small(), 1);
  EXPECT_FALSE(model.submit({.prompt_tokens = 0, .output_tokens = 1}, Time{}).has_value());
  EXPECT_FALSE(model.submit({.prompt_tokens = 1, .output_tokens = 0}, Time{}).has_value());
  const auto refused = model.submit({.prompt_tokens = 90, .output_tokens = 11}, Time{});
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(refused.error().message.find("context of 100 tokens"), std::string::npos);
  // The longest request that is accepted fills the cache and still ends.
  const History run = drive(model, {{0, {.prompt_tokens = 90, .output_tokens = 10, .tag = 1}},
                                    {0, {.prompt_tokens = 90, .output_tokens = 10, .tag = 2}}});
  EXPECT_EQ(run.finish_order, (std::vector<std::uint64_t>{1, 2}));
}

TEST(EngineModel, ResetIsARestartAndThePrefixCacheResetsOnlyWhenUnused) {
  EngineModel model(small(), 1);
  std::vector<TokenEvent> events;
  const Submission submission{
      .block_hashes = numbered(1, 3), .prompt_tokens = 35, .output_tokens = 2};
  ASSERT_TRUE(model.submit(submission, Time{}).has_value());
  ASSERT_TRUE(model.begin_step(Time{}).has_value());
  EXPECT_FALSE(model.reset_prefix_cache());
  EXPECT_EQ(model.cached_blocks(*submission.block_hashes), 3U);
  model.reset();
  EXPECT_TRUE(model.idle());
  EXPECT_EQ(model.load().kv_usage, 0);
  EXPECT_EQ(model.cached_blocks(*submission.block_hashes), 0U);
  EXPECT_EQ(model.counters().steps, 0U);

  drive(model, {{0, submission}});
  EXPECT_EQ(model.cached_blocks(*submission.block_hashes), 3U);
  EXPECT_TRUE(model.reset_prefix_cache());
  EXPECT_EQ(model.cached_blocks(*submission.block_hashes), 0U);
}

TEST(EngineModel, TheSameSeedAndArrivalsGiveTheSameSteps) {
  EngineProfile profile = shipped("qwen3-32b-2xh100");
  profile.noise_sigma = 0.1;
  Random random(3);
  std::vector<Arrival> arrivals;
  double at = 0;
  for (std::uint64_t tag = 0; tag < 200; ++tag) {
    at += random.exponential(0.2);
    arrivals.push_back({at, chat(tag, random.below(20), 200)});
  }
  const auto trace = [&](std::uint64_t seed) {
    EngineModel model(profile, seed);
    std::vector<std::int64_t> steps;
    for (const StepPlan& step : drive(model, arrivals).steps) {
      steps.push_back(step.duration.count());
      steps.push_back(step.prefill_tokens);
      steps.push_back(step.sequences);
    }
    return steps;
  };
  EXPECT_EQ(trace(1), trace(1));
  EXPECT_NE(trace(1), trace(2));
}

TEST(EngineModel, NoiseHasMeanOne) {
  EngineProfile profile = small();
  profile.noise_sigma = 0.3;
  profile.max_model_len = 100;
  EngineModel model(profile, 9);
  double sum = 0;
  std::size_t steps = 0;
  for (int i = 0; i < 200; ++i) {
    for (const StepPlan& step :
         drive(model, {{0, {.prompt_tokens = 5, .output_tokens = 50}}}).steps) {
      sum += to_seconds(step.duration);
      ++steps;
    }
  }
  EXPECT_NEAR(sum / static_cast<double>(steps), 1e-3, 1e-5);
}

}  // namespace
}  // namespace fairlead::engine
