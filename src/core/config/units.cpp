// SPDX-License-Identifier: Apache-2.0
#include "core/config/units.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <span>

namespace fairlead::config {
namespace {

struct Unit {
  std::string_view name;
  std::int64_t size;
};

// Both spellings of the micro sign are Go's: U+00B5 and U+03BC.
constexpr std::array<Unit, 8> kDurations{{{"ns", 1},
                                          {"us", 1'000},
                                          {"\xC2\xB5s", 1'000},
                                          {"\xCE\xBCs", 1'000},
                                          {"ms", 1'000'000},
                                          {"s", 1'000'000'000},
                                          {"m", 60'000'000'000},
                                          {"h", 3'600'000'000'000}}};
constexpr std::array<Unit, 9> kSizes{{{"", 1},
                                      {"k", 1'000},
                                      {"M", 1'000'000},
                                      {"G", 1'000'000'000},
                                      {"T", 1'000'000'000'000},
                                      {"Ki", std::int64_t{1} << 10},
                                      {"Mi", std::int64_t{1} << 20},
                                      {"Gi", std::int64_t{1} << 30},
                                      {"Ti", std::int64_t{1} << 40}}};

constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();

// Of amounts that are not negative.
std::int64_t sum(std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  return __builtin_add_overflow(a, b, &result) ? kMost : result;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Takes "12.5unit" off the front of `text` and returns it in the smallest unit. The whole part is
// exact; the fraction is rounded to the smallest unit. At most kMost.
std::optional<std::int64_t> take_amount(std::string_view& text, std::span<const Unit> units) {
  std::size_t end = 0;
  while (end < text.size() && is_digit(text[end])) ++end;
  if (end == 0) return std::nullopt;
  std::int64_t whole = 0;
  const auto read = std::from_chars(text.data(), text.data() + end, whole);
  if (read.ec == std::errc::result_out_of_range) whole = kMost;
  text.remove_prefix(end);

  double fraction = 0;
  if (!text.empty() && text[0] == '.') {
    double digit = 0.1;
    for (end = 1; end < text.size() && is_digit(text[end]); ++end, digit /= 10) {
      fraction += digit * (text[end] - '0');
    }
    if (end == 1) return std::nullopt;
    text.remove_prefix(end);
  }

  end = 0;
  while (end < text.size() && !is_digit(text[end]) && text[end] != '.') ++end;
  for (const Unit& unit : units) {
    if (unit.name != text.substr(0, end)) continue;
    text.remove_prefix(end);
    std::int64_t amount = 0;
    if (__builtin_mul_overflow(whole, unit.size, &amount)) return kMost;
    return sum(amount, std::llround(fraction * static_cast<double>(unit.size)));
  }
  return std::nullopt;
}

}  // namespace

std::optional<Duration> parse_duration(std::string_view text) {
  const bool negative = !text.empty() && text[0] == '-';
  if (negative) text.remove_prefix(1);
  if (text == "0") return Duration{0};
  std::int64_t total = 0;
  do {
    const auto amount = take_amount(text, kDurations);
    if (!amount) return std::nullopt;
    total = sum(total, *amount);
  } while (!text.empty());
  return Duration{negative ? -total : total};
}

std::string duration_text(Duration duration) {
  const std::int64_t count = duration.count();
  if (count == 0) return "0s";
  for (const auto& [name, size] : {kDurations[5], kDurations[4], kDurations[1]}) {
    if (count % size == 0) return fmt::format("{}{}", count / size, name);
  }
  return fmt::format("{}ns", count);
}

std::optional<std::int64_t> parse_bytes(std::string_view text) {
  const auto amount = take_amount(text, kSizes);
  return text.empty() ? amount : std::nullopt;
}

std::string bytes_text(std::int64_t bytes) {
  for (const auto& [name, size] : {kSizes[8], kSizes[7], kSizes[6], kSizes[5]}) {
    if (bytes != 0 && bytes % size == 0) return fmt::format("{}{}", bytes / size, name);
  }
  return fmt::format("{}", bytes);
}

}  // namespace fairlead::config
