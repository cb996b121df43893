// SPDX-License-Identifier: Apache-2.0
#include "core/fleet/answer_meter.h"

#include <gtest/gtest.h>

namespace fairlead::fleet {
namespace {

class AnswerMeterTest : public testing::Test {
 protected:
  float told(double answers, double tokens) {
    codec::EngineMetrics metrics;
    metrics.first_tokens = answers;
    metrics.generation_tokens = tokens;
    meter_.told(metrics);
    return meter_.mean_tokens();
  }

  AnswerMeter meter_;
};

TEST_F(AnswerMeterTest, BelievesInUsualAnswersUntilFiguresTell) {
  EXPECT_EQ(meter_.mean_tokens(), 500);
  codec::EngineMetrics metrics;
  metrics.generation_tokens = 1e6;
  meter_.told(metrics);
  EXPECT_EQ(meter_.mean_tokens(), 500) << "of how many answers is not known";
  EXPECT_EQ(told(50, 50 * 300), 400) << "50 answers count as much as what was believed";
}

TEST_F(AnswerMeterTest, AnEngineThatRanBeforeIsKnownByItsFirstFigures) {
  EXPECT_NEAR(told(99'950, 99'950.0 * 40), 40, 1);
}

TEST_F(AnswerMeterTest, ForgetsWhatWasBefore) {
  told(10'000, 10'000 * 100);
  float mean = 0;
  for (int i = 1; i <= 500; ++i) mean = told(10'000 + i, 10'000.0 * 100 + i * 1'000.0);
  // Of 500 answers the last 500 are 1 - 1/e.
  EXPECT_NEAR(mean, 1'000 - 900 / 2.72, 10);
  for (int i = 501; i <= 5'000; ++i) mean = told(10'000 + i, 10'000.0 * 100 + i * 1'000.0);
  EXPECT_NEAR(mean, 1'000, 1);
}

TEST_F(AnswerMeterTest, TokensCountWhenTheyAreMade) {
  told(450, 450 * 500);
  EXPECT_EQ(told(450, 450 * 500 + 5'000), 510) << "answers that run grow";
  EXPECT_EQ(told(450, 450 * 500 + 5'000), 510) << "an idle engine teaches nothing";
}

TEST_F(AnswerMeterTest, ARestartBeginsTheCountersAnew) {
  told(450, 450 * 500);
  told(0, 0);
  EXPECT_NEAR(told(1, 1'500), 502, 0.1);
  EXPECT_NEAR(told(0, 500), 503, 0.1) << "one that was not seen at 0";
}

TEST_F(AnswerMeterTest, NonsenseIsForgotten) {
  told(450, 450 * 500);
  EXPECT_LE(told(450, 1e18), 500 + 1e6F / 500 + 1);
  float mean = 0;
  for (int i = 1; i <= 5'000; ++i) mean = told(450 + i, 500.0 * i);
  EXPECT_NEAR(mean, 500, 1);
}

}  // namespace
}  // namespace fairlead::fleet
