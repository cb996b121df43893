// SPDX-License-Identifier: Apache-2.0
// StepDriver: runs an EngineModel in real time, `speed` times faster than its own.
//
// Every step begins and ends at its planned model time, however late the timer fires, so lateness
// never adds up: a process that lagged runs the overdue steps at once and is on time again. Lag is
// handed out with each step. While paused, model time stands still and no step is taken.
// Threads: the loop's thread.
#pragma once

#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "io/net/event_loop.h"
#include "io/net/timer.h"
#include "lab/engine/model/engine_model.h"

namespace fairlead::engine {

struct FinishedStep {
  std::span<const TokenEvent> events;  // Valid during the call.
  Duration lag{};                      // Real time by which the step ended late.
  Duration duration{};                 // Real time that the step takes by the model.
  std::uint32_t tokens = 0;            // Computed, prompt and output.
};

class StepDriver {
 public:
  // `on_step` may abort sequences, and submit new ones, but not call reset().
  StepDriver(net::EventLoop& loop, EngineModel& model, double speed,
             std::function<void(const FinishedStep&)> on_step);

  [[nodiscard]] Result<SequenceId> submit(Submission submission);
  void abort(SequenceId id) { model_.abort(id); }

  // Called when a step has begun: what it will compute is decided, as is what it evicts.
  void set_on_begun(std::function<void()> on_begun) { on_begun_ = std::move(on_begun); }

  // Model time, counted from construction.
  Time model_now() const;
  double speed() const { return speed_; }

  void pause();
  void resume();
  // Resets the model too.
  void reset();

 private:
  Time real_time_of(Time model_time) const;
  void plan();
  void run_due_steps();
  bool take_step(Time now);

  net::EventLoop& loop_;
  EngineModel& model_;
  double speed_;
  std::function<void(const FinishedStep&)> on_step_;
  std::function<void()> on_begun_;
  net::Timer timer_;
  Time origin_;       // Real time of model time 0.
  Time paused_at_{};  // Real time; while paused.
  bool paused_ = false;
  bool running_steps_ = false;
  Time cursor_{};    // Model time at which the last step ended.
  Time step_end_{};  // While the model is stepping.
  Duration step_duration_{};
  std::uint32_t step_tokens_ = 0;
  std::vector<TokenEvent> events_;
};

}  // namespace fairlead::engine
