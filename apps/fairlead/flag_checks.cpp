// SPDX-License-Identifier: Apache-2.0
#include "flag_checks.h"

#include <fmt/format.h>

#include <charconv>
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

}  // namespace

CLI::Validator from_to(double least, double most) {
  const std::string range = fmt::format("from {} to {}", least, most);
  return {[least, most, range](std::string& text) {
            const auto value = read<double>(text);
            if (value && *value >= least && *value <= most) return std::string();  // No NaN is.
            return fmt::format("must be a number {}, is {}", range, text);
          },
          range, range};
}

CLI::Validator not_empty() {
  return {[](std::string& text) {
            return text.empty() ? std::string("must not be empty") : std::string();
          },
          "", "not empty"};
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
