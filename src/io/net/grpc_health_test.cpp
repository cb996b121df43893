// SPDX-License-Identifier: Apache-2.0
#include "io/net/grpc_health.h"

#include <gtest/gtest.h>

#include <map>

#include "io/net/testing/grpc_fixture.h"

namespace fairlead::net {
namespace {

using codec::HealthStatus;
using testing::grpc_framed;
using testing::grpc_head;
using testing::grpc_messages;
using testing::Http2Client;
using testing::run_until;
using namespace std::string_literals;

struct Statuses final : GrpcHealthStatuses {
  HealthStatus status_of(std::string_view service) const override {
    const auto found = all.find(service);
    return found == all.end() ? HealthStatus::kServiceUnknown : found->second;
  }
  std::span<const std::string> services() const override { return names; }

  std::map<std::string, HealthStatus, std::less<>> all{{"", HealthStatus::kServing},
                                                       {"readiness", HealthStatus::kNotServing}};
  std::vector<std::string> names{"", "readiness"};
};

class GrpcHealthTest : public ::testing::Test {
 protected:
  GrpcHealthTest() {
    EXPECT_TRUE(server_.listen(SocketAddress::loopback(0), PortSharing::kExclusive).has_value());
    client_ = std::make_unique<Http2Client>(*loop_, server_.local_address());
  }
  std::int32_t ask(std::string_view method, std::string_view service, bool whole = true) {
    std::string request;
    if (!service.empty()) {
      request = "\x0A"s + static_cast<char>(service.size()) + std::string(service);
    }
    return client_->request(grpc_head("/grpc.health.v1.Health/" + std::string(method)),
                            grpc_framed(request), whole);
  }
  std::string status(std::int32_t id) { return client_->wait(id).headers.at("grpc-status"); }
  std::vector<std::string> told(std::int32_t id) { return grpc_messages(client_->answer(id).body); }
  bool wait_told(std::int32_t id, std::size_t count) {
    return client_->run_until([&] { return told(id).size() == count; });
  }

  std::unique_ptr<EventLoop> loop_ = testing::make_loop();
  Statuses statuses_;
  GrpcHealth health_{statuses_, 2};
  GrpcServer server_{*loop_, health_, {}};
  std::unique_ptr<Http2Client> client_;
};

TEST_F(GrpcHealthTest, ChecksServices) {
  const auto all = ask("Check", "");
  EXPECT_EQ(status(all), "0");
  EXPECT_EQ(told(all), std::vector<std::string>{"\x08\x01"});
  const auto ready = ask("Check", "readiness");
  EXPECT_EQ(status(ready), "0");
  EXPECT_EQ(told(ready), std::vector<std::string>{"\x08\x02"});
  EXPECT_EQ(status(ask("Check", "other")), "5");
  EXPECT_EQ(health_.counters().checks, 3U);
  // Unary calls need not wait for the client's end.
  EXPECT_EQ(status(ask("Check", "", false)), "0");
}

TEST_F(GrpcHealthTest, ListsServices) {
  const auto id = ask("List", "");
  EXPECT_EQ(status(id), "0");
  EXPECT_EQ(told(id),
            std::vector<std::string>{
                "\x0A\x06\x0A\x00\x12\x02\x08\x01\x0A\x0F\x0A\x09readiness\x12\x02\x08\x02"s});
}

TEST_F(GrpcHealthTest, WatchersAreToldOfEachChange) {
  const auto ready = ask("Watch", "readiness", false);
  const auto other = ask("Watch", "other");
  ASSERT_TRUE(wait_told(ready, 1));
  ASSERT_TRUE(wait_told(other, 1));
  EXPECT_EQ(told(ready)[0], "\x08\x02");
  EXPECT_EQ(told(other)[0], "\x08\x03");
  EXPECT_EQ(health_.watchers(), 2U);
  statuses_.all["readiness"] = HealthStatus::kServing;
  health_.on_change();
  health_.on_change();
  ASSERT_TRUE(wait_told(ready, 2));
  EXPECT_EQ(told(ready)[1], "\x08\x01");
  EXPECT_EQ(told(other).size(), 1U);
  statuses_.all["other"] = HealthStatus::kServing;
  health_.on_change();
  ASSERT_TRUE(wait_told(other, 2));
  EXPECT_EQ(told(ready).size(), 2U);
  client_->reset(ready);
  ASSERT_TRUE(client_->run_until([&] { return health_.watchers() == 1; }));
}

TEST_F(GrpcHealthTest, AWatcherThatReadsSlowlyIsToldTheNewest) {
  Http2Client slow(*loop_, server_.local_address(), {.stream_window = 7, .takes_windows = false});
  const auto id = slow.request(grpc_head("/grpc.health.v1.Health/Watch"), grpc_framed(""), false);
  const auto count = [&] { return grpc_messages(slow.answer(id).body).size(); };
  ASSERT_TRUE(slow.run_until([&] { return count() == 1; }));
  for (int i = 0; i < 1000; ++i) {
    statuses_.all[""] = i % 2 == 0 ? HealthStatus::kNotServing : HealthStatus::kServing;
    health_.on_change();
    if (i % 100 == 0) loop_->run_turn(Duration::zero());
  }
  statuses_.all[""] = HealthStatus::kUnknown;
  health_.on_change();
  nghttp2_session_set_local_window_size(slow.session(), NGHTTP2_FLAG_NONE, id, 1000);
  // UNKNOWN is protobuf's default, which is not written.
  ASSERT_TRUE(slow.run_until([&] { return count() == 3; }));
  EXPECT_EQ(grpc_messages(slow.answer(id).body)[2], "");
}

TEST_F(GrpcHealthTest, WatchersAreBounded) {
  ask("Watch", "", false);
  const auto second = ask("Watch", "", false);
  ASSERT_TRUE(wait_told(second, 1));
  EXPECT_EQ(status(ask("Watch", "", false)), "8");
  EXPECT_EQ(health_.counters().watchers_refused, 1U);
  EXPECT_EQ(health_.watchers(), 2U);
  client_->reset(second);
  ASSERT_TRUE(client_->run_until([&] { return health_.watchers() == 1; }));
  ASSERT_TRUE(wait_told(ask("Watch", "", false), 1));
}

TEST_F(GrpcHealthTest, RefusesWhatIsNoRequest) {
  const auto call = [&](std::string_view method, const std::string& body) {
    return client_->request(grpc_head("/grpc.health.v1.Health/" + std::string(method)), body);
  };
  EXPECT_EQ(status(call("Check", grpc_framed("\x0A\x09x"))), "3");
  EXPECT_EQ(status(call("Check", {})), "3");
  EXPECT_EQ(status(call("Watch", grpc_framed("") + grpc_framed(""))), "3");
  EXPECT_EQ(health_.counters().malformed, 3U);
  EXPECT_EQ(status(call("Other", grpc_framed(""))), "12");
  EXPECT_EQ(health_.watchers(), 0U);
}

}  // namespace
}  // namespace fairlead::net
