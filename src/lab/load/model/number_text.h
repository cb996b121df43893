// SPDX-License-Identifier: Apache-2.0
// Numbers as a person reads them, for the reports. Pure; thread-safe. Failure: none.
#pragma once

#include <string>

namespace fairlead::load {

enum class Unit {
  kSeconds,  // Ticks as 10 ms, 1 s.
  kPercent,  // Values are shares of 1.
  kCount,    // 1,234.
  kPlain,
};

// Rounded to a whole number, thousands parted by commas.
std::string group_digits(double value);
// Three or four significant digits with the unit, which a no-break space keeps beside them (UTF-8);
// seconds below 1 turn into milliseconds.
std::string format_value(double value, Unit unit);

}  // namespace fairlead::load
