// SPDX-License-Identifier: Apache-2.0
#include "core/codec/vllm_metrics.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <limits>

namespace fairlead::codec {

namespace {

enum class Wanted : std::uint8_t {
  kWaiting,
  kRunning,
  kKvUsage,
  kPrefixQueries,
  kPrefixHits,
  kCacheConfig,
  kLora,
  kProcessStart,
};
constexpr std::size_t kWantedCount = 8;

struct Name {
  std::string_view text;  // Behind "vllm:".
  Wanted wanted;
  std::uint8_t rank;  // Of the names for one figure the highest one present counts.
};

constexpr std::array kNames{
    Name{"num_requests_waiting", Wanted::kWaiting, 1},
    Name{"num_requests_running", Wanted::kRunning, 1},
    Name{"kv_cache_usage_perc", Wanted::kKvUsage, 2},
    Name{"gpu_cache_usage_perc", Wanted::kKvUsage, 1},
    Name{"prefix_cache_queries_total", Wanted::kPrefixQueries, 4},
    Name{"prefix_cache_queries", Wanted::kPrefixQueries, 3},
    Name{"gpu_prefix_cache_queries_total", Wanted::kPrefixQueries, 2},
    Name{"gpu_prefix_cache_queries", Wanted::kPrefixQueries, 1},
    Name{"prefix_cache_hits_total", Wanted::kPrefixHits, 4},
    Name{"prefix_cache_hits", Wanted::kPrefixHits, 3},
    Name{"gpu_prefix_cache_hits_total", Wanted::kPrefixHits, 2},
    Name{"gpu_prefix_cache_hits", Wanted::kPrefixHits, 1},
    Name{"cache_config_info", Wanted::kCacheConfig, 1},
    Name{"lora_requests_info", Wanted::kLora, 1},
};

constexpr std::string_view kEnginePrefix = "vllm:";
constexpr std::string_view kProcessStartName = "process_start_time_seconds";

bool is_blank(char c) { return c == ' ' || c == '\t'; }

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && (is_blank(text.back()) || text.back() == '\r')) text.remove_suffix(1);
  return text;
}

// Splits `line` behind its name into the inside of the braces and the value, or returns false.
// Braces and commas may occur in quoted label values.
bool split(std::string_view rest, std::string_view& labels, std::string_view& value) {
  labels = {};
  rest = trim(rest);
  if (rest.starts_with('{')) {
    bool quoted = false;
    std::size_t at = 1;
    for (; at < rest.size() && (quoted || rest[at] != '}'); ++at) {
      if (quoted && rest[at] == '\\') {
        ++at;
      } else if (rest[at] == '"') {
        quoted = !quoted;
      }
    }
    if (at >= rest.size()) return false;
    labels = rest.substr(1, at - 1);
    rest = trim(rest.substr(at + 1));
  }
  value = rest.substr(0, rest.find_first_of(" \t"));  // A time stamp may follow.
  return !value.empty();
}

// False for NaN, infinities, negative and absurd values and what is no number.
bool parse_figure(std::string_view text, double& out) {
  constexpr double kMost = 1e18;  // Sums of these stay finite.
  if (text.starts_with('+')) text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && end == text.data() + text.size() && out >= 0 && out <= kMost;
}

// The value of a label, unescaped only so far as the router's labels need: not at all.
bool find_label(std::string_view labels, std::string_view name, std::string_view& value) {
  while (!labels.empty()) {
    const std::size_t equals = labels.find('=');
    if (equals == std::string_view::npos) return false;
    const std::string_view label = trim(labels.substr(0, equals));
    labels.remove_prefix(equals + 1);
    labels = trim(labels);
    if (!labels.starts_with('"')) return false;
    std::size_t end = 1;
    while (end < labels.size() && labels[end] != '"') end += labels[end] == '\\' ? 2 : 1;
    if (end >= labels.size()) return false;
    if (label == name) {
      value = labels.substr(1, end - 1);
      return true;
    }
    labels.remove_prefix(end + 1);
    while (!labels.empty() && (is_blank(labels.front()) || labels.front() == ',')) {
      labels.remove_prefix(1);
    }
  }
  return false;
}

bool find_count(std::string_view labels, std::string_view name, std::uint64_t& out) {
  std::string_view text;
  if (!find_label(labels, name, text)) return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && end == text.data() + text.size();
}

std::vector<std::string> split_names(std::string_view list) {
  std::vector<std::string> names;
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    const std::string_view name = trim(list.substr(0, comma));
    if (!name.empty()) names.emplace_back(name);
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return names;
}

class Scrape {
 public:
  void line(std::string_view text) {
    if (text.starts_with(kEnginePrefix)) {
      text.remove_prefix(kEnginePrefix.size());
      for (const Name& name : kNames) {
        if (!text.starts_with(name.text)) continue;
        const std::string_view rest = text.substr(name.text.size());
        if (rest.starts_with('{') || (!rest.empty() && is_blank(rest.front()))) {
          return sample(name.wanted, name.rank, rest);
        }
      }
    } else if (text.starts_with(kProcessStartName)) {
      sample(Wanted::kProcessStart, 1, text.substr(kProcessStartName.size()));
    }
  }

  EngineMetrics take() { return std::move(metrics_); }

 private:
  void sample(Wanted wanted, std::uint8_t rank, std::string_view rest);
  void cache_config(std::string_view labels);
  void lora(std::string_view labels, double written_at);

  static void add(std::optional<double>& total, double value) { total = total.value_or(0) + value; }

  EngineMetrics metrics_;
  std::array<std::uint8_t, kWantedCount> ranks_{};
  double lora_written_at_ = -1;
};

void Scrape::sample(Wanted wanted, std::uint8_t rank, std::string_view rest) {
  std::string_view labels;
  std::string_view text;
  double value = 0;
  if (!split(rest, labels, text) || !parse_figure(text, value)) return;

  std::uint8_t& known_rank = ranks_[static_cast<std::size_t>(wanted)];
  if (rank < known_rank) return;
  const bool replaces = rank > known_rank && known_rank > 0;
  known_rank = rank;

  switch (wanted) {
    case Wanted::kWaiting:
      return add(metrics_.waiting, value);
    case Wanted::kRunning:
      return add(metrics_.running, value);
    case Wanted::kKvUsage:
      if (replaces) metrics_.kv_usage.reset();
      metrics_.kv_usage = std::max(metrics_.kv_usage.value_or(0), std::min(value, 1.0));
      return;
    case Wanted::kPrefixQueries:
      if (replaces) metrics_.prefix_queries.reset();
      return add(metrics_.prefix_queries, value);
    case Wanted::kPrefixHits:
      if (replaces) metrics_.prefix_hits.reset();
      return add(metrics_.prefix_hits, value);
    case Wanted::kCacheConfig:
      return cache_config(labels);
    case Wanted::kLora:
      return lora(labels, value);
    case Wanted::kProcessStart:
      metrics_.process_start_time = value;
      return;
  }
}

void Scrape::cache_config(std::string_view labels) {
  std::uint64_t count = 0;
  if (find_count(labels, "block_size", count) && count > 0) metrics_.block_size = count;
  constexpr std::uint64_t kSaneBlocks = std::uint64_t{1} << 48;
  if (find_count(labels, "num_gpu_blocks", count) && count < kSaneBlocks) {
    metrics_.num_gpu_blocks = std::min(metrics_.num_gpu_blocks.value_or(0) + count, kSaneBlocks);
  }
}

// Every change of the adapter sets makes a new series whose value is the time of the change, and
// the old ones stay in the text.
void Scrape::lora(std::string_view labels, double written_at) {
  if (written_at < lora_written_at_) return;
  lora_written_at_ = written_at;
  LoraMetrics& lora = metrics_.lora.emplace();
  std::string_view list;
  if (find_label(labels, "running_lora_adapters", list)) lora.running = split_names(list);
  if (find_label(labels, "waiting_lora_adapters", list)) lora.waiting = split_names(list);
  std::uint64_t max_lora = 0;
  if (find_count(labels, "max_lora", max_lora)) {
    lora.max_lora = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(max_lora, std::numeric_limits<std::uint32_t>::max()));
  }
}

}  // namespace

bool EngineMetrics::any() const {
  return waiting || running || kv_usage || prefix_queries || prefix_hits || block_size ||
         num_gpu_blocks || process_start_time || lora;
}

EngineMetrics parse_engine_metrics(std::string_view text) {
  Scrape scrape;
  while (!text.empty()) {
    // Most lines are comments and histogram buckets: one look at the first byte and on.
    const void* newline = std::memchr(text.data(), '\n', text.size());
    const std::size_t size =
        newline == nullptr
            ? text.size()
            : static_cast<std::size_t>(static_cast<const char*>(newline) - text.data());
    if (text.front() == 'v' || text.front() == 'p') scrape.line(text.substr(0, size));
    text.remove_prefix(std::min(size + 1, text.size()));
  }
  return scrape.take();
}

}  // namespace fairlead::codec
