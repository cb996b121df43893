// SPDX-License-Identifier: Apache-2.0
// vLLM metrics: the few figures a router needs out of an engine's /metrics text (Prometheus
// exposition 0.0.4). Lines are hopped over by their first bytes; only the wanted names are read.
//
// Names of every vLLM version are known: gpu_cache_usage_perc and kv_cache_usage_perc, counters
// with and without _total, the gpu_ prefix of early V1. A newer name wins over an older one.
// The names of SGLang, TensorRT-LLM and Triton for the same figures are known too, but for their
// prefix caches; each engine's are its own, so that a text tells by itself whose it is.
// Several engines behind one server (label engine="0", "1", ...) are summed, but for kv_usage,
// which is the fullest one's: that is the one that preempts.
// Absent means absent: a field not in the text, or NaN, negative or infinite, stays empty. Text
// that is not an exposition yields an empty result; any() tells.
// Threads: a pure function; a reader belongs to one thread.
#pragma once

#include <cstddef>
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
  std::optional<double> prompt_tokens;  // Of prompts that had their first token, since the start.
  std::optional<double> first_tokens;   // Requests that had one, since the start.
  std::optional<std::uint64_t> block_size;  // Tokens a block.
  std::optional<std::uint64_t> num_gpu_blocks;
  std::optional<double> process_start_time;  // Unix seconds; a change means a restart.
  std::optional<LoraMetrics> lora;           // The newest series.

  [[nodiscard]] bool any() const;
  // What all KV blocks hold.
  [[nodiscard]] std::optional<double> kv_tokens() const;
};

[[nodiscard]] EngineMetrics parse_engine_metrics(std::string_view text);

// Reads one engine's texts, one after the other. The next text is nearly the last one again, so
// it is looked at only where the last one had what is wanted, and read whole when that is not
// there, or after kByPlaceMax texts read by their places: a family that appears is seen by then.
// Series that join or leave a known family are seen at once. The size of the engine's cache, whose
// lines are long and never change, is read with whole texts only and remembered in between.
class EngineMetricsReader {
 public:
  static constexpr unsigned kByPlaceMax = 15;
  static constexpr std::size_t kPlacesMax = 64;  // A text of more is no engine's.

  [[nodiscard]] EngineMetrics read(std::string_view text);
  std::uint64_t whole_reads() const { return whole_reads_; }

 private:
  struct Place {
    std::size_t at;    // Offset of a family's first sample.
    std::size_t name;  // Index of its name.
  };
  EngineMetrics read_whole(std::string_view text);
  std::optional<EngineMetrics> read_places(std::string_view text);

  std::vector<Place> places_;
  std::optional<std::uint64_t> block_size_;
  std::optional<std::uint64_t> num_gpu_blocks_;
  unsigned by_place_ = 0;
  std::uint64_t whole_reads_ = 0;
};

}  // namespace fairlead::codec
