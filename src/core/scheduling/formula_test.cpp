// SPDX-License-Identifier: Apache-2.0
// Each plugin's own formula, on tables small enough to check by hand.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "core/scheduling/testing/table.h"

namespace fairlead::scheduling {
namespace {

using testing::all_rows;
using testing::Chance;
using testing::make;
using testing::Table;

std::vector<float> score(std::string_view type, const Table& table,
                         const model::InferenceRequest& request,
                         std::string_view parameters = "{}") {
  const Registry registry = builtin_registry();
  const Rows rows = all_rows(table.candidates);
  std::vector<float> out(rows.size(), 0.0F);
  make(registry.scorer(type), parameters)->score(request, table.candidates, rows, out);
  return out;
}

Rows narrow(std::string_view type, const Table& table, const model::InferenceRequest& request,
            std::string_view parameters = "{}") {
  const Registry registry = builtin_registry();
  Chance chance;
  Rows rows = all_rows(table.candidates);
  make(registry.filter(type), parameters)->narrow(request, table.candidates, rows, chance.context);
  return rows;
}

model::InferenceRequest prompt_of(std::uint64_t tokens) {
  model::InferenceRequest request;
  request.prompt_tokens = tokens;
  return request;
}

using Values = std::vector<float>;

TEST(QueueScorer, NormalisesBetweenShortestAndLongestQueue) {
  Table table(3);
  table.candidates.waiting = {2, 6, 4};
  EXPECT_EQ(score("queue-scorer", table, prompt_of(1)), (Values{1, 0, 0.5F}));
  table.candidates.waiting = {3, 3, 3};
  EXPECT_EQ(score("queue-scorer", table, prompt_of(1)), (Values{1, 1, 1}));
}

TEST(KvCacheUtilizationScorer, IsTheFreeShare) {
  Table table(2);
  table.candidates.kv_usage = {0.25F, 1.0F};
  EXPECT_EQ(score("kv-cache-utilization-scorer", table, prompt_of(1)), (Values{0.75F, 0}));
}

TEST(PrefixCacheScorer, IsTheCachedShareBlendedWithAbsoluteLength) {
  Table table(2);
  table.candidates.cached_tokens = {4096, 0};
  EXPECT_EQ(score("prefix-cache-scorer", table, prompt_of(8192)), (Values{0.5F, 0}));
  EXPECT_EQ(score("prefix-cache-scorer", table, prompt_of(8192), "matchLengthWeight: 1"),
            (Values{0.25F, 0}));
  EXPECT_EQ(score("prefix-cache-scorer", table, prompt_of(0)), (Values{0, 0}));
}

TEST(ActiveRequestScorer, IdleIsOneAndBusiestIsZero) {
  Table table(3);
  table.candidates.inflight_requests = {0, 5, 10};
  EXPECT_EQ(score("active-request-scorer", table, prompt_of(1)), (Values{1, 0.5F, 0}));
}

TEST(TokenLoadScorer, CountsTheRequestsOwnTokens) {
  Table table(2);
  table.candidates.inflight_tokens = {1000, 0};
  table.candidates.own_uncached_tokens = {0, 3000};
  EXPECT_EQ(score("token-load-scorer", table, prompt_of(1), "queueThresholdTokens: 4000"),
            (Values{0.75F, 0.25F}));
}

TEST(LoadAwareScorer, HalfWhenIdleAndZeroAtTheThreshold) {
  Table table(3);
  table.candidates.waiting = {0, 64, 500};
  EXPECT_EQ(score("load-aware-scorer", table, prompt_of(1)), (Values{0.5F, 0.25F, 0}));
}

TEST(NoHitLruScorer, RanksOnlyPromptsNobodyHas) {
  Table table(3);
  table.candidates.cold_order = {2, 0, 1};
  EXPECT_EQ(score("no-hit-lru-scorer", table, prompt_of(100)), (Values{0, 1, 0.5F}));
  table.candidates.cached_tokens = {0, 0, 64};
  EXPECT_EQ(score("no-hit-lru-scorer", table, prompt_of(100)), (Values{0.5F, 0.5F, 0.5F}));
}

TEST(SessionAffinityScorer, FollowsTheToken) {
  Table table(2);
  model::InferenceRequest request = prompt_of(1);
  request.session = "e1";
  EXPECT_EQ(score("session-affinity-scorer", table, request), (Values{0, 1}));
  request.session = "gone";
  EXPECT_EQ(score("session-affinity-scorer", table, request), (Values{0, 0}));
}

TEST(ExternalityCostScorer, AddsQueueOwnWorkItsVictimsAndTheSlot) {
  Table table(2);
  table.candidates.inflight_tokens = {100, 0};
  table.candidates.own_uncached_tokens = {10, 50};
  table.candidates.inflight_requests = {6, 4};
  table.candidates.unstarted = {2, 0};
  // Crowd 1; decoding 4 and 4: 100 + 10 * (1 + 3 + 2*1 + 0.5*4) + 7*4 and 50 * 8 + 28.
  EXPECT_EQ(score("externality-cost-scorer", table, prompt_of(60),
                  "{ownWeight: 3, waitingWeight: 2, decodeWeight: 0.5, decodeSlotTokens: 7}"),
            (Values{208, 428}));
}

TEST(ExternalityCostScorer, CountsWhatOthersSentThere) {
  Table table(2);
  table.candidates.inflight_tokens = {100, 0};
  table.candidates.others_tokens = {0, 300};
  table.candidates.own_uncached_tokens = {10, 10};
  table.candidates.unstarted = {1, 0};
  table.candidates.inflight_requests = {1, 0};
  table.candidates.others_decoding = {0, 2};
  // Crowd 0.5: 100 + 10 * (1 + 2 * 0.5), and 300 + 10 * (1 + 2 * 0.5 + 0.5 * 2) + 7 * 2.
  EXPECT_EQ(score("externality-cost-scorer", table, prompt_of(10),
                  "{waitingWeight: 2, decodeWeight: 0.5, decodeSlotTokens: 7}"),
            (Values{120, 344}));
  // Memory is needed for others' queue and their answers' growth, too: 310 + 2 * 100 beyond 0.
  table.candidates.kv_tokens = {0, 1000};
  EXPECT_EQ(score("externality-cost-scorer", table, prompt_of(10),
                  "{waitingWeight: 2, decodeWeight: 0.5, decodeSlotTokens: 7, kvKnee: 0, "
                  "kvWeight: 1, growthTokens: 100}"),
            (Values{120, 854}));
}

TEST(ExternalityCostScorer, PricesACopyByHowMuchOfWhatIsPushedOutIsAskedForAgain) {
  Table table(2);
  table.candidates.inflight_tokens = {100, 0};
  table.candidates.own_uncached_tokens = {10, 60};
  // With room the shorter queue is worth a copy.
  EXPECT_EQ(score("externality-cost-scorer", table, prompt_of(60), "{shortageWeight: 8}"),
            (Values{110, 60}));
  table.candidates.shortage = {0.25, 0.25};
  EXPECT_EQ(score("externality-cost-scorer", table, prompt_of(60), "{shortageWeight: 8}"),
            (Values{130, 180}));
}

TEST(ExternalityCostScorer, PricesWhatIsPushedOutOfAFullMemory) {
  Table table(3);
  table.candidates.kv_tokens = {1000, 1000, 0};
  table.candidates.kv_usage = {0.75, 0.5, 1};
  table.candidates.inflight_tokens = {100, 100, 100};
  table.candidates.own_uncached_tokens = {200, 200, 200};
  // Beyond 800 are 750 + 100 + 200 - 800 = 250 tokens, 0.5 * (1 + 1) of them in price, and none.
  EXPECT_EQ(score("externality-cost-scorer", table, prompt_of(200),
                  "{ownWeight: 1, kvKnee: 0.8, kvWeight: 0.5}"),
            (Values{750, 500, 500}));
  // Three answers that have begun will grow by 60 each: 180 more there, nothing where is room.
  table.candidates.kv_usage[1] = 0.25;
  table.candidates.inflight_requests = {4, 4, 4};
  table.candidates.unstarted = {1, 1, 1};
  EXPECT_EQ(score("externality-cost-scorer", table, prompt_of(200),
                  "{ownWeight: 1, kvKnee: 0.8, kvWeight: 0.5, growthTokens: 60, waitingWeight: 0, "
                  "decodeWeight: 0, decodeSlotTokens: 0}"),
            (Values{930, 500, 500}));
}

TEST(ExternalityCostScorer, CountsWhatASlowEndpointTakesLongerFor) {
  Table table(2);
  table.candidates.inflight_tokens = {100, 300};
  table.candidates.own_uncached_tokens = {50, 50};
  table.candidates.slowness = {3, 1};
  EXPECT_EQ(score("externality-cost-scorer", table, prompt_of(50), "{ownWeight: 1}"),
            (Values{600, 400}));
}

TEST(ColdPlacementCostScorer, PricesTheOrderByHowMuchIsAskedForAgain) {
  Table table(2);
  table.candidates.cold_order = {3, 0};
  table.candidates.cold_tokens = {400, 400};
  table.candidates.reuse = {0.5, 0.5};
  EXPECT_EQ(score("cold-placement-cost-scorer", table, prompt_of(100), "reuseShare: 2"),
            (Values{600, 0}));
  table.candidates.reuse = {0, 0};
  EXPECT_EQ(score("cold-placement-cost-scorer", table, prompt_of(400), "reuseShare: 2"),
            (Values{0, 0}));
}

TEST(KvRoomAdmitter, AsksToWaitWhereNobodyHasRoom) {
  const Registry registry = builtin_registry();
  const auto admitter =
      make(registry.admitter("kv-room-admitter"), "{kvShare: 0.9, queueTokens: 100}");
  Table table(2);
  Random random(1);
  const auto admit = [&] { return admitter->admit(prompt_of(200), table.candidates, random); };
  table.candidates.inflight_requests = {1, 1};
  table.candidates.kv_tokens = {1000, 1000};
  table.candidates.kv_usage = {0.8F, 0.7F};
  table.candidates.own_uncached_tokens = {200, 200};
  EXPECT_EQ(admit(), Admission::kAdmitted);  // 700 + 200 of 900.
  table.candidates.kv_usage[1] = 0.71F;
  EXPECT_EQ(admit(), Admission::kLater);
  table.candidates.own_uncached_tokens[0] = 100;
  EXPECT_EQ(admit(), Admission::kAdmitted);
  table.candidates.kv_usage[0] = 0.5F;
  table.candidates.inflight_tokens[0] = 101;
  EXPECT_EQ(admit(), Admission::kLater);
  table.candidates.inflight_requests[0] = 0;  // An idle one takes whatever there is.
  EXPECT_EQ(admit(), Admission::kAdmitted);
  table.candidates.inflight_requests[0] = 1;
  table.candidates.kv_tokens[1] = 0;  // It never said: only its queue counts.
  EXPECT_EQ(admit(), Admission::kAdmitted);
}

TEST(ColdPlacementCostScorer, PricesTheOrderOfColdPlacements) {
  Table table(2);
  table.candidates.cold_order = {1, 0};
  EXPECT_EQ(score("cold-placement-cost-scorer", table, prompt_of(100), "tokensPerRank: 500"),
            (Values{500, 0}));
}

// The ring of bounded-hash-scorer as a list of all its points; walked, not computed.
class Ring {
 public:
  explicit Ring(const Table& table) {
    for (std::uint32_t row = 0; row < table.candidates.size(); ++row) {
      std::uint64_t name = 0xcbf29ce484222325;
      for (const char c : table.endpoints[row]->name) {
        name = (name ^ static_cast<unsigned char>(c)) * 0x100000001b3;
      }
      for (std::uint64_t i = 1; i <= 256; ++i) points_[mix64(i) + mix64(name)] = row;
    }
  }

  // The first row at or behind the key whose load is within the bound; without one, the first.
  std::uint32_t find(std::uint64_t key, const std::vector<float>& loads, double factor) const {
    double sum = 0;
    for (const float load : loads) sum += static_cast<double>(load);
    auto at = points_.lower_bound(mix64(key));
    if (at == points_.end()) at = points_.begin();
    const std::uint32_t first = at->second;
    for (std::size_t steps = 0; steps < points_.size(); ++steps) {
      const double bound = factor * (sum + 1) / static_cast<double>(loads.size());
      if (sum == 0 || static_cast<double>(loads[at->second]) + 1 <= bound) return at->second;
      if (++at == points_.end()) at = points_.begin();
    }
    return first;
  }

 private:
  std::map<std::uint64_t, std::uint32_t> points_;
};

TEST(BoundedHashScorer, TheBestIsTheFirstWithinTheBoundAlongTheRing) {
  const Registry registry = builtin_registry();
  const auto scorer = make(registry.scorer("bounded-hash-scorer"));
  Random random(21);
  Table table(7);
  const Rows rows = all_rows(table.candidates);
  const Ring ring(table);
  std::map<std::uint32_t, int> idle;
  for (int round = 0; round < 4000; ++round) {
    // Each second round nothing is in flight; now and then all have the same.
    for (float& load : table.candidates.inflight_requests) {
      load = round % 2 == 0 ? 0 : static_cast<float>(random.below(1 + random.below(9)));
    }
    const std::vector<std::uint64_t> keys = {random.next(), random.next()};
    model::InferenceRequest request = prompt_of(1);
    request.keys = keys;
    Values out(rows.size(), 0.0F);
    scorer->score(request, table.candidates, rows, out);
    const auto best = static_cast<std::uint32_t>(std::ranges::max_element(out) - out.begin());
    const std::uint32_t wanted = ring.find(keys[0], table.candidates.inflight_requests, 1.25);
    ASSERT_EQ(best, wanted) << round;
    ASSERT_EQ(std::ranges::count(out, out[best]), 1) << round;
    if (round % 2 == 0) ++idle[best];
  }
  for (const auto& [row, count] : idle) EXPECT_NEAR(count, 2000.0 / 7, 90) << row;
}

TEST(BoundedHashScorer, MoreLeadingBlocksHashTheLastOfThem) {
  Table table(5);
  const std::vector<std::uint64_t> keys = {1, 2, 3};
  const auto with = [&](std::span<const std::uint64_t> some, std::string_view parameters) {
    model::InferenceRequest request = prompt_of(1);
    request.keys = some;
    return score("bounded-hash-scorer", table, request, parameters);
  };
  const std::span all(keys);
  EXPECT_EQ(with(all, "leadingBlocks: 2"), with(all.subspan(1, 1), "{}"));
  EXPECT_EQ(with(all.first(1), "leadingBlocks: 2"), with(all.first(1), "{}")) << "a shorter prompt";
  EXPECT_NE(with(all, "{}"), with(all, "leadingBlocks: 2"));
}

TEST(PrefixCacheAffinityFilter, KeepsWarmEndpointsUntilTheyAreTooFarBehind) {
  Table table(3);
  table.candidates.cached_tokens = {900, 100, 850};
  EXPECT_EQ(narrow("prefix-cache-affinity-filter", table, prompt_of(1000)), (Rows{0, 2}));
  // The valve is 1 s at 1000 tokens/s: the least loaded warm one is 1001 tokens behind.
  table.candidates.inflight_tokens = {5000, 10, 1011};
  const std::string_view valve = "{maxTTFTPenaltyMs: 1000, peakPrefillThroughput: 1000}";
  EXPECT_EQ(narrow("prefix-cache-affinity-filter", table, prompt_of(1000), valve), (Rows{0, 1, 2}));
  table.candidates.inflight_tokens[2] = 1010;
  EXPECT_EQ(narrow("prefix-cache-affinity-filter", table, prompt_of(1000), valve), (Rows{0, 2}));
}

TEST(PrefixCacheAffinityFilter, NobodyWarmKeepsAll) {
  Table table(2);
  EXPECT_EQ(narrow("prefix-cache-affinity-filter", table, prompt_of(1000)), (Rows{0, 1}));
}

TEST(LabelSelectorFilter, MatchesLabelsAndExpressions) {
  Table table(3);
  table.endpoints[0]->labels = {{"gpu", "h100"}, {"zone", "a"}};
  table.endpoints[1]->labels = {{"gpu", "h200"}};
  EXPECT_EQ(narrow("label-selector-filter", table, prompt_of(1), "matchLabels: {gpu: h100}"),
            (Rows{0}));
  EXPECT_EQ(narrow("label-selector-filter", table, prompt_of(1),
                   "matchExpressions: [{key: gpu, operator: NotIn, values: [h100]}]"),
            (Rows{1, 2}));
  EXPECT_EQ(narrow("label-selector-filter", table, prompt_of(1),
                   "matchExpressions: [{key: zone, operator: Exists}]"),
            (Rows{0}));
}

TEST(RoleFilters, UnlabelledEndpointsDecodeButDoNotPrefill) {
  Table table(3);
  table.endpoints[0]->labels = {{"llm-d.ai/role", "prefill"}};
  table.endpoints[1]->labels = {{"llm-d.ai/role", "both"}};
  EXPECT_EQ(narrow("decode-filter", table, prompt_of(1)), (Rows{1, 2}));
  EXPECT_EQ(narrow("prefill-filter", table, prompt_of(1)), (Rows{0, 1}));
}

TEST(UtilizationFilter, RemovesSaturatedEndpointsAndMayFallBack) {
  Table table(2);
  table.candidates.waiting = {11, 3};
  const std::string conditions = "conditions: [{metric: waiting-queue, maxValue: 10}]";
  EXPECT_EQ(narrow("utilization-filter", table, prompt_of(1), conditions), (Rows{1}));
  table.candidates.waiting = {11, 12};
  EXPECT_EQ(narrow("utilization-filter", table, prompt_of(1), conditions), Rows{});
  EXPECT_EQ(
      narrow("utilization-filter", table, prompt_of(1), conditions + "\nfallbackOnEmpty: true"),
      (Rows{0, 1}));
}

TEST(Pickers, DistributionsAreWhatTheyClaim) {
  const Registry registry = builtin_registry();
  const Table table(3);
  const Rows rows = all_rows(table.candidates);
  const std::vector<float> totals = {1, 3, 0};
  Chance chance;
  const auto draw = [&](std::string_view type) {
    std::map<std::size_t, int> counts;
    const auto picker = make(registry.picker(type));
    for (int i = 0; i < 30000; ++i) {
      ++counts[picker->pick(rows, totals, table.candidates, chance.context).choice()];
    }
    return counts;
  };
  EXPECT_EQ(draw("max-score-picker")[1], 30000);
  EXPECT_NEAR(draw("random-picker")[2], 10000, 500);
  auto weighted = draw("weighted-random-picker");
  EXPECT_NEAR(weighted[1], 22500, 500);
  EXPECT_EQ(weighted[2], 0);
  auto turns = draw("round-robin-picker");
  EXPECT_EQ(turns[0], 10000);
  EXPECT_EQ(turns[2], 10000);
}

TEST(MaxScorePicker, TiesAreUniform) {
  const Registry registry = builtin_registry();
  const Table table(3);
  Chance chance;
  std::map<std::size_t, int> counts;
  const std::vector<float> totals = {2, 1, 2};
  const auto picker = make(registry.picker("max-score-picker"));
  for (int i = 0; i < 20000; ++i) {
    ++counts[picker->pick(all_rows(table.candidates), totals, table.candidates, chance.context)
                 .choice()];
  }
  EXPECT_NEAR(counts[0], 10000, 400);
  EXPECT_EQ(counts[1], 0);
}

TEST(Runner, CostsAreMinimisedAndBrokenScoresAreClampedAndCounted) {
  class Broken final : public Scorer {
   public:
    void score(const model::InferenceRequest&, const Candidates&, std::span<const std::uint32_t>,
               std::span<float> out) const override {
      out[0] = 7;
      out[1] = -1;
    }
  };
  const Registry registry = builtin_registry();
  Table table(2);
  table.candidates.own_uncached_tokens = {500, 100};
  Profile costs;
  costs.kind = ScoreKind::kTokens;
  costs.scorers.push_back({"cost", make(registry.scorer("externality-cost-scorer")), 1});
  costs.picker = make(registry.picker("max-score-picker"));
  Runner runner;
  Chance chance;
  const Choice choice = runner.decide(costs, prompt_of(600), table.candidates, chance.context);
  EXPECT_EQ(choice.row, 1U);
  EXPECT_EQ(choice.reason, Reason::kScore);
  EXPECT_LT(choice.runner_up, choice.total);

  Profile broken;
  broken.scorers.push_back({"broken", std::make_unique<Broken>(), 1});
  broken.picker = make(registry.picker("max-score-picker"));
  EXPECT_EQ(runner.decide(broken, prompt_of(1), table.candidates, chance.context).row, 0U);
  EXPECT_EQ(runner.out_of_range(), 2U);
  EXPECT_EQ(runner.totals(), (Values{1, 0}));
}

TEST(Runner, NamesTheFilterThatLeftNothing) {
  const Registry registry = builtin_registry();
  Table table(2);
  Profile profile;
  profile.filters.push_back(
      {"only-h100", make(registry.filter("label-selector-filter"), "matchLabels: {gpu: h100}")});
  profile.picker = make(registry.picker("random-picker"));
  Runner runner;
  Chance chance;
  const Choice choice = runner.decide(profile, prompt_of(1), table.candidates, chance.context);
  EXPECT_EQ(choice.row, Choice::kNone);
  ASSERT_NE(choice.emptied_by, nullptr);
  EXPECT_EQ(*choice.emptied_by, "only-h100");
}

}  // namespace
}  // namespace fairlead::scheduling
