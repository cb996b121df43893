// SPDX-License-Identifier: Apache-2.0
// A router that ends and starts again, over real sockets, while its engines go on, restart too, or
// its file is damaged: what it knew it knows again within a second, or it knows nothing; it is
// never wrong.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "embedded_data.h"
#include "epp_server.h"
#include "io/fleet/testing/scratch_folder.h"
#include "io/net/testing/loop_fixture.h"
#include "lab/engine/engine_thread.h"
#include "lab/engine/testing/loop_client.h"
#include "router/build.h"
#include "router/testing/captured_log.h"
#include "server.h"

namespace fairlead {
namespace {

constexpr std::size_t kEngines = 3;
constexpr int kPrompts = 9;

class RestartTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto profile = app::find_engine_profile("llama3-8b-h100");
    ASSERT_TRUE(profile.has_value());
    engine::FleetOptions options;
    options.engines = kEngines;
    options.profile = *profile;
    options.speed = 50;
    options.served_names = {"m"};
    options.kv_events_config =
        R"({"enable_kv_cache_events": true, "endpoint": "tcp://127.0.0.1:*",
            "replay_endpoint": "tcp://127.0.0.1:*"})";
    auto engines = engine::EngineThread::start(options);
    ASSERT_TRUE(engines.has_value()) << engines.error().message;
    engines_ = std::move(*engines);
  }
  void TearDown() override { server_.reset(); }

  std::string configuration(std::string_view front =
                                "gateway: {listen: [\"127.0.0.1:0\"], "
                                "adminListen: \"127.0.0.1:0\"}\n") const {
    std::string yaml = fmt::format(
        "{}restart: {{directory: {}, interval: {}}}\n"
        "policy: {}\n"
        "fleet:\n  health: {{interval: 20ms}}\n  endpoints:\n",
        front, folder_.path().string(), interval_, policy_);
    for (std::size_t i = 0; i < kEngines; ++i) {
      const engine::EventSockets& sockets = engines_->event_sockets()[i];
      yaml += fmt::format(
          "    - {{name: e{}, address: \"127.0.0.1:{}\",\n       labels: {{fairlead/kv-events: "
          "\"{}\", fairlead/kv-replay: \"{}\"}}}}\n",
          i, engines_->ports()[i], sockets.events, sockets.replay);
    }
    return yaml;
  }
  Result<std::unique_ptr<app::Server>> try_start() {
    config::Problems problems;
    auto generation = router::build_generation(configuration(), "restart", "", problems);
    if (!generation) return fail(ErrorCode::kInvalidArgument, "{}", problems.to_string());
    return app::Server::start(generation, ++seed_, log_);
  }
  Result<std::unique_ptr<app::EppServer>> start_picker() {
    config::Problems problems;
    config::GivenFlags flags;
    flags.add("pool-name", "restart");
    flags.add("secure-serving", "false");
    const std::string document = configuration(
        "epp: {listen: [\"127.0.0.1:0\"], healthListen: [\"127.0.0.1:0\"],\n"
        "      metricsListen: [\"127.0.0.1:0\"], adminListen: \"127.0.0.1:0\"}\n");
    auto plan = router::build_epp(document, "restart", flags, {}, problems);
    if (!plan) return fail(ErrorCode::kInvalidArgument, "{}", problems.to_string());
    return app::EppServer::start(plan->generation, ++seed_, log_);
  }
  void start() {
    auto server = try_start();
    ASSERT_TRUE(server.has_value()) << server.error().message;
    server_ = std::move(*server);
    ASSERT_TRUE(until([&] { return server_->ready() && all_take_traffic(); })) << kept_.text();
  }
  // One alone makes a router ready, and holds not all of what is asked for.
  bool all_take_traffic() {
    const auto pool = server_->router().pool().load();
    return std::ranges::all_of(pool->endpoints, [](const auto& endpoint) {
      return endpoint.takes_traffic() && !endpoint.models.empty();
    });
  }
  void stop() {
    server_.reset();
    client_.forget_connections();
  }
  bool until(const std::function<bool()>& condition) { return client_.wait(condition); }
  bool trusted() {
    return until([&] {
      for (std::uint32_t slot = 0; slot < kEngines; ++slot) {
        if (server_->router().listener()->trust(slot) != prefix::Trust::kTrusted) return false;
      }
      return true;
    });
  }

  // The engines' events of so many prompts, each asked once, have come and are in the index.
  bool told_of(int prompts) {
    constexpr int kBlocks = 1000 / 64;  // Of a prompt's tokens.
    return until([&] {
      return has_metric(
          fmt::format("fairlead_kv_event_blocks_total{{kind=\"stored\"}} {}\n", prompts * kBlocks));
    });
  }

  static std::string prompt(int number) {
    return std::string(4000, static_cast<char>('a' + number));
  }
  // How many of the prompt's tokens the engine says it had; -1 for any other answer.
  int ask(int number) {
    const std::string body =
        fmt::format(R"({{"model":"m","max_tokens":2,"prompt":"{}"}})", prompt(number));
    const engine::ClientReply reply =
        client_.post(server_->gateway_port(), "/v1/completions", body);
    if (reply.status != 200) return -1;
    const auto usage = nlohmann::json::parse(reply.body)["usage"];
    return usage["prompt_tokens_details"]["cached_tokens"].get<int>();
  }
  int ask_all(int from = 0, int to = kPrompts) {
    int warm = 0;
    for (int i = from; i < to; ++i) warm += ask(i) > 900 ? 1 : 0;
    return warm;
  }
  std::uint64_t expected_cached() {
    std::uint64_t tokens = 0;
    for (std::uint32_t slot = 0; slot < kEngines; ++slot) {
      tokens += server_->router().traffic().read(slot).expected_cached_tokens;
    }
    return tokens;
  }
  bool has_metric(std::string_view line) {
    return server_->router().metrics().expose().find(line) != std::string::npos;
  }
  std::string file() const { return folder_.file("restart.bin"); }

  fleet::testing::ScratchFolder folder_;
  std::string policy_ = "fairlead-exact";
  std::string interval_ = "1h";
  router::testing::CapturedLog kept_;
  Log log_{kept_, LogLevel::kDebug};
  std::uint64_t seed_ = 0;
  std::unique_ptr<engine::EngineThread> engines_;
  std::unique_ptr<net::EventLoop> loop_ = net::testing::make_loop();
  engine::LoopClient client_{*loop_};
  std::unique_ptr<app::Server> server_;
};

TEST_F(RestartTest, ARestartedRouterRoutesToTheHolderWithinASecond) {
  ASSERT_NO_FATAL_FAILURE(start());
  EXPECT_EQ(kept_.count("nothing is saved in"), 1);
  EXPECT_EQ(ask_all(), 0);
  EXPECT_EQ(ask_all(), kPrompts);
  ASSERT_TRUE(told_of(kPrompts));
  stop();
  const net::SteadyClock clock;
  const Time begun = clock.now();
  ASSERT_NO_FATAL_FAILURE(start());
  const double ready = to_seconds(clock.now() - begun);
  EXPECT_GT(ask(0), 900) << kept_.text();
  const double answered = to_seconds(clock.now() - begun);
  ASSERT_TRUE(trusted());
  const double believed = to_seconds(clock.now() - begun);
  fmt::print("ready after {:.3f} s, first warm answer {:.3f} s, index believed by {:.3f} s\n",
             ready, answered, believed);
  EXPECT_LT(answered, 1.0);
  EXPECT_EQ(ask_all(), kPrompts);
  EXPECT_EQ(kept_.count("its KV events go on where they were saved"), 3) << kept_.text();
  EXPECT_TRUE(has_metric("fairlead_restart_streams_total{result=\"continued\"} 3"));
  EXPECT_TRUE(has_metric("fairlead_restart_loads_total{result=\"ok\"} 1"));
  EXPECT_GT(expected_cached(), 9U * 900);
  const auto second = try_start();
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message.find("is in use by another process"), std::string::npos);
}

// What one front saved, the other takes up: an endpoint picker in the gateway's place, and back.
TEST_F(RestartTest, TheEndpointPickerTakesUpAndSavesTheSame) {
  ASSERT_NO_FATAL_FAILURE(start());
  EXPECT_EQ(ask_all(), 0);
  ASSERT_TRUE(told_of(kPrompts));
  stop();
  {
    auto picker = start_picker();
    ASSERT_TRUE(picker.has_value()) << picker.error().message;
    ASSERT_TRUE(until([&] { return (*picker)->ready(); })) << kept_.text();
    ASSERT_TRUE(until([&] {
      return kept_.count("its KV events go on where they were saved") == 3;
    })) << kept_.text();
    const std::string metrics = (*picker)->router().metrics().expose();
    EXPECT_NE(metrics.find("fairlead_restart_loads_total{result=\"ok\"} 1"), std::string::npos);
    std::filesystem::remove(file());
  }
  EXPECT_TRUE(std::filesystem::exists(file())) << "saved at its end";
  ASSERT_NO_FATAL_FAILURE(start());
  ASSERT_TRUE(trusted());
  EXPECT_EQ(ask_all(), kPrompts) << kept_.text();
}

TEST_F(RestartTest, RoutedHistoryAloneIsKeptToo) {
  policy_ = "fairlead";
  ASSERT_NO_FATAL_FAILURE(start());
  EXPECT_EQ(ask_all(), 0);
  stop();
  ASSERT_NO_FATAL_FAILURE(start());
  EXPECT_EQ(ask_all(), kPrompts) << kept_.text();
  EXPECT_GT(expected_cached(), 9U * 700);
}

TEST_F(RestartTest, EnginesThatRestartedMeanwhileHoldNothing) {
  ASSERT_NO_FATAL_FAILURE(start());
  EXPECT_EQ(ask_all(), 0);
  ASSERT_TRUE(told_of(kPrompts));
  stop();
  for (const std::uint16_t port : engines_->ports()) client_.post(port, "/reset", "");
  ASSERT_NO_FATAL_FAILURE(start());
  ASSERT_TRUE(until([&] { return kept_.count("do not go on where they were saved") == 3; }))
      << kept_.text();
  ASSERT_TRUE(until([&] { return kept_.count("restarted; its prefix history is forgotten") == 3; }))
      << kept_.text();
  EXPECT_EQ(ask_all(), 0);
  EXPECT_EQ(expected_cached(), 0U) << "nothing is promised that is not there";
  EXPECT_EQ(ask_all(), kPrompts) << "and what comes is learnt";
  EXPECT_TRUE(has_metric("fairlead_restart_streams_total{result=\"absent\"} 3"));
}

TEST_F(RestartTest, AfterAKillTheLastFileAndAReplayTellTheRest) {
  interval_ = "100ms";
  ASSERT_NO_FATAL_FAILURE(start());
  EXPECT_EQ(ask_all(0, 4), 0);
  ASSERT_TRUE(told_of(4));
  ASSERT_TRUE(trusted());
  // The process ends here, as far as its file knows: what follows is in no save.
  const int saves = kept_.count("for a restart in");
  ASSERT_TRUE(until([&] { return kept_.count("for a restart in") > saves + 1; }));
  std::filesystem::copy_file(file(), file() + ".kept");
  EXPECT_EQ(ask_all(4), 0);
  stop();
  std::filesystem::rename(file() + ".kept", file());
  std::ofstream(file() + ".part") << "half a save";
  ASSERT_NO_FATAL_FAILURE(start());
  ASSERT_TRUE(trusted());
  EXPECT_EQ(ask_all(), kPrompts);
  EXPECT_EQ(kept_.count("its KV events go on where they were saved"), 3) << kept_.text();
  ASSERT_TRUE(until([&] { return has_metric("fairlead_restart_saves_total{result=\"ok\"}"); }));
}

TEST_F(RestartTest, ADamagedFileIsNamedAndNothingOfItIsUsed) {
  ASSERT_NO_FATAL_FAILURE(start());
  EXPECT_EQ(ask_all(), 0);
  stop();
  std::string good;
  {
    std::ifstream from(file(), std::ios::binary);
    good.assign(std::istreambuf_iterator<char>(from), {});
  }
  ASSERT_GT(good.size(), 500U);
  std::string flipped = good;
  flipped[good.size() / 2] = static_cast<char>(flipped[good.size() / 2] ^ 1);
  const std::pair<std::string, std::string_view> damaged[] = {
      {flipped, ": a record is not what was written"},
      {good.substr(0, good.size() / 2), ": the file ends in a record"},
      {"", ": the file ends in its head"},
      {"something else", "byte 0: this is no file of a router's restart"}};
  for (const auto& [bytes, says] : damaged) {
    std::ofstream(file(), std::ios::binary | std::ios::trunc) << bytes;
    const int before = kept_.count("starting without what was saved: " + file());
    ASSERT_NO_FATAL_FAILURE(start());
    EXPECT_EQ(kept_.count("starting without what was saved: " + file()), before + 1);
    EXPECT_EQ(kept_.count(says), 1) << kept_.text();
    EXPECT_TRUE(has_metric("fairlead_restart_loads_total{result=\"refused\"} 1"));
    EXPECT_NE(ask(0), -1);
    stop();
  }
}

}  // namespace
}  // namespace fairlead
