// SPDX-License-Identifier: Apache-2.0
#include "lab/engine/step_driver.h"

#include <gtest/gtest.h>

#include "io/net/steady_clock.h"

namespace fairlead::engine {
namespace {

constexpr double kStep = 0.004;

class Driving : public ::testing::Test {
 protected:
  static EngineProfile profile() {
    EngineProfile profile;
    profile.name = profile.model = "tiny";
    profile.kv_tokens = profile.max_model_len = 4096;
    profile.step_floor_s = kStep;
    return profile;
  }
  void submit(std::int64_t tokens) {
    ASSERT_TRUE(driver_.submit({.prompt_tokens = 1, .output_tokens = tokens}).has_value());
  }
  // Not turning the loop, as a process that gets no CPU.
  static void lose_time(Duration span) {
    const net::SteadyClock clock;
    const Time end = clock.now() + span;
    while (clock.now() < end) {
    }
  }
  void turn_until(std::size_t steps) {
    while (planned_ends_.size() < steps) loop_->run_turn(std::chrono::milliseconds(10));
  }

  std::unique_ptr<net::EventLoop> loop_ = std::move(*net::EventLoop::create());
  EngineModel model_{profile(), 1};
  std::vector<Time> planned_ends_;  // Real time.
  Duration lag_{};
  Duration busy_{};
  StepDriver driver_{*loop_, model_, 2, [this](const FinishedStep& step) {
                       planned_ends_.push_back(loop_->now() - step.lag);
                       lag_ = std::max(lag_, step.lag);
                       busy_ += step.duration;
                     }};
};

TEST_F(Driving, LateTimersNeverMoveTheNextStep) {
  submit(12);
  turn_until(2);
  lose_time(std::chrono::milliseconds(9));
  turn_until(12);
  EXPECT_TRUE(model_.idle());
  for (std::size_t i = 1; i < planned_ends_.size(); ++i) {
    EXPECT_NEAR(to_seconds(planned_ends_[i] - planned_ends_[i - 1]), kStep / 2, 2e-8) << i;
  }
  EXPECT_GE(lag_, std::chrono::milliseconds(5));
  EXPECT_NEAR(to_seconds(busy_), 12 * kStep / 2, 1e-6) << "lateness is not work";
}

TEST_F(Driving, NoTimePassesForAPausedModel) {
  submit(1000);
  turn_until(2);
  const std::size_t done = planned_ends_.size();  // More, on a busy machine.
  driver_.pause();
  const Time paused = loop_->now();
  const Time model_paused = driver_.model_now();
  lose_time(std::chrono::milliseconds(20));
  loop_->run_turn(Duration::zero());
  EXPECT_EQ(driver_.model_now(), model_paused);
  EXPECT_EQ(planned_ends_.size(), done);
  driver_.resume();
  const double pause = to_seconds(loop_->now() - paused);
  turn_until(done + 2);
  const auto gap = [&](std::size_t i) {
    return to_seconds(planned_ends_[i] - planned_ends_[i - 1]);
  };
  EXPECT_NEAR(gap(done), kStep / 2 + pause, 2e-8);
  EXPECT_NEAR(gap(done + 1), kStep / 2, 2e-8);
}

TEST_F(Driving, ResetForgetsTheStepUnderWay) {
  submit(1000);
  turn_until(2);
  const std::size_t done = planned_ends_.size();
  const Time reset = loop_->now();
  driver_.reset();
  EXPECT_TRUE(model_.idle());
  submit(1);
  turn_until(done + 1);
  EXPECT_TRUE(model_.idle());
  EXPECT_GE(to_seconds(planned_ends_.back() - reset), kStep / 2 - 2e-8);
}

}  // namespace
}  // namespace fairlead::engine
