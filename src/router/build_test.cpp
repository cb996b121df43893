// SPDX-License-Identifier: Apache-2.0
#include "router/build.h"

#include <gtest/gtest.h>

#include <string>

#include "core/scheduling/policy_config.h"

namespace fairlead::router {
namespace {

TEST(BuildGeneration, AnEmptyDocumentIsTheDefaultsWithTheDefaultPolicy) {
  config::Problems problems;
  const auto generation = build_generation("{}", "defaults", "", problems);
  ASSERT_NE(generation, nullptr) << problems.to_string();
  EXPECT_EQ(generation->policy, "fairlead");
  EXPECT_EQ(generation->settings, config::ServeSettings{});
}

TEST(BuildGeneration, EveryShippedPolicyBuildsByName) {
  for (const std::string_view name : scheduling::shipped_policy_names()) {
    config::Problems problems;
    const auto generation = build_generation("{}", "defaults", name, problems);
    ASSERT_NE(generation, nullptr) << name << ": " << problems.to_string();
    EXPECT_EQ(generation->policy, name);
  }
}

TEST(BuildGeneration, SettingsAndPolicyComeFromOneDocument) {
  config::Problems problems;
  const auto generation = build_generation(R"(
gateway: {workers: 3}
plugins:
  - type: random-picker
schedulingProfiles:
  - name: default
    plugins: [{pluginRef: random-picker}]
)",
                                           "serve.yaml", "", problems);
  ASSERT_NE(generation, nullptr) << problems.to_string();
  EXPECT_EQ(generation->settings.gateway.workers, 3U);
  EXPECT_EQ(generation->policy, "custom");
}

TEST(BuildGeneration, AnUnknownPolicyNamesTheChoices) {
  config::Problems problems;
  EXPECT_EQ(build_generation("{}", "defaults", "fairled", problems), nullptr);
  const std::string text = problems.to_string();
  EXPECT_NE(text.find("fairled"), std::string::npos) << text;
  EXPECT_NE(text.find("fairlead, least-request"), std::string::npos) << text;
}

TEST(BuildGeneration, EveryProblemIsReportedAtOnce) {
  config::Problems problems;
  const auto generation = build_generation(R"(
gateway: {workers: 0}
limits: {bodyBytez: 7}
plugins:
  - type: no-such-plugin
)",
                                           "serve.yaml", "", problems);
  EXPECT_EQ(generation, nullptr);
  const std::string text = problems.to_string();
  EXPECT_NE(text.find("workers"), std::string::npos) << text;
  EXPECT_NE(text.find("bodyBytez"), std::string::npos) << text;
  EXPECT_NE(text.find("no-such-plugin"), std::string::npos) << text;
}

}  // namespace
}  // namespace fairlead::router
