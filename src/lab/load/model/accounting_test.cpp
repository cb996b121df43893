// SPDX-License-Identifier: Apache-2.0
#include "lab/load/model/accounting.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>

#include "base/random.h"

namespace fairlead::load {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

Time at(Duration offset) { return Time(offset); }

// A warm-up stage and two measured ones, no requests planned.
Workload three_stages() {
  Workload workload;
  workload.name = "test";
  workload.stages.resize(3);
  workload.stages[0].kind = StageKind::kWarmUp;
  for (Stage& stage : workload.stages) {
    stage.name = "s";
    stage.rate = 1;
    stage.length = seconds(2);
    stage.request_count = 2;
  }
  return workload;
}

RequestRecord answered(std::uint32_t stage, Duration sent, Duration ttft, Duration gap,
                       std::uint32_t tokens) {
  RequestRecord record;
  record.stage = stage;
  record.scheduled = at(sent) - milliseconds(2);
  record.sent = at(sent);
  record.prompt_tokens = 100;
  TokenClock clock;
  for (std::uint32_t i = 0; i < tokens; ++i) {
    record.finished = at(sent + ttft + gap * i);
    clock.add(record, record.finished, 1);
  }
  return record;
}

TEST(Percentiles, InterpolateLinearlyBetweenRanks) {
  std::vector<double> values = {40, 10, 30, 20};
  const Distribution result = describe(values);
  EXPECT_EQ(result.count, 4u);
  EXPECT_DOUBLE_EQ(result.mean, 25);
  EXPECT_DOUBLE_EQ(result.min, 10);
  EXPECT_DOUBLE_EQ(result.max, 40);
  EXPECT_DOUBLE_EQ(result.p50(), 25);
  EXPECT_DOUBLE_EQ(result.p90(), 37);
  EXPECT_DOUBLE_EQ(result.percentiles[4], 17.5);
  EXPECT_DOUBLE_EQ(result.p99(), 39.7);
}

TEST(Percentiles, OfNothingAndOfOneValue) {
  EXPECT_EQ(describe(std::span<double>{}).count, 0u);
  std::vector<double> one = {5};
  EXPECT_EQ(describe(one).p99(), 5);
}

RC_GTEST_PROP(Percentiles, AWeightIsThatManyEqualValues, ()) {
  const auto count = *rc::gen::inRange(0, 40);
  std::vector<WeightedValue> weighted;
  std::vector<double> plain;
  for (int i = 0; i < count; ++i) {
    const double value = *rc::gen::inRange(0, 20);
    const auto weight = static_cast<std::uint64_t>(*rc::gen::inRange(0, 6));
    weighted.push_back({value, weight});
    plain.insert(plain.end(), weight, value);
  }
  const Distribution a = describe(weighted);
  const Distribution b = describe(plain);
  RC_ASSERT(a.count == b.count);
  RC_ASSERT(std::abs(a.mean - b.mean) < 1e-9);
  RC_ASSERT(a.min == b.min && a.max == b.max);
  for (std::size_t i = 0; i < kPercentiles.size(); ++i) {
    RC_ASSERT(std::abs(a.percentiles[i] - b.percentiles[i]) < 1e-9);
  }
}

TEST(Accounting, LatenciesFollowTheirDefinitions) {
  const Workload workload = three_stages();
  RunRecords run;
  run.spans = {{at(seconds(0)), at(seconds(1))},
               {at(seconds(10)), at(seconds(14))},
               {at(seconds(50)), at(seconds(56))}};
  // 5 tokens: first after 400 ms, then one every 100 ms.
  run.requests.push_back(answered(1, seconds(10), milliseconds(400), milliseconds(100), 5));
  const Section section = summarize(workload, run, {}).overall;
  EXPECT_EQ(section.succeeded, 1u);
  EXPECT_DOUBLE_EQ(section.ttft.mean, 0.4);
  EXPECT_DOUBLE_EQ(section.request_latency.mean, 0.8);
  EXPECT_DOUBLE_EQ(section.tpot.mean, 0.1);
  EXPECT_DOUBLE_EQ(section.ntpot.mean, 0.16);
  EXPECT_EQ(section.itl.count, 4u);
  EXPECT_DOUBLE_EQ(section.itl.p50(), 0.1);
  EXPECT_DOUBLE_EQ(section.schedule_delay.p50(), 0.002);
  EXPECT_DOUBLE_EQ(section.benchmark_s, 10);  // 4 + 6: no pause, no warm-up.
  EXPECT_DOUBLE_EQ(section.output_tokens_per_s, 0.5);
  EXPECT_DOUBLE_EQ(section.input_tokens_per_s, 10);
  EXPECT_DOUBLE_EQ(section.requests_per_s, 0.1);
  EXPECT_FALSE(section.goodput.has_value());
}

TEST(Accounting, TokensOfOneChunkShareATimeStamp) {
  const Workload workload = three_stages();
  RunRecords run;
  RequestRecord record;
  record.stage = 1;
  TokenClock clock;
  clock.add(record, at(milliseconds(100)), 2);
  clock.add(record, at(milliseconds(260)), 4);
  clock.add(record, at(milliseconds(300)), 1);
  record.finished = at(milliseconds(300));
  run.requests.push_back(record);
  const Section section = summarize(workload, run, {}).overall;
  EXPECT_EQ(section.output_tokens.mean, 7);
  EXPECT_EQ(section.itl.count, 6u);  // 0, 0.16, 0, 0, 0, 0.04
  EXPECT_DOUBLE_EQ(section.itl.p50(), 0);
  EXPECT_DOUBLE_EQ(section.itl.mean, 0.2 / 6);
  EXPECT_EQ(section.token_interval.count, 5u);  // 0.04 four times, then 0.04.
  EXPECT_DOUBLE_EQ(section.token_interval.p50(), 0.04);
}

TEST(Accounting, TokensAreDealtEvenlyOverTheEventsOfAStream) {
  const std::vector<ChunkArrival> arrivals = {
      {at(milliseconds(10)), 1}, {at(milliseconds(20)), 2}, {at(milliseconds(30)), 1}};
  RequestRecord record;
  settle_tokens(record, arrivals, 18);
  EXPECT_EQ(record.output_tokens, 18u);
  EXPECT_EQ(record.first_token, at(milliseconds(10)));
  ASSERT_EQ(record.chunks.size(), 3u);
  EXPECT_EQ(record.chunks[0].tokens, 4u);
  EXPECT_EQ(record.chunks[1].tokens, 9u);
  EXPECT_EQ(record.chunks[2].tokens, 5u);
  EXPECT_EQ(record.chunks[2].gap_us, 10000u);
  // Fewer tokens than events: the first token is still where the first event was.
  RequestRecord few;
  settle_tokens(few, arrivals, 2);
  EXPECT_EQ(few.output_tokens, 2u);
  EXPECT_EQ(few.first_token, at(milliseconds(10)));
}

TEST(Accounting, WarmUpIsReportedButNotSummed) {
  const Workload workload = three_stages();
  RunRecords run;
  run.endpoints = {"a", "b"};
  run.requests.push_back(answered(0, seconds(0), seconds(9), milliseconds(1), 2));
  run.requests.push_back(answered(1, seconds(10), seconds(1), milliseconds(1), 2));
  run.requests.push_back(answered(2, seconds(50), seconds(3), milliseconds(1), 2));
  for (RequestRecord& record : run.requests) record.endpoint = 1;
  const Summary summary = summarize(workload, run, {});
  EXPECT_EQ(summary.overall.sent, 2u);
  EXPECT_DOUBLE_EQ(summary.overall.ttft.mean, 2);
  ASSERT_EQ(summary.stages.size(), 3u);
  EXPECT_DOUBLE_EQ(summary.stages[0].ttft.mean, 9);
  EXPECT_EQ(summary.endpoints[0].requests, 0u);
  EXPECT_EQ(summary.endpoints[1].requests, 2u);
}

TEST(Accounting, SpeedTurnsWallTimeIntoModelTime) {
  const Workload workload = three_stages();
  RunRecords run;
  run.scale = TimeScale{4};
  run.spans = {{at(seconds(0)), at(seconds(1))}, {at(seconds(1)), at(seconds(2))}};
  run.requests.push_back(answered(1, seconds(1), milliseconds(100), milliseconds(10), 3));
  const Section section = summarize(workload, run, {}).overall;
  EXPECT_DOUBLE_EQ(section.ttft.mean, 0.4);
  EXPECT_DOUBLE_EQ(section.itl.p50(), 0.04);
  EXPECT_DOUBLE_EQ(section.tpot.mean, 0.04);
  EXPECT_DOUBLE_EQ(section.benchmark_s, 4);
  EXPECT_DOUBLE_EQ(section.output_tokens_per_s, 0.75);
  EXPECT_DOUBLE_EQ(section.schedule_delay.p50(), 0.002);  // The generator's lag is real.
}

TEST(Accounting, FailuresAreLabelledAndKeptOutOfLatencies) {
  const Workload workload = three_stages();
  RunRecords run;
  run.requests.push_back(answered(1, seconds(1), milliseconds(100), milliseconds(10), 3));
  RequestRecord failed = answered(1, seconds(1), seconds(50), milliseconds(10), 1);
  failed.outcome = Outcome::kHttpError;
  failed.status = 503;
  run.requests.push_back(failed);
  run.requests.push_back(failed);
  failed.outcome = Outcome::kStreamBroken;
  run.requests.push_back(failed);
  const Section section = summarize(workload, run, {}).overall;
  EXPECT_EQ(section.sent, 4u);
  EXPECT_EQ(section.failed, 3u);
  ASSERT_EQ(section.failures.size(), 2u);
  EXPECT_EQ(section.failures[0], (std::pair<std::string, std::uint64_t>("http_503", 2)));
  EXPECT_EQ(section.failures[1], (std::pair<std::string, std::uint64_t>("stream_broken", 1)));
  EXPECT_DOUBLE_EQ(section.ttft.max, 0.1);
  EXPECT_DOUBLE_EQ(section.failed_latency.max, 50);
}

TEST(Accounting, HitRateIsCachedOverPrompt) {
  const Workload workload = three_stages();
  RunRecords run;
  run.requests.push_back(answered(1, seconds(1), milliseconds(1), milliseconds(1), 1));
  run.requests.push_back(answered(1, seconds(1), milliseconds(1), milliseconds(1), 1));
  run.requests[0].prompt_tokens = 300;
  run.requests[0].cached_tokens = 150;
  EXPECT_DOUBLE_EQ(summarize(workload, run, {}).overall.hit_rate, 0.375);
}

TEST(Accounting, GoodputCountsRequestsThatMeetEveryLimit) {
  const Workload workload = three_stages();
  RunRecords run;
  run.spans = {{}, {at(seconds(0)), at(seconds(10))}};
  // Limits: TTFT 0.2 s (met by 3 of 4), TPOT 0.05 s (met by 3 of 4); both by 2.
  run.requests.push_back(answered(1, seconds(0), milliseconds(200), milliseconds(50), 3));
  run.requests.push_back(answered(1, seconds(0), milliseconds(150), milliseconds(60), 3));
  run.requests.push_back(answered(1, seconds(0), milliseconds(300), milliseconds(10), 3));
  run.requests.push_back(answered(1, seconds(0), milliseconds(100), milliseconds(10), 1));
  SloLimits limits;
  limits.ttft = 0.2;
  limits.tpot = 0.05;
  const Summary summary = summarize(workload, run, limits);
  ASSERT_TRUE(summary.overall.goodput.has_value());
  const Goodput& goodput = *summary.overall.goodput;
  EXPECT_DOUBLE_EQ(goodput.share, 0.5);
  EXPECT_DOUBLE_EQ(goodput.requests_per_s, 0.2);
  EXPECT_DOUBLE_EQ(goodput.tokens_per_s, 20.4);
  ASSERT_EQ(goodput.attainment.size(), 2u);
  EXPECT_DOUBLE_EQ(goodput.attainment[0].second, 0.75);
  EXPECT_DOUBLE_EQ(goodput.attainment[1].second, 0.75);
}

}  // namespace
}  // namespace fairlead::load
