// SPDX-License-Identifier: Apache-2.0
// The KV index against its naive twin over millions of random events, alone and with events in the
// middle of lookups; and a control that this rig sees a planted fault.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "core/prefix/kv_walk.h"
#include "core/prefix/testing/kv_storm.h"

namespace fairlead::prefix {
namespace {

std::uint64_t storm_seed() {
  const char* given = std::getenv("KV_SEED");
  const std::uint64_t seed = given == nullptr ? 20'261'126 : std::strtoull(given, nullptr, 10);
  fmt::print("KV_SEED={}\n", seed);
  return seed;
}

// Sanitizers make everything ten times slower.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define KV_SANITIZED
#endif
#endif
#if defined(KV_SANITIZED)
constexpr std::uint64_t kSlower = 20;
#else
constexpr std::uint64_t kSlower = 1;
#endif

struct Shape {
  KvStormShape storm;
  std::uint64_t events;
  std::uint64_t check_every;
};

const Shape kShapes[] = {
    {{.slots = 6, .domains = 1, .longest = 60, .alphabet = 3, .retire_per_10k = 20}, 700'000, 12},
    {{.slots = 100, .domains = 3, .longest = 40, .alphabet = 2, .retire_per_10k = 60}, 600'000, 32},
    {{.slots = 700, .domains = 2, .longest = 24, .alphabet = 2, .retire_per_10k = 200},
     700'000,
     256},
    {{.slots = 5,
      .domains = 2,
      .longest = 9'000,
      .alphabet = 3,
      .retire_per_10k = 20,
      .budget_bytes = std::uint64_t{512} << 20},
     600,
     4},
};

TEST(KvIndexProperty, EqualsTheNaiveTwinAfterEveryEvent) {
  const std::uint64_t seed = storm_seed();
  for (const Shape& shape : kShapes) {
    KvStorm storm(shape.storm, seed);
    for (std::uint64_t i = 0; i < shape.events / kSlower; ++i) {
      storm.step();
      if (i % shape.check_every == 0) {
        const auto wrong = storm.difference(storm.query());
        ASSERT_FALSE(wrong) << *wrong;
      }
      if (i % 512 == 0) {
        const auto wrong = storm.difference_in_totals();
        ASSERT_FALSE(wrong) << *wrong;
      }
    }
    const KvFigures& figures = storm.trie().figures();
    fmt::print(
        "{} slots: {} events, {} stored, {} removed, {} copies, {} splits, {} holes, {} orphaned, "
        "{} adopted, {} retired, {} swept, {} runs, {} blocks\n",
        shape.storm.slots, storm.events(), figures.stored, figures.removed, figures.copies,
        figures.splits, figures.holes, figures.orphaned, figures.adopted, figures.retired,
        figures.swept, figures.runs, figures.blocks);
    EXPECT_EQ(figures.conflicts, 0);
    EXPECT_EQ(figures.refused, 0);
    if (shape.events < 100'000 * kSlower) continue;
    EXPECT_GE(figures.splits, 1000);
    EXPECT_GE(figures.holes, 1000);
    EXPECT_GE(figures.adopted, 1000);
    EXPECT_GE(figures.retired, 1000);
  }
}

// Lets events happen at every moment at which a lookup looks at a version, and remembers what slots
// held at any and at all of these moments.
class Interleaving {
 public:
  Interleaving(KvStorm& storm, const KvStorm::Prompt& prompt, Random& random)
      : storm_(storm), prompt_(prompt), random_(random) {
    ever_.assign(storm.rows(), std::vector<char>(prompt.keys.size(), 0));
    always_.assign(storm.rows(), std::vector<char>(prompt.keys.size(), 1));
    note();
  }

  void happen() {
    if (random_.below(3) != 0) return;
    const std::uint64_t retired = storm_.trie().figures().retired;
    storm_.step();
    retirements += storm_.trie().figures().retired - retired;
    note();
  }

  std::optional<std::string> wrong(const std::vector<KvDepth>& depths, std::uint32_t cut) const {
    for (std::uint32_t row = 0; row < storm_.rows(); ++row) {
      const auto leading = [&](const std::vector<char>& held) {
        return std::find(held.begin(), held.end(), 0) - held.begin();
      };
      if (depths[row] > leading(ever_[row])) {
        return fmt::format("event {}: slot {} never held the {} blocks found", storm_.events(), row,
                           depths[row]);
      }
      if (cut == 0 && depths[row] < leading(always_[row])) {
        return fmt::format("event {}: slot {} held {} blocks all the time, {} found",
                           storm_.events(), row, leading(always_[row]), depths[row]);
      }
    }
    return std::nullopt;
  }

  std::uint64_t retirements = 0;

 private:
  void note() {
    for (std::uint32_t row = 0; row < storm_.rows(); ++row) {
      for (std::size_t i = 0; i < prompt_.keys.size(); ++i) {
        const bool held = storm_.twin().holds(static_cast<KvSlot>(row), prompt_.keys[i]);
        if (held) ever_[row][i] = 1;
        if (!held) always_[row][i] = 0;
      }
    }
  }

  KvStorm& storm_;
  const KvStorm::Prompt& prompt_;
  Random& random_;
  std::vector<std::vector<char>> ever_;
  std::vector<std::vector<char>> always_;
};

struct InterleavedCheck {
  Interleaving* events;

  bool address(const std::atomic<std::uint32_t>& now, std::uint32_t version) const {
    const bool same = still(now, version);
    events->happen();  // What is read next is of another time than what was checked.
    return same;
  }
  bool whole(const std::atomic<std::uint32_t>& now, std::uint32_t version) const {
    events->happen();
    return still(now, version);
  }
};

// The planted race: what a run says is believed although it has changed. Two slots and short
// prompts, so that all of a run is inline and no torn value leads anywhere.
struct CarelessCheck {
  Interleaving* events;

  bool address(const std::atomic<std::uint32_t>&, std::uint32_t) const {
    // As to a reader that lost its processor: the run may be another's by now.
    for (int i = 0; i < 12; ++i) events->happen();
    return true;
  }
  bool whole(const std::atomic<std::uint32_t>&, std::uint32_t) const { return true; }
};

struct Interleaved {
  std::optional<std::string> wrong;
  std::uint64_t lookups = 0;
  std::uint64_t retries = 0;
  std::uint64_t retirements = 0;
};

template <class Check>
Interleaved look_up_amid_events(std::uint32_t slots, std::uint64_t seed, std::uint64_t lookups) {
  // Events change few runs, so slots and prompts are few: most events meet the run being read.
  KvStorm storm({.slots = slots, .domains = 2, .longest = 20, .alphabet = 2, .retire_per_10k = 400},
                seed);
  Random random(seed + 1);
  Interleaved seen;
  for (int i = 0; i < 2'000; ++i) storm.step();
  while (seen.lookups < lookups && !seen.wrong) {
    const KvStorm::Prompt prompt = storm.query();
    Interleaving events(storm, prompt, random);
    std::vector<KvDepth> depths(storm.rows());
    KvLookup lookup;
    const KvView view = storm.trie().view();
    KvWalk<Check>(view, prompt.keys, depths, Check{&events}).run(lookup);
    ++seen.lookups;
    seen.retries += lookup.retries;
    seen.retirements += events.retirements;
    seen.wrong = events.wrong(depths, lookup.cut);
  }
  return seen;
}

TEST(KvIndexProperty, LookupsAmidEventsFindWhatWasHeldMeanwhile) {
  const Interleaved seen =
      look_up_amid_events<InterleavedCheck>(6, storm_seed(), 100'000 / kSlower);
  EXPECT_FALSE(seen.wrong) << *seen.wrong;
  fmt::print("{} lookups, {} retries, {} retirements during a lookup\n", seen.lookups, seen.retries,
             seen.retirements);
  EXPECT_GE(seen.retries, 1000 / kSlower);
  EXPECT_GE(seen.retirements, 1000 / kSlower);
}

// A run that changes whenever it is looked at, after some that keep still.
struct RestlessCheck {
  std::uint32_t* still_left;

  bool address(const std::atomic<std::uint32_t>&, std::uint32_t) const { return *still_left > 0; }
  bool whole(const std::atomic<std::uint32_t>&, std::uint32_t) const {
    return *still_left > 0 && (*still_left)-- > 0;
  }
};

TEST(KvIndexProperty, ALookupThatFindsNoQuietMomentGivesUpAndIsCountedAsCut) {
  KvStorm storm(kShapes[0].storm, storm_seed());
  for (int i = 0; i < 5'000; ++i) storm.step();
  std::uint32_t shorter = 0;
  for (int i = 0; i < 500; ++i) {
    const KvStorm::Prompt prompt = storm.query();
    const KvView view = storm.trie().view();
    std::vector<KvDepth> whole(storm.rows());
    KvLookup quiet;
    KvWalk<KvChecked>(view, prompt.keys, whole).run(quiet);
    if (quiet.runs < 2) continue;
    std::vector<KvDepth> depths(storm.rows());
    KvLookup lookup;
    std::uint32_t still_left = 1;
    KvWalk<RestlessCheck>(view, prompt.keys, depths, RestlessCheck{&still_left}).run(lookup);
    ASSERT_EQ(lookup.cut, 1U);
    EXPECT_EQ(lookup.runs, 1U);
    EXPECT_GT(lookup.retries, 0U);
    for (std::uint32_t row = 0; row < storm.rows(); ++row) {
      EXPECT_LE(depths[row], whole[row]) << "what was found is true, if not all";
      shorter += depths[row] < whole[row] ? 1 : 0;
    }
  }
  EXPECT_GT(shorter, 0U);
}

TEST(KvIndexProperty, ThisRigSeesAPlantedRace) {
  // Not every storm has a lookup that is torn so that it shows.
  Interleaved seen;
  for (std::uint64_t i = 0; i < 20 && !seen.wrong; ++i) {
    seen = look_up_amid_events<CarelessCheck>(2, storm_seed() + i, 50'000);
  }
  EXPECT_TRUE(seen.wrong) << "a lookup that believes torn runs went unnoticed";
}

TEST(KvIndexProperty, ThisRigSeesAPlantedWrongDepth) {
  KvStorm storm(kShapes[0].storm, storm_seed());
  for (int i = 0; i < 5'000; ++i) storm.step();
  // Behind the twin's back, one slot loses what it holds.
  std::uint32_t seen = 0;
  for (std::uint32_t row = 0; row < storm.rows(); ++row) {
    if (storm.twin().held_blocks(static_cast<KvSlot>(row)) == 0) continue;
    storm.trie().retire(static_cast<KvSlot>(row));
    break;
  }
  for (int i = 0; i < 1'000; ++i) seen += storm.difference(storm.query()) ? 1 : 0;
  EXPECT_GT(seen, 0);
}

}  // namespace
}  // namespace fairlead::prefix
