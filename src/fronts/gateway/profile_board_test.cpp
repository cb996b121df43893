// SPDX-License-Identifier: Apache-2.0
#include "fronts/gateway/profile_board.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "fronts/gateway/testing/gateway_fixture.h"

namespace fairlead::gateway {
namespace {

TEST(ProfileBoard, ShowsHowTimeDividesAndSaysWhenNothingStandsOut) {
  EXPECT_EQ(
      profile_text({{{6, 2, 1, 0.5, 0.5}, 3}, {{}, 0}}, ""),
      "worker   connections    waiting    reading   deciding   relaying      other   % of its "
      "time\n"
      "0                  3       60.0       20.0       10.0        5.0        5.0\n"
      "1                  0        0.0        0.0        0.0        0.0        0.0\n"
      "Nothing stands out.\n");
}

TEST(ProfileBoard, HintsNameTheSettingThatHelps) {
  const auto hints = [](const std::vector<WorkerShares>& workers, std::string_view metrics) {
    const std::string text = profile_text(workers, metrics);
    return text.substr(text.find("- "));
  };
  EXPECT_TRUE(hints({{{1, 9, 0, 9, 1}, 1}}, "").starts_with("- The loops are 95 % busy"));
  EXPECT_TRUE(hints({{{4, 0, 3, 3, 0}, 1}}, "").starts_with("- 50 % of the work is reading pr"));
  EXPECT_TRUE(hints({{{9, 1, 0, 0, 0}, 2}, {{9, 1, 0, 0, 0}, 8}}, "")
                  .starts_with("- Worker 1 has 80 % of the connections"));
  EXPECT_TRUE(hints({{{9, 1, 0, 0, 0}, 1}},
                    "# HELP fairlead_requests_total x\n"
                    "fairlead_requests_total{route=\"a\"} 60\n"
                    "fairlead_requests_total{route=\"b c\"} 40\n"
                    "fairlead_requests_totals 1000\n"
                    "fairlead_requests_beyond_retry_buffer_total 12\n")
                  .starts_with("- 12 % of the requests failed once"));
}

class ProfileTest : public GatewayTest {
 protected:
  void TearDown() override { loop_->set_profile(nullptr); }
  net::LoopProfile profile_;
};

TEST_F(ProfileTest, AWorkersTurnsAreClocked) {
  loop_->set_profile(&profile_);
  ScriptedEngine& engine = this->engine();
  start({engine.port()});
  EXPECT_TRUE(until([&] {
    EXPECT_EQ(ask(chat_body(std::string(100'000, 'x'))).status, 200);
    const auto seconds = profile_.seconds();
    return std::ranges::all_of(seconds, [](double part) { return part > 0; });
  }));
}

}  // namespace
}  // namespace fairlead::gateway
