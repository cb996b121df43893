// SPDX-License-Identifier: Apache-2.0
// Clients and engines that read slowly, close halves, reset in crowds, or outnumber descriptors.
#include <dirent.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <string>

#include "fronts/gateway/testing/gateway_fixture.h"

namespace fairlead::gateway {
namespace {

using Then = RawEngine::Then;

std::size_t open_descriptors() {
  DIR* const folder = ::opendir("/proc/self/fd");
  std::size_t count = 0;
  while (::readdir(folder) != nullptr) ++count;
  ::closedir(folder);
  return count;
}

class HostileTest : public GatewayTest {
 protected:
  // An engine whose streams begin with one event and go on when told.
  ScriptedEngine& streaming_engine() {
    ScriptedEngine& engine = this->engine();
    engine.script = [this](net::ServerExchange& exchange) {
      running_ = &exchange;
      exchange.set_observer(&watch_);
      if (exchange.body().find("wait") != std::string_view::npos) return;
      exchange.start(200, {{"content-type", "text/event-stream"}}, codec::BodyFraming::chunked());
      exchange.write_chunk(kTokenEvent);
    };
    return engine;
  }
  double sockets(const std::string& name) {
    worker_->report_sockets();
    return metric(name);
  }

  struct Watch final : net::ExchangeObserver {
    void on_client_gone() override { ++gone; }
    int gone = 0;
  } watch_;
  net::ServerExchange* running_ = nullptr;
};

TEST_F(HostileTest, AClientThatReadsNothingIsBoundedAndThenCutOff) {
  ScriptedEngine& engine = streaming_engine();
  start({engine.port()}, "limits: {clientWrite: 200ms}");
  Client& slow = client(64 * 1024);
  slow.reading = false;
  slow.post("/v1/chat/completions", chat_body());
  ASSERT_TRUE(until([&] { return running_ != nullptr; }));
  const std::string block(64 * 1024, 'x');
  std::size_t most = 0;
  ASSERT_TRUE(until([&] {
    if (watch_.gone == 0 && running_->pending_bytes() == 0) running_->write_chunk(block);
    most = std::max(most, loop_->buffers().lent_bytes());
    return watch_.gone > 0;
  }));
  EXPECT_LT(most, std::size_t{2} << 20);
  EXPECT_EQ(logged("outcome"), "\"client_gone\"");
  EXPECT_EQ(sockets("fairlead_client_write_timeouts_total"), 1);
  EXPECT_EQ(sockets("fairlead_client_connections"), 0);
}

TEST_F(HostileTest, AClientThatClosesItsSendingSideGetsItsWholeAnswer) {
  ScriptedEngine& engine = streaming_engine();
  start({engine.port()});
  Client& whole = client();
  whole.post("/v1/chat/completions", chat_body("wait"));
  whole.finish_sending();
  ASSERT_TRUE(until([&] { return running_ != nullptr && !whole.input.empty(); }));
  EXPECT_EQ(whole.input, "HTTP/1.1 100 Continue\r\n\r\n");
  std::exchange(running_, nullptr)->send_response(200, {}, "answer");
  EXPECT_EQ(wait_for(whole).body, "answer");

  Client& stream = client();
  stream.post("/v1/chat/completions", chat_body());
  ASSERT_TRUE(until([&] { return stream.response().body == kTokenEvent; }));
  stream.finish_sending();
  ASSERT_TRUE(until([&] { return stream.response().body.ends_with(":\n\n"); }));
  running_->write_chunk("data: [DONE]\n\n");
  running_->finish();
  const ClientResponse response = wait_for(stream);
  EXPECT_TRUE(response.complete);
  EXPECT_EQ(response.body, std::string(kTokenEvent) + ":\n\ndata: [DONE]\n\n");
  EXPECT_EQ(metric("fairlead_client_disconnects_total"), 0);
  EXPECT_EQ(watch_.gone, 0);
}

TEST_F(HostileTest, AnOldClientThatClosesItsSendingSideCountsAsGone) {
  ScriptedEngine& engine = streaming_engine();
  start({engine.port()});
  Client& old = client();
  const std::string body = chat_body("wait");
  old.send("POST /v1/chat/completions HTTP/1.0\r\nContent-Length: " + std::to_string(body.size()) +
           "\r\n\r\n" + body);
  ASSERT_TRUE(until([&] { return running_ != nullptr; }));
  old.finish_sending();
  EXPECT_TRUE(until([&] { return watch_.gone == 1; }));
}

TEST_F(HostileTest, AnEngineThatClosesItsSendingSideIsNotUsedAgainAndItsAnswerIsWhole) {
  RawEngine& engine = raw_engine({{kJsonAnswer, Then::kHalfClose}, {kJsonAnswer, Then::kKeep}});
  start({engine.port()});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(ask(chat_body()).body, "{}");
  EXPECT_EQ(sockets("fairlead_upstream_connects_total"), 2);
  EXPECT_EQ(metric("fairlead_retries_total"), 0);
}

TEST_F(HostileTest, StormsOfResettingClientsLeaveNothingBehind) {
  ScriptedEngine& engine = streaming_engine();
  start({engine.port()});
  EXPECT_EQ(ask("{}").status, 400);
  clients_.front()->close();
  ASSERT_TRUE(until([&] { return sockets("fairlead_client_connections") == 0; }));
  const std::size_t before = open_descriptors();
  constexpr int kStorm = 100;
  std::vector<Client*> storm;
  for (int i = 0; i < kStorm; ++i) {
    storm.push_back(&client());  // In the middle of a head,
    storm.back()->send("POST /v1/chat/completions HT");
    storm.push_back(&client());  // of a body,
    storm.back()->send(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nContent-Length: 99\r\n\r\n{");
    storm.push_back(&client());  // before the answer,
    storm.back()->post("/v1/chat/completions", chat_body("wait"));
    storm.push_back(&client());  // and within it.
    storm.back()->post("/v1/chat/completions", chat_body());
  }
  ASSERT_TRUE(until([&] { return engine.requests.size() == 2 * kStorm; }));
  ASSERT_TRUE(until([&] { return storm.back()->response().body == kTokenEvent; }));
  EXPECT_EQ(router_->inflight().total().requests, 2 * kStorm);
  for (Client* one : storm) one->abort();
  ASSERT_TRUE(until([&] { return watch_.gone == 2 * kStorm; }));
  ASSERT_TRUE(until([&] { return sockets("fairlead_client_connections") == 0; }));
  EXPECT_EQ(router_->inflight().total().requests, 0);
  EXPECT_EQ(metric("fairlead_client_disconnects_total"), 2 * kStorm);
  EXPECT_EQ(metric("fairlead_truncated_requests_total"), 2 * kStorm);
  EXPECT_EQ(open_descriptors(), before);
  engine.script = [](net::ServerExchange& exchange) { exchange.send_response(200, {}, "well"); };
  EXPECT_EQ(ask(chat_body()).body, "well");
}

TEST_F(HostileTest, StormsOfResettingEnginesEndInTypedErrorsAndPass) {
  RawEngine& engine = raw_engine({{"", Then::kReset}});
  start({engine.port()}, "limits: {retry: {maxAttempts: 1}}");
  constexpr int kStorm = 50;
  for (int i = 0; i < kStorm; ++i) {
    engine.replies = {
        {i % 2 == 0 ? std::string() : kStreamHead + "5\r\n: a\n\n\r\n", Then::kReset}};
    Client& one = client();
    one.post("/v1/chat/completions", chat_body());
    ASSERT_TRUE(until([&] { return one.response().complete || one.reset; }));
  }
  const auto failures = [&](const char* kind) {
    return metric(std::string("fairlead_upstream_failures_total{kind=\"") + kind + "\"}");
  };
  EXPECT_EQ(failures("reset_before_response") + failures("reset_mid_body"), kStorm);
  EXPECT_EQ(sockets("fairlead_upstream_connections"), 0);
  EXPECT_EQ(router_->inflight().total().requests, 0);
  engine.replies = {{kJsonAnswer, Then::kKeep}};
  EXPECT_EQ(ask(chat_body()).status, 200);
}

TEST_F(HostileTest, SlowLorisesDoNotKeepOthersWaitingAndAreAllCutOff) {
  ScriptedEngine& engine = this->engine();
  start({engine.port()}, "limits: {headerRead: 300ms, bodyRead: 300ms}");
  constexpr int kLorises = 100;
  std::vector<Client*> lorises;
  for (int i = 0; i < kLorises; ++i) {
    lorises.push_back(&client());
    const bool in_head = i % 2 == 0;
    lorises.back()->send("POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\n");
    if (!in_head) lorises.back()->send("Content-Length: 1000\r\n\r\n{");
  }
  EXPECT_EQ(ask(chat_body()).status, 200);
  ASSERT_TRUE(until([&] {
    // A byte now and then buys a head no time.
    for (Client* one : lorises) {
      if (one->input.empty() && !one->closed) one->send("X");
    }
    return std::ranges::all_of(lorises, [](Client* one) { return one->closed || one->reset; }) ||
           sockets("fairlead_refusals_total{kind=\"head_timeout\"}") == kLorises / 2;
  }));
  EXPECT_EQ(metric("fairlead_refusals_total{kind=\"head_timeout\"}"), kLorises / 2);
}

TEST_F(HostileTest, WithoutDescriptorsAcceptingPausesAndGoesOnLater) {
  ScriptedEngine& engine = this->engine();
  start({engine.port()});
  constexpr int kClients = 20;
  for (int i = 0; i < kClients; ++i) client().post("/v1/chat/completions", chat_body());
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  const int next = ::dup(0);
  ::close(next);
  const rlimit few{static_cast<rlim_t>(next) + 3, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  const bool failed = until([&] { return sockets("fairlead_client_accept_failures_total") > 1; });
  ::setrlimit(RLIMIT_NOFILE, &before);
  ASSERT_TRUE(failed);
  int served = 0;
  int refused = 0;
  for (const auto& one : clients_) {
    const ClientResponse response = wait_for(*one);
    served += response.status == 200 ? 1 : 0;
    // Accepted, but there was no descriptor for the way to an engine.
    refused += response.header("x-fairlead-reason") == "overloaded" ? 1 : 0;
  }
  EXPECT_EQ(served + refused, kClients);
  EXPECT_GT(served, kClients / 2);
  EXPECT_GT(refused, 0);
  EXPECT_EQ(metric("fairlead_upstream_failures_total{kind=\"connect_refused\"}"), 0)
      << "our own want of descriptors is no evidence against an engine";
}

}  // namespace
}  // namespace fairlead::gateway
