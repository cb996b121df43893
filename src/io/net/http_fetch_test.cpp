// SPDX-License-Identifier: Apache-2.0
#include "io/net/http_fetch.h"

#include <gtest/gtest.h>

#include "io/net/http1_server.h"
#include "io/net/testing/loop_fixture.h"

namespace fairlead::net {
namespace {

using std::chrono::milliseconds;

// A client and a server on loops of their own, so that one can go on while the other stands still.
class HttpFetchTest : public ::testing::Test, private RequestHandler {
 protected:
  HttpFetchTest() {
    EXPECT_TRUE(server_.listen(SocketAddress::loopback(0), PortSharing::kExclusive).has_value());
  }
  void get(Duration timeout) {
    reply_.clear();
    fetch_.get(server_.local_address(), "/health", {.timeout = timeout},
               [this](const Result<FetchReply>& reply) {
                 reply_ = reply ? std::to_string(reply->status) : reply.error().message;
               });
  }
  bool until_reply() {
    const Time end = clock_.now() + std::chrono::seconds(10);
    while (reply_.empty() && clock_.now() < end) {
      // Twice, so that what leaves in one turn has no answer in the next.
      loop_->run_turn(Duration::zero());
      loop_->run_turn(milliseconds(1));
      server_loop_->run_turn(Duration::zero());
    }
    return !reply_.empty();
  }
  // Within one turn of the client's loop, while the server's turns.
  void stand_still(Duration length) {
    const Posted posted = loop_->post([this, length] {
      const Time end = clock_.now() + length;
      while (clock_.now() < end) server_loop_->run_turn(milliseconds(1));
    });
    ASSERT_EQ(posted, Posted::kQueued);
  }

  SteadyClock clock_;
  std::unique_ptr<EventLoop> server_loop_ = testing::make_loop();
  std::unique_ptr<EventLoop> loop_ = testing::make_loop();
  Http1Server server_{*server_loop_, *this, {}};
  UpstreamPool pool_{*loop_, {}};
  HttpFetch fetch_{pool_};
  std::string reply_;
  bool silent_ = false;

 private:
  void on_request(ServerExchange& exchange) override {
    if (!silent_) exchange.send_response(200, {}, "");
  }
};

TEST_F(HttpFetchTest, WhileTheLoopStandsStillNoTimeRunsOut) {
  for (int i = 0; i < 3; ++i) {  // On a fresh connection, and on kept ones.
    get(milliseconds(60));
    stand_still(milliseconds(200));
    ASSERT_TRUE(until_reply());
    EXPECT_EQ(reply_, "200");
  }
}

TEST_F(HttpFetchTest, SilenceEndsInATimeoutThatGrowsByTheLoopsLateness) {
  silent_ = true;
  const std::string timed_out = server_.local_address().to_string() + ": total_timeout";
  Time began = clock_.now();
  get(milliseconds(60));
  ASSERT_TRUE(until_reply());
  EXPECT_EQ(reply_, timed_out);
  EXPECT_GE(clock_.now() - began, milliseconds(60));
  began = clock_.now();
  get(milliseconds(60));
  stand_still(milliseconds(200));
  ASSERT_TRUE(until_reply());
  EXPECT_EQ(reply_, timed_out);
  EXPECT_GE(clock_.now() - began, milliseconds(255)) << "60 ms of its own waiting";
  EXPECT_EQ(pool_.counters().connections, 0U);
}

TEST_F(HttpFetchTest, ALoopThatIsAlwaysLateLosesItsPatience) {
  silent_ = true;
  get(milliseconds(20));
  const Time began = clock_.now();
  while (reply_.empty() && clock_.now() - began < std::chrono::seconds(10)) {
    stand_still(milliseconds(10));
    loop_->run_turn(Duration::zero());
  }
  EXPECT_NE(reply_.find("total_timeout"), std::string::npos);
  EXPECT_GE(clock_.now() - began, milliseconds(20 * HttpFetch::kPatience - 20));
}

}  // namespace
}  // namespace fairlead::net
