// SPDX-License-Identifier: Apache-2.0
#include "lab/plan/sweep_space.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

namespace fairlead::plan {
namespace {

PolicyTemplate parsed(std::string_view text) {
  auto policy = PolicyTemplate::parse(text, "p.yaml");
  EXPECT_TRUE(policy.has_value());
  return std::move(*policy);
}

std::string template_error(std::string_view text) {
  const auto policy = PolicyTemplate::parse(text, "p.yaml");
  return policy ? "no error" : policy.error().message;
}

Variation variation(std::string_view text) {
  auto read = parse_variation(text);
  EXPECT_TRUE(read.has_value()) << text;
  return std::move(*read);
}

TEST(PolicyTemplate, HolesAreFilledWhereverTheyStand) {
  const PolicyTemplate policy = parsed("a: ${x}\nb: ${y:2}  # ${x}, $x and {x}\n");
  ASSERT_EQ(policy.holes().size(), 2U);
  EXPECT_EQ(policy.holes()[1].line, 2);
  EXPECT_EQ(policy.fill({{"x", "1"}}).value(), "a: 1\nb: 2  # 1, $x and {x}\n");
  EXPECT_EQ(policy.fill({{"y", "3"}, {"x", "${y}"}}).value(), "a: ${y}\nb: 3  # ${y}, $x and {x}\n")
      << "a value is no template";
}

TEST(PolicyTemplate, ErrorsNameThePlace) {
  const PolicyTemplate policy = parsed("a: 1\nb: ${x}\nc: ${y:2}\n");
  EXPECT_EQ(policy.fill({}).error().message,
            "p.yaml:2: ${x} has no value: vary it, or write ${x:default}");
  EXPECT_EQ(policy.fill({{"x", "1"}, {"z", "1"}}).error().message,
            "z is varied, but p.yaml has no hole ${z}; it has ${x}, ${y}");
  EXPECT_EQ(template_error("a: 1\n\nb: ${x\nc: }\n"), "p.yaml:3: ${ has no } on its line");
  EXPECT_EQ(template_error("a: ${x"), "p.yaml:1: ${ has no } on its line");
  EXPECT_TRUE(template_error("a: ${}").starts_with("p.yaml:1: ${} is no hole")) << "nameless";
  EXPECT_TRUE(template_error("a: ${a b:1}").starts_with("p.yaml:1: ${a b:1} is no hole"));
  EXPECT_EQ(template_error("a: ${x:}"), "p.yaml:1: ${x:} has an empty default");
  EXPECT_EQ(template_error("a: ${x:1}\nb: ${x}\nc: ${x:2}"),
            "p.yaml:3: ${x:2} has another default than before, 1");
}

TEST(Variation, IsReadOrRefusedWithWhatToWrite) {
  EXPECT_EQ(std::get<std::vector<std::string>>(variation("a=1,b,0.5").values).size(), 3U);
  const auto real = std::get<Range>(variation("a=0.1..10:log").values);
  EXPECT_EQ(real.low, 0.1);
  EXPECT_EQ(real.spacing, Spacing::kLog);
  EXPECT_EQ(real.numbers, Numbers::kReal);
  const auto whole = std::get<Range>(variation("a=-3..10").values);
  EXPECT_EQ(whole.low, -3);
  EXPECT_EQ(whole.numbers, Numbers::kWhole);
  EXPECT_EQ(std::get<Range>(variation("a=1.0..4").values).numbers, Numbers::kReal);
  for (const char* bad :
       {"", "a", "=1", "a=", "a=1,", "a=1,,2", "a=1,1", "a=1..", "a=..2", "a=2..1", "a=1..1",
        "a=0..1:log", "a=-1..1:log", "a=1..2:lin", "a=1..x", "a=1...2", "a=nan..2", "a=1..inf"}) {
    const auto read = parse_variation(bad);
    ASSERT_FALSE(read.has_value()) << bad;
    EXPECT_NE(read.error().message.find("write NAME="), std::string::npos) << bad;
    EXPECT_TRUE(read.error().message.starts_with(bad)) << bad;
  }
}

TEST(Contenders, FewCombinationsAreAGridWithTheDefaults) {
  const PolicyTemplate policy = parsed("${a:2} ${b:7}");
  const Variation variations[] = {variation("a=1,2"), variation("b=1..3")};
  const auto grid = choose_contenders(policy, variations, 6, 1);
  ASSERT_TRUE(grid.has_value());
  EXPECT_EQ(grid->search, Search::kGrid);
  ASSERT_EQ(grid->list.size(), 7U);
  EXPECT_EQ(name_of(grid->list[0]), "a=2 b=7");
  EXPECT_EQ(grid->defaults, 1U);
  EXPECT_EQ(name_of(grid->list[1]), "a=1 b=1");
  EXPECT_EQ(name_of(grid->list[6]), "a=2 b=3");
  EXPECT_EQ(choose_contenders(policy, variations, 5, 1)->search, Search::kSamples);
}

TEST(Contenders, DefaultsThatAreOnTheGridAreThereOnce) {
  const PolicyTemplate policy = parsed("${a:2} ${b}");
  const Variation a[] = {variation("a=1,2"), variation("b=3")};
  const auto grid = choose_contenders(policy, a, 9, 1);
  EXPECT_EQ(grid->defaults, 0U);
  EXPECT_EQ(grid->list.size(), 2U) << "b has no default, so there are none";
  const PolicyTemplate alone = parsed("${a:2}");
  EXPECT_EQ(choose_contenders(alone, std::span(a, 1), 9, 1)->list.size(), 2U);
}

TEST(Contenders, EachPartOfARangeIsMetOnce) {
  const PolicyTemplate policy = parsed("${a} ${b}");
  const Variation variations[] = {variation("a=0.0..16"), variation("b=1.0..65536:log")};
  const auto samples = choose_contenders(policy, variations, 16, 5);
  ASSERT_TRUE(samples.has_value());
  EXPECT_EQ(samples->search, Search::kSamples);
  ASSERT_EQ(samples->list.size(), 16U);
  std::set<int> of_a;
  std::set<int> of_b;
  for (const Parameters& one : samples->list) {
    of_a.insert(static_cast<int>(std::stod(one[0].second)));
    of_b.insert(static_cast<int>(std::log2(std::stod(one[1].second))));
  }
  EXPECT_EQ(of_a.size(), 16U);
  EXPECT_EQ(of_b.size(), 16U);
}

TEST(Contenders, AreTheSameForASeedAndNoOtherAndNeverTwice) {
  const PolicyTemplate policy = parsed("${a} ${b}");
  const Variation variations[] = {variation("a=1..5"), variation("b=x,y,z")};
  const auto once = choose_contenders(policy, variations, 12, 1);
  const auto again = choose_contenders(policy, variations, 12, 1);
  const auto other = choose_contenders(policy, variations, 12, 2);
  EXPECT_EQ(once->list, again->list);
  EXPECT_NE(once->list, other->list);
  EXPECT_EQ(std::set<Parameters>(once->list.begin(), once->list.end()).size(), once->list.size());
  EXPECT_EQ(once->list.size(), 12U);
  for (const Parameters& one : once->list) {
    EXPECT_GE(std::stod(one[0].second), 1);
    EXPECT_LE(std::stod(one[0].second), 5);
  }
}

TEST(Contenders, WhatDoesNotFitTheTemplateIsRefused) {
  const PolicyTemplate policy = parsed("${a} ${b}");
  const Variation one[] = {variation("a=1,2")};
  EXPECT_NE(
      choose_contenders(policy, one, 9, 1).error().message.find("p.yaml:1: ${b} has no value"),
      std::string::npos);
  const Variation stranger[] = {variation("a=1"), variation("b=1"), variation("c=1")};
  EXPECT_NE(choose_contenders(policy, stranger, 9, 1).error().message.find("no hole ${c}"),
            std::string::npos);
  const Variation twice[] = {variation("a=1"), variation("b=1"), variation("a=2")};
  EXPECT_EQ(choose_contenders(policy, twice, 9, 1).error().message, "a is varied twice");
}

}  // namespace
}  // namespace fairlead::plan
