// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "io/net/http1_server.h"
#include "io/net/testing/http2_client.h"

namespace fairlead::net {
namespace {

using codec::BodyFraming;
using std::chrono::milliseconds;
using testing::HeaderList;
using testing::Http2Client;
using testing::make_loop;
using testing::RawClient;
using testing::run_until;

const std::string kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr std::size_t kMiB = std::size_t{1} << 20;

// Answers /echo at once with what it was sent; keeps every other request.
struct Handler final : RequestHandler {
  struct Held final : ExchangeObserver {
    explicit Held(ServerExchange& of) : exchange(&of) {}
    void on_client_gone() override { gone = true; }
    void on_drained() override { ++drained; }
    ServerExchange* exchange;
    bool gone = false;
    int drained = 0;
  };

  void on_request(ServerExchange& exchange) override {
    ++requests;
    last_target = exchange.head().target;
    last_host = exchange.head().host;
    last_headers.clear();
    for (const codec::Http1Header& header : exchange.head().headers) {
      last_headers.emplace_back(header.name, header.value);
    }
    if (exchange.head().path() != "/echo") {
      auto held = std::make_unique<Held>(exchange);
      exchange.set_observer(held.get());
      running.push_back(std::move(held));
      return;
    }
    const std::string body(exchange.body());
    exchange.send_response(200, {{"Content-Type", "text/plain"}}, body);
  }
  void on_refusal(const Http1Refusal& refusal, RefusalReply& reply) override {
    refused = refusal.kind;
    reply.body = "refused";
  }

  int requests = 0;
  std::string last_target;
  std::string last_host;
  HeaderList last_headers;
  RefusalKind refused{};
  std::vector<std::unique_ptr<Held>> running;
};

class Http2ServerTest : public ::testing::Test {
 protected:
  Http1Server& serve(Http1ServerOptions options = {}) {
    if (options.http2_streams_max == 0) options.http2_streams_max = 256;
    server_ = std::make_unique<Http1Server>(*loop_, handler_, options);
    EXPECT_TRUE(server_->listen(SocketAddress::loopback(0), PortSharing::kExclusive).has_value());
    return *server_;
  }
  std::unique_ptr<Http2Client> connect(Http2Client::Settings settings = {}) {
    return std::make_unique<Http2Client>(*loop_, server_->local_address(), settings);
  }
  std::uint64_t floods(Http2Flood flood) const {
    return server_->counters().http2_floods[static_cast<std::size_t>(flood)];
  }
  // A client that floods loses its connection, says why, and takes nobody with it.
  void expect_flood_ends(Http2Client& client, Http2Flood flood) {
    ASSERT_TRUE(client.run_until([&] { return client.ended(); }));
    EXPECT_EQ(client.goaway_code(), std::uint32_t{NGHTTP2_ENHANCE_YOUR_CALM});
    EXPECT_EQ(floods(flood), 1U);
    EXPECT_TRUE(run_until(*loop_, [&] { return server_->counters().requests_running == 0; }));
    auto other = connect();
    EXPECT_EQ(other->wait(other->request(Http2Client::get("/echo"))).status, 200);
  }
  static std::string frame(std::uint8_t type, std::uint8_t flags, std::uint32_t stream,
                           std::string_view payload) {
    std::string out;
    const auto byte = [&](std::size_t value) { out += static_cast<char>(value & 0xFF); };
    byte(payload.size() >> 16);
    byte(payload.size() >> 8);
    byte(payload.size());
    byte(type);
    byte(flags);
    for (int shift = 24; shift >= 0; shift -= 8) byte(stream >> shift);
    return out += payload;
  }

  std::unique_ptr<EventLoop> loop_ = make_loop();
  Handler handler_;
  std::unique_ptr<Http1Server> server_;
};

TEST_F(Http2ServerTest, AnswersARequestAndTellsItAsHttp1Would) {
  serve();
  auto client = connect();
  HeaderList headers = Http2Client::post("/echo?x=1");
  headers.push_back({"x-some", "thing"});
  headers.push_back({"cookie", "a=1"});
  headers.push_back({"cookie", "b=2"});
  const auto& answer = client->wait(client->request(headers, "hello"));
  EXPECT_EQ(answer.status, 200);
  EXPECT_TRUE(answer.ended);
  EXPECT_EQ(answer.body, "hello");
  EXPECT_EQ(answer.headers.at("content-type"), "text/plain");
  EXPECT_EQ(answer.headers.at("content-length"), "5");
  EXPECT_EQ(handler_.last_target, "/echo?x=1");
  EXPECT_EQ(handler_.last_host, "test");
  const HeaderList expected = {{"x-some", "thing"}, {"cookie", "a=1; b=2"}, {"host", "test"}};
  EXPECT_EQ(handler_.last_headers, expected);
  EXPECT_EQ(server_->counters().http2_connections, 1U);
}

TEST_F(Http2ServerTest, BothVersionsShareTheListener) {
  serve();
  RawClient http1(*loop_, server_->local_address());
  http1.send("P");
  run_until(*loop_, [&] { return server_->counters().connections == 1; });
  http1.send("OST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi");
  EXPECT_TRUE(run_until(*loop_, [&] { return http1.received().ends_with("\r\n\r\nhi"); }));
}

TEST_F(Http2ServerTest, WithoutTheOptionThePrefaceIsRefusedAsHttp1) {
  server_ = std::make_unique<Http1Server>(*loop_, handler_, Http1ServerOptions{});
  ASSERT_TRUE(server_->listen(SocketAddress::loopback(0), PortSharing::kExclusive).has_value());
  RawClient client(*loop_, server_->local_address());
  client.send(kPreface);
  EXPECT_TRUE(run_until(*loop_, [&] { return client.ended(); }));
  EXPECT_TRUE(client.received().starts_with("HTTP/1.1 505"));
}

TEST_F(Http2ServerTest, LargeBodiesFlowBothWaysByteForByte) {
  serve();
  auto client = connect({.stream_window = 65'535});
  for (const std::size_t size : {std::size_t{1}, kMiB, 5 * kMiB + 3}) {
    std::string body(size, ' ');
    for (std::size_t i = 0; i < size; ++i) body[i] = static_cast<char>('a' + i * i % 23);
    HeaderList headers = Http2Client::post("/echo");
    if (size % 2 == 0) headers.push_back({"content-length", std::to_string(size)});
    const auto& answer = client->wait(client->request(headers, body));
    EXPECT_EQ(answer.status, 200);
    EXPECT_TRUE(answer.body == body);
  }
  EXPECT_EQ(loop_->buffers().lent_bytes(), 0U);
}

TEST_F(Http2ServerTest, AHundredRequestsRunAtATimeOnOneConnection) {
  serve();
  auto client = connect();
  std::vector<std::int32_t> ids;
  for (int i = 0; i < 100; ++i) ids.push_back(client->request(Http2Client::post("/hold"), "x"));
  ASSERT_TRUE(client->run_until([&] { return handler_.running.size() == 100; }));
  EXPECT_EQ(server_->counters().requests_running, 100U);
  // Answered in the opposite order, in pieces.
  for (std::size_t i = 100; i > 0; --i) {
    ServerExchange& exchange = *handler_.running[i - 1]->exchange;
    exchange.start(200, {}, BodyFraming::chunked());
    exchange.write_chunk("one,");
    exchange.write_chunk("two");
    exchange.finish();
  }
  for (const std::int32_t id : ids) EXPECT_EQ(client->wait(id).body, "one,two");
  EXPECT_EQ(server_->counters().requests_running, 0U);
}

TEST_F(Http2ServerTest, MoreStreamsThanAllowedAreRefusedAsUnprocessed) {
  serve({.http2_streams_max = 2});
  auto client = connect();
  // Before the server's settings are known: a client may not know better.
  for (int i = 0; i < 3; ++i) client->request(Http2Client::get("/hold"));
  ASSERT_TRUE(client->run_until([&] { return client->answer(5).closed; }));
  EXPECT_EQ(client->answer(5).reset, std::uint32_t{NGHTTP2_REFUSED_STREAM});
  EXPECT_EQ(handler_.requests, 2);
  EXPECT_EQ(server_->counters().http2_streams_refused, 1U);
  EXPECT_EQ(server_->counters().http2_stream_errors, 0U) << "it broke no rule";
}

TEST_F(Http2ServerTest, ASlowReaderOfOneStreamDoesNotStopAnother) {
  serve();
  auto client = connect({.stream_window = 1000, .takes_windows = false});
  const std::int32_t slow = client->request(Http2Client::get("/hold"));
  ASSERT_TRUE(client->run_until([&] { return handler_.running.size() == 1; }));
  Handler::Held& held = *handler_.running[0];
  held.exchange->start(200, {}, BodyFraming::chunked());
  held.exchange->write_chunk(std::string(300'000, 's'));
  ASSERT_TRUE(client->run_until([&] { return client->answer(slow).body.size() == 1000; }));
  EXPECT_EQ(held.exchange->pending_bytes(), 299'000U);
  EXPECT_EQ(held.drained, 0);
  const auto& quick = client->wait(client->request(Http2Client::post("/echo"), "quick"));
  EXPECT_EQ(quick.body, "quick");
  // The slow one goes on where it stood.
  client->give_back(slow, 1000);
  nghttp2_session_set_local_window_size(client->session(), 0, slow, 1 << 20);
  ASSERT_TRUE(client->run_until([&] { return client->answer(slow).body.size() == 300'000; }));
  EXPECT_TRUE(client->run_until([&] { return held.drained == 1; }));
  held.exchange->finish();
  EXPECT_TRUE(client->wait(slow).ended);
}

TEST_F(Http2ServerTest, AResetTellsTheObserverOfThatStreamOnly) {
  serve();
  auto client = connect();
  const std::int32_t first = client->request(Http2Client::get("/hold"));
  client->request(Http2Client::get("/hold"));
  ASSERT_TRUE(client->run_until([&] { return handler_.running.size() == 2; }));
  client->reset(first);
  ASSERT_TRUE(client->run_until([&] { return handler_.running[0]->gone; }));
  EXPECT_FALSE(handler_.running[1]->gone);
  EXPECT_EQ(server_->counters().clients_gone, 1U);
  client->raw().close();
  EXPECT_TRUE(run_until(*loop_, [&] { return handler_.running[1]->gone; }));
  EXPECT_TRUE(run_until(*loop_, [&] { return server_->counters().connections == 0; }));
  EXPECT_EQ(server_->counters().requests_running, 0U);
}

TEST_F(Http2ServerTest, AbortAndAShortBodyResetTheStream) {
  serve();
  auto client = connect();
  const std::int32_t cut = client->request(Http2Client::get("/hold"));
  const std::int32_t brief = client->request(Http2Client::get("/hold"));
  ASSERT_TRUE(client->run_until([&] { return handler_.running.size() == 2; }));
  handler_.running[0]->exchange->start(200, {}, BodyFraming::chunked());
  handler_.running[0]->exchange->write_chunk("part");
  loop_->run_turn(Duration::zero());
  handler_.running[0]->exchange->abort();
  handler_.running[1]->exchange->start(200, {}, BodyFraming::of_length(10));
  handler_.running[1]->exchange->write_chunk("12345");
  handler_.running[1]->exchange->finish();
  EXPECT_EQ(client->wait(cut).body, "part");
  EXPECT_EQ(client->wait(cut).reset, std::uint32_t{NGHTTP2_INTERNAL_ERROR});
  EXPECT_FALSE(client->wait(brief).ended);
}

TEST_F(Http2ServerTest, AnAnswerWithoutABodyEndsWithItsHead) {
  serve();
  auto client = connect();
  HeaderList head = Http2Client::get("/echo");
  head[0].second = "HEAD";
  const auto& answer = client->wait(client->request(head));
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.headers.at("content-length"), "0");
  EXPECT_TRUE(answer.ended);
}

TEST_F(Http2ServerTest, ExpectContinueIsAnsweredFirst) {
  serve();
  auto client = connect();
  HeaderList headers = Http2Client::post("/echo");
  headers.push_back({"expect", "100-continue"});
  const std::int32_t id = client->request(headers, {}, false);
  EXPECT_TRUE(client->run_until([&] { return client->answer(id).status == 100; }));
}

TEST_F(Http2ServerTest, LimitsAreRepliesOnTheStreamAndTheConnectionLives) {
  Http1ServerOptions options;
  options.body_bytes_max = 1000;
  options.head.head_bytes = 4096;
  options.head.headers = 20;
  serve(options);
  auto client = connect();
  const auto status = [&](const HeaderList& headers, const std::string& body) {
    const auto& answer = client->wait(client->request(headers, body));
    EXPECT_EQ(answer.body, "refused");
    return answer.status;
  };
  const HeaderList plain = Http2Client::post("/echo");
  EXPECT_EQ(status(plain, std::string(1001, 'x')), 413);
  EXPECT_EQ(handler_.refused, RefusalKind::kBodyTooLarge);
  HeaderList announced = plain;
  announced.push_back({"content-length", "5000000"});
  EXPECT_EQ(status(announced, std::string(5'000'000, 'x')), 413);
  HeaderList wide = plain;
  wide.push_back({"x-wide", std::string(5000, 'w')});
  EXPECT_EQ(status(wide, {}), 431);
  HeaderList many = plain;
  for (int i = 0; i < 21; ++i) many.push_back({"x-many", "1"});
  EXPECT_EQ(status(many, {}), 431);
  HeaderList where = plain;
  where[3].second = "/a b";
  client->wait(client->request(where));
  EXPECT_EQ(handler_.requests, 0);
  EXPECT_EQ(client->wait(client->request(plain, std::string(1000, 'x'))).status, 200);
  EXPECT_EQ(loop_->buffers().lent_bytes(), 0U);
}

TEST_F(Http2ServerTest, RequestsThatHttp1WouldMisreadNeverReachTheHandler) {
  serve();
  auto client = connect();
  const auto refused = [&](const HeaderList& extra, std::size_t at = 9, std::string value = {}) {
    HeaderList headers = Http2Client::post("/echo");
    if (at < headers.size()) headers[at].second = std::move(value);
    headers.insert(headers.end(), extra.begin(), extra.end());
    const auto& answer = client->wait(client->request(headers, "abc"));
    return answer.status == 400 || answer.reset == NGHTTP2_PROTOCOL_ERROR;
  };
  EXPECT_TRUE(refused({{"transfer-encoding", "chunked"}}));
  EXPECT_TRUE(refused({{"connection", "x-a"}}));
  EXPECT_TRUE(refused({{"upgrade", "h2c"}}));
  EXPECT_TRUE(refused({{"content-length", "2"}}));
  EXPECT_TRUE(refused({{"content-length", "3"}, {"content-length", "4"}}));
  EXPECT_TRUE(refused({{"x-split", "a\r\nx-evil: 1"}}));
  EXPECT_TRUE(refused({{"x bad", "a"}}));
  EXPECT_TRUE(refused({{":path", "/late"}}));
  EXPECT_TRUE(refused({}, 0, "PO ST"));
  EXPECT_TRUE(refused({}, 2, "host/evil"));
  EXPECT_TRUE(refused({}, 3, "/a\r\nx-evil: 1"));
  EXPECT_TRUE(refused({}, 3, "relative"));
  EXPECT_TRUE(refused({}, 3, ""));
  EXPECT_EQ(handler_.requests, 0);
  EXPECT_EQ(client->wait(client->request(Http2Client::post("/echo"), "abc")).status, 200);
}

TEST_F(Http2ServerTest, BodiesBeyondTheServersMemoryAreRefused) {
  Http1ServerOptions options;
  options.buffered_bytes_max = 3 * kMiB;
  serve(options);
  auto client = connect();
  std::vector<std::int32_t> ids;
  for (int i = 0; i < 8; ++i) {
    ids.push_back(client->request(Http2Client::post("/hold"), std::string(kMiB, 'x')));
  }
  int refused = 0;
  ASSERT_TRUE(client->run_until([&] {
    refused = 0;
    for (const std::int32_t id : ids) refused += client->answer(id).status == 503 ? 1 : 0;
    return refused + static_cast<int>(handler_.running.size()) == 8;
  }));
  EXPECT_GE(refused, 5);
  EXPECT_EQ(handler_.refused, RefusalKind::kOutOfMemory);
}

TEST_F(Http2ServerTest, TimeoutsEndTheStreamThatIsLate) {
  Http1ServerOptions options;
  options.body_timeout = milliseconds(30);
  options.write_timeout = milliseconds(30);
  serve(options);
  auto client = connect({.stream_window = 10, .takes_windows = false});
  const std::int32_t late = client->request(Http2Client::post("/echo"), "begun", false);
  ASSERT_TRUE(client->run_until([&] { return client->answer(late).status == 408; }));
  EXPECT_EQ(handler_.refused, RefusalKind::kBodyTimeout);
  client->request(Http2Client::get("/hold"));
  ASSERT_TRUE(client->run_until([&] { return handler_.running.size() == 1; }));
  handler_.running[0]->exchange->start(200, {}, BodyFraming::chunked());
  handler_.running[0]->exchange->write_chunk(std::string(100, 'x'));
  EXPECT_TRUE(client->run_until([&] { return handler_.running[0]->gone; }));
  // The refusal of the late body does not fit the client's window either.
  EXPECT_TRUE(client->run_until([&] { return server_->counters().write_timeouts >= 1; }));
  EXPECT_FALSE(client->got_goaway());
}

TEST_F(Http2ServerTest, AClientThatReadsNothingAtAllIsCutOff) {
  Http1ServerOptions options;
  options.write_timeout = milliseconds(500);
  serve(options);
  RawClient client(*loop_, server_->local_address(), testing::Reading::kHeld);
  // A window as large as can be, so that only the socket holds the answer back.
  client.send(kPreface + frame(NGHTTP2_SETTINGS, 0, 0, std::string("\0\4\x7F\xFF\xFF\xFF", 6)) +
              frame(NGHTTP2_WINDOW_UPDATE, 0, 0, "\x3F\xFF\xFF\xFF") +
              frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1,
                    "\x82\x84\x86\x41\x01h"));
  ASSERT_TRUE(run_until(*loop_, [&] { return handler_.running.size() == 1; }));
  handler_.running[0]->exchange->send_response(200, {}, std::string(16 * kMiB, 'x'));
  EXPECT_TRUE(run_until(*loop_, [&] { return server_->counters().connections == 0; }));
  EXPECT_GE(server_->counters().write_timeouts, 1U);
}

TEST_F(Http2ServerTest, AnIdleConnectionIsToldAndClosed) {
  Http1ServerOptions options;
  options.idle_timeout = milliseconds(20);
  serve(options);
  auto client = connect();
  client->wait(client->request(Http2Client::get("/echo")));
  EXPECT_TRUE(client->run_until([&] { return client->ended(); }));
  EXPECT_TRUE(client->got_goaway());
  EXPECT_EQ(server_->counters().idle_closed, 1U);
}

TEST_F(Http2ServerTest, AHeadThatDoesNotEndClosesTheConnection) {
  Http1ServerOptions options;
  options.head_timeout = milliseconds(20);
  serve(options);
  RawClient client(*loop_, server_->local_address());
  // HEADERS without END_HEADERS: ":method: GET".
  client.send(kPreface + frame(NGHTTP2_SETTINGS, 0, 0, {}) + frame(NGHTTP2_HEADERS, 0, 1, "\x82"));
  EXPECT_TRUE(run_until(*loop_, [&] { return client.ended(); }));
  EXPECT_EQ(handler_.refused, RefusalKind::kHeadTimeout);
}

TEST_F(Http2ServerTest, DrainingLetsRunningRequestsEndAndThenCloses) {
  serve();
  auto client = connect();
  const std::int32_t id = client->request(Http2Client::get("/hold"));
  ASSERT_TRUE(client->run_until([&] { return handler_.running.size() == 1; }));
  bool drained = false;
  server_->drain([&] { drained = true; });
  ASSERT_TRUE(client->run_until([&] { return client->got_goaway(); }));
  EXPECT_FALSE(drained);
  handler_.running[0]->exchange->send_response(200, {}, "done");
  EXPECT_EQ(client->wait(id).body, "done");
  EXPECT_TRUE(client->run_until([&] { return client->ended(); }));
  client->raw().close();
  EXPECT_TRUE(run_until(*loop_, [&] { return drained; }));
}

TEST_F(Http2ServerTest, AFloodOfResetsEndsTheConnection) {
  serve();
  auto client = connect();
  ASSERT_EQ(client->wait(client->request(Http2Client::get("/echo"))).status, 200);
  for (int i = 0; i < 3000 && !client->ended(); ++i) {
    const std::int32_t id = client->request(Http2Client::get("/hold"));
    client->pump();
    client->reset(id);
    client->pump();
    if (i % 50 == 0) loop_->run_turn(Duration::zero());
  }
  EXPECT_LT(handler_.requests, 1100);
  expect_flood_ends(*client, Http2Flood::kResets);
}

TEST_F(Http2ServerTest, FloodsOfCheapFramesEndTheConnection) {
  serve();
  const std::map<Http2Flood, std::string> cheap = {
      {Http2Flood::kPings, frame(NGHTTP2_PING, 0, 0, std::string(8, 'p'))},
      {Http2Flood::kSettings, frame(NGHTTP2_SETTINGS, 0, 0, {})},
  };
  for (const auto& [flood, bytes] : cheap) {
    auto client = connect();
    client->request(Http2Client::get("/hold"));
    client->pump();
    std::string many;
    for (int i = 0; i < 1500; ++i) many += bytes;
    client->send_raw(many);
    expect_flood_ends(*client, flood);
  }
}

TEST_F(Http2ServerTest, EmptyDataFramesAreRationed) {
  serve();
  auto client = connect();
  const std::int32_t id = client->request(Http2Client::post("/echo"), "x", false);
  client->pump();
  std::string many;
  for (int i = 0; i < 1500; ++i) {
    many += frame(NGHTTP2_DATA, 0, static_cast<std::uint32_t>(id), {});
  }
  client->send_raw(many);
  expect_flood_ends(*client, Http2Flood::kEmptyFrames);
}

TEST_F(Http2ServerTest, ContinuationsWithoutEndAreRationed) {
  serve();
  auto client = connect();
  client->send_raw(frame(NGHTTP2_HEADERS, 0, 1, "\x82"));
  std::string many;
  for (int i = 0; i < 50; ++i) many += frame(NGHTTP2_CONTINUATION, 0, 1, "\x84");
  client->send_raw(many);
  expect_flood_ends(*client, Http2Flood::kContinuations);
}

// The server resets a stream whose window overflows: cheap for the client.
TEST_F(Http2ServerTest, ErrorsThatMakeTheServerResetStreamsAreRationed) {
  serve();
  auto client = connect();
  for (int i = 0; i < 2000 && !client->ended(); ++i) {
    const std::int32_t id = client->request(Http2Client::get("/hold"));
    client->send_raw(
        frame(NGHTTP2_WINDOW_UPDATE, 0, static_cast<std::uint32_t>(id), "\x7F\xFF\xFF\xFF"));
    client->run_until([&] { return client->answer(id).closed || client->ended(); });
  }
  expect_flood_ends(*client, Http2Flood::kStreamErrors);
}

// nghttp2 resets these streams without telling of it.
TEST_F(Http2ServerTest, RequestsThatBreakTheirContentLengthAreRationed) {
  serve();
  auto client = connect();
  HeaderList headers = Http2Client::post("/echo");
  headers.push_back({"content-length", "2"});
  for (int i = 0; i < 2000 && !client->ended(); ++i) client->wait(client->request(headers, "abc"));
  EXPECT_GE(server_->counters().http2_stream_errors, 1000U);
  EXPECT_LT(server_->counters().http2_stream_errors, 1500U);
  EXPECT_EQ(server_->counters().http2_floods[static_cast<std::size_t>(Http2Flood::kStreamErrors)],
            1U);
}

TEST_F(Http2ServerTest, GarbageAfterThePrefaceClosesTheConnection) {
  serve();
  RawClient client(*loop_, server_->local_address());
  client.send(kPreface + std::string(200, '\xFF'));
  EXPECT_TRUE(run_until(*loop_, [&] { return client.ended(); }));
  client.close();
  EXPECT_TRUE(run_until(*loop_, [&] { return server_->counters().connections == 0; }));
}

}  // namespace
}  // namespace fairlead::net
