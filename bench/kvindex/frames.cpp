// SPDX-License-Identifier: Apache-2.0
#include "frames.h"

#include <fmt/format.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "base/random.h"
#include "clock.h"
#include "core/codec/kv_events_writer.h"
#include "core/prefix/kv_feed.h"

namespace fairlead::bench {
namespace {

constexpr std::uint64_t kSeed = 7;
constexpr std::uint32_t kBlockTokens = 16;
constexpr std::size_t kPods = 8;
constexpr std::size_t kBlocks = 256 * 1024;
constexpr std::size_t kEventsABatch = 64;
constexpr std::size_t kChainBlocks = 512;

struct Payload {
  std::size_t pod;
  std::string bytes;
};

// Ids as a tokenizer gives them: frequent tokens have small ones.
void fill_tokens(std::vector<std::uint32_t>& tokens, Random& random) {
  for (std::uint32_t& token : tokens) {
    token = static_cast<std::uint32_t>(151'936 >> random.below(14)) -
            static_cast<std::uint32_t>(random.below(8));
  }
}

// Batches of pods in turn; a chain of blocks is told in pieces.
std::vector<Payload> payloads(std::size_t blocks_an_event) {
  Random random(kSeed);
  std::vector<Payload> out;
  std::vector<std::uint64_t> parents(kPods);
  std::vector<std::size_t> told(kPods);
  std::vector<std::uint64_t> hashes(blocks_an_event);
  std::vector<std::uint32_t> tokens(blocks_an_event * kBlockTokens);
  codec::KvEventsWriter writer(codec::KvEncoding::kMaps);
  for (std::size_t done = 0; done < kBlocks;) {
    const std::size_t pod = out.size() % kPods;
    for (std::size_t i = 0; i < kEventsABatch; ++i, done += blocks_an_event) {
      for (std::uint64_t& hash : hashes) hash = random.next();
      fill_tokens(tokens, random);
      codec::KvEvent event;
      event.hashes = hashes;
      event.tokens = tokens;
      if (told[pod] % kChainBlocks != 0) event.parent = parents[pod];
      event.block_size = kBlockTokens;
      event.medium = "GPU";
      event.group = 0;
      event.spec_kind = "full_attention";
      writer.add(event);
      told[pod] += blocks_an_event;
      parents[pod] = hashes.back();
    }
    writer.finish(1.0, 0, out.emplace_back(pod, std::string()).bytes);
  }
  return out;
}

// Processor time in ns of all payloads the second time, in warm memory; 0: not all were taken.
std::uint64_t apply_twice(const std::vector<Payload>& traffic) {
  prefix::KvLane lane({.seed = kSeed, .slots_max = 64});
  const prefix::TokenKeys keys(kSeed);
  prefix::KvFeedContext context(lane, keys);
  std::vector<std::unique_ptr<prefix::KvFeed>> feeds;
  for (std::size_t pod = 0; pod < kPods; ++pod) {
    feeds.push_back(std::make_unique<prefix::KvFeed>(context, prefix::KvFeedOptions{.model = "m"}));
  }
  std::uint64_t sequence = 0;
  std::uint64_t ns = 0;
  for (int round = 0; round < 2; ++round) {
    for (const auto& feed : feeds) feed->forget();
    while (lane.sweep(std::size_t{1} << 20) != 0) {
    }
    context.recycle_swept();
    const std::uint64_t before = lane.figures().stored;
    const std::uint64_t began = cpu_ns();
    for (const Payload& payload : traffic) feeds[payload.pod]->apply(sequence++, payload.bytes);
    ns = cpu_ns() - began;
    if (lane.figures().stored - before < kBlocks) return 0;
  }
  return ns;
}

}  // namespace

std::map<std::string, double> frames() {
  std::map<std::string, double> out;
  for (const std::size_t blocks : {1, 32, 128}) {
    const std::vector<Payload> traffic = payloads(blocks);
    const std::uint64_t ns = apply_twice(traffic);
    if (ns == 0) return {};
    const double events = static_cast<double>(traffic.size() * kEventsABatch);
    const double rate = events * 1e3 / static_cast<double>(ns);
    out[fmt::format("frames_mblocks_{}", blocks)] = rate * static_cast<double>(blocks);
    if (blocks == 1) out["frames_mevents_1"] = rate;
  }
  return out;
}

}  // namespace fairlead::bench
