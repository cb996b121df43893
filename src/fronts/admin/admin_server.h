// SPDX-License-Identifier: Apache-2.0
// AdminServer: the operator's side of a running router, on the control loop: the live page,
// metrics, health of this process, the fleet table and the reasons of decisions. It listens where
// the settings say, on loopback by default, because everybody who can reach it can read the
// configuration.
//   GET /                 the live page; it draws /debug/state
//   GET /metrics          Prometheus text 0.0.4
//   GET /healthz          200 while the process answers
//   GET /readyz           200 when requests can be served, else 503 with the reason
//   GET /debug/state      endpoints, last decisions, events and the text of /metrics, of one moment
//   GET /debug/decisions  the last decisions with their terms
//   GET /debug/explain?request_id=ID    the decisions of one request
//   POST /debug/explain?path=/v1/...    where a request with this body would go; nothing is sent
//   GET /debug/endpoints  the fleet table as JSON
//   GET /debug/config     the effective configuration as YAML
//   GET /debug/profile    how the workers' time divides, when that is asked for
//   GET /debug/log        the log level; PUT /debug/log?level=debug sets it
// Both forms of explain answer with a table for people where the query has format=text.
// A web page of another origin is refused, and on a loopback address every Host that is neither an
// address nor localhost, so that a name pointed here by its owner (DNS rebinding) reads nothing.
// Threads: the control loop's thread; made before it starts, destroyed after Control::stop().
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "fronts/admin/explanation.h"
#include "io/net/http1_server.h"
#include "router/control.h"
#include "router/router.h"

namespace fairlead::admin {

enum class Pages : std::uint8_t {
  kAll,
  kMetrics,  // /metrics, /healthz and /readyz alone, for an address that others reach.
};

class AdminServer final : private net::RequestHandler {
 public:
  AdminServer(router::Router& router, router::Control& control, Pages pages = Pages::kAll);

  // `setting` is named in errors.
  Result<void> listen(const config::HostPort& address,
                      std::string_view setting = "gateway.adminListen");
  std::uint16_t port() const { return server_.local_port(); }
  // What /debug/profile shows; without it there is no such page. Before the loop runs.
  void show_profile(std::function<std::string()> report) { profile_ = std::move(report); }
  // From any thread: /readyz answers 503 from here on.
  void set_draining() { draining_.store(true, std::memory_order_relaxed); }

 private:
  void on_request(net::ServerExchange& exchange) override;
  void log_level(net::ServerExchange& exchange);
  void get(std::string_view path, net::ServerExchange& exchange);
  bool is_stranger(const codec::Http1RequestHead& head) const;
  // Empty: ready.
  std::string_view not_ready() const;
  void explain_request(net::ServerExchange& exchange);
  void explain_body(net::ServerExchange& exchange);
  std::string endpoints_json() const;
  std::string decisions_json();
  const std::string& state_json();
  void append_decisions(std::size_t count, std::size_t rows, codec::JsonWriter& json);

  router::Router& router_;
  router::Control& control_;
  Pages pages_;
  std::function<std::string()> profile_;
  Explainer explainer_;
  net::Http1Server server_;
  bool on_loopback_ = false;
  std::string state_;  // Of state_at_.
  Time state_at_{};
  std::atomic<bool> draining_{false};
};

}  // namespace fairlead::admin
