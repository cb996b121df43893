// SPDX-License-Identifier: Apache-2.0
// Lookups on other threads while the lane's writer is at work. Every chain belongs to one slot,
// which always holds its first blocks, and all slots always hold a shared beginning: whatever the
// instant, a lookup must find these, nothing for others, and never more than the whole chain.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "base/random.h"
#include "core/prefix/kv_index.h"
#include "core/prefix/kv_lane.h"
#include "core/prefix/token_keys.h"

namespace fairlead::prefix {
namespace {

constexpr std::uint64_t kRaceSeed = 21;
constexpr std::uint32_t kRaceSlots = 80;
constexpr std::size_t kShared = 20;
constexpr std::size_t kAlways = 30;  // Of the chain, the shared blocks included.
constexpr std::size_t kLongest = 90;
constexpr std::size_t kChains = 160;
constexpr std::uint64_t kRaceRoot = 5;
constexpr std::uint64_t kCutOfMost = 20;  // One of so many lookups may be cut short.

struct RaceChain {
  std::vector<std::uint64_t> contents;
  std::vector<std::uint64_t> keys;
  std::vector<std::uint64_t> hashes;
};

std::vector<RaceChain> race_chains() {
  const TokenKeys token_keys(kRaceSeed);
  std::vector<RaceChain> chains(kChains);
  for (std::size_t c = 0; c < kChains; ++c) {
    std::uint64_t key = kRaceRoot;
    for (std::size_t i = 0; i < kLongest; ++i) {
      chains[c].contents.push_back(i < kShared ? i : mix64(c * 1000 + i));
      key = token_keys.chain(key, chains[c].contents.back());
      chains[c].keys.push_back(key);
      chains[c].hashes.push_back(mix64(key));
    }
  }
  return chains;
}

// The writer's side: what each chain holds beyond its constant part, and a visitor that comes and
// goes.
class RaceWriter {
 public:
  RaceWriter(KvLane& lane, const std::vector<RaceChain>& chains)
      : lane_(lane), chains_(chains), held_(kChains, kAlways) {
    for (std::uint32_t i = 0; i < kRaceSlots; ++i) slots_.push_back(*lane_.open(0));
    for (std::size_t c = 0; c < kChains; ++c) store(c, 0, kAlways);
    visitor_ = *lane_.open(0);
  }

  void step() {
    const std::size_t c = random_.below(kChains);
    std::size_t& held = held_[c];
    const std::uint64_t dice = random_.below(100);
    if (dice < 2) {
      lane_.retire(visitor_);
      while (lane_.sweep(1'000) > 0) {
      }
      lane_.recycle(visitor_);
      visitor_ = *lane_.open(0);
    } else if (dice < 20) {
      visit(c);
    } else if (held < kLongest && dice < 60) {
      const std::size_t to = held + 1 + random_.below(kLongest - held);
      store(c, held, to);
      held = to;
    } else if (held > kAlways) {
      const std::size_t to = kAlways + random_.below(held - kAlways);
      lane_.remove(slot(c), std::span(chains_[c].hashes).subspan(to, held - to));
      held = to;
    }
  }

  KvSlot slot(std::size_t chain) const { return slots_[chain % kRaceSlots]; }

 private:
  void store(std::size_t c, std::size_t from, std::size_t to) {
    const RaceChain& chain = chains_[c];
    std::optional<std::uint64_t> parent;
    if (from > 0) parent = chain.hashes[from - 1];
    lane_.store(slot(c), kRaceRoot, parent, std::span(chain.hashes).subspan(from, to - from),
                std::span(chain.contents).subspan(from, to - from));
  }
  // Holds some of a chain, then loses some from its middle: runs are split.
  void visit(std::size_t c) {
    const RaceChain& chain = chains_[c];
    const std::size_t to = 1 + random_.below(held_[c]);
    lane_.hold(visitor_, std::span(chain.hashes).first(to));
    const std::size_t from = random_.below(to);
    lane_.remove(visitor_, std::span(chain.hashes).subspan(from, 1));
  }

  KvLane& lane_;
  const std::vector<RaceChain>& chains_;
  std::vector<std::size_t> held_;
  std::vector<KvSlot> slots_;
  KvSlot visitor_ = 0;
  Random random_{kRaceSeed};
};

struct RaceSeen {
  std::uint64_t lookups = 0;
  std::uint64_t retries = 0;
  std::uint64_t cut_short = 0;
  std::uint64_t wrong = 0;
};

void look_up(const KvIndex& index, const std::vector<RaceChain>& chains, const RaceWriter& writer,
             std::uint64_t seed, std::uint64_t lookups, RaceSeen& seen) {
  Random random(seed);
  std::vector<KvDepth> depths(index.rows());
  for (; seen.lookups < lookups; ++seen.lookups) {
    const std::size_t c = random.below(kChains);
    const KvLookup lookup = index.match(chains[c].keys, depths);
    seen.retries += lookup.retries;
    if (lookup.cut > 0) {
      ++seen.cut_short;
      std::this_thread::yield();  // The writer may have lost its processor in mid-change.
      continue;
    }
    const KvSlot owner = writer.slot(c);
    if (depths[owner] < kAlways) ++seen.wrong;
    for (std::uint32_t row = 0; row < kRaceSlots; ++row) {
      if (row != owner && depths[row] != kShared) ++seen.wrong;
    }
  }
}

TEST(KvIndexRace, LookupsBesideTheWriterFindWhatIsAlwaysHeldAndInventNothing) {
  constexpr std::uint64_t kLookups = 150'000;
  const auto chains = race_chains();
  KvLane lane({.seed = kRaceSeed, .budget_bytes = 64U << 20, .slots_max = kRaceSlots + 1});
  RaceWriter writer(lane, chains);
  const std::array<const KvLane*, 1> lanes{&lane};
  const KvIndex index(lanes);
  std::array<RaceSeen, 2> seen;
  std::atomic<int> running{2};
  std::vector<std::thread> readers;
  for (std::size_t i = 0; i < seen.size(); ++i) {
    readers.emplace_back([&, i] {
      look_up(index, chains, writer, i, kLookups, seen[i]);
      running.fetch_sub(1);
    });
  }
  std::uint64_t events = 0;
  for (; running.load() > 0; ++events) writer.step();
  for (std::thread& reader : readers) reader.join();
  std::uint64_t retries = 0;
  std::uint64_t cut_short = 0;
  for (const RaceSeen& one : seen) {
    EXPECT_EQ(one.wrong, 0);
    EXPECT_LT(one.cut_short, one.lookups / kCutOfMost);
    cut_short += one.cut_short;
    retries += one.retries;
  }
  fmt::print("{} events beside {} lookups, {} retries, {} cut short\n", events, 2 * kLookups,
             retries, cut_short);
  EXPECT_GT(events, 1000);
}

// Every chain is a run of its own, so that the table of runs grows through several of its forms.
TEST(KvIndexRace, LookupsFindWhatIsHeldWhileTheTableOfRunsGrows) {
  constexpr std::uint64_t kRuns = 40'000;
  const TokenKeys token_keys(kRaceSeed);
  const auto key_of = [&](std::uint64_t run) { return token_keys.chain(kRaceRoot, mix64(run)); };
  KvLane lane({.seed = kRaceSeed, .budget_bytes = 64U << 20, .slots_max = 8});
  const KvSlot slot = *lane.open(0);
  const std::array<const KvLane*, 1> lanes{&lane};
  const KvIndex index(lanes);
  std::atomic<std::uint64_t> stored{0};
  std::atomic<std::uint64_t> wrong{0};
  std::vector<std::thread> readers;
  for (std::uint64_t i = 0; i < 2; ++i) {
    readers.emplace_back([&, i] {
      Random random(i);
      std::vector<KvDepth> depths(index.rows());
      std::uint64_t lookups = 0;
      std::uint64_t cut_short = 0;
      for (std::uint64_t there = 0; there < kRuns; there = stored.load()) {
        if (there == 0) continue;
        ++lookups;
        const std::uint64_t key = key_of(random.below(there));
        const KvLookup lookup = index.match(std::span(&key, 1), depths);
        if (lookup.cut == 0 && depths[slot] != 1) wrong.fetch_add(1);
        if (lookup.cut == 0) continue;
        ++cut_short;
        std::this_thread::yield();
      }
      EXPECT_LE(cut_short, lookups / kCutOfMost);
    });
  }
  for (std::uint64_t run = 0; run < kRuns; ++run) {
    const std::uint64_t content = mix64(run);
    const std::uint64_t hash = mix64(content + 1);
    lane.store(slot, kRaceRoot, std::nullopt, std::span(&hash, 1), std::span(&content, 1));
    stored.store(run + 1);
  }
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(wrong.load(), 0);
  EXPECT_EQ(lane.figures().runs, kRuns);
}

TEST(KvIndexRace, LanesFillTheirOwnRows) {
  const auto chains = race_chains();
  KvLane first({.seed = kRaceSeed, .budget_bytes = 8U << 20, .slots_max = 10});
  KvLane second({.seed = kRaceSeed, .budget_bytes = 8U << 20, .slots_max = 70});
  const std::array<const KvLane*, 2> lanes{&first, &second};
  const KvIndex index(lanes);
  EXPECT_EQ(index.rows(), 80);
  const KvSlot a = *first.open(0);
  const KvSlot b = *second.open(0);
  first.store(a, kRaceRoot, std::nullopt, std::span(chains[0].hashes).first(30),
              std::span(chains[0].contents).first(30));
  second.store(b, kRaceRoot, std::nullopt, chains[0].hashes, chains[0].contents);
  std::vector<KvDepth> depths(80, 9);
  index.match(chains[0].keys, depths);
  EXPECT_EQ(depths[index.first_row(0) + a], 30);
  EXPECT_EQ(depths[index.first_row(1) + b], kLongest);
  EXPECT_EQ(std::count(depths.begin(), depths.end(), 0), 78);
}

}  // namespace
}  // namespace fairlead::prefix
