// SPDX-License-Identifier: Apache-2.0
// Cost of decoding, by blocks an event, with the tokens of a vocabulary of 152,000.
#include <benchmark/benchmark.h>

#include <vector>

#include "base/random.h"
#include "core/codec/kv_events.h"
#include "core/codec/kv_events_writer.h"

namespace fairlead::codec {
namespace {

constexpr std::size_t kBlockTokens = 16;
constexpr std::size_t kBlocks = 4096;

void BM_DecodeStored(benchmark::State& state) {
  const auto blocks = static_cast<std::size_t>(state.range(0));
  Random random(3);
  std::vector<std::string> payloads;
  for (std::size_t done = 0; done < kBlocks; done += blocks) {
    std::vector<std::uint64_t> hashes(blocks);
    std::vector<std::uint32_t> tokens(blocks * kBlockTokens);
    for (auto& hash : hashes) hash = random.next();
    // Frequent tokens have small ids: log-uniform.
    for (auto& token : tokens) {
      token = static_cast<std::uint32_t>(151'936 >> random.below(14)) -
              static_cast<std::uint32_t>(random.below(8));
    }
    KvEvent event;
    event.hashes = hashes;
    event.tokens = tokens;
    event.parent = random.next();
    event.block_size = kBlockTokens;
    event.medium = "GPU";
    event.group = 0;
    event.spec_kind = "full_attention";
    KvEventsWriter writer(KvEncoding::kMaps);
    writer.add(event);
    writer.finish(1.0, 0, payloads.emplace_back());
  }
  KvEventDecoder decoder;
  KvBatch batch;
  for (auto _ : state) {
    for (const std::string& payload : payloads) {
      benchmark::DoNotOptimize(decoder.decode(payload, batch));
    }
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kBlocks));
}
BENCHMARK(BM_DecodeStored)->Arg(1)->Arg(8)->Arg(32)->Arg(128);

}  // namespace
}  // namespace fairlead::codec
