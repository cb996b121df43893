// SPDX-License-Identifier: Apache-2.0
// For tests: a GrpcServer with grpc.health.v1 and a service of four methods, for clients that we
// did not write. Its port is the first line of standard error.
//
//   grpc_echo_server [tls]      With a self-signed certificate for localhost and 127.0.0.1.
//
//   /test.T/Echo    sends back each message, and OK at the client's end.
//   /test.T/Hold    is never answered.
//   /test.T/Toggle  turns the health of "readiness" over.
//   /test.T/Drain   ends the process once every call has ended.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "io/net/grpc_health.h"
#include "io/net/grpc_server.h"

namespace {

using namespace fairlead;
using net::GrpcCall;

struct Statuses final : net::GrpcHealthStatuses {
  codec::HealthStatus status_of(std::string_view service) const override {
    if (service.empty()) return codec::HealthStatus::kServing;
    return service == "readiness" ? readiness : codec::HealthStatus::kServiceUnknown;
  }
  std::span<const std::string> services() const override { return names; }

  codec::HealthStatus readiness = codec::HealthStatus::kNotServing;
  std::vector<std::string> names{"", "readiness"};
};

class Service;

class Call final : public net::GrpcCallObserver {
 public:
  Call(Service& service, GrpcCall& call) : service_(service), call_(call), path_(call.path()) {}

 private:
  friend class Service;
  void on_message(std::string_view message) override;
  void on_half_close() override;
  void on_drained() override { kept_.clear(); }
  void on_done() override;
  void on_gone(net::GrpcGone) override { on_done(); }

  Service& service_;
  GrpcCall& call_;
  std::string path_;
  std::vector<std::unique_ptr<std::string>> kept_;
  std::size_t index_ = 0;
};

class Service final : public net::GrpcHandler {
 public:
  explicit Service(net::EventLoop& loop) : loop_(loop) {}

  net::GrpcCallObserver* on_call(GrpcCall& call) override {
    if (net::GrpcHealth::serves(call.path())) return health_.on_call(call);
    static constexpr std::string_view kMethods[] = {"/test.T/Echo", "/test.T/Hold",
                                                    "/test.T/Toggle", "/test.T/Drain"};
    if (std::ranges::find(kMethods, call.path()) == std::end(kMethods)) return nullptr;
    calls_.push_back(std::make_unique<Call>(*this, call));
    calls_.back()->index_ = calls_.size() - 1;
    return calls_.back().get();
  }
  void end(const Call& call) {
    const std::size_t index = call.index_;
    std::swap(calls_[index], calls_.back());
    calls_[index]->index_ = index;
    calls_.pop_back();
  }
  void toggle() {
    const bool serving = statuses_.readiness == codec::HealthStatus::kServing;
    statuses_.readiness =
        serving ? codec::HealthStatus::kNotServing : codec::HealthStatus::kServing;
    health_.on_change();
  }
  void drain() {
    server->drain([this] { loop_.stop(); });
  }

  net::GrpcServer* server = nullptr;

 private:
  net::EventLoop& loop_;
  Statuses statuses_;
  net::GrpcHealth health_{statuses_};
  std::vector<std::unique_ptr<Call>> calls_;
};

void Call::on_message(std::string_view message) {
  if (path_ == "/test.T/Hold") return;
  if (path_ == "/test.T/Toggle") service_.toggle();
  if (path_ == "/test.T/Drain") service_.drain();
  if (message.size() < net::kGrpcBorrowBytes) return call_.send(message, {});
  kept_.push_back(std::make_unique<std::string>(message));
  call_.send({}, *kept_.back());
}

void Call::on_half_close() {
  if (path_ != "/test.T/Hold") call_.finish(net::GrpcStatus::kOk);
}

void Call::on_done() { service_.end(*this); }

int run(std::string_view mode) {
  auto loop = net::EventLoop::create();
  if (!loop) return 1;
  Service service(**loop);
  net::GrpcServerOptions options;
  if (mode == "tls") {
    const std::vector<std::string> names = {"localhost", "127.0.0.1"};
    const auto identity = net::make_self_signed(names);
    if (!identity) return 1;
    auto context = net::TlsServerContext::create(*identity, net::Http2Offer::kOnly);
    if (!context) return 1;
    options.tls = *context;
  }
  net::GrpcServer server(**loop, service, options);
  service.server = &server;
  const auto listening =
      server.listen(net::SocketAddress::loopback(0), net::PortSharing::kExclusive);
  if (!listening) return 1;
  fmt::print(stderr, "{}\n", server.local_address().port());
  (*loop)->run();
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return run(argc > 1 ? argv[1] : ""); }
