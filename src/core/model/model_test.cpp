// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "core/model/endpoint.h"
#include "core/model/request.h"

namespace fairlead::model {
namespace {

PoolSnapshot two_endpoints() {
  PoolSnapshot pool;
  pool.endpoints.resize(2);
  pool.endpoints[0].ref = {1, 0};
  pool.endpoints[0].labels = {{"role", "decode"}, {"zone", "a"}};
  pool.endpoints[1].ref = {7, 2};
  pool.endpoints[1].models = {"base", "adapter"};
  return pool;
}

TEST(PoolSnapshot, FindsBySlotAcrossGaps) {
  const PoolSnapshot pool = two_endpoints();
  ASSERT_NE(pool.find(7), nullptr);
  EXPECT_EQ(pool.find(7)->ref.generation, 2U);
  EXPECT_EQ(pool.find(3), nullptr);
  EXPECT_EQ(pool.find(9), nullptr);
}

TEST(PoolSnapshot, LabelsAndModels) {
  const PoolSnapshot pool = two_endpoints();
  EXPECT_EQ(pool.endpoints[0].label("zone"), "a");
  EXPECT_EQ(pool.endpoints[0].label("rack"), "");
  EXPECT_TRUE(pool.knows_model("adapter"));
  EXPECT_FALSE(pool.knows_model("other"));
}

TEST(ReplyReason, EveryReasonHasAnErrorStatusAndAName) {
  for (int i = 1; i <= static_cast<int>(ReplyReason::kRequestTimeout); ++i) {
    const auto reason = static_cast<ReplyReason>(i);
    EXPECT_GE(http_status(reason), 400);
    EXPECT_LT(http_status(reason), 505);
    EXPECT_NE(to_string(reason), "unknown");
  }
}

}  // namespace
}  // namespace fairlead::model
