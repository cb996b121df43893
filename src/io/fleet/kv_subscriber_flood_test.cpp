// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <charconv>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "io/fleet/kv_subscriber.h"
#include "io/net/socket.h"
#include "io/net/testing/loop_fixture.h"

namespace fairlead::fleet {
namespace {

class CountingSink final : public prefix::EventStreamSink {
 public:
  prefix::BatchEffect apply(std::uint64_t, std::string_view) override {
    ++applied;
    return prefix::BatchEffect::kApplied;
  }
  void forget() override {}
  std::uint64_t applied = 0;
};

std::string big_endian(std::uint64_t number) {
  std::string out;
  for (int shift = 56; shift >= 0; shift -= 8) out.push_back(static_cast<char>(number >> shift));
  return out;
}

// A peer that speaks ZMTP 3.0 by itself, so that it sees when nobody takes what it sends: numbered
// messages, behind frames that are the same for each.
// Source: https://rfc.zeromq.org/spec/23/.
class RawPeer {
 public:
  struct Sends {
    std::string_view socket_type;
    std::string_view before;  // Frames.
    std::uint64_t messages;
    std::size_t payload_bytes;
  };

  RawPeer(net::UniqueFd fd, const Sends& sends) : fd_(std::move(fd)), sends_(sends) {
    EXPECT_TRUE(fd_.valid());
    const int small = 64 * 1024;
    EXPECT_EQ(::setsockopt(fd_.get(), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    std::string hello("\xff\0\0\0\0\0\0\0\x01\x7f\x03\0NULL", 16);
    hello.resize(kGreeting, '\0');
    std::string ready("\x05READY\x0bSocket-Type\0\0\0", 21);
    ready.push_back(static_cast<char>(sends.socket_type.size()));
    ready += sends.socket_type;
    hello += '\x04';
    hello.push_back(static_cast<char>(ready.size()));
    hello += ready;
    unsent_ = hello;
  }

  // Says who it is, and waits until the other side has said so: before, it takes no messages.
  void meet() {
    std::string heard;
    const auto whole = [&heard] {
      return heard.size() > kGreeting + 1 &&
             heard.size() >= kGreeting + 2 + static_cast<std::uint8_t>(heard[kGreeting + 1]);
    };
    pollfd ready{.fd = fd_.get(), .events = POLLOUT, .revents = 0};
    ASSERT_EQ(::poll(&ready, 1, 10'000), 1);
    ASSERT_EQ(::send(fd_.get(), unsent_.data(), unsent_.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(unsent_.size()));
    unsent_.clear();
    ready.events = POLLIN;
    while (!whole()) {
      std::array<char, 512> bytes{};
      ASSERT_EQ(::poll(&ready, 1, 10'000), 1);
      const auto got = ::recv(fd_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
      ASSERT_GT(got, 0);
      heard.append(bytes.data(), static_cast<std::size_t>(got));
    }
  }

  // Sends until all messages are sent, or nothing was taken for that long. How many were taken.
  std::uint64_t send(int patience_ms) {
    while (!unsent_.empty() || next_message()) {
      const auto taken =
          ::send(fd_.get(), unsent_.data(), unsent_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (taken > 0) {
        unsent_.erase(0, static_cast<std::size_t>(taken));
        continue;
      }
      pollfd ready{.fd = fd_.get(), .events = POLLOUT, .revents = 0};
      if (::poll(&ready, 1, patience_ms) <= 0) break;
      if ((ready.revents & (POLLERR | POLLHUP)) != 0) {
        ADD_FAILURE() << "the connection is closed";
        break;
      }
    }
    return number_;
  }

 private:
  static constexpr std::size_t kGreeting = 64;

  bool next_message() {
    if (number_ == sends_.messages) return false;
    unsent_ = std::string(sends_.before) + "\x01\x08" + big_endian(number_++) + '\x02' +
              big_endian(sends_.payload_bytes) + std::string(sends_.payload_bytes, 'x');
    return true;
  }

  net::UniqueFd fd_;
  Sends sends_;
  std::string unsent_;
  std::uint64_t number_ = 0;
};

class KvSubscriberFlood : public ::testing::Test {
 protected:
  void SetUp() override {
    auto made = KvSubscriber::create(*loop_, {}, registry_);
    ASSERT_TRUE(made);
    subscriber_ = std::move(*made);
  }

  std::unique_ptr<net::EventLoop> loop_ = net::testing::make_loop();
  MetricRegistry registry_;
  std::unique_ptr<KvSubscriber> subscriber_;
  CountingSink sink_;
};

TEST_F(KvSubscriberFlood, WhatIsNotReadWaitsAtThePublisher) {
  constexpr std::uint64_t kMessages = 400;
  const auto endpoint = subscriber_->listen("tcp://127.0.0.1:*");
  ASSERT_TRUE(endpoint) << endpoint.error().message;
  const auto id = subscriber_->add({.events = {}, .replay = {}, .topic = {}}, sink_);
  ASSERT_TRUE(id);
  std::uint16_t port = 0;
  std::from_chars(endpoint->data() + endpoint->rfind(':') + 1, endpoint->data() + endpoint->size(),
                  port);
  int error = 0;
  RawPeer publisher(net::connect_tcp(net::SocketAddress::loopback(port), error),
                    {.socket_type = "PUB",
                     .before = std::string_view("\x01\0", 2),
                     .messages = kMessages,
                     .payload_bytes = std::size_t{256} << 10});
  ASSERT_NO_FATAL_FAILURE(publisher.meet());
  // The loop does not run. 64 are taken, of 16 MiB together, and what the kernel holds.
  EXPECT_LT(publisher.send(500), 256U);
  EXPECT_EQ(sink_.applied, 0U);
  ASSERT_TRUE(net::testing::run_until(*loop_, [&] { return sink_.applied > 0; }));
  EXPECT_LE(sink_.applied, 16U) << "in a turn, so that others have theirs";
  EXPECT_TRUE(net::testing::run_until(*loop_, [&] {
    publisher.send(0);
    return sink_.applied == kMessages;
  })) << sink_.applied;
  EXPECT_EQ(subscriber_->stream(*id)->figures().gaps, 0U);
}

// vLLM's socket of replays drops what of an answer does not fit into the queues between.
TEST_F(KvSubscriberFlood, AnAnswerOfManyBatchesIsTakenThoughNobodyReadsMeanwhile) {
  constexpr std::uint64_t kBatches = 6'000;
  const auto listening =
      net::listen_tcp(net::SocketAddress::loopback(0), net::PortSharing::kExclusive);
  ASSERT_TRUE(listening);
  const std::string replay =
      fmt::format("tcp://127.0.0.1:{}", net::local_address(listening->get())->port());
  const auto id = subscriber_->add({.events = {}, .replay = replay, .topic = {}}, sink_);
  ASSERT_TRUE(id);
  pollfd asked{.fd = listening->get(), .events = POLLIN, .revents = 0};
  ASSERT_EQ(::poll(&asked, 1, 10'000), 1);
  RawPeer publisher(
      net::UniqueFd(::accept4(listening->get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)),
      {.socket_type = "ROUTER",
       .before = std::string_view("\x01\0\x01\0", 4),
       .messages = kBatches,
       .payload_bytes = std::size_t{16} << 10});
  ASSERT_NO_FATAL_FAILURE(publisher.meet());
  EXPECT_EQ(publisher.send(10'000), kBatches);
  EXPECT_EQ(sink_.applied, 0U);
  EXPECT_TRUE(net::testing::run_until(*loop_, [&] { return sink_.applied == kBatches; }))
      << sink_.applied;
  EXPECT_EQ(subscriber_->stream(*id)->figures().replayed, kBatches);
}

}  // namespace
}  // namespace fairlead::fleet
