// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "io/net/http1_client.h"
#include "io/net/http1_server.h"
#include "io/net/http_fetch.h"
#include "io/net/testing/certificates.h"
#include "io/net/testing/loop_fixture.h"

namespace fairlead::net {
namespace {

using std::chrono::milliseconds;
using testing::CertificateAuthority;
using testing::make_loop;
using testing::RawClient;
using testing::run_until;

struct Echo final : RequestHandler, ExchangeObserver {
  void on_request(ServerExchange& exchange) override {
    if (exchange.head().path() == "/hold") {
      held = &exchange;
      exchange.set_observer(this);
      return;
    }
    const std::string body = large > 0 ? std::string(large, 'x') : std::string(exchange.body());
    exchange.send_response(200, {}, body);
  }
  void on_client_gone() override { held = nullptr; }
  void on_drained() override { ++drained; }

  std::size_t large = 0;
  int drained = 0;
  ServerExchange* held = nullptr;
};

// One exchange over an UpstreamPool.
struct Call final : UpstreamObserver {
  explicit Call(UpstreamPool& pool) : request(pool, *this) {}
  void on_response_head(const codec::Http1ResponseHead& head) override { status = head.status; }
  void on_body(std::string_view, std::span<const std::string_view> payload) override {
    for (const std::string_view piece : payload) body.append(piece);
  }
  void on_complete() override { done = true; }
  void on_failed(const UpstreamError& failed) override {
    done = true;
    error = failed;
  }

  UpstreamRequest request;
  int status = 0;
  std::string body;
  bool done = false;
  std::optional<UpstreamError> error;
};

class TlsTest : public ::testing::Test {
 protected:
  TlsTest() { authority_.issue(); }

  TlsIdentity identity() const { return {authority_.cert_file(), authority_.key_file()}; }

  void serve(Http1ServerOptions options = {}) {
    auto context = TlsServerContext::create(identity());
    ASSERT_TRUE(context.has_value()) << context.error().message;
    tls_ = *context;
    options.tls = tls_;
    serve_with(options);
  }
  void serve_with(const Http1ServerOptions& options) {
    server_ = std::make_unique<Http1Server>(*loop_, handler_, options);
    ASSERT_TRUE(server_->listen(SocketAddress::loopback(0), PortSharing::kExclusive).has_value());
  }
  UpstreamPool& pool_of(const TlsTrust& trust) {
    UpstreamPoolOptions options;
    auto context = TlsClientContext::create(trust);
    EXPECT_TRUE(context.has_value());
    if (context) options.tls = *context;
    pool_ = std::make_unique<UpstreamPool>(*loop_, options);
    return *pool_;
  }
  UpstreamPool& trusting_pool() { return pool_of({.ca_file = authority_.ca_file()}); }

  void run(Call& call, std::string_view name, std::string_view body = {},
           Duration connect_timeout = std::chrono::seconds(2)) {
    call.done = false;
    call.body.clear();
    head_ =
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n";
    UpstreamCall what;
    what.pieces = {head_, body};
    what.tls_name = name;
    what.connect_timeout = connect_timeout;
    call.request.start(server_->local_address(), what);
    ASSERT_TRUE(run_until(*loop_, [&] { return call.done; }));
  }
  // A handshake that must fail: how the client sees it.
  TlsFailure failure(UpstreamPool& pool, std::string_view name) {
    Call call(pool);
    run(call, name);
    if (!call.error) return TlsFailure::kOther;
    EXPECT_EQ(call.error->failure, UpstreamFailure::kTlsFailed);
    const auto index = static_cast<std::size_t>(call.error->tls_failure);
    EXPECT_EQ(pool.counters().tls.failed[index], 1U);
    return call.error->tls_failure;
  }
  bool server_counts(TlsFailure failure, std::uint64_t count = 1) {
    return run_until(*loop_, [&] {
      return server_->counters().tls.failed[static_cast<std::size_t>(failure)] == count;
    });
  }

  CertificateAuthority authority_;
  std::unique_ptr<EventLoop> loop_ = make_loop();
  Echo handler_;
  std::shared_ptr<TlsServerContext> tls_;
  std::unique_ptr<Http1Server> server_;
  std::unique_ptr<UpstreamPool> pool_;
  std::string head_;
};

TEST_F(TlsTest, CarriesRequestsAndKeepsTheConnection) {
  serve();
  UpstreamPool& pool = trusting_pool();
  Call call(pool);
  for (const std::string_view name : {"localhost", "localhost", "127.0.0.1"}) {
    run(call, name, "hello");
    EXPECT_EQ(call.status, 200);
    EXPECT_EQ(call.body, "hello");
  }
  // Another name is another connection.
  EXPECT_EQ(pool.counters().connects, 2U);
  EXPECT_EQ(pool.counters().reuses, 1U);
  EXPECT_EQ(pool.counters().tls.done, 2U);
  EXPECT_EQ(server_->counters().tls.done, 2U);
}

TEST_F(TlsTest, AClientGetsTheCertificateWithTheNameItAsksFor) {
  TlsIdentity all = identity();
  for (const std::string_view text : {"one.example", "*.two.example", "localhost"}) {
    const std::string name(text);
    authority_.issue("DNS:" + name);
    const TlsCertificate own{authority_.path(name + ".crt"), authority_.path(name + ".key")};
    std::filesystem::rename(authority_.cert_file(), own.cert_file);
    std::filesystem::rename(authority_.key_file(), own.key_file);
    all.more.push_back(own);
  }
  authority_.issue("DNS:localhost,IP:127.0.0.1");
  auto context = TlsServerContext::create(all);
  ASSERT_TRUE(context.has_value()) << context.error().message;
  Http1ServerOptions options;
  options.tls = *context;
  serve_with(options);
  UpstreamPool& pool = trusting_pool();
  Call call(pool);
  const auto is_believed = [&](std::string_view name) {
    call.error.reset();
    run(call, name, "hello");
    return !call.error && call.body == "hello";
  };
  for (const char* name : {"one.example", "a.two.example", "localhost", "127.0.0.1"}) {
    EXPECT_TRUE(is_believed(name)) << name;
  }
  EXPECT_FALSE(is_believed("three.example")) << "it gets the first, and may refuse it";
  pool.close_all_idle();
  authority_.issue("DNS:one.example");
  std::filesystem::rename(authority_.cert_file(), all.more[1].cert_file);
  EXPECT_FALSE((*context)->reload().has_value()) << "its key is another";
  EXPECT_TRUE(is_believed("a.two.example")) << "the old ones stay in force";
  std::filesystem::rename(authority_.key_file(), all.more[1].key_file);
  authority_.issue("DNS:localhost");
  ASSERT_TRUE((*context)->reload().has_value());
  pool.close_all_idle();
  EXPECT_FALSE(is_believed("a.two.example"));
  EXPECT_TRUE(is_believed("one.example"));
}

TEST_F(TlsTest, LargeBodiesGoBothWaysByteForByte) {
  serve();
  Call call(trusting_pool());
  for (const std::size_t size :
       {std::size_t{1}, std::size_t{16'384}, std::size_t{1} << 20, (std::size_t{9} << 20) + 7}) {
    std::string body(size, ' ');
    for (std::size_t i = 0; i < size; ++i) body[i] = static_cast<char>('a' + i * i % 23);
    run(call, "localhost", body);
    EXPECT_EQ(call.status, 200);
    EXPECT_TRUE(call.body == body);
  }
}

TEST_F(TlsTest, AStalledReaderIsFeltAndToldWhenItGoesOn) {
  serve();
  Call call(trusting_pool());
  call.request.pause();
  head_ = "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n";
  call.request.start(server_->local_address(), {.pieces = {head_}, .tls_name = "localhost"});
  call.request.pause();
  ASSERT_TRUE(run_until(*loop_, [&] { return handler_.held != nullptr; }));
  const std::string piece(1 << 20, 'p');
  handler_.held->start(200, {}, codec::BodyFraming::chunked());
  std::size_t written = 0;
  ASSERT_TRUE(run_until(*loop_, [&] {
    if (handler_.held->pending_bytes() > 0) return true;
    handler_.held->write_chunk(piece);
    written += piece.size();
    return false;
  }));
  const int drained = handler_.drained;
  call.request.resume();
  ASSERT_TRUE(run_until(*loop_, [&] { return handler_.drained > drained; }));
  EXPECT_EQ(handler_.held->pending_bytes(), 0U);
  handler_.held->finish();
  ASSERT_TRUE(run_until(*loop_, [&] { return call.done; }));
  EXPECT_EQ(call.body.size(), written);
  EXPECT_EQ(loop_->buffers().lent_bytes(), 0U);
}

TEST_F(TlsTest, AnUnknownAuthorityIsNotTrusted) {
  serve();
  CertificateAuthority stranger;
  EXPECT_EQ(failure(pool_of({.ca_file = stranger.ca_file()}), "localhost"), TlsFailure::kUntrusted);
  EXPECT_TRUE(server_counts(TlsFailure::kPeerRefused));
  EXPECT_EQ(failure(pool_of({}), "localhost"), TlsFailure::kUntrusted);
}

TEST_F(TlsTest, AnExpiredCertificateAndAWrongNameAreRefused) {
  authority_.issue("DNS:localhost", {.from_seconds = -7200, .to_seconds = -3600});
  serve();
  EXPECT_EQ(failure(trusting_pool(), "localhost"), TlsFailure::kExpired);
  authority_.issue("DNS:elsewhere,IP:10.0.0.1");
  ASSERT_TRUE(tls_->reload().has_value());
  EXPECT_EQ(failure(trusting_pool(), "localhost"), TlsFailure::kWrongName);
  EXPECT_EQ(failure(trusting_pool(), "127.0.0.1"), TlsFailure::kWrongName);
  // Unless somebody said that it does not matter.
  Call call(pool_of({.verify = TlsVerify::kNobody}));
  run(call, "localhost", "all the same");
  EXPECT_EQ(call.body, "all the same");
}

TEST_F(TlsTest, ACertificateMadeByTheServerItselfHasItsNames) {
  const std::vector<std::string> names = {"localhost", "127.0.0.1", "fd00::1", "*.pods.example"};
  const auto identity = make_self_signed(names);
  ASSERT_TRUE(identity.has_value()) << identity.error().message;
  auto context = TlsServerContext::create(*identity, Http2Offer::kYes);
  ASSERT_TRUE(context.has_value());
  Http1ServerOptions options;
  options.tls = *context;
  serve_with(options);
  const TlsTrust trust{.ca_file = authority_.file_of(identity->certificate.get())};
  for (const char* name : {"localhost", "127.0.0.1", "fd00::1", "a.pods.example"}) {
    Call call(pool_of(trust));
    run(call, name, "hello");
    EXPECT_EQ(call.body, "hello") << name;
  }
  EXPECT_TRUE((*context)->reload().has_value());
  EXPECT_EQ(failure(pool_of(trust), "elsewhere"), TlsFailure::kWrongName);
  EXPECT_EQ(failure(trusting_pool(), "localhost"), TlsFailure::kUntrusted);
}

TEST_F(TlsTest, NamesThatAreNoneMakeNoCertificate) {
  for (const char* bad : {"", "a,DNS:b", "a b", "::g"}) {
    const std::vector<std::string> names = {bad};
    EXPECT_FALSE(make_self_signed(names).has_value()) << bad;
  }
  EXPECT_TRUE(make_self_signed({}).has_value());
}

TEST_F(TlsTest, WhereThereIsOnlyHttp2OtherProtocolsAreRefused) {
  TlsIdentity only = identity();
  only.http2 = Http2Offer::kOnly;
  auto context = TlsServerContext::create(only);
  ASSERT_TRUE(context.has_value());
  Http1ServerOptions options;
  options.tls = *context;
  serve_with(options);
  EXPECT_EQ(failure(trusting_pool(), "localhost"), TlsFailure::kPeerRefused);
  EXPECT_TRUE(server_counts(TlsFailure::kNoCommonTerms));
}

TEST_F(TlsTest, PlainTextOnATlsPortIsCountedAndClosed) {
  serve();
  RawClient client(*loop_, server_->local_address());
  client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(run_until(*loop_, [&] { return client.ended(); }));
  EXPECT_TRUE(server_counts(TlsFailure::kNotTls));
  EXPECT_EQ(server_->counters().connections, 0U);
}

TEST_F(TlsTest, TlsOnAPlainPortFailsAsNotTls) {
  serve_with({});
  EXPECT_EQ(failure(trusting_pool(), "localhost"), TlsFailure::kNotTls);
}

TEST_F(TlsTest, WithoutTrustNothingIsSentToATlsServer) {
  serve();
  UpstreamPool pool(*loop_, {});
  Call call(pool);
  run(call, "localhost");
  ASSERT_TRUE(call.error.has_value());
  EXPECT_EQ(call.error->failure, UpstreamFailure::kTlsFailed);
  EXPECT_FALSE(call.error->connected);
}

TEST_F(TlsTest, AHandshakeThatStopsIsBoundedOnBothSides) {
  Http1ServerOptions options;
  options.head_timeout = milliseconds(20);
  serve(options);
  RawClient silent(*loop_, server_->local_address());
  silent.send("\x16\x03\x01");
  EXPECT_TRUE(run_until(*loop_, [&] { return silent.ended(); }));
  EXPECT_TRUE(server_counts(TlsFailure::kTimeout));
  // A server that accepts and says nothing.
  const auto listener = listen_tcp(SocketAddress::loopback(0), PortSharing::kExclusive);
  ASSERT_TRUE(listener.has_value());
  UpstreamPool& pool = trusting_pool();
  Call call(pool);
  UpstreamCall what;
  head_ = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
  what.pieces = {head_};
  what.tls_name = "localhost";
  what.connect_timeout = milliseconds(20);
  call.request.start(*local_address(listener->get()), what);
  ASSERT_TRUE(run_until(*loop_, [&] { return call.done; }));
  EXPECT_EQ(call.error->failure, UpstreamFailure::kConnectTimeout);
  EXPECT_EQ(pool.counters().tls.failed[static_cast<std::size_t>(TlsFailure::kTimeout)], 1U);
}

TEST_F(TlsTest, AClientThatLeavesDuringTheHandshakeIsCounted) {
  serve();
  RawClient client(*loop_, server_->local_address());
  client.send("\x16");
  run_until(*loop_, [&] { return server_->counters().connections == 1; });
  client.close();
  EXPECT_TRUE(server_counts(TlsFailure::kPeerClosed));
}

TEST_F(TlsTest, ANewCertificateIsUsedByNewConnectionsAndOldOnesGoOn) {
  serve();
  UpstreamPool& pool = trusting_pool();
  Call call(pool);
  run(call, "localhost", "before");
  authority_.issue("DNS:renamed");
  ASSERT_TRUE(tls_->reload().has_value());
  run(call, "localhost", "after");
  EXPECT_EQ(call.body, "after");
  EXPECT_EQ(pool.counters().connects, 1U);
  EXPECT_EQ(failure(trusting_pool(), "localhost"), TlsFailure::kWrongName);
  Call renamed(trusting_pool());
  run(renamed, "renamed", "new");
  EXPECT_EQ(renamed.body, "new");
}

TEST_F(TlsTest, FilesThatDoNotFitAreRefusedByNameAndTheOldOnesStay) {
  serve();
  std::ofstream(authority_.key_file()) << "no key\n";
  const Result<void> reloaded = tls_->reload();
  ASSERT_FALSE(reloaded.has_value());
  EXPECT_NE(reloaded.error().message.find(authority_.key_file()), std::string::npos);
  Call call(trusting_pool());
  run(call, "localhost", "still");
  EXPECT_EQ(call.body, "still");
  const auto missing = TlsServerContext::create({authority_.path("none"), authority_.key_file()});
  ASSERT_FALSE(missing.has_value());
  EXPECT_NE(missing.error().message.find(authority_.path("none")), std::string::npos);
  const auto no_ca = TlsClientContext::create({.ca_file = authority_.path("none")});
  ASSERT_FALSE(no_ca.has_value());
  EXPECT_NE(no_ca.error().message.find(authority_.path("none")), std::string::npos);
}

TEST_F(TlsTest, FetchSaysWhichWayTheHandshakeFailed) {
  authority_.issue("DNS:localhost", {.from_seconds = -7200, .to_seconds = -3600});
  serve();
  HttpFetch fetch(trusting_pool());
  std::string message;
  fetch.get(server_->local_address(), "/", {.tls_name = "localhost"},
            [&](const Result<FetchReply>& reply) {
              message = reply ? "fetched" : reply.error().message;
            });
  ASSERT_TRUE(run_until(*loop_, [&] { return !message.empty(); }));
  EXPECT_TRUE(message.ends_with("TLS handshake: expired")) << message;
}

}  // namespace
}  // namespace fairlead::net
