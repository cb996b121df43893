// SPDX-License-Identifier: Apache-2.0
// sim: runs the random worlds of lab/sim (`make sim`).
//
//   sim --worlds 200 --first 7      worlds 7, 8, ... over all processors; the first that fails is
//                                   printed, and the exit code is 1
//   sim --seed 7                    one world, twice: its faults, and that both runs are the same
//   sim_mutants --worlds 200        each planted bug, until a checker sees it; with --mutant n the
//                                   above, in its presence
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <mutex>
#include <optional>
#include <string_view>
#include <thread>
#include <vector>

#include "base/mutant.h"
#include "lab/sim/world.h"

namespace fairlead {
namespace {

struct Options {
  std::uint64_t worlds = 200;
  std::uint64_t first = 1;
  std::optional<std::uint64_t> seed;
  std::optional<std::uint64_t> mutant;  // By its number in base/mutant.h.
};

struct Survey {
  std::uint64_t worlds = 0;
  std::uint64_t requests = 0;
  std::uint64_t faults = 0;
  std::optional<sim::WorldReport> failed;  // Of those that failed, the first.
};

using Policies = std::vector<scheduling::Profile>;

double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

// Ends soon after a world has failed; of several the first one in order is told.
Survey survey(const Options& options, const Policies& policies) {
  Survey result;
  std::mutex mutex;
  std::atomic<std::uint64_t> next{0};
  std::atomic<std::uint64_t> end{options.worlds};
  const auto work = [&] {
    for (std::uint64_t at = next++; at < end.load(); at = next++) {
      sim::WorldReport report = sim::run_world(options.first + at, policies);
      const std::lock_guard lock(mutex);
      ++result.worlds;
      result.requests += report.requests;
      result.faults += report.faults.size();
      if (!report.finding) continue;
      end = std::min(end.load(), at);
      if (!result.failed || report.seed < result.failed->seed) result.failed = std::move(report);
    }
  };
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < std::max(1U, std::thread::hardware_concurrency()); ++i) {
    threads.emplace_back(work);
  }
  for (std::thread& thread : threads) thread.join();
  return result;
}

int run_one(std::uint64_t seed, const Policies& policies) {
  const sim::WorldReport report = sim::run_world(seed, policies);
  std::fputs(sim::describe(report).c_str(), stdout);
  if (sim::describe(sim::run_world(seed, policies)) != sim::describe(report)) {
    std::puts("the same seed gave another world");
    return 1;
  }
  return report.finding ? 1 : 0;
}

int run_many(const Options& options, const Policies& policies) {
  const Survey result = survey(options, policies);
  if (result.failed) {
    std::fputs(sim::describe(*result.failed).c_str(), stdout);
    fmt::print("repeat with: make sim SEED={}\n", result.failed->seed);
    return 1;
  }
  fmt::print("{} worlds from {} on, {} requests, {} faults: all held; {:.1f} ms of CPU a world\n",
             result.worlds, options.first, result.requests, result.faults,
             1e3 * cpu_seconds() / static_cast<double>(result.worlds));
  return 0;
}

#ifdef FAIRLEAD_MUTANTS
int run_mutants(const Options& options, const Policies& policies) {
  int survivors = 0;
  fmt::print("{:<20} {:>8}  {}\n", "mutant", "world", "checker");
  for (std::size_t i = 0; i < kMutantNames.size(); ++i) {
    planted_mutant = static_cast<Mutant>(i);
    const Survey result = survey(options, policies);
    const bool caught = result.failed.has_value();
    // Without a bug, nothing may be found.
    if (caught == (i == 0)) ++survivors;
    if (caught) {
      fmt::print("{:<20} {:>8}  {}: {}\n", kMutantNames[i], result.failed->seed - options.first + 1,
                 result.failed->finding->checker, result.failed->finding->what);
    } else {
      fmt::print("{:<20} {:>8}  {}\n", kMutantNames[i], "-",
                 i == 0 ? "nothing found, as it should be" : "SURVIVED");
    }
    std::fflush(stdout);
  }
  fmt::print("{} of {} as they should be\n",
             kMutantNames.size() - static_cast<std::size_t>(survivors), kMutantNames.size());
  return survivors == 0 ? 0 : 1;
}
#endif

int main_with(const Options& options) {
  const auto policies = sim::sim_policies();
  if (!policies) {
    fmt::print(stderr, "sim: {}\n", policies.error().message);
    return 2;
  }
#ifdef FAIRLEAD_MUTANTS
  if (!options.mutant) return run_mutants(options, *policies);
  planted_mutant = static_cast<Mutant>(*options.mutant);
#endif
  return options.seed ? run_one(*options.seed, *policies) : run_many(options, *policies);
}

}  // namespace
}  // namespace fairlead

int main(int count, char** arguments) {
  fairlead::Options options;
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string_view name = arguments[i];
    const std::uint64_t value = std::strtoull(arguments[i + 1], nullptr, 10);
    if (name == "--worlds") options.worlds = value;
    if (name == "--first") options.first = value;
    if (name == "--seed") options.seed = value;
    if (name == "--mutant") options.mutant = value;
  }
  return fairlead::main_with(options);
}
