// SPDX-License-Identifier: Apache-2.0
// What the KV index costs: a block stored, stored again elsewhere, removed; a lookup; retirement.
// Synthetic chains (a shared beginning, then private blocks) in events of 128 blocks; the workload
// that is compared with other indexes is `make bench T=kvindex`.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/random.h"
#include "core/prefix/kv_index.h"
#include "core/prefix/kv_lane.h"
#include "core/prefix/token_keys.h"

namespace fairlead::prefix {
namespace {

constexpr std::uint64_t kSeed = 3;
constexpr std::size_t kEvent = 128;

struct Chain {
  std::vector<std::uint64_t> contents;
  std::vector<std::uint64_t> keys;
  std::vector<std::uint64_t> hashes;
};

// `shared` leading blocks are those of every chain.
Chain chain_of(std::uint64_t id, std::size_t blocks, std::size_t shared) {
  const TokenKeys token_keys(kSeed);
  Chain chain;
  std::uint64_t key = 1;
  for (std::size_t i = 0; i < blocks; ++i) {
    chain.contents.push_back(mix64(i < shared ? i : id << 20 | i));
    key = token_keys.chain(key, chain.contents.back());
    chain.keys.push_back(key);
    chain.hashes.push_back(mix64(key));
  }
  return chain;
}

void store(KvLane& lane, KvSlot slot, const Chain& chain, std::size_t from, std::size_t to) {
  for (; from < to; from += kEvent) {
    const std::size_t count = std::min(kEvent, to - from);
    std::optional<std::uint64_t> parent;
    if (from > 0) parent = chain.hashes[from - 1];
    lane.store(slot, 1, parent, std::span(chain.hashes).subspan(from, count),
               std::span(chain.contents).subspan(from, count));
  }
}

void remove(KvLane& lane, KvSlot slot, const Chain& chain, std::size_t from) {
  std::array<std::uint64_t, kEvent> event;
  for (std::size_t to = chain.hashes.size(); to > from;) {
    const std::size_t count = std::min(kEvent, to - from);
    for (std::size_t i = 0; i < count; ++i) event[i] = chain.hashes[to - 1 - i];
    lane.remove(slot, std::span(event).first(count));
    to -= count;
  }
}

struct Fleet {
  Fleet(std::uint32_t slots, std::size_t chains, std::size_t blocks, std::size_t shared_blocks)
      : shared(shared_blocks),
        lane({.seed = kSeed, .budget_bytes = std::uint64_t{1} << 30, .slots_max = slots}) {
    for (std::uint32_t i = 0; i < slots; ++i) rows.push_back(*lane.open(0));
    for (std::size_t i = 0; i < chains; ++i) {
      all.push_back(chain_of(i + 1, blocks, shared));
    }
  }
  KvSlot row(std::size_t chain) const { return rows[chain % rows.size()]; }
  // Each chain once; the shared blocks once a slot.
  void fill() {
    for (std::size_t i = 0; i < all.size(); ++i) {
      const std::size_t from = i < rows.size() || shared == all[i].keys.size() ? 0 : shared;
      store(lane, row(i), all[i], from, all[i].keys.size());
    }
  }

  std::size_t shared;
  KvLane lane;
  std::vector<KvSlot> rows;
  std::vector<Chain> all;
};

// New content: 2,000 chains of 400 blocks; the index is rebuilt in memory that was used before.
void store_new(benchmark::State& state) {
  Fleet fleet(static_cast<std::uint32_t>(state.range(0)), 2'000, 400, 32);
  fleet.fill();
  for (auto _ : state) {
    state.PauseTiming();
    for (std::size_t i = 0; i < fleet.all.size(); ++i) {
      remove(fleet.lane, fleet.row(i), fleet.all[i], 32);
    }
    state.ResumeTiming();
    for (std::size_t i = 0; i < fleet.all.size(); ++i) {
      store(fleet.lane, fleet.row(i), fleet.all[i], 32, 400);
    }
  }
  if (fleet.lane.figures().conflicts != 0) std::abort();
  state.SetItemsProcessed(state.iterations() * 2'000 * 368);
  state.counters["bytes_a_block"] = static_cast<double>(fleet.lane.memory_bytes()) /
                                    static_cast<double>(fleet.lane.figures().blocks);
}
BENCHMARK(store_new)->Arg(8)->Arg(1'000)->Unit(benchmark::kMillisecond);

void remove_tails(benchmark::State& state) {
  Fleet fleet(static_cast<std::uint32_t>(state.range(0)), 2'000, 400, 32);
  fleet.fill();
  for (auto _ : state) {
    state.PauseTiming();
    for (std::size_t i = 0; i < fleet.all.size(); ++i) {
      if (fleet.lane.figures().removed > 0) store(fleet.lane, fleet.row(i), fleet.all[i], 32, 400);
    }
    state.ResumeTiming();
    for (std::size_t i = 0; i < fleet.all.size(); ++i) {
      remove(fleet.lane, fleet.row(i), fleet.all[i], 32);
    }
  }
  state.SetItemsProcessed(state.iterations() * 2'000 * 368);
}
BENCHMARK(remove_tails)->Arg(8)->Arg(1'000)->Unit(benchmark::kMillisecond);

// What one slot has, others store too.
void store_shared(benchmark::State& state) {
  Fleet fleet(1'000, 1, 2'000, 0);
  for (auto _ : state) {
    for (std::size_t i = 0; i < 1'000; ++i) {
      store(fleet.lane, fleet.rows[i], fleet.all[0], 0, 2'000);
    }
    state.PauseTiming();
    for (std::size_t i = 1; i < 1'000; ++i) remove(fleet.lane, fleet.rows[i], fleet.all[0], 0);
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * 1'000 * 2'000);
}
BENCHMARK(store_shared)->Unit(benchmark::kMillisecond);

// Decoding: a block at a time, here and there.
void store_one(benchmark::State& state) {
  Fleet fleet(8, 2'000, 400, 32);
  for (std::size_t i = 0; i < fleet.all.size(); ++i) {
    store(fleet.lane, fleet.row(i), fleet.all[i], i < 8 ? 0 : 32, 380);
  }
  for (auto _ : state) {
    for (std::size_t block = 380; block < 400; ++block) {
      for (std::size_t i = 0; i < fleet.all.size(); ++i) {
        store(fleet.lane, fleet.row(i), fleet.all[i], block, block + 1);
      }
    }
    state.PauseTiming();
    for (std::size_t i = 0; i < fleet.all.size(); ++i) {
      remove(fleet.lane, fleet.row(i), fleet.all[i], 380);
    }
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * 2'000 * 20);
}
BENCHMARK(store_one)->Unit(benchmark::kMillisecond);

// Arguments: slots, blocks, of these shared by all slots.
void lookup(benchmark::State& state) {
  const auto blocks = static_cast<std::size_t>(state.range(1));
  Fleet fleet(static_cast<std::uint32_t>(state.range(0)), 2'000, blocks,
              static_cast<std::size_t>(state.range(2)));
  fleet.fill();
  const std::array<const KvLane*, 1> lanes{&fleet.lane};
  const KvIndex index(lanes);
  std::vector<KvDepth> depths(index.rows());
  Random random(1);
  std::uint64_t found = 0;
  for (auto _ : state) {
    const std::size_t i = random.below(2'000);
    index.match(fleet.all[i].keys, depths);
    found += depths[fleet.row(i)];
  }
  if (found != static_cast<std::uint64_t>(state.iterations()) * blocks) std::abort();
}
BENCHMARK(lookup)
    ->ArgNames({"slots", "blocks", "shared"})
    ->Args({8, 64, 32})
    ->Args({8, 2'000, 32})
    ->Args({1'000, 64, 32})
    ->Args({1'000, 512, 32})
    ->Args({1'000, 2'000, 32})
    ->Args({1'000, 512, 512})
    ->Args({1'000, 512, 500});

void retire_100k(benchmark::State& state) {
  Fleet fleet(8, 1, 100'000, 0);
  fleet.lane.retire(fleet.rows.back());
  fleet.lane.recycle(fleet.rows.back());
  for (auto _ : state) {
    state.PauseTiming();
    fleet.fill();
    state.ResumeTiming();
    fleet.rows[0] = *fleet.lane.clear(fleet.rows[0]);
    state.PauseTiming();
    while (fleet.lane.sweep(1'000) > 0) {
    }
    for (std::uint32_t slot = 0; slot < 8; ++slot) {
      const auto id = static_cast<KvSlot>(slot);
      if (fleet.lane.swept(id)) fleet.lane.recycle(id);
    }
    state.ResumeTiming();
  }
}
BENCHMARK(retire_100k)->Iterations(50);

}  // namespace
}  // namespace fairlead::prefix
