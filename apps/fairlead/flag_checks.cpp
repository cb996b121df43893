// SPDX-License-Identifier: Apache-2.0
#include "flag_checks.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <string>

namespace fairlead::app {
namespace {

template <class Number>
std::optional<Number> read(const std::string& text) {
  Number value{};
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return value;
}

template <class Test>
CLI::Validator number(const std::string& range, Test test) {
  return {[range, test](std::string& text) {
            const auto value = read<double>(text);
            if (value && std::isfinite(*value) && test(*value)) return std::string();
            return fmt::format("must be a number {}, is {}", range, text);
          },
          range, range};
}

}  // namespace

CLI::Validator above_zero() {
  return number("above 0", [](double value) { return value > 0; });
}

CLI::Validator zero_or_more() {
  return number("from 0", [](double value) { return value >= 0; });
}

CLI::Validator whole_number(std::uint64_t least, std::uint64_t most) {
  const bool is_open = most == std::numeric_limits<std::uint64_t>::max();
  const std::string range =
      is_open ? fmt::format("from {}", least) : fmt::format("from {} to {}", least, most);
  return {[least, most, range](std::string& text) {
            const auto value = read<std::uint64_t>(text);
            if (value && *value >= least && *value <= most) return std::string();
            return fmt::format("must be a whole number {}, is {}", range, text);
          },
          range, range};
}

}  // namespace fairlead::app
