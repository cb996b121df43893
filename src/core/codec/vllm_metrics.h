// SPDX-License-Identifier: Apache-2.0
// vLLM metrics: the few figures a router needs out of an engine's /metrics text (Prometheus
// exposition 0.0.4). Lines are hopped over by their first bytes; only the wanted names are read.
//
// Names of every vLLM version are known: gpu_cache_usage_perc and kv_cache_usage_perc, counters
// with and without _total, the gpu_ prefix of early V1. A newer name wins over an older one.
// Several engines behind one server (label engine="0", "1", ...) are summed, but for kv_usage,
// which is the fullest one's: that is the one that preempts.
// Absent means absent: a field not in the text, or NaN, negative or infinite, stays empty. Text
// that is not an exposition yields an empty result; any() tells. Threads: pure function.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fairlead::codec {

struct LoraMetrics {
  std::vector<std::string> running;
  std::vector<std::string> waiting;
  std::uint32_t max_lora = 0;
};

struct EngineMetrics {
  std::optional<double> waiting;         // Requests.
  std::optional<double> running;         // Requests.
  std::optional<double> kv_usage;        // In [0, 1].
  std::optional<double> prefix_queries;  // Tokens since the engine started (blocks in old V1).
  std::optional<double> prefix_hits;
  std::optional<std::uint64_t> block_size;  // Tokens a block.
  std::optional<std::uint64_t> num_gpu_blocks;
  std::optional<double> process_start_time;  // Unix seconds; a change means a restart.
  std::optional<LoraMetrics> lora;           // The newest series.

  [[nodiscard]] bool any() const;
};

[[nodiscard]] EngineMetrics parse_engine_metrics(std::string_view text);

}  // namespace fairlead::codec
