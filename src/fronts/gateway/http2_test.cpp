// SPDX-License-Identifier: Apache-2.0
// HTTP/2 clients and TLS engines through the whole gateway.
#include "fronts/gateway/testing/gateway_fixture.h"
#include "io/net/testing/certificates.h"
#include "io/net/testing/http2_client.h"

namespace fairlead::gateway {
namespace {

using net::testing::CertificateAuthority;
using net::testing::HeaderList;
using net::testing::Http2Client;

class Http2GatewayTest : public GatewayTest {
 protected:
  Http2Client& http2(Http2Client::Settings settings = {}) {
    http2_ = std::make_unique<Http2Client>(*loop_, net::SocketAddress::loopback(port_), settings);
    return *http2_;
  }
  ~Http2GatewayTest() override {
    if (http2_) http2_->raw().close();
  }
  static HeaderList chat() {
    HeaderList headers = Http2Client::post("/v1/chat/completions");
    headers.push_back({"content-type", "application/json"});
    return headers;
  }

  std::unique_ptr<Http2Client> http2_;
};

TEST_F(Http2GatewayTest, RelaysARequestAsHttp1AndItsStreamAsData) {
  ScriptedEngine& upstream = engine();
  std::string seen_host;
  std::string seen_path;
  upstream.script = [&](net::ServerExchange& exchange) {
    seen_host = exchange.head().host;
    seen_path = exchange.head().target;
    exchange.start(200, {{"content-type", "text/event-stream"}}, codec::BodyFraming::chunked());
    for (int i = 0; i < 3; ++i) exchange.write_chunk(kTokenEvent);
    exchange.finish();
  };
  start({upstream.port()});
  Http2Client& client = http2();
  const auto& answer = client.wait(client.request(chat(), chat_body()));
  EXPECT_EQ(answer.status, 200);
  EXPECT_TRUE(answer.ended);
  EXPECT_EQ(answer.body,
            std::string(kTokenEvent) + std::string(kTokenEvent) + std::string(kTokenEvent));
  EXPECT_EQ(answer.headers.at("content-type"), "text/event-stream");
  EXPECT_FALSE(answer.headers.contains("transfer-encoding"));
  EXPECT_EQ(seen_path, "/v1/chat/completions");
  EXPECT_EQ(seen_host, "127.0.0.1:" + std::to_string(upstream.port()));
  worker_->report_sockets();
  EXPECT_EQ(metric("fairlead_http2_connections_total"), 1);
}

TEST_F(Http2GatewayTest, RepliesOfOurOwnLeaveTheConnectionOpen) {
  ScriptedEngine& upstream = engine();
  start({upstream.port()}, "limits: {bodyBytes: 1Ki}");
  Http2Client& client = http2();
  const auto& large = client.wait(client.request(chat(), std::string(2000, 'x')));
  EXPECT_EQ(large.status, 413);
  EXPECT_EQ(large.headers.at("x-fairlead-reason"), "too_large");
  const auto& unknown = client.wait(client.request(chat(), chat_body("hello", "nobody")));
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(client.wait(client.request(chat(), chat_body())).status, 200);
  EXPECT_FALSE(client.got_goaway());
}

TEST_F(Http2GatewayTest, ABodyOfAStrangerIsNotAwaited) {
  ScriptedEngine& upstream = engine();
  start({upstream.port()});
  set_keys({{"a", ""}});
  Http2Client& client = http2();
  const auto& answer = client.wait(client.request(chat(), "{", false));
  EXPECT_EQ(answer.status, 401);
  HeaderList known = chat();
  known.push_back({"authorization", "Bearer sk-a"});
  EXPECT_EQ(client.wait(client.request(known, chat_body())).status, 200);
  EXPECT_EQ(worker_->requests_running(), 0U);
}

TEST_F(Http2GatewayTest, AResetCancelsTheEnginesRequest) {
  ScriptedEngine& upstream = engine();
  struct Watch final : net::ExchangeObserver {
    void on_client_gone() override { ++gone; }
    int gone = 0;
  } watch;
  int running = 0;
  upstream.script = [&](net::ServerExchange& exchange) {
    ++running;
    exchange.set_observer(&watch);
  };
  start({upstream.port()});
  Http2Client& client = http2();
  const std::int32_t first = client.request(chat(), chat_body());
  client.request(chat(), chat_body());
  ASSERT_TRUE(client.run_until([&] { return running == 2; }));
  client.reset(first);
  ASSERT_TRUE(client.run_until([&] { return watch.gone == 1; }));
  EXPECT_EQ(worker_->requests_running(), 1U);
  EXPECT_EQ(logged("outcome"), "\"client_gone\"");
  client.raw().close();
  EXPECT_TRUE(until([&] { return watch.gone == 2; }));
}

TEST_F(Http2GatewayTest, AnEngineThatBreaksOffResetsOnlyThatStream) {
  ScriptedEngine& upstream = engine();
  upstream.script = [&](net::ServerExchange& exchange) {
    exchange.start(200, {{"content-type", "text/event-stream"}}, codec::BodyFraming::chunked());
    exchange.write_chunk(kTokenEvent);
    net::EventLoop& loop = exchange.loop();
    EXPECT_EQ(loop.post([&exchange] { exchange.abort(); }), net::Posted::kQueued);
  };
  start({upstream.port()});
  Http2Client& client = http2();
  const auto& answer = client.wait(client.request(chat(), chat_body()));
  EXPECT_TRUE(answer.body.starts_with(kTokenEvent));
  EXPECT_NE(answer.body.find("upstream_failed"), std::string::npos);
  EXPECT_FALSE(answer.ended);
  EXPECT_EQ(answer.reset, std::uint32_t{NGHTTP2_INTERNAL_ERROR});
  EXPECT_FALSE(client.got_goaway());
}

TEST_F(Http2GatewayTest, ASlowReaderHoldsItsEngineBackAndNobodyElse) {
  ScriptedEngine& upstream = engine();
  net::ServerExchange* flowing = nullptr;
  upstream.script = [&](net::ServerExchange& exchange) {
    if (exchange.body().find("slow") == std::string_view::npos) {
      return exchange.send_response(200, {}, "quick");
    }
    flowing = &exchange;
    exchange.start(200, {{"content-type", "application/json"}}, codec::BodyFraming::chunked());
  };
  start({upstream.port()});
  Http2Client& client = http2({.stream_window = 1000, .takes_windows = false});
  client.request(chat(), chat_body("slow"));
  ASSERT_TRUE(client.run_until([&] { return flowing != nullptr; }));
  const std::string piece(1 << 20, 'p');
  // Until the gateway takes no more: the client's window, the gateway's share, the sockets'
  // buffers.
  std::size_t written = 0;
  ASSERT_TRUE(client.run_until([&] {
    if (flowing->pending_bytes() > 0) return true;
    flowing->write_chunk(piece);
    written += piece.size();
    return false;
  }));
  EXPECT_LT(written, std::size_t{64} << 20);
  EXPECT_EQ(client.wait(client.request(chat(), chat_body("quick"))).body, "quick");
}

TEST_F(Http2GatewayTest, EnginesBehindTlsAreAskedAndUntrustedOnesAreNot) {
  CertificateAuthority authority;
  authority.issue("DNS:engines.local");
  const auto context = net::TlsServerContext::create({authority.cert_file(), authority.key_file()});
  ASSERT_TRUE(context.has_value());
  struct TlsEngine final : net::RequestHandler {
    void on_request(net::ServerExchange& exchange) override {
      ++requests;
      host = exchange.head().host;
      exchange.send_response(200, {}, exchange.body());
    }
    int requests = 0;
    std::string host;
  } handler;
  net::Http1ServerOptions options;
  options.tls = *context;
  net::Http1Server server(*loop_, handler, options);
  ASSERT_TRUE(
      server.listen(net::SocketAddress::loopback(0), net::PortSharing::kExclusive).has_value());
  CertificateAuthority stranger;
  const auto ask_engine = [&](const std::string& tls, std::string host, std::string address) {
    worker_.reset();
    start({}, "fleet: {tls: {" + tls + "}}");
    auto pool = std::make_shared<model::PoolSnapshot>();
    model::Endpoint behind_tls;
    behind_tls.ref = {0, 1};
    behind_tls.name = "engine";
    behind_tls.host = std::move(host);
    behind_tls.address = std::move(address);
    behind_tls.port = server.local_port();
    behind_tls.tls = true;
    behind_tls.models = {"m"};
    behind_tls.health = model::Health::kHealthy;
    pool->endpoints.push_back(std::move(behind_tls));
    router_->pool().publish(std::move(pool));
    return ask(chat_body()).status;
  };
  const std::string known = "caFile: " + authority.ca_file();
  const std::string port = ":" + std::to_string(server.local_port());
  EXPECT_EQ(ask_engine(known + ", serverName: engines.local", "127.0.0.1", ""), 200);
  EXPECT_EQ(handler.host, "127.0.0.1" + port);
  EXPECT_EQ(ask_engine(known, "engines.local", "127.0.0.1"), 200) << "the host's own name";
  EXPECT_EQ(handler.host, "engines.local" + port);
  EXPECT_EQ(ask_engine("caFile: " + stranger.ca_file(), "engines.local", "127.0.0.1"), 502);
  EXPECT_EQ(handler.requests, 2);
  EXPECT_EQ(metric("fairlead_upstream_failures_total{kind=\"tls_failed\"}"), 1);
  worker_->report_sockets();
  EXPECT_EQ(metric("fairlead_tls_handshake_failures_total{peer=\"engine\",reason=\"untrusted\"}"),
            1);
  EXPECT_EQ(logged("last_failure"), "\"tls_failed\"");
}

TEST_F(Http2GatewayTest, CertificateFilesAreCheckedAtStartAndNamed) {
  config::Problems problems;
  auto generation = router::build_generation(
      "gateway: {tls: {certFile: /nowhere/c.pem, keyFile: /nowhere/k.pem}}", "t", "round-robin",
      problems);
  ASSERT_NE(generation, nullptr);
  router::Router router(generation, 1, log_, registry_);
  const Result<void> opened = router.open_tls();
  ASSERT_FALSE(opened.has_value());
  EXPECT_NE(opened.error().message.find("/nowhere/c.pem"), std::string::npos);
}

}  // namespace
}  // namespace fairlead::gateway
