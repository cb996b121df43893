// SPDX-License-Identifier: Apache-2.0
#include "lab/engine/step_driver.h"

#include <algorithm>
#include <utility>

namespace fairlead::engine {
namespace {

// Steps without a look at the sockets; the rest of the overdue ones wait for the next turn.
constexpr int kStepsPerTurn = 64;

}  // namespace

StepDriver::StepDriver(net::EventLoop& loop, EngineModel& model, double speed,
                       std::function<void(const FinishedStep&)> on_step)
    : loop_(loop),
      model_(model),
      speed_(speed),
      on_step_(std::move(on_step)),
      timer_(loop, [this] { run_due_steps(); }),
      origin_(loop.now()) {}

Time StepDriver::model_now() const {
  const Duration real = (paused_ ? paused_at_ : loop_.now()) - origin_;
  return Time(from_seconds(to_seconds(real) * speed_));
}

// Never before the model time is due, or the timer would fire for nothing.
Time StepDriver::real_time_of(Time model_time) const {
  return origin_ + from_seconds(to_seconds(model_time) / speed_) + Duration(1);
}

Result<SequenceId> StepDriver::submit(Submission submission) {
  auto id = model_.submit(std::move(submission), model_now());
  if (id && !running_steps_ && !model_.stepping()) plan();
  return id;
}

void StepDriver::plan() {
  if (paused_) return;
  if (model_.stepping()) {
    timer_.arm_at(real_time_of(step_end_));
  } else if (const auto at = model_.next_step_at(cursor_)) {
    timer_.arm_at(real_time_of(*at));
  }
}

void StepDriver::run_due_steps() {
  if (paused_) return;
  running_steps_ = true;
  const Time now = model_now();
  for (int i = 0; i < kStepsPerTurn; ++i) {
    if (!take_step(now)) break;
  }
  running_steps_ = false;
  plan();
}

// Ends the step under way, or begins the next, if that is due.
bool StepDriver::take_step(Time now) {
  if (!model_.stepping()) {
    const auto at = model_.next_step_at(cursor_);
    if (!at || *at > now) return false;
    const auto step = model_.begin_step(*at);
    if (!step) return false;
    step_end_ = *at + step->duration;
    step_duration_ = from_seconds(to_seconds(step->duration) / speed_);
    step_tokens_ = step->prefill_tokens + step->decode_tokens;
    if (on_begun_) on_begun_();
    return step_end_ <= now;
  }
  if (step_end_ > now) return false;
  events_.clear();
  model_.finish_step(events_);
  cursor_ = step_end_;
  on_step_({.events = events_,
            .lag = std::max(loop_.now() - real_time_of(step_end_), Duration::zero()),
            .duration = step_duration_,
            .tokens = step_tokens_});
  return true;
}

void StepDriver::pause() {
  if (paused_) return;
  paused_at_ = loop_.now();
  paused_ = true;
  timer_.cancel();
}

void StepDriver::resume() {
  if (!paused_) return;
  paused_ = false;
  origin_ += loop_.now() - paused_at_;
  plan();
}

void StepDriver::reset() {
  model_.reset();
  timer_.cancel();
  // Model time goes on, but nothing of the past is due any more.
  cursor_ = model_now();
}

}  // namespace fairlead::engine
