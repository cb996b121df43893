// SPDX-License-Identifier: Apache-2.0
// Workload: every request of a run, planned before it starts, in stages. One representation serves
// virtual time (lab/world) and real time (the HTTP driver). Times are model time and relative to
// the start of the request's stage, because a stage starts only when the one before it has drained
// and its pause is over; load/model/pacer.h walks a workload by these rules.
// Values; immutable once planned, so readable from any thread.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "base/time.h"
#include "lab/load/model/prompt_content.h"

namespace fairlead::load {

inline constexpr std::uint32_t kNoGroup = std::numeric_limits<std::uint32_t>::max();

struct PlannedRequest {
  Duration at{};  // After the start of its stage; unused in a closed loop.
  std::uint32_t prompt_tokens = 0;
  std::uint32_t output_tokens = 0;
  std::uint32_t first_part = 0;  // In Workload::parts; requests with one prompt share its parts.
  std::uint32_t part_count = 0;
  // Parts after those of the prompt that are the answer, where a later prompt repeats it.
  std::uint32_t answer_parts = 0;
  std::uint32_t stage = 0;
  std::uint32_t group = kNoGroup;  // The shared prefix it belongs to, where the generator knows.
};

enum class StageKind {
  kMeasured,
  kWarmUp,  // Sent like any other, left out of the summary.
};

struct Stage {
  std::string name;
  StageKind kind = StageKind::kMeasured;
  double rate = 0;                // Offered requests a second of model time; 0 in a closed loop.
  std::uint32_t concurrency = 0;  // Requests kept in flight: a closed loop when above 0.
  // Open loop: the span of the arrivals. Closed loop: nothing is sent later than this; 0 is no
  // limit.
  Duration length{};
  Duration pause_after{};  // Idle time after the drain, before the next stage.
  std::uint32_t first_request = 0;
  std::uint32_t request_count = 0;
};

struct Workload {
  std::string name;
  std::uint32_t group_count = 0;
  std::vector<PromptPart> parts;
  std::vector<PlannedRequest> requests;  // By stage, then by time.
  std::vector<Stage> stages;

  std::span<const PromptPart> prompt(const PlannedRequest& request) const {
    return std::span(parts).subspan(request.first_part, request.part_count);
  }
  // The prompt, and the answer as far as a later prompt repeats it: an engine that gives this
  // answer has all of it cached at its end.
  std::span<const PromptPart> prompt_and_answer(const PlannedRequest& request) const {
    return std::span(parts).subspan(request.first_part, request.part_count + request.answer_parts);
  }
};

}  // namespace fairlead::load
