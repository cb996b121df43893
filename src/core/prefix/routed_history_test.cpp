// SPDX-License-Identifier: Apache-2.0
#include "core/prefix/routed_history.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "core/codec/restart_file.h"
#include "core/prefix/testing/naive_history.h"

namespace fairlead::prefix {
namespace {

using Keys = std::vector<std::uint64_t>;

constexpr std::size_t kBlock = 1024;
constexpr std::uint32_t kSlots = 7;
constexpr std::uint64_t kBudgetBlocks = 60;

// A chained prompt from one symbol a block: equal symbols so far give equal keys.
Keys chain(const std::string& symbols) {
  Keys keys;
  std::uint64_t key = 1;
  for (const char symbol : symbols) {
    key = mix64(key ^ static_cast<unsigned char>(symbol));
    keys.push_back(key);
  }
  return keys;
}

template <class History>
std::vector<MatchedBlocks> depths(const History& history, const Keys& keys,
                                  std::size_t slots = kSlots) {
  std::vector<MatchedBlocks> out(slots, 0);
  history.match(keys, out);
  return out;
}

std::vector<MatchedBlocks> depths(const RoutedHistory& history, const std::string& symbols,
                                  std::size_t slots) {
  return depths(history, chain(symbols), slots);
}

using Depths = std::vector<MatchedBlocks>;

struct Mix {
  std::uint64_t operations = 0;
  std::uint64_t forgets = 0;
  std::uint64_t budgets = 0;
  std::uint64_t matched_blocks = 0;
};

// Prompts with much in common: each continues a random stretch of an earlier one.
class Prompts {
 public:
  const Keys& next(Random& random) {
    Keys& keys = recent_[random.below(recent_.size())];
    const Keys& source = recent_[random.below(recent_.size())];
    const std::size_t kept = random.below(source.size() + 1);
    Keys fresh(source.begin(), source.begin() + static_cast<std::ptrdiff_t>(kept));
    std::uint64_t key = fresh.empty() ? 1 : fresh.back();
    for (std::uint64_t more = random.below(9); more > 0 && fresh.size() < kLongest; --more) {
      key = mix64(key ^ random.below(3));
      fresh.push_back(key);
    }
    keys = std::move(fresh);
    return keys;
  }

 private:
  static constexpr std::size_t kLongest = 40;
  std::array<Keys, 48> recent_;
};

// Random operations on both; the first difference, if any, in words.
template <class Subject>
std::optional<std::string> first_difference(Subject& subject, NaiveHistory& twin,
                                            std::uint64_t seed, std::uint64_t operations,
                                            Mix& mix) {
  Random random(seed);
  Prompts prompts;
  for (std::uint64_t step = 0; step < operations; ++step) {
    ++mix.operations;
    const auto slot = static_cast<std::uint32_t>(random.below(kSlots));
    const Keys& keys = prompts.next(random);
    const std::uint64_t dice = random.below(1000);
    if (dice < 500) {
      subject.record(slot, keys);
      twin.record(slot, keys);
    } else if (dice < 504) {
      subject.forget(slot);
      twin.forget(slot);
      ++mix.forgets;
    } else if (dice < 514) {
      const std::uint64_t bytes = random.below(kBudgetBlocks * kBlock);
      subject.set_budget(slot, bytes);
      twin.set_budget(slot, bytes);
      ++mix.budgets;
    } else {
      const Depths found = depths(subject, keys);
      const Depths expected = depths(twin, keys);
      for (std::uint32_t s = 0; s < kSlots; ++s) {
        mix.matched_blocks += expected[s];
        if (found[s] != expected[s]) {
          return fmt::format("seed {} step {}: slot {} holds {} of {} blocks, not {}", seed, step,
                             s, expected[s], keys.size(), found[s]);
        }
      }
    }
    if (subject.held_blocks(slot) != twin.held_blocks(slot)) {
      return fmt::format("seed {} step {}: slot {} holds {} blocks in all, not {}", seed, step,
                         slot, twin.held_blocks(slot), subject.held_blocks(slot));
    }
  }
  return std::nullopt;
}

#ifdef FAIRLEAD_SANITIZED
constexpr std::uint64_t kFewer = 4;  // Each is six times slower, and the code is the same in all.
#else
constexpr std::uint64_t kFewer = 1;
#endif

TEST(RoutedHistory, EqualsThePlainBlockLruUnderRandomOperations) {
  constexpr std::uint64_t kSeeds = 20 / kFewer;
  constexpr std::uint64_t kOperations = 60'000;
  Mix mix;
  std::uint64_t splits = 0, partial_trims = 0, evicted = 0;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    RoutedHistory history(kBlock, kBudgetBlocks * kBlock);
    NaiveHistory twin(kBlock, kBudgetBlocks * kBlock);
    const auto difference = first_difference(history, twin, seed, kOperations, mix);
    ASSERT_FALSE(difference) << *difference;
    EXPECT_EQ(history.figures().keys, twin.distinct_blocks()) << "seed " << seed;
    splits += history.figures().splits;
    partial_trims += history.figures().partial_trims;
    evicted += history.figures().evicted_blocks;
    for (std::uint32_t slot = 0; slot < kSlots; ++slot) history.forget(slot);
    EXPECT_EQ(history.figures().runs, 0U) << "seed " << seed;
    EXPECT_EQ(history.figures().keys, 0U) << "seed " << seed;
    EXPECT_EQ(history.figures().held_blocks, 0U) << "seed " << seed;
  }
  fmt::print(
      "{} operations: {} splits, {} partial trims, {} forgets, {} budget changes, {} evicted, "
      "{} matched blocks\n",
      mix.operations, splits, partial_trims, mix.forgets, mix.budgets, evicted, mix.matched_blocks);
  EXPECT_GE(mix.operations, 1'000'000U / kFewer);
  for (const std::uint64_t met : {splits, partial_trims, mix.forgets, mix.budgets}) {
    EXPECT_GE(met, 1000U / kFewer);
  }
}

// The comparison itself is tested: each of these plausible faults must be found.
struct Faulty {
  RoutedHistory history{kBlock, kBudgetBlocks* kBlock};

  void match(std::span<const std::uint64_t> keys, std::span<MatchedBlocks> out) const {
    history.match(keys, out);
  }
  void record(std::uint32_t slot, std::span<const std::uint64_t> keys) {
    history.record(slot, keys);
  }
  void forget(std::uint32_t slot) { history.forget(slot); }
  void set_budget(std::uint32_t slot, std::uint64_t bytes) { history.set_budget(slot, bytes); }
  std::uint64_t held_blocks(std::uint32_t slot) const { return history.held_blocks(slot); }
};

struct DepthOffByOne : Faulty {
  void match(std::span<const std::uint64_t> keys, std::span<MatchedBlocks> out) const {
    history.match(keys, out);
    if (out[3] == 17) out[3] = 18;
  }
};

struct NeverRefreshes : Faulty {  // A prompt that is held already does not count as used.
  void record(std::uint32_t slot, std::span<const std::uint64_t> keys) {
    Depths out(kSlots, 0);
    history.match(keys, out);
    if (out[slot] < keys.size()) history.record(slot, keys);
  }
};

struct ForgetsTheNeighbour : Faulty {
  void forget(std::uint32_t slot) { history.forget((slot + 1) % kSlots); }
};

template <class Subject>
std::string verdict() {
  Subject subject;
  NaiveHistory twin(kBlock, kBudgetBlocks * kBlock);
  Mix mix;
  return first_difference(subject, twin, 1, 60'000, mix).value_or("");
}

TEST(RoutedHistory, TheComparisonFindsPlantedFaults) {
  EXPECT_EQ(verdict<Faulty>(), "");
  EXPECT_NE(verdict<DepthOffByOne>(), "");
  EXPECT_NE(verdict<NeverRefreshes>(), "");
  EXPECT_NE(verdict<ForgetsTheNeighbour>(), "");
}

TEST(RoutedHistory, EachEndpointAnswersForItsOwnPrefix) {
  RoutedHistory history(kBlock, 100 * kBlock);
  history.record(0, chain("system+alice"));
  history.record(1, chain("system+bob"));
  history.record(3, chain("sys"));
  EXPECT_EQ(depths(history, "system+alan", 5), (Depths{9, 7, 0, 3, 0}));
  EXPECT_EQ(depths(history, "system+alice and more", 5), (Depths{12, 7, 0, 3, 0}));
  EXPECT_EQ(depths(history, "other", 5), (Depths{0, 0, 0, 0, 0}));
  EXPECT_EQ(depths(history, "", 5), (Depths{0, 0, 0, 0, 0}));
}

TEST(RoutedHistory, ShorterRowsLeaveTheOtherSlotsOut) {
  RoutedHistory history(kBlock, 100 * kBlock);
  for (std::uint32_t slot = 0; slot < 10; ++slot) history.record(slot, chain("abc"));
  EXPECT_EQ(depths(history, "abcd", 2), (Depths{3, 3}));
}

TEST(RoutedHistory, EvictionTakesTheTailOfTheLeastRecentPrompt) {
  RoutedHistory history(kBlock, 10 * kBlock);
  history.record(0, chain("aaaa"));
  history.record(0, chain("bbbb"));
  history.record(0, chain("aaaa"));
  history.record(0, chain("cccc"));
  EXPECT_EQ(depths(history, "aaaa", 1), Depths{4});
  EXPECT_EQ(depths(history, "bbbb", 1), Depths{2});
  EXPECT_EQ(depths(history, "cccc", 1), Depths{4});
  EXPECT_EQ(history.figures().evicted_blocks, 2U);
  EXPECT_EQ(history.figures().partial_trims, 1U);
  EXPECT_EQ(history.figures().keys, 10U);
}

TEST(RoutedHistory, TouchingThePrefixDoesNotKeepItsTail) {
  RoutedHistory history(kBlock, 8 * kBlock);
  history.record(0, chain("abcdef"));
  history.record(0, chain("xy"));
  history.record(0, chain("abc"));
  history.record(0, chain("xyz"));  // Pushes out one block: f, the oldest leaf.
  EXPECT_EQ(depths(history, "abcdef", 1), Depths{5});
  EXPECT_EQ(depths(history, "xyz", 1), Depths{3});
}

TEST(RoutedHistory, PromptBeyondTheBudgetKeepsItsHead) {
  RoutedHistory history(kBlock, 4 * kBlock + 100);
  history.record(0, chain("zz"));
  history.record(0, chain("abcdefgh"));
  EXPECT_EQ(depths(history, "abcdefgh", 1), Depths{4});
  EXPECT_EQ(depths(history, "zz", 1), Depths{0});
}

TEST(RoutedHistory, BudgetsAreSetPerEndpoint) {
  RoutedHistory history(kBlock, 4 * kBlock);
  history.set_budget(1, 6 * kBlock);
  history.set_budget(2, kBlock - 1);
  for (std::uint32_t slot = 0; slot < 3; ++slot) history.record(slot, chain("abcdefgh"));
  EXPECT_EQ(depths(history, "abcdefgh", 3), (Depths{4, 6, 0}));
  history.set_budget(1, 2 * kBlock);
  EXPECT_EQ(depths(history, "abcdefgh", 3), (Depths{4, 2, 0}));
  EXPECT_EQ(history.held_blocks(1), 2U);
}

TEST(RoutedHistory, ForgettingOneEndpointKeepsTheOthers) {
  RoutedHistory history(kBlock, 100 * kBlock);
  history.record(0, chain("system+alice"));
  history.record(1, chain("system+bob"));
  history.forget(0);
  EXPECT_EQ(depths(history, "system+alice", 2), (Depths{0, 7}));
  EXPECT_EQ(depths(history, "system+bob", 2), (Depths{0, 10}));
  EXPECT_EQ(history.held_blocks(0), 0U);
  EXPECT_EQ(history.figures().keys, 10U);
  EXPECT_EQ(history.figures().evicted_blocks, 0U);
  history.forget(kMaxSlots - 1);
  history.record(0, chain("system"));
  EXPECT_EQ(depths(history, "system+alice", 2), (Depths{6, 7}));
}

TEST(RoutedHistory, ConversationGrowsInOneRun) {
  RoutedHistory history(kBlock, 1000 * kBlock);
  std::string symbols = "hello";
  for (int turn = 0; turn < 50; ++turn) {
    history.record(0, chain(symbols));
    symbols += "and so on";
  }
  EXPECT_EQ(history.figures().runs, 1U);
  EXPECT_EQ(history.figures().splits, 0U);
}

TEST(RoutedHistory, RunWhoseBranchesWentGrowsInPlaceAgain) {
  RoutedHistory history(kBlock, 100 * kBlock);
  history.record(0, chain("abc"));
  history.record(0, chain("abd"));
  EXPECT_EQ(history.figures().runs, 3U);
  history.set_budget(0, 2 * kBlock);
  history.set_budget(0, 100 * kBlock);
  history.record(0, chain("abcde"));
  EXPECT_EQ(history.figures().runs, 1U);
  EXPECT_EQ(depths(history, "abcde", 1), Depths{5});
}

TEST(RoutedHistory, AllSlotsMayHoldTheSamePrefix) {
  RoutedHistory history(kBlock, 100 * kBlock);
  const std::string common = "common system prompt";
  for (std::uint32_t i = 0; i < kMaxSlots; ++i) {
    const std::uint32_t slot = (i * 2731) % kMaxSlots;  // Every slot once, out of order.
    history.record(slot, chain(common + std::to_string(slot)));
  }
  const Depths found = depths(history, common, kMaxSlots);
  for (const MatchedBlocks depth : found) ASSERT_EQ(depth, common.size());
  for (std::uint32_t slot = 0; slot < kMaxSlots; slot += 2) history.forget(slot);
  const Depths left = depths(history, common, kMaxSlots);
  for (std::uint32_t slot = 0; slot < kMaxSlots; ++slot) {
    ASSERT_EQ(left[slot], slot % 2 == 0 ? 0 : common.size());
  }
}

// Whatever comes afterwards: also what is forgotten first is the same.
TEST(RoutedHistory, WhatWasSavedAnswersAndForgetsAlike) {
  Random random(23);
  for (int restarts = 0; restarts < 30; ++restarts) {
    Prompts prompts;
    RoutedHistory before(kBlock, kBudgetBlocks * kBlock);
    const auto record = [&](RoutedHistory* also) {
      const Keys& keys = prompts.next(random);
      const auto slot = static_cast<std::uint32_t>(random.below(kSlots));
      before.record(slot, keys);
      if (also != nullptr) also->record(slot, keys);
      return keys;
    };
    for (int i = 0; i < 300; ++i) record(nullptr);
    RoutedHistory after(kBlock, kBudgetBlocks * kBlock);
    codec::RestartHistory saved;
    for (std::uint32_t slot = 0; slot < kSlots; ++slot) {
      before.save(slot, 1000, saved);
      after.restore(slot, saved);
      ASSERT_EQ(after.held_blocks(slot), before.held_blocks(slot));
    }
    for (int i = 0; i < 200; ++i) {
      const Keys keys = record(&after);
      ASSERT_EQ(depths(after, keys), depths(before, keys)) << restarts << ", record " << i;
    }
  }
}

TEST(RoutedHistory, WhatDoesNotFitIsSavedFromTheNewestOn) {
  RoutedHistory history(kBlock, 100 * kBlock);
  history.record(0, chain("old"));
  history.record(0, chain("newer"));
  codec::RestartHistory saved;
  history.save(0, 5, saved);
  ASSERT_EQ(saved.stretches.size(), 1U);
  EXPECT_EQ(saved.keys, chain("newer"));
  history.save(0, 4, saved);
  EXPECT_TRUE(saved.stretches.empty());
  history.save(5, 4, saved);
  EXPECT_TRUE(saved.keys.empty());
}

TEST(RoutedHistory, MemoryStaysBoundedUnderEndlessNewPrompts) {
  constexpr std::uint64_t kEndpoints = 4, kBlocks = 500;
  RoutedHistory history(kBlock, kBlocks * kBlock);
  Random random(11);
  std::size_t warm = 0;
  for (int step = 0; step < 40'000; ++step) {
    Keys keys(1 + random.below(100));
    std::uint64_t key = random.below(20);
    for (std::uint64_t& k : keys) k = key = mix64(key ^ random.below(2));
    history.record(static_cast<std::uint32_t>(random.below(kEndpoints)), keys);
    if (step == 10'000) warm = history.memory_bytes();
    ASSERT_LE(history.figures().held_blocks, kEndpoints * kBlocks);
    ASSERT_LE(history.figures().keys, kEndpoints * kBlocks);
    ASSERT_LE(history.figures().runs, history.figures().keys);
    ASSERT_LE(history.memory_bytes(), kEndpoints * kBlocks * 250 + 64 * 1024);
  }
  EXPECT_LE(history.memory_bytes(), warm + warm / 2);
}

TEST(RoutedHistory, KeysThatBreakTheChainingRuleDoNoHarm) {
  RoutedHistory history(kBlock, 50 * kBlock);
  Random random(5);
  for (int step = 0; step < 100'000; ++step) {
    Keys keys(1 + random.below(20));
    for (std::uint64_t& key : keys) key = random.below(6);
    const auto slot = static_cast<std::uint32_t>(random.below(kSlots));
    history.record(slot, keys);
    for (const MatchedBlocks depth : depths(history, keys)) ASSERT_LE(depth, keys.size());
    ASSERT_LE(history.held_blocks(slot), 50U);
    if (random.below(100) == 0) history.forget(slot);
  }
  for (std::uint32_t slot = 0; slot < kSlots; ++slot) history.forget(slot);
  EXPECT_EQ(history.figures().runs, 0U);
  EXPECT_EQ(history.figures().keys, 0U);
  EXPECT_EQ(history.figures().held_blocks, 0U);
}

}  // namespace
}  // namespace fairlead::prefix
