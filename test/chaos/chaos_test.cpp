// SPDX-License-Identifier: Apache-2.0
// Chaos: the whole router over real sockets while its engines are killed, stalled, restarted and
// cut off in the middle of answers. Whatever happens, every request is answered or ended by a typed
// error, exactly once, and nothing is left in flight.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "embedded_data.h"
#include "io/net/testing/loop_fixture.h"
#include "lab/engine/engine_thread.h"
#include "lab/load/load_run.h"
#include "lab/load/model/synthetic.h"
#include "router/build.h"
#include "server.h"

namespace fairlead {
namespace {

constexpr std::size_t kEngines = 4;

class Chaos : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/fairlead-chaos-XXXXXX";
    ::close(::mkstemp(name));
    access_log_ = name;
    auto profile = app::find_engine_profile("llama3-8b-h100");
    ASSERT_TRUE(profile.has_value());
    engine::FleetOptions options;
    options.engines = kEngines;
    options.profile = *profile;
    options.speed = 10;
    auto engines = engine::EngineThread::start(options);
    ASSERT_TRUE(engines.has_value()) << engines.error().message;
    engines_ = std::move(*engines);
    start_server();
    ASSERT_TRUE(net::testing::run_until(*loop_, [&] { return server_->ready(); }));
  }
  void TearDown() override {
    server_.reset();
    engines_.reset();
    std::remove(access_log_.c_str());
  }

  // Of the shipped `policy`, over the first `endpoints` engines.
  std::string configuration(std::string_view policy, std::size_t endpoints) const {
    std::string yaml = fmt::format(
        "gateway: {{listen: [\"127.0.0.1:0\"], adminListen: \"127.0.0.1:0\", workers: 2,\n"
        "          accessLog: {}}}\n"
        "limits: {{upstreamConnect: 500ms, upstreamFirstByte: 3s, upstreamIdle: 1s}}\n"
        "fleet:\n"
        "  health: {{interval: 50ms, timeout: 300ms, eject: 200ms, returnRamp: 200ms}}\n"
        "  endpoints:\n",
        access_log_);
    for (std::size_t i = 0; i < endpoints; ++i) {
      yaml +=
          fmt::format("    - {{name: e{}, address: \"127.0.0.1:{}\"}}\n", i, engines_->ports()[i]);
    }
    return yaml + fmt::format("policy: {}\n", policy);
  }
  static Result<std::shared_ptr<const router::Generation>> generation_of(const std::string& yaml) {
    config::Problems problems;
    auto generation = router::build_generation(yaml, "chaos", "", problems);
    if (!generation) return fail(ErrorCode::kInvalidArgument, "{}", problems.to_string());
    return generation;
  }

  void start_server() {
    const auto first = generation_of(configuration("fairlead", kEngines));
    ASSERT_TRUE(first) << first.error().message;
    auto server = app::Server::start(*first, 1, log_, {"", [this] {
                                                         const std::lock_guard lock(next_mutex_);
                                                         return generation_of(next_configuration_);
                                                       }});
    ASSERT_TRUE(server.has_value()) << server.error().message;
    server_ = std::move(*server);
  }

  void inject(std::size_t engine, std::string_view fault) {
    const auto parsed = engine::parse_fault_json(fault);
    ASSERT_TRUE(parsed.has_value()) << parsed.error().message;
    engines_->run([&](engine::EngineFleet& fleet) { fleet.engine(engine).set_fault(*parsed); });
  }

  static load::Workload workload(double rate, double seconds) {
    load::SyntheticSettings settings;
    settings.prompts = load::SharedPrefixPrompts{.groups = 20,
                                                 .prompts_per_group = 3,
                                                 .system_tokens = 600,
                                                 .question_tokens = 100,
                                                 .output_tokens = 40};
    settings.loop = load::OpenLoop{.arrivals = load::Arrivals::kPoisson,
                                   .stages = {{rate, from_seconds(seconds)}},
                                   .pause = {}};
    return *load::plan_synthetic(settings);
  }

  load::LoadResult send(const load::Workload& workload, const load::ProgressSink& on_progress) {
    load::LoadSettings settings;
    settings.target.address = net::SocketAddress::loopback(server_->gateway_port());
    settings.target.host = "127.0.0.1";
    settings.request_timeout = std::chrono::seconds(20);
    settings.progress_interval = std::chrono::milliseconds(100);
    // The generator shares two cores with everything else here; only the outcomes matter.
    settings.lag_max = std::chrono::minutes(1);
    auto result = load::run_load(*loop_, workload, settings, on_progress);
    EXPECT_TRUE(result.has_value()) << result.error().message;
    return std::move(*result);
  }

  // Requests end at the client a moment before the gateway has put its books in order.
  void expect_nothing_in_flight() {
    EXPECT_TRUE(net::testing::run_until(*loop_, [&] {
      const fleet::InFlight left = server_->router().inflight().total();
      return left.requests == 0 && left.uncached_tokens == 0 && left.unstarted == 0;
    }));
  }

  std::size_t access_lines() {
    server_.reset();  // Flushes the log.
    std::ifstream file(access_log_);
    std::size_t lines = 0;
    for (std::string line; std::getline(file, line);) {
      if (line.find("\"chat") != std::string::npos || line.find("/v1/chat") != std::string::npos) {
        ++lines;
      }
    }
    return lines;
  }

  void reload(std::string yaml) {
    {
      const std::lock_guard lock(next_mutex_);
      next_configuration_ = std::move(yaml);
    }
    server_->reload();
  }

  std::mutex next_mutex_;
  std::string next_configuration_;
  NullLogSink sink_;
  Log log_{sink_, LogLevel::kError};
  std::string access_log_;
  std::unique_ptr<net::EventLoop> loop_ = net::testing::make_loop();
  std::unique_ptr<engine::EngineThread> engines_;
  std::unique_ptr<app::Server> server_;
};

std::map<std::string, int> outcomes(const load::LoadResult& result) {
  std::map<std::string, int> counts;
  for (const load::RequestRecord& record : result.records.requests) {
    const bool ok = record.outcome == load::Outcome::kOk;
    ++counts[ok ? "ok" : load::failure_label(record)];
  }
  return counts;
}

TEST_F(Chaos, WithoutFaultsEveryRequestSucceeds) {
  const load::Workload calm = workload(80, 1.5);
  const load::LoadResult result = send(calm, [](const load::LoadProgress&) {});
  EXPECT_EQ(result.summary.overall.failed, 0U) << ::testing::PrintToString(outcomes(result));
  expect_nothing_in_flight();
  EXPECT_EQ(access_lines(), calm.requests.size());
}

TEST_F(Chaos, AHundredReloadsFailNoRequest) {
  const load::Workload calm = workload(80, 3);
  const std::vector<std::string> variants = {
      configuration("blend", kEngines),
      configuration("fairlead", kEngines - 1),
      "policy: no such policy",
      configuration("fairlead", kEngines) + "prefix: {blockBytes: 2Ki}\n",
      configuration("fairlead", kEngines) + "prefix: {bytesPerEndpoint: 1Mi}\n",
      configuration("round-robin", kEngines)};
  std::size_t reloads = 0;
  const load::LoadResult result = send(calm, [&](const load::LoadProgress&) {
    for (int i = 0; i < 5 && reloads < 20 * variants.size(); ++i) {
      reload(variants[reloads++ % variants.size()]);
    }
  });
  EXPECT_EQ(result.summary.overall.failed, 0U) << ::testing::PrintToString(outcomes(result));
  EXPECT_GE(reloads, 100U);
  const auto counted = [&](std::string_view series) {
    const std::string text = server_->router().metrics().expose();
    return std::strtoull(text.c_str() + text.find(series) + series.size(), nullptr, 10);
  };
  // Two reloads in a row may read the same configuration, so which of them are refused may vary.
  EXPECT_TRUE(net::testing::run_until(*loop_, [&] {
    return counted("\nfairlead_config_reloads_total{result=\"ok\"} ") +
               counted("\nfairlead_config_reloads_total{result=\"failed\"} ") ==
           reloads;
  }));
  EXPECT_GT(counted("\nfairlead_config_reloads_total{result=\"failed\"} "), 0U);
  expect_nothing_in_flight();
  EXPECT_EQ(access_lines(), calm.requests.size());
}

TEST_F(Chaos, EveryRequestEndsOnceUnderEveryFault) {
  const std::vector<std::pair<std::size_t, std::string>> script = {
      {0, R"({"kind": "crash", "duration_s": 0.4})"},
      {1, R"({"kind": "stall", "duration_s": 1.5})"},
      {2, R"({"kind": "abort_mid_stream", "probability": 0.5, "count": 15})"},
      {3, R"({"kind": "error_500", "probability": 0.5, "count": 10})"},
      {0, R"({"kind": "partial_write", "events": 2, "count": 3})"},
      {3, R"({"kind": "refuse", "duration_s": 0.5})"},
      {1, R"({"kind": "error_503", "probability": 0.7, "count": 20})"},
      {2, R"({"kind": "crash", "duration_s": 0.2})"},
      {0, R"({"kind": "delay_first_byte", "duration_s": 0.3, "count": 10})"},
      {3, R"({"kind": "lying_metrics", "waiting": 500, "running": 0, "kv_usage": 1})"},
      {2, R"({"kind": "slow_start", "duration_s": 0.3})"}};
  std::size_t next = 0;
  const load::Workload storm = workload(120, 5);
  const load::LoadResult result = send(storm, [&](const load::LoadProgress& progress) {
    // One fault every 0.3 s.
    if (next < script.size() && progress.elapsed_s > 0.3 * static_cast<double>(next + 1)) {
      inject(script[next].first, script[next].second);
      ++next;
    }
  });
  EXPECT_EQ(next, script.size());
  const auto counts = outcomes(result);
  SCOPED_TRACE(::testing::PrintToString(counts));
  // A request that the client gave up on was never ended by us.
  for (const load::RequestRecord& record : result.records.requests) {
    EXPECT_NE(record.outcome, load::Outcome::kTimedOut);
    EXPECT_NE(record.outcome, load::Outcome::kCancelled);
    EXPECT_NE(record.outcome, load::Outcome::kConnectFailed);
  }
  // Failures before the first byte are retried, so most requests get through.
  EXPECT_GT(counts.at("ok"), static_cast<int>(storm.requests.size()) * 8 / 10);
  EXPECT_LT(counts.at("ok"), static_cast<int>(storm.requests.size()));
  expect_nothing_in_flight();

  // The fleet heals: the same load without faults succeeds again.
  // Faults that count their hits may have some left.
  engines_->run([](engine::EngineFleet& fleet) {
    for (std::size_t i = 0; i < kEngines; ++i) {
      for (std::size_t kind = 0; kind < engine::kFaultKindCount; ++kind) {
        fleet.engine(i).clear_fault(static_cast<engine::FaultKind>(kind));
      }
    }
  });
  ASSERT_TRUE(net::testing::run_until(*loop_, [&] {
    const auto pool = server_->router().pool().load();
    for (const model::Endpoint& endpoint : pool->endpoints) {
      if (endpoint.health != model::Health::kHealthy) return false;
    }
    return true;
  }));
  const load::Workload calm = workload(60, 1);
  const load::LoadResult after = send(calm, [](const load::LoadProgress&) {});
  EXPECT_EQ(after.summary.overall.failed, 0U) << ::testing::PrintToString(outcomes(after));
  expect_nothing_in_flight();
  EXPECT_EQ(access_lines(), storm.requests.size() + calm.requests.size());
}

TEST_F(Chaos, WithAllEnginesGoneRequestsAreRefusedAtOnceWithAReason) {
  for (std::size_t i = 0; i < kEngines; ++i) {
    inject(i, R"({"kind": "crash", "duration_s": 30})");
  }
  const load::Workload lost = workload(60, 1);
  const load::LoadResult result = send(lost, [](const load::LoadProgress&) {});
  for (const load::RequestRecord& record : result.records.requests) {
    EXPECT_EQ(record.outcome, load::Outcome::kHttpError);
    EXPECT_TRUE(record.status == 502 || record.status == 503 || record.status == 504)
        << record.status;
  }
  expect_nothing_in_flight();
  EXPECT_EQ(access_lines(), lost.requests.size());
}

}  // namespace
}  // namespace fairlead
