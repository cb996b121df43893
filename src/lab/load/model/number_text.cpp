// SPDX-License-Identifier: Apache-2.0
#include "lab/load/model/number_text.h"

#include <fmt/format.h>

#include <cmath>

namespace fairlead::load {

std::string group_digits(double value) {
  const std::string digits = fmt::format("{:.0f}", value);
  std::string out;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    const bool comma = i > 0 && (digits.size() - i) % 3 == 0 && digits[i - 1] != '-';
    if (comma) out += ',';
    out += digits[i];
  }
  return out;
}

std::string format_value(double value, Unit unit) {
  switch (unit) {
    case Unit::kSeconds:
      if (value == 0) return "0";
      if (value < 0.9995) return fmt::format("{:.3g}\u00a0ms", value * 1000);
      return value < 1000 ? fmt::format("{:.3g}\u00a0s", value) : group_digits(value) + "\u00a0s";
    case Unit::kPercent:
      return fmt::format("{:.3g}\u00a0%", value * 100);
    case Unit::kCount:
      return value < 10 && value != std::floor(value) ? fmt::format("{:.2g}", value)
                                                      : group_digits(value);
    case Unit::kPlain:
      break;
  }
  return fmt::format("{:.4g}", value);
}

}  // namespace fairlead::load
