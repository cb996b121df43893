// SPDX-License-Identifier: Apache-2.0
#include "lab/load/load_run.h"

#include <gtest/gtest.h>

#include <deque>
#include <nlohmann/json.hpp>

#include "io/net/http1_server.h"
#include "io/net/testing/loop_fixture.h"
#include "lab/load/model/synthetic.h"

namespace fairlead::load {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

enum class Behaviour { kAnswer, kStatus503, kErrorEvent, kAbort, kNoDone, kNoText, kSilent };

// An OpenAI-like server in the test's own loop: it sends `events` of text, one every `interval`.
class FakeServer final : private net::RequestHandler {
 public:
  explicit FakeServer(net::EventLoop& loop) : loop_(loop), server_(loop, *this, {}) {
    const auto listening =
        server_.listen(net::SocketAddress::loopback(0), net::PortSharing::kExclusive);
    FAIRLEAD_ASSERT(listening.has_value());
  }

  std::string url() const { return "http://127.0.0.1:" + std::to_string(server_.local_port()); }

  Behaviour behaviour = Behaviour::kAnswer;
  int events = 3;
  int tokens = 24;
  Duration interval{};
  int status_of_models = 200;
  std::vector<std::string> endpoints;  // Named in turn in the header; none when empty.
  std::vector<nlohmann::json> bodies;
  std::vector<std::string> paths;
  std::string authorization;
  std::size_t running_max = 0;

 private:
  struct Answer final : net::ExchangeObserver {
    Answer(net::EventLoop& loop, FakeServer& server, net::ServerExchange& exchange)
        : owner(server), to(&exchange), timer(loop, [this] { owner.advance(*this); }) {}
    void on_client_gone() override {
      to = nullptr;
      timer.cancel();
      --owner.running_;
    }
    FakeServer& owner;
    net::ServerExchange* to;
    net::Timer timer;
    int sent = 0;
  };

  void on_request(net::ServerExchange& exchange) override {
    if (exchange.head().method == "GET") {
      return exchange.send_response(status_of_models, {}, R"({"data":[{"id":"listed-model"}]})");
    }
    paths.emplace_back(exchange.head().target);
    for (const codec::Http1Header& header : exchange.head().headers) {
      if (header.name == "authorization") authorization = header.value;
    }
    bodies.push_back(nlohmann::json::parse(exchange.body(), nullptr, false));
    if (behaviour == Behaviour::kStatus503) return exchange.send_response(503, {}, "{}");
    running_max = std::max(running_max, ++running_);
    Answer& answer = answers_.emplace_back(loop_, *this, exchange);
    exchange.set_observer(&answer);
    if (behaviour == Behaviour::kSilent) return;
    std::vector<codec::Http1Header> headers = {{"content-type", "text/event-stream"}};
    if (!endpoints.empty()) {
      headers.push_back({"X-Fairlead-Endpoint", endpoints[bodies.size() % endpoints.size()]});
    }
    exchange.start(200, headers, {.kind = codec::BodyKind::kChunked});
    exchange.write_chunk("data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n");
    answer.timer.arm(interval);
  }

  void advance(Answer& answer) {
    if (behaviour != Behaviour::kNoText && answer.sent < events) {
      ++answer.sent;
      if (behaviour == Behaviour::kAbort && answer.sent == 2) {
        --running_;
        return answer.to->abort();
      }
      answer.to->write_chunk("data: {\"choices\":[{\"delta\":{\"content\":\"ba ra\"}}]}\n\n");
      return answer.timer.arm(interval);
    }
    if (behaviour == Behaviour::kErrorEvent) {
      answer.to->write_chunk("data: {\"error\":{\"message\":\"out of memory\"}}\n\n");
    }
    answer.to->write_chunk(
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":111,\"completion_tokens\":" +
        std::to_string(tokens) + ",\"prompt_tokens_details\":{\"cached_tokens\":64}}}\n\n");
    if (behaviour != Behaviour::kNoDone) answer.to->write_chunk("data: [DONE]\n\n");
    --running_;
    answer.to->finish();
  }

  net::EventLoop& loop_;
  std::deque<Answer> answers_;
  net::Http1Server server_;
  std::size_t running_ = 0;
};

class LoadRunTest : public testing::Test {
 protected:
  LoadSettings settings() const {
    LoadSettings settings;
    settings.target = parse_target(server.url()).value();
    return settings;
  }

  static Workload constant(double rate, Duration length) {
    SyntheticSettings synthetic;
    synthetic.prompts = UniquePrompts{100, 24};
    synthetic.loop = OpenLoop{Arrivals::kConstant, {{rate, length, StageKind::kMeasured}}, {}};
    return plan_synthetic(synthetic).value();
  }

  std::unique_ptr<net::EventLoop> loop = net::testing::make_loop();
  FakeServer server{*loop};
};

TEST_F(LoadRunTest, RecordsWhatTheServerSent) {
  server.endpoints = {"engine-2", "engine-10"};  // The second answers first.
  server.interval = milliseconds(5);
  const Workload workload = constant(100, milliseconds(200));
  const auto result = run_load(*loop, workload, settings(), {});
  ASSERT_TRUE(result.has_value()) << result.error().message;
  const Section& all = result->summary.overall;
  EXPECT_EQ(all.succeeded, 20u);
  EXPECT_EQ(all.failed, 0u);
  EXPECT_EQ(all.output_tokens.min, 24);
  EXPECT_EQ(all.prompt_tokens.max, 111);
  EXPECT_NEAR(all.hit_rate, 64.0 / 111, 1e-9);
  EXPECT_GE(all.ttft.min, 0.005);
  EXPECT_GE(all.request_latency.min, 0.020);
  EXPECT_GT(all.token_interval.p50(), 0.0003);  // 5 ms a chunk of 8.
  EXPECT_FALSE(result->interrupted);
  const std::vector<std::string> names = {"engine-2", "engine-10"};
  EXPECT_EQ(result->records.endpoints, names);
  EXPECT_EQ(result->summary.endpoints[0].requests, 10u);
  EXPECT_EQ(result->summary.endpoints[1].requests, 10u);
  EXPECT_EQ(result->records.endpoints[result->records.requests[0].endpoint], "engine-10");
}

TEST_F(LoadRunTest, SendsThePlannedPromptToTheListedModel) {
  LoadSettings with_key = settings();
  with_key.api_key = "secret";
  const Workload workload = constant(100, milliseconds(20));
  ASSERT_TRUE(run_load(*loop, workload, with_key, {}).has_value());
  ASSERT_EQ(server.bodies.size(), 2u);
  std::string text;
  append_prompt_text(workload.prompt(workload.requests[0]), text);
  const nlohmann::json& body = server.bodies[0];
  EXPECT_EQ(body["messages"][0]["content"], text);
  EXPECT_EQ(body["messages"][0]["role"], "user");
  EXPECT_EQ(body["model"], "listed-model");
  EXPECT_EQ(body["max_tokens"], 24);
  EXPECT_EQ(body["stream"], true);
  EXPECT_EQ(body["ignore_eos"], true);
  EXPECT_EQ(body["stream_options"]["include_usage"], true);
  EXPECT_EQ(server.paths[0], "/v1/chat/completions");
  EXPECT_EQ(server.authorization, "Bearer secret");
}

TEST_F(LoadRunTest, CompletionsPutThePromptAside) {
  LoadSettings completions = settings();
  completions.api = Api::kCompletions;
  completions.model = "a \"quoted\" model";
  ASSERT_TRUE(run_load(*loop, constant(100, milliseconds(10)), completions, {}).has_value());
  ASSERT_EQ(server.bodies.size(), 1u);
  EXPECT_EQ(server.bodies[0]["prompt"].get<std::string>().size(), 400u);
  EXPECT_EQ(server.bodies[0]["model"], "a \"quoted\" model");
  EXPECT_EQ(server.paths[0], "/v1/completions");
}

TEST_F(LoadRunTest, EveryKindOfFailureHasItsLabel) {
  const std::pair<Behaviour, std::string> cases[] = {
      {Behaviour::kStatus503, "http_503"},  {Behaviour::kErrorEvent, "error_event"},
      {Behaviour::kAbort, "stream_broken"}, {Behaviour::kNoDone, "stream_broken"},
      {Behaviour::kNoText, "malformed"},    {Behaviour::kSilent, "timed_out"}};
  for (const auto& [behaviour, label] : cases) {
    server.behaviour = behaviour;
    LoadSettings impatient = settings();
    if (behaviour == Behaviour::kSilent) impatient.request_timeout = milliseconds(100);
    const auto result = run_load(*loop, constant(200, milliseconds(20)), impatient, {});
    ASSERT_TRUE(result.has_value());
    const Section& all = result->summary.overall;
    EXPECT_EQ(all.sent, 4u) << label;
    EXPECT_EQ(all.succeeded, 0u) << label;
    ASSERT_EQ(all.failures.size(), 1u) << label;
    EXPECT_EQ(all.failures[0].first, label);
  }
}

TEST_F(LoadRunTest, AClosedLoopKeepsItsConcurrency) {
  server.interval = milliseconds(1);
  SyntheticSettings synthetic;
  synthetic.prompts = UniquePrompts{10, 24};
  synthetic.loop = ClosedLoop{5, 60, {}};
  const Workload workload = plan_synthetic(synthetic).value();
  const auto result = run_load(*loop, workload, settings(), {});
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->summary.overall.succeeded, 60u);
  EXPECT_EQ(server.running_max, 5u);
}

TEST_F(LoadRunTest, WaitingForAConnectionShowsAndSpoilsTheRun) {
  server.interval = milliseconds(10);
  LoadSettings narrow = settings();
  narrow.connections_max = 1;
  const auto result = run_load(*loop, constant(500, milliseconds(20)), narrow, {});
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(server.running_max, 1u);
  EXPECT_EQ(result->summary.overall.succeeded, 10u);
  EXPECT_GT(result->lag.schedule_p50_s, 0.1);
  ASSERT_TRUE(result->spoilt.has_value());
  EXPECT_NE(result->spoilt->find("half of the requests left late by more than"), std::string::npos);
}

TEST_F(LoadRunTest, SpeedCompressesTheScheduleAndStretchesTheFigures) {
  server.interval = milliseconds(4);
  LoadSettings fast = settings();
  fast.speed = 20;
  const net::SteadyClock clock;
  const Time before = clock.now();
  const auto result = run_load(*loop, constant(5, seconds(4)), fast, {});
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->summary.overall.succeeded, 20u);
  EXPECT_GE(clock.now() - before, milliseconds(190));
  EXPECT_GE(result->summary.overall.ttft.min, 0.08);  // 4 ms of wall time.
  EXPECT_GE(result->summary.overall.benchmark_s, 3.8);
}

TEST_F(LoadRunTest, StoppingTheLoopEndsTheRunWithWhatThereIs) {
  server.behaviour = Behaviour::kSilent;
  net::Timer stop(*loop, [this] { loop->stop(); });
  stop.arm(milliseconds(150));
  const auto result = run_load(*loop, constant(100, seconds(30)), settings(), {});
  ASSERT_TRUE(result.has_value());
  EXPECT_TRUE(result->interrupted);
  const Section& all = result->summary.overall;
  EXPECT_GT(all.sent, 2u);
  EXPECT_LT(all.sent, 1000u);
  ASSERT_EQ(all.failures.size(), 1u);
  EXPECT_EQ(all.failures[0].first, "cancelled");
  EXPECT_GT(all.benchmark_s, 0.05);
}

TEST_F(LoadRunTest, ProgressTellsHowFarItIs) {
  server.interval = milliseconds(5);
  LoadSettings often = settings();
  often.progress_interval = milliseconds(20);
  std::vector<LoadProgress> seen;
  const Workload workload = constant(100, milliseconds(200));
  const auto result = run_load(*loop, workload, often,
                               [&seen](const LoadProgress& progress) { seen.push_back(progress); });
  ASSERT_TRUE(result.has_value());
  ASSERT_GE(seen.size(), 3u);
  EXPECT_EQ(seen.back().succeeded, 20u);
  EXPECT_EQ(seen.back().in_flight, 0u);
  EXPECT_EQ(seen.back().planned, 20u);
  std::uint64_t last = 0;
  for (const LoadProgress& progress : seen) {
    EXPECT_GE(progress.sent, last);
    last = progress.sent;
  }
}

TEST_F(LoadRunTest, AnUnreachableOrModellessServerIsAnError) {
  LoadSettings nobody = settings();
  {
    FakeServer gone(*loop);
    nobody.target = parse_target(gone.url()).value();
  }
  const Workload workload = constant(100, milliseconds(20));
  const auto refused = run_load(*loop, workload, nobody, {});
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().message.find("cannot put 127.0.0.1:"), std::string::npos);
  EXPECT_NE(refused.error().message.find("refused"), std::string::npos);
  server.status_of_models = 404;
  const auto unnamed = run_load(*loop, workload, settings(), {});
  ASSERT_FALSE(unnamed.has_value());
  EXPECT_NE(unnamed.error().message.find("/v1/models answered 404; name the model"),
            std::string::npos);
  LoadSettings stopped = settings();
  stopped.speed = 0;
  EXPECT_FALSE(run_load(*loop, workload, stopped, {}).has_value());
}

TEST(ProgressLine, ReadsAsASentence) {
  LoadProgress progress;
  progress.elapsed_s = 12.4;
  progress.stage = "replay";
  progress.planned = 2040;
  progress.sent = 340;
  progress.in_flight = 18;
  progress.ttft_p50 = 0.42;
  progress.output_tokens_per_s = 5120;
  EXPECT_EQ(progress_line(progress),
            "   12 s  replay  340 of 2,040 sent, 18 running, 0 failed  TTFT p50 0.420 s  "
            "5,120 tokens/s");
}

}  // namespace
}  // namespace fairlead::load
