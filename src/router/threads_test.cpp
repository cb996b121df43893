// SPDX-License-Identifier: Apache-2.0
// The router with its threads: what workers and control do at the same time. Meant for the thread
// sanitizer as much as for its expectations.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "base/random.h"
#include "router/testing/fleet_fixture.h"

namespace fairlead::router {
namespace {

using model::Health;
using testing::FleetFixture;

class RouterThreadsTest : public FleetFixture {
 protected:
  // While the control thread runs, only the engines' loop is ours to turn.
  bool engines_until(const std::function<bool()>& effect) {
    return net::testing::run_until(*engine_loop_, effect);
  }
};

// What a gateway worker does to the shared state, without its sockets.
void work(Router& router, std::uint32_t number, const std::atomic<bool>& done) {
  picker::Picker picker = router.make_picker(number);
  Published<Generation>::Reader generations(router.generation());
  Published<model::PoolSnapshot>::Reader pools(router.pool());
  picker::Outbox outbox;
  std::vector<std::uint64_t> keys(8);
  Time now{};
  for (std::uint64_t i = 0; !done.load(std::memory_order_relaxed); ++i) {
    for (std::size_t k = 0; k < keys.size(); ++k) keys[k] = mix64(i % 16) + k;
    model::InferenceRequest request;
    request.model = "m";
    request.keys = keys;
    request.prompt_tokens = 2048;
    request.block_tokens = 256;
    now += std::chrono::milliseconds(1);
    outbox.clear();
    const auto generation = generations.share();
    const auto id = picker.on_request(request, pools.get(), generation->profile, now, outbox);
    bool served = false;
    if (outbox.front().kind == picker::Action::Kind::kForward) {
      picker.on_dispatched(id, request, now);
      picker.on_first_token(id, now);
      served = i % 5 != 0;
      if (!served) {
        picker.on_upstream_failed(id, model::UpstreamFailure::kServerError,
                                  picker::Replay::kImpossible, request, pools.get(),
                                  generation->profile, now, outbox);
      }
    }
    picker.on_end(id, served ? model::Outcome::kCompleted : model::Outcome::kUpstreamFailed, now);
    std::this_thread::yield();
  }
}

TEST_F(RouterThreadsTest, WorkersDecideWhileControlChangesTheFleet) {
  auto& one = add_engine();
  auto& two = add_engine();
  folder_.write("endpoints.yaml", endpoints({{"b", &two}}));
  start(endpoints({{"a", &one}}, "  ") + "  endpointsFile: " + folder_.file("endpoints.yaml") +
        "\n");
  control_->start();
  ASSERT_TRUE(engines_until([&] { return control_->ready(); }));
  std::atomic<bool> done{false};
  std::vector<std::thread> workers;
  for (std::uint32_t i = 0; i < 3; ++i) {
    workers.emplace_back([this, i, &done] { work(*router_, i, done); });
  }
  int restarts = 1000;
  for (int round = 0; round < 10; ++round) {
    one.set_load(round, 1, 0.5, ++restarts);
    const int scraped = one.asked("/metrics");
    const std::size_t size = round % 2 == 0 ? 1 : 2;
    folder_.replace("endpoints.yaml", size == 1 ? endpoints({}) : endpoints({{"b", &two}}));
    EXPECT_TRUE(engines_until([&] { return router_->pool().load()->endpoints.size() == size; }));
    EXPECT_TRUE(engines_until([&] {
      return one.asked("/metrics") > scraped || endpoint("a").health == Health::kEjected;
    }));
  }
  done = true;
  for (std::thread& worker : workers) worker.join();
  control_->stop();
  control_->stop();
  EXPECT_EQ(router_->inflight().total().requests, 0);
  EXPECT_EQ(router_->inflight().total().uncached_tokens, 0);
  EXPECT_EQ(router_->inflight().total().unstarted, 0);
  EXPECT_FALSE(exposition().empty()) << "after stop() the control is its creator's again";
}

TEST_F(RouterThreadsTest, AnObservationOfAWorkerReachesThePool) {
  auto& engine = add_engine();
  start(endpoints({{"a", &engine}}, "  "));
  control_->start();
  ASSERT_TRUE(engines_until([&] { return control_->ready(); }));
  const model::EndpointRef ref = endpoint("a").ref;
  std::thread worker([&] {
    for (int i = 0; i < 3; ++i) {
      router_->observe({ref, model::Observation::Kind::kFailure,
                        model::UpstreamFailure::kConnectRefused, Time{}});
    }
  });
  EXPECT_TRUE(engines_until([&] { return endpoint("a").health == Health::kEjected; }));
  worker.join();
}

TEST_F(RouterThreadsTest, DestructionEndsARunningControl) {
  auto& engine = add_engine();
  engine.silent_path = "/metrics";
  start(endpoints({{"a", &engine}}, "  "));
  control_->start();
  ASSERT_TRUE(engines_until([&] { return engine.asked("/metrics") > 0; }));
  control_.reset();
  EXPECT_TRUE(engines_until([&] { return engine.connections() == 0; }));
}

TEST(Router, PickersOfOneSeedAreReplayableAndWorkersDiffer) {
  NullLogSink sink;
  Log log(sink);
  config::Problems problems;
  const auto generation = build_generation("{}", "defaults", "random", problems);
  ASSERT_NE(generation, nullptr);
  model::PoolSnapshot pool;
  for (std::uint32_t i = 0; i < 64; ++i) {
    model::Endpoint endpoint;
    endpoint.ref = {i, 0};
    endpoint.name = std::to_string(i);
    endpoint.health = Health::kHealthy;
    pool.endpoints.push_back(endpoint);
  }
  const auto picks = [&](std::uint64_t seed, std::uint32_t worker) {
    MetricRegistry registry;
    Router router(generation, seed, log, registry);
    picker::Picker picker = router.make_picker(worker);
    std::vector<std::uint32_t> slots;
    for (int i = 0; i < 32; ++i) {
      picker::Outbox outbox;
      const auto id = picker.on_request({}, pool, generation->profile, Time{}, outbox);
      slots.push_back(outbox.front().endpoint.slot);
      picker.on_end(id, model::Outcome::kCompleted, Time{});
    }
    return slots;
  };
  EXPECT_EQ(picks(1, 0), picks(1, 0));
  EXPECT_NE(picks(1, 0), picks(1, 1));
  EXPECT_NE(picks(1, 0), picks(2, 0));
}

TEST(Router, PickersGetTheRetryLimitsOfTheSettings) {
  config::ServeSettings settings;
  settings.limits.retry.max_attempts = 5;
  settings.limits.retry.budget_ratio = 0.75;
  settings.limits.retry.min_per_second = 2.5;
  const picker::Limits limits = Router::picker_limits(settings);
  EXPECT_EQ(limits.max_attempts, 5U);
  EXPECT_EQ(limits.retry_ratio, 0.75);
  EXPECT_EQ(limits.retries_per_second, 2.5);
}

}  // namespace
}  // namespace fairlead::router
