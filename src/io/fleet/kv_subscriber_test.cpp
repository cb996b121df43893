// SPDX-License-Identifier: Apache-2.0
#include "io/fleet/kv_subscriber.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "io/net/testing/loop_fixture.h"
#include "io/net/zmq_publisher.h"

namespace fairlead::fleet {
namespace {

using net::testing::make_loop;
using net::testing::run_until;
using prefix::StreamState;
using prefix::Trust;
using std::chrono::milliseconds;
using Payloads = std::vector<std::string>;

constexpr const char* kAnyPort = "tcp://127.0.0.1:*";

class Collector final : public prefix::EventStreamSink {
 public:
  prefix::BatchEffect apply(std::uint64_t, std::string_view payload) override {
    payloads.emplace_back(payload);
    return prefix::BatchEffect::kApplied;
  }
  void forget() override { payloads.clear(); }
  Payloads payloads;
};

class KvSubscriberTest : public ::testing::Test {
 protected:
  KvSubscriberTest() {
    options_.stream.replay_silence_max = milliseconds(300);
    options_.stream.replay_backoff = milliseconds(5);
  }
  void SetUp() override {
    auto context = net::ZmqContext::create();
    ASSERT_TRUE(context);
    context_ = std::move(*context);
    make_subscriber();
  }
  void make_subscriber() {
    auto made = KvSubscriber::create(*loop_, options_, registry_);
    ASSERT_TRUE(made);
    subscriber_ = std::move(*made);
  }
  std::unique_ptr<net::ZmqPublisher> publisher(net::ZmqPublisherOptions options) {
    std::unique_ptr<net::ZmqPublisher> out;
    // A port is free again only when libzmq's thread has closed it.
    const bool opened = run_until(*loop_, [&] {
      auto made = net::ZmqPublisher::create(context_, *loop_, options);
      if (made) out = std::move(*made);
      return made.has_value();
    });
    EXPECT_TRUE(opened);
    return out;
  }
  std::unique_ptr<net::ZmqPublisher> publisher_with_replay() {
    return publisher({.endpoint = kAnyPort, .replay_endpoint = kAnyPort, .topic = "kv@a@m"});
  }
  KvStreamId add(const KvPublisherAddress& address, Collector& sink) {
    auto id = subscriber_->add(address, sink);
    EXPECT_TRUE(id) << id.error().message;
    return id.value_or(KvStreamId{});
  }
  KvStreamId add(const net::ZmqPublisher& publisher, Collector& sink) {
    return add({.events = publisher.endpoint(), .replay = publisher.replay_endpoint()}, sink);
  }
  bool until_trusted(KvStreamId id) {
    return run_until(*loop_, [&] { return subscriber_->stream(id)->trust() == Trust::kTrusted; });
  }
  // Publishes until something arrives: a subscription takes its time to reach a publisher.
  bool until_heard(net::ZmqPublisher& from, const Collector& sink) {
    return run_until(*loop_, [&] {
      if (sink.payloads.empty()) from.publish("x");
      return !sink.payloads.empty();
    });
  }
  double metric(const std::string& line) {
    const std::string text = registry_.expose();
    const std::size_t at = text.find('\n' + line + ' ');
    return at == std::string::npos ? -1 : std::stod(text.substr(at + 1 + line.size()));
  }

  std::unique_ptr<net::EventLoop> loop_ = make_loop();
  MetricRegistry registry_;
  KvSubscriberOptions options_;
  std::shared_ptr<net::ZmqContext> context_;
  std::unique_ptr<KvSubscriber> subscriber_;
};

TEST_F(KvSubscriberTest, WhoJoinsLateGetsAllFromTheReplayAndThenLive) {
  const auto from = publisher_with_replay();
  Payloads sent;
  for (int i = 0; i < 700; ++i) {
    sent.push_back(std::to_string(i));
    from->publish(sent.back());
  }
  Collector sink;
  const KvStreamId id = add(*from, sink);
  ASSERT_TRUE(until_trusted(id));
  for (int i = 700; i < 2'000; ++i) {
    sent.push_back(std::to_string(i));
    from->publish(sent.back());
  }
  EXPECT_TRUE(run_until(*loop_, [&] { return sink.payloads.size() == sent.size(); }));
  EXPECT_EQ(sink.payloads, sent);
}

TEST_F(KvSubscriberTest, WhatGotLostIsReplayed) {
  const auto from = publisher_with_replay();
  Collector sink;
  const KvStreamId id = add(*from, sink);
  ASSERT_TRUE(until_trusted(id));
  ASSERT_TRUE(until_heard(*from, sink));
  from->lose("lost");
  from->publish("after");
  EXPECT_TRUE(run_until(*loop_, [&] { return sink.payloads.back() == "after"; }));
  EXPECT_EQ(sink.payloads[sink.payloads.size() - 2], "lost");
  EXPECT_TRUE(run_until(*loop_, [&] { return metric("fairlead_kv_event_gaps_total") == 1; }));
  EXPECT_GE(metric("fairlead_kv_event_replays_total{event=\"asked\"}"), 2);
}

TEST_F(KvSubscriberTest, ARestartedPublisherIsBelievedAnewAfterItsReplay) {
  auto from = publisher_with_replay();
  const std::string events = from->endpoint();
  const std::string replay = from->replay_endpoint();
  Collector sink;
  const KvStreamId id = add(*from, sink);
  ASSERT_TRUE(until_trusted(id));
  for (int i = 0; i < 20; ++i) from->publish("old");
  EXPECT_TRUE(run_until(*loop_, [&] { return sink.payloads.size() == 20; }));
  from.reset();
  EXPECT_TRUE(
      run_until(*loop_, [&] { return subscriber_->stream(id)->trust() == Trust::kSuspect; }));
  from = publisher({.attach = net::ZmqAttach::kBind,
                    .endpoint = events,
                    .replay_endpoint = replay,
                    .topic = {}});
  Payloads sent;
  for (int i = 0; i < 30; ++i) {
    sent.push_back("new " + std::to_string(i));
    from->publish(sent.back());
  }
  EXPECT_TRUE(run_until(*loop_, [&] { return sink.payloads == sent; }));
  ASSERT_TRUE(until_trusted(id));
}

TEST_F(KvSubscriberTest, ARestartIsNoticedWithoutAReplaySocket) {
  auto from = publisher({.endpoint = kAnyPort, .replay_endpoint = {}, .topic = {}});
  const std::string events = from->endpoint();
  Collector sink;
  const KvStreamId id = add(*from, sink);
  ASSERT_TRUE(until_heard(*from, sink));
  for (int i = 0; i < 20; ++i) from->publish("old");
  EXPECT_TRUE(run_until(*loop_, [&] { return sink.payloads.back() == "old"; }));
  from.reset();
  from = publisher(
      {.attach = net::ZmqAttach::kBind, .endpoint = events, .replay_endpoint = {}, .topic = {}});
  EXPECT_TRUE(run_until(*loop_, [&] {
    from->publish("new");
    return !sink.payloads.empty() && sink.payloads.front() == "new";
  }));
  EXPECT_GE(subscriber_->stream(id)->figures().forgotten, 1U);
}

TEST_F(KvSubscriberTest, APublisherThatStaysAwayIsForgotten) {
  options_.stream.disconnected_max = milliseconds(20);
  make_subscriber();
  auto from = publisher_with_replay();
  Collector sink;
  const KvStreamId id = add(*from, sink);
  ASSERT_TRUE(until_trusted(id));
  ASSERT_TRUE(until_heard(*from, sink));
  EXPECT_FALSE(subscriber_->unlinked_since(id));
  from.reset();
  EXPECT_TRUE(
      run_until(*loop_, [&] { return subscriber_->stream(id)->trust() == Trust::kAbsent; }));
  EXPECT_TRUE(subscriber_->unlinked_since(id));
  EXPECT_TRUE(sink.payloads.empty());
  EXPECT_TRUE(run_until(*loop_, [&] {
    return metric("fairlead_kv_event_connections_total{event=\"disconnected\"}") == 1 &&
           metric("fairlead_kv_event_streams{trust=\"absent\"}") == 1;
  }));
}

class Ignore final : public net::ZmqObserver {
 public:
  void on_message(net::ZmqSocket&, std::span<const std::string_view>) override { ++messages; }
  int messages = 0;
};

TEST_F(KvSubscriberTest, GarbageIsCountedAndTheStreamGoesOn) {
  Ignore ignore;
  auto made = net::ZmqSocket::create(*context_, *loop_, net::ZmqKind::kPublish, {}, ignore);
  ASSERT_TRUE(made);
  net::ZmqSocket& from = **made;
  ASSERT_TRUE(from.bind(kAnyPort));
  Collector sink;
  const KvStreamId id = add({.events = from.bound_endpoint(), .replay = {}, .topic = {}}, sink);
  std::uint64_t number = 0;
  const auto send_good = [&] {
    std::string eight;
    for (int shift = 56; shift >= 0; shift -= 8) {
      eight.push_back(static_cast<char>(number >> shift));
    }
    ++number;
    return from.send(std::array<std::string_view, 3>{"", eight, "payload"});
  };
  ASSERT_TRUE(run_until(*loop_, [&] {
    static_cast<void>(send_good());
    return !sink.payloads.empty();
  }));
  const auto send = [&from](const std::vector<std::string_view>& frames) {
    EXPECT_EQ(from.send(frames), net::ZmqSocket::Sent::kSent);
  };
  send({"one"});
  send({"two", "frames"});
  send({"", "short", "payload"});
  send({"", "nine bytes", "payload"});
  send({"", "\xff\xff\xff\xff\xff\xff\xff\xff", "the number that ends a replay"});
  send({"", "12345678", "payload", "more"});
  send(std::vector<std::string_view>(20, "x"));
  static_cast<void>(send_good());
  EXPECT_TRUE(
      run_until(*loop_, [&] { return subscriber_->stream(id)->next_sequence() == number; }));
  EXPECT_EQ(metric("fairlead_kv_event_messages_total{kind=\"garbage\"}"), 7);
}

TEST_F(KvSubscriberTest, RepliesWithoutATopicAreRead) {
  // As before vLLM 0.26.
  Ignore ignore;
  auto events = net::ZmqSocket::create(*context_, *loop_, net::ZmqKind::kPublish, {}, ignore);
  ASSERT_TRUE(events && (*events)->bind(kAnyPort));
  class OldReplay final : public net::ZmqObserver {
   public:
    void on_message(net::ZmqSocket& socket, std::span<const std::string_view> frames) override {
      ASSERT_EQ(frames.size(), 3U);
      EXPECT_EQ(frames[2], std::string(8, '\0'));
      const std::string first(8, '\0');
      const std::string end(8, '\xff');
      EXPECT_EQ(socket.send(std::array<std::string_view, 4>{frames[0], "", first, "old"}),
                net::ZmqSocket::Sent::kSent);
      EXPECT_EQ(socket.send(std::array<std::string_view, 4>{frames[0], "", end, ""}),
                net::ZmqSocket::Sent::kSent);
    }
  } replies;
  auto replay = net::ZmqSocket::create(*context_, *loop_, net::ZmqKind::kRouter, {}, replies);
  ASSERT_TRUE(replay && (*replay)->bind(kAnyPort));
  Collector sink;
  const KvStreamId id = add(
      {.events = (*events)->bound_endpoint(), .replay = (*replay)->bound_endpoint(), .topic = {}},
      sink);
  ASSERT_TRUE(until_trusted(id));
  EXPECT_EQ(sink.payloads, Payloads{"old"});
}

TEST_F(KvSubscriberTest, AReplaySocketThatKeepsSilentIsGivenUp) {
  options_.stream.replay_silence_max = milliseconds(10);
  make_subscriber();
  Ignore silent;
  auto replay = net::ZmqSocket::create(*context_, *loop_, net::ZmqKind::kRouter, {}, silent);
  ASSERT_TRUE(replay && (*replay)->bind(kAnyPort));
  const auto from = publisher({.endpoint = kAnyPort, .replay_endpoint = {}, .topic = {}});
  for (int i = 0; i < 5; ++i) from->publish("unheard");
  Collector sink;
  const KvStreamId id =
      add({.events = from->endpoint(), .replay = (*replay)->bound_endpoint(), .topic = {}}, sink);
  EXPECT_TRUE(run_until(
      *loop_, [&] { return subscriber_->stream(id)->state() == StreamState::kDegraded; }));
  EXPECT_EQ(subscriber_->stream(id)->figures().replays_failed, 3U);
  EXPECT_TRUE(until_heard(*from, sink));
  EXPECT_EQ(subscriber_->stream(id)->trust(), Trust::kSuspect);
}

TEST_F(KvSubscriberTest, ReplaysWaitForTheirTurn) {
  options_.replays_max = 1;
  make_subscriber();
  std::vector<std::unique_ptr<net::ZmqPublisher>> from;
  std::vector<std::unique_ptr<Collector>> sinks;
  std::vector<KvStreamId> ids;
  for (int i = 0; i < 5; ++i) {
    from.push_back(publisher_with_replay());
    for (int j = 0; j < 50; ++j) from.back()->publish("x");
    sinks.push_back(std::make_unique<Collector>());
    ids.push_back(add(*from.back(), *sinks.back()));
  }
  for (std::size_t i = 0; i < ids.size(); ++i) {
    EXPECT_TRUE(until_trusted(ids[i]));
    EXPECT_EQ(sinks[i]->payloads.size(), 50U);
  }
  subscriber_->remove(ids[2]);
  EXPECT_EQ(subscriber_->stream(ids[2]), nullptr);
  EXPECT_EQ(subscriber_->streams(), 4U);
}

TEST_F(KvSubscriberTest, WhoLostItsConnectionLeavesItsTurnToTheNext) {
  options_.replays_max = 1;
  options_.stream.replay_silence_max = std::chrono::minutes(1);
  make_subscriber();
  std::vector<std::unique_ptr<net::ZmqPublisher>> from;
  std::vector<std::unique_ptr<Collector>> sinks;
  std::vector<KvStreamId> ids;
  for (int i = 0; i < 3; ++i) {
    from.push_back(publisher_with_replay());
    from.back()->publish("x");
    sinks.push_back(std::make_unique<Collector>());
    const std::string replay = i == 0 ? "tcp://127.0.0.1:1" : from.back()->replay_endpoint();
    ids.push_back(add({.events = from.back()->endpoint(), .replay = replay}, *sinks.back()));
    const double connected = i + 1;
    ASSERT_TRUE(run_until(*loop_, [&] {
      return metric("fairlead_kv_event_connections_total{event=\"connected\"}") == connected;
    }));
  }
  ASSERT_TRUE(subscriber_->stream(ids[0])->replaying());
  from[1].reset();
  ASSERT_TRUE(run_until(*loop_, [&] {
    return metric("fairlead_kv_event_connections_total{event=\"disconnected\"}") == 1;
  }));
  EXPECT_EQ(subscriber_->stream(ids[2])->trust(), Trust::kAbsent) << "it waits";
  subscriber_->remove(ids[0]);
  EXPECT_TRUE(until_trusted(ids[2]));
}

TEST_F(KvSubscriberTest, PublishersConnectToWhoListens) {
  const auto endpoint = subscriber_->listen(kAnyPort);
  ASSERT_TRUE(endpoint) << endpoint.error().message;
  Collector first;
  Collector second;
  const KvStreamId id = add({.events = {}, .replay = {}, .topic = "kv@a@m", .rank = 0}, first);
  add({.events = {}, .replay = {}, .topic = "kv@a@m", .rank = 1}, second);
  EXPECT_FALSE(subscriber_->add({.events = {}, .replay = {}, .topic = "kv@a@m"}, first));
  const auto known = publisher({.endpoint = *endpoint, .replay_endpoint = {}, .topic = "kv@a@m"});
  const auto stranger = publisher({.endpoint = *endpoint, .replay_endpoint = {}, .topic = "kv@b"});
  const std::string of_rank_0("\x93\x00\x90\xc0", 4);
  const std::string of_rank_1("\x93\x00\x90\x01", 4);
  EXPECT_TRUE(run_until(*loop_, [&] {
    known->publish(of_rank_0);
    stranger->publish(of_rank_0);
    return !first.payloads.empty() &&
           metric("fairlead_kv_event_messages_total{kind=\"unclaimed\"}") > 0;
  }));
  EXPECT_TRUE(second.payloads.empty());
  known->publish(of_rank_1);
  EXPECT_TRUE(run_until(*loop_, [&] { return !second.payloads.empty(); }));
  subscriber_->remove(id);
}

TEST_F(KvSubscriberTest, WrongEndpointsAndTooManyStreamsAreErrors) {
  options_.streams_max = 1;
  make_subscriber();
  Collector sink;
  const auto wrong = subscriber_->add({.events = "tcp://nowhere", .replay = {}, .topic = {}}, sink);
  ASSERT_FALSE(wrong);
  EXPECT_NE(wrong.error().message.find("tcp://nowhere"), std::string::npos);
  EXPECT_TRUE(subscriber_->add({.events = "tcp://127.0.0.1:1", .replay = {}, .topic = {}}, sink));
  EXPECT_FALSE(subscriber_->add({.events = "tcp://127.0.0.1:2", .replay = {}, .topic = {}}, sink));
  EXPECT_FALSE(subscriber_->listen("udp://x"));
}

TEST(KvRankEndpoint, RanksFollowTheFirst) {
  EXPECT_EQ(kv_rank_endpoint("tcp://10.0.0.1:5557", 0), "tcp://10.0.0.1:5557");
  EXPECT_EQ(kv_rank_endpoint("tcp://10.0.0.1:5557", 3), "tcp://10.0.0.1:5560");
  EXPECT_EQ(kv_rank_endpoint("tcp://[::1]:5557", 1), "tcp://[::1]:5558");
  EXPECT_EQ(kv_rank_endpoint("inproc://kv", 2), "inproc://kv_dp2");
  for (const char* none : {"tcp://10.0.0.1", "tcp://a:b", "ipc:///x", "tcp://a:65535"}) {
    EXPECT_EQ(kv_rank_endpoint(none, 1), "") << none;
  }
}

}  // namespace
}  // namespace fairlead::fleet
