// SPDX-License-Identifier: Apache-2.0
#include "lab/load/model/trace.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/random.h"

namespace fairlead::load {
namespace {

constexpr std::uint32_t kMooncakeBlockTokens = 512;
constexpr std::uint32_t kMaxTokens = 1u << 28;  // Far above any context; keeps sums in 64 bits.
constexpr double kReplaySecondsMax = 4e9;       // Nanoseconds end at 9.2e9 s.
// A recorder that rounds leaves at least so many rows on one time stamp, on average.
constexpr std::size_t kRoundedRowsPerStamp = 4;

// Some editors begin a file with the byte order mark of UTF-8.
std::string_view without_mark(std::string_view text) {
  constexpr std::string_view kMark = "\xef\xbb\xbf";
  if (text.starts_with(kMark)) text.remove_prefix(kMark.size());
  return text;
}

// Walks the non-empty lines of a text, counting from 1 and dropping a trailing CR.
class Lines {
 public:
  explicit Lines(std::string_view text) : rest_(without_mark(text)) {}

  std::optional<std::string_view> next() {
    while (!rest_.empty()) {
      ++number_;
      const std::size_t end = std::min(rest_.find('\n'), rest_.size());
      std::string_view line = rest_.substr(0, end);
      rest_.remove_prefix(std::min(end + 1, rest_.size()));
      if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
      if (!line.empty()) return line;
    }
    return std::nullopt;
  }
  std::size_t number() const { return number_; }

 private:
  std::string_view rest_;
  std::size_t number_ = 0;
};

template <class T>
std::optional<T> number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

Result<std::uint64_t> member(const nlohmann::json& row, const char* key, std::uint64_t max) {
  const auto found = row.find(key);
  if (found == row.end() || !found->is_number()) {
    return fail(ErrorCode::kInvalidArgument, "\"{}\" must be a number", key);
  }
  const double value = found->get<double>();
  if (!(value >= 0 && value <= static_cast<double>(max))) {
    return fail(ErrorCode::kInvalidArgument, "\"{}\" is {}; it must lie in 0..{}", key, value, max);
  }
  return static_cast<std::uint64_t>(value);
}

Result<std::uint64_t> whole_member(const nlohmann::json& row, const char* key, std::uint64_t max) {
  auto value = member(row, key, max);
  if (value && row[key].get<double>() != static_cast<double>(*value)) {
    return fail(ErrorCode::kInvalidArgument, "\"{}\" is {}; it must be a whole number", key,
                row[key].dump());
  }
  return value;
}

// The step of a recorder that rounded arrival times down; zero when it did not.
Duration rounding_step(const std::vector<TraceRow>& rows) {
  std::vector<Duration> gaps;
  for (std::size_t i = 1; i < rows.size(); ++i) {
    if (rows[i].at != rows[i - 1].at) gaps.push_back(rows[i].at - rows[i - 1].at);
  }
  if (gaps.empty() || rows.size() < kRoundedRowsPerStamp * (gaps.size() + 1)) return Duration{};
  const auto middle = gaps.begin() + static_cast<std::ptrdiff_t>(gaps.size() / 2);
  std::nth_element(gaps.begin(), middle, gaps.end());
  return *middle;
}

// Rows of one time keep their order.
void sort_by_time(std::vector<TraceRow>& rows) {
  std::vector<std::pair<Duration, std::size_t>> order;
  for (std::size_t i = 0; i < rows.size(); ++i) order.emplace_back(rows[i].at, i);
  std::sort(order.begin(), order.end());
  std::vector<TraceRow> sorted;
  sorted.reserve(rows.size());
  for (const auto& [at, index] : order) sorted.push_back(rows[index]);
  rows = std::move(sorted);
}

Result<Trace> finished(Trace trace) {
  if (trace.rows.empty()) return fail(ErrorCode::kInvalidArgument, "the trace has no rows");
  sort_by_time(trace.rows);
  const Duration first = trace.rows.front().at;
  for (TraceRow& row : trace.rows) row.at -= first;
  trace.step = rounding_step(trace.rows);
  return trace;
}

Result<void> add_mooncake_row(std::string_view line, Trace& trace) {
  const nlohmann::json json = nlohmann::json::parse(line, nullptr, false);
  if (!json.is_object()) return fail(ErrorCode::kInvalidArgument, "not a JSON object");
  const auto timestamp = member(json, "timestamp", std::uint64_t{1} << 42);
  if (!timestamp) return tl::unexpected(timestamp.error());
  const auto input = whole_member(json, "input_length", kMaxTokens);
  if (!input) return tl::unexpected(input.error());
  const auto output = whole_member(json, "output_length", kMaxTokens);
  if (!output) return tl::unexpected(output.error());
  const auto ids = json.find("hash_ids");
  if (ids == json.end() || !ids->is_array()) {
    return fail(ErrorCode::kInvalidArgument, "\"hash_ids\" must be an array of numbers");
  }
  // A recorder may leave out the last block where it is not full.
  const std::uint64_t full = *input / kMooncakeBlockTokens;
  const std::uint64_t needed = (*input + kMooncakeBlockTokens - 1) / kMooncakeBlockTokens;
  if (ids->size() != needed && ids->size() != full) {
    return fail(ErrorCode::kInvalidArgument,
                "input_length {} needs {} hash_ids of {} tokens, the row has {}", *input, needed,
                kMooncakeBlockTokens, ids->size());
  }
  TraceRow row;
  row.at = std::chrono::milliseconds(*timestamp);
  row.input_tokens = static_cast<std::uint32_t>(*input);
  row.output_tokens = static_cast<std::uint32_t>(*output);
  row.first_block = static_cast<std::uint32_t>(trace.blocks.size());
  row.block_count = static_cast<std::uint32_t>(ids->size());
  for (const nlohmann::json& id : *ids) {
    if (!id.is_number_unsigned()) {
      return fail(ErrorCode::kInvalidArgument, "\"hash_ids\" must be an array of whole numbers");
    }
    trace.blocks.push_back(id.get<std::uint64_t>());
  }
  trace.rows.push_back(row);
  return {};
}

// "Z" or "+02:00" behind a time of day, which is ahead of UTC by so much; none is UTC.
std::optional<Duration> parse_zone(std::string_view text) {
  if (text.empty() || text == "Z") return Duration{};
  if (text.size() != 6 || text[3] != ':' || (text[0] != '+' && text[0] != '-')) return std::nullopt;
  const auto hours = number<unsigned>(text.substr(1, 2));
  const auto minutes = number<unsigned>(text.substr(4, 2));
  if (!hours || !minutes || *hours > 14 || *minutes > 59) return std::nullopt;
  const Duration ahead = std::chrono::hours(*hours) + std::chrono::minutes(*minutes);
  return text[0] == '+' ? ahead : -ahead;
}

// "2023-11-16 18:17:03.9799600", or with a T in the middle and a zone behind it, as the data set of
// 2024 has it, since the Unix epoch.
std::optional<Duration> parse_timestamp(std::string_view text) {
  if (text.size() < 19 || text[4] != '-' || text[7] != '-' ||
      (text[10] != ' ' && text[10] != 'T') || text[13] != ':' || text[16] != ':') {
    return std::nullopt;
  }
  const std::size_t zone_at = std::min(text.find_first_not_of("0123456789.", 17), text.size());
  const auto zone = parse_zone(text.substr(zone_at));
  const auto year = number<int>(text.substr(0, 4));
  const auto month = number<unsigned>(text.substr(5, 2));
  const auto day = number<unsigned>(text.substr(8, 2));
  const auto hour = number<unsigned>(text.substr(11, 2));
  const auto minute = number<unsigned>(text.substr(14, 2));
  const auto second = number<double>(text.substr(17, zone_at - 17));
  if (!zone || !year || !month || !day || !hour || !minute || !second) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(*year), std::chrono::month(*month),
                                         std::chrono::day(*day)};
  // Nanoseconds from 1970 on end in 2262.
  if (!date.ok() || *year < 1970 || *year > 2200 || *hour > 23 || *minute > 59 ||
      !(*second >= 0 && *second < 61)) {
    return std::nullopt;
  }
  return std::chrono::sys_days(date).time_since_epoch() + std::chrono::hours(*hour) +
         std::chrono::minutes(*minute) + from_seconds(*second) - *zone;
}

// Fields of a line of CSV that holds no commas within quotes, without their quotes.
std::vector<std::string_view> fields_of(std::string_view line) {
  std::vector<std::string_view> fields;
  for (;;) {
    const std::size_t end = std::min(line.find(','), line.size());
    std::string_view field = line.substr(0, end);
    if (field.size() >= 2 && field.front() == '"' && field.back() == '"') {
      field = field.substr(1, field.size() - 2);
    }
    fields.push_back(field);
    if (end == line.size()) return fields;
    line.remove_prefix(end + 1);
  }
}

// The three that matter; others may stand beside them.
struct AzureColumns {
  std::array<std::size_t, 3> at{};
  std::size_t count = 0;

  static constexpr std::array<std::string_view, 3> kNames = {"TIMESTAMP", "ContextTokens",
                                                             "GeneratedTokens"};
};

Result<AzureColumns> azure_columns(std::string_view header) {
  const auto same = [](std::string_view a, std::string_view b) {
    return std::ranges::equal(a, b, [](char x, char y) {
      return std::tolower(static_cast<unsigned char>(x)) ==
             std::tolower(static_cast<unsigned char>(y));
    });
  };
  const std::vector<std::string_view> fields = fields_of(header);
  AzureColumns columns{.at = {}, .count = fields.size()};
  for (std::size_t i = 0; i < columns.at.size(); ++i) {
    const std::string_view name = AzureColumns::kNames[i];
    const auto found =
        std::ranges::find_if(fields, [&](std::string_view field) { return same(field, name); });
    if (found == fields.end()) {
      return fail(
          ErrorCode::kInvalidArgument,
          "line 1: the header must name TIMESTAMP, ContextTokens and GeneratedTokens; {} is "
          "missing",
          name);
    }
    columns.at[i] = static_cast<std::size_t>(found - fields.begin());
  }
  return columns;
}

Result<std::uint32_t> azure_tokens(std::string_view text, std::string_view name) {
  const auto value = number<std::uint32_t>(text);
  if (value && *value <= kMaxTokens) return *value;
  return fail(ErrorCode::kInvalidArgument, "{} is \"{}\"; it must be a whole number in 0..{}", name,
              text, kMaxTokens);
}

Result<void> add_azure_row(std::string_view line, const AzureColumns& columns, Trace& trace) {
  const std::vector<std::string_view> fields = fields_of(line);
  if (fields.size() != columns.count) {
    return fail(ErrorCode::kInvalidArgument, "the row has {} fields, the header {}", fields.size(),
                columns.count);
  }
  const std::string_view stamp = fields[columns.at[0]];
  const auto at = parse_timestamp(stamp);
  if (!at) {
    return fail(
        ErrorCode::kInvalidArgument,
        "\"{}\" is no timestamp of the form YYYY-MM-DD hh:mm:ss.fff, with Z or +hh:mm behind "
        "it or not",
        stamp);
  }
  const auto input = azure_tokens(fields[columns.at[1]], AzureColumns::kNames[1]);
  if (!input) return tl::unexpected(input.error());
  const auto output = azure_tokens(fields[columns.at[2]], AzureColumns::kNames[2]);
  if (!output) return tl::unexpected(output.error());
  trace.rows.push_back({*at, *input, *output, 0, 0});
  return {};
}

// Gives rows of one rounded stamp random places, in order, up to the next stamp.
void spread_steps(std::span<const TraceRow> rows, Duration step, Random& random,
                  std::vector<Duration>& at) {
  std::vector<double> places;
  for (std::size_t begin = 0; begin < rows.size();) {
    std::size_t end = begin;
    while (end < rows.size() && rows[end].at == rows[begin].at) ++end;
    const Duration room = end < rows.size() ? std::min(step, rows[end].at - rows[begin].at) : step;
    places.clear();
    for (std::size_t i = begin; i < end; ++i) places.push_back(random.uniform());
    std::sort(places.begin(), places.end());
    for (std::size_t i = begin; i < end; ++i) {
      at[i] += from_seconds(to_seconds(room) * places[i - begin]);
    }
    begin = end;
  }
}

std::span<const TraceRow> selected(const Trace& trace, const ReplaySettings& settings) {
  const auto before = [](const TraceRow& row, Duration at) { return row.at < at; };
  const auto begin = std::lower_bound(trace.rows.begin(), trace.rows.end(), settings.from, before);
  const auto end = std::lower_bound(begin, trace.rows.end(), settings.to, before);
  const std::span rows(begin, end);
  return rows.first(std::min(rows.size(), settings.limit));
}

enum ContentKind : std::uint64_t { kTraceBlock = 1, kTraceUnique = 2 };

}  // namespace

Result<Trace> parse_mooncake(std::string_view text) {
  Trace trace;
  trace.name = "mooncake";
  trace.block_tokens = kMooncakeBlockTokens;
  Lines lines(text);
  while (const auto line = lines.next()) {
    if (auto added = add_mooncake_row(*line, trace); !added) {
      return with_context(std::move(added.error()), fmt::format("line {}", lines.number()));
    }
  }
  return finished(std::move(trace));
}

Result<Trace> parse_azure(std::string_view text) {
  Trace trace;
  trace.name = "azure";
  Lines lines(text);
  const auto header = lines.next();
  const auto columns = azure_columns(header.value_or(""));
  if (!columns) return tl::unexpected(columns.error());
  while (const auto line = lines.next()) {
    if (auto added = add_azure_row(*line, *columns, trace); !added) {
      return with_context(std::move(added.error()), fmt::format("line {}", lines.number()));
    }
  }
  return finished(std::move(trace));
}

Result<Trace> parse_trace(std::string_view text) {
  const std::string_view begins = without_mark(text);
  const std::size_t first = begins.find_first_not_of(" \t\r\n");
  if (first == begins.npos) return fail(ErrorCode::kInvalidArgument, "the file is empty");
  if (begins[first] == '{') return parse_mooncake(text);
  auto trace = parse_azure(text);
  if (trace) return trace;
  return with_context(std::move(trace.error()),
                      "taken for Azure's CSV, because it does not begin with {");
}

Result<Workload> plan_replay(const Trace& trace, const ReplaySettings& settings) {
  if (!(settings.compression > 0)) {
    return fail(ErrorCode::kInvalidArgument, "time compression is {}; it must be above 0",
                settings.compression);
  }
  const std::span<const TraceRow> rows = selected(trace, settings);
  if (rows.empty()) {
    return fail(ErrorCode::kInvalidArgument,
                "no request of the trace lies in the chosen stretch; the trace is {:.0f} s long",
                to_seconds(trace.rows.empty() ? Duration{} : trace.rows.back().at));
  }
  if (to_seconds(rows.back().at) / settings.compression > kReplaySecondsMax) {
    return fail(ErrorCode::kInvalidArgument, "the replay would take more than {} s",
                kReplaySecondsMax);
  }
  std::vector<Duration> at;
  for (const TraceRow& row : rows) at.push_back(row.at - std::max(settings.from, Duration{}));
  Random random(settings.seed);
  if (trace.step > Duration{}) spread_steps(rows, trace.step, random, at);

  Workload workload;
  workload.name = trace.name;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const TraceRow& row = rows[i];
    PlannedRequest request;
    request.at = from_seconds(to_seconds(at[i]) / settings.compression);
    // A real API has neither a prompt nor an answer of zero tokens, though recorders write them.
    request.prompt_tokens = std::max(row.input_tokens, 1u);
    request.output_tokens = std::max(row.output_tokens, 1u);
    request.first_part = static_cast<std::uint32_t>(workload.parts.size());
    std::uint32_t left = request.prompt_tokens;
    for (const std::uint64_t block : trace.row_blocks(row)) {
      const std::uint32_t tokens = std::min(left, trace.block_tokens);
      workload.parts.push_back({content_id(settings.seed, kTraceBlock, block), tokens});
      left -= tokens;
    }
    if (left > 0) workload.parts.push_back({content_id(settings.seed, kTraceUnique, i), left});
    request.part_count = static_cast<std::uint32_t>(workload.parts.size()) - request.first_part;
    workload.requests.push_back(request);
  }
  Stage stage;
  stage.name = "replay";
  stage.length = workload.requests.back().at;
  if (stage.length > Duration{}) {
    stage.rate = static_cast<double>(rows.size()) / to_seconds(stage.length);
  }
  stage.request_count = static_cast<std::uint32_t>(rows.size());
  workload.stages.push_back(std::move(stage));
  return workload;
}

}  // namespace fairlead::load
