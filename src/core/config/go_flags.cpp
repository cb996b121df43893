// SPDX-License-Identifier: Apache-2.0
#include "core/config/go_flags.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "core/config/wording.h"

namespace fairlead::config {
namespace {

// A hostile command line is no reason for a long list of hints.
constexpr std::size_t kMaxNameBytes = 128;

std::string hint_for(std::string_view name, std::span<const FlagName> known) {
  if (name.size() > kMaxNameBytes) return {};
  std::vector<std::string_view> names;
  for (const FlagName& flag : known) names.push_back(flag.name);
  return did_you_mean(name, names);
}

}  // namespace

const std::string* GivenFlags::last(std::string_view name) const {
  const auto found = std::find_if(flags_.rbegin(), flags_.rend(),
                                  [&](const Flag& flag) { return flag.name == name; });
  return found == flags_.rend() ? nullptr : &found->value;
}

void report_flag(Problems& problems, std::string_view name, std::string message,
                 Severity severity) {
  problems.add({"", 0, fmt::format("--{}", name), std::move(message), severity});
}

GivenFlags parse_go_flags(std::span<const std::string_view> words, std::span<const FlagName> known,
                          Problems& problems) {
  GivenFlags given;
  const auto refuse = [&](std::string message) {
    problems.add({"", 0, "", std::move(message), Severity::kError});
  };
  bool has_ended = false;
  for (std::size_t i = 0; i < words.size(); ++i) {
    std::string_view word = words[i];
    if (!has_ended && word == "--") {
      has_ended = true;
      continue;
    }
    if (has_ended || word.size() < 2 || word.front() != '-') {
      refuse(fmt::format("{} is no flag; there are no other words here", in_quotes(word)));
      continue;
    }
    word.remove_prefix(word.starts_with("--") ? 2 : 1);
    const std::size_t equals = word.find('=');
    const std::string_view name = word.substr(0, equals);
    const auto flag = std::ranges::find(known, name, &FlagName::name);
    if (flag == known.end()) {
      refuse(fmt::format("unknown flag {}{}", in_quotes(words[i].substr(0, words[i].find('='))),
                         hint_for(name, known)));
    } else if (equals != std::string_view::npos) {
      given.add(std::string(name), std::string(word.substr(equals + 1)));
    } else if (flag->shape == FlagShape::kSwitch) {
      given.add(std::string(name), "true");
    } else if (i + 1 < words.size()) {
      given.add(std::string(name), std::string(words[++i]));
    } else {
      report_flag(problems, name, "needs a value");
    }
  }
  return given;
}

std::optional<bool> parse_go_bool(std::string_view text) {
  constexpr std::array<std::string_view, 6> kTrue = {"1", "t", "T", "true", "TRUE", "True"};
  constexpr std::array<std::string_view, 6> kFalse = {"0", "f", "F", "false", "FALSE", "False"};
  if (std::ranges::find(kTrue, text) != kTrue.end()) return true;
  if (std::ranges::find(kFalse, text) != kFalse.end()) return false;
  return std::nullopt;
}

}  // namespace fairlead::config
