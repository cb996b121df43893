// SPDX-License-Identifier: Apache-2.0
// For tests: a gRPC server with a service of two methods, and a client that calls them frame by
// frame. /test.T/Echo sends back what it is sent; a call of /test.T/Hold is the test's to answer.
// Threads: one.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/net/grpc_server.h"
#include "io/net/testing/grpc_messages.h"

namespace fairlead::net::testing {

struct GrpcTestService final : GrpcHandler {
  struct Call final : GrpcCallObserver {
    Call(GrpcCall& of, bool echoes_back) : call(&of), echoes(echoes_back) {}
    void on_message(std::string_view message) override {
      messages.emplace_back(message);
      if (!echoes) return;
      kept.push_back(std::make_unique<std::string>(message));
      call->send("", *kept.back());
    }
    void on_half_close() override {
      half_closed = true;
      if (echoes) call->finish(GrpcStatus::kOk);
    }
    void on_drained() override { ++drained; }
    void on_done() override { done = true; }
    void on_gone(GrpcGone reason) override {
      EXPECT_FALSE(done || gone.has_value());
      gone = reason;
    }
    bool ended() const { return done || gone.has_value(); }

    GrpcCall* call;
    bool echoes;
    std::vector<std::string> messages;
    std::vector<std::unique_ptr<std::string>> kept;
    bool half_closed = false;
    int drained = 0;
    bool done = false;
    std::optional<GrpcGone> gone;
  };

  GrpcCallObserver* on_call(GrpcCall& call) override {
    if (call.path() != "/test.T/Echo" && call.path() != "/test.T/Hold") return nullptr;
    ++begun;
    // Ended calls are forgotten, or the tests of many calls would take much memory.
    if (calls.size() > 1000) std::erase_if(calls, [](const auto& one) { return one->ended(); });
    calls.push_back(std::make_unique<Call>(call, call.path() == "/test.T/Echo"));
    return calls.back().get();
  }
  Call& last() { return *calls.back(); }

  std::size_t begun = 0;
  std::vector<std::unique_ptr<Call>> calls;
};

class GrpcServerTest : public ::testing::Test {
 protected:
  GrpcServer& serve(const GrpcServerOptions& options = {}) {
    server_ = std::make_unique<GrpcServer>(*loop_, service_, options, &budget_);
    EXPECT_TRUE(server_->listen(SocketAddress::loopback(0), PortSharing::kExclusive).has_value());
    return *server_;
  }
  // Every test ends with nothing left over.
  void TearDown() override {
    if (!server_) return;
    EXPECT_TRUE(run_until(*loop_, [&] { return counters().calls_running == 0; }));
    server_.reset();
    EXPECT_EQ(budget_.connections.load(), 0U);
    EXPECT_EQ(budget_.calls.load(), 0U);
    EXPECT_EQ(budget_.buffered_bytes.load(), 0U);
  }
  std::unique_ptr<Http2Client> connect(Http2Client::Settings settings = {}) {
    return std::make_unique<Http2Client>(*loop_, server_->local_address(), settings);
  }
  // A call of /test.T/Hold that has reached the service.
  std::int32_t hold(Http2Client& client) {
    const std::size_t before = service_.begun;
    const std::int32_t id = client.request(grpc_head("/test.T/Hold"), {}, false);
    EXPECT_TRUE(client.run_until([&] { return service_.begun == before + 1; }));
    return id;
  }
  const GrpcServerCounters& counters() const { return server_->counters(); }
  std::uint64_t gone(GrpcGone gone) const {
    return counters().gone[static_cast<std::size_t>(gone)];
  }
  std::uint64_t refused(GrpcRefusal refusal) const {
    return counters().refusals[static_cast<std::size_t>(refusal)];
  }
  std::uint64_t finished(GrpcStatus status) const {
    return counters().finished[static_cast<std::size_t>(status)];
  }
  // The connection of somebody else works.
  void expect_service() {
    auto other = connect();
    const auto& answer =
        other->wait(other->request(grpc_head("/test.T/Echo"), grpc_framed("well?")));
    EXPECT_EQ(answer.body, grpc_framed("well?"));
    EXPECT_EQ(answer.headers.at("grpc-status"), "0");
  }

  std::unique_ptr<EventLoop> loop_ = make_loop();
  GrpcTestService service_;
  ServerBudget budget_;
  std::unique_ptr<GrpcServer> server_;
};

}  // namespace fairlead::net::testing
