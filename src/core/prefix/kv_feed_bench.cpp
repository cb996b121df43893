// SPDX-License-Identifier: Apache-2.0
// From the raw payloads of an engine to the updated index: blocks of 16 tokens in the map encoding,
// stored and then removed, by blocks an event. 64 events a batch.
#include <benchmark/benchmark.h>

#include <vector>

#include "base/random.h"
#include "core/codec/kv_events_writer.h"
#include "core/prefix/kv_feed.h"

namespace fairlead::prefix {
namespace {

constexpr std::uint32_t kBlockTokens = 16;
constexpr std::size_t kBlocks = 64 * 1024;
constexpr std::size_t kEventsABatch = 64;
constexpr std::size_t kChainBlocks = 512;

struct Traffic {
  std::vector<std::string> stores;
  std::vector<std::string> removals;
};

// Chains of kChainBlocks blocks, told in pieces.
Traffic make_traffic(std::size_t blocks_an_event) {
  Random random(3);
  Traffic out;
  codec::KvEventsWriter stores(codec::KvEncoding::kMaps);
  codec::KvEventsWriter removals(codec::KvEncoding::kMaps);
  const auto finish = [](codec::KvEventsWriter& writer, std::vector<std::string>& to) {
    if (writer.events() > 0) writer.finish(1.0, 0, to.emplace_back());
  };
  std::vector<std::uint64_t> hashes(blocks_an_event);
  std::vector<std::uint32_t> tokens(blocks_an_event * kBlockTokens);
  std::uint64_t parent = 0;
  for (std::size_t done = 0; done < kBlocks; done += blocks_an_event) {
    for (auto& hash : hashes) hash = random.next();
    // Frequent tokens have small ids: log-uniform.
    for (auto& token : tokens) {
      token = static_cast<std::uint32_t>(151'936 >> random.below(14)) -
              static_cast<std::uint32_t>(random.below(8));
    }
    codec::KvEvent event;
    event.hashes = hashes;
    event.tokens = tokens;
    if (done % kChainBlocks != 0) event.parent = parent;
    event.block_size = kBlockTokens;
    event.medium = "GPU";
    event.group = 0;
    event.spec_kind = "full_attention";
    stores.add(event);
    if (stores.events() == kEventsABatch) finish(stores, out.stores);
    event = {};
    event.kind = codec::KvEventKind::kRemoved;
    event.hashes = hashes;
    event.medium = "GPU";
    event.group = 0;
    removals.add(event);
    if (removals.events() == kEventsABatch) finish(removals, out.removals);
    parent = hashes.back();
  }
  finish(stores, out.stores);
  finish(removals, out.removals);
  return out;
}

void BM_StorePayloads(benchmark::State& state) {
  const Traffic traffic = make_traffic(static_cast<std::size_t>(state.range(0)));
  KvLane lane({.seed = 7, .slots_max = 64});
  const TokenKeys keys(7);
  KvFeedContext context(lane, keys);
  KvFeed feed(context, {.model = "m"});
  std::uint64_t sequence = 0;
  const auto all = [&](const std::vector<std::string>& payloads) {
    for (const std::string& payload : payloads) feed.apply(sequence++, payload);
  };
  all(traffic.stores);  // Memory that was touched once.
  all(traffic.removals);
  for (auto _ : state) {
    all(traffic.stores);
    state.PauseTiming();
    all(traffic.removals);
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kBlocks));
  if (lane.figures().stored < kBlocks) state.SkipWithError("blocks were not stored");
}
BENCHMARK(BM_StorePayloads)->Arg(1)->Arg(8)->Arg(32)->Arg(128);

}  // namespace
}  // namespace fairlead::prefix
