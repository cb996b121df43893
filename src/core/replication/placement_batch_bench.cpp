// SPDX-License-Identifier: Apache-2.0
// What it costs that routers tell each other: a placement written down and sealed by the one, and
// judged and read by the other, by keys of a prompt and placements of a batch.
#include <benchmark/benchmark.h>

#include <numeric>
#include <string>
#include <vector>

#include "core/replication/replica_inbox.h"

namespace fairlead::replication {
namespace {

void tell_and_take(benchmark::State& state) {
  const auto placements = state.range(1);
  std::vector<std::uint64_t> keys(static_cast<std::size_t>(state.range(0)));
  std::iota(keys.begin(), keys.end(), 1);
  const ReplicaSecret secret = *ReplicaSecret::derive("correct horse battery staple");
  ReplicaInbox inbox(secret, 1);
  PlacementWriter writer;
  std::uint64_t number = 0;
  for (auto _ : state) {
    for (std::int64_t i = 0; i < placements; ++i) writer.add({7, keys});
    const std::string message = writer.finish({2, ++number, 1024});
    const Seal seal = secret.seal(message);
    const std::string_view bytes(reinterpret_cast<const char*>(seal.data()), seal.size());
    if (inbox.take(message, bytes, 1024, Time{}) != BatchResult::kTaken) {
      state.SkipWithError("a batch was refused");
    }
    benchmark::DoNotOptimize(inbox.placements().data());
  }
  state.SetItemsProcessed(state.iterations() * placements);
}
BENCHMARK(tell_and_take)->Args({8, 1})->Args({8, 10})->Args({64, 10})->Args({512, 10});

}  // namespace
}  // namespace fairlead::replication
