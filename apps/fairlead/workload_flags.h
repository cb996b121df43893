// SPDX-License-Identifier: Apache-2.0
// The flags that describe a workload, and the workload they plan. Values.
#pragma once

#include <CLI/App.hpp>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "lab/load/model/workload.h"

namespace fairlead::app {

struct WorkloadFlags {
  std::string workload;  // A shipped name or a file; empty: the flags below say it.
  std::string trace;
  std::string format = "auto";
  std::string preset;
  double compression = 1;
  double from_s = 0;
  double to_s = 0;          // 0: to the end.
  std::uint64_t limit = 0;  // 0: none.
  bool shared_prefix = false;
  std::uint32_t groups = 32;
  std::uint32_t prompts_per_group = 32;
  std::uint32_t system_tokens = 2048;
  std::uint32_t question_tokens = 256;
  std::uint32_t prompt_tokens = 1024;
  std::uint32_t output_tokens = 256;
  std::vector<double> rates;
  double stage_s = 60;
  double pause_s = 0;
  std::string arrivals = "poisson";
  std::uint32_t concurrency = 0;  // 0: an open loop.
  std::uint32_t requests = 100;
  // When not given: the workload's own, or else drawn, because with the same one a second run would
  // meet its prompts in the caches.
  std::uint64_t seed = 0;
};

using Terms = std::vector<std::pair<std::string, std::string>>;

void declare(CLI::App& command, WorkloadFlags& flags);
// Plans the workload with a seed; may be called from several threads at once.
using Planner = std::function<Result<load::Workload>(std::uint64_t seed)>;
Result<Planner> make_planner(const WorkloadFlags& flags);
// Of a shipped workload or a file.
Result<Planner> make_planner(const std::string& name_or_path);
// With the seed of the flags.
Result<load::Workload> plan(const WorkloadFlags& flags);
// What a report says of it.
Terms describe(const WorkloadFlags& flags);

}  // namespace fairlead::app
