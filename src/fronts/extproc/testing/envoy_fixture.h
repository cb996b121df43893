// SPDX-License-Identifier: Apache-2.0
// ExtProcTest: one ext_proc worker and a scripted Envoy on a real loopback socket, on one event
// loop in one thread, so that a test decides what happens next and waits for effects with a
// deadline. Every test ends with the check that nothing is left in flight.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/codec/ext_proc_envoy.h"
#include "fronts/extproc/extproc_worker.h"
#include "io/net/tcp_listener.h"
#include "io/net/testing/grpc_fixture.h"
#include "router/build.h"

namespace fairlead::extproc {

namespace envoy = codec::envoy;
using codec::ProcessingPhase;
using envoy::EnvoyMessage;
using envoy::EnvoyReply;
using envoy::ReplyKind;

inline constexpr codec::ProtocolConfiguration kFullDuplex{codec::BodySendMode::kFullDuplexStreamed,
                                                          codec::BodySendMode::kFullDuplexStreamed};

inline std::string chat_body(std::string_view content = "hello", std::string_view more = "") {
  return fmt::format(R"({{"model":"m","messages":[{{"role":"user","content":"{}"}}]{}}})", content,
                     more);
}

class ExtProcTest : public ::testing::Test {
 protected:
  ExtProcTest() : log_(sink_), loop_(net::testing::make_loop()) {}

  ~ExtProcTest() override {
    client_.reset();
    if (worker_) {
      EXPECT_TRUE(until([&] { return worker_->streams_running() == 0; }));
      EXPECT_EQ(worker_->picker().live(), 0U);
      EXPECT_EQ(metric("fairlead_requests_in_flight"), 0);
      EXPECT_EQ(metric("fairlead_extproc_streams"), 0);
      const fleet::InFlight left = router_->inflight().total();
      EXPECT_EQ(left.requests, 0);
      EXPECT_EQ(left.uncached_tokens, 0);
      EXPECT_EQ(left.unstarted, 0);
    }
    listener_.reset();
    worker_.reset();
  }

  std::shared_ptr<router::Generation> build(std::string_view yaml) {
    config::Problems problems;
    const auto names = config::epp_flag_names();
    std::vector<std::string_view> words = flags_;
    words.push_back("--pool-name=p");
    const auto flags = config::parse_go_flags(words, names, problems);
    const std::string text =
        std::string(yaml) + "\nfleet: {endpoints: [{address: '10.0.0.1:8000'}]}\n";
    auto plan = router::build_epp(text, "test.yaml", flags, {}, problems);
    EXPECT_TRUE(plan.has_value()) << problems.to_string();
    return plan ? plan->generation : nullptr;
  }

  // `yaml` as in the configuration file; endpoints 10.0.0.1, 10.0.0.2 and so on, port 8000.
  void start(std::string_view yaml = "", std::uint32_t endpoints = 3) {
    router_ = std::make_unique<router::Router>(build(yaml), 42, log_, registry_);
    ASSERT_TRUE(router_->open_tls().has_value());
    ASSERT_TRUE(router_->open_listener().has_value());
    publish(endpoints);
    worker_ = std::make_unique<ExtProcWorker>(*loop_, *router_, shared_, WorkerPlace{});
    listener_ = std::make_unique<net::TcpListener>(
        *loop_, [this](net::UniqueFd fd, const net::SocketAddress& peer) {
          worker_->adopt_connection(std::move(fd), peer);
        });
    ASSERT_TRUE(listener_->listen(net::SocketAddress::loopback(0), net::PortSharing::kExclusive)
                    .has_value());
    client_ = std::make_unique<net::testing::Http2Client>(*loop_, listener_->local_address());
  }

  void publish(std::uint32_t endpoints) {
    auto pool = std::make_shared<model::PoolSnapshot>();
    for (std::uint32_t i = 0; i < endpoints; ++i) {
      model::Endpoint endpoint;
      endpoint.ref = {i, 1};
      endpoint.name = fmt::format("engine-{}", i);
      endpoint.host = fmt::format("10.0.0.{}", i + 1);
      endpoint.port = 8000;
      endpoint.models = {"m"};
      endpoint.health = model::Health::kHealthy;
      pool->endpoints.push_back(std::move(endpoint));
    }
    router_->pool().publish(std::move(pool));
  }

  bool until(const std::function<bool()>& condition) {
    return net::testing::run_until(*loop_, [&] {
      if (client_) client_->pump();
      return condition();
    });
  }

  std::int32_t open() { return client_->request(net::testing::grpc_head(kProcessPath), {}, false); }
  void send(std::int32_t stream, const EnvoyMessage& message) {
    client_->append(stream, net::testing::grpc_framed(envoy::encode(message)));
  }
  std::vector<EnvoyReply> replies(std::int32_t stream) {
    std::vector<EnvoyReply> out;
    for (const std::string& message : net::testing::grpc_messages(client_->answer(stream).body)) {
      out.emplace_back();
      EXPECT_TRUE(envoy::decode(message, out.back()));
    }
    return out;
  }
  bool until_replies(std::int32_t stream, std::size_t count) {
    return until([&] { return replies(stream).size() >= count || closed(stream); });
  }
  bool closed(std::int32_t stream) { return client_->answer(stream).closed; }

  static EnvoyMessage head(envoy::HeaderList more = {}, std::string metadata = {}) {
    envoy::HeaderList headers = {{":method", "POST"},
                                 {":path", "/v1/chat/completions"},
                                 {"content-type", "application/json"}};
    headers.insert(headers.end(), more.begin(), more.end());
    return {.phase = ProcessingPhase::kRequestHeaders,
            .headers = std::move(headers),
            .protocol = kFullDuplex,
            .metadata = std::move(metadata)};
  }

  // A request in full duplex, as Envoy sends it, up to its decision.
  std::int32_t ask(const std::string& body, const envoy::HeaderList& more = {},
                   const std::string& metadata = {}) {
    const std::int32_t stream = open();
    send(stream, head(more, metadata));
    send(stream, {.phase = ProcessingPhase::kRequestBody, .body = body});
    send(stream, {.phase = ProcessingPhase::kRequestBody, .end = true});
    EXPECT_TRUE(until_replies(stream, 1));
    return stream;
  }
  // The endpoints that Envoy was told of, or the status that it answers with.
  std::string told(std::int32_t stream) {
    const auto all = replies(stream);
    if (all.empty()) return "nothing";
    if (all[0].kind == ReplyKind::kImmediate) return fmt::format("{}", all[0].status);
    return all[0].header("x-gateway-destination-endpoint");
  }
  void answer_head(std::int32_t stream, std::string_view status, std::string_view served = "",
                   std::string_view type = "text/event-stream") {
    send(stream,
         {.phase = ProcessingPhase::kResponseHeaders,
          .headers = {{":status", std::string(status)}, {"content-type", std::string(type)}},
          .metadata = served.empty() ? std::string() : envoy::served_metadata(served)});
  }
  void answer_piece(std::int32_t stream, std::string_view bytes, bool end = false) {
    send(stream, {.phase = ProcessingPhase::kResponseBody, .body = std::string(bytes), .end = end});
  }
  // Answers it whole, and waits for its end.
  void finish(std::int32_t stream, std::string_view served = "") {
    answer_head(stream, "200", served);
    answer_piece(stream, "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n");
    answer_piece(stream,
                 "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2,"
                 "\"total_tokens\":9,\"prompt_tokens_details\":{\"cached_tokens\":3}}}\n\n"
                 "data: [DONE]\n\n",
                 true);
    client_->append(stream, {}, true);
    EXPECT_TRUE(until([&] { return closed(stream); }));
    EXPECT_EQ(client_->answer(stream).headers["grpc-status"], "0");
  }

  // The value of the exposition line that begins with this name and labels; -1 without one.
  double metric(const std::string& name_and_labels) {
    worker_->report();
    const std::string text = "\n" + registry_.expose();
    const std::size_t at = text.find("\n" + name_and_labels + " ");
    if (at == std::string::npos) return -1;
    return std::strtod(text.c_str() + at + 1 + name_and_labels.size(), nullptr);
  }

  std::vector<std::string_view> flags_;  // Of the command line, before start().
  NullLogSink sink_;
  Log log_;
  MetricRegistry registry_;
  FrontShared shared_;
  std::unique_ptr<net::EventLoop> loop_;
  std::unique_ptr<router::Router> router_;
  std::unique_ptr<ExtProcWorker> worker_;
  std::unique_ptr<net::TcpListener> listener_;
  std::unique_ptr<net::testing::Http2Client> client_;
};

}  // namespace fairlead::extproc
