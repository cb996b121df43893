// SPDX-License-Identifier: Apache-2.0
// The index of one process in another one: engines tell both the same, but the second begins with
// what the first saved while it went on, and with the batches since the save began.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>

#include "base/random.h"
#include "core/codec/kv_events_writer.h"
#include "core/codec/restart_file.h"
#include "core/prefix/kv_feed.h"
#include "core/prefix/kv_saved.h"

namespace fairlead::prefix {
namespace {

using Keys = std::vector<std::uint64_t>;

constexpr std::uint64_t kLaneSeed = 4711;
constexpr std::uint32_t kBlockTokens = 4;
constexpr std::size_t kLongest = 48;

std::uint64_t test_seed() {
  const char* given = std::getenv("KV_SEED");
  return given == nullptr ? 1126 : std::strtoull(given, nullptr, 10);
}

Keys keys_of(const TokenKeys& keys, const std::vector<std::uint32_t>& contents) {
  std::vector<std::uint32_t> tokens;
  for (const std::uint32_t content : contents) tokens.insert(tokens.end(), kBlockTokens, content);
  Keys out(contents.size());
  keys.keys(keys.root({.model = {}, .adapter = {}, .cache_salt = {}, .block_tokens = kBlockTokens}),
            tokens, kBlockTokens, out);
  return out;
}

// A cache whose blocks are stored once and removed in any order, with hashes of its own.
class CachedEngine {
 public:
  explicit CachedEngine(std::uint64_t seed) : seed_(seed) {}

  // What it tells of one prompt.
  std::string batch(const std::vector<std::uint32_t>& prompt, Random& random) {
    codec::KvEventsWriter writer(codec::KvEncoding::kArrays);
    store(prompt, writer);
    std::vector<std::uint64_t> gone;
    for (std::uint64_t i = random.below(40); i > 0 && !held_.empty(); --i) {
      auto one = held_.lower_bound(random.next());
      if (one == held_.end()) one = held_.begin();
      gone.push_back(one->first);
      held_.erase(one);
    }
    codec::KvEvent removal;
    removal.kind = codec::KvEventKind::kRemoved;
    removal.hashes = gone;
    if (!gone.empty()) writer.add(removal);
    std::string payload;
    writer.finish(1.0, 0, payload);
    return payload;
  }

 private:
  void store(const std::vector<std::uint32_t>& prompt, codec::KvEventsWriter& writer) {
    std::uint64_t before = seed_;
    std::vector<std::uint64_t> hashes;
    for (const std::uint32_t content : prompt) {
      hashes.push_back(before = mix64(before ^ content ^ 0x5bd1e995));
    }
    for (std::size_t from = 0; from < prompt.size();) {
      std::size_t to = from;
      while (to < prompt.size() && !held_.contains(hashes[to])) ++to;
      if (to == from) {
        ++from;
        continue;
      }
      std::vector<std::uint32_t> tokens;
      for (std::size_t i = from; i < to; ++i) {
        tokens.insert(tokens.end(), kBlockTokens, prompt[i]);
        held_[hashes[i]] = true;
      }
      codec::KvEvent event;
      event.hashes = std::span(hashes).subspan(from, to - from);
      if (from > 0) event.parent = hashes[from - 1];
      event.tokens = tokens;
      event.block_size = kBlockTokens;
      writer.add(event);
      from = to;
    }
  }

  std::uint64_t seed_;
  std::map<std::uint64_t, bool> held_;
};

struct Router {
  explicit Router(std::size_t engines) {
    for (std::size_t i = 0; i < engines; ++i) {
      feeds.push_back(std::make_unique<KvFeed>(context, KvFeedOptions{}));
    }
  }
  std::uint32_t depth(std::size_t engine, const Keys& prompt) const {
    std::vector<KvDepth> depths(lane.slots_max());
    KvLookup lookup;
    lane.match(prompt, depths, lookup);
    const auto slot = feeds[engine]->slots()[0];
    return slot ? depths[*slot] : 0;
  }

  TokenKeys keys{kLaneSeed};
  KvLane lane{{.seed = kLaneSeed, .budget_bytes = std::uint64_t{64} << 20, .slots_max = 64}};
  KvFeedContext context{lane, keys};
  std::vector<std::unique_ptr<KvFeed>> feeds;
};

// What is left out to see that this rig sees it.
enum class Planted : std::uint8_t { kNothing, kRepeatsCount, kNamesAreLost, kNoReplay };

class KvExportTest : public ::testing::Test {
 protected:
  static constexpr std::size_t kEngines = 3;

  // Every engine serves a prompt; `first` hears of it, and so does `second` once it is there.
  void round() {
    std::vector<std::string> told;
    for (std::size_t i = 0; i < kEngines; ++i) {
      std::vector<std::uint32_t>& prompt = prompts_[random_.below(prompts_.size())];
      prompt.resize(std::min<std::size_t>(prompt.size(), random_.below(prompt.size() + 1)));
      while (prompt.size() < kLongest && random_.below(12) != 0) {
        prompt.push_back(static_cast<std::uint32_t>(random_.below(2)));
      }
      told.push_back(engines_[i].batch(prompt, random_));
      first_.feeds[i]->apply(rounds_, told.back());
      if (second_) second_->feeds[i]->apply(rounds_, told.back());
    }
    ++rounds_;
    log_.push_back(std::move(told));
  }

  // Saves the first router's index, with rounds in between, and makes the second one of it.
  void restart(Planted planted) {
    const std::uint64_t place = rounds_;
    codec::RestartWriter writer;
    writer.add(codec::RestartHead{.domains = first_.lane.domains()});
    codec::RestartRun run;
    first_.lane.begin_export();
    for (auto last = KvLane::Exported::kRun; last != KvLane::Exported::kEnd;) {
      last = first_.lane.export_next(run);
      if (planted == Planted::kNamesAreLost) run.names.clear();
      if (last == KvLane::Exported::kRun) writer.add(run);
      if (random_.below(20) == 0 && rounds_ - place < 30) round();
    }
    const std::uint64_t settled = rounds_;
    between_ += settled - place;
    writer.finish();
    const std::string bytes = writer.take();
    codec::RestartImage image;
    ASSERT_FALSE(codec::read_restart(bytes, image));

    second_ = std::make_unique<Router>(kEngines);
    while (second_->lane.domains() < image.head.domains) second_->lane.new_domain();
    std::vector<std::uint32_t> slots(64, KvLane::kNoSlot);
    for (std::size_t i = 0; i < kEngines; ++i) {
      KvFeed::Saved saved = first_.feeds[i]->save();
      saved.settled = planted == Planted::kRepeatsCount ? 0 : settled;
      const KvSlot slot = *second_->lane.open(*saved.domain);
      slots[*saved.slots[0]] = slot;
      saved.slots[0] = slot;
      second_->feeds[i]->resume(saved);
    }
    import_runs(image.runs, slots, second_->lane);
    const std::uint64_t from = planted == Planted::kNoReplay ? settled : place;
    for (std::uint64_t number = from; number < rounds_; ++number) {
      for (std::size_t i = 0; i < kEngines; ++i) second_->feeds[i]->apply(number, log_[number][i]);
    }
  }

  // Where the second claims more than the first, in words; what it misses is counted.
  std::optional<std::string> difference() {
    for (const std::vector<std::uint32_t>& prompt : prompts_) {
      const Keys keys = keys_of(first_.keys, prompt);
      for (std::size_t i = 0; i < kEngines; ++i) {
        const std::uint32_t wanted = first_.depth(i, keys);
        const std::uint32_t found = second_->depth(i, keys);
        known_ += wanted;
        missed_ += wanted - std::min(wanted, found);
        if (found <= wanted) continue;
        return fmt::format("seed {}, round {}: engine {} holds {} blocks, not {}", test_seed(),
                           rounds_, i, wanted, found);
      }
    }
    for (std::size_t i = 0; i < kEngines; ++i) {
      const std::uint64_t wanted = first_.lane.held_blocks(*first_.feeds[i]->slots()[0]);
      const std::uint64_t found = second_->lane.held_blocks(*second_->feeds[i]->slots()[0]);
      if (found <= wanted) continue;
      return fmt::format("seed {}, round {}: engine {} holds {} blocks in all, not {}", test_seed(),
                         rounds_, i, wanted, found);
    }
    return std::nullopt;
  }
  // The first difference over some restarts.
  std::optional<std::string> run(Planted planted) {
    for (int restarts = 0; restarts < 12; ++restarts) {
      second_ = nullptr;
      for (int i = 0; i < 150; ++i) round();
      restart(planted);
      for (int i = 0; i < 60; ++i) {
        if (auto wrong = difference()) return wrong;
        round();
      }
    }
    return std::nullopt;
  }

  Random random_{test_seed()};
  std::vector<CachedEngine> engines_{CachedEngine(1), CachedEngine(2), CachedEngine(3)};
  std::vector<std::vector<std::uint32_t>> prompts_{40};
  Router first_{kEngines};
  std::unique_ptr<Router> second_;
  std::uint64_t rounds_ = 0;
  std::uint64_t between_ = 0;
  std::uint64_t known_ = 0;
  std::uint64_t missed_ = 0;
  std::vector<std::vector<std::string>> log_;
};

TEST_F(KvExportTest, AnotherProcessKnowsTheSameAndLearnsOn) {
  const auto wrong = run(Planted::kNothing);
  ASSERT_FALSE(wrong) << *wrong;
  EXPECT_GT(between_, 100U) << "rounds in the middle of a save";
  EXPECT_GT(known_, 10'000U);
  EXPECT_EQ(missed_, 0U);
  EXPECT_EQ(first_.lane.figures().conflicts, 0U);
  EXPECT_EQ(first_.lane.figures().forgotten, 0U) << "the budget would explain differences";
}

TEST_F(KvExportTest, RepeatsThatCountAreSeen) { EXPECT_TRUE(run(Planted::kRepeatsCount)); }
TEST_F(KvExportTest, LostNamesAreSeen) { EXPECT_TRUE(run(Planted::kNamesAreLost)); }
TEST_F(KvExportTest, AMissingReplayIsSeen) { EXPECT_TRUE(run(Planted::kNoReplay)); }

TEST(KvExport, HoldersThatAreNotWantedAreLeftOut) {
  KvLane from({.seed = 1, .slots_max = 8});
  const KvSlot a = *from.open(0);
  const KvSlot b = *from.open(from.new_domain());
  const KvSlot gone = *from.open(0);
  const Keys hashes = {1, 2, 3}, others = {7, 8, 9}, contents = {4, 5, 6};
  from.store(a, 9, std::nullopt, std::span(hashes).first(2), std::span(contents).first(2));
  from.store(b, 9, std::nullopt, others, contents);
  from.store(gone, 9, std::nullopt, hashes, contents);
  from.retire(gone);

  KvLane to({.seed = 1, .slots_max = 8});
  const KvSlot mine = *to.open(to.new_domain());
  std::vector<std::uint32_t> slots(8, KvLane::kNoSlot);
  slots[b] = mine;
  codec::RestartRun run;
  from.begin_export();
  while (from.export_next(run) != KvLane::Exported::kEnd) {
    for (const auto& holder : run.holders) EXPECT_NE(holder.slot, gone);
    if (!run.keys.empty()) to.import_run(run, slots);
    to.import_run(run, slots);  // Once more is no copy.
    run = {};
  }
  EXPECT_EQ(to.held_blocks(mine), 3U);
  to.remove(mine, others);
  EXPECT_EQ(to.held_blocks(mine), 0U) << "it is known by its own hashes";
}

// A prompt that many engines share which all hash in their own way, near the end of the memory.
TEST(KvExport, NamesForWhichThereIsNoRoomAreNoHarm) {
  constexpr std::size_t kBlocks = 4096;
  constexpr std::size_t kNames = 300'000;
  KvLane to({.seed = 1, .budget_bytes = std::uint64_t{16} << 20, .slots_max = 8});
  const KvSlot mine = *to.open(0);
  Random random(3);
  codec::RestartRun run;
  for (std::size_t i = 0; i < kBlocks; ++i) {
    run.keys.push_back(random.next());
    run.hashes.push_back(random.next());
  }
  for (std::size_t i = 0; i < kNames; ++i) {
    run.names.push_back({static_cast<std::uint32_t>(i % kBlocks), random.next()});
  }
  run.holders = {{0, kBlocks}};
  const std::vector<std::uint32_t> slots = {mine};
  to.import_run(run, slots);
  EXPECT_EQ(to.held_blocks(mine), 0U) << "what it cannot name it could not remove";
  EXPECT_EQ(to.figures().blocks, 0U);

  run.names.resize(kBlocks);
  to.import_run(run, slots);
  EXPECT_EQ(to.held_blocks(mine), kBlocks);
}

}  // namespace
}  // namespace fairlead::prefix
