// SPDX-License-Identifier: Apache-2.0
#include "io/net/http1_client.h"

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "io/net/http1_server.h"
#include "io/net/http_fetch.h"
#include "io/net/testing/loop_fixture.h"

namespace fairlead::net {
namespace {

using std::chrono::milliseconds;
using testing::make_loop;
using testing::run_until;

// A server of raw bytes: answers each read with what the script says.
class RawServer final : private FdHandler {
 public:
  explicit RawServer(EventLoop& loop) : loop_(loop) {
    listener_ = std::move(*listen_tcp(SocketAddress::loopback(0), PortSharing::kExclusive));
    address_ = *net::local_address(listener_.get());
    EXPECT_TRUE(loop_.add(listener_.get(), EPOLLIN, *this).has_value());
  }
  ~RawServer() {
    if (listener_.valid()) loop_.remove(listener_.get(), *this);
  }

  struct Peer final : StreamHandler {
    Peer(RawServer& owner, EventLoop& loop)
        : server(owner), stream(loop, *this, std::size_t{64} << 20) {}
    void on_readable() override {
      Buffer buffer = server.loop_.buffers().take(64 * 1024);
      while (!server.hold_reading && stream.readable()) {
        stream.read(buffer);
        received.append(buffer.view());
        buffer.clear();
      }
      if (server.on_bytes) server.on_bytes(*this);
    }
    void on_writable() override {}
    void on_peer_half_closed() override {}
    void on_stream_end(StreamEnd) override {}
    void send(std::string_view bytes) {
      stream.write(bytes);
      stream.flush();
    }
    RawServer& server;
    TcpStream stream;
    std::string received;
  };

  const SocketAddress& address() const { return address_; }
  std::deque<Peer> peers;
  std::function<void(Peer&)> on_bytes;
  bool hold_reading = false;

 private:
  void on_events(std::uint32_t) override {
    UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd.valid()) return;
    peers.emplace_back(*this, loop_);
    EXPECT_TRUE(peers.back().stream.open(std::move(fd), TcpStream::State::kOpen).has_value());
  }

  EventLoop& loop_;
  UniqueFd listener_;
  SocketAddress address_;
};

struct Recorder final : UpstreamObserver {
  void on_connected(ConnectionUse u) override {
    ++connected;
    use = u;
  }
  void on_response_head(const codec::Http1ResponseHead& head) override {
    status = head.status;
    if (on_head) on_head();
  }
  void on_body(std::string_view bytes, std::span<const std::string_view> pieces) override {
    raw.append(bytes);
    for (const std::string_view piece : pieces) payload.append(piece);
    if (on_bytes) on_bytes();
  }
  void on_complete() override {
    ++completed;
    if (on_end) on_end();
  }
  void on_failed(const UpstreamError& e) override {
    ++failed;
    error = e;
    if (on_end) on_end();
  }
  bool ended() const { return completed + failed > 0; }

  int connected = 0;
  ConnectionUse use{};
  int status = 0;
  std::string raw;
  std::string payload;
  int completed = 0;
  int failed = 0;
  UpstreamError error;
  std::function<void()> on_head, on_bytes, on_end;
};

const std::string kRequest = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";
const std::string kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

class Http1ClientTest : public ::testing::Test {
 protected:
  bool until(const std::function<bool()>& effect) { return run_until(*loop_, effect); }
  // Runs one request to its end.
  Recorder call(const SocketAddress& address, UpstreamCall call = {}) {
    Recorder recorder;
    UpstreamRequest request(pool_, recorder);
    if (call.pieces[0].empty()) call.pieces[0] = kRequest;
    request.start(address, call);
    EXPECT_FALSE(recorder.ended()) << "no callback inside start()";
    EXPECT_TRUE(until([&] { return recorder.ended(); }));
    EXPECT_FALSE(request.active());
    return recorder;
  }
  // A server that answers every whole head with these bytes.
  void answer(std::string bytes) {
    server_.on_bytes = [bytes = std::move(bytes)](RawServer::Peer& peer) {
      if (!peer.received.ends_with("\r\n\r\n")) return;
      peer.received.clear();
      peer.send(bytes);
    };
  }

  std::unique_ptr<EventLoop> loop_ = make_loop();
  RawServer server_{*loop_};
  UpstreamPool pool_{*loop_, {}};
};

TEST_F(Http1ClientTest, ReusesTheConnectionAndSkipsInterimResponses) {
  answer("HTTP/1.1 100 Continue\r\n\r\n" + kOk);
  for (int i = 0; i < 3; ++i) {
    const Recorder result = call(server_.address());
    EXPECT_EQ(result.status, 200);
    EXPECT_EQ(result.payload, "ok");
    EXPECT_EQ(result.use, i == 0 ? ConnectionUse::kFresh : ConnectionUse::kReused);
  }
  EXPECT_EQ(pool_.counters().connects, 1U);
  EXPECT_EQ(pool_.counters().reuses, 2U);
  EXPECT_EQ(pool_.counters().idle, 1U);
}

TEST_F(Http1ClientTest, ChunkedBodiesAreRelayedRawWithTheirPayloadMarked) {
  const std::string body = "5\r\nhello\r\n6;x=1\r\n world\r\n0\r\nT: 1\r\n\r\n";
  const std::string response = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body;
  answer(response);
  Recorder whole = call(server_.address());
  EXPECT_EQ(whole.raw, body);
  EXPECT_EQ(whole.payload, "hello world");
  // Byte by byte it comes out the same, and the connection stays good.
  server_.on_bytes = [&](RawServer::Peer& peer) {
    if (!peer.received.ends_with("\r\n\r\n")) return;
    peer.received.clear();
    for (const char c : response) {
      peer.send({&c, 1});
      loop_->run_turn(Duration::zero());
    }
  };
  Recorder split = call(server_.address());
  EXPECT_EQ(split.raw, body);
  EXPECT_EQ(split.payload, "hello world");
  EXPECT_EQ(pool_.counters().connects, 1U);
}

TEST_F(Http1ClientTest, APooledConnectionThatItsPeerClosesIsDroppedAtOnce) {
  answer(kOk);
  call(server_.address());
  ASSERT_EQ(pool_.counters().idle, 1U);
  server_.peers.front().stream.close();
  ASSERT_TRUE(until([&] { return pool_.counters().idle_closed_by_peer == 1; }));
  EXPECT_EQ(pool_.counters().connections, 0U);
  EXPECT_EQ(call(server_.address()).use, ConnectionUse::kFresh);
}

TEST_F(Http1ClientTest, UnaskedBytesOnAPooledConnectionCloseIt) {
  answer(kOk);
  call(server_.address());
  server_.peers.front().send("HTTP/1.1 200 OK\r\n\r\n");
  ASSERT_TRUE(until([&] { return pool_.counters().connections == 0; }));
}

TEST_F(Http1ClientTest, BytesBehindAResponseNeverReachTheNextRequest) {
  // The body fills the reads of 64 KiB exactly, so that the extra bytes stay in the kernel.
  const std::string head = "HTTP/1.1 200 OK\r\nContent-Length: ";
  const std::size_t length = 65536 - head.size() - 9;
  std::string response = head + std::to_string(length) + "\r\n\r\n" + std::string(length, 'x');
  ASSERT_EQ(response.size(), 65536U);
  answer(response + "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
  EXPECT_EQ(call(server_.address()).payload.size(), length);
  answer(kOk);
  const Recorder next = call(server_.address());
  EXPECT_EQ(next.payload, "ok");
  EXPECT_EQ(next.use, ConnectionUse::kFresh);
}

TEST_F(Http1ClientTest, ARequestOnADyingPooledConnectionIsStale) {
  answer(kOk);
  call(server_.address());
  // The close reaches the client only after it has sent its request.
  server_.on_bytes = [](RawServer::Peer& peer) { peer.stream.close(); };
  const Recorder result = call(server_.address());
  ASSERT_EQ(result.failed, 1);
  EXPECT_EQ(to_string(result.error.failure), "stale");
  EXPECT_FALSE(result.error.response_started);
  EXPECT_TRUE(result.error.request_sent);
  // On a fresh connection the same is the peer's fault.
  EXPECT_EQ(call(server_.address()).error.failure, UpstreamFailure::kClosedBeforeReply);
}

TEST_F(Http1ClientTest, FailuresInTheMiddleOfAReplyAreTyped) {
  const std::string part = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc";
  server_.on_bytes = [&](RawServer::Peer& peer) {
    peer.send(part);
    peer.stream.close();
  };
  const Recorder truncated = call(server_.address());
  EXPECT_EQ(truncated.error.failure, UpstreamFailure::kTruncated);
  EXPECT_TRUE(truncated.error.response_started);
  EXPECT_EQ(truncated.raw, "abc");

  Recorder reset;
  UpstreamRequest request(pool_, reset);
  server_.on_bytes = [&](RawServer::Peer& peer) { peer.send(part); };
  reset.on_bytes = [&] { server_.peers.back().stream.abort(); };
  request.start(server_.address(), {.pieces = {kRequest}});
  ASSERT_TRUE(until([&] { return reset.ended(); }));
  EXPECT_EQ(reset.error.failure, UpstreamFailure::kResetMidReply);

  answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx");
  const Recorder malformed = call(server_.address());
  EXPECT_EQ(malformed.error.failure, UpstreamFailure::kMalformed);
  EXPECT_EQ(malformed.error.parse_error, codec::Http1Error::kDuplicateContentLength);
  EXPECT_EQ(pool_.counters().connections, 0U);
}

TEST_F(Http1ClientTest, UntilCloseBodiesCompleteWithTheConnection) {
  server_.on_bytes = [](RawServer::Peer& peer) {
    peer.send("HTTP/1.0 200 OK\r\n\r\nall of it");
    peer.stream.close();
  };
  const Recorder result = call(server_.address());
  EXPECT_EQ(result.completed, 1);
  EXPECT_EQ(result.payload, "all of it");
  EXPECT_EQ(pool_.counters().idle, 0U);
}

TEST_F(Http1ClientTest, RefusedConnectionsAreTyped) {
  auto listener = listen_tcp(SocketAddress::loopback(0), PortSharing::kExclusive);
  const SocketAddress nobody = *local_address(listener->get());
  listener->close();
  const Recorder result = call(nobody);
  EXPECT_EQ(result.error.failure, UpstreamFailure::kConnectRefused);
  EXPECT_FALSE(result.error.connected);
  EXPECT_FALSE(result.error.request_sent);
}

TEST_F(Http1ClientTest, EveryTimeoutHasItsName) {
  UpstreamCall quick;
  quick.reply_timeout = milliseconds(15);
  EXPECT_EQ(call(server_.address(), quick).error.failure, UpstreamFailure::kReplyTimeout);
  answer("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
  UpstreamCall idle;
  idle.idle_timeout = milliseconds(15);
  EXPECT_EQ(call(server_.address(), idle).error.failure, UpstreamFailure::kIdleTimeout);
  UpstreamCall total;
  total.total_timeout = milliseconds(15);
  EXPECT_EQ(call(server_.address(), total).error.failure, UpstreamFailure::kTotalTimeout);
}

TEST_F(Http1ClientTest, PooledConnectionsAgeOut) {
  UpstreamPoolOptions options;
  options.idle_timeout = milliseconds(15);
  UpstreamPool pool(*loop_, options);
  answer(kOk);
  Recorder recorder;
  UpstreamRequest request(pool, recorder);
  request.start(server_.address(), {.pieces = {kRequest}});
  ASSERT_TRUE(until([&] { return pool.counters().idle == 1; }));
  ASSERT_TRUE(until([&] { return pool.counters().idle_timeouts == 1; }));
  EXPECT_EQ(pool.counters().connections, 0U);
}

TEST_F(Http1ClientTest, BeyondTheConnectionLimitRequestsFail) {
  UpstreamPoolOptions options;
  options.connections_max = 1;
  UpstreamPool pool(*loop_, options);
  Recorder first_seen;
  Recorder second_seen;
  UpstreamRequest first(pool, first_seen);
  UpstreamRequest second(pool, second_seen);
  first.start(server_.address(), {.pieces = {kRequest}});
  second.start(server_.address(), {.pieces = {kRequest}});
  ASSERT_TRUE(until([&] { return second_seen.ended(); }));
  EXPECT_EQ(second_seen.error.failure, UpstreamFailure::kConnectionLimit);
  EXPECT_FALSE(first_seen.ended());
}

TEST_F(Http1ClientTest, BodiesAreSentFromBorrowedPieces) {
  const std::string body(10 << 20, 'q');
  const std::string head =
      "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: " + std::to_string(body.size()) + "\r\n\r\n";
  server_.on_bytes = [&](RawServer::Peer& peer) {
    if (peer.received.size() == head.size() + body.size()) peer.send(kOk);
  };
  const std::string_view view = body;
  const Recorder result =
      call(server_.address(), {.pieces = {head, view.substr(0, 1000), {}, view.substr(1000)}});
  EXPECT_EQ(result.completed, 1);
  EXPECT_TRUE(server_.peers.front().received == head + body);
  EXPECT_EQ(loop_->buffers().lent_bytes(), 0U);
}

TEST_F(Http1ClientTest, AnEarlyRefusalIsReadThoughTheRequestWasNotSentWhole) {
  server_.hold_reading = true;
  server_.on_bytes = [sent = false](RawServer::Peer& peer) mutable {
    if (std::exchange(sent, true)) return;
    peer.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n");
  };
  const std::string body(32 << 20, 'q');
  const Recorder result = call(server_.address(), {.pieces = {kRequest, body}});
  EXPECT_EQ(result.status, 413);
  EXPECT_EQ(pool_.counters().idle, 0U) << "a half-sent request must not be followed by another";
}

TEST_F(Http1ClientTest, PauseHoldsTheUpstreamBackAndResumeGoesOn) {
  const std::size_t size = 40 << 20;
  answer("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(size) + "\r\n\r\n" +
         std::string(size, 'p'));
  Recorder recorder;
  UpstreamRequest request(pool_, recorder);
  recorder.on_bytes = [&] { request.pause(); };
  request.start(server_.address(), {.pieces = {kRequest}});
  ASSERT_TRUE(until([&] { return !recorder.raw.empty(); }));
  const std::size_t at_pause = recorder.raw.size();
  for (int i = 0; i < 20; ++i) loop_->run_turn(milliseconds(1));
  EXPECT_EQ(recorder.raw.size(), at_pause);
  EXPECT_GT(server_.peers.front().stream.pending_bytes(), 0U);
  EXPECT_LE(loop_->buffers().lent_bytes(),
            std::size_t{64} << 20);  // The server's queue; the client holds nothing.
  recorder.on_bytes = nullptr;
  request.resume();
  ASSERT_TRUE(until([&] { return recorder.ended(); }));
  EXPECT_EQ(recorder.raw.size(), size);
}

TEST_F(Http1ClientTest, PauseAtTheHeadKeepsTheBodyForLater) {
  answer(kOk);
  Recorder recorder;
  UpstreamRequest request(pool_, recorder);
  recorder.on_head = [&] { request.pause(); };
  request.start(server_.address(), {.pieces = {kRequest}});
  ASSERT_TRUE(until([&] { return recorder.status == 200; }));
  for (int i = 0; i < 5; ++i) loop_->run_turn(milliseconds(1));
  EXPECT_EQ(recorder.raw, "");
  request.resume();
  ASSERT_TRUE(until([&] { return recorder.completed == 1; }));
  EXPECT_EQ(recorder.raw, "ok");
}

TEST_F(Http1ClientTest, CancelClosesAtOnceAndNothingFollows) {
  answer("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
  Recorder recorder;
  UpstreamRequest request(pool_, recorder);
  recorder.on_bytes = [&] { request.cancel(); };
  request.start(server_.address(), {.pieces = {kRequest}});
  ASSERT_TRUE(until(
      [&] { return !server_.peers.empty() && server_.peers.front().stream.peer_half_closed(); }));
  EXPECT_FALSE(request.active());
  EXPECT_FALSE(recorder.ended());
  EXPECT_EQ(pool_.counters().cancelled, 1U);
  EXPECT_EQ(pool_.counters().connections, 0U);
}

TEST_F(Http1ClientTest, ARequestMayBeStartedAgainFromItsEnd) {
  answer(kOk);
  Recorder recorder;
  UpstreamRequest request(pool_, recorder);
  recorder.on_end = [&] {
    if (recorder.completed < 100) request.start(server_.address(), {.pieces = {kRequest}});
  };
  request.start(server_.address(), {.pieces = {kRequest}});
  ASSERT_TRUE(until([&] { return recorder.completed == 100; }));
  EXPECT_EQ(pool_.counters().connects, 1U);
}

TEST_F(Http1ClientTest, FetchGetsADocumentRetriesStaleAndBoundsTheBody) {
  answer(kOk);
  HttpFetch fetch(pool_);
  int status = 0;
  std::string text;
  const auto note = [&](const Result<FetchReply>& reply) {
    status = reply ? reply->status : -1;
    text = reply ? std::string(reply->body) : reply.error().message;
  };
  fetch.get(server_.address(), "/metrics", {}, note);
  ASSERT_TRUE(until([&] { return status != 0; }));
  EXPECT_EQ(text, "ok");

  bool first = true;
  server_.on_bytes = [&](RawServer::Peer& peer) {
    if (std::exchange(first, false)) return peer.stream.close();
    if (peer.received.ends_with("\r\n\r\n")) peer.send(kOk);
  };
  status = 0;
  fetch.get(server_.address(), "/metrics", {}, note);
  ASSERT_TRUE(until([&] { return status != 0; }));
  EXPECT_EQ(status, 200) << text;

  status = 0;
  answer(kOk);
  FetchOptions small;
  small.body_bytes_max = 1;
  fetch.get(server_.address(), "/metrics", small, note);
  ASSERT_TRUE(until([&] { return status != 0; }));
  EXPECT_EQ(status, -1);
  EXPECT_NE(text.find("larger than 1 bytes"), std::string::npos);
}

TEST_F(Http1ClientTest, ClientAndServerOfThisRoomUnderstandEachOther) {
  struct Handler final : RequestHandler {
    void on_request(ServerExchange& exchange) override {
      exchange.start(200, {}, codec::BodyFraming::chunked());
      exchange.write_chunk(exchange.body());
      exchange.write_chunk("!");
      exchange.finish();
    }
  } handler;
  Http1Server server(*loop_, handler, {});
  ASSERT_TRUE(server.listen(SocketAddress::loopback(0), PortSharing::kReusePort).has_value());
  const std::string body(100'000, 'r');
  const std::string head =
      "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: " + std::to_string(body.size()) + "\r\n\r\n";
  for (int i = 0; i < 50; ++i) {
    const Recorder result = call(server.local_address(), {.pieces = {head, body}});
    ASSERT_EQ(result.payload, body + "!");
  }
  EXPECT_EQ(pool_.counters().connects, 1U);
}

}  // namespace
}  // namespace fairlead::net
