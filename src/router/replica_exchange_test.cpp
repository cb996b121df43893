// SPDX-License-Identifier: Apache-2.0
#include "router/replica_exchange.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "core/replication/replica_frame.h"
#include "io/net/steady_clock.h"
#include "io/net/tcp_listener.h"
#include "io/net/testing/fake_dns.h"
#include "io/net/testing/loop_fixture.h"
#include "router/testing/captured_log.h"

namespace fairlead::router {
namespace {

using Keys = std::vector<std::uint64_t>;

constexpr std::size_t kBlock = 1024;
constexpr std::string_view kSecret = "correct horse battery staple";
// Where nobody listens: the discard port, which needs privileges to be taken.
constexpr std::string_view kNobody = "127.0.0.1:9";

model::PoolSnapshot pool_of(const std::vector<std::string>& names) {
  model::PoolSnapshot pool;
  for (std::uint32_t slot = 0; slot < names.size(); ++slot) {
    model::Endpoint endpoint;
    endpoint.ref = {slot, 0};
    endpoint.name = names[slot];
    pool.endpoints.push_back(endpoint);
  }
  return pool;
}

// One router, as far as others know of it.
struct Node {
  Node(std::uint64_t sender, const std::vector<std::string>& addresses,
       std::string_view listen_host = "127.0.0.1", std::uint16_t port = 0,
       std::string_view secret = kSecret, const net::ResolverOptions& resolver = {},
       std::size_t block_bytes = kBlock)
      : history(block_bytes, std::uint64_t{1} << 30) {
    config::ReplicaSettings settings;
    settings.listen = {std::string(listen_host), port};
    settings.addresses = addresses;
    auto made = ReplicaExchange::create(settings, *replication::ReplicaSecret::derive(secret),
                                        sender, history, log, registry,
                                        {.heartbeat = std::chrono::milliseconds(20),
                                         .resolve_every = std::chrono::milliseconds(50),
                                         .unseen_max = std::chrono::milliseconds(500),
                                         .resolver = resolver});
    EXPECT_TRUE(made) << made.error().message;
    exchange = std::move(*made);
    exchange->set_pool(pool_of({"a", "b"}));
  }
  std::string address() const { return exchange->local_address().to_string(); }
  std::uint16_t port() const { return exchange->local_address().port(); }
  std::uint32_t held(std::uint32_t slot, const Keys& keys) const {
    std::vector<prefix::MatchedBlocks> out(8);
    history.match(keys, out);
    return out[slot];
  }
  double figure(const std::string& metric) const {
    const std::string text = registry.expose();
    const std::size_t at = text.find('\n' + metric + ' ');
    return at == std::string::npos ? -1 : std::stod(text.substr(at + 2 + metric.size()));
  }
  double batches(std::string_view result) const {
    return figure(fmt::format("fairlead_replica_batches_total{{result=\"{}\"}}", result));
  }
  double placements(std::string_view result) const {
    return figure(fmt::format("fairlead_replica_placements_total{{result=\"{}\"}}", result));
  }

  testing::CapturedLog sink;
  Log log{sink, LogLevel::kInfo};
  MetricRegistry registry;
  SharedHistory history;
  std::unique_ptr<ReplicaExchange> exchange;
};

// Turns the loops of all until the effect shows.
bool until(const std::vector<Node*>& nodes, const std::function<bool()>& effect) {
  const net::SteadyClock clock;
  const Time end = clock.now() + std::chrono::seconds(60);
  while (!effect()) {
    if (clock.now() > end) return false;
    for (Node* node : nodes) node->exchange->loop().run_turn(std::chrono::milliseconds(1));
  }
  return true;
}

// Until `to` hears `from`.
bool until_heard(Node& from, Node& to) {
  return until({&from, &to}, [&] { return to.figure("fairlead_replicas") == 1; });
}

const std::vector<std::string> kAlone{std::string(kNobody)};

TEST(ReplicaExchange, WhatOneSendsTheOtherKnows) {
  Node b(2, kAlone);
  Node a(1, {b.address()});
  ASSERT_TRUE(until_heard(a, b));
  const Keys keys{1, 2, 3, 4};
  a.exchange->record(1, keys);
  EXPECT_EQ(a.held(1, keys), 4U) << "at once, where it was sent";
  ASSERT_TRUE(until({&a, &b}, [&] { return b.held(1, keys) == 4; }));
  EXPECT_EQ(b.held(0, keys), 0U);
  EXPECT_EQ(b.placements("taken"), 1);
  EXPECT_EQ(a.placements("sent"), 1);
  EXPECT_EQ(a.placements("taken"), 0) << "nobody tells it";
  EXPECT_EQ(a.figure("fairlead_replica_connections"), 1);
  EXPECT_TRUE(b.sink.has("1 other router tells what it sends where"));
}

TEST(ReplicaExchange, EndpointsAreToldByNameNotByPlace) {
  Node b(2, kAlone);
  Node a(1, {b.address()});
  b.exchange->set_pool(pool_of({"b", "c"}));
  ASSERT_TRUE(until_heard(a, b));
  const Keys keys{1, 2};
  a.exchange->record(1, keys);
  ASSERT_TRUE(until({&a, &b}, [&] { return b.held(0, keys) == 2; })) << "b is in the first place";
  a.exchange->record(0, keys);
  ASSERT_TRUE(until({&a, &b}, [&] { return b.placements("unknown_endpoint") == 1; }));
  EXPECT_EQ(b.held(1, keys), 0U);
  // It joins: what is told from then on counts.
  b.exchange->set_pool(pool_of({"b", "a"}));
  a.exchange->record(0, Keys{7, 8, 9});
  ASSERT_TRUE(until({&a, &b}, [&] { return b.held(1, Keys{7, 8, 9}) == 3; }));
  // Of a place that is nobody's there is no name to tell.
  a.exchange->record(7, keys);
  EXPECT_EQ(a.placements("dropped"), 1);
}

TEST(ReplicaExchange, WhatItHearsItDoesNotTellOn) {
  Node c(3, kAlone);
  Node b(2, {c.address()});
  Node a(1, {b.address()});
  ASSERT_TRUE(until({&a, &b, &c}, [&] {
    return b.figure("fairlead_replicas") == 1 && c.figure("fairlead_replicas") == 1;
  }));
  a.exchange->record(0, Keys{1});
  ASSERT_TRUE(until({&a, &b, &c}, [&] { return b.held(0, Keys{1}) == 1; }));
  b.exchange->record(0, Keys{2});
  ASSERT_TRUE(until({&a, &b, &c}, [&] { return c.held(0, Keys{2}) == 1; }));
  EXPECT_EQ(c.held(0, Keys{1}), 0U);
}

TEST(ReplicaExchange, OneThatFindsItselfAmongTheAddressesIsNoOther) {
  Node beside(1, kAlone, "127.0.0.2");
  Node self(2, {fmt::format("127.0.0.1:{}", beside.port())}, "127.0.0.1", beside.port());
  ASSERT_TRUE(until({&self}, [&] { return self.batches("own") == 1; }));
  self.exchange->record(0, Keys{1});
  ASSERT_TRUE(until({&self}, [&] { return self.figure("fairlead_replica_connections") == 0; }));
  EXPECT_EQ(self.figure("fairlead_replicas"), 0);
  EXPECT_FALSE(self.sink.has("is not told")) << "that is no trouble";
}

TEST(ReplicaExchange, AnotherSecretIsRefusedAndBothSay) {
  Node b(2, kAlone);
  Node a(1, {b.address()}, "127.0.0.1", 0, "another secret text");
  a.exchange->record(0, Keys{1});
  ASSERT_TRUE(until({&a, &b}, [&] { return b.batches("unsealed") >= 3; }));
  EXPECT_EQ(b.held(0, Keys{1}), 0U);
  EXPECT_EQ(b.figure("fairlead_replicas"), 0);
  EXPECT_EQ(b.sink.count("a router at 127.0.0.1 tells what is not taken: it has another secret"), 1)
      << b.sink.text();
  EXPECT_EQ(a.sink.count("is not told: it has another secret"), 1) << a.sink.text();
}

TEST(ReplicaExchange, BlocksOfAnotherSizeAreNotTaken) {
  Node b(2, kAlone);
  Node a(1, {b.address()}, "127.0.0.1", 0, kSecret, {}, 512);
  ASSERT_TRUE(until({&a, &b}, [&] { return b.sink.has("its prefix.blockBytes is another"); }));
  EXPECT_GT(b.batches("other_blocks"), 0);
  // What was recorded before the size changed is not told with the new one.
  a.exchange->record(0, Keys{1});
  a.history.restart(kBlock, std::uint64_t{1} << 30);
  a.exchange->record(0, Keys{2});
  EXPECT_EQ(a.placements("dropped"), 1);
  ASSERT_TRUE(until({&a, &b}, [&] { return a.placements("sent") == 1; }));
  a.exchange->record(0, Keys{3});
  ASSERT_TRUE(until({&a, &b}, [&] { return b.held(0, Keys{3}) == 1; }));
  EXPECT_EQ(b.held(0, Keys{1}), 0U);
}

TEST(ReplicaExchange, OneThatComesBackIsToldAgain) {
  auto b = std::make_unique<Node>(2, kAlone);
  const std::uint16_t port = b->port();
  Node a(1, {b->address()});
  ASSERT_TRUE(until_heard(a, *b));
  b.reset();
  ASSERT_TRUE(until({&a}, [&] { return a.figure("fairlead_replica_connections") == 0; }));
  EXPECT_TRUE(a.sink.has("is not told")) << a.sink.text();
  a.exchange->record(0, Keys{4});
  Node again(3, kAlone, "127.0.0.1", port);
  ASSERT_TRUE(until_heard(a, again));
  a.exchange->record(0, Keys{5});
  ASSERT_TRUE(until({&a, &again}, [&] { return again.held(0, Keys{5}) == 1; }));
  EXPECT_EQ(again.batches("lost"), 0) << "nobody waited for what came before";
}

TEST(ReplicaExchange, OneThatDiesIsMissed) {
  Node b(2, kAlone);
  auto a = std::make_unique<Node>(1, std::vector<std::string>{b.address()});
  ASSERT_TRUE(until_heard(*a, b));
  a.reset();
  ASSERT_TRUE(until({&b}, [&] { return b.figure("fairlead_replicas") == 0; }));
  EXPECT_TRUE(b.sink.has("0 other routers tell what they send where"));
}

// A name server, and three routers of which c tells the other two.
class NamedRouters : public ::testing::Test {
 protected:
  bool until_told(double routers) {
    return turn([&] { return c_.figure("fairlead_replica_connections") == routers; });
  }
  bool turn(const std::function<bool()>& effect) {
    return until({&a_, &b_, &c_}, [&] {
      dns_loop_->run_turn(Duration{});
      return effect();
    });
  }

  std::unique_ptr<net::EventLoop> dns_loop_ = net::testing::make_loop();
  net::testing::FakeDns dns_{*dns_loop_};
  Node a_{1, kAlone, "127.0.0.2"};
  Node b_{2, kAlone, "127.0.0.3", a_.port()};
  Node c_{3,           {fmt::format("routers.test:{}", a_.port())},
          "127.0.0.1", 0,
          kSecret,     {.servers = dns_.server()}};
};

TEST_F(NamedRouters, ANameStandsForAllItsAddressesAndIsAskedForAgain) {
  dns_.names["routers.test"] = {"127.0.0.2"};
  ASSERT_TRUE(until_told(1));
  dns_.names["routers.test"] = {"127.0.0.2", "127.0.0.3"};
  ASSERT_TRUE(until_told(2));
  dns_.names["routers.test"] = {"127.0.0.3"};
  ASSERT_TRUE(until_told(1));
  // A name server that fails is no reason to part.
  dns_.mood = net::testing::FakeDns::Mood::kServerFailure;
  ASSERT_TRUE(turn([&] { return c_.sink.has("replicas.addresses: routers.test: "); }));
  c_.exchange->record(1, Keys{6});
  ASSERT_TRUE(turn([&] { return b_.held(1, Keys{6}) == 1; }));
}

TEST_F(NamedRouters, WhatAPartialAnswerLeavesOutGoesAfterAWhile) {
  dns_.mood_v6 = net::testing::FakeDns::Mood::kServerFailure;
  dns_.names["routers.test"] = {"127.0.0.2"};
  ASSERT_TRUE(until_told(1));
  dns_.names["routers.test"] = {"127.0.0.3"};
  ASSERT_TRUE(until_told(2)) << "it may be there still";
  ASSERT_TRUE(until_told(1));
  c_.exchange->record(1, Keys{6});
  ASSERT_TRUE(turn([&] { return b_.held(1, Keys{6}) == 1; }));
}

// Somebody at an address who is no router: says something at once, and reads nothing.
class Stranger {
 public:
  Stranger(net::EventLoop& loop, std::string greeting, std::uint16_t port = 0)
      : greeting_(std::move(greeting)),
        listener_(loop, [this](net::UniqueFd fd, const net::SocketAddress&) {
          ++visits;
          EXPECT_GE(::send(fd.get(), greeting_.data(), greeting_.size(), MSG_NOSIGNAL), 0);
          if (!keeps) return;
          kept_.push_back(std::move(fd));
        }) {
    EXPECT_TRUE(listener_.listen(net::SocketAddress::loopback(port), net::PortSharing::kExclusive));
  }
  std::uint16_t port() const { return listener_.local_address().port(); }

  int visits = 0;
  bool keeps = true;

 private:
  std::string greeting_;
  std::vector<net::UniqueFd> kept_;
  net::TcpListener listener_;
};

TEST(ReplicaExchange, WhoeverIsAtAnAddressItIsTriedAgainUntilARouterIsThere) {
  const auto loop = net::testing::make_loop();
  for (const std::string& greeting :
       {std::string("HTTP/1.1 400 Bad Request\r\n\r\n"), std::string(3000, '\xff'),
        std::string("FLRH\x09\0\0\0 another version", 24), std::string()}) {
    for (const bool keeps : {true, false}) {
      if (greeting.empty() && keeps) continue;  // Who is silent has five seconds.
      auto stranger = std::make_unique<Stranger>(*loop, greeting);
      stranger->keeps = keeps;
      const std::uint16_t port = stranger->port();
      Node a(1, {fmt::format("127.0.0.1:{}", port)});
      ASSERT_TRUE(until({&a}, [&] {
        loop->run_turn(Duration{});
        return stranger->visits >= 2;
      })) << greeting;
      EXPECT_TRUE(a.sink.has(" is not told: ")) << greeting;
      stranger.reset();
      Node b(2, kAlone, "127.0.0.1", port);
      ASSERT_TRUE(until_heard(a, b)) << greeting;
    }
  }
}

TEST(ReplicaExchange, WhoReadsNothingCostsNoMoreThanItsBound) {
  const auto loop = net::testing::make_loop();
  Stranger deaf(*loop, replication::greeting_of({}));
  Node b(2, kAlone);
  Node a(1, {fmt::format("127.0.0.1:{}", deaf.port()), b.address()});
  ASSERT_TRUE(until({&a, &b}, [&] {
    loop->run_turn(Duration{});
    return a.figure("fairlead_replica_connections") == 2;
  }));
  Keys keys(replication::kPlacementKeysMax, 1);
  ASSERT_TRUE(until({&a, &b}, [&] {
    ++keys[0];
    a.exchange->record(0, keys);
    return a.batches("untold") > 3;
  }));
  a.exchange->record(1, Keys{9});
  ASSERT_TRUE(until({&a, &b}, [&] { return b.held(1, Keys{9}) == 1; })) << "others are told";
}

TEST(ReplicaExchange, WhatIsNoFrameIsSentAway) {
  Node b(2, kAlone);
  for (const std::string& bytes :
       {std::string(100, '\xff'),
        std::string("GET / HTTP/1.1\r\nhost: routers.test:9464\r\n\r\n")}) {
    net::testing::RawClient client(b.exchange->loop(), b.exchange->local_address());
    client.send(bytes);
    ASSERT_TRUE(until({&b}, [&] { return client.ended(); })) << bytes;
    EXPECT_EQ(client.received().size(), replication::kGreetingBytes + 1) << "and why";
  }
  EXPECT_EQ(b.batches("malformed"), 2);
  EXPECT_EQ(b.sink.count("only routers should reach replicas.listen"), 1);
}

TEST(ReplicaExchange, StrangersKeepNoRouterOut) {
  Node b(2, kAlone);
  std::vector<std::unique_ptr<net::testing::RawClient>> strangers;
  for (std::size_t i = 0; i < ReplicaDoor::kConnectionsMax + 20; ++i) {
    strangers.push_back(
        std::make_unique<net::testing::RawClient>(b.exchange->loop(), b.exchange->local_address()));
  }
  ASSERT_TRUE(until({&b}, [&] {
    return std::ranges::count_if(strangers, [](const auto& one) { return one->ended(); }) >= 20;
  })) << "the oldest make room";
  Node a(1, {b.address()});
  ASSERT_TRUE(until_heard(a, b));
  // And who is proved stays when more of them come.
  for (std::size_t i = 0; i < ReplicaDoor::kConnectionsMax + 20; ++i) {
    strangers.push_back(
        std::make_unique<net::testing::RawClient>(b.exchange->loop(), b.exchange->local_address()));
  }
  a.exchange->record(0, Keys{1});
  ASSERT_TRUE(until({&a, &b}, [&] { return b.held(0, Keys{1}) == 1; }));
  EXPECT_FALSE(a.sink.has("is not told")) << a.sink.text();
}

TEST(ReplicaExchange, WhatHasNoRoomIsDroppedAndCounted) {
  Node b(2, kAlone);
  Node a(1, {b.address()});
  ASSERT_TRUE(until_heard(a, b));
  const Keys keys(replication::kPlacementKeysMax, 1);  // Half a megabyte.
  for (int i = 0; i < 3; ++i) a.exchange->record(0, keys);
  EXPECT_EQ(a.placements("dropped"), 2);
  ASSERT_TRUE(until({&a, &b}, [&] { return b.placements("taken") == 1; }));
  a.exchange->record(0, Keys{1});
  ASSERT_TRUE(until({&a, &b}, [&] { return b.placements("taken") == 2; }));
}

TEST(ReplicaExchange, AnAddressThatIsTakenIsAnErrorWithItsName) {
  Node a(1, kAlone);
  config::ReplicaSettings settings;
  settings.listen = {"127.0.0.1", a.port()};
  settings.addresses = {std::string(kNobody)};
  const auto made = ReplicaExchange::create(settings, *replication::ReplicaSecret::derive(kSecret),
                                            2, a.history, a.log, a.registry);
  ASSERT_FALSE(made);
  EXPECT_NE(made.error().message.find("replicas.listen: "), std::string::npos)
      << made.error().message;
}

// Workers record while the thread tells; meant for the thread sanitizer as much as for the sum.
TEST(ReplicaExchange, WorkersRecordBesideTheThread) {
  Node b(2, kAlone);
  Node a(1, {b.address()});
  ASSERT_TRUE(until_heard(a, b));
  a.exchange->start();
  b.exchange->start();
  constexpr int kWorkers = 3;
  constexpr int kPrompts = 200;
  std::vector<std::thread> workers;
  for (int worker = 0; worker < kWorkers; ++worker) {
    workers.emplace_back([&, worker] {
      for (int i = 0; i < kPrompts; ++i) {
        a.exchange->record(0, Keys{static_cast<std::uint64_t>(worker * kPrompts + i + 1)});
        if (i % 50 == 0) a.exchange->set_pool(pool_of({"a", "b"}));
        std::this_thread::yield();
      }
    });
  }
  for (std::thread& worker : workers) worker.join();
  const auto loop = net::testing::make_loop();
  EXPECT_TRUE(
      net::testing::run_until(*loop, [&] { return b.placements("taken") == kWorkers * kPrompts; }));
  a.exchange->stop();
  b.exchange->stop();
  EXPECT_EQ(b.history.figures().held_blocks, std::uint64_t{kWorkers * kPrompts});
}

TEST(ReplicaExchange, WorkersMayRecordWhileItStops) {
  Node b(2, kAlone);
  Node a(1, {b.address()});
  a.exchange->start();
  std::atomic<bool> done{false};
  std::thread worker([&] {
    for (std::uint64_t i = 1; !done; ++i) {
      a.exchange->record(0, Keys{i});
      std::this_thread::yield();
    }
  });
  ASSERT_TRUE(until({&b}, [&] { return b.placements("taken") > 10; }));
  a.exchange->stop();
  const std::uint64_t held = a.history.figures().held_blocks;
  ASSERT_TRUE(until({&b}, [&] { return a.history.figures().held_blocks > held; }));
  done = true;
  worker.join();
}

}  // namespace
}  // namespace fairlead::router
