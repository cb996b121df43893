// SPDX-License-Identifier: Apache-2.0
// One parse of a scrape as large as a real engine's: 60 kB, most of it histogram buckets; read
// whole, and by someone who has read the one before.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <string>

#include "core/codec/vllm_metrics.h"

namespace {

std::string large_text() {
  std::string text = "process_start_time_seconds 1.79542329616e+09\n";
  text += "vllm:num_requests_running{engine=\"0\",model_name=\"tiny\"} 3.0\n";
  text += "vllm:num_requests_waiting{engine=\"0\",model_name=\"tiny\"} 1.0\n";
  while (text.size() < 60'000) {
    text +=
        "vllm:time_to_first_token_seconds_bucket{engine=\"0\",le=\"0.001\",model_name=\"tiny\"} "
        "1052.0\n";
  }
  text += "vllm:kv_cache_usage_perc{engine=\"0\",model_name=\"tiny\"} 0.25\n";
  return text;
}

void parse(benchmark::State& state) {
  const std::string text = large_text();
  for (auto _ : state) {
    const auto metrics = fairlead::codec::parse_engine_metrics(text);
    if (metrics.kv_usage != 0.25 || metrics.waiting != 1.0) std::abort();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(text.size()));
}
BENCHMARK(parse);

void read_again(benchmark::State& state) {
  const std::string text = large_text();
  fairlead::codec::EngineMetricsReader reader;
  for (auto _ : state) {
    const auto metrics = reader.read(text);
    if (metrics.kv_usage != 0.25 || metrics.waiting != 1.0) std::abort();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(text.size()));
}
BENCHMARK(read_again);

}  // namespace
