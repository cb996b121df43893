// SPDX-License-Identifier: Apache-2.0
#include "lab/engine/model/profile.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace fairlead::engine {
namespace {

constexpr std::string_view kSmall = R"(name: small
model: m
kv_tokens: 6400
max_model_len: 4096
step_floor_s: 10.5e-3
per_token_s: 43e-6
attention_s: 0
kv_read_s: 0
per_sequence_s: 0
host_overhead_s: 0.03
)";

// Each line of the error begins so; the rest of the words belongs to core/config.
void expect_faults(const Result<EngineProfile>& profile, const std::vector<std::string>& starts) {
  ASSERT_FALSE(profile.has_value());
  std::stringstream lines(profile.error().message);
  std::string line;
  for (const std::string& start : starts) {
    ASSERT_TRUE(std::getline(lines, line)) << start;
    EXPECT_TRUE(line.starts_with(start)) << line;
  }
  EXPECT_FALSE(std::getline(lines, line)) << line;
}

TEST(Profile, ReadsSettingsAndKeepsDefaults) {
  const auto profile = parse_profile(kSmall, "small.yaml");
  ASSERT_TRUE(profile.has_value()) << profile.error().message;
  EXPECT_EQ(profile->name, "small");
  EXPECT_EQ(profile->kv_tokens, 6400);
  EXPECT_EQ(profile->block_size, 64);
  EXPECT_EQ(profile->max_batched_tokens, 8192);
  EXPECT_DOUBLE_EQ(profile->step_floor_s, 0.0105);
  EXPECT_DOUBLE_EQ(profile->per_token_s, 43e-6);
  EXPECT_DOUBLE_EQ(profile->noise_sigma, 0);
  EXPECT_TRUE(profile->async_scheduling);
  const auto changed =
      parse_profile(std::string(kSmall) + "async_scheduling: false\n", "small.yaml");
  ASSERT_TRUE(changed.has_value()) << changed.error().message;
  EXPECT_FALSE(changed->async_scheduling);
}

TEST(Profile, ReportsEveryFaultAtOnceWithItsLine) {
  const auto profile = parse_profile(
      "name: x\n"
      "modell: m\n"
      "kv_tokens: 6.4k\n"
      "kv_tokens: 6400\n"
      "max_model_len: [1, 2]\n"
      "step_floor_s: fast\n"
      "per_token_s: 0\nattention_s: 0\nkv_read_s: 0\nper_sequence_s: 0\nhost_overhead_s: 0\n",
      "x.yaml");
  expect_faults(profile,
                {"x.yaml:1: model is missing", "x.yaml:2: modell: ", "x.yaml:3: kv_tokens: ",
                 "x.yaml:4: ", "x.yaml:5: max_model_len: ", "x.yaml:6: step_floor_s: "});
}

TEST(Profile, RefusesValuesThatNoEngineCanHave) {
  std::string text(kSmall);
  text += "max_num_seqs: 0\nnoise_sigma: -1\n";
  auto profile = parse_profile(text, "x.yaml");
  expect_faults(profile, {"x.yaml:11: max_num_seqs: ", "x.yaml:12: noise_sigma: "});

  // 6,400 tokens are 50 blocks of 127, or 6,350 usable tokens.
  text = std::string(kSmall) + "block_size: 127\n";
  text.replace(text.find("4096"), 4, "6351");
  profile = parse_profile(text, "x.yaml");
  expect_faults(profile, {"x.yaml:4: max_model_len: a request of 6351 tokens can never fit"});
  text.replace(text.find("6351"), 4, "6350");
  EXPECT_TRUE(parse_profile(text, "x.yaml").has_value());
}

TEST(Profile, RefusesWhatIsNotAMapping) {
  EXPECT_FALSE(parse_profile("", "x.yaml").has_value());
  EXPECT_FALSE(parse_profile("- a\n", "x.yaml").has_value());
  EXPECT_FALSE(parse_profile("name: x\nmodel: [\n", "x.yaml").has_value());
}

TEST(Profile, EveryShippedProfileParsesUnderItsFileName) {
  int count = 0;
  for (const auto& file :
       std::filesystem::directory_iterator(FAIRLEAD_SOURCE_DIR "/data/engines")) {
    if (file.path().extension() != ".yaml") continue;
    std::ifstream stream(file.path());
    std::stringstream text;
    text << stream.rdbuf();
    const auto profile = parse_profile(text.str(), file.path().string());
    ASSERT_TRUE(profile.has_value()) << profile.error().message;
    EXPECT_EQ(profile->name, file.path().stem().string());
    ++count;
  }
  EXPECT_GE(count, 5);
}

}  // namespace
}  // namespace fairlead::engine
