// SPDX-License-Identifier: Apache-2.0
// The contract every shipped plugin keeps, whatever its formula: values in range, no dependence on
// row order, determinism, strict parameters.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "core/scheduling/testing/table.h"

namespace fairlead::scheduling {
namespace {

using testing::all_rows;
using testing::Chance;
using testing::make;
using testing::Table;

// Outlives the loops over its lists.
const Registry& registry() {
  static const Registry kRegistry = builtin_registry();
  return kRegistry;
}

Table random_table(std::size_t rows, Random& random) {
  Table table(rows);
  Candidates& c = table.candidates;
  for (std::size_t row = 0; row < rows; ++row) {
    c.waiting[row] = static_cast<float>(random.below(20));
    c.running[row] = static_cast<float>(random.below(200));
    c.kv_usage[row] = static_cast<float>(random.uniform());
    c.inflight_requests[row] = static_cast<float>(random.below(100));
    c.unstarted[row] =
        static_cast<float>(random.below(1 + static_cast<std::uint64_t>(c.inflight_requests[row])));
    c.inflight_tokens[row] = static_cast<float>(random.below(200000));
    c.cached_tokens[row] = static_cast<float>(random.below(3) * 2000);
    c.own_uncached_tokens[row] = 8000 - c.cached_tokens[row];
    c.cold_order[row] = static_cast<float>(random.below(rows));
    c.metrics_age[row] = static_cast<float>(random.uniform());
    c.adapter[row] = static_cast<float>(random.below(3));
    c.adapter_room[row] = static_cast<float>(random.below(6)) - 3;
    c.media_cached[row] = static_cast<float>(random.uniform());
    c.inflight_context[row] = static_cast<float>(random.below(900000));
    c.placed_tokens[row] = static_cast<float>(random.below(5000000));
    table.endpoints[row]->labels = {
        {"llm-d.ai/context-length-range", random.below(2) == 0 ? "0-9000" : "9000-70000"},
        {"llm-d.ai/role", random.below(2) == 0 ? "encode" : "decode"}};
  }
  return table;
}

model::InferenceRequest prompt_of(std::uint64_t tokens) {
  model::InferenceRequest request;
  request.prompt_tokens = tokens;
  request.session = "e1";
  static constexpr std::uint64_t kKeys[] = {0x9d2c5680, 0xefc60000};
  request.keys = kKeys;
  return request;
}

// Parameters a type cannot do without.
std::string_view needed_parameters(std::string_view type) {
  if (type == "utilization-filter") return "conditions: [{metric: waiting-queue, maxValue: 10}]";
  if (type == "by-label") return "{label: gpu, validValues: [h100]}";
  return type == "context-length-aware" ? "enableFiltering: true" : "{}";
}

TEST(Catalog, ATypeIsOnceOfAKindAndAllKindsArePresent) {
  const auto count = [](const auto& specs) {
    std::set<std::string_view> types;
    for (const auto& spec : specs) EXPECT_TRUE(types.insert(spec.type).second) << spec.type;
    return types.size();
  };
  EXPECT_EQ(count(registry().filters()), 12U);
  EXPECT_EQ(count(registry().scorers()), 19U);
  EXPECT_EQ(count(registry().pickers()), 5U);
  EXPECT_EQ(count(registry().admitters()), 4U);
  EXPECT_EQ(count(registry().reporters()), 1U);
  Registry again = builtin_registry();
  EXPECT_FALSE(again.add(registry().scorers().front()).has_value());
  EXPECT_FALSE(again.add(registry().admitters().front()).has_value());
}

TEST(ScorerContract, ValuesAreInRangeAndFinite) {
  Random random(11);
  for (const ScorerSpec& spec : registry().scorers()) {
    const auto scorer = make(&spec);
    for (int round = 0; round < 200; ++round) {
      const Table table = random_table(1 + random.below(12), random);
      const Rows rows = all_rows(table.candidates);
      std::vector<float> out(rows.size(), 0.0F);
      scorer->score(prompt_of(8000), table.candidates, rows, out);
      for (const float value : out) {
        ASSERT_TRUE(std::isfinite(value)) << spec.type;
        ASSERT_GE(value, 0.0F) << spec.type;
        if (spec.kind == ScoreKind::kUnit) {
          ASSERT_LE(value, 1.0F) << spec.type;
        }
      }
    }
  }
}

TEST(ScorerContract, RowOrderDoesNotMatter) {
  Random random(12);
  for (const ScorerSpec& spec : registry().scorers()) {
    const auto scorer = make(&spec);
    for (int round = 0; round < 50; ++round) {
      const Table table = random_table(6, random);
      const Rows rows = {0, 2, 3, 5};
      const Rows reversed(rows.rbegin(), rows.rend());
      std::vector<float> out(4, 0.0F), out_reversed(4, 0.0F);
      scorer->score(prompt_of(8000), table.candidates, rows, out);
      scorer->score(prompt_of(8000), table.candidates, reversed, out_reversed);
      std::ranges::reverse(out_reversed);
      for (std::size_t i = 0; i < out.size(); ++i) {
        ASSERT_FLOAT_EQ(out[i], out_reversed[i]) << spec.type;
      }
    }
  }
}

TEST(ScorerContract, RowsFilteredOutHaveNoInfluence) {
  Random random(13);
  for (const ScorerSpec& spec : registry().scorers()) {
    const auto scorer = make(&spec);
    Table table = random_table(6, random);
    const Rows rows = {1, 2, 4};
    std::vector<float> before(3, 0.0F), after(3, 0.0F);
    scorer->score(prompt_of(8000), table.candidates, rows, before);
    table.candidates.waiting[0] = table.candidates.running[0] = 1e6F;
    table.candidates.inflight_tokens[0] = table.candidates.inflight_requests[0] = 1e6F;
    table.candidates.cached_tokens[0] = 8000;
    table.candidates.inflight_context[0] = table.candidates.placed_tokens[0] = 1e6F;
    scorer->score(prompt_of(8000), table.candidates, rows, after);
    EXPECT_EQ(before, after) << spec.type;
  }
}

TEST(FilterContract, OnlyRemovesRowsAndKeepsTheirOrder) {
  Random random(14);
  Chance chance;
  for (const FilterSpec& spec : registry().filters()) {
    const auto filter = make(&spec, needed_parameters(spec.type));
    for (int round = 0; round < 100; ++round) {
      const Table table = random_table(1 + random.below(10), random);
      const Rows all = all_rows(table.candidates);
      Rows rows = all;
      filter->narrow(prompt_of(8000), table.candidates, rows, chance.context);
      const bool orders = spec.type == "header-based-testing-filter";
      ASSERT_TRUE(orders || std::ranges::is_sorted(rows)) << spec.type;
      std::ranges::sort(rows);
      ASSERT_TRUE(std::ranges::includes(all, rows)) << spec.type;
      ASSERT_EQ(std::ranges::adjacent_find(rows), rows.end()) << spec.type;
    }
  }
}

TEST(PickerContract, PicksARowWhateverTheTotals) {
  Random random(15);
  Chance chance;
  for (const PickerSpec& spec : registry().pickers()) {
    const auto picker = make(&spec);
    for (int round = 0; round < 300; ++round) {
      const Table table = random_table(1 + random.below(10), random);
      const Rows rows = all_rows(table.candidates);
      std::vector<float> totals(rows.size());
      for (float& total : totals) total = static_cast<float>(random.uniform() * 4 - 2);
      const Ranking ranking = picker->pick(rows, totals, table.candidates, chance.context);
      ASSERT_EQ(ranking.size(), 1U) << spec.type << ": one is the default";
      ASSERT_LT(ranking.choice(), rows.size()) << spec.type;
    }
  }
}

TEST(PluginContract, UnknownParametersAreRefusedWithTheirName) {
  const auto refused = [](const auto& spec) {
    config::Problems problems;
    make(&spec, "noSuchParameter: 1", problems);
    return problems.has_errors() &&
           problems.to_string().find("noSuchParameter") != std::string::npos;
  };
  for (const auto& spec : registry().filters()) {
    // The label selector's own keys are fixed too.
    EXPECT_TRUE(refused(spec)) << spec.type;
  }
  for (const auto& spec : registry().scorers()) EXPECT_TRUE(refused(spec)) << spec.type;
  for (const auto& spec : registry().pickers()) EXPECT_TRUE(refused(spec)) << spec.type;
  for (const auto& spec : registry().admitters()) EXPECT_TRUE(refused(spec)) << spec.type;
  for (const auto& spec : registry().reporters()) EXPECT_TRUE(refused(spec)) << spec.type;
}

TEST(PluginContract, EveryColumnReadIsOneThatExists) {
  for (const auto& spec : registry().scorers()) {
    EXPECT_TRUE(spec.reads.missing_from(kAllColumns).none()) << spec.type;
  }
  EXPECT_EQ(to_string(Columns{Column::kWaiting, Column::kLabels}), "waiting, labels");
  const std::string all = ", " + to_string(kAllColumns) + ",";
  for (const Figure& figure : kFigures) {
    EXPECT_NE(all.find(", " + std::string(figure.name) + ","), std::string::npos) << figure.name;
  }
}

TEST(Runner, ToldTermsAddUpToTheTotalsAndRemovedRowsNameTheirFilter) {
  Random random(11);
  Profile profile;
  profile.filters.push_back({"warm", make(registry().filter("prefix-cache-affinity-filter"))});
  profile.scorers.push_back({"queue", make(registry().scorer("queue-scorer")), 2});
  profile.scorers.push_back({"cache", make(registry().scorer("prefix-cache-scorer")), 3});
  profile.picker = make(registry().picker("max-score-picker"));
  for (int round = 0; round < 50; ++round) {
    Table table = random_table(8, random);
    table.candidates.cached_tokens[5] = 8000;  // The only one above the threshold.
    table.candidates.inflight_tokens[5] = 0;
    Chance chance;
    Runner runner;
    Explanation told;
    const Choice choice =
        runner.decide(profile, prompt_of(8000), table.candidates, chance.context, &told);
    Chance again;
    Runner other;
    EXPECT_EQ(other.decide(profile, prompt_of(8000), table.candidates, again.context).row,
              choice.row)
        << "telling changes nothing";
    ASSERT_EQ(told.rows, Rows{5});
    ASSERT_EQ(told.removed.size(), 7U);
    EXPECT_EQ(*told.removed[0].filter, "warm");
    ASSERT_EQ(told.terms.size(), 2U);
    EXPECT_EQ(*told.terms[1].scorer, "cache");
    EXPECT_EQ(told.totals[0], 2 * told.terms[0].values[0] + 3 * told.terms[1].values[0]);
    EXPECT_EQ(told.totals[0], choice.total);
  }
}

}  // namespace
}  // namespace fairlead::scheduling
