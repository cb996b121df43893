// SPDX-License-Identifier: Apache-2.0
// How good a contender of a sweep is: its TTFT mean, p95 and p99 on each workload and seed over the
// best that any rival has there, each figure by itself. Below 1 is better than every rival.
//
//   geometric mean   of each workload's geometric mean over figures and seeds; workloads weigh
//   alike worst workload   greatest geometric mean over the seeds of one figure on one workload
//   worst seed       greatest geometric mean over the figures on one workload with one seed
//
// A contender under which more requests fail than under the best rival counts as infinitely bad,
// because TTFT is of those that were answered; rivals are compared among those that fail the least.
// Pure; thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "lab/plan/paired_ratio.h"
#include "lab/plan/study.h"

namespace fairlead::plan {

inline constexpr std::array<std::string_view, 3> kScoredFigures = {"ttft_mean", "ttft_p95",
                                                                   "ttft_p99"};
using Scored = std::array<double, kScoredFigures.size()>;  // In that order.

Scored scored_figures(const RunFigures& run);

// A policy's runs, by workload and then seed.
using RunGrid = std::vector<std::vector<RunFigures>>;

struct Mark {
  Scored best{};             // Over the rivals, each figure by itself.
  std::uint64_t failed = 0;  // The fewest.
};
using MarkGrid = std::vector<std::vector<Mark>>;

// Of rivals with as many workloads and seeds each, at least one rival. An error where all fail all
// requests.
Result<MarkGrid> marks_of(std::span<const RunGrid> rivals);

struct WorstWorkload {
  double ratio = 0;
  std::size_t workload = 0;
  std::size_t figure = 0;
};

struct WorstSeed {
  double ratio = 0;
  std::size_t workload = 0;
  std::uint64_t seed = 0;
};

struct Score {
  double geometric_mean = 0;
  Interval interval;  // 95 % of it.
  WorstWorkload worst_workload;
  WorstSeed worst_seed;
  std::uint64_t failed_more = 0;             // Requests, over all runs.
  std::vector<Scored> workloads;             // Geometric means over the seeds.
  std::vector<std::vector<Scored>> by_seed;  // The ratios, by workload.
};

// `marks` may have more seeds than the runs; the first ones count.
Score score(const RunGrid& runs, const MarkGrid& marks, std::uint64_t seed);

// What the front is made of: less is better.
struct Objectives {
  double geometric_mean = 0;
  double worst = 0;
};
Objectives objectives(const Score& score);

// 0 for what nothing dominates (no less on one and less on the other), 1 for what is left
// undominated without those, and so on.
std::vector<std::uint32_t> pareto_ranks(std::span<const Objectives> all);

}  // namespace fairlead::plan
