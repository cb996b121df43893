// SPDX-License-Identifier: Apache-2.0
#include <benchmark/benchmark.h>

#include "lab/load/model/prompt_content.h"

namespace {

using fairlead::load::PromptPart;

std::vector<PromptPart> prompt() {
  std::vector<PromptPart> parts;
  for (std::uint64_t block = 0; block < 24; ++block) parts.push_back({block, 512});
  return parts;
}

void text(benchmark::State& state) {
  const auto parts = prompt();
  std::string out;
  for (auto _ : state) {
    out.clear();
    fairlead::load::append_prompt_text(parts, out);
    benchmark::DoNotOptimize(out.data());
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(out.size()));
}
BENCHMARK(text);

void keys(benchmark::State& state) {
  const auto parts = prompt();
  std::vector<std::uint64_t> out;
  for (auto _ : state) {
    out.clear();
    fairlead::load::append_block_hashes(parts, 64, out);
    benchmark::DoNotOptimize(out.data());
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(out.size()));
}
BENCHMARK(keys);

}  // namespace
