// SPDX-License-Identifier: Apache-2.0
// Runs testdata/golden.txt, which says what its vectors mean.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <charconv>
#include <cmath>
#include <fstream>
#include <map>

#include "core/scheduling/testing/table.h"

namespace fairlead::scheduling {
namespace {

using testing::all_rows;
using testing::make;
using testing::Table;

constexpr int kDraws = 4000;

struct Plugin {
  std::string kind;
  std::string type;
  std::string parameters;
};

struct Vector {
  std::map<std::string, std::string> given;
  std::vector<std::string> expected;
};

std::vector<std::string> split(std::string_view text, char by) {
  std::vector<std::string> parts;
  while (!text.empty() || parts.empty()) {
    const std::size_t end = std::min(text.find(by), text.size());
    parts.emplace_back(text.substr(0, end));
    if (end == text.size()) break;
    text.remove_prefix(end + 1);
  }
  return parts;
}

double number(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  EXPECT_TRUE(error == std::errc{} && end == text.data() + text.size()) << "no number: " << text;
  return value;
}

float cell(std::string_view column, std::string_view text) {
  if (column == "adapter") {
    EXPECT_TRUE(text == "active" || text == "waiting" || text == "none") << text;
    return text == "active"    ? kAdapterActive
           : text == "waiting" ? kAdapterWaiting
                               : kAdapterNowhere;
  }
  return column == "age" && text == "never" ? kMetricsAgeMax : static_cast<float>(number(text));
}

// key=value pairs between blanks; a value may be in quotes.
std::map<std::string, std::string> read_given(std::string_view text) {
  std::map<std::string, std::string> given;
  std::size_t at = 0;
  while ((at = text.find_first_not_of(' ', at)) < text.size()) {
    const std::size_t equals = text.find('=', at);
    const std::string key(text.substr(at, equals - at));
    bool quoted = false;
    for (at = equals + 1; at < text.size() && (quoted || text[at] != ' '); ++at) {
      if (text[at] == '"') quoted = !quoted;
    }
    given[key] = text.substr(equals + 1, at - equals - 1);
  }
  return given;
}

struct Case {
  explicit Case(const std::map<std::string, std::string>& given) : table(count_rows(given)) {
    for (const auto& [key, value] : given) set(key, value);
    request.headers = headers;
  }

  static std::size_t count_rows(const std::map<std::string, std::string>& given) {
    for (const auto& [key, value] : given) {
      if (key == "rows") return static_cast<std::size_t>(number(value));
      if (columns().contains(key) || key.starts_with("label:") || key == "address" ||
          key == "totals") {
        return split(value, ',').size();
      }
    }
    return 0;
  }

  static const std::map<std::string, std::vector<float> Candidates::*>& columns() {
    static const std::map<std::string, std::vector<float> Candidates::*> kColumns = {
        {"waiting", &Candidates::waiting},
        {"running", &Candidates::running},
        {"kv", &Candidates::kv_usage},
        {"inflight", &Candidates::inflight_requests},
        {"inflight_tokens", &Candidates::inflight_tokens},
        {"unstarted", &Candidates::unstarted},
        {"context", &Candidates::inflight_context},
        {"placed", &Candidates::placed_tokens},
        {"capacity", &Candidates::kv_tokens},
        {"reuse", &Candidates::reuse},
        {"slowness", &Candidates::slowness},
        {"shortage", &Candidates::shortage},
        {"cold_tokens", &Candidates::cold_tokens},
        {"cached", &Candidates::cached_tokens},
        {"own", &Candidates::own_uncached_tokens},
        {"cold", &Candidates::cold_order},
        {"age", &Candidates::metrics_age},
        {"adapter", &Candidates::adapter},
        {"room", &Candidates::adapter_room},
    };
    return kColumns;
  }

  void set_row(const std::string& key, std::size_t row, const std::string& value) {
    model::Endpoint& endpoint = *table.endpoints[row];
    if (key == "totals") {
      totals.push_back(static_cast<float>(number(value)));
    } else if (key == "address") {
      const std::size_t colon = value.rfind(':');
      const bool v6 = value.starts_with('[');
      endpoint.host = value.substr(v6 ? 1 : 0, v6 ? colon - 2 : colon);
      endpoint.port = static_cast<std::uint16_t>(number(value.substr(colon + 1)));
    } else if (key.starts_with("label:")) {
      if (value != "-") endpoint.labels.emplace_back(key.substr(6), value == "\"\"" ? "" : value);
    } else {
      (table.candidates.*columns().at(key))[row] = cell(key, value);
    }
  }

  void set(const std::string& key, const std::string& value) {
    if (key == "prompt") {
      request.prompt_tokens = static_cast<std::uint64_t>(number(value));
    } else if (key == "priority") {
      request.priority = static_cast<std::int32_t>(number(value));
    } else if (key == "header") {
      header = value.substr(1, value.size() - 2);
      headers.push_back({"test-epp-endpoint-selection", header});
    } else if (key.ends_with("_tokens") && key != "inflight_tokens") {
      auto& field = key == "prompt_tokens"       ? usage.prompt_tokens
                    : key == "completion_tokens" ? usage.completion_tokens
                    : key == "total_tokens"      ? usage.total_tokens
                                                 : usage.cached_tokens;
      field = static_cast<std::uint64_t>(number(value));
    } else if (key != "rows") {
      const std::vector<std::string> values = split(value, ',');
      ASSERT_EQ(values.size(), table.candidates.size()) << key;
      for (std::size_t row = 0; row < values.size(); ++row) set_row(key, row, values[row]);
    }
  }

  Table table;
  model::InferenceRequest request;
  std::string header;
  std::vector<model::RequestHeader> headers;
  std::vector<float> totals;
  Usage usage;
};

// Within five standard deviations; never more or less than certain.
void expect_probability(int hits, double probability) {
  const double deviation = std::sqrt(kDraws * probability * (1 - probability));
  EXPECT_NEAR(hits, kDraws * probability, 5 * deviation);
}

void expect_rows(std::span<const std::uint32_t> rows, const std::vector<std::string>& expected) {
  std::vector<std::string> names;
  for (const std::uint32_t row : rows) names.push_back(std::to_string(row));
  if (names.empty()) names.emplace_back("none");
  EXPECT_EQ(names, expected);
}

void expect_chances(const Picker& picker, const Case& given,
                    const std::vector<std::string>& expected) {
  std::vector<int> hits(given.table.candidates.size());
  const Rows rows = all_rows(given.table.candidates);
  for (int seed = 0; seed < 8; ++seed) {
    Random random(static_cast<std::uint64_t>(seed) + 100);
    fleet::PlacementLedger ledger;
    DecisionContext context{random, ledger};
    for (int i = 0; i < kDraws / 8; ++i) {
      ++hits[picker.pick(rows, given.totals, given.table.candidates, context).choice()];
    }
  }
  ASSERT_EQ(hits.size(), expected.size());
  for (std::size_t row = 0; row < hits.size(); ++row) {
    expect_probability(hits[row], number(expected[row]));
  }
}

std::string reporter_parameters(const std::string& text) {
  const std::size_t at = text.find(" if ");
  const std::string condition =
      at == std::string::npos ? "" : fmt::format(", condition: \"{}\"", text.substr(at + 4));
  return fmt::format("attributes: [{{key: {{name: cost}}, expression: \"{}\"{}}}]",
                     text.substr(0, at), condition);
}

void check(const Registry& registry, const Plugin& plugin, const Vector& vector) {
  const Case given(vector.given);
  const Candidates& table = given.table.candidates;
  Rows rows = all_rows(table);
  Random random(7);
  fleet::PlacementLedger ledger;
  DecisionContext context{random, ledger};
  if (plugin.kind == "scorer") {
    std::vector<float> scores(rows.size(), 0.0F);
    const auto scorer = make(registry.scorer(plugin.type), plugin.parameters);
    scorer->score(given.request, table, rows, scores);
    ASSERT_EQ(scores.size(), vector.expected.size());
    for (std::size_t i = 0; i < scores.size(); ++i) {
      EXPECT_NEAR(static_cast<double>(scores[i]), number(vector.expected[i]), 2e-6) << "row " << i;
    }
  } else if (plugin.kind == "filter") {
    make(registry.filter(plugin.type), plugin.parameters)
        ->narrow(given.request, table, rows, context);
    expect_rows(rows, vector.expected);
  } else if (plugin.kind == "picker") {
    const auto picker = make(registry.picker(plugin.type), plugin.parameters);
    expect_rows(picker->pick(rows, given.totals, table, context).all(), vector.expected);
  } else if (plugin.kind == "chance") {
    expect_chances(*make(registry.picker(plugin.type), plugin.parameters), given, vector.expected);
  } else if (plugin.kind == "admitter") {
    const auto admitter = make(registry.admitter(plugin.type), plugin.parameters);
    int refused = 0;
    for (int i = 0; i < kDraws; ++i) {
      if (admitter->admit(given.request, table, random) == Admission::kSaturated) ++refused;
    }
    expect_probability(refused, number(vector.expected.at(0)));
  } else {
    ASSERT_EQ(plugin.kind, "reporter");
    const auto report = make(registry.reporter(plugin.type), reporter_parameters(plugin.parameters))
                            ->report(given.usage);
    EXPECT_EQ(report ? std::to_string(report->value) : "none", vector.expected.at(0));
  }
}

TEST(Golden, EveryVectorHolds) {
  std::ifstream file(FAIRLEAD_SOURCE_DIR "/src/core/scheduling/testdata/golden.txt");
  ASSERT_TRUE(file.is_open());
  const Registry registry = builtin_registry();
  Plugin plugin;
  std::map<std::string, int> counts;
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    std::string_view text = line;
    text = text.substr(0, std::min(text.find("  #"), text.size()));
    if (text.empty() || text.starts_with('#')) continue;
    SCOPED_TRACE(fmt::format("line {}: {} {}", number, plugin.type, line));
    if (!text.starts_with(' ')) {
      const auto words = split(text, ' ');
      ASSERT_GE(words.size(), 3U);
      plugin = {words[0], words[1], std::string(text.substr(text.find(words[2])))};
      continue;
    }
    const std::size_t arrow = text.find("=> ");
    ASSERT_NE(arrow, std::string_view::npos);
    check(registry, plugin,
          {read_given(text.substr(0, arrow)), split(text.substr(arrow + 3), ' ')});
    ++counts[plugin.type];
  }
  const auto expect_enough = [&](std::string_view type, int enough = 20) {
    EXPECT_GE(counts[std::string(type)], enough) << type;
  };
  for (const auto& spec : registry.filters()) {
    if (spec.stability == Stability::kBeta) expect_enough(spec.type);
  }
  for (const auto& spec : registry.scorers()) {
    // Ours have no published formula but their own; the share of media is the candidate builder's.
    const bool elsewhere =
        spec.kind == ScoreKind::kTokens || spec.type == "mm-embeddings-cache-scorer";
    if (spec.stability == Stability::kBeta && !elsewhere) expect_enough(spec.type);
  }
  for (const char* type : {"max-score-picker", "random-picker", "weighted-random-picker",
                           "probabilistic-admitter", "request-attribute-reporter"}) {
    expect_enough(type);
  }
  for (const char* rule_of_a_peer :
       {"bounded-hash-scorer", "dynamo-cost-scorer", "lmetric-cost-scorer", "preble-cost-scorer",
        "sglang-cache-aware-scorer", "power-of-two-picker"}) {
    expect_enough(rule_of_a_peer, 8);
  }
}

// What stands behind the first is drawn from what is left: for totals 1, 2 and 5 the second is row
// 0 with probability 2/8 * 1/6 + 5/8 * 1/3 = 0.25.
TEST(Golden, WeightedFallbacksAreDrawnWithoutReplacement) {
  const Registry registry = builtin_registry();
  const auto picker = make(registry.picker("weighted-random-picker"), "maxNumOfEndpoints: 3");
  const Table table(3);
  const std::vector<float> totals = {1, 2, 5};
  Random random(5);
  fleet::PlacementLedger ledger;
  DecisionContext context{random, ledger};
  int second = 0;
  for (int i = 0; i < kDraws; ++i) {
    const Ranking ranking =
        picker->pick(all_rows(table.candidates), totals, table.candidates, context);
    ASSERT_EQ(ranking.size(), 3U);
    ASSERT_EQ(ranking.all()[0] + ranking.all()[1] + ranking.all()[2], 3U);
    if (ranking.fallbacks()[0] == 0) ++second;
  }
  expect_probability(second, 0.25);
}

}  // namespace
}  // namespace fairlead::scheduling
