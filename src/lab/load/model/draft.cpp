// SPDX-License-Identifier: Apache-2.0
#include "lab/load/model/draft.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace fairlead::load {
namespace {

// Those of one time keep their order.
void sort_by_time(std::vector<PlannedRequest>& requests) {
  std::vector<std::pair<Duration, std::size_t>> order;
  order.reserve(requests.size());
  for (std::size_t i = 0; i < requests.size(); ++i) order.emplace_back(requests[i].at, i);
  std::ranges::sort(order);
  std::vector<PlannedRequest> sorted;
  sorted.reserve(requests.size());
  for (const auto& [at, index] : order) sorted.push_back(requests[index]);
  requests = std::move(sorted);
}

}  // namespace

Draft::Prompt Draft::keep(std::span<const PromptPart> parts, std::uint32_t answer_parts) {
  FAIRLEAD_ASSERT(parts.size() >= answer_parts);
  Prompt prompt;
  prompt.first_part = static_cast<std::uint32_t>(workload_.parts.size());
  const std::size_t prompt_parts = parts.size() - answer_parts;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (parts[i].tokens == 0) continue;
    workload_.parts.push_back(parts[i]);
    if (i >= prompt_parts) {
      ++prompt.answer_parts;
    } else {
      ++prompt.part_count;
      prompt.tokens += parts[i].tokens;
    }
  }
  return prompt;
}

void Draft::add(double at_s, const Prompt& prompt, std::uint32_t output_tokens,
                std::uint32_t group) {
  if (!within(at_s) || full()) return;
  PlannedRequest request;
  request.at = from_seconds(at_s);
  request.prompt_tokens = prompt.tokens;
  request.output_tokens = output_tokens;
  request.first_part = prompt.first_part;
  request.part_count = prompt.part_count;
  request.answer_parts = prompt.answer_parts;
  request.group = group;
  workload_.requests.push_back(request);
}

void Draft::add_once(double at_s, std::span<const PromptPart> parts, std::uint32_t answer_parts,
                     std::uint32_t output_tokens, std::uint32_t group) {
  if (within(at_s) && !full()) add(at_s, keep(parts, answer_parts), output_tokens, group);
}

std::uint32_t Draft::new_groups(std::uint32_t count) {
  const std::uint32_t first = workload_.group_count;
  workload_.group_count += count;
  return first;
}

Result<Workload> Draft::finish(std::string name, std::size_t limit) && {
  if (full()) {
    return fail(ErrorCode::kLimitExceeded,
                "workload {} has more than {} requests or {} parts of prompts; lower rate, "
                "length_s, turns or steps",
                name, kRequestsMax, kPartsMax);
  }
  std::vector<PlannedRequest>& requests = workload_.requests;
  if (requests.empty()) {
    return fail(ErrorCode::kInvalidArgument,
                "workload {} sends no request: raise rate or length_s, or context_tokens", name);
  }
  sort_by_time(requests);
  Stage stage;
  stage.length = from_seconds(length_s_);
  if (requests.size() > limit) {
    requests.resize(limit);
    stage.length = std::max(requests.back().at, Duration(1));
  }
  stage.name = name;
  stage.request_count = static_cast<std::uint32_t>(requests.size());
  stage.rate = static_cast<double>(requests.size()) / to_seconds(stage.length);
  workload_.stages.push_back(std::move(stage));
  workload_.name = std::move(name);
  return std::move(workload_);
}

}  // namespace fairlead::load
