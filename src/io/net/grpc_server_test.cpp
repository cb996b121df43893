// SPDX-License-Identifier: Apache-2.0
// Calls that go well, and ends of every kind; grpc_limits_test.cpp has the bounds and the attacks.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "io/net/testing/grpc_fixture.h"

namespace fairlead::net {
namespace {

using std::chrono::milliseconds;
using testing::grpc_framed;
using testing::grpc_head;
using testing::grpc_messages;
using testing::GrpcServerTest;
using testing::HeaderList;
using testing::Http2Client;
using testing::run_until;

constexpr std::size_t kMiB = std::size_t{1} << 20;

std::string pattern(std::size_t size) {
  std::string out(size, ' ');
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<char>('a' + i * 7919 % 26);
  return out;
}

class GrpcCallTest : public GrpcServerTest {};

TEST_F(GrpcCallTest, AnswersAUnaryCall) {
  serve();
  auto client = connect();
  const auto& answer = client->wait(client->request(grpc_head("/test.T/Echo"), grpc_framed("hi")));
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.headers.at("content-type"), "application/grpc");
  EXPECT_EQ(answer.headers.at("grpc-status"), "0");
  EXPECT_FALSE(answer.headers.contains("grpc-message"));
  EXPECT_EQ(answer.body, grpc_framed("hi"));
  EXPECT_EQ(answer.reset, 0U);
  EXPECT_TRUE(service_.last().done);
  EXPECT_EQ(counters().calls, 1U);
  EXPECT_EQ(counters().messages_received, 1U);
  EXPECT_EQ(counters().messages_sent, 1U);
  EXPECT_EQ(finished(GrpcStatus::kOk), 1U);
  EXPECT_EQ(server_->connections(), 1U);
}

TEST_F(GrpcCallTest, StreamsBothWaysOnOneCall) {
  serve();
  auto client = connect();
  const auto id = client->request(grpc_head("/test.T/Echo"), grpc_framed("0"), false);
  for (int i = 1; i < 5; ++i) {
    ASSERT_TRUE(client->run_until([&] {
      return grpc_messages(client->answer(id).body).size() == static_cast<std::size_t>(i);
    }));
    client->append(id, grpc_framed(std::to_string(i)), i == 4);
  }
  const auto& answer = client->wait(id);
  EXPECT_EQ(grpc_messages(answer.body), (std::vector<std::string>{"0", "1", "2", "3", "4"}));
  EXPECT_EQ(answer.headers.at("grpc-status"), "0");
  EXPECT_EQ(counters().calls, 1U);
}

TEST_F(GrpcCallTest, MessagesOfAllSizesComeWhole) {
  serve();
  auto client = connect();
  std::string body;
  std::vector<std::string> sent;
  for (const std::size_t size : {0U, 1U, 5U, 4095U, 4096U, 16'384U, 70'000U, 1'500'000U, 3U}) {
    sent.push_back(pattern(size));
    body += grpc_framed(sent.back());
  }
  const auto id = client->request(grpc_head("/test.T/Echo"), body);
  const auto& answer = client->wait(id);
  EXPECT_EQ(service_.last().messages, sent);
  EXPECT_EQ(grpc_messages(answer.body), sent);
  EXPECT_EQ(budget_.buffered_bytes.load(), 0U);
}

TEST_F(GrpcCallTest, HeadAndBodyAreOneMessage) {
  serve();
  auto client = connect();
  const auto id = hold(*client);
  const std::string large = pattern(100'000);
  service_.last().call->send("head,", "small");
  service_.last().call->send("head,", large);
  EXPECT_EQ(service_.last().call->pending_bytes(), 10 + 10 + 5 + large.size());
  service_.last().call->finish(GrpcStatus::kOk);
  const auto& answer = client->wait(id);
  EXPECT_EQ(grpc_messages(answer.body), (std::vector<std::string>{"head,small", "head," + large}));
  EXPECT_EQ(answer.headers.at("grpc-status"), "0");
}

// What an Envoy must see together (a closed call behind its last body chunk) leaves in one write,
// without an empty DATA frame, which peers count against us.
TEST_F(GrpcCallTest, MessagesAndStatusOfATurnLeaveTogether) {
  serve();
  auto client = connect();
  // The opening frames go before.
  client->wait(client->request(grpc_head("/test.T/Echo")));
  hold(*client);
  service_.last().call->send("one");
  service_.last().call->send("two");
  service_.last().call->finish(GrpcStatus::kOk);
  testing::RawClient& raw = client->raw();
  ASSERT_TRUE(run_until(*loop_, [&] { return !raw.received().empty(); }));
  const std::string got = raw.received();
  std::vector<int> types;
  for (std::size_t at = 0; at + 9 <= got.size();) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(got[at + i]); };
    types.push_back(byte(3));
    const std::size_t size = std::size_t{byte(0)} << 16 | std::size_t{byte(1)} << 8 | byte(2);
    if (types.back() == NGHTTP2_DATA) {
      EXPECT_GT(size, 0U);
    }
    at += 9 + size;
  }
  EXPECT_EQ(types,
            (std::vector<int>{NGHTTP2_HEADERS, NGHTTP2_DATA, NGHTTP2_HEADERS, NGHTTP2_RST_STREAM}));
}

TEST_F(GrpcCallTest, AStatusAfterItsMessagesHaveLeftNeedsNoEmptyFrame) {
  serve();
  auto client = connect();
  const auto id = hold(*client);
  service_.last().call->send("one");
  ASSERT_TRUE(client->run_until([&] { return service_.last().drained == 1; }));
  EXPECT_EQ(service_.last().call->pending_bytes(), 0U);
  service_.last().call->finish(GrpcStatus::kAborted, "100 % \xC3\xA9");
  const auto& answer = client->wait(id);
  EXPECT_EQ(grpc_messages(answer.body), std::vector<std::string>{"one"});
  EXPECT_EQ(answer.headers.at("grpc-status"), "10");
  EXPECT_EQ(answer.headers.at("grpc-message"), "100 %25 %C3%A9");
  // The client had not ended its side, and is told that it need not.
  EXPECT_EQ(answer.reset, std::uint32_t{NGHTTP2_NO_ERROR});
  EXPECT_TRUE(service_.last().done);
}

TEST_F(GrpcCallTest, AStatusAloneIsOneFrame) {
  serve();
  auto client = connect();
  const auto id = hold(*client);
  service_.last().call->finish(GrpcStatus::kPermissionDenied, std::string(5000, 'x'));
  service_.last().call->send("too late");
  service_.last().call->finish(GrpcStatus::kOk);
  const auto& answer = client->wait(id);
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.headers.at("grpc-status"), "7");
  EXPECT_EQ(answer.headers.at("grpc-message").size(), 1024U);
  EXPECT_EQ(answer.body, "");
}

TEST_F(GrpcCallTest, ACallWithoutMessagesHalfClosesAtOnce) {
  serve();
  auto client = connect();
  const auto& answer = client->wait(client->request(grpc_head("/test.T/Echo")));
  EXPECT_EQ(answer.headers.at("grpc-status"), "0");
  EXPECT_TRUE(service_.last().half_closed);
  EXPECT_TRUE(service_.last().messages.empty());
}

// Envoy's window is 64 KiB.
TEST_F(GrpcCallTest, RepliesLargerThanTheWindowWaitForIt) {
  serve();
  auto client = connect({.stream_window = 65'535, .takes_windows = false});
  const auto id = hold(*client);
  const std::string large = pattern(kMiB);
  service_.last().call->send("head", large);
  service_.last().call->finish(GrpcStatus::kOk);
  ASSERT_TRUE(client->run_until([&] { return client->answer(id).body.size() == 65'535; }));
  EXPECT_EQ(service_.last().call->pending_bytes(), 5 + 4 + kMiB - 65'535);
  EXPECT_FALSE(service_.last().done);
  std::size_t given = 0;
  ASSERT_TRUE(client->run_until([&] {
    const auto& answer = client->answer(id);
    if (answer.body.size() > given) client->give_back(id, answer.body.size() - given);
    given = answer.body.size();
    return answer.closed;
  }));
  EXPECT_TRUE(service_.last().done);
  EXPECT_EQ(grpc_messages(client->answer(id).body), std::vector<std::string>{"head" + large});
}

TEST_F(GrpcCallTest, ManyLargeMessagesAtATimeFlow) {
  serve();
  auto client = connect({.stream_window = 4 << 20});
  const std::string large = pattern(kMiB);
  std::vector<std::int32_t> ids;
  for (int i = 0; i < 64; ++i) {
    ids.push_back(client->request(grpc_head("/test.T/Echo"), grpc_framed(large)));
  }
  for (const std::int32_t id : ids) {
    const auto& answer = client->wait(id);
    EXPECT_EQ(answer.headers.at("grpc-status"), "0");
    EXPECT_TRUE(answer.body == grpc_framed(large));
  }
}

TEST_F(GrpcCallTest, AHeldCallStopsItsClientAndNoOther) {
  serve();
  auto client = connect();
  const auto id = hold(*client);
  auto& held = service_.last();
  held.call->hold();
  std::string body;
  for (int i = 0; i < 40; ++i) body += grpc_framed(pattern(100'000));
  client->append(id, body, true);
  const auto other = client->request(grpc_head("/test.T/Echo"), grpc_framed(pattern(2 * kMiB)));
  EXPECT_EQ(client->wait(other).headers.at("grpc-status"), "0");
  // One window's worth.
  EXPECT_EQ(held.messages.size(), kMiB / 100'005);
  EXPECT_EQ(nghttp2_session_get_stream_remote_window_size(client->session(), id), 0);
  held.call->resume();
  ASSERT_TRUE(client->run_until([&] { return held.half_closed; }));
  EXPECT_EQ(held.messages.size(), 40U);
  held.call->finish(GrpcStatus::kOk);
  client->wait(id);
}

TEST_F(GrpcCallTest, TellsOfAReset) {
  serve();
  auto client = connect();
  const auto id = hold(*client);
  client->reset(id);
  ASSERT_TRUE(client->run_until([&] { return service_.last().ended(); }));
  EXPECT_EQ(service_.last().gone, GrpcGone::kReset);
  EXPECT_EQ(gone(GrpcGone::kReset), 1U);
  EXPECT_EQ(counters().resets, 1U);
  EXPECT_EQ(counters().unanswered_resets, 1U);
}

TEST_F(GrpcCallTest, AResetWhileTheReplyWaitsReleasesIt) {
  serve();
  auto client = connect({.stream_window = 65'535, .takes_windows = false});
  const auto id = hold(*client);
  const std::string large = pattern(kMiB);
  service_.last().call->send("", large);
  service_.last().call->finish(GrpcStatus::kOk);
  ASSERT_TRUE(client->run_until([&] { return client->answer(id).body.size() == 65'535; }));
  client->reset(id);
  ASSERT_TRUE(client->run_until([&] { return service_.last().ended(); }));
  EXPECT_EQ(service_.last().gone, GrpcGone::kReset);
  EXPECT_EQ(counters().unanswered_resets, 0U);
}

TEST_F(GrpcCallTest, TellsOfALostConnection) {
  serve();
  auto client = connect();
  hold(*client);
  hold(*client);
  client->raw().abort();
  ASSERT_TRUE(run_until(*loop_, [&] { return counters().calls_running == 0; }));
  for (const auto& call : service_.calls) EXPECT_EQ(call->gone, GrpcGone::kConnectionLost);
  EXPECT_EQ(gone(GrpcGone::kConnectionLost), 2U);
  EXPECT_EQ(server_->connections(), 0U);
}

TEST_F(GrpcCallTest, ADeadlineEndsTheCall) {
  serve();
  auto client = connect();
  HeaderList head = grpc_head("/test.T/Hold");
  head.push_back({"grpc-timeout", "20m"});
  const auto& answer = client->wait(client->request(head, grpc_framed("x"), false));
  EXPECT_EQ(answer.headers.at("grpc-status"), "4");
  EXPECT_EQ(service_.last().gone, GrpcGone::kDeadline);
  EXPECT_EQ(gone(GrpcGone::kDeadline), 1U);
  EXPECT_EQ(finished(GrpcStatus::kDeadlineExceeded), 1U);
}

TEST_F(GrpcCallTest, ADeadlineAmidAMessageResets) {
  serve();
  auto client = connect({.stream_window = 1000, .takes_windows = false});
  HeaderList head = grpc_head("/test.T/Hold");
  head.push_back({"grpc-timeout", "30m"});
  const auto id = client->request(head, {}, false);
  ASSERT_TRUE(client->run_until([&] { return service_.begun == 1; }));
  EXPECT_LE(service_.last().call->deadline(), loop_->now() + milliseconds(30));
  const std::string large = pattern(10'000);
  service_.last().call->send("", large);
  const auto& answer = client->wait(id);
  EXPECT_EQ(answer.reset, std::uint32_t{NGHTTP2_CANCEL});
  EXPECT_EQ(service_.last().gone, GrpcGone::kDeadline);
}

TEST_F(GrpcCallTest, ACallThatEndsBeforeItsDeadlineIsDone) {
  serve();
  auto client = connect();
  HeaderList head = grpc_head("/test.T/Echo");
  head.push_back({"grpc-timeout", "20m"});
  EXPECT_EQ(client->wait(client->request(head, grpc_framed("x"))).headers.at("grpc-status"), "0");
  const Time later = loop_->now() + milliseconds(30);
  ASSERT_TRUE(run_until(*loop_, [&] { return loop_->now() > later; }));
  EXPECT_EQ(gone(GrpcGone::kDeadline), 0U);
}

TEST_F(GrpcCallTest, TakesConnectionsThatSomebodyElseAccepted) {
  GrpcServer second(*loop_, service_, {}, &budget_);
  TcpListener listener(*loop_, [&](UniqueFd fd, const SocketAddress& peer) {
    second.adopt_connection(std::move(fd), peer);
  });
  ASSERT_TRUE(listener.listen(SocketAddress::loopback(0), PortSharing::kExclusive).has_value());
  Http2Client client(*loop_, listener.local_address());
  const auto& answer = client.wait(client.request(grpc_head("/test.T/Echo"), grpc_framed("x")));
  EXPECT_EQ(answer.body, grpc_framed("x"));
  EXPECT_EQ(second.connections(), 1U);
  EXPECT_EQ(second.counters().accepted, 1U);
}

TEST_F(GrpcCallTest, DrainingLetsCallsEnd) {
  serve();
  auto client = connect();
  auto idle = connect();
  const auto id = hold(*client);
  ASSERT_TRUE(idle->run_until([&] { return server_->connections() == 2; }));
  idle->wait(idle->request(grpc_head("/test.T/Echo"), grpc_framed("x")));
  bool drained = false;
  server_->drain([&] { drained = true; });
  // Sent before the client can have heard of it: still served.
  const auto late = client->request(grpc_head("/test.T/Echo"), grpc_framed("late"));
  EXPECT_EQ(client->wait(late).body, grpc_framed("late"));
  ASSERT_TRUE(client->run_until([&] { return client->got_goaway(); }));
  ASSERT_TRUE(idle->run_until([&] { return idle->ended(); }));
  EXPECT_EQ(idle->goaway_code(), std::uint32_t{NGHTTP2_NO_ERROR});
  EXPECT_FALSE(drained);
  service_.calls.front()->call->send("bye");
  service_.calls.front()->call->finish(GrpcStatus::kOk);
  service_.calls.front()->echoes = false;
  EXPECT_EQ(client->wait(id).headers.at("grpc-status"), "0");
  ASSERT_TRUE(client->run_until([&] { return client->ended(); }));
  client->raw().close();
  idle->raw().close();
  ASSERT_TRUE(run_until(*loop_, [&] { return drained; }));
  EXPECT_EQ(server_->connections(), 0U);
}

TEST_F(GrpcCallTest, DrainingWithoutConnectionsIsDone) {
  serve();
  bool drained = false;
  server_->drain([&] { drained = true; });
  EXPECT_TRUE(drained);
}

TEST_F(GrpcCallTest, DestroyingTheServerEndsCallsInSilence) {
  serve();
  auto client = connect();
  hold(*client);
  server_.reset();
  EXPECT_FALSE(service_.last().ended());
  EXPECT_TRUE(client->run_until([&] { return client->ended(); }));
}

}  // namespace
}  // namespace fairlead::net
