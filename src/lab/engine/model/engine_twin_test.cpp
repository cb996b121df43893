// SPDX-License-Identifier: Apache-2.0
// EngineModel against a twin that follows the scheduler's rules with plain containers and no
// counters kept between steps, under random traffic with aborts, tight caches and adapters.
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <set>

#include "base/random.h"
#include "lab/engine/model/engine_model.h"
#include "lab/engine/model/testing/naive_pool.h"

namespace fairlead::engine {
namespace {

using Blocks = std::vector<std::uint32_t>;

struct TwinStep {
  std::uint32_t sequences = 0;
  std::uint32_t prefill = 0;
  std::uint32_t decode = 0;
  std::uint32_t preempted = 0;
  bool operator==(const TwinStep&) const = default;
};

// tag, output so far, cached, finished.
using TwinEvent = std::tuple<std::uint64_t, std::int64_t, std::int64_t, bool>;

class NaiveEngine {
 public:
  explicit NaiveEngine(const EngineProfile& profile)
      : profile_(profile),
        pool_(static_cast<std::uint32_t>(profile.kv_tokens / profile.block_size)) {}

  void submit(const Submission& submission) {
    living_[submission.tag] = {.submission = submission, .known = submission.prompt_tokens};
    arriving_.push_back(submission.tag);
  }
  void abort(std::uint64_t tag) {
    if (!living_.contains(tag)) return;
    if (in_step_ && std::find(running_.begin(), running_.end(), tag) != running_.end()) {
      aborted_.insert(tag);
    } else {
      bury(tag);
    }
  }
  bool idle() const { return living_.empty(); }
  std::size_t free() const { return pool_.free(); }
  std::size_t running() const { return running_.size(); }

  TwinStep begin() {
    in_step_ = true;
    take_arrivals();
    TwinStep step;
    scheduled_.clear();
    std::int64_t budget = profile_.max_batched_tokens;
    const std::vector<std::uint64_t> order = running_;
    for (const std::uint64_t tag : order) {
      if (budget == 0) break;
      if (std::find(running_.begin(), running_.end(), tag) == running_.end()) break;
      Seq& seq = living_[tag];
      const std::int64_t chunk = std::min(seq.known - seq.computed, budget);
      while (needed(seq, chunk) > static_cast<std::int64_t>(pool_.free())) {
        ++step.preempted;
        const std::uint64_t victim = running_.back();
        running_.pop_back();
        pool_.release_tail_first(living_[victim].blocks);
        living_[victim].blocks.clear();
        living_[victim].computed = 0;
        waiting_.push_front(victim);
        if (victim == tag) break;
      }
      if (running_.empty() || std::find(running_.begin(), running_.end(), tag) == running_.end()) {
        break;
      }
      compute(tag, chunk, step);
      budget -= chunk;
    }
    if (step.preempted == 0) admit(budget, step);
    return step;
  }

  std::vector<TwinEvent> finish() {
    in_step_ = false;
    std::vector<TwinEvent> events;
    const std::vector<std::uint64_t> order = running_;
    for (const std::uint64_t tag : order) {
      if (aborted_.contains(tag)) {
        bury(tag);
        continue;
      }
      if (!scheduled_.contains(tag)) continue;
      Seq& seq = living_[tag];
      seq.computed += scheduled_[tag];
      if (seq.computed < seq.known) continue;
      ++seq.known;
      const std::int64_t emitted = seq.known - seq.submission.prompt_tokens;
      const bool finished = emitted == seq.submission.output_tokens;
      events.emplace_back(tag, emitted, seq.cached, finished);
      if (finished) bury(tag);
    }
    aborted_.clear();
    return events;
  }

 private:
  struct Seq {
    Submission submission;
    std::int64_t known = 0;
    std::int64_t computed = 0;
    std::int64_t cached = -1;
    Blocks blocks{};
  };

  void take_arrivals() {
    const bool planned = profile_.async_scheduling && !(running_.empty() && waiting_.empty());
    if (!planned) in_time_ = arriving_.size();
    for (; in_time_ > 0; --in_time_) {
      waiting_.push_back(arriving_.front());
      arriving_.pop_front();
    }
    in_time_ = arriving_.size();
  }
  std::uint64_t hash(const Seq& seq, std::size_t index) const {
    if (index < seq.submission.block_hashes->size()) return (*seq.submission.block_hashes)[index];
    return (std::uint64_t{1} << 60) + seq.submission.tag * 10'000 + index;
  }
  std::int64_t needed(const Seq& seq, std::int64_t chunk) const {
    const std::int64_t blocks =
        (seq.computed + chunk + profile_.block_size - 1) / profile_.block_size;
    return blocks - static_cast<std::int64_t>(seq.blocks.size());
  }
  void compute(std::uint64_t tag, std::int64_t chunk, TwinStep& step) {
    Seq& seq = living_[tag];
    scheduled_[tag] = chunk;
    for (std::int64_t more = needed(seq, chunk); more > 0; --more) {
      seq.blocks.push_back(pool_.allocate());
    }
    for (std::int64_t k = 0; k < seq.computed + chunk; ++k) {
      if (k < seq.computed || (k + 1) % profile_.block_size != 0) continue;
      const auto index = static_cast<std::size_t>(k / profile_.block_size);
      pool_.publish(seq.blocks[index], hash(seq, index));
    }
    ++step.sequences;
    const bool decode = chunk == 1 && seq.known > seq.submission.prompt_tokens;
    (decode ? step.decode : step.prefill) += static_cast<std::uint32_t>(chunk);
  }
  void admit(std::int64_t budget, TwinStep& step) {
    const std::deque<std::uint64_t> order = waiting_;
    for (const std::uint64_t tag : order) {
      if (budget == 0 || static_cast<std::int64_t>(running_.size()) == profile_.max_num_seqs)
        return;
      Seq& seq = living_[tag];
      std::set<std::uint32_t> adapters{0};
      for (const std::uint64_t other : running_) {
        if (!aborted_.contains(other)) adapters.insert(living_[other].submission.adapter);
      }
      adapters.insert(seq.submission.adapter);
      if (static_cast<std::int64_t>(adapters.size()) - 1 > profile_.max_loras) continue;
      Blocks hits;
      std::size_t revived = 0;
      while (static_cast<std::int64_t>(hits.size() + 1) * profile_.block_size < seq.known) {
        const std::uint32_t block = pool_.find(hash(seq, hits.size()));
        if (block == BlockPool::kNone) break;
        revived += pool_.held(block) ? 0U : 1U;
        hits.push_back(block);
      }
      const std::int64_t cached = static_cast<std::int64_t>(hits.size()) * profile_.block_size;
      const std::int64_t chunk = std::min(seq.known - cached, budget);
      const std::int64_t fresh = (chunk + profile_.block_size - 1) / profile_.block_size;
      if (static_cast<std::size_t>(fresh) + revived > pool_.free()) return;
      for (const std::uint32_t block : hits) pool_.hold(block);
      seq.blocks = hits;
      seq.computed = cached;
      if (seq.cached < 0) seq.cached = cached;
      std::erase(waiting_, tag);
      running_.push_back(tag);
      compute(tag, chunk, step);
      budget -= chunk;
    }
  }
  void bury(std::uint64_t tag) {
    pool_.release_tail_first(living_[tag].blocks);
    std::erase(waiting_, tag);
    std::erase(running_, tag);
    const auto arriving = std::ranges::find(arriving_, tag);
    if (arriving != arriving_.end()) {
      if (static_cast<std::size_t>(arriving - arriving_.begin()) < in_time_) --in_time_;
      arriving_.erase(arriving);
    }
    living_.erase(tag);
  }

  EngineProfile profile_;
  testing::NaivePool pool_;
  std::map<std::uint64_t, Seq> living_;
  std::deque<std::uint64_t> arriving_;
  std::size_t in_time_ = 0;  // Of those, had come when the last step began.
  std::deque<std::uint64_t> waiting_;
  std::vector<std::uint64_t> running_;
  std::map<std::uint64_t, std::int64_t> scheduled_;
  std::set<std::uint64_t> aborted_;
  bool in_step_ = false;
};

EngineProfile random_profile(Random& random) {
  EngineProfile profile;
  profile.block_size = static_cast<std::int64_t>(1 + random.below(8));
  profile.kv_tokens = static_cast<std::int64_t>(200 + random.below(200));
  profile.max_model_len = 120;
  profile.max_batched_tokens = static_cast<std::int64_t>(4 + random.below(60));
  profile.max_num_seqs = static_cast<std::int64_t>(1 + random.below(20));
  profile.max_loras = static_cast<std::int64_t>(1 + random.below(3));
  profile.async_scheduling = random.below(2) == 0;
  profile.name = "random";
  profile.model = "random";
  return profile;
}

// Prompts come from a few families, equal up to a random block; some go on into the output.
Submission random_submission(Random& random, std::int64_t block_size, std::uint64_t tag) {
  Submission submission;
  submission.prompt_tokens = static_cast<std::int64_t>(1 + random.below(80));
  submission.output_tokens = static_cast<std::int64_t>(1 + random.below(40));
  submission.output_seed = tag;
  submission.adapter = static_cast<std::uint32_t>(random.below(5));
  submission.tag = tag;
  const std::int64_t text = submission.prompt_tokens + static_cast<std::int64_t>(random.below(30));
  const std::uint64_t family = random.below(4);
  const std::uint64_t fork = random.below(40);
  auto hashes = std::make_shared<BlockHashes>();
  for (std::uint64_t block = 0; block < static_cast<std::uint64_t>(text / block_size); ++block) {
    hashes->push_back((block < fork ? family : 100 + tag) * 1000 + block);
  }
  submission.block_hashes = std::move(hashes);
  return submission;
}

constexpr int kRounds = 200;  // Of traffic; then the engine drains.

struct Totals {
  std::uint32_t preempted = 0;
  std::int64_t cached = 0;
};

class Comparison {
 public:
  explicit Comparison(std::uint64_t seed)
      : random_(seed), profile_(random_profile(random_)), model_(profile_, seed), twin_(profile_) {}

  void run(Totals& totals) {
    std::vector<TokenEvent> events;
    for (int round = 0; round < kRounds || !twin_.idle(); ++round) {
      if (round < kRounds) arrive_and_abort();
      const auto plan = model_.begin_step(now_);
      ASSERT_EQ(plan.has_value(), !twin_.idle());
      if (!plan) continue;
      const TwinStep expected = twin_.begin();
      ASSERT_EQ(
          (TwinStep{plan->sequences, plan->prefill_tokens, plan->decode_tokens, plan->preempted}),
          expected)
          << "round " << round;
      ASSERT_LE(plan->prefill_tokens + plan->decode_tokens, profile_.max_batched_tokens);
      totals.preempted += plan->preempted;
      now_ += std::chrono::milliseconds(1);
      if (round < kRounds) arrive_and_abort();
      events.clear();
      model_.finish_step(events);
      std::vector<TwinEvent> seen;
      for (const TokenEvent& event : events) {
        seen.emplace_back(event.tag, event.output_tokens, event.cached_tokens, event.finished);
        totals.cached += event.cached_tokens;
      }
      ASSERT_EQ(seen, twin_.finish()) << "round " << round;
      const std::int64_t whole_blocks = profile_.kv_tokens / profile_.block_size;
      const auto blocks = static_cast<double>(whole_blocks);
      const double held = blocks - static_cast<double>(twin_.free());
      ASSERT_DOUBLE_EQ(model_.load().kv_usage, held / blocks);
      ASSERT_EQ(model_.load().running, twin_.running());
    }
    EXPECT_TRUE(model_.idle());
    EXPECT_EQ(model_.load().kv_usage, 0);
    for (const AdapterLoad& adapter : model_.adapters()) {
      EXPECT_EQ(adapter.running + adapter.waiting, 0U);
    }
  }

 private:
  void arrive_and_abort() {
    while (random_.below(3) == 0) {
      const Submission submission = random_submission(random_, profile_.block_size, ids_.size());
      ids_.push_back(model_.submit(submission, now_).value());
      twin_.submit(submission);
    }
    if (!ids_.empty() && random_.below(20) == 0) {
      const std::uint64_t tag =
          ids_.size() - 1 - random_.below(std::min<std::size_t>(ids_.size(), 9));
      model_.abort(ids_[tag]);
      twin_.abort(tag);
    }
  }

  Random random_;
  EngineProfile profile_;
  EngineModel model_;
  NaiveEngine twin_;
  std::vector<SequenceId> ids_;
  Time now_{};
};

#ifdef FAIRLEAD_SANITIZED
constexpr std::uint64_t kEvery = 4;  // Each is eight times slower, and the code is the same in all.
#else
constexpr std::uint64_t kEvery = 1;
#endif

TEST(EngineModel, EqualsItsNaiveTwinStepForStep) {
  Totals totals;
  for (std::uint64_t seed = 1; seed <= 60; seed += kEvery) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    Comparison(seed).run(totals);
    if (::testing::Test::HasFailure()) return;
  }
  // The traffic reaches the rare paths.
  EXPECT_GT(totals.preempted, 300U / kEvery);
  EXPECT_GT(totals.cached, 10000 / std::int64_t{kEvery});
}

}  // namespace
}  // namespace fairlead::engine
