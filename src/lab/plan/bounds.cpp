// SPDX-License-Identifier: Apache-2.0
#include "lab/plan/bounds.h"

#include <algorithm>
#include <span>
#include <vector>

#include "lab/load/model/cache_bound.h"

namespace fairlead::plan {
namespace {

bool is_measured(const load::Workload& workload, const load::PlannedRequest& request) {
  return workload.stages[request.stage].kind == load::StageKind::kMeasured;
}

// Of one prompt alone on an idle engine, of which `cached` tokens are there.
double prefill_s(const engine::EngineProfile& profile, double prompt, double cached) {
  double seconds = profile.host_overhead_s;
  double done = cached;
  while (done < prompt) {
    const double chunk = std::min(prompt - done, static_cast<double>(profile.max_batched_tokens));
    seconds += std::max(profile.step_floor_s, profile.per_token_s * chunk) +
               profile.attention_s * chunk * (done + chunk / 2) + profile.per_sequence_s;
    done += chunk;
  }
  return seconds;
}

double ttft_floor(const world::PreparedWorkload& prepared, const load::NumberedBlocks& blocks,
                  const engine::EngineProfile& profile) {
  const load::Workload& workload = prepared.workload();
  std::vector<bool> seen(blocks.count());
  double sum = 0;
  std::uint64_t count = 0;
  for (std::uint32_t i = 0; i < workload.requests.size(); ++i) {
    const load::PlannedRequest& request = workload.requests[i];
    const std::span<const std::uint32_t> needed = blocks.of(i);
    const auto missing =
        std::ranges::find_if(needed, [&](std::uint32_t block) { return !seen[block]; });
    // The last token of a prompt is always computed, and with it the block that it is in.
    const std::uint64_t usable =
        (std::max(request.prompt_tokens, 1U) - 1) / prepared.engine_block_tokens();
    const auto found =
        std::min<std::uint64_t>(static_cast<std::uint64_t>(missing - needed.begin()), usable);
    for (auto block = missing; block != needed.end(); ++block) seen[*block] = true;
    if (!is_measured(workload, request)) continue;
    sum += prefill_s(profile, request.prompt_tokens,
                     static_cast<double>(found) * static_cast<double>(profile.block_size));
    ++count;
  }
  return count == 0 ? 0 : sum / static_cast<double>(count);
}

// Engine seconds that the request takes at least, `hit` being the share of its prompt that is
// found.
double engine_s(const engine::EngineProfile& profile, const load::PlannedRequest& request,
                double hit) {
  const double cached = hit * request.prompt_tokens;
  const double own = request.prompt_tokens - cached;
  const double output = request.output_tokens;
  // What a sequence has in memory that others cannot share.
  const double held = std::max(1.0, own + output / 2);
  const double batch = std::clamp(static_cast<double>(profile.kv_tokens) / held, 1.0,
                                  static_cast<double>(profile.max_num_seqs));
  const double context = request.prompt_tokens + output / 2;
  return std::max(profile.per_token_s * (own + output), profile.step_floor_s * output / batch) +
         profile.attention_s * own * (cached + own / 2) +
         output * (profile.kv_read_s * context + profile.per_sequence_s);
}

double fluid(const load::Workload& workload, const engine::EngineProfile& profile,
             std::uint32_t engines, double hit) {
  double busy = 0;
  double output = 0;
  for (const load::PlannedRequest& request : workload.requests) {
    if (!is_measured(workload, request)) continue;
    busy += engine_s(profile, request, hit);
    output += request.output_tokens;
  }
  double offered = 0;  // Seconds in which it all arrives.
  for (const load::Stage& stage : workload.stages) {
    const bool is_open = stage.concurrency == 0;
    if (is_open && stage.kind == load::StageKind::kMeasured) offered += to_seconds(stage.length);
  }
  const double lasts = std::max(busy / engines, offered);
  return lasts == 0 ? 0 : output / lasts;
}

load::NumberedBlocks numbered(const world::PreparedWorkload& prepared) {
  return {prepared.workload(), [&](std::size_t request) -> std::span<const std::uint64_t> {
            return *prepared.keys(static_cast<std::uint32_t>(request)).engine;
          }};
}

double pooled_hits(const world::PreparedWorkload& prepared, const load::NumberedBlocks& blocks,
                   const engine::EngineProfile& profile, std::uint32_t engines) {
  return load::pooled_hit_rate(prepared.workload(), blocks, prepared.engine_block_tokens(),
                               static_cast<std::uint64_t>(profile.kv_tokens) * engines);
}

}  // namespace

double fluid_output_tokens_per_s(const world::PreparedWorkload& prepared,
                                 const engine::EngineProfile& profile, std::uint32_t engines) {
  return fluid(prepared.workload(), profile, engines,
               pooled_hits(prepared, numbered(prepared), profile, engines));
}

Bounds bounds_of(const world::PreparedWorkload& prepared, const engine::EngineProfile& profile,
                 std::uint32_t engines) {
  const load::NumberedBlocks blocks = numbered(prepared);
  Bounds bounds;
  bounds.pooled_hit_rate = pooled_hits(prepared, blocks, profile, engines);
  bounds.belady_hit_rate =
      load::belady_hit_rate(prepared.workload(), blocks, prepared.engine_block_tokens(),
                            static_cast<std::uint64_t>(profile.kv_tokens) * engines);
  bounds.ttft_floor_s = ttft_floor(prepared, blocks, profile);
  bounds.fluid_output_tokens_per_s =
      fluid(prepared.workload(), profile, engines, bounds.pooled_hit_rate);
  return bounds;
}

}  // namespace fairlead::plan
