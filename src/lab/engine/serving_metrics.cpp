// SPDX-License-Identifier: Apache-2.0
#include "lab/engine/serving_metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

namespace fairlead::engine {
namespace {

std::vector<double> token_bounds() {
  return {1,    2,    5,    10,     20,     50,     100,     200,    500,
          1000, 2000, 5000, 10'000, 20'000, 50'000, 100'000, 200'000};
}
std::vector<double> step_bounds() {
  return {1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16'384};
}
std::vector<double> first_token_bounds() {
  return {.001, .005, .01, .02, .04, .06, .08, .1, .25, .5,  .75,
          1,    2.5,  5,   7.5, 10,  20,  40,  80, 160, 640, 2560};
}
std::vector<double> token_time_bounds() {
  return {.01, .025, .05, .075, .1, .15, .2, .3, .4, .5, .75, 1, 2.5, 5, 7.5, 10, 20, 40, 80};
}
std::vector<double> request_bounds() {
  return {.3, .5, .8, 1,  1.5, 2,   2.5, 5,   10,   15,  20,
          30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680};
}
std::vector<double> lag_bounds() { return {.0001, .0003, .001, .003, .01, .03, .1, .3, 1, 3, 10}; }

void append_value(std::string& out, double value) {
  fmt::format_to(std::back_inserter(out), "{}", value);
}

void append_count(std::string& out, std::uint64_t value) {
  const fmt::format_int text(value);
  out.append(text.data(), text.size());
}

std::string escaped(std::string_view value) {
  std::string out;
  for (const char c : value) {
    if (c == '\\' || c == '"') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

}  // namespace

ServingMetrics::ServingMetrics(const EngineIdentity& identity)
    : labels_(fmt::format(R"(engine="0",model_name="{}")", escaped(identity.model_name))),
      cache_config_(fmt::format(
          R"(block_size="{}",cache_dtype="auto",enable_prefix_caching="True",engine="0",)"
          R"(gpu_memory_utilization="0.9",num_gpu_blocks="{}",prefix_caching_hash_algo="xxh3")",
          identity.block_size, identity.num_gpu_blocks)) {
  build_histogram(Sample::kPromptTokens, "vllm:request_prompt_tokens",
                  "Prompt tokens of a request.", token_bounds());
  build_histogram(Sample::kGenerationTokens, "vllm:request_generation_tokens",
                  "Output tokens of a request.", token_bounds());
  build_histogram(Sample::kStepTokens, "vllm:iteration_tokens_total", "Tokens computed in a step.",
                  step_bounds());
  build_histogram(Sample::kTimeToFirstToken, "vllm:time_to_first_token_seconds",
                  "From arrival to the first token.", first_token_bounds());
  build_histogram(Sample::kInterTokenLatency, "vllm:inter_token_latency_seconds",
                  "Between tokens of a request.", token_time_bounds());
  build_histogram(Sample::kTimePerOutputToken, "vllm:request_time_per_output_token_seconds",
                  "Mean time between tokens over a request.", token_time_bounds());
  build_histogram(Sample::kEndToEnd, "vllm:e2e_request_latency_seconds",
                  "From arrival to the last token.", request_bounds());
  build_histogram(Sample::kQueueTime, "vllm:request_queue_time_seconds", "In the waiting queue.",
                  request_bounds());
  build_histogram(Sample::kInferenceTime, "vllm:request_inference_time_seconds",
                  "In the running state.", request_bounds());
  build_histogram(Sample::kPrefillTime, "vllm:request_prefill_time_seconds",
                  "From leaving the queue to the first token.", request_bounds());
  build_histogram(Sample::kDecodeTime, "vllm:request_decode_time_seconds",
                  "From the first to the last token.", request_bounds());
  build_histogram(Sample::kStepTime, "fairlead_engine_step_seconds",
                  "How long a step takes by the latency model.", token_time_bounds());
  build_histogram(Sample::kLag, "fairlead_engine_lag_seconds",
                  "By how much a step ended later than the latency model says.", lag_bounds());
}

void ServingMetrics::build_histogram(Sample which, std::string_view name, std::string_view help,
                                     std::vector<double> bounds) {
  Histogram& histogram = histograms_[static_cast<std::size_t>(which)];
  histogram.header = fmt::format("# HELP {} {}\n# TYPE {} histogram\n", name, help, name);
  for (const double bound : bounds) {
    histogram.bucket_lines.push_back(
        fmt::format(R"({}_bucket{{{},le="{}"}} )", name, labels_, bound));
  }
  histogram.bucket_lines.push_back(fmt::format(R"({}_bucket{{{},le="+Inf"}} )", name, labels_));
  histogram.sum_line = fmt::format("{}_sum{{{}}} ", name, labels_);
  histogram.count_line = fmt::format("{}_count{{{}}} ", name, labels_);
  histogram.counts.resize(bounds.size() + 1);
  histogram.bounds = std::move(bounds);
}

void ServingMetrics::observe(Sample which, double value, std::uint64_t times) {
  Histogram& histogram = histograms_[static_cast<std::size_t>(which)];
  const auto bucket = std::ranges::lower_bound(histogram.bounds, value) - histogram.bounds.begin();
  histogram.counts[static_cast<std::size_t>(bucket)] += times;
  histogram.sum += value * static_cast<double>(times);
}

void ServingMetrics::restart(double unix_seconds) {
  start_seconds_ = unix_seconds;
  counts_.fill(0);
  for (Histogram& histogram : histograms_) {
    std::ranges::fill(histogram.counts, 0U);
    histogram.sum = 0;
  }
}

void ServingMetrics::line(std::string& out, std::string_view type, std::string_view name,
                          double value, std::string_view more_labels) const {
  if (!type.empty()) {
    fmt::format_to(std::back_inserter(out), "# HELP {} As vLLM defines it.\n# TYPE {} {}\n", name,
                   name, type);
  }
  out += name;
  out += '{';
  out += labels_;
  out += more_labels;
  out += "} ";
  append_value(out, value);
  out += '\n';
}

void ServingMetrics::render_counts(std::string& out, const EngineReadings& now) const {
  const auto counted = [&](Count which) { return static_cast<double>(count(which)); };
  const auto queries = static_cast<double>(now.prefix_queries);
  const auto hits = static_cast<double>(now.prefix_hits);
  line(out, "gauge", "vllm:num_requests_running", now.running);
  line(out, "gauge", "vllm:num_requests_waiting", now.waiting);
  line(out, "gauge", "vllm:kv_cache_usage_perc", now.kv_usage);
  line(out, "gauge", "vllm:gpu_cache_usage_perc", now.kv_usage);
  line(out, "counter", "vllm:prefix_cache_queries_total", queries);
  line(out, "counter", "vllm:prefix_cache_hits_total", hits);
  line(out, "counter", "vllm:gpu_prefix_cache_queries_total", queries);
  line(out, "counter", "vllm:gpu_prefix_cache_hits_total", hits);
  line(out, "counter", "vllm:num_preemptions_total", static_cast<double>(now.preemptions));
  line(out, "counter", "vllm:prompt_tokens_total", counted(Count::kPromptTokens));
  line(out, "counter", "vllm:generation_tokens_total", counted(Count::kGenerationTokens));
  constexpr std::string_view kSuccess = "vllm:request_success_total";
  line(out, "counter", kSuccess, counted(Count::kFinishedStop), R"(,finished_reason="stop")");
  line(out, {}, kSuccess, counted(Count::kFinishedLength), R"(,finished_reason="length")");
  line(out, {}, kSuccess, counted(Count::kFinishedAbort), R"(,finished_reason="abort")");
  line(out, {}, kSuccess, counted(Count::kFinishedError), R"(,finished_reason="error")");
  line(out, "counter", "vllm:admission_rejections_total", counted(Count::kRejected),
       R"(,reason="max_num_queued_reqs")");
  line(out, "counter", "fairlead_engine_clients_gone_total", counted(Count::kClientsGone));
}

// The newest of these series counts, so vLLM's value is a time.
void ServingMetrics::render_adapters(std::string& out, const EngineReadings& now) const {
  if (now.max_adapters == 0) return;
  fmt::format_to(std::back_inserter(out),
                 "# HELP vllm:lora_requests_info Running stats on lora requests.\n"
                 "# TYPE vllm:lora_requests_info gauge\n"
                 R"(vllm:lora_requests_info{{max_lora="{}",running_lora_adapters="{}",)"
                 "waiting_lora_adapters=\"{}\"}} {}\n",
                 now.max_adapters, escaped(now.running_adapters), escaped(now.waiting_adapters),
                 now.unix_seconds);
}

void ServingMetrics::render_histogram(std::string& out, const Histogram& histogram) {
  out += histogram.header;
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < histogram.counts.size(); ++i) {
    total += histogram.counts[i];
    out += histogram.bucket_lines[i];
    append_count(out, total);
    out += '\n';
  }
  out += histogram.sum_line;
  append_value(out, histogram.sum);
  out += '\n';
  out += histogram.count_line;
  append_count(out, total);
  out += '\n';
}

void ServingMetrics::render(std::string& out, const EngineReadings& now) const {
  fmt::format_to(std::back_inserter(out),
                 "# HELP process_start_time_seconds Start time of the process since unix epoch.\n"
                 "# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds {}\n",
                 start_seconds_);
  fmt::format_to(std::back_inserter(out),
                 "# HELP vllm:cache_config_info Information of the LLMEngine CacheConfig\n"
                 "# TYPE vllm:cache_config_info gauge\nvllm:cache_config_info{{{}}} 1\n",
                 cache_config_);
  render_counts(out, now);
  render_adapters(out, now);
  for (const Histogram& histogram : histograms_) render_histogram(out, histogram);
}

}  // namespace fairlead::engine
