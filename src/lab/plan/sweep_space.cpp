// SPDX-License-Identifier: Apache-2.0
#include "lab/plan/sweep_space.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>

#include "base/random.h"

namespace fairlead::plan {
namespace {

constexpr std::string_view kForm =
    "write NAME=1,2,3 for these values, NAME=0.1..10 for a range or NAME=0.1..10:log for one that "
    "is even in its logarithm";

std::optional<double> read_end(std::string_view text) {
  double value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || stop != text.data() + text.size()) return std::nullopt;
  return std::isfinite(value) ? std::optional(value) : std::nullopt;
}

bool is_whole(std::string_view text) { return text.find_first_of(".eE") == std::string_view::npos; }

Result<Range> parse_range(std::string_view text, std::size_t dots) {
  Range range;
  std::string_view high = text.substr(dots + 2);
  const std::size_t colon = high.find(':');
  if (colon != std::string_view::npos) {
    if (high.substr(colon) != ":log") {
      return fail(ErrorCode::kInvalidArgument, "{} is not known behind a range, only :log is",
                  high.substr(colon));
    }
    range.spacing = Spacing::kLog;
    high = high.substr(0, colon);
  }
  const std::string_view low = text.substr(0, dots);
  const auto first = read_end(low);
  const auto last = read_end(high);
  if (!first || !last) {
    return fail(ErrorCode::kInvalidArgument, "{} is not a number", first ? high : low);
  }
  if (*first >= *last) {
    return fail(ErrorCode::kInvalidArgument, "{} is not below {}", low, high);
  }
  if (range.spacing == Spacing::kLog && *first <= 0) {
    return fail(ErrorCode::kInvalidArgument, "a range with :log begins above 0, not with {}", low);
  }
  range.low = *first;
  range.high = *last;
  range.numbers = is_whole(low) && is_whole(high) ? Numbers::kWhole : Numbers::kReal;
  return range;
}

Result<std::vector<std::string>> parse_values(std::string_view text) {
  std::vector<std::string> values;
  for (;;) {
    const std::size_t comma = text.find(',');
    std::string value(text.substr(0, comma));
    if (value.empty()) return fail(ErrorCode::kInvalidArgument, "a value is empty");
    if (std::ranges::find(values, value) != values.end()) {
      return fail(ErrorCode::kInvalidArgument, "{} stands there twice", value);
    }
    values.push_back(std::move(value));
    if (comma == std::string_view::npos) return values;
    text.remove_prefix(comma + 1);
  }
}

// The value at a place in [0, 1) of a range.
std::string value_at(const Range& range, double place) {
  // Each whole number has as much of the range as the next one.
  const double end = range.numbers == Numbers::kWhole ? range.high + 1 : range.high;
  double value = range.spacing == Spacing::kLog ? range.low * std::pow(end / range.low, place)
                                                : range.low + place * (end - range.low);
  if (range.numbers == Numbers::kReal) return fmt::format("{:.4g}", value);
  value = std::clamp(std::floor(value), range.low, range.high);
  return fmt::format("{:.0f}", value);
}

std::string value_at(const Variation& variation, double place) {
  if (const auto* range = std::get_if<Range>(&variation.values)) return value_at(*range, place);
  const auto& values = std::get<std::vector<std::string>>(variation.values);
  const auto at = static_cast<std::size_t>(place * static_cast<double>(values.size()));
  return values[std::min(at, values.size() - 1)];
}

// Infinite for a range of real numbers.
double count_of(const Variation& variation) {
  const auto* range = std::get_if<Range>(&variation.values);
  if (range == nullptr) {
    return static_cast<double>(std::get<std::vector<std::string>>(variation.values).size());
  }
  return range->numbers == Numbers::kWhole ? range->high - range->low + 1
                                           : std::numeric_limits<double>::infinity();
}

std::string nth_value(const Variation& variation, std::size_t n) {
  const auto* range = std::get_if<Range>(&variation.values);
  if (range == nullptr) return std::get<std::vector<std::string>>(variation.values)[n];
  return fmt::format("{:.0f}", range->low + static_cast<double>(n));
}

// The last parameter changes first.
std::vector<Parameters> grid_of(std::span<const Variation> variations) {
  std::vector<Parameters> grid(1);
  for (const Variation& variation : variations) {
    const auto count = static_cast<std::size_t>(count_of(variation));
    std::vector<Parameters> longer;
    for (const Parameters& before : grid) {
      for (std::size_t n = 0; n < count; ++n) {
        longer.push_back(before);
        longer.back().emplace_back(variation.name, nth_value(variation, n));
      }
    }
    grid = std::move(longer);
  }
  return grid;
}

void add_new(std::vector<Parameters>& list, Parameters contender) {
  if (std::ranges::find(list, contender) == list.end()) list.push_back(std::move(contender));
}

void add_samples(std::vector<Parameters>& list, std::span<const Variation> variations,
                 std::size_t most, std::uint64_t seed) {
  Random random(seed);
  const std::size_t first = list.size();
  std::vector<std::vector<double>> places;  // By variation, then sample.
  for (std::size_t i = 0; i < variations.size(); ++i) {
    std::vector<std::size_t> parts(most);
    std::iota(parts.begin(), parts.end(), std::size_t{0});
    for (std::size_t left = most; left > 1; --left) {
      std::swap(parts[left - 1], parts[random.below(left)]);
    }
    std::vector<double>& own = places.emplace_back();
    for (const std::size_t part : parts) {
      own.push_back((static_cast<double>(part) + random.uniform()) / static_cast<double>(most));
    }
  }
  for (std::size_t sample = 0; sample < most; ++sample) {
    Parameters contender;
    for (std::size_t i = 0; i < variations.size(); ++i) {
      contender.emplace_back(variations[i].name, value_at(variations[i], places[i][sample]));
    }
    add_new(list, std::move(contender));
  }
  // Where values are few, samples fall together; what cannot be found by then is left out.
  for (std::size_t tries = 0; list.size() < first + most && tries < 20 * most; ++tries) {
    Parameters contender;
    for (const Variation& variation : variations) {
      contender.emplace_back(variation.name, value_at(variation, random.uniform()));
    }
    add_new(list, std::move(contender));
  }
}

std::optional<Parameters> defaults_of(const PolicyTemplate& policy,
                                      std::span<const Variation> variations) {
  Parameters defaults;
  for (const Variation& variation : variations) {
    const Hole* hole = policy.find(variation.name);
    if (hole == nullptr || !hole->fallback) return std::nullopt;
    defaults.emplace_back(variation.name, *hole->fallback);
  }
  return defaults;
}

}  // namespace

Result<Variation> parse_variation(std::string_view text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0) {
    return fail(ErrorCode::kInvalidArgument, "{}: {}", text, kForm);
  }
  Variation variation;
  variation.name = text.substr(0, equals);
  const std::string_view said = text.substr(equals + 1);
  const std::size_t dots = said.find("..");
  const auto wrong = [&](const Error& error) {
    return fail(ErrorCode::kInvalidArgument, "{}: {}; {}", text, error.message, kForm);
  };
  if (dots == std::string_view::npos) {
    auto values = parse_values(said);
    if (!values) return wrong(values.error());
    variation.values = std::move(*values);
    return variation;
  }
  const auto range = parse_range(said, dots);
  if (!range) return wrong(range.error());
  variation.values = *range;
  return variation;
}

Result<Contenders> choose_contenders(const PolicyTemplate& policy,
                                     std::span<const Variation> variations, std::size_t most,
                                     std::uint64_t seed) {
  double combinations = 1;
  for (std::size_t i = 0; i < variations.size(); ++i) {
    for (std::size_t before = 0; before < i; ++before) {
      if (variations[before].name == variations[i].name) {
        return fail(ErrorCode::kInvalidArgument, "{} is varied twice", variations[i].name);
      }
    }
    combinations *= count_of(variations[i]);
  }
  Contenders contenders;
  if (auto defaults = defaults_of(policy, variations)) {
    contenders.list.push_back(std::move(*defaults));
    contenders.defaults = 1;
  }
  if (combinations <= static_cast<double>(most)) {
    for (Parameters& one : grid_of(variations)) add_new(contenders.list, std::move(one));
  } else {
    contenders.search = Search::kSamples;
    add_samples(contenders.list, variations, most, seed);
  }
  // Holes that do not fit are found before anything runs.
  if (auto filled = policy.fill(contenders.list.front()); !filled) {
    return tl::unexpected(filled.error());
  }
  return contenders;
}

std::string name_of(const Parameters& parameters) {
  std::string name;
  for (const auto& [key, value] : parameters) {
    name += fmt::format("{}{}={}", name.empty() ? "" : " ", key, value);
  }
  return name;
}

}  // namespace fairlead::plan
