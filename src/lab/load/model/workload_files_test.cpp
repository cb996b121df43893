// SPDX-License-Identifier: Apache-2.0
// The files of data/workloads: they plan, fit the engines they are made for, and have the figures
// that docs/workloads.md states.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

#include "lab/load/model/cache_bound.h"
#include "lab/load/model/gzip.h"
#include "lab/load/model/workload_plan.h"

namespace fairlead::load {
namespace {

const std::string kRoot = FAIRLEAD_SOURCE_DIR;
// Of 8 engines of data/engines/qwen3-32b-2xh100.yaml.
constexpr std::uint32_t kEngines = 8;
constexpr std::uint64_t kFleetTokens = 8ULL * 307'328;
constexpr std::uint32_t kModelTokens = 262'144;
constexpr std::uint32_t kBlockTokens = 64;

std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

Trace trace_named(std::string_view name) {
  const std::string path = fmt::format("{}/data/traces/{}", kRoot, name);
  if (std::filesystem::exists(path + ".csv.gz")) {
    return parse_azure(inflate_gzip(bytes_of(path + ".csv.gz"), 64 << 20).value()).value();
  }
  return parse_mooncake(inflate_gzip(bytes_of(path + ".jsonl.gz"), 64 << 20).value()).value();
}

struct Shipped {
  WorkloadSpec spec;
  Workload workload;
};

Shipped read_shipped(const std::filesystem::path& path) {
  Shipped file;
  file.spec = parse_workload(bytes_of(path), path.filename().string()).value();
  const std::string_view trace = trace_of(file.spec);
  const Trace read = trace.empty() ? Trace{} : trace_named(trace);
  file.workload = plan_workload(file.spec, file.spec.seed, &read).value();
  return file;
}

std::vector<std::filesystem::path> files() {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(kRoot + "/data/workloads")) {
    paths.push_back(entry.path());
  }
  std::ranges::sort(paths);
  return paths;
}

// Rows of the page's table by workload.
std::map<std::string, std::string> stated() {
  std::map<std::string, std::string> rows;
  std::ifstream page(kRoot + "/docs/workloads.md");
  for (std::string line; std::getline(page, line);) {
    if (line.starts_with("| `") && std::ranges::count(line, '|') == 11) {
      rows[line.substr(3, line.find('`', 3) - 3)] = line;
    }
  }
  return rows;
}

// Seconds of one engine that a request takes: its uncached tokens and what they attend to, then its
// answer in batches of 90, by the coefficients of the engine's profile.
double engine_seconds(const PlannedRequest& request, double hit) {
  const double prompt = request.prompt_tokens;
  const double fresh = prompt * (1 - hit);
  const double context = prompt + request.output_tokens / 2.0;
  return fresh * (43e-6 + 1.5e-9 * (prompt - fresh / 2)) +
         request.output_tokens * (10.5e-3 / 90 + 4.4e-6 + 46e-9 * context);
}

struct Figures {
  double seconds = 0;
  double prompt = 0;
  double answer = 0;
  double ideal = 0;
  double pooled = 0;
  double load = 0;
};

Figures figures_of(const Workload& workload) {
  Figures figures;
  for (const Stage& stage : workload.stages) figures.seconds += to_seconds(stage.length);
  figures.ideal = pooled_hit_rate(workload, kBlockTokens, std::uint64_t{1} << 40);
  figures.pooled = pooled_hit_rate(workload, kBlockTokens, kFleetTokens);
  double busy = 0;
  for (const PlannedRequest& request : workload.requests) {
    figures.prompt += request.prompt_tokens;
    figures.answer += request.output_tokens;
    busy += engine_seconds(request, figures.pooled);
  }
  figures.prompt /= static_cast<double>(workload.requests.size());
  figures.answer /= static_cast<double>(workload.requests.size());
  figures.load = busy / (kEngines * figures.seconds);
  return figures;
}

std::string row_of(const Shipped& file) {
  const Figures figures = figures_of(file.workload);
  return fmt::format(
      "| `{}` | {} | {} | {} | {:.0f} | {:.0f} | {:.0f} | {:.2f} | {:.2f} | {:.2f} |",
      file.spec.name, file.spec.kind, file.spec.use == WorkloadUse::kTrain ? "train" : "validate",
      file.workload.requests.size(), figures.seconds, figures.prompt, figures.answer, figures.ideal,
      figures.pooled, figures.load);
}

TEST(WorkloadFiles, AreWhatThePageSays) {
  const auto rows = stated();
  const auto paths = files();
  EXPECT_EQ(rows.size(), paths.size());
  for (const auto& path : paths) {
#ifdef FAIRLEAD_SANITIZED
    if (path.stem() != "reasoning") continue;
#endif
    const Shipped file = read_shipped(path);
    const auto row = rows.find(path.stem().string());
    EXPECT_EQ(row == rows.end() ? "" : row->second, row_of(file)) << path;
  }
}

TEST(WorkloadFiles, HaveTheirNameAndFitTheModel) {
  for (const auto& path : files()) {
    const Shipped file = read_shipped(path);
    EXPECT_EQ(file.spec.name, path.stem().string());
    EXPECT_EQ(file.workload.name, file.spec.name);
    EXPECT_LE(file.spec.about.size(), 90u) << path;
    for (const PlannedRequest& request : file.workload.requests) {
      ASSERT_LE(request.prompt_tokens + request.output_tokens, kModelTokens) << path;
      ASSERT_GT(request.prompt_tokens, 0u) << path;
      ASSERT_GT(request.output_tokens, 0u) << path;
    }
  }
}

TEST(WorkloadFiles, B2bIsTheBuiltInLadder) {
  const Workload file = read_shipped(kRoot + "/data/workloads/b2b.yaml").workload;
  const Workload built_in = plan_synthetic(b2b_settings(1)).value();
  EXPECT_EQ(file.parts, built_in.parts);
  ASSERT_EQ(file.requests.size(), built_in.requests.size());
  for (std::size_t i = 0; i < file.requests.size(); ++i) {
    ASSERT_EQ(file.requests[i].at, built_in.requests[i].at);
    ASSERT_EQ(file.requests[i].first_part, built_in.requests[i].first_part);
  }
  ASSERT_EQ(file.stages.size(), built_in.stages.size());
  for (std::size_t i = 0; i < file.stages.size(); ++i) {
    EXPECT_EQ(file.stages[i].name, built_in.stages[i].name);
    EXPECT_EQ(file.stages[i].pause_after, built_in.stages[i].pause_after);
  }
}

}  // namespace
}  // namespace fairlead::load
