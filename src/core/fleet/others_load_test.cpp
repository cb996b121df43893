// SPDX-License-Identifier: Apache-2.0
#include "core/fleet/others_load.h"

#include <gtest/gtest.h>

#include <optional>

namespace fairlead::fleet {
namespace {

constexpr std::uint32_t kSlot = 3;
constexpr model::EndpointRef kEndpoint{kSlot, 0};

// Of an engine with room for 100,000 tokens: `looked_up` of its prompt tokens, of which `found`
// were cached, and `begun`, which are those of prompts with a first token.
codec::EngineMetrics figures(double waiting, double running, double looked_up, double found,
                             double begun, double first_tokens) {
  codec::EngineMetrics metrics;
  metrics.waiting = waiting;
  metrics.running = running;
  metrics.prefix_queries = looked_up;
  metrics.prefix_hits = found;
  metrics.prompt_tokens = begun;
  metrics.first_tokens = first_tokens;
  metrics.block_size = 100;
  metrics.num_gpu_blocks = 1000;
  return metrics;
}

class OthersMeterTest : public ::testing::Test {
 protected:
  // Figures that are asked for now and come after `way`.
  OthersLoad read(const codec::EngineMetrics& metrics,
                  Duration way = std::chrono::milliseconds(1)) {
    const OwnLoad asked(table, kSlot);
    now += way;
    return meter.told(metrics, asked, table.sent(kSlot), now);
  }

  InFlightTable table;
  OthersMeter meter;
  Time now{std::chrono::seconds(100)};
};

TEST_F(OthersMeterTest, NothingIsLeftOfARouterThatIsAloneHoweverLateTheFiguresCome) {
  read(figures(0, 0, 0, 0, 0, 0));
  InFlightShare begun(table, kEndpoint, 300);
  begun.first_token();
  std::optional<InFlightShare> ends(std::in_place, table, kEndpoint, 700);
  const OwnLoad asked(table, kSlot);
  // Both are in the engine's figures, and so is a third that came before they were written down.
  const InFlightShare later(table, kEndpoint, 500);
  ends.reset();
  now += std::chrono::seconds(5);
  EXPECT_EQ(meter.told(figures(1, 2, 1000, 0, 300, 0), asked, table.sent(kSlot), now),
            OthersLoad{});
}

TEST_F(OthersMeterTest, WhatWasSentSinceTheyWereAskedForIsOursAmongOthers) {
  read(figures(0, 0, 0, 0, 0, 0));
  read(figures(0, 0, 1000, 0, 1000, 10));  // 100 tokens a prompt.
  const OwnLoad asked(table, kSlot);
  const InFlightShare later(table, kEndpoint, 500);
  // One of the three that wait, and none of the 800 in prefill.
  EXPECT_EQ(meter.told(figures(3, 2, 1800, 0, 1000, 10), asked, table.sent(kSlot), now).tokens,
            800 + 2 * 100);
  // And where none waits, 500 of the 800.
  EXPECT_EQ(meter.told(figures(0, 2, 1800, 0, 1000, 10), asked, table.sent(kSlot), now).tokens,
            300);
}

TEST_F(OthersMeterTest, OfPromptsTheShareThatIsLatelyCachedCostsNothing) {
  // What was before it looked says nothing.
  read(figures(0, 0, 9000, 0, 9000, 90));
  read(figures(0, 0, 10'000, 500, 10'000, 100));
  EXPECT_EQ(read(figures(0, 1, 14'000, 2500, 10'000, 100)).tokens, 2000);
  // A quarter of those long ago, hardly any of what came since.
  read(figures(0, 0, 14'000, 2500, 14'000, 110));
  read(figures(0, 0, 113'000, 2500, 113'000, 210), 20 * OthersMeter::kPromptMemory);
  EXPECT_NEAR(read(figures(0, 1, 114'000, 2500, 113'000, 210)).tokens, 1000, 1);
}

TEST_F(OthersMeterTest, PromptsThatWereGivenUpAreForgottenAfterTwoWindows) {
  read(figures(0, 0, 0, 0, 0, 0));
  // Nobody gets a first token for these 500 any more. Something else runs.
  double begun = 0;
  const auto pass = [&](double given_up, double running) {
    begun += 1;
    return read(figures(0, running, given_up + begun, 0, begun, 0), OthersMeter::kFloorWindow / 2)
        .tokens;
  };
  EXPECT_EQ(pass(500, 1), 500);
  for (int i = 0; i < 4; ++i) pass(500, 1);
  EXPECT_EQ(pass(500, 1), 0);
  EXPECT_EQ(pass(800, 2), 300);
}

TEST_F(OthersMeterTest, WhatWasGivenUpBeforeItLookedOrWhileItDidNotIsNotInPrefill) {
  read(figures(0, 1, 5500, 0, 5000, 0));
  EXPECT_EQ(read(figures(0, 1, 5501, 0, 5001, 0)).tokens, 0);
  EXPECT_EQ(read(figures(0, 1, 9000, 0, 6000, 0), std::chrono::hours(1)).tokens, 0);
}

TEST_F(OthersMeterTest, NoMoreIsInPrefillThanTheCacheHolds) {
  read(figures(0, 0, 0, 0, 0, 0));
  EXPECT_EQ(read(figures(0, 1, 1e9, 0, 0, 0)).tokens, 100'000);
}

TEST_F(OthersMeterTest, RunningAnswersOfOthersAreAveraged) {
  read(figures(0, 0, 0, 0, 0, 0));
  double begun = 0;
  const auto pass = [&](double running, Duration way) {
    begun += 1;
    return read(figures(0, running, begun, 0, begun, 0), way).decoding;
  };
  const float first = pass(8, OthersMeter::kDecodingMemory / 20);
  EXPECT_GT(first, 0.3F);
  EXPECT_LT(first, 0.5F);
  for (int i = 0; i < 200; ++i) pass(8, OthersMeter::kDecodingMemory / 20);
  EXPECT_NEAR(pass(8, OthersMeter::kDecodingMemory / 20), 8, 0.01);
  EXPECT_EQ(pass(0, 7 * OthersMeter::kDecodingMemory), 0);
}

// vLLM leaves its gauges as they were when all that ran is given up.
TEST_F(OthersMeterTest, FiguresThatStandStillAreNobodys) {
  read(figures(0, 0, 0, 0, 0, 0));
  const codec::EngineMetrics frozen = figures(15, 106, 9000, 0, 5000, 50);
  EXPECT_GT(read(frozen).tokens, 0);
  EXPECT_GT(read(frozen, OthersMeter::kStill - std::chrono::milliseconds(1)).decoding, 0);
  EXPECT_EQ(read(frozen), OthersLoad{});
  EXPECT_GT(read(figures(15, 106, 9000, 0, 5001, 50)).tokens, 0);
}

TEST_F(OthersMeterTest, AFigureThatGoesBackIsAnotherEngines) {
  read(figures(0, 0, 0, 0, 0, 0));
  EXPECT_EQ(read(figures(0, 1, 900, 0, 800, 0)).tokens, 100);
  EXPECT_EQ(read(figures(0, 1, 900, 0, 0, 0)), OthersLoad{});
  EXPECT_EQ(read(figures(0, 1, 950, 0, 1, 0)).tokens, 49);
}

TEST_F(OthersMeterTest, WithoutAllCountersNothingIsKnownAndAbsurdOnesStayFinite) {
  EXPECT_EQ(read({}), OthersLoad{});
  for (auto missing :
       {&codec::EngineMetrics::waiting, &codec::EngineMetrics::running,
        &codec::EngineMetrics::prefix_queries, &codec::EngineMetrics::prompt_tokens}) {
    read(figures(0, 0, 0, 0, 0, 0));
    codec::EngineMetrics metrics = figures(5, 5, 900, 0, 0, 0);
    metrics.*missing = std::nullopt;
    EXPECT_EQ(read(metrics), OthersLoad{});
  }
  read(figures(0, 0, 0, 0, 0, 0));
  const OthersLoad load = read(figures(1e18, 1e18, 1e18, 1e18, 1e18, 1), std::chrono::hours(1));
  EXPECT_EQ(load.tokens, 0);
  EXPECT_LE(load.decoding, 1e18F);
}

}  // namespace
}  // namespace fairlead::fleet
