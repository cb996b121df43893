// SPDX-License-Identifier: Apache-2.0
// Block keys over a prompt: in one span, and in messages of 2 kB, whose edges cross blocks.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "core/prefix/byte_keys.h"

namespace {

using fairlead::prefix::byte_keys;
using fairlead::prefix::Span;

void keys(benchmark::State& state) {
  const auto size = static_cast<std::size_t>(state.range(0));
  const auto span = state.range(1) == 0 ? size : static_cast<std::size_t>(state.range(1));
  const auto block = static_cast<std::size_t>(state.range(2));
  std::string text(size, 'x');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 131 >> 3);
  std::vector<Span> spans;
  for (std::size_t at = 0; at < size; at += span) {
    spans.push_back({std::string_view(text).substr(at, span), 1});
  }
  std::vector<std::uint64_t> out;
  for (auto _ : state) {
    byte_keys(spans, block, 42, out);
    benchmark::DoNotOptimize(out.data());
  }
  if (out.size() != size / block) std::abort();
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(keys)
    ->ArgNames({"bytes", "span", "block"})
    ->Args({800, 0, 1024})
    ->Args({8'000, 0, 1024})
    ->Args({220'000, 0, 1024})
    ->Args({500'000, 0, 1024})
    ->Args({500'000, 2'000, 1024})
    ->Args({500'000, 0, 256})
    ->Args({500'000, 0, 64});

}  // namespace
