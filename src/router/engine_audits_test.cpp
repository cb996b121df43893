// SPDX-License-Identifier: Apache-2.0
#include "router/engine_audits.h"

#include <gtest/gtest.h>

namespace fairlead::router {
namespace {

class EngineAuditsTest : public ::testing::Test {
 protected:
  model::PoolSnapshot pool(std::uint32_t generation) const {
    model::PoolSnapshot pool;
    model::Endpoint endpoint;
    endpoint.ref = {7, generation};
    endpoint.name = "gpu-7";
    endpoint.health = health_;
    pool.endpoints.push_back(endpoint);
    return pool;
  }
  double gauge(std::string_view check) const {
    const std::string line =
        "fairlead_engine_misconfigurations{check=\"" + std::string(check) + "\"} ";
    const std::string text = registry_.expose();
    const std::size_t at = text.find(line);
    return at == std::string::npos ? -1 : std::strtod(text.c_str() + at + line.size(), nullptr);
  }

  model::Health health_ = model::Health::kHealthy;
  MetricRegistry registry_;
  EngineAudits audits_{registry_};
};

TEST_F(EngineAuditsTest, AFindingIsToldOnceAndStandsUntilItIsMended) {
  audits_.set({7, 1}, EngineCheck::kHashes, "another seed");
  const auto news = audits_.review(pool(1));
  ASSERT_EQ(news.size(), 1U);
  EXPECT_EQ(news[0].endpoint, "gpu-7");
  EXPECT_EQ(news[0].text, "another seed");
  EXPECT_EQ(gauge("hashes"), 1);
  EXPECT_EQ(gauge("tokens"), 0);
  EXPECT_TRUE(audits_.review(pool(1)).empty());
  EXPECT_EQ(audits_.found(pool(1)).size(), 1U);

  audits_.set({7, 1}, EngineCheck::kHashes, "");
  EXPECT_TRUE(audits_.review(pool(1)).empty());
  EXPECT_TRUE(audits_.found(pool(1)).empty());
  EXPECT_EQ(gauge("hashes"), 0);
  audits_.set({7, 1}, EngineCheck::kHashes, "again");
  EXPECT_EQ(audits_.review(pool(1)).size(), 1U);
}

TEST_F(EngineAuditsTest, OfAnEndpointThatLeftNothingIsKept) {
  audits_.set({7, 1}, EngineCheck::kBlockSize, "blocks of 32");
  EXPECT_TRUE(audits_.found(pool(2)).empty());
  EXPECT_TRUE(audits_.review(pool(2)).empty());
  EXPECT_TRUE(audits_.review(pool(1)).empty());
  audits_.set({7, 1}, EngineCheck::kBlockSize, "blocks of 32");
  audits_.note_prompt({7, 2}, 5, 5);  // Its slot is another's.
  EXPECT_TRUE(audits_.found(pool(1)).empty());
}

TEST_F(EngineAuditsTest, PromptsOfAnotherLengthAreNoticedAndForgottenAgain) {
  for (int i = 0; i < 20; ++i) audits_.note_prompt({7, 1}, 100, 104);
  const auto news = audits_.review(pool(1));
  ASSERT_EQ(news.size(), 1U);
  EXPECT_EQ(news[0].check, EngineCheck::kTokens);
  EXPECT_NE(news[0].text.find("chat template"), std::string::npos) << news[0].text;
  EXPECT_EQ(gauge("tokens"), 1);
  // The template was mended.
  for (int i = 0; i < 2000; ++i) audits_.note_prompt({7, 1}, 100, 100);
  EXPECT_TRUE(audits_.found(pool(1)).empty());
}

TEST_F(EngineAuditsTest, AnEngineThatIsDownIsNotBlamedForItsSilence) {
  audits_.set({7, 1}, EngineCheck::kEvents, "nobody answers");
  health_ = model::Health::kEjected;
  EXPECT_TRUE(audits_.found(pool(1)).empty());
  EXPECT_TRUE(audits_.review(pool(1)).empty());
  health_ = model::Health::kHealthy;
  EXPECT_EQ(audits_.review(pool(1)).size(), 1U);
  EXPECT_EQ(gauge("events"), 1);
}

TEST_F(EngineAuditsTest, BlocksThatAreNeverToldAreNoticed) {
  for (int i = 0; i < 20; ++i) audits_.note_blocks({7, 1}, 3, 3);
  EXPECT_TRUE(audits_.found(pool(1)).empty());
  for (int i = 0; i < 20; ++i) audits_.note_blocks({7, 1}, 3, 0);
  ASSERT_EQ(audits_.found(pool(1)).size(), 1U);
  EXPECT_EQ(audits_.found(pool(1))[0].check, EngineCheck::kTokens);
}

}  // namespace
}  // namespace fairlead::router
