// SPDX-License-Identifier: Apache-2.0
#include "lab/load/model/workload_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "lab/load/model/cache_bound.h"

namespace fairlead::load {
namespace {

constexpr std::string_view kHead = "{name: t, about: a test, use: train, ";

WorkloadSpec spec_of(const std::string& rest) {
  auto spec = parse_workload(std::string(kHead) + rest + "}", "t.yaml");
  EXPECT_TRUE(spec.has_value()) << (spec ? "" : spec.error().message);
  return spec ? std::move(*spec) : WorkloadSpec{};
}

Workload planned(const std::string& rest, std::uint64_t seed = 1) {
  auto workload = plan_workload(spec_of(rest), seed, nullptr);
  EXPECT_TRUE(workload.has_value()) << (workload ? "" : workload.error().message);
  return workload ? std::move(*workload) : Workload{};
}

std::string said(const std::string& text) {
  const auto spec = parse_workload(text, "w.yaml");
  return spec ? "accepted" : spec.error().message;
}

using Parts = std::vector<PromptPart>;

Parts prompt_of(const Workload& workload, std::size_t request) {
  const auto parts = workload.prompt(workload.requests[request]);
  return {parts.begin(), parts.end()};
}

Parts with_answer(const Workload& workload, std::size_t request) {
  const auto parts = workload.prompt_and_answer(workload.requests[request]);
  return {parts.begin(), parts.end()};
}

// How many parts the two begin with in common.
std::size_t common(const Parts& a, const Parts& b) {
  return static_cast<std::size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
}

constexpr const char* kOneSession =
    "kind: sessions, system: {tokens: 100}, dynamic_system: 40, turns: 3, input: 7, output: 20,"
    "think_s: 10, pace: {first_token_s: 1, token_s: 0.1}, arrivals: {process: constant}, "
    "rate: 0.03, length_s: 99";

// One session at 0 s, three turns a hundred seconds: 1 s + 20 x 0.1 s to answer, 10 s to think.
TEST(Sessions, ATurnRepeatsExactlyWhatWasSaid) {
  const Workload workload = planned(kOneSession);
  ASSERT_EQ(workload.requests.size(), 3u);
  EXPECT_EQ(workload.requests[0].prompt_tokens, 147u);
  EXPECT_EQ(workload.requests[1].prompt_tokens, 147u + 27);
  EXPECT_EQ(workload.requests[2].prompt_tokens, 147u + 54);
  for (std::size_t turn = 0; turn < 3; ++turn) {
    EXPECT_NEAR(to_seconds(workload.requests[turn].at), 13.0 * static_cast<double>(turn), 1e-6);
    EXPECT_EQ(workload.requests[turn].output_tokens, 20u);
    EXPECT_EQ(workload.requests[turn].answer_parts, 1u);
    EXPECT_EQ(workload.requests[turn].group, 0u);
  }
  EXPECT_EQ(workload.group_count, 1u);
  for (const std::size_t turn : {1u, 2u}) {
    const Parts before = with_answer(workload, turn - 1);
    const Parts now = prompt_of(workload, turn);
    ASSERT_EQ(now.size(), before.size() + 1);
    EXPECT_EQ(common(before, now), before.size());
    EXPECT_EQ(now.back().tokens, 7u);
  }
  // Blocks of 1 token: all but the last input (and the last token) is found in an ideal cache.
  EXPECT_DOUBLE_EQ(pooled_hit_rate(workload, 1, 1 << 20),
                   (147.0 + 20 + 174 + 20) / (147 + 174 + 201));
}

TEST(Sessions, NothingButTheSystemPromptIsSharedBetweenThem) {
  const Workload workload = planned(
      "kind: sessions, system: {tokens: 100}, dynamic_system: 40, turns: 1, input: 7, output: 20, "
      "think_s: 1, arrivals: {process: constant}, rate: 1, length_s: 10");
  ASSERT_EQ(workload.requests.size(), 10u);
  EXPECT_EQ(workload.group_count, 10u);
  for (std::size_t i = 1; i < 10; ++i) {
    EXPECT_EQ(common(prompt_of(workload, 0), prompt_of(workload, i)), 1u);
  }
}

TEST(Sessions, ThoseThatBeganBeforeTheRunAreUnderWay) {
  const std::string rest =
      "kind: sessions, turns: 5, input: 10, output: 10, think_s: 20, pace: {first_token_s: 0, "
      "token_s: 0}, arrivals: {process: constant}, rate: 5, length_s: 100, lead_s: ";
  const Workload cold = planned(rest + "0");
  const Workload warm = planned(rest + "80");
  EXPECT_EQ(warm.requests.size(), 500u);  // As many a second as the rate says, from the start.
  EXPECT_EQ(cold.requests.size(), 300u);  // The first 80 s lack later turns: by hand 100 x 5 - 200.
  EXPECT_EQ(warm.requests.front().at, Duration{});
  EXPECT_GT(warm.requests.front().prompt_tokens, 10u);
}

TEST(Sessions, EndWhereTheContextEnds) {
  std::string rest = kOneSession;
  EXPECT_EQ(planned(rest + ", context_tokens: 194").requests.size(), 2u);
  EXPECT_EQ(planned(rest + ", context_tokens: 221").requests.size(), 3u);
  const auto none = plan_workload(spec_of(rest + ", context_tokens: 100"), 1, nullptr);
  ASSERT_FALSE(none.has_value());
  EXPECT_EQ(none.error().message,
            "workload t sends no request: raise rate or length_s, or context_tokens");
}

// Two steps, and between them two branches of two steps each: six requests.
TEST(Agents, BranchesShareExactlyTheCommonPrefixAndJoin) {
  const Workload workload = planned(
      "kind: agentic, tools: {tokens: 500}, task: 50, steps: 2, output: 10, result: 30, tool_s: 2, "
      "pace: {first_token_s: 1, token_s: 0}, arrivals: {process: constant}, "
      "branch: {chance: 1, width: 2, steps: 2, task: 5}, rate: 0.06, length_s: 99");
  ASSERT_EQ(workload.requests.size(), 6u);
  const double at[] = {0, 1, 1, 4, 4, 5};
  const std::uint32_t tokens[] = {550, 565, 565, 605, 605, 580};
  for (std::size_t i = 0; i < 6; ++i) {
    EXPECT_NEAR(to_seconds(workload.requests[i].at), at[i], 1e-6) << i;
    EXPECT_EQ(workload.requests[i].prompt_tokens, tokens[i]) << i;
  }
  const Parts start = with_answer(workload, 0);
  for (const std::size_t branch : {1u, 2u}) {
    EXPECT_EQ(common(start, prompt_of(workload, branch)), start.size());
    const Parts answered = with_answer(workload, branch);
    EXPECT_EQ(common(answered, prompt_of(workload, branch + 2)), answered.size());
  }
  EXPECT_EQ(common(prompt_of(workload, 1), prompt_of(workload, 2)), start.size());
  EXPECT_EQ(common(prompt_of(workload, 3), prompt_of(workload, 4)), start.size());
  // The join: the common prefix, and the last answer of either branch.
  const Parts join = prompt_of(workload, 5);
  ASSERT_EQ(join.size(), start.size() + 2);
  EXPECT_EQ(common(start, join), start.size());
  EXPECT_EQ(join[start.size()], with_answer(workload, 3).back());
  EXPECT_EQ(join[start.size() + 1], with_answer(workload, 4).back());
}

TEST(Agents, WithoutBranchesAStepAppendsAnswerAndResult) {
  const Workload workload = planned(
      "kind: agentic, tools: {tokens: 500}, task: 50, steps: 3, output: 10, result: 30, tool_s: 2, "
      "arrivals: {process: constant}, rate: 0.03, length_s: 99");
  ASSERT_EQ(workload.requests.size(), 3u);
  EXPECT_EQ(workload.requests[2].prompt_tokens, 550u + 2 * 40);
  const Parts before = with_answer(workload, 1);
  EXPECT_EQ(common(before, prompt_of(workload, 2)), before.size());
  EXPECT_EQ(prompt_of(workload, 2).back().tokens, 30u);
}

TEST(Documents, PopularityFollowsZipfAndAQuestionSharesItsDocumentOnly) {
  const Workload workload = planned(
      "kind: documents, system: {tokens: 10}, documents: {count: 50, tokens: 200, zipf: 1}, "
      "questions: 2, question: 8, output: 5, gap_s: 1, rate: 200, length_s: 200");
  ASSERT_GT(workload.requests.size(), 38'000u);
  std::map<std::uint32_t, double> visits;
  std::map<std::uint32_t, Parts> first;
  for (std::size_t i = 0; i < workload.requests.size(); ++i) {
    const std::uint32_t group = workload.requests[i].group;
    ++visits[group];
    const auto [found, fresh] = first.try_emplace(group, prompt_of(workload, i));
    ASSERT_EQ(common(found->second, prompt_of(workload, i)), fresh ? 3u : 2u);
  }
  EXPECT_EQ(visits.size(), 50u);
  double harmonic = 0;
  for (int n = 1; n <= 50; ++n) harmonic += 1.0 / n;
  const auto total = static_cast<double>(workload.requests.size());
  for (const std::uint32_t n : {1u, 2u, 5u, 20u}) {
    const double expected = 1 / (n * harmonic);
    EXPECT_NEAR(visits[n - 1] / total / expected, 1, 0.12) << n;
  }
}

TEST(SharedPrefix, ALadderIsThePublishedOne) {
  const Workload from_file = planned(
      "kind: shared-prefix, groups: 4, prompts_per_group: 3, system_tokens: 100, "
      "question_tokens: 20, output_tokens: 7, pause_s: 30, "
      "stages: [{rate: 5, length_s: 6, warm_up: true}, {rate: 10, length_s: 4}]");
  SyntheticSettings settings;
  settings.name = "t";
  settings.prompts = SharedPrefixPrompts{4, 3, 100, 20, 7};
  settings.loop = OpenLoop{Arrivals::kPoisson,
                           {{5, std::chrono::seconds(6), StageKind::kWarmUp},
                            {10, std::chrono::seconds(4), StageKind::kMeasured}},
                           std::chrono::seconds(30)};
  const Workload direct = plan_synthetic(settings).value();
  EXPECT_EQ(from_file.parts, direct.parts);
  ASSERT_EQ(from_file.requests.size(), direct.requests.size());
  for (std::size_t i = 0; i < direct.requests.size(); ++i) {
    EXPECT_EQ(from_file.requests[i].at, direct.requests[i].at);
    EXPECT_EQ(from_file.requests[i].first_part, direct.requests[i].first_part);
  }
  EXPECT_EQ(from_file.stages[0].kind, StageKind::kWarmUp);
}

TEST(SharedPrefix, OtherArrivalsDealTheSameDeck) {
  const Workload workload = planned(
      "kind: shared-prefix, groups: 4, prompts_per_group: 3, system_tokens: 100, "
      "question_tokens: 20, output_tokens: 7, arrivals: {process: gamma, cv: 2}, "
      "rate: 50, length_s: 20");
  ASSERT_GT(workload.requests.size(), 100u);
  std::set<std::uint32_t> dealt;
  for (std::size_t i = 0; i < 12; ++i) dealt.insert(workload.requests[i].first_part);
  EXPECT_EQ(dealt.size(), 12u);
  for (std::size_t i = 12; i < workload.requests.size(); ++i) {
    EXPECT_EQ(workload.requests[i].first_part, workload.requests[i - 12].first_part);
  }
}

TEST(Tenants, HaveTheirSharesOfTheRateAndNothingInCommon) {
  const Workload workload = planned(
      "kind: tenants, rate: 40, length_s: 1000, tenants: ["
      "{share: 3, kind: single, system: {tokens: 64}, input: 100, output: 11},"
      "{share: 1, kind: sessions, system: {tokens: 64}, turns: geometric mean=4 max=40, input: 50,"
      " output: 22, think_s: 3, context_tokens: 1000000}], lead_s: 300");
  double singles = 0;
  std::set<std::uint64_t> systems[2];
  for (const PlannedRequest& request : workload.requests) {
    const std::size_t tenant = request.output_tokens == 11 ? 0 : 1;
    singles += tenant == 0 ? 1 : 0;
    systems[tenant].insert(workload.prompt(request)[0].id);
  }
  EXPECT_NEAR(static_cast<double>(workload.requests.size()) / 1000, 40, 1);
  EXPECT_NEAR(singles / static_cast<double>(workload.requests.size()), 0.75, 0.02);
  EXPECT_EQ(systems[0].size(), 1u);
  EXPECT_EQ(systems[1].size(), 1u);
  EXPECT_NE(systems[0], systems[1]);
}

TEST(Clients, TheFirstHasItsShareAndEachItsOwnPrefix) {
  const Workload workload = planned(
      "kind: clients, clients: {count: 20, top_share: 0.4, cv: 2, weibull: 0.5}, "
      "prompts: {kind: single, system: {tokens: 64}, input: 100, output: 10}, "
      "rate: 50, length_s: 1000");
  std::map<std::uint64_t, double> clients;
  for (const PlannedRequest& request : workload.requests) {
    ++clients[workload.prompt(request)[0].id];
  }
  const auto total = static_cast<double>(workload.requests.size());
  EXPECT_NEAR(total / 1000, 50, 2);
  EXPECT_EQ(clients.size(), 20u);
  double most = 0;
  for (const auto& [id, count] : clients) most = std::max(most, count);
  EXPECT_NEAR(most / total, 0.4, 0.03);
}

TEST(Clients, SizesScaleTheirTokens) {
  const Workload workload = planned(
      "kind: clients, clients: {count: 5, size: uniform min=0.5 max=4}, "
      "prompts: {kind: single, input: 100, output: 10}, rate: 10, length_s: 100");
  std::set<std::uint32_t> sizes;
  for (const PlannedRequest& request : workload.requests) {
    sizes.insert(request.prompt_tokens);
    EXPECT_GE(request.prompt_tokens, 50u);
    EXPECT_LE(request.prompt_tokens, 400u);
    EXPECT_NEAR(request.output_tokens, request.prompt_tokens / 10.0, 0.56);
  }
  EXPECT_EQ(sizes.size(), 5u);
}

TEST(WorkloadPlan, SameSeedSameBytesOtherSeedOthers) {
  const std::string rest =
      "kind: agentic, tools: {count: 3, tokens: 500}, task: 50, steps: geometric mean=4, output: "
      "10,"
      " result: 30, tool_s: exponential mean=2, branch: {chance: 0.3, width: 2, steps: 2, task: 5},"
      " rate: 5, length_s: 60";
  const Workload first = planned(rest);
  const Workload again = planned(rest);
  const Workload other = planned(rest, 2);
  ASSERT_EQ(first.requests.size(), again.requests.size());
  EXPECT_EQ(first.parts, again.parts);
  for (std::size_t i = 0; i < first.requests.size(); ++i) {
    EXPECT_EQ(first.requests[i].at, again.requests[i].at);
    EXPECT_EQ(first.requests[i].first_part, again.requests[i].first_part);
  }
  EXPECT_NE(first.parts[0], other.parts[0]);
  EXPECT_NE(first.requests[0].at, other.requests[0].at);
}

TEST(WorkloadPlan, RequestsAreLimitedAndBoundsAreErrors) {
  const Workload workload =
      planned("kind: single, input: 10, output: 1, rate: 100, length_s: 10, requests: 50");
  EXPECT_EQ(workload.requests.size(), 50u);
  EXPECT_EQ(workload.stages.at(0).length, workload.requests.back().at);
  EXPECT_EQ(workload.stages.at(0).request_count, 50u);
  const auto full = plan_workload(
      spec_of("kind: sessions, turns: 1000, input: 1, output: 1, think_s: 0, rate: 100, "
              "length_s: 1000, context_tokens: 1000000"),
      1, nullptr);
  ASSERT_FALSE(full.has_value());
  EXPECT_EQ(full.error().code, ErrorCode::kLimitExceeded);
  const auto no_trace = plan_workload(spec_of("kind: trace, trace: x"), 1, nullptr);
  EXPECT_EQ(no_trace.error().message, "trace x is not at hand");
}

TEST(WorkloadErrors, AllAtOnceEachWithItsLine) {
  EXPECT_EQ(said("name: t\nuse: test\nkind: sessions\nturns: 0\ninput: lots\noutput: 1\n"
                 "think_s: 1\npace: {token: 3}\nrate: fast\nlength_s: 10\nlenght: 5\n"),
            "w.yaml:1: \"about\" is missing\n"
            "w.yaml:2: use: must be one of train, validate, is \"test\"\n"
            "w.yaml:4: turns: must be from 1 to 1000, is 0\n"
            "w.yaml:5: input: must be a number or begin with uniform, lognormal, geometric or "
            "exponential\n"
            "w.yaml:8: pace.token: unknown key; known here: first_token_s, token_s\n"
            "w.yaml:9: rate: expected a number, found \"fast\"\n"
            "w.yaml:11: lenght: unknown key");
  EXPECT_EQ(said("name: t\nabout: a\nuse: train\n"), "w.yaml:1: \"kind\" is missing");
  EXPECT_EQ(said("[1]").substr(0, 9), "w.yaml:1:");
}

TEST(WorkloadErrors, KindsCheckWhatIsTheirs) {
  const std::string head = "name: t\nabout: a\nuse: train\n";
  EXPECT_EQ(said(head + "kind: tenants\ntenants:\n  - {kind: trace, share: 1}\nrate: 1\n"
                        "length_s: 9\n"),
            "w.yaml:6: tenants[0].kind: must be one of shared-prefix, single, sessions, agentic, "
            "documents, is \"trace\"");
  EXPECT_EQ(said(head + "kind: clients\nclients: {count: 4, top_share: 0.1}\n"
                        "prompts: {kind: single, input: 1, output: 1}\nrate: 1\nlength_s: 9\n"),
            "w.yaml:5: clients.top_share: 4 clients give the first at least 0.25");
  EXPECT_EQ(said(head + "kind: single\ninput: 1\noutput: 1\narrivals: {process: gamma}\n"
                        "rate: 100000\nlength_s: 86400\n"),
            "w.yaml:7: arrivals: \"cv\" is missing\n"
            "w.yaml:8: rate: times length_s and lead_s is above 2000000 requests");
  EXPECT_EQ(said(head + "kind: shared-prefix\nstages:\n  - {rate: 0.1, length_s: 1}\n"
                        "arrivals: {process: on-off, on_s: 1, off_s: 1}\n"),
            "w.yaml:6: stages[0]: sends no request\n"
            "w.yaml:7: arrivals: stages take the processes poisson and constant");
  EXPECT_EQ(said(head + "kind: trace\ntrace: x\nfrom_s: 5\nto_s: 5\n"),
            "w.yaml:7: to_s: must be above from_s");
}

}  // namespace
}  // namespace fairlead::load
