// SPDX-License-Identifier: Apache-2.0
// What the commands of `fairlead plan` have in common: the flags of a fleet and its seeds, the
// settings that they make, and policies by name or file. Threads: main only.
#pragma once

#include <CLI/App.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "lab/plan/study.h"

namespace fairlead::app {

// Engines, routers and how often each policy runs.
struct FleetFlags {
  std::uint32_t engines = 8;
  std::uint32_t routers = 1;
  std::optional<double> exchange_ms;  // Nothing: routers do not tell each other.
  double scrape_ms = 50;
  std::string profile = "qwen3-32b-2xh100";
  std::int64_t kv_tokens = 0;  // 0: the profile's.
  std::vector<double> speeds;  // Of the engines in turn; empty: all have the profile's.
  std::uint32_t seeds = 5;
  std::uint32_t threads;  // As many as there are processors.

  FleetFlags();
};

inline constexpr std::uint64_t kEnginesMax = 4096;

// All but --engines, which only those declare who do not seek it.
void declare(CLI::App& command, FleetFlags& flags);
void declare_engines(CLI::App& command, FleetFlags& flags);

Result<plan::StudySettings> settings_of(const FleetFlags& flags, std::uint64_t first_seed);

// The text of an EndpointPickerConfig: a shipped one, or a file. Errors name the flag.
Result<std::string> policy_text(const std::string& name_or_path, std::string_view flag);
// Problems name the file and the line.
Result<plan::StudyPolicy> parse_policy(std::string_view text, const std::string& file);
Result<plan::StudyPolicy> find_policy(const std::string& name_or_path, std::string_view flag);
Result<std::vector<plan::StudyPolicy>> find_policies(const std::vector<std::string>& names,
                                                     std::string_view flag);

// On a terminal, a line that is written over again and wiped at the end.
void print_progress(std::size_t done, std::size_t all);

}  // namespace fairlead::app
