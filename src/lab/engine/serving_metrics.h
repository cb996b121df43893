// SPDX-License-Identifier: Apache-2.0
// ServingMetrics: what one simulated engine counts, and its /metrics text, with vLLM's names, those
// of older versions too. The unchanging part of every line is rendered once, so that a page costs a
// few microseconds. Times are in seconds of real time, as the engine's clients measure them.
// Threads: thread-compatible. Source: the exposition of vLLM 0.32 and, for older names,
// vLLM 0.6 to 0.10.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"

namespace fairlead::engine {

enum class Count : std::uint8_t {
  kPromptTokens,
  kGenerationTokens,
  kFinishedStop,
  kFinishedLength,
  kFinishedAbort,
  kFinishedError,
  kRejected,     // max_waiting.
  kClientsGone,  // Requests whose client left before the end.
};
inline constexpr std::size_t kCountCount = 8;

enum class Sample : std::uint8_t {
  kPromptTokens,
  kGenerationTokens,
  kStepTokens,
  kTimeToFirstToken,
  kInterTokenLatency,
  kTimePerOutputToken,  // Mean over a request.
  kEndToEnd,
  kQueueTime,
  kInferenceTime,
  kPrefillTime,
  kDecodeTime,
  kStepTime,
  kLag,
};
inline constexpr std::size_t kSampleCount = 13;

// What is true at the moment of the scrape and kept elsewhere.
struct EngineReadings {
  double running = 0;
  double waiting = 0;
  double kv_usage = 0;
  std::uint64_t prefix_queries = 0;
  std::uint64_t prefix_hits = 0;
  std::uint64_t preemptions = 0;
  // Comma-separated names; max_adapters 0: LoRA is off and the series left out.
  std::string running_adapters;
  std::string waiting_adapters;
  std::int64_t max_adapters = 0;
  double unix_seconds = 0;
};

struct EngineIdentity {
  std::string model_name;
  std::int64_t block_size = 0;
  std::int64_t num_gpu_blocks = 0;
};

class ServingMetrics {
 public:
  explicit ServingMetrics(const EngineIdentity& identity);

  void add(Count which, std::uint64_t by = 1) { counts_[static_cast<std::size_t>(which)] += by; }
  std::uint64_t count(Count which) const { return counts_[static_cast<std::size_t>(which)]; }
  void observe(Sample which, double value, std::uint64_t times = 1);
  void observe(Sample which, Duration value) { observe(which, to_seconds(value)); }

  // All counters are 0 again, as after a start at this moment.
  void restart(double unix_seconds);

  void render(std::string& out, const EngineReadings& now) const;

 private:
  struct Histogram {
    std::vector<double> bounds;
    std::vector<std::uint64_t> counts;  // One more: +Inf.
    double sum = 0;
    std::string header;
    std::vector<std::string> bucket_lines;  // All but the value.
    std::string sum_line;
    std::string count_line;
  };
  void build_histogram(Sample which, std::string_view name, std::string_view help,
                       std::vector<double> bounds);
  void line(std::string& out, std::string_view type, std::string_view name, double value,
            std::string_view more_labels = {}) const;
  void render_counts(std::string& out, const EngineReadings& now) const;
  void render_adapters(std::string& out, const EngineReadings& now) const;
  static void render_histogram(std::string& out, const Histogram& histogram);

  std::string labels_;  // engine="0",model_name="..."
  std::string cache_config_;
  double start_seconds_ = 0;
  std::array<std::uint64_t, kCountCount> counts_{};
  std::array<Histogram, kSampleCount> histograms_;
};

}  // namespace fairlead::engine
