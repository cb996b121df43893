// SPDX-License-Identifier: Apache-2.0
#include "io/net/zmq_socket.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "io/net/testing/loop_fixture.h"

namespace fairlead::net {
namespace {

constexpr int kSubscribers = 20;

class Counting final : public ZmqObserver {
 public:
  void on_message(ZmqSocket&, std::span<const std::string_view>) override { ++messages; }
  void on_too_many_frames(ZmqSocket&) override {}
  void on_connected(ZmqSocket&) override { ++connected; }
  void on_disconnected(ZmqSocket&) override { ++disconnected; }
  int messages = 0;
  int connected = 0;
  int disconnected = 0;
};

class ZmqSocketTest : public ::testing::Test {
 protected:
  static std::unique_ptr<ZmqContext> make_context() {
    auto context = ZmqContext::create();
    EXPECT_TRUE(context);
    return std::move(*context);
  }
  std::unique_ptr<ZmqSocket> open(ZmqContext& context, ZmqKind kind, Counting& counts) {
    auto made = ZmqSocket::create(context, *loop_, kind, {}, counts);
    EXPECT_TRUE(made);
    return std::move(*made);
  }

  std::unique_ptr<EventLoop> loop_ = testing::make_loop();
  std::unique_ptr<ZmqContext> here_ = make_context();
  std::unique_ptr<ZmqContext> there_ = make_context();
};

// One thread of libzmq serves all sockets of a context, and tells of the ends of connections: it
// must not wait for whoever closes just then.
TEST_F(ZmqSocketTest, WhoCloseWhenTheirPeerDiesHoldUpNobody) {
  for (int round = 0; round < 200; ++round) {
    Counting there;
    Counting here;
    auto publisher = open(*there_, ZmqKind::kPublish, there);
    ASSERT_TRUE(publisher->bind("tcp://127.0.0.1:*"));
    std::vector<std::unique_ptr<ZmqSocket>> subscribers;
    for (int i = 0; i < kSubscribers; ++i) {
      subscribers.push_back(open(*here_, ZmqKind::kSubscribe, here));
      ASSERT_TRUE(subscribers.back()->connect(publisher->bound_endpoint()));
    }
    ASSERT_TRUE(testing::run_until(*loop_, [&] { return here.connected == kSubscribers; }))
        << "round " << round;
    publisher.reset();
    ASSERT_TRUE(testing::run_until(*loop_, [&] { return here.disconnected > 0; })) << round;
  }
}

}  // namespace
}  // namespace fairlead::net
