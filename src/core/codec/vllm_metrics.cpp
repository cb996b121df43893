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
  kPromptTokens,
  kFirstTokens,
  kCacheConfig,
  kLora,
  kProcessStart,
  kBlockSize,
  kBlockCount,
  kTritonRequests,  // By label request_type.
  kTritonBlocks,    // By label kv_cache_block_type.
};
constexpr std::size_t kWantedCount = 14;

struct Name {
  std::string_view text;
  Wanted wanted;
  std::uint8_t rank;  // Of the names for one figure the highest one present counts.
};

constexpr std::array kNames{
    Name{"vllm:num_requests_waiting", Wanted::kWaiting, 1},
    Name{"vllm:num_requests_running", Wanted::kRunning, 1},
    Name{"vllm:kv_cache_usage_perc", Wanted::kKvUsage, 2},
    Name{"vllm:gpu_cache_usage_perc", Wanted::kKvUsage, 1},
    Name{"vllm:prefix_cache_queries_total", Wanted::kPrefixQueries, 4},
    Name{"vllm:prefix_cache_queries", Wanted::kPrefixQueries, 3},
    Name{"vllm:gpu_prefix_cache_queries_total", Wanted::kPrefixQueries, 2},
    Name{"vllm:gpu_prefix_cache_queries", Wanted::kPrefixQueries, 1},
    Name{"vllm:prefix_cache_hits_total", Wanted::kPrefixHits, 4},
    Name{"vllm:prefix_cache_hits", Wanted::kPrefixHits, 3},
    Name{"vllm:gpu_prefix_cache_hits_total", Wanted::kPrefixHits, 2},
    Name{"vllm:gpu_prefix_cache_hits", Wanted::kPrefixHits, 1},
    Name{"vllm:prompt_tokens_total", Wanted::kPromptTokens, 2},
    Name{"vllm:prompt_tokens", Wanted::kPromptTokens, 1},
    Name{"vllm:time_to_first_token_seconds_count", Wanted::kFirstTokens, 1},
    Name{"vllm:cache_config_info", Wanted::kCacheConfig, 1},
    Name{"vllm:lora_requests_info", Wanted::kLora, 1},
    Name{"sglang:num_queue_reqs", Wanted::kWaiting, 1},
    Name{"sglang:num_running_reqs", Wanted::kRunning, 1},
    Name{"sglang:token_usage", Wanted::kKvUsage, 1},
    Name{"sglang:cache_config_info", Wanted::kCacheConfig, 1},
    Name{"process_start_time_seconds", Wanted::kProcessStart, 1},
    Name{"trtllm_num_requests_waiting", Wanted::kWaiting, 1},
    Name{"trtllm_num_requests_running", Wanted::kRunning, 1},
    Name{"trtllm_kv_cache_utilization", Wanted::kKvUsage, 1},
    Name{"trtllm_kv_cache_tokens_per_block", Wanted::kBlockSize, 1},
    Name{"trtllm_kv_cache_max_blocks", Wanted::kBlockCount, 1},
    Name{"nv_trt_llm_request_metrics", Wanted::kTritonRequests, 1},
    Name{"nv_trt_llm_kv_cache_block_metrics", Wanted::kTritonBlocks, 1},
    Name{"nv_inference_pending_request_count", Wanted::kWaiting, 1},
};

// Names with a prefix in common, which is compared once; nearly every line is settled by its first
// byte or by the one behind the prefix.
struct NameGroup {
  std::string_view prefix;
  std::size_t begin;
  std::size_t end;
};
constexpr std::array kGroups{NameGroup{"vllm:", 0, 17}, NameGroup{"sglang:", 17, 21},
                             NameGroup{"process_", 21, 22}, NameGroup{"trtllm_", 22, 27},
                             NameGroup{"nv_", 27, 30}};
static_assert(kGroups.back().end == kNames.size());

// What never changes while an engine runs.
bool is_cache_size(Wanted wanted) {
  return wanted == Wanted::kCacheConfig || wanted == Wanted::kBlockSize ||
         wanted == Wanted::kBlockCount;
}

bool is_blank(char c) { return c == ' ' || c == '\t'; }

bool is_sample_of(const Name& name, std::string_view line) {
  const std::size_t size = name.text.size();
  return line.size() > size && line.starts_with(name.text) &&
         (line[size] == '{' || is_blank(line[size]));
}

std::optional<std::size_t> name_of(std::string_view line) {
  for (const NameGroup& group : kGroups) {
    const std::size_t at = group.prefix.size();
    if (line.size() <= at || !line.starts_with(group.prefix)) continue;
    for (std::size_t i = group.begin; i < group.end; ++i) {
      if (line[at] == kNames[i].text[at] && is_sample_of(kNames[i], line)) return i;
    }
    break;
  }
  return std::nullopt;
}

std::string_view line_at(std::string_view text, std::size_t at) {
  const void* newline = std::memchr(text.data() + at, '\n', text.size() - at);
  if (newline == nullptr) return text.substr(at);
  const auto end = static_cast<std::size_t>(static_cast<const char*>(newline) - text.data());
  return text.substr(at, end - at);
}

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
  void sample(const Name& name, std::string_view line) {
    sample(name.wanted, name.rank, line.substr(name.text.size()));
  }

  EngineMetrics take() { return std::move(metrics_); }

 private:
  void sample(Wanted wanted, std::uint8_t rank, std::string_view rest);
  void kv_usage(double value) {
    metrics_.kv_usage = std::max(metrics_.kv_usage.value_or(0), std::min(value, 1.0));
  }
  void cache_config(std::string_view labels);
  void block_size(std::uint64_t tokens);
  void add_blocks(std::uint64_t count);
  void triton_requests(std::string_view labels, double value);
  void triton_blocks(std::string_view labels, double value);
  void lora(std::string_view labels, double written_at);

  static void add(std::optional<double>& total, double value) { total = total.value_or(0) + value; }
  // `replaces`: by a better name than what is in the total.
  static void counter(std::optional<double>& total, double value, bool replaces) {
    if (replaces) total.reset();
    add(total, value);
  }

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
      return kv_usage(value);
    case Wanted::kPrefixQueries:
      return counter(metrics_.prefix_queries, value, replaces);
    case Wanted::kPrefixHits:
      return counter(metrics_.prefix_hits, value, replaces);
    case Wanted::kPromptTokens:
      return counter(metrics_.prompt_tokens, value, replaces);
    case Wanted::kFirstTokens:
      return add(metrics_.first_tokens, value);
    case Wanted::kCacheConfig:
      return cache_config(labels);
    case Wanted::kLora:
      return lora(labels, value);
    case Wanted::kProcessStart:
      metrics_.process_start_time = value;
      return;
    case Wanted::kBlockSize:
      return block_size(static_cast<std::uint64_t>(value));
    case Wanted::kBlockCount:
      return add_blocks(static_cast<std::uint64_t>(value));
    case Wanted::kTritonRequests:
      return triton_requests(labels, value);
    case Wanted::kTritonBlocks:
      return triton_blocks(labels, value);
  }
}

void Scrape::cache_config(std::string_view labels) {
  std::uint64_t count = 0;
  // SGLang speaks of pages.
  if (find_count(labels, "block_size", count) || find_count(labels, "page_size", count)) {
    block_size(count);
  }
  if (find_count(labels, "num_gpu_blocks", count) || find_count(labels, "num_pages", count)) {
    add_blocks(count);
  }
}

void Scrape::block_size(std::uint64_t tokens) {
  if (tokens > 0) metrics_.block_size = tokens;
}

void Scrape::add_blocks(std::uint64_t count) {
  constexpr std::uint64_t kSaneBlocks = std::uint64_t{1} << 48;
  if (count >= kSaneBlocks) return;
  metrics_.num_gpu_blocks = std::min(metrics_.num_gpu_blocks.value_or(0) + count, kSaneBlocks);
}

void Scrape::triton_requests(std::string_view labels, double value) {
  std::string_view type;
  if (!find_label(labels, "request_type", type)) return;
  if (type == "waiting") add(metrics_.waiting, value);
  if (type == "scheduled") add(metrics_.running, value);
}

void Scrape::triton_blocks(std::string_view labels, double value) {
  std::string_view type;
  if (!find_label(labels, "kv_cache_block_type", type)) return;
  if (type == "fraction") kv_usage(value);
  if (type == "tokens_per") block_size(static_cast<std::uint64_t>(value));
  if (type == "max") add_blocks(static_cast<std::uint64_t>(value));
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

bool may_be_wanted(char first) {
  return first == 'v' || first == 's' || first == 'p' || first == 't' || first == 'n';
}

// Calls `found` with the offset of each wanted sample, its name and its line.
template <typename Found>
void for_each_sample(std::string_view text, Found found) {
  for (std::size_t at = 0; at < text.size();) {
    // Most lines are comments and histogram buckets: one look at the first byte and on.
    const std::string_view line = line_at(text, at);
    if (!line.empty() && may_be_wanted(line.front())) {
      if (const auto name = name_of(line)) found(at, *name, line);
    }
    at += line.size() + 1;
  }
}

// Where the first sample of a family stands that once stood at `expected`: there, or not far.
std::optional<std::size_t> find_family(std::string_view text, const Name& name,
                                       std::size_t expected) {
  constexpr std::size_t kNear = 256;
  const auto begins_at = [&](std::size_t at) {
    return (at == 0 || text[at - 1] == '\n') && is_sample_of(name, text.substr(at));
  };
  if (expected < text.size() && begins_at(expected)) return expected;
  const std::size_t end = std::min(text.size(), expected + kNear);
  std::size_t at = expected - std::min(expected, kNear);
  const std::string_view near = text.substr(0, end);
  while ((at = near.find(name.text, at)) != std::string_view::npos) {
    if (begins_at(at)) return at;
    ++at;
  }
  return std::nullopt;
}

bool is_first_of_family(std::string_view text, const Name& name, std::size_t at) {
  if (at < 2) return true;
  const std::size_t newline = text.rfind('\n', at - 2);
  const std::size_t before = newline == std::string_view::npos ? 0 : newline + 1;
  return !is_sample_of(name, text.substr(before, at - before));
}

}  // namespace

bool EngineMetrics::any() const {
  return waiting || running || kv_usage || prefix_queries || prefix_hits || prompt_tokens ||
         first_tokens || block_size || num_gpu_blocks || process_start_time || lora;
}

std::optional<double> EngineMetrics::kv_tokens() const {
  if (!block_size || !num_gpu_blocks) return std::nullopt;
  return static_cast<double>(*block_size) * static_cast<double>(*num_gpu_blocks);
}

EngineMetrics parse_engine_metrics(std::string_view text) {
  Scrape scrape;
  for_each_sample(text, [&](std::size_t, std::size_t name, std::string_view line) {
    scrape.sample(kNames[name], line);
  });
  return scrape.take();
}

EngineMetrics EngineMetricsReader::read(std::string_view text) {
  if (by_place_ < kByPlaceMax && !places_.empty()) {
    if (std::optional<EngineMetrics> metrics = read_places(text)) {
      ++by_place_;
      return std::move(*metrics);
    }
  }
  by_place_ = 0;
  return read_whole(text);
}

EngineMetrics EngineMetricsReader::read_whole(std::string_view text) {
  ++whole_reads_;
  places_.clear();
  Scrape scrape;
  std::size_t last_end = 0;
  std::optional<std::size_t> last_name;  // Of the sample before, that of a cache's size too.
  for_each_sample(text, [&](std::size_t at, std::size_t name, std::string_view line) {
    scrape.sample(kNames[name], line);
    const bool goes_on = last_name == name && at == last_end;
    last_name = name;
    last_end = at + line.size() + 1;
    if (!goes_on && !is_cache_size(kNames[name].wanted)) places_.push_back({at, name});
  });
  if (places_.size() > kPlacesMax) places_.clear();
  EngineMetrics metrics = scrape.take();
  block_size_ = metrics.block_size;
  num_gpu_blocks_ = metrics.num_gpu_blocks;
  return metrics;
}

std::optional<EngineMetrics> EngineMetricsReader::read_places(std::string_view text) {
  Scrape scrape;
  std::size_t shift = 0;  // Of what was found last, modulo 2^64.
  std::size_t behind = 0;
  for (Place& place : places_) {
    const Name& name = kNames[place.name];
    const auto found = find_family(text, name, std::min(place.at + shift, text.size()));
    if (!found || *found < behind || !is_first_of_family(text, name, *found)) return std::nullopt;
    shift = *found - place.at;
    place.at = *found;
    for (std::size_t at = *found; at < text.size(); at = behind) {
      const std::string_view line = line_at(text, at);
      if (!is_sample_of(name, line)) break;
      scrape.sample(name, line);
      behind = at + line.size() + 1;
    }
  }
  EngineMetrics metrics = scrape.take();
  metrics.block_size = block_size_;
  metrics.num_gpu_blocks = num_gpu_blocks_;
  return metrics;
}

}  // namespace fairlead::codec
