// SPDX-License-Identifier: Apache-2.0
// Sweep: the best of many contenders, each a policy, over several workloads and seeds, against
// rivals.
//
// A grid runs every contender with every seed. Samples are halved (successive halving, Jamieson and
// Talwalkar, AISTATS 2016): all run with one seed, the better half with a second, the better half
// of those with two more, doubling until the last few have had all seeds. "Better" is by Pareto
// rank and then by geometric mean (sweep_score.h). Rivals run once a workload and seed. The front
// is of those that had all seeds; the best is its member with the least geometric mean. Who runs
// the policies is the caller's; what is chosen depends on their figures only. Pure but for that.
// Errors: the runner's, and rivals that answer nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "lab/plan/study.h"
#include "lab/plan/sweep_score.h"
#include "lab/plan/sweep_space.h"

namespace fairlead::plan {

// Counted from the sweep's first seed.
struct SeedRange {
  std::uint32_t first = 0;
  std::uint32_t count = 1;
};

// Runs each policy over all workloads with these seeds; a grid each, in their order.
using PolicyRunner = std::function<Result<std::vector<RunGrid>>(
    std::span<const StudyPolicy> policies, SeedRange seeds)>;

struct Rung {
  std::size_t contenders = 0;
  std::uint32_t seeds = 0;  // That each has had at its end.
};

// Not fewer go on to the last rung, if there are as many.
inline constexpr std::size_t kFinalists = 4;
std::vector<Rung> rungs_of(Search search, std::size_t contenders, std::uint32_t seeds);

struct SweepSettings {
  Search search = Search::kGrid;
  std::uint32_t seeds = 5;  // At least 1.
  std::uint64_t seed = 1;   // Of the intervals.
  std::size_t kept = 0;  // So many of the first contenders, at most kFinalists, are never dropped.
};

struct Tried {
  std::uint32_t seeds = 0;
  Score score;
  RunGrid runs;
};

struct SweepResult {
  std::vector<Rung> rungs;
  std::vector<Tried> tried;        // One a contender.
  std::vector<std::size_t> front;  // Contenders, by geometric mean; the first is the best.
  std::vector<std::size_t> shown;  // The front, and then those kept that are not on it.
  std::vector<RunGrid> rivals;
  std::vector<Score> rival_scores;  // By the same marks as the contenders', with all seeds.
};

// A rung begins with these contenders.
using RungTold = std::function<void(std::size_t rung, std::span<const Rung> rungs)>;

// At least one contender and one rival.
Result<SweepResult> run_sweep(std::span<const StudyPolicy> contenders,
                              std::span<const StudyPolicy> rivals, const SweepSettings& settings,
                              const PolicyRunner& runner, const RungTold& told);

// The chosen on workloads that had no part in choosing them.
struct Judgement {
  std::vector<Tried> judged;  // As chosen.
  std::vector<RunGrid> rivals;
  std::vector<Score> rival_scores;
};

Result<Judgement> judge(std::span<const StudyPolicy> chosen, std::span<const StudyPolicy> rivals,
                        const SweepSettings& settings, const PolicyRunner& runner);

}  // namespace fairlead::plan
