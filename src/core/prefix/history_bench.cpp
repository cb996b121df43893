// SPDX-License-Identifier: Apache-2.0
// What routed history costs a request: history_us_500k is one record() of a 500 kB prompt (488
// blocks) into a warm history, the limit being 20 us; match_488_* are lookups of such a prompt.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <vector>

#include "base/random.h"
#include "core/prefix/routed_history.h"

namespace fairlead::prefix {
namespace {

using Keys = std::vector<std::uint64_t>;

constexpr std::size_t kBlock = 1024;
constexpr std::size_t kPromptBlocks = 488;
constexpr std::size_t kSystemBlocks = 16;
constexpr std::uint64_t kBudgetBytes = 4'800'000;  // 1.2M tokens of 4 bytes.

void extend(Keys& keys, std::size_t blocks, Random& random) {
  for (std::size_t i = 0; i < blocks; ++i) {
    keys.push_back(mix64((keys.empty() ? 0 : keys.back()) ^ random.next()));
  }
}

// 500 kB prompts under eight system prompts.
std::vector<Keys> long_prompts(std::size_t count, Random& random) {
  std::vector<Keys> systems(8);
  for (Keys& system : systems) extend(system, kSystemBlocks, random);
  std::vector<Keys> prompts;
  for (std::size_t i = 0; i < count; ++i) {
    prompts.push_back(systems[i % systems.size()]);
    extend(prompts.back(), kPromptBlocks - kSystemBlocks, random);
  }
  return prompts;
}

// Every endpoint full of prompts of all lengths.
void warm(RoutedHistory& history, std::uint32_t endpoints, const std::vector<Keys>& prompts,
          Random& random) {
  for (std::uint32_t slot = 0; slot < endpoints; ++slot) {
    for (int i = 0; i < 40; ++i) {
      const Keys& keys = prompts[random.below(prompts.size())];
      history.record(slot, std::span(keys).first(1 + random.below(keys.size())));
    }
  }
}

void report(benchmark::State& state, const RoutedHistory& history) {
  const RoutedHistory::Figures& figures = history.figures();
  state.counters["runs"] = static_cast<double>(figures.runs);
  state.counters["held_blocks"] = static_cast<double>(figures.held_blocks);
  state.counters["bytes_a_block"] =
      static_cast<double>(history.memory_bytes()) / static_cast<double>(figures.held_blocks);
}

// New prompts below known system prompts: every record adds a run and evicts as many blocks.
void history_us_500k(benchmark::State& state) {
  const auto endpoints = static_cast<std::uint32_t>(state.range(0));
  Random random(1);
  RoutedHistory history(kBlock, kBudgetBytes);
  const std::vector<Keys> prompts = long_prompts(4096, random);
  warm(history, endpoints, prompts, random);
  std::size_t next = 0;
  for (auto _ : state) {
    const auto slot = static_cast<std::uint32_t>(random.below(endpoints));
    history.record(slot, prompts[next++ % prompts.size()]);
  }
  report(state, history);
}
BENCHMARK(history_us_500k)->Arg(8)->Arg(100)->Arg(1000)->Unit(benchmark::kMicrosecond);

void match_all_of(benchmark::State& state, const RoutedHistory& history,
                  const std::vector<Keys>& prompts) {
  std::vector<MatchedBlocks> out(static_cast<std::size_t>(state.range(0)));
  std::size_t next = 0;
  for (auto _ : state) {
    history.match(prompts[next++ % prompts.size()], out);
    benchmark::DoNotOptimize(out.data());
  }
  report(state, history);
}

// All endpoints hold the prompt, each to its own depth: the longest holder lists.
void match_488_all_hold(benchmark::State& state) {
  Random random(1);
  RoutedHistory history(kBlock, kBudgetBytes);
  const std::vector<Keys> prompts = long_prompts(8, random);
  for (std::int64_t slot = 0; slot < state.range(0); ++slot) {
    for (const Keys& keys : prompts) {
      history.record(static_cast<std::uint32_t>(slot),
                     std::span(keys).first(1 + random.below(keys.size())));
    }
  }
  match_all_of(state, history, prompts);
}
BENCHMARK(match_488_all_hold)->Arg(8)->Arg(100)->Arg(1000)->Unit(benchmark::kMicrosecond);

// The worst case: besides, every endpoint saw the prompts cut off at five places of its own each,
// so that nearly every block became a run.
void match_488_shattered(benchmark::State& state) {
  Random random(1);
  RoutedHistory history(kBlock, kBudgetBytes);
  const std::vector<Keys> prompts = long_prompts(8, random);
  warm(history, static_cast<std::uint32_t>(state.range(0)), prompts, random);
  match_all_of(state, history, prompts);
}
BENCHMARK(match_488_shattered)->Arg(8)->Arg(100)->Arg(1000)->Unit(benchmark::kMicrosecond);

// The usual case: a shared system prompt, the conversation itself on one endpoint.
void match_488_one_holds(benchmark::State& state) {
  const auto endpoints = static_cast<std::uint32_t>(state.range(0));
  Random random(1);
  RoutedHistory history(kBlock, kBudgetBytes);
  const std::vector<Keys> prompts = long_prompts(std::size_t{endpoints} * 9, random);
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    history.record(static_cast<std::uint32_t>(i % endpoints), prompts[i]);
  }
  std::vector<MatchedBlocks> out(endpoints);
  for (auto _ : state) {
    history.match(prompts[random.below(prompts.size())], out);
    benchmark::DoNotOptimize(out.data());
  }
  report(state, history);
}
BENCHMARK(match_488_one_holds)->Arg(8)->Arg(100)->Arg(1000)->Unit(benchmark::kMicrosecond);

// Cost against the number of runs on the path; one endpoint.
void match_488_by_runs(benchmark::State& state) {
  const auto runs = static_cast<std::size_t>(state.range(0));
  Random random(1);
  RoutedHistory history(kBlock, kBudgetBytes);
  const Keys prompt = long_prompts(1, random).front();
  for (std::size_t i = 1; i <= runs; ++i) {
    history.record(0, std::span(prompt).first(kPromptBlocks * (runs - i + 1) / runs));
  }
  std::vector<MatchedBlocks> out(1);
  for (auto _ : state) {
    history.match(prompt, out);
    benchmark::DoNotOptimize(out.data());
  }
  report(state, history);
}
BENCHMARK(match_488_by_runs)->Arg(1)->Arg(8)->Arg(64)->Arg(488)->Unit(benchmark::kMicrosecond);

// One full endpoint among others that share its system prompts.
void forget_full_endpoint(benchmark::State& state) {
  Random random(1);
  RoutedHistory history(kBlock, kBudgetBytes);
  const auto endpoints = static_cast<std::size_t>(state.range(0));
  const std::vector<Keys> prompts = long_prompts(endpoints * 9, random);
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    history.record(static_cast<std::uint32_t>(i % endpoints), prompts[i]);
  }
  for (auto _ : state) {
    state.PauseTiming();
    for (std::size_t i = 0; i < prompts.size(); i += endpoints) history.record(0, prompts[i]);
    state.ResumeTiming();
    history.forget(0);
  }
}
BENCHMARK(forget_full_endpoint)->Arg(8)->Arg(1000)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace fairlead::prefix
