// SPDX-License-Identifier: Apache-2.0
// An index of a million blocks over a restart of the router: what a slice of 32,768 blocks takes to
// be written (the listener's pause), what the file takes to be read and checked, and what the index
// takes to be made of it. Per engine a hash domain of its own, or one for all.
#include <benchmark/benchmark.h>

#include <vector>

#include "base/random.h"
#include "core/codec/restart_file.h"
#include "core/prefix/kv_lane.h"
#include "core/prefix/kv_saved.h"

namespace fairlead::prefix {
namespace {

constexpr std::size_t kEngines = 8;
constexpr std::size_t kSliceBlocks = 32 * 1024;
constexpr std::size_t kChain = 512;
constexpr std::size_t kChains = 2048;
constexpr KvLaneOptions kOptions{.seed = 5, .budget_bytes = std::uint64_t{1} << 30};

// Chains that two engines each hold, a quarter of each chain shared by all chains of its kind.
std::unique_ptr<KvLane> make_lane(bool one_domain) {
  auto lane = std::make_unique<KvLane>(kOptions);
  std::vector<KvSlot> slots;
  for (std::size_t i = 0; i < kEngines; ++i) {
    slots.push_back(*lane->open(one_domain ? 0 : lane->new_domain()));
  }
  std::vector<std::uint64_t> contents(kChain);
  std::vector<std::uint64_t> hashes(kChain);
  for (std::size_t chain = 0; chain < kChains; ++chain) {
    Random random(chain);
    for (std::uint64_t& content : contents) content = random.next();
    for (std::size_t i = 0; i < kChain / 4; ++i) contents[i] = mix64(chain % 64 * kChain + i);
    for (std::size_t copy = 0; copy < 2; ++copy) {
      const std::size_t engine = (chain + copy) % kEngines;
      std::uint64_t hash = one_domain ? 0 : engine;
      for (std::size_t i = 0; i < kChain; ++i) hashes[i] = hash = mix64(hash ^ contents[i]);
      lane->store(slots[engine], 1, std::nullopt, hashes, contents);
    }
  }
  return lane;
}

std::string save(KvLane& lane) {
  codec::RestartWriter writer;
  writer.add(codec::RestartHead{.domains = lane.domains()});
  codec::RestartRun run;
  lane.begin_export();
  while (lane.export_next(run) != KvLane::Exported::kEnd) writer.add(run);
  writer.finish();
  return writer.take();
}

void one_slice(benchmark::State& state) {
  const auto lane = make_lane(state.range(0) == 1);
  codec::RestartRun run;
  lane->begin_export();
  std::size_t blocks = 0;
  for (auto _ : state) {
    codec::RestartWriter writer;
    for (std::size_t slice = 0; slice < kSliceBlocks;) {
      if (lane->export_next(run) != KvLane::Exported::kRun) lane->begin_export();
      writer.add(run);
      slice += 8 + run.keys.size() + run.names.size();
      blocks += run.keys.size();
    }
    benchmark::DoNotOptimize(writer.take());
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(blocks));
}
BENCHMARK(one_slice)->ArgName("one_domain")->Arg(1)->Arg(0)->Unit(benchmark::kMicrosecond);

void read_file(benchmark::State& state) {
  const std::string bytes = save(*make_lane(state.range(0) == 1));
  codec::RestartImage image;
  for (auto _ : state) benchmark::DoNotOptimize(codec::read_restart(bytes, image));
  state.counters["file_bytes"] = static_cast<double>(bytes.size());
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(bytes.size()));
}
BENCHMARK(read_file)->ArgName("one_domain")->Arg(1)->Arg(0)->Unit(benchmark::kMillisecond);

void make_index(benchmark::State& state) {
  const auto from = make_lane(state.range(0) == 1);
  const std::string bytes = save(*from);
  codec::RestartImage image;
  codec::read_restart(bytes, image);
  std::uint64_t blocks = 0;
  for (auto _ : state) {
    KvLane lane(kOptions);
    while (lane.domains() < image.head.domains) lane.new_domain();
    std::vector<std::uint32_t> slots(1024, KvLane::kNoSlot);
    for (std::uint32_t i = 0; i < kEngines; ++i) {
      slots[i] = *lane.open(state.range(0) == 1 ? 0 : 1 + i);
    }
    import_runs(image.runs, slots, lane);
    blocks += lane.figures().blocks;
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(blocks));
}
BENCHMARK(make_index)->ArgName("one_domain")->Arg(1)->Arg(0)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace fairlead::prefix
