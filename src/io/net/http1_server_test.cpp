// SPDX-License-Identifier: Apache-2.0
#include "io/net/http1_server.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <string>
#include <vector>

#include "io/net/testing/loop_fixture.h"

namespace fairlead::net {
namespace {

using codec::BodyFraming;
using std::chrono::milliseconds;
using testing::make_loop;
using testing::RawClient;
using testing::Reading;
using testing::run_until;

const std::string kGet = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";

struct EchoHandler final : RequestHandler, ExchangeObserver {
  void on_request(ServerExchange& exchange) override {
    ++requests;
    last_body = std::string(exchange.body());
    const std::string_view path = exchange.head().path();
    if (path == "/hold") {
      held = &exchange;
      exchange.set_observer(this);
    } else {
      const std::string reply = std::string(path) + ":" + last_body;
      exchange.send_response(200, {{"content-type", "text/plain"}}, reply);
    }
  }
  void on_refusal(const Http1Refusal& refusal, RefusalReply& reply) override {
    refused = refusal.kind;
    reply.body = "refused";
  }
  void on_client_gone() override {
    ++gone;
    held = nullptr;
  }
  void on_drained() override { ++drained; }
  HalfClosed on_client_half_closed() override { return half_closed; }

  int requests = 0;
  int gone = 0;
  int drained = 0;
  HalfClosed half_closed = HalfClosed::kGone;
  std::string last_body;
  ServerExchange* held = nullptr;
  RefusalKind refused{};
};

class Http1ServerTest : public ::testing::Test {
 protected:
  Http1Server& serve(const Http1ServerOptions& options = {}) {
    server_ = std::make_unique<Http1Server>(*loop_, handler_, options, &budget_);
    EXPECT_TRUE(server_->listen(SocketAddress::loopback(0), PortSharing::kExclusive).has_value());
    return *server_;
  }
  std::unique_ptr<RawClient> connect(Reading reading = Reading::kEager) {
    return std::make_unique<RawClient>(*loop_, server_->local_address(), reading);
  }
  bool until(const std::function<bool()>& effect) { return run_until(*loop_, effect); }
  // Waits for bytes that end like this.
  bool ends_with(RawClient& client, std::string_view tail) {
    return until([&] { return client.received().ends_with(tail); });
  }

  std::unique_ptr<EventLoop> loop_ = make_loop();
  EchoHandler handler_;
  ServerBudget budget_;
  std::unique_ptr<Http1Server> server_;
};

TEST_F(Http1ServerTest, KeepsTheConnectionForManyRequests) {
  serve();
  auto client = connect();
  for (int i = 0; i < 5; ++i) {
    client->send(kGet);
    ASSERT_TRUE(ends_with(*client, "/a:"));
    EXPECT_EQ(client->take(),
              "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 3\r\n\r\n/a:");
  }
  EXPECT_EQ(server_->counters().accepted, 1U);
  EXPECT_EQ(server_->counters().requests, 5U);
  EXPECT_EQ(server_->counters().requests_running, 0U);
}

TEST_F(Http1ServerTest, PipelinedRequestsAreAnsweredInOrder) {
  serve();
  auto client = connect();
  client->send(
      "POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab"
      "POST /2 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3\r\ncde\r\n1\r\nf\r\n0\r\n\r\nGET /3 HTTP/1.1\r\nHost: h\r\n\r\n");
  ASSERT_TRUE(ends_with(*client, "/3:"));
  const std::string& all = client->received();
  EXPECT_LT(all.find("/1:ab"), all.find("/2:cdef"));
  EXPECT_LT(all.find("/2:cdef"), all.find("/3:"));
}

TEST_F(Http1ServerTest, AcceptsBytesOneByOne) {
  serve();
  for (const std::string body : {"Content-Length: 5\r\n\r\nhello",
                                 "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"}) {
    auto client = connect();
    for (const char c : "POST /x HTTP/1.1\r\nHost: h\r\n" + body) {
      client->send({&c, 1});
      loop_->run_turn(Duration::zero());
    }
    ASSERT_TRUE(ends_with(*client, "/x:hello")) << client->received();
  }
}

TEST_F(Http1ServerTest, LargeBodiesArriveWholeAndTheirMemoryComesBack) {
  serve();
  auto client = connect();
  std::string body(10 * 1024 * 1024, 'x');
  for (std::size_t i = 0; i < body.size(); i += 997) body[i] = static_cast<char>('a' + i % 23);
  client->send("POST /big HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(body.size()) +
               "\r\n\r\n" + body + kGet);
  ASSERT_TRUE(ends_with(*client, "/a:"));
  EXPECT_NE(client->received().find("/big:" + body), std::string::npos);
  client->take();
  client->send("POST /big HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (std::size_t at = 0; at < body.size(); at += 65536) {
    const std::string piece = body.substr(at, 65536);
    client->send(fmt::format("{:x}\r\n{}\r\n", piece.size(), piece));
  }
  client->send("0\r\n\r\n");
  ASSERT_TRUE(until([&] { return client->received().size() > body.size(); }));
  ASSERT_TRUE(ends_with(*client, body.substr(body.size() - 1000)));
  EXPECT_EQ(handler_.last_body, body);
  client.reset();
  server_.reset();
  loop_->run_turn(Duration::zero());
  EXPECT_EQ(loop_->buffers().lent_bytes(), 0U);
}

TEST_F(Http1ServerTest, StreamsChunksAndFramesThem) {
  serve();
  auto client = connect();
  client->send("GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
  ASSERT_TRUE(until([&] { return handler_.held != nullptr; }));
  handler_.held->start(200, {{"content-type", "text/event-stream"}}, BodyFraming::chunked());
  handler_.held->write_chunk("data: 1\n\n");
  ASSERT_TRUE(ends_with(*client, "9\r\ndata: 1\n\n\r\n")) << "a chunk must not wait for the next";
  handler_.held->write_chunk("data: 2\n\n");
  handler_.held->finish();
  ASSERT_TRUE(ends_with(*client, "9\r\ndata: 2\n\n\r\n0\r\n\r\n"));
  client->take();
  client->send(kGet);
  ASSERT_TRUE(ends_with(*client, "/a:"));
}

TEST_F(Http1ServerTest, OldClientsGetUnframedBytesAndTheEndOfTheConnection) {
  serve();
  auto client = connect();
  client->send("GET /hold HTTP/1.0\r\n\r\n");
  ASSERT_TRUE(until([&] { return handler_.held != nullptr; }));
  EXPECT_FALSE(handler_.held->accepts_chunked());
  handler_.held->start(200, {}, BodyFraming::chunked());
  handler_.held->write_chunk("abc");
  handler_.held->finish();
  ASSERT_TRUE(until([&] { return client->ended(); }));
  EXPECT_EQ(client->received(), "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nabc");
}

TEST_F(Http1ServerTest, HeadRequestsGetNoBody) {
  serve();
  auto client = connect();
  client->send("HEAD /abc HTTP/1.1\r\nHost: h\r\n\r\n" + kGet);
  ASSERT_TRUE(ends_with(*client, "/a:"));
  EXPECT_NE(client->received().find("content-length: 5\r\n\r\nHTTP/1.1 200"), std::string::npos);
}

TEST_F(Http1ServerTest, ASlowReaderHoldsTheWriterBackWithinABound) {
  serve();
  auto client = connect(Reading::kHeld);
  client->send("GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
  ASSERT_TRUE(until([&] { return handler_.held != nullptr; }));
  const std::string chunk(32 * 1024, 'z');
  handler_.held->start(200, {}, BodyFraming::chunked());
  std::size_t written = 0;
  // A writer that stops when something is pending: the kernel's buffers fill first.
  while (written < (std::size_t{64} << 20)) {
    handler_.held->write_chunk(chunk);
    written += chunk.size();
    loop_->run_turn(Duration::zero());
    if (handler_.held->pending_bytes() > 0) break;
  }
  EXPECT_GT(handler_.held->pending_bytes(), 0U);
  EXPECT_LE(handler_.held->pending_bytes(), chunk.size() + 16);
  handler_.drained = 0;
  client->read_on();
  ASSERT_TRUE(until([&] { return handler_.drained > 0; }));
  EXPECT_EQ(handler_.held->pending_bytes(), 0U);
  handler_.held->finish();
  ASSERT_TRUE(ends_with(*client, "0\r\n\r\n"));
  EXPECT_GT(client->received().size(), written);
}

TEST_F(Http1ServerTest, AWriterThatIgnoresBackPressureLosesTheConnection) {
  Http1ServerOptions options;
  options.pending_bytes_max = 256 * 1024;
  serve(options);
  auto client = connect(Reading::kHeld);
  client->send("GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
  ASSERT_TRUE(until([&] { return handler_.held != nullptr; }));
  handler_.held->start(200, {}, BodyFraming::chunked());
  const std::string chunk(64 * 1024, 'z');
  for (int i = 0; i < 2000 && handler_.gone == 0; ++i) {
    handler_.held->write_chunk(chunk);
    EXPECT_LE(handler_.held->pending_bytes(), options.pending_bytes_max);
    loop_->run_turn(Duration::zero());
  }
  EXPECT_EQ(handler_.gone, 1);
  EXPECT_EQ(server_->counters().pending_limit_hits, 1U);
  EXPECT_EQ(server_->counters().requests_running, 0U);
}

TEST_F(Http1ServerTest, AClientThatLeavesIsSeenAtOnce) {
  serve();
  for (const bool with_reset : {false, true}) {
    auto client = connect();
    client->send("GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
    ASSERT_TRUE(until([&] { return handler_.held != nullptr; }));
    const int before = handler_.gone;
    with_reset ? client->abort() : client->close();
    ASSERT_TRUE(until([&] { return handler_.gone == before + 1; }));
    EXPECT_EQ(server_->counters().connections, 0U);
  }
  EXPECT_EQ(server_->counters().clients_gone, 2U);
}

TEST_F(Http1ServerTest, AClientThatMayStillReadIsAskedAndAnswered) {
  serve();
  handler_.half_closed = HalfClosed::kMayRead;
  for (const bool leaves : {false, true}) {
    auto client = connect();
    client->send("GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
    ASSERT_TRUE(until([&] { return handler_.held != nullptr; }));
    if (leaves) {
      client->close();
      ASSERT_TRUE(until([&] { return handler_.gone == 1; }));
    } else {
      ::shutdown(client->fd(), SHUT_WR);
      ASSERT_TRUE(ends_with(*client, "HTTP/1.1 100 Continue\r\n\r\n"));
      std::exchange(handler_.held, nullptr)->send_response(200, {}, "kept");
      ASSERT_TRUE(ends_with(*client, "kept"));
      EXPECT_EQ(handler_.gone, 0);
    }
    ASSERT_TRUE(until([&] { return server_->counters().connections == 0; }));
  }
}

TEST_F(Http1ServerTest, AbortResetsTheClient) {
  serve();
  auto client = connect();
  client->send("GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
  ASSERT_TRUE(until([&] { return handler_.held != nullptr; }));
  handler_.held->start(200, {}, BodyFraming::of_length(100));
  handler_.held->write_chunk("part");
  loop_->run_turn(Duration::zero());
  handler_.held->abort();
  ASSERT_TRUE(until([&] { return client->ended(); }));
  EXPECT_TRUE(client->was_reset());
  EXPECT_EQ(handler_.gone, 0) << "the handler ended it itself";
}

TEST_F(Http1ServerTest, AResponseShorterThanPromisedIsReset) {
  serve();
  auto client = connect();
  client->send("GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
  ASSERT_TRUE(until([&] { return handler_.held != nullptr; }));
  handler_.held->start(200, {}, BodyFraming::of_length(100));
  handler_.held->write_chunk("part");
  handler_.held->finish();
  ASSERT_TRUE(until([&] { return client->ended(); }));
  EXPECT_TRUE(client->was_reset());
}

TEST_F(Http1ServerTest, MalformedRequestsAreRefusedThroughTheHandlerAndClosed) {
  serve();
  auto client = connect();
  client->send(
      "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked"
      "\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n");
  ASSERT_TRUE(until([&] { return client->ended(); }));
  EXPECT_TRUE(client->received().starts_with("HTTP/1.1 400 Bad Request\r\n"));
  EXPECT_TRUE(client->received().ends_with("connection: close\r\n\r\nrefused"));
  EXPECT_EQ(handler_.requests, 0);
  const auto index = static_cast<std::size_t>(codec::Http1Error::kLengthAndEncoding);
  EXPECT_EQ(server_->counters().malformed[index], 1U);
  client.reset();
  ASSERT_TRUE(until([&] { return server_->counters().connections == 0; }));
}

TEST_F(Http1ServerTest, BodiesBeyondTheLimitGet413WithTheReplyReadable) {
  Http1ServerOptions options;
  options.body_bytes_max = 1000;
  serve(options);
  const std::string big(300'000, 'b');
  for (const std::string& request :
       {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n" + big,
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n493E0\r\n" + big}) {
    auto client = connect();
    client->send(request);
    ASSERT_TRUE(until([&] { return client->ended(); }));
    EXPECT_TRUE(client->received().starts_with("HTTP/1.1 413 Content Too Large\r\n"));
    EXPECT_TRUE(client->received().ends_with("refused"));
    EXPECT_FALSE(client->was_reset());
    EXPECT_EQ(handler_.refused, RefusalKind::kBodyTooLarge);
  }
  EXPECT_EQ(handler_.requests, 0);
}

TEST_F(Http1ServerTest, BufferedBytesOverAllConnectionsAreBounded) {
  Http1ServerOptions options;
  options.buffered_bytes_max = 100 * 1024;
  serve(options);
  const std::string head = "POST /hold HTTP/1.1\r\nHost: h\r\nContent-Length: 60000\r\n\r\n";
  auto first = connect();
  first->send(head + std::string(60000, 'a'));
  ASSERT_TRUE(until([&] { return handler_.held != nullptr; }));
  auto announced = connect();
  announced->send(head);
  auto second = connect();
  second->send(head + std::string(59000, 'a'));
  ASSERT_TRUE(until([&] { return second->ended(); }));
  EXPECT_FALSE(announced->ended()) << "what is only announced takes nothing";
  EXPECT_TRUE(second->received().starts_with("HTTP/1.1 503 "));
  EXPECT_EQ(handler_.refused, RefusalKind::kOutOfMemory);
  handler_.held->send_response(200, {}, "ok");
  ASSERT_TRUE(ends_with(*first, "ok"));
  auto third = connect();
  third->send(head + std::string(60000, 'a'));
  ASSERT_TRUE(until([&] { return handler_.requests == 2; }));
}

TEST_F(Http1ServerTest, ABodyBeyondTheFirstBufferArrivesWhole) {
  serve();
  std::string body;
  for (int i = 0; body.size() < 3'000'000; ++i) body += std::to_string(i);
  auto client = connect();
  client->send("POST /e HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(body.size()) +
               "\r\n\r\n" + body);
  ASSERT_TRUE(ends_with(*client, "/e:" + body));
}

TEST_F(Http1ServerTest, ExpectationIsAnsweredBeforeTheBody) {
  serve();
  auto client = connect();
  client->send("POST /e HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  ASSERT_TRUE(ends_with(*client, "HTTP/1.1 100 Continue\r\n\r\n"));
  client->send("ok");
  ASSERT_TRUE(ends_with(*client, "/e:ok"));
}

TEST_F(Http1ServerTest, TimeoutsEndSlowHeadsSlowBodiesAndIdleConnections) {
  Http1ServerOptions options;
  options.idle_timeout = options.head_timeout = options.body_timeout = milliseconds(20);
  serve(options);
  auto slow_head = connect();
  auto slow_body = connect();
  auto idle = connect();
  slow_head->send("GET / HTT");
  slow_body->send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab");
  idle->send(kGet);
  ASSERT_TRUE(until([&] { return slow_head->ended() && slow_body->ended() && idle->ended(); }));
  EXPECT_TRUE(slow_head->received().starts_with("HTTP/1.1 408 "));
  EXPECT_TRUE(slow_body->received().starts_with("HTTP/1.1 408 "));
  EXPECT_TRUE(idle->received().ends_with("/a:"));
  EXPECT_EQ(server_->counters().idle_closed, 1U);
}

TEST_F(Http1ServerTest, ABodyThatDripsIsRefusedWhenItsTimeIsOver) {
  Http1ServerOptions options;
  options.receive_timeout = milliseconds(40);
  serve(options);
  auto client = connect();
  client->send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n");
  // Every turn brings a byte, so that the body never stalls.
  ASSERT_TRUE(until([&] {
    if (!client->ended()) client->send("x");
    return client->ended();
  }));
  EXPECT_TRUE(client->received().starts_with("HTTP/1.1 408 ")) << client->received();
  EXPECT_EQ(handler_.requests, 0);
}

TEST_F(Http1ServerTest, AReaderThatStallsForTheWriteTimeoutIsDropped) {
  Http1ServerOptions options;
  options.write_timeout = milliseconds(20);
  serve(options);
  auto client = connect(Reading::kHeld);
  client->send("GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
  ASSERT_TRUE(until([&] { return handler_.held != nullptr; }));
  handler_.held->start(200, {}, BodyFraming::chunked());
  handler_.held->write_chunk(std::string(20 << 20, 'w'));
  ASSERT_TRUE(until([&] { return handler_.gone == 1; }));
  EXPECT_EQ(server_->counters().write_timeouts, 1U);
}

TEST_F(Http1ServerTest, ConnectionsBeyondTheLimitGet503) {
  Http1ServerOptions options;
  options.connections_max = 1;
  serve(options);
  auto first = connect();
  first->send(kGet);
  ASSERT_TRUE(ends_with(*first, "/a:"));
  auto second = connect();
  ASSERT_TRUE(until([&] { return second->ended(); }));
  EXPECT_TRUE(second->received().starts_with("HTTP/1.1 503 "));
  EXPECT_EQ(handler_.refused, RefusalKind::kTooManyConnections);
}

TEST_F(Http1ServerTest, ServersOfOneBudgetShareItsBounds) {
  Http1ServerOptions options;
  options.connections_max = 2;
  options.buffered_bytes_max = 100 * 1024;
  auto other = std::make_unique<Http1Server>(*loop_, handler_, options, &budget_);
  ASSERT_TRUE(other->listen(SocketAddress::loopback(0), PortSharing::kExclusive).has_value());
  serve(options);
  RawClient holder(*loop_, other->local_address());
  holder.send("POST /hold HTTP/1.1\r\nHost: h\r\nContent-Length: 60000\r\n\r\n" +
              std::string(60000, 'a'));
  ASSERT_TRUE(until([&] { return handler_.held != nullptr; }));
  EXPECT_EQ(budget_.buffered_bytes, 60000U);
  auto refused = connect();
  refused->send("POST /e HTTP/1.1\r\nHost: h\r\nContent-Length: 60000\r\n\r\n" +
                std::string(60000, 'a'));
  ASSERT_TRUE(until([&] { return refused->ended(); }));
  EXPECT_EQ(handler_.refused, RefusalKind::kOutOfMemory);
  handler_.held->drop_body();
  EXPECT_EQ(budget_.buffered_bytes, 0U);
  EXPECT_EQ(handler_.held->body(), "");
  refused.reset();
  ASSERT_TRUE(until([&] { return budget_.connections == 1; }));
  auto second = connect();
  auto third = connect();
  ASSERT_TRUE(until([&] { return third->ended(); }));
  EXPECT_EQ(handler_.refused, RefusalKind::kTooManyConnections);
  handler_.held->send_response(200, {}, "done");
  ASSERT_TRUE(until([&] { return holder.received().ends_with("done"); }));
  other.reset();
  EXPECT_EQ(budget_.connections, 1U);
}

TEST_F(Http1ServerTest, TheLongestIdleConnectionsAreClosedFirst) {
  serve();
  std::vector<std::unique_ptr<RawClient>> clients;
  for (const std::size_t i : {0U, 1U, 2U, 0U}) {
    if (clients.size() == i) clients.push_back(connect());
    clients[i]->take();
    clients[i]->send(kGet);
    ASSERT_TRUE(ends_with(*clients[i], "/a:"));
  }
  server_->close_idle(1, std::chrono::hours(1));
  server_->close_idle(0.3, Duration::zero());
  ASSERT_TRUE(until([&] { return clients[1]->ended(); }));
  EXPECT_FALSE(clients[0]->ended() || clients[2]->ended());
  EXPECT_EQ(server_->counters().idle_dropped, 1U);
}

TEST_F(Http1ServerTest, RestrainedServersAcceptNobodyAndGoOnLater) {
  serve().restrain({.accepts = false});
  auto client = connect();
  client->send(kGet);
  ASSERT_TRUE(until([&] { return client->connected(); }));
  for (int i = 0; i < 20; ++i) loop_->run_turn(milliseconds(1));
  EXPECT_EQ(server_->counters().accepted, 0U);
  server_->restrain({});
  ASSERT_TRUE(ends_with(*client, "/a:"));
}

TEST_F(Http1ServerTest, RestrainedServersTakeNoBodyBeyondTheFirstBuffer) {
  serve().restrain({.takes_bodies = false});
  const auto post = [&](std::string_view framing, const std::string& body) {
    auto client = connect();
    client->send("POST /a HTTP/1.1\r\nHost: h\r\n" + std::string(framing) + "\r\n\r\n" + body);
    until([&] { return client->received().find("\r\n\r\n") != std::string::npos; });
    return client->received();
  };
  const std::string large(100'000, 'b');
  EXPECT_TRUE(post("Content-Length: 5", "small").starts_with("HTTP/1.1 200 "));
  for (const std::string& refused : {post("Content-Length: 100000", large),
                                     post("Transfer-Encoding: chunked", "186a0\r\n" + large)}) {
    EXPECT_TRUE(refused.starts_with("HTTP/1.1 503 ")) << refused;
    EXPECT_EQ(handler_.refused, RefusalKind::kOutOfMemory);
  }
  EXPECT_EQ(handler_.requests, 1);
  EXPECT_EQ(budget_.buffered_bytes, 0U);
  server_->restrain({});
  EXPECT_TRUE(post("Content-Length: 100000", large).starts_with("HTTP/1.1 200 "));
}

TEST_F(Http1ServerTest, DrainFinishesWhatRunsAndClosesTheRest) {
  serve();
  auto running = connect();
  auto idle = connect();
  idle->send(kGet);
  running->send("GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
  ASSERT_TRUE(ends_with(*idle, "/a:"));
  ASSERT_TRUE(until([&] { return handler_.held != nullptr; }));
  bool drained = false;
  server_->drain([&drained] { drained = true; });
  ASSERT_TRUE(until([&] { return idle->ended(); }));
  EXPECT_FALSE(drained);
  handler_.held->send_response(200, {}, "last");
  ASSERT_TRUE(until([&] { return running->ended(); }));
  EXPECT_NE(running->received().find("connection: close\r\n\r\nlast"), std::string::npos);
  running.reset();
  ASSERT_TRUE(until([&] { return drained; }));
  EXPECT_EQ(server_->counters().connections, 0U);
}

}  // namespace
}  // namespace fairlead::net
