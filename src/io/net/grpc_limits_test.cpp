// SPDX-License-Identifier: Apache-2.0
// What clients of a GrpcServer do wrong: refusals, bounds, floods, silence.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <map>
#include <string>
#include <vector>

#include "io/net/testing/grpc_fixture.h"

namespace fairlead::net {
namespace {

using std::chrono::milliseconds;
using testing::grpc_framed;
using testing::grpc_head;
using testing::GrpcServerTest;
using testing::HeaderList;
using testing::Http2Client;
using testing::RawClient;
using testing::run_until;

const std::string kClientPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

std::string raw_frame(std::uint8_t type, std::uint8_t flags, std::int32_t stream,
                      std::string_view payload) {
  std::string out;
  const auto byte = [&](std::size_t value) { out += static_cast<char>(value & 0xFF); };
  byte(payload.size() >> 16);
  byte(payload.size() >> 8);
  byte(payload.size());
  byte(type);
  byte(flags);
  for (int shift = 24; shift >= 0; shift -= 8) byte(static_cast<std::uint32_t>(stream) >> shift);
  return out += payload;
}
const std::string kClientSettings = raw_frame(NGHTTP2_SETTINGS, 0, 0, {});

class GrpcLimitsTest : public GrpcServerTest {
 protected:
  std::uint64_t floods(Http2Flood flood) const {
    return counters().floods[static_cast<std::size_t>(flood)];
  }
  // A client that floods loses its connection, hears why, and takes nobody with it.
  void expect_flood_ends(Http2Client& client, Http2Flood flood) {
    ASSERT_TRUE(client.run_until([&] { return client.ended(); }));
    EXPECT_EQ(client.goaway_code(), std::uint32_t{NGHTTP2_ENHANCE_YOUR_CALM});
    EXPECT_EQ(floods(flood), 1U);
    EXPECT_EQ(counters().protocol_errors, 0U);
    EXPECT_TRUE(run_until(*loop_, [&] { return counters().calls_running == 0; }));
    expect_service();
  }
  // Sends these bytes on a call and expects its status.
  void expect_refused(std::string_view body, GrpcRefusal refusal, GrpcStatus status,
                      bool whole = false) {
    auto client = connect();
    const auto id = client->request(grpc_head("/test.T/Hold"), std::string(body), whole);
    const auto& answer = client->wait(id);
    EXPECT_EQ(answer.headers.at("grpc-status"), std::to_string(static_cast<int>(status)));
    EXPECT_EQ(refused(refusal), 1U);
    EXPECT_EQ(service_.last().gone, GrpcGone::kBadMessage);
    EXPECT_EQ(finished(status), 1U);
    // The connection lives on.
    const auto next = client->request(grpc_head("/test.T/Echo"), grpc_framed("x"));
    EXPECT_EQ(client->wait(next).headers.at("grpc-status"), "0");
  }
};

TEST_F(GrpcLimitsTest, RefusesWhatIsNoCall) {
  serve({.head_bytes_max = 10'000});
  auto client = connect();
  const auto& unknown = client->wait(client->request(grpc_head("/no.Such/Method"), "x"));
  EXPECT_EQ(unknown.status, 200);
  EXPECT_EQ(unknown.headers.at("grpc-status"), "12");
  EXPECT_EQ(refused(GrpcRefusal::kUnknownMethod), 1U);

  HeaderList head = grpc_head("/test.T/Echo");
  head[0].second = "GET";
  EXPECT_EQ(client->wait(client->request(head)).status, 405);
  EXPECT_EQ(refused(GrpcRefusal::kNotPost), 1U);

  for (const char* type : {"application/json", "application/grpcx", "application/grp"}) {
    head = grpc_head("/test.T/Echo");
    head[4].second = type;
    EXPECT_EQ(client->wait(client->request(head, "{}")).status, 415) << type;
  }
  EXPECT_EQ(refused(GrpcRefusal::kNotGrpc), 3U);

  head = grpc_head("/test.T/Echo");
  head.push_back({"grpc-timeout", "soon"});
  EXPECT_EQ(client->wait(client->request(head, "x")).headers.at("grpc-status"), "13");
  EXPECT_EQ(refused(GrpcRefusal::kBadTimeout), 1U);

  head = grpc_head("/test.T/Echo");
  head.push_back({"x-large", std::string(10'000, 'x')});
  EXPECT_EQ(client->wait(client->request(head, "x")).headers.at("grpc-status"), "8");
  EXPECT_EQ(refused(GrpcRefusal::kHeadTooLarge), 1U);

  EXPECT_EQ(service_.begun, 0U);
  EXPECT_FALSE(client->got_goaway());
}

TEST_F(GrpcLimitsTest, RefusesMessagesThatItCannotRead) {
  serve({.message_bytes_max = 1000});
  std::string compressed = grpc_framed("x");
  compressed[0] = 1;
  expect_refused(compressed, GrpcRefusal::kCompressed, GrpcStatus::kUnimplemented);
  compressed[0] = 2;
  expect_refused(compressed, GrpcRefusal::kBadFrame, GrpcStatus::kInternal);
  expect_refused(grpc_framed(std::string(1001, 'x')), GrpcRefusal::kMessageTooLarge,
                 GrpcStatus::kResourceExhausted);
}

TEST_F(GrpcLimitsTest, RefusesAnEndWithinAMessage) {
  serve();
  expect_refused(grpc_framed("whole") + grpc_framed("cut").substr(0, 6),
                 GrpcRefusal::kTruncatedMessage, GrpcStatus::kInternal, true);
  EXPECT_EQ(service_.calls.front()->messages, std::vector<std::string>{"whole"});
  EXPECT_FALSE(service_.calls.front()->half_closed);
}

TEST_F(GrpcLimitsTest, AnAnnouncedMessageTakesNoMemoryUntilItComes) {
  serve();
  auto client = connect();
  const std::string announced = grpc_framed(std::string(4 << 20, 'x')).substr(0, 20);
  for (int i = 0; i < 10; ++i) client->request(grpc_head("/test.T/Hold"), announced, false);
  ASSERT_TRUE(client->run_until([&] { return service_.begun == 10; }));
  ASSERT_TRUE(client->run_until([&] { return budget_.buffered_bytes.load() > 0; }));
  EXPECT_LE(budget_.buffered_bytes.load(), 10U * 64 * 1024);
  client->raw().abort();
}

TEST_F(GrpcLimitsTest, MessagesBeyondTheServersMemoryAreRefused) {
  serve({.buffered_bytes_max = 2 << 20});
  auto client = connect();
  std::vector<std::int32_t> ids;
  const std::string most = grpc_framed(std::string(1'000'000, 'x')).substr(0, 900'000);
  for (int i = 0; i < 6; ++i) {
    ids.push_back(client->request(grpc_head("/test.T/Hold"), most, false));
  }
  ASSERT_TRUE(client->run_until([&] { return refused(GrpcRefusal::kOutOfMemory) >= 4; }));
  EXPECT_LE(budget_.buffered_bytes.load(), std::size_t{3} << 20);
  client->raw().abort();
  ASSERT_TRUE(run_until(*loop_, [&] { return server_->connections() == 0; }));
  expect_service();
}

TEST_F(GrpcLimitsTest, MoreConnectionsThanAllowedAreClosed) {
  serve({.connections_max = 2});
  auto first = connect();
  auto second = connect();
  auto third = connect();
  ASSERT_TRUE(third->run_until([&] { return third->ended(); }));
  EXPECT_EQ(refused(GrpcRefusal::kTooManyConnections), 1U);
  EXPECT_EQ(server_->connections(), 2U);
  first->raw().close();
  ASSERT_TRUE(second->run_until([&] { return server_->connections() == 1; }));
  expect_service();
}

TEST_F(GrpcLimitsTest, WithoutADescriptorItRestsAndTriesAgain) {
  serve();
  auto client = connect();
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const int lowest_free = ::dup(STDERR_FILENO);
  ::close(lowest_free);
  const rlimit none_left{static_cast<rlim_t>(lowest_free), before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none_left), 0);
  const bool failed = client->run_until([&] { return server_->accept_failures() > 0; });
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(failed);
  EXPECT_LE(server_->accept_failures(), 2U);
  const auto id = client->request(grpc_head("/test.T/Echo"), grpc_framed("x"));
  EXPECT_EQ(client->wait(id).headers.at("grpc-status"), "0");
}

TEST_F(GrpcLimitsTest, MoreCallsThanAllowedAreRefusedAndTheRestRecovers) {
  serve({.calls_max = 10});
  auto client = connect();
  std::vector<std::int32_t> ids;
  for (int i = 0; i < 10; ++i) ids.push_back(hold(*client));
  for (const bool whole : {true, false}) {
    auto& answer = client->wait(client->request(grpc_head("/test.T/Echo"), "x", whole));
    EXPECT_EQ(answer.headers["grpc-status"], "8") << "RESOURCE_EXHAUSTED";
    EXPECT_NE(answer.headers["grpc-message"], "");
    EXPECT_EQ(answer.reset, std::uint32_t{NGHTTP2_NO_ERROR});
  }
  EXPECT_EQ(refused(GrpcRefusal::kTooManyCalls), 2U);
  EXPECT_EQ(finished(GrpcStatus::kResourceExhausted), 2U);
  EXPECT_FALSE(client->got_goaway());
  client->reset(ids[3]);
  ASSERT_TRUE(client->run_until([&] { return counters().calls_running == 9; }));
  expect_service();
  client->raw().abort();
}

TEST_F(GrpcLimitsTest, CallsBeyondTheBoundBeforeTheClientKnowsItAreRefusalsAndNoErrors) {
  serve({.streams_max = 4});
  auto client = connect();
  std::vector<std::int32_t> ids;
  for (int i = 0; i < 6; ++i) ids.push_back(client->request(grpc_head("/test.T/Hold"), {}, false));
  client->pump();
  ASSERT_TRUE(client->run_until([&] { return counters().calls_running == 4; }));
  for (std::size_t i = 4; i < 6; ++i) {
    EXPECT_EQ(client->wait(ids[i]).reset, std::uint32_t{NGHTTP2_REFUSED_STREAM});
  }
  EXPECT_EQ(refused(GrpcRefusal::kTooManyCalls), 2U);
  EXPECT_EQ(counters().stream_errors, 0U);
  client->raw().abort();
  expect_service();
}

TEST_F(GrpcLimitsTest, TenThousandCallsOnOneConnection) {
  serve();
  auto client = connect();
  for (int i = 0; i < 10'100; ++i) client->request(grpc_head("/test.T/Hold"), {}, false);
  ASSERT_TRUE(client->run_until([&] { return counters().calls_running == 10'000; }));
  EXPECT_EQ(nghttp2_session_get_remote_settings(client->session(),
                                                NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS),
            10'000U);
  // The client keeps the others back until there is room.
  service_.last().call->finish(GrpcStatus::kOk);
  ASSERT_TRUE(client->run_until([&] { return counters().calls == 10'001; }));
  client->raw().abort();
  ASSERT_TRUE(run_until(*loop_, [&] { return counters().calls_running == 0; }));
  EXPECT_EQ(gone(GrpcGone::kConnectionLost), 10'000U);
  expect_service();
}

// An Envoy that loses its clients resets all their calls at once.
TEST_F(GrpcLimitsTest, TenThousandCallsResetAtOnceAreNoFlood) {
  serve();
  auto client = connect();
  std::vector<std::int32_t> ids;
  for (int i = 0; i < 10'000; ++i) {
    ids.push_back(client->request(grpc_head("/test.T/Hold"), {}, false));
  }
  ASSERT_TRUE(client->run_until([&] { return counters().calls_running == 10'000; }));
  for (const std::int32_t id : ids) client->reset(id);
  ASSERT_TRUE(client->run_until([&] { return counters().calls_running == 0; }));
  EXPECT_EQ(counters().unanswered_resets, 10'000U);
  EXPECT_EQ(client->wait(client->request(grpc_head("/test.T/Echo"))).headers["grpc-status"], "0");
  EXPECT_FALSE(client->got_goaway());
}

TEST_F(GrpcLimitsTest, AHandlerThatSendsOnAndOnLosesTheCall) {
  serve({.pending_bytes_max = 100'000});
  auto client = connect({.stream_window = 1000, .takes_windows = false});
  const auto id = hold(*client);
  for (int i = 0; i < 200; ++i) service_.last().call->send(std::string(1000, 'x'));
  EXPECT_LE(service_.last().call->pending_bytes(), 100'000U);
  const auto& answer = client->wait(id);
  EXPECT_EQ(answer.reset, std::uint32_t{NGHTTP2_ENHANCE_YOUR_CALM});
  EXPECT_EQ(service_.last().gone, GrpcGone::kOverflow);
  expect_service();
}

TEST_F(GrpcLimitsTest, AClientThatDoesNotTakeItsReplyLosesTheCall) {
  serve({.write_timeout = milliseconds(30)});
  auto client = connect({.stream_window = 10, .takes_windows = false});
  const auto id = hold(*client);
  service_.last().call->send(std::string(100, 'x'));
  service_.last().call->finish(GrpcStatus::kOk);
  EXPECT_EQ(client->wait(id).reset, std::uint32_t{NGHTTP2_CANCEL});
  EXPECT_EQ(service_.last().gone, GrpcGone::kStalled);
  EXPECT_FALSE(client->got_goaway());
  EXPECT_EQ(counters().write_timeouts, 0U);
}

TEST_F(GrpcLimitsTest, AClientThatReadsNothingAtAllIsCutOff) {
  serve({.write_timeout = milliseconds(200)});
  RawClient client(*loop_, server_->local_address(), testing::Reading::kHeld);
  // Windows as large as can be, so that only the socket holds the reply back.
  client.send(kClientPreface +
              raw_frame(NGHTTP2_SETTINGS, 0, 0, std::string("\0\4\x7F\xFF\xFF\xFF", 6)) +
              raw_frame(NGHTTP2_WINDOW_UPDATE, 0, 0, "\x3F\xFF\xFF\xFF") +
              raw_frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1,
                        "\x83\x86\x41\x01h\x44\x0C/test.T/Hold\x5F\x10"
                        "application/grpc"));
  ASSERT_TRUE(run_until(*loop_, [&] { return service_.begun == 1; }));
  const std::string large(16 << 20, 'x');
  service_.last().call->send("", large);
  ASSERT_TRUE(run_until(*loop_, [&] { return server_->connections() == 0; }));
  EXPECT_EQ(counters().write_timeouts + gone(GrpcGone::kStalled), 1U);
  EXPECT_TRUE(service_.last().gone.has_value());
}

TEST_F(GrpcLimitsTest, APeerThatShowsNoSignOfLifeIsGivenUp) {
  serve({.ping_interval = milliseconds(20), .ping_timeout = milliseconds(20)});
  auto alive = connect();
  const auto id = hold(*alive);
  RawClient dead(*loop_, server_->local_address());
  dead.send(kClientPreface + kClientSettings);
  ASSERT_TRUE(alive->run_until([&] { return counters().ping_timeouts == 1; }));
  EXPECT_TRUE(alive->run_until([&] { return dead.ended(); }));
  // The other one answers, again and again.
  const Time later = loop_->now() + milliseconds(150);
  ASSERT_TRUE(alive->run_until([&] { return loop_->now() > later; }));
  EXPECT_EQ(server_->connections(), 1U);
  EXPECT_EQ(counters().ping_timeouts, 1U);
  service_.last().call->finish(GrpcStatus::kOk);
  EXPECT_EQ(alive->wait(id).headers.at("grpc-status"), "0");
}

TEST_F(GrpcLimitsTest, AClientThatOpensAndStaysSilentIsClosed) {
  serve({.open_timeout = milliseconds(20)});
  RawClient client(*loop_, server_->local_address());
  EXPECT_TRUE(run_until(*loop_, [&] { return client.ended(); }));
  EXPECT_EQ(counters().open_timeouts, 1U);
}

TEST_F(GrpcLimitsTest, AConnectionWithoutACallIsClosedInTime) {
  serve({.idle_timeout = milliseconds(30)});
  auto busy = connect();
  const auto id = hold(*busy);
  auto idle = connect();
  ASSERT_EQ(idle->wait(idle->request(grpc_head("/test.T/Echo"))).status, 200);
  ASSERT_TRUE(idle->run_until([&] { return idle->ended(); }));
  EXPECT_TRUE(idle->got_goaway());
  EXPECT_EQ(idle->goaway_code(), std::uint32_t{NGHTTP2_NO_ERROR});
  EXPECT_EQ(counters().idle_closed, 1U);
  EXPECT_FALSE(busy->got_goaway());
  service_.calls.front()->call->finish(GrpcStatus::kOk);
  busy->wait(id);
  EXPECT_TRUE(busy->run_until([&] { return busy->ended(); })) << "idle now";
  EXPECT_EQ(counters().idle_closed, 2U);
}

TEST_F(GrpcLimitsTest, AHeadThatDoesNotEndClosesTheConnection) {
  serve({.head_timeout = milliseconds(20)});
  RawClient client(*loop_, server_->local_address());
  client.send(kClientPreface + kClientSettings + raw_frame(NGHTTP2_HEADERS, 0, 1, "\x83"));
  EXPECT_TRUE(run_until(*loop_, [&] { return client.ended(); }));
  EXPECT_EQ(counters().head_timeouts, 1U);
}

TEST_F(GrpcLimitsTest, WhoeverDoesNotSpeakHttp2IsClosed) {
  serve();
  for (const std::string& bytes : {std::string("GET / HTTP/1.1\r\nHost: h\r\n\r\n"),
                                   kClientPreface + std::string(200, '\xFF')}) {
    RawClient client(*loop_, server_->local_address());
    client.send(bytes);
    EXPECT_TRUE(run_until(*loop_, [&] { return client.ended(); }));
  }
  EXPECT_EQ(counters().protocol_errors, 2U);
  expect_service();
}

TEST_F(GrpcLimitsTest, AStreamThatBreaksHttp2EndsAlone) {
  serve();
  auto client = connect();
  HeaderList head = grpc_head("/test.T/Hold");
  head.push_back({"content-length", "3"});
  const auto id = client->request(head, grpc_framed("more than three"), false);
  EXPECT_EQ(client->wait(id).reset, std::uint32_t{NGHTTP2_PROTOCOL_ERROR});
  EXPECT_EQ(counters().stream_errors, 1U);
  EXPECT_EQ(service_.last().gone, GrpcGone::kBadMessage);
  EXPECT_FALSE(client->got_goaway());
}

TEST_F(GrpcLimitsTest, CallsThatBreakTheirContentLengthAreRationed) {
  serve();
  auto client = connect();
  HeaderList head = grpc_head("/test.T/Hold");
  head.push_back({"content-length", "3"});
  for (int i = 0; i < 2000 && !client->ended(); ++i) {
    const auto id = client->request(head, grpc_framed("more than three"), false);
    client->run_until([&] { return client->answer(id).closed || client->ended(); });
  }
  expect_flood_ends(*client, Http2Flood::kStreamErrors);
}

TEST_F(GrpcLimitsTest, HandshakesThatFailAreCounted) {
  const std::vector<std::string> names = {"localhost"};
  const auto identity = make_self_signed(names);
  ASSERT_TRUE(identity.has_value());
  const auto tls = TlsServerContext::create(*identity, Http2Offer::kOnly);
  ASSERT_TRUE(tls.has_value());
  serve();
  auto before = connect();
  const auto id = hold(*before);
  server_->set_options({.tls = *tls, .open_timeout = milliseconds(100)});
  auto plain = connect();
  RawClient silent(*loop_, server_->local_address());
  ASSERT_TRUE(plain->run_until([&] { return plain->ended() && silent.ended(); }));
  const auto failed = [&](TlsFailure failure) {
    return counters().tls.failed[static_cast<std::size_t>(failure)];
  };
  EXPECT_EQ(failed(TlsFailure::kNotTls), 1U);
  EXPECT_EQ(failed(TlsFailure::kTimeout), 1U);
  EXPECT_EQ(counters().open_timeouts, 1U);
  // Connections that exist go on as they began.
  service_.last().call->finish(GrpcStatus::kOk);
  EXPECT_EQ(before->wait(id).headers.at("grpc-status"), "0");
}

// Envoy resets each call that it is done with, also when it has the status.
TEST_F(GrpcLimitsTest, ResetsOfAnsweredCallsAreNoFlood) {
  serve();
  auto client = connect();
  constexpr int kRounds = 1010;
  constexpr int kCalls = 100;
  for (int round = 0; round < kRounds; ++round) {
    std::vector<std::int32_t> ids;
    for (int i = 0; i < kCalls; ++i) {
      ids.push_back(client->request(grpc_head("/test.T/Hold"), {}, false));
    }
    client->pump();
    const auto want = static_cast<std::size_t>((round + 1) * kCalls);
    ASSERT_TRUE(client->run_until([&] { return service_.begun == want; }));
    for (auto& call : service_.calls) {
      if (!call->ended()) call->call->send("answer");
    }
    ASSERT_TRUE(client->run_until([&] { return !client->answer(ids.back()).body.empty(); }));
    for (const std::int32_t id : ids) client->reset(id);
    ASSERT_TRUE(client->run_until([&] { return counters().calls_running == 0; }));
  }
  EXPECT_GT(counters().resets, 100'000U);
  EXPECT_EQ(counters().unanswered_resets, 0U);
  EXPECT_FALSE(client->got_goaway());
}

TEST_F(GrpcLimitsTest, AFloodOfResetsEndsTheConnection) {
  serve({.streams_max = 100});
  auto client = connect();
  ASSERT_EQ(client->wait(client->request(grpc_head("/test.T/Echo"))).status, 200);
  for (int i = 0; i < 40'000 && !client->ended(); ++i) {
    const std::int32_t id = client->request(grpc_head("/test.T/Hold"), {}, false);
    client->pump();
    client->reset(id);
    client->pump();
    if (i % 50 == 0) loop_->run_turn(Duration::zero());
  }
  EXPECT_LT(counters().unanswered_resets, 25'000U);
  expect_flood_ends(*client, Http2Flood::kResets);
}

TEST_F(GrpcLimitsTest, FloodsOfCheapFramesEndTheConnection) {
  serve();
  const std::map<Http2Flood, std::string> cheap = {
      {Http2Flood::kPings, raw_frame(NGHTTP2_PING, 0, 0, std::string(8, 'p'))},
      {Http2Flood::kSettings, raw_frame(NGHTTP2_SETTINGS, 0, 0, {})},
      {Http2Flood::kEmptyFrames, raw_frame(NGHTTP2_DATA, 0, 1, {})},
  };
  for (const auto& [flood, bytes] : cheap) {
    auto client = connect();
    client->request(grpc_head("/test.T/Hold"), "\0", false);
    client->pump();
    std::string many;
    for (int i = 0; i < 1500; ++i) many += bytes;
    client->send_raw(many);
    expect_flood_ends(*client, flood);
  }
}

// A client that measures its round trip with each reply, as gRPC's own do.
TEST_F(GrpcLimitsTest, APingForEachReplyIsNoFlood) {
  serve();
  auto client = connect();
  for (int i = 0; i < 3000; ++i) {
    const auto id = client->request(grpc_head("/test.T/Echo"), grpc_framed("x"));
    nghttp2_submit_ping(client->session(), NGHTTP2_FLAG_NONE, nullptr);
    ASSERT_EQ(client->wait(id).headers["grpc-status"], "0") << i;
  }
  EXPECT_FALSE(client->got_goaway());
}

TEST_F(GrpcLimitsTest, ContinuationsWithoutEndAreRationed) {
  serve();
  auto client = connect();
  client->send_raw(raw_frame(NGHTTP2_HEADERS, 0, 1, "\x83"));
  std::string many;
  for (int i = 0; i < 50; ++i) many += raw_frame(NGHTTP2_CONTINUATION, 0, 1, "\x84");
  client->send_raw(many);
  expect_flood_ends(*client, Http2Flood::kContinuations);
}

TEST_F(GrpcLimitsTest, ErrorsThatMakeTheServerResetStreamsAreRationed) {
  serve();
  auto client = connect();
  for (int i = 0; i < 2000 && !client->ended(); ++i) {
    const std::int32_t id = client->request(grpc_head("/test.T/Hold"), {}, false);
    client->send_raw(raw_frame(NGHTTP2_WINDOW_UPDATE, 0, id, "\x7F\xFF\xFF\xFF"));
    client->run_until([&] { return client->answer(id).closed || client->ended(); });
  }
  expect_flood_ends(*client, Http2Flood::kStreamErrors);
}

TEST_F(GrpcLimitsTest, NamesOfCountersAreLabels) {
  for (std::size_t i = 0; i < kGrpcRefusalCount; ++i) {
    EXPECT_NE(to_string(static_cast<GrpcRefusal>(i)), "unknown");
  }
  for (std::size_t i = 0; i < kGrpcGoneCount; ++i) {
    EXPECT_NE(to_string(static_cast<GrpcGone>(i)), "unknown");
  }
}

}  // namespace
}  // namespace fairlead::net
