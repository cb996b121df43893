// SPDX-License-Identifier: Apache-2.0
#include "fronts/admin/admin_server.h"

#include <string_view>

#include "core/codec/json_text.h"

namespace fairlead::admin {
namespace {

constexpr codec::Http1Header kText{"content-type", "text/plain; charset=utf-8"};
constexpr codec::Http1Header kJson{"content-type", "application/json"};
constexpr codec::Http1Header kYaml{"content-type", "application/yaml"};
constexpr codec::Http1Header kExposition{"content-type",
                                         "text/plain; version=0.0.4; charset=utf-8"};

net::Http1ServerOptions options() {
  net::Http1ServerOptions options;
  options.body_bytes_max = 64 * 1024;
  options.connections_max = 256;
  return options;
}

}  // namespace

AdminServer::AdminServer(router::Router& router, router::Control& control)
    : router_(router), control_(control), server_(control.loop(), *this, options()) {}

Result<void> AdminServer::listen(const config::HostPort& address) {
  const auto parsed = net::SocketAddress::parse(address.host, address.port);
  if (!parsed) return with_context(parsed.error(), "gateway.adminListen");
  auto listening = server_.listen(*parsed, net::PortSharing::kExclusive);
  if (!listening) return with_context(listening.error(), "gateway.adminListen");
  return {};
}

void AdminServer::on_request(net::ServerExchange& exchange) {
  const std::string_view target = exchange.head().target;
  const std::string_view path = target.substr(0, target.find('?'));
  const bool known = path == "/metrics" || path == "/healthz" || path == "/readyz" ||
                     path == "/debug/endpoints" || path == "/debug/config" ||
                     (profile_ && path == "/debug/profile");
  if (path == "/debug/log") return log_level(exchange);
  if (!known) return exchange.send_response(404, {kText}, "no such page\n");
  if (exchange.head().method != "GET" && exchange.head().method != "HEAD") {
    return exchange.send_response(405, {kText, {"allow", "GET, HEAD"}}, "read only\n");
  }
  if (path == "/metrics") {
    control_.refresh_metrics();
    return exchange.send_response(200, {kExposition}, router_.metrics().expose());
  }
  if (path == "/healthz") return exchange.send_response(200, {kText}, "ok\n");
  if (path == "/readyz") return ready(exchange);
  if (path == "/debug/endpoints") {
    return exchange.send_response(200, {kJson}, endpoints_json());
  }
  if (path == "/debug/profile") return exchange.send_response(200, {kText}, profile_());
  const auto generation = router_.generation().load();
  exchange.send_response(
      200, {kYaml},
      "# policy: " + generation->policy + "\n" + config::effective_yaml(generation->settings));
}

void AdminServer::ready(net::ServerExchange& exchange) const {
  if (draining_.load(std::memory_order_relaxed)) {
    return exchange.send_response(503, {kText}, "draining\n");
  }
  if (!control_.ready()) {
    return exchange.send_response(503, {kText}, "no healthy endpoint has told its models yet\n");
  }
  exchange.send_response(200, {kText}, "ready\n");
}

// By PUT, which no web page of another origin can send.
void AdminServer::log_level(net::ServerExchange& exchange) {
  constexpr std::string_view kWanted = "level=";
  const codec::Http1RequestHead& head = exchange.head();
  Log& log = router_.log();
  if (head.method == "PUT") {
    const std::string_view query = head.query();
    const auto level =
        query.starts_with(kWanted) ? parse_log_level(query.substr(kWanted.size())) : std::nullopt;
    if (!level) {
      return exchange.send_response(400, {kText},
                                    "?level= must be debug, info, warning or error\n");
    }
    log.set_level(*level);
    log.info("log level {}, set by the admin port", to_string(*level));
  } else if (head.method != "GET" && head.method != "HEAD") {
    return exchange.send_response(405, {kText, {"allow", "GET, HEAD, PUT"}}, "GET or PUT\n");
  }
  exchange.send_response(200, {kText}, std::string(to_string(log.level())) + "\n");
}

std::string AdminServer::endpoints_json() const {
  std::string out;
  codec::JsonWriter json(out);
  json.begin_object().key("version").number(router_.pool().load()->version);
  json.key("endpoints").begin_array();
  for (const fleet::Fleet::Status& status : control_.status()) {
    const model::Endpoint& endpoint = *status.endpoint;
    const fleet::InFlight inflight = router_.inflight().read(endpoint.ref.slot);
    const fleet::LoadRow load = router_.load().read(endpoint.ref.slot);
    json.begin_object();
    json.key("name").string(endpoint.name);
    json.key("host").string(endpoint.host);
    const bool is_unknown = endpoint.address.empty() && config::is_host_name(endpoint.host);
    json.key("address").string(is_unknown ? "" : endpoint.dial());
    json.key("port").number(std::uint64_t{endpoint.port});
    json.key("slot").number(std::uint64_t{endpoint.ref.slot});
    json.key("generation").number(std::uint64_t{endpoint.ref.generation});
    json.key("health").string(model::to_string(endpoint.health));
    json.key("admit_share").number(endpoint.admit_share);
    json.key("inflight_requests").number(inflight.requests);
    json.key("inflight_uncached_tokens").number(inflight.uncached_tokens);
    json.key("inflight_unstarted").number(inflight.unstarted);
    json.key("waiting").number(static_cast<double>(load.waiting));
    json.key("running").number(static_cast<double>(load.running));
    json.key("kv_usage").number(static_cast<double>(load.kv_usage));
    json.key("ejections").number(status.ejections);
    json.key("failed_requests").number(status.failed_requests);
    json.key("trouble").string(status.trouble);
    json.key("models").begin_array();
    for (const std::string& model : endpoint.models) json.string(model);
    json.end_array().key("labels").begin_object();
    for (const auto& [key, value] : endpoint.labels) json.key(key).string(value);
    json.end_object().end_object();
  }
  json.end_array().end_object();
  out += '\n';
  return out;
}

}  // namespace fairlead::admin
