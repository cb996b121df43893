// SPDX-License-Identifier: Apache-2.0
// EngineProfile: what makes one simulated engine fast or slow, as read from data/engines/*.yaml.
//
// Times are in seconds of model time and sizes in tokens. A step of the engine lasts
//   max(step_floor_s, per_token_s * T) + attention_s * sum(chunk * (context_before + chunk / 2))
//   + kv_read_s * sum(context of decodes) + per_sequence_s * B
// with T the tokens and B the sequences of the step.
// parse_profile() takes text, is strict, and reports every fault at once, one a line, as
// core/config does. Threads: values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace fairlead::engine {

struct EngineProfile {
  std::string name;
  std::string model;

  std::int64_t kv_tokens = 0;  // KV cache capacity; a tail smaller than a block is lost.
  std::int64_t block_size = 64;
  std::int64_t max_batched_tokens = 8192;  // Token budget of one step.
  std::int64_t max_num_seqs = 256;         // Running sequences at once.
  std::int64_t max_model_len = 0;          // Prompt and output together.
  std::int64_t max_loras = 1;              // Different adapters running at once.
  // A step is planned when the one before it begins, as by vLLM from v0.14 on, so that the GPU does
  // not wait for the scheduler: who arrives during a step is in the one after the next.
  bool async_scheduling = true;

  double step_floor_s = 0;     // Reading the weights once.
  double per_token_s = 0;      // Dense compute per token in the step.
  double attention_s = 0;      // Per prefilled token and token of its context.
  double kv_read_s = 0;        // Per context token of a decoding sequence.
  double per_sequence_s = 0;   // Sampler, and a scheduler that is waited for, per sequence.
  double host_overhead_s = 0;  // HTTP, tokenising and detokenising, once a request.
  double noise_sigma = 0;      // Lognormal factor of mean 1 on each step; 0 is exact.
};

// The same engine on hardware of `speed` times the speed, above 0: all of a step but not the host.
EngineProfile at_speed(EngineProfile profile, double speed);

// Whether an engine could run with these numbers: a request of max_model_len must fit the cache.
[[nodiscard]] Result<void> validate(const EngineProfile& profile);

// `file` names the text in errors.
[[nodiscard]] Result<EngineProfile> parse_profile(std::string_view text, std::string_view file);

}  // namespace fairlead::engine
