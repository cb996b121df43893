// SPDX-License-Identifier: Apache-2.0
// Go flags: a command line as Go's flag package reads it, for programs that stand in for Go ones.
//
//   -name value, --name value, -name=value, --name=value; a switch takes no separate value: -name,
//   -name=false. The last of several wins. After "--" there are no flags.
//
// An unknown flag, a missing value or a word that is no flag is a problem, "--name: what is wrong";
// reading goes on. Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/config/section.h"

namespace fairlead::config {

enum class FlagShape : std::uint8_t { kValue, kSwitch };

struct FlagName {
  std::string_view name;  // Without dashes.
  FlagShape shape;
};

// Flags in the order of the command line.
class GivenFlags {
 public:
  struct Flag {
    std::string name;
    std::string value;  // Of a switch without a value: "true".
  };

  void add(std::string name, std::string value) {
    flags_.push_back({std::move(name), std::move(value)});
  }
  const std::vector<Flag>& all() const { return flags_; }
  // Null when it was not given.
  const std::string* last(std::string_view name) const;

 private:
  std::vector<Flag> flags_;
};

GivenFlags parse_go_flags(std::span<const std::string_view> words, std::span<const FlagName> known,
                          Problems& problems);

// Go's spellings: 1, t, T, true, TRUE, True and the same for false.
std::optional<bool> parse_go_bool(std::string_view text);

// A problem of a flag.
void report_flag(Problems& problems, std::string_view name, std::string message,
                 Severity severity = Severity::kError);

}  // namespace fairlead::config
