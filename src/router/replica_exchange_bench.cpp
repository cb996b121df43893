// SPDX-License-Identifier: Apache-2.0
// What it costs that routers tell each other: a placement written down and sealed for one other,
// and there judged, read and taken into the history; by keys of a prompt and placements of a batch.
// The history is full, so each takes another's place.
#include <benchmark/benchmark.h>

#include <numeric>
#include <string>
#include <vector>

#include "core/replication/replica_inbox.h"
#include "router/shared_history.h"

namespace fairlead::router {
namespace {

constexpr std::size_t kBlockBytes = 1024;
constexpr std::uint64_t kHistoryBytes = std::uint64_t{64} << 20;

void tell_and_take(benchmark::State& state) {
  const auto placements = state.range(1);
  std::vector<std::uint64_t> keys(static_cast<std::size_t>(state.range(0)));
  std::iota(keys.begin(), keys.end(), 1);
  const auto secret = *replication::ReplicaSecret::derive("correct horse battery staple");
  const replication::Challenge challenge = secret.challenge(1, 1);
  replication::ReplicaInbox inbox(secret, 1);
  replication::PlacementWriter writer;
  SharedHistory history(kBlockBytes, kHistoryBytes);
  std::uint64_t number = 0;
  for (auto _ : state) {
    for (std::int64_t i = 0; i < placements; ++i) {
      for (std::uint64_t& key : keys) key += keys.size();
      writer.add({7, keys});
    }
    const std::string message = writer.finish({2, ++number, kBlockBytes});
    const auto seal = secret.seal(challenge, replication::digest_of(message));
    const std::string_view bytes(reinterpret_cast<const char*>(seal.data()), seal.size());
    if (inbox.take(challenge, message, bytes, kBlockBytes, Time{}) !=
        replication::BatchResult::kTaken) {
      state.SkipWithError("a batch was refused");
    }
    for (const replication::Placement& one : inbox.placements()) history.record(0, one.keys);
  }
  state.SetItemsProcessed(state.iterations() * placements);
}
BENCHMARK(tell_and_take)->Args({8, 1})->Args({8, 10})->Args({64, 10})->Args({512, 10});

}  // namespace
}  // namespace fairlead::router
