// SPDX-License-Identifier: Apache-2.0
// An overloaded gateway: named actions on the wire, and back when the pressure is gone.
#include <gtest/gtest.h>
#include <malloc.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "fronts/gateway/relay.h"
#include "fronts/gateway/testing/gateway_fixture.h"
#include "router/overload_monitor.h"

namespace fairlead::gateway {
namespace {

std::size_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::size_t pages = 0;
  file >> pages >> pages;
  return pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

class OverloadTest : public GatewayTest {
 protected:
  void overload(const std::vector<std::uint16_t>& engines, const std::string& limits) {
    start(engines, "limits: {" + limits + "}");
    monitor_ = std::make_unique<router::OverloadMonitor>(*loop_, *router_);
  }
  void relax() {
    config::Problems problems;
    router_->generation().publish(
        router::build_generation("", "test.yaml", "round-robin", problems));
  }
  bool active(std::string_view action) const {
    return metric("fairlead_overload_active{action=\"" + std::string(action) + "\"}") == 1;
  }
  double taken(std::string_view action) {
    worker_->report_sockets();
    return metric("fairlead_overload_actions_total{action=\"" + std::string(action) + "\"}");
  }
  // What this process has now is a third of it, far from the thresholds that a test leaves alone.
  static std::string memory() {
    ::malloc_trim(0);  // What earlier tests freed would go meanwhile.
    return fmt::format("memoryBytes: {}", 3 * resident_bytes());
  }

  std::unique_ptr<router::OverloadMonitor> monitor_;
};

TEST_F(OverloadTest, MemoryPressureShedsBeforeTheLimitIsReached) {
  constexpr std::size_t kBody = std::size_t{2} << 20;
  ScriptedEngine& engine = this->engine();
  engine.script = [](net::ServerExchange&) {};  // Bodies are held while nobody answers.
  const std::size_t limit = 2 * (resident_bytes() + (std::size_t{64} << 20));
  overload({engine.port()}, fmt::format("overload: {{memoryBytes: {}, shedRequests: 0.5}}", limit));
  int held = 0;
  Client* shed = nullptr;
  for (; shed == nullptr && held < 200; ++held) {
    Client& one = client();
    one.post("/v1/chat/completions", chat_body(std::string(kBody, 'x')));
    const std::size_t before = engine.requests.size();
    ASSERT_TRUE(until([&] { return engine.requests.size() > before || one.response().complete; }));
    if (one.response().complete) shed = &one;
  }
  ASSERT_NE(shed, nullptr);
  EXPECT_LT(resident_bytes(), limit);
  const ClientResponse refused = wait_for(*shed);
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.header("x-fairlead-reason"), "overloaded");
  EXPECT_EQ(refused.header("retry-after"), "1");
  EXPECT_GE(taken("shed_requests"), 1);
  EXPECT_TRUE(active("shed_requests"));
  EXPECT_GT(metric("fairlead_overload_pressure{resource=\"memory\"}"), 0.4);
}

TEST_F(OverloadTest, ShedRequestsReachNoEngineAndServiceComesBack) {
  ScriptedEngine& engine = this->engine();
  overload({engine.port()}, "overload: {shedRequests: 0.25, " + memory() + "}");
  const ClientResponse refused = ask(chat_body());
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.header("x-fairlead-reason"), "overloaded");
  EXPECT_EQ(logged("reply_reason"), "\"overloaded\"");
  EXPECT_EQ(ask(chat_body(std::string(100'000, 'x'))).status, 503);
  EXPECT_EQ(metric("fairlead_refusals_total{kind=\"out_of_memory\"}"), 0)
      << "its body is not even read";
  EXPECT_EQ(taken("shed_requests"), 2);
  EXPECT_TRUE(engine.requests.empty());
  relax();
  ASSERT_TRUE(until([&] { return !active("shed_requests"); }));
  EXPECT_EQ(ask(chat_body()).status, 200);
}

TEST_F(OverloadTest, AnswersCloseTheirConnectionsWhileKeepAliveIsStopped) {
  ScriptedEngine& engine = this->engine();
  overload({engine.port()}, "connections: 4, overload: {stopKeepalive: 0.5, dropIdle: 1}");
  Client& one = client();
  Client& two = client();
  ASSERT_TRUE(until([&] { return active("stop_keepalive"); }));
  one.post("/v1/chat/completions", chat_body());
  EXPECT_EQ(wait_for(one).header("connection"), "close");
  EXPECT_TRUE(until([&] { return one.closed; }));
  EXPECT_EQ(taken("stop_keepalive"), 1);
  one.close();
  two.close();
  ASSERT_TRUE(until([&] { return !active("stop_keepalive"); }));
  EXPECT_EQ(ask(chat_body()).header("connection"), "(none)");
}

TEST_F(OverloadTest, IdleConnectionsAreClosedOldestFirstAndBusyOnesAreNot) {
  ScriptedEngine& engine = this->engine();
  engine.script = [](net::ServerExchange& exchange) {
    if (exchange.body().find("stay") == std::string_view::npos) exchange.send_response(200, {}, "");
  };
  overload({engine.port()}, "connections: 10, overload: {stopKeepalive: 1, dropIdle: 0.6}");
  Client& busy = client();
  busy.post("/v1/chat/completions", chat_body("stay"));
  std::vector<Client*> idle;
  for (int i = 0; i < 5; ++i) {
    idle.push_back(&client());
    idle.back()->post("/v1/chat/completions", chat_body());
    EXPECT_EQ(wait_for(*idle.back()).status, 200);
  }
  ASSERT_TRUE(until([&] { return taken("drop_idle") >= 1; }));
  ASSERT_TRUE(until([&] { return idle[0]->closed; }));
  EXPECT_FALSE(idle[4]->closed);
  EXPECT_FALSE(busy.closed || busy.reset);
  ASSERT_TRUE(until([&] { return !active("drop_idle"); }));
}

TEST_F(OverloadTest, RefusedConnectionsWaitAndAreServedLater) {
  ScriptedEngine& engine = this->engine();
  overload({engine.port()}, "overload: {refuseConnections: 0.25, " + memory() + "}");
  ASSERT_TRUE(until([&] { return taken("refuse_connections") == 1; }));
  Client& waits = client();
  waits.post("/v1/chat/completions", chat_body());
  const Time began = loop_->now();
  ASSERT_TRUE(until([&] { return loop_->now() - began > std::chrono::milliseconds(300); }));
  EXPECT_TRUE(waits.input.empty());
  relax();
  EXPECT_EQ(wait_for(waits).status, 200);
}

TEST_F(OverloadTest, TightBuffersHoldAnEngineBackSooner) {
  ScriptedEngine& engine = this->engine();
  net::ServerExchange* flowing = nullptr;
  engine.script = [&](net::ServerExchange& exchange) {
    flowing = &exchange;
    exchange.start(200, {{"content-type", "text/plain"}}, codec::BodyFraming::chunked());
  };
  overload({engine.port()}, "overload: {tightenBuffers: 0.25, " + memory() + "}");
  ASSERT_TRUE(until([&] { return active("tighten_buffers"); }));
  Client& slow = client();
  slow.reading = false;
  slow.post("/v1/chat/completions", chat_body());
  ASSERT_TRUE(until([&] { return flowing != nullptr; }));
  // What the engine's server could not send on waits there.
  ASSERT_TRUE(until([&] {
    if (flowing->pending_bytes() > 0) return true;
    flowing->write_chunk(std::string(64 * 1024, 'x'));
    return false;
  }));
  EXPECT_LT(loop_->buffers().lent_bytes(), std::size_t{1} << 20);
}

}  // namespace
}  // namespace fairlead::gateway
