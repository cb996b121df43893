// SPDX-License-Identifier: Apache-2.0
#include "router/replica_exchange.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "io/net/steady_clock.h"
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
                                         .resolver = resolver});
    EXPECT_TRUE(made) << made.error().message;
    exchange = std::move(*made);
    exchange->set_pool(pool_of({"a", "b"}));
  }
  std::string address() const {
    return exchange->bound_endpoint().substr(std::string_view("tcp://").size());
  }
  std::uint16_t port() const {
    const std::string text = address();
    return static_cast<std::uint16_t>(std::stoul(text.substr(text.rfind(':') + 1)));
  }
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

bool until_linked(Node& from, Node& to) {
  return until({&from, &to}, [&] { return to.figure("fairlead_replicas") == 1; });
}

TEST(ReplicaExchange, WhatOneSendsTheOtherKnows) {
  Node a(1, {std::string(kNobody)});
  Node b(2, {a.address()});
  ASSERT_TRUE(until_linked(a, b));
  const Keys keys{1, 2, 3, 4};
  a.exchange->record(1, keys);
  EXPECT_EQ(a.held(1, keys), 4U) << "at once, where it was sent";
  ASSERT_TRUE(until({&a, &b}, [&] { return b.held(1, keys) == 4; }));
  EXPECT_EQ(b.held(0, keys), 0U);
  EXPECT_EQ(b.placements("taken"), 1);
  EXPECT_EQ(a.placements("sent"), 1);
  EXPECT_EQ(a.placements("taken"), 0) << "it hears nobody";
  EXPECT_TRUE(b.sink.has("1 other routers tell what they send where"));
}

TEST(ReplicaExchange, EndpointsAreToldByNameNotByPlace) {
  Node a(1, {std::string(kNobody)});
  Node b(2, {a.address()});
  b.exchange->set_pool(pool_of({"b", "c"}));
  ASSERT_TRUE(until_linked(a, b));
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
}

TEST(ReplicaExchange, WhatItHearsItDoesNotTellOn) {
  Node a(1, {std::string(kNobody)});
  Node b(2, {a.address()});
  Node c(3, {b.address()});
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
  Node first(1, {std::string(kNobody)});
  // Where the first one was, so that it can name itself.
  const std::uint16_t port = first.port();
  first.exchange.reset();
  Node self(2, {fmt::format("127.0.0.1:{}", port)}, "127.0.0.1", port);
  ASSERT_TRUE(until({&self}, [&] { return self.batches("own") >= 1; }));
  EXPECT_EQ(self.figure("fairlead_replicas"), 0);
  EXPECT_EQ(self.figure("fairlead_replica_connections"), 1);
}

TEST(ReplicaExchange, AnotherSecretIsRefusedWithAWordOfAdvice) {
  Node a(1, {std::string(kNobody)}, "127.0.0.1", 0, "another secret text");
  Node b(2, {a.address()});
  a.exchange->record(0, Keys{1});
  ASSERT_TRUE(until(
      {&a, &b}, [&] { return b.batches("unsealed") >= 2 && b.sink.has("have another secret"); }));
  EXPECT_EQ(b.held(0, Keys{1}), 0U);
  EXPECT_EQ(b.figure("fairlead_replicas"), 0);
  ASSERT_TRUE(until({&a, &b}, [&] { return b.batches("unsealed") >= 4; }));
  EXPECT_EQ(b.sink.count("have another secret"), 1) << "not every second";
}

TEST(ReplicaExchange, BlocksOfAnotherSizeAreNotTaken) {
  Node a(1, {std::string(kNobody)}, "127.0.0.1", 0, kSecret, {}, 512);
  Node b(2, {a.address()});
  ASSERT_TRUE(until({&a, &b}, [&] { return b.sink.has("have another prefix.blockBytes"); }));
  EXPECT_GT(b.batches("other_blocks"), 0);
}

TEST(ReplicaExchange, OneThatComesBackIsHeardAgain) {
  auto a = std::make_unique<Node>(1, std::vector<std::string>{std::string(kNobody)});
  Node b(2, {a->address()});
  ASSERT_TRUE(until_linked(*a, b));
  const std::uint16_t port = a->port();
  a.reset();
  ASSERT_TRUE(until({&b}, [&] { return b.figure("fairlead_replica_connections") == 0; }));
  ASSERT_TRUE(until({&b}, [&] { return b.figure("fairlead_replicas") == 0; }));
  EXPECT_TRUE(b.sink.has("0 other routers tell"));
  // Another process: its numbers begin anew, under a name of its own.
  Node again(3, {std::string(kNobody)}, "127.0.0.1", port);
  ASSERT_TRUE(until_linked(again, b));
  again.exchange->record(0, Keys{5});
  ASSERT_TRUE(until({&again, &b}, [&] { return b.held(0, Keys{5}) == 1; }));
  EXPECT_EQ(b.batches("repeated"), 0);
}

TEST(ReplicaExchange, ANameStandsForAllItsAddressesAndIsAskedForAgain) {
  Node a(1, {std::string(kNobody)}, "127.0.0.2");
  Node b(2, {std::string(kNobody)}, "127.0.0.3", a.port());
  const auto dns_loop = net::testing::make_loop();
  net::testing::FakeDns dns(*dns_loop);
  dns.names["routers.test"] = {"127.0.0.2"};
  Node c(3, {fmt::format("routers.test:{}", a.port())}, "127.0.0.1", 0, kSecret,
         {.servers = dns.server()});
  const auto turn = [&](const std::function<bool()>& effect) {
    return until({&a, &b, &c}, [&] {
      dns_loop->run_turn(Duration{});
      return effect();
    });
  };
  ASSERT_TRUE(turn([&] { return c.figure("fairlead_replicas") == 1; }));
  dns.names["routers.test"] = {"127.0.0.2", "127.0.0.3"};
  ASSERT_TRUE(turn([&] { return c.figure("fairlead_replicas") == 2; }));
  dns.names["routers.test"] = {"127.0.0.3"};
  ASSERT_TRUE(turn([&] { return c.figure("fairlead_replica_connections") == 1; }));
  // A name server that fails is no reason to part.
  dns.mood = net::testing::FakeDns::Mood::kServerFailure;
  ASSERT_TRUE(turn([&] { return c.sink.has("replicas.addresses: routers.test: "); }));
  b.exchange->record(1, Keys{6});
  ASSERT_TRUE(turn([&] { return c.held(1, Keys{6}) == 1; }));
}

TEST(ReplicaExchange, WhatHasNoRoomIsDroppedAndCounted) {
  Node a(1, {std::string(kNobody)});
  const Keys keys(replication::kPlacementKeysMax, 1);  // Half a megabyte.
  for (int i = 0; i < 3; ++i) a.exchange->record(0, keys);
  EXPECT_EQ(a.placements("dropped"), 2);
  ASSERT_TRUE(until({&a}, [&] { return a.placements("sent") == 1; }));
  a.exchange->record(0, Keys{1});
  ASSERT_TRUE(until({&a}, [&] { return a.placements("sent") == 2; }));
}

TEST(ReplicaExchange, AnAddressThatIsTakenIsAnErrorWithItsName) {
  Node a(1, {std::string(kNobody)});
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
  Node a(1, {std::string(kNobody)});
  Node b(2, {a.address()});
  ASSERT_TRUE(until_linked(a, b));
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

}  // namespace
}  // namespace fairlead::router
