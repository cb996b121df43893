// SPDX-License-Identifier: Apache-2.0
// FakeEngine: for tests of this room and of those above: an engine's health, metrics and model
// list as a test writes them, on a loopback port that stays the same across down() and up().
// Errors: asserted. Threads: the loop's thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "core/config/endpoints.h"
#include "io/net/http1_server.h"

namespace fairlead::fleet::testing {

class FakeEngine final : public net::RequestHandler {
 public:
  explicit FakeEngine(net::EventLoop& loop) : loop_(loop) { up(); }

  void up() {
    server_ = std::make_unique<net::Http1Server>(loop_, *this, net::Http1ServerOptions{});
    const auto listening =
        server_->listen(net::SocketAddress::loopback(port_), net::PortSharing::kExclusive);
    FAIRLEAD_ASSERT(listening.has_value());
    port_ = server_->local_port();
  }
  // Closes the port and every connection.
  void down() { server_.reset(); }

  std::uint16_t port() const { return port_; }
  config::EndpointSetting setting(std::string name) const {
    return {std::move(name), {"127.0.0.1", port_}, {}};
  }
  int asked(std::string_view path) const {
    const auto found = asked_.find(path);
    return found == asked_.end() ? 0 : found->second;
  }
  std::uint64_t connections() const { return server_->counters().connections; }

  void set_load(int waiting, int running, double kv_usage, double started_at = 1000) {
    metrics = "vllm:num_requests_waiting{engine=\"0\"} " + std::to_string(waiting) +
              "\nvllm:num_requests_running{engine=\"0\"} " + std::to_string(running) +
              "\nvllm:kv_cache_usage_perc{engine=\"0\"} " + std::to_string(kv_usage) +
              "\nprocess_start_time_seconds " + std::to_string(started_at) + "\n";
  }
  void serve_model(const std::string& id) {
    models = R"({"object":"list","data":[{"id":")" + id + R"(","object":"model"}]})";
  }

  int health_status = 200;
  std::string metrics_path = "/metrics";
  std::string metrics = "vllm:num_requests_waiting 0\n";
  std::string models = R"({"object":"list","data":[{"id":"m","object":"model"}]})";
  // What the model list asks for; empty: nothing.
  std::string authorization;
  std::string host;  // The Host header that came last.
  // Requests of this path are never answered.
  std::string silent_path;

 private:
  void on_request(net::ServerExchange& exchange) override {
    const std::string path(exchange.head().target);
    ++asked_[path];
    host = exchange.head().host;
    if (path == silent_path) return;
    if (path == "/health") return exchange.send_response(health_status, {}, "");
    if (path == metrics_path) return exchange.send_response(200, {}, metrics);
    if (path == "/v1/models" && !authorization.empty() &&
        codec::header_value(exchange.head().headers, "authorization") != authorization) {
      return exchange.send_response(401, {}, "");
    }
    if (path == "/v1/models") return exchange.send_response(200, {}, models);
    exchange.send_response(404, {}, "");
  }

  net::EventLoop& loop_;
  std::uint16_t port_ = 0;
  std::map<std::string, int, std::less<>> asked_;
  std::unique_ptr<net::Http1Server> server_;
};

}  // namespace fairlead::fleet::testing
