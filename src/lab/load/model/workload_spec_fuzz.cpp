// SPDX-License-Identifier: Apache-2.0
// Any bytes are a workload file: refused with a message, or planned the same twice, in order and
// within the run.
#include <algorithm>
#include <string_view>

#include "base/assert.h"
#include "lab/load/model/workload_plan.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace fairlead::load;
  const auto spec = parse_workload({reinterpret_cast<const char*>(data), size}, "fuzz.yaml");
  if (!spec) {
    FAIRLEAD_ASSERT(!spec.error().message.empty());
    return 0;
  }
  // Larger ones are planned alike, but each takes a fuzzer's second.
  const bool ladder = std::holds_alternative<Ladder>(spec->traffic);
  if (ladder || spec->rate * (spec->length_s + spec->lead_s) > 1000) return 0;
  const auto workload = plan_workload(*spec, spec->seed, nullptr);
  const auto again = plan_workload(*spec, spec->seed, nullptr);
  FAIRLEAD_ASSERT(workload.has_value() == again.has_value());
  if (!workload) {
    FAIRLEAD_ASSERT(!workload.error().message.empty());
    return 0;
  }
  FAIRLEAD_ASSERT(workload->parts == again->parts);
  FAIRLEAD_ASSERT(std::ranges::is_sorted(workload->requests, {}, &PlannedRequest::at));
  for (const PlannedRequest& request : workload->requests) {
    FAIRLEAD_ASSERT(request.prompt_tokens > 0 && request.output_tokens > 0);
    FAIRLEAD_ASSERT(request.at <= workload->stages[0].length);
    FAIRLEAD_ASSERT(request.group == kNoGroup || request.group < workload->group_count);
    std::uint64_t tokens = 0;
    for (const PromptPart& part : workload->prompt(request)) tokens += part.tokens;
    FAIRLEAD_ASSERT(tokens == request.prompt_tokens);
  }
  return 0;
}
