// SPDX-License-Identifier: Apache-2.0
#include "fronts/admin/admin_server.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

#include "core/codec/json_text.h"
#include "core/exchange/request_head.h"
#include "core/exchange/route.h"
#include "fronts/admin/report_format.h"
#include "fronts/admin/web_files.h"

namespace fairlead::admin {
namespace {

constexpr std::string_view kText = "text/plain; charset=utf-8";
constexpr std::string_view kJson = "application/json";
constexpr std::string_view kYaml = "application/yaml";
constexpr std::string_view kExposition = "text/plain; version=0.0.4; charset=utf-8";
// Everything from this server, nothing in line, no frames around it.
constexpr std::string_view kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

// Of a dry run: enough for a prompt of a million tokens.
constexpr std::size_t kBodyBytesMax = std::size_t{16} << 20;
// What a page shows at a glance; explain tells more.
constexpr std::size_t kDecisionsOnPage = 20;
constexpr std::size_t kRowsOnPage = 8;
// Many pages may be open, and control has more to do than to write the same again.
constexpr Duration kStateKept = std::chrono::milliseconds(250);
constexpr std::size_t kDecisionsListed = 100;
constexpr std::size_t kRowsExplained = 64;

net::Http1ServerOptions options() {
  net::Http1ServerOptions options;
  options.body_bytes_max = kBodyBytesMax;
  options.buffered_bytes_max = 4 * kBodyBytesMax;
  options.connections_max = 256;
  return options;
}

void answer(net::ServerExchange& exchange, int status, std::string_view type, std::string_view body,
            std::string_view allow = {}) {
  const std::array<codec::Http1Header, 7> headers = {{
      {"content-type", type},
      {"x-content-type-options", "nosniff"},
      {"cache-control", "no-store"},
      {"content-security-policy", kPolicy},
      {"cross-origin-resource-policy", "same-origin"},
      {"referrer-policy", "no-referrer"},
      {"allow", allow},
  }};
  const std::size_t count = headers.size() - (allow.empty() ? 1 : 0);
  exchange.send_response(status, net::HeaderSpan(headers).first(count), body);
}

// The value of `name` in a query, its escapes resolved; empty when there is none.
std::string query_value(std::string_view query, std::string_view name) {
  std::string value;
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    if (!pair.starts_with(name) || pair.substr(name.size(), 1) != "=") continue;
    if (!exchange::decode_path_part(pair.substr(name.size() + 1), value)) value.clear();
    break;
  }
  return value;
}

bool wants_text(std::string_view query) { return query_value(query, "format") == "text"; }

// What went wrong, in the form that was asked for.
void refuse(net::ServerExchange& exchange, int status, const std::string& message) {
  if (wants_text(exchange.head().query())) return answer(exchange, status, kText, message + "\n");
  std::string body;
  codec::JsonWriter(body).begin_object().key("error").string(message).end_object();
  answer(exchange, status, kJson, body + "\n");
}

struct PageType {
  std::string_view ending;
  std::string_view type;
};
constexpr PageType kPageTypes[] = {{".html", "text/html; charset=utf-8"},
                                   {".css", "text/css; charset=utf-8"},
                                   {".js", "text/javascript; charset=utf-8"},
                                   {".svg", "image/svg+xml"}};

std::string_view type_of(const WebFile& file) {
  const auto type = std::ranges::find_if(
      kPageTypes, [&](const PageType& known) { return file.name.ends_with(known.ending); });
  return type == std::end(kPageTypes) ? kText : type->type;
}

const WebFile* web_file(std::string_view path) {
  const std::string_view name = path == "/" ? "index.html" : path.substr(1);
  const auto found = std::ranges::find(web_files(), name, &WebFile::name);
  return found == web_files().end() ? nullptr : &*found;
}

bool is_page(std::string_view path) {
  constexpr std::string_view kPages[] = {"/metrics",         "/healthz",         "/readyz",
                                         "/debug/state",     "/debug/decisions", "/debug/explain",
                                         "/debug/endpoints", "/debug/config"};
  return std::ranges::find(kPages, path) != std::end(kPages) || web_file(path) != nullptr;
}

bool is_open(std::string_view path) {
  return path == "/metrics" || path == "/healthz" || path == "/readyz";
}

void send_reports(net::ServerExchange& exchange, const std::vector<DecisionReport>& reports) {
  std::string body;
  if (wants_text(exchange.head().query())) {
    for (const DecisionReport& report : reports) {
      if (!body.empty()) body += '\n';
      append_report(report, body);
    }
    return answer(exchange, 200, kText, body);
  }
  codec::JsonWriter json(body);
  json.begin_object().key("decisions").begin_array();
  for (const DecisionReport& report : reports) append_report(report, json);
  json.end_array().end_object();
  answer(exchange, 200, kJson, body + "\n");
}

}  // namespace

AdminServer::AdminServer(router::Router& router, router::Control& control, Pages pages)
    : router_(router),
      control_(control),
      pages_(pages),
      explainer_(router, control),
      server_(control.loop(), *this, options()) {}

Result<void> AdminServer::listen(const config::HostPort& address, std::string_view setting) {
  const auto parsed = net::SocketAddress::parse(address.host, address.port);
  if (!parsed) return with_context(parsed.error(), setting);
  auto listening = server_.listen(*parsed, net::PortSharing::kExclusive);
  if (!listening) return with_context(listening.error(), setting);
  on_loopback_ = parsed->host().starts_with("127.") || parsed->host() == "::1";
  return {};
}

bool AdminServer::is_stranger(const codec::Http1RequestHead& head) const {
  const std::string_view origin = codec::header_value(head.headers, "origin");
  if (!origin.empty() && origin != fmt::format("http://{}", head.host)) return true;
  // Browsers send no Origin with a GET of another site's page, but say this.
  const std::string_view site = codec::header_value(head.headers, "sec-fetch-site");
  if (site == "cross-site" || site == "same-site") return true;
  if (!on_loopback_ || head.host.empty()) return false;
  const std::size_t end =
      head.host.starts_with('[') ? head.host.find(']') + 1 : head.host.find(':');
  return !net::SocketAddress::parse(head.host.substr(0, end), 0).has_value();
}

void AdminServer::on_request(net::ServerExchange& exchange) {
  const codec::Http1RequestHead& head = exchange.head();
  if (is_stranger(head)) {
    return answer(exchange, 403, kText,
                  "refused: this comes from another web page, or by a name that is not localhost; "
                  "use the address\n");
  }
  const std::string_view path = head.path();
  if (pages_ == Pages::kMetrics && !is_open(path)) {
    return answer(exchange, 404, kText, "no such page here; the others are at epp.adminListen\n");
  }
  if (path == "/debug/log") return log_level(exchange);
  const bool known = is_page(path) || (profile_ && path == "/debug/profile");
  if (!known) return answer(exchange, 404, kText, "no such page\n");
  const bool explains = path == "/debug/explain";
  if (explains && head.method == "POST") return explain_body(exchange);
  if (head.method != "GET" && head.method != "HEAD") {
    return answer(exchange, 405, kText, "read only\n", explains ? "GET, HEAD, POST" : "GET, HEAD");
  }
  get(path, exchange);
}

void AdminServer::get(std::string_view path, net::ServerExchange& exchange) {
  if (path == "/metrics") {
    control_.refresh_metrics();
    return answer(exchange, 200, kExposition, router_.metrics().expose());
  }
  if (path == "/healthz") return answer(exchange, 200, kText, "ok\n");
  if (path == "/readyz") {
    const std::string_view trouble = not_ready();
    if (trouble.empty()) return answer(exchange, 200, kText, "ready\n");
    return answer(exchange, 503, kText, fmt::format("{}\n", trouble));
  }
  if (path == "/debug/state") return answer(exchange, 200, kJson, state_json());
  if (path == "/debug/decisions") return answer(exchange, 200, kJson, decisions_json());
  if (path == "/debug/explain") return explain_request(exchange);
  if (path == "/debug/endpoints") return answer(exchange, 200, kJson, endpoints_json());
  if (path == "/debug/config") {
    const auto generation = router_.generation().load();
    return answer(
        exchange, 200, kYaml,
        "# policy: " + generation->policy + "\n" + config::effective_yaml(generation->settings));
  }
  if (path == "/debug/profile") return answer(exchange, 200, kText, profile_());
  if (const WebFile* const file = web_file(path)) {
    answer(exchange, 200, type_of(*file), file->bytes);
  }
}

std::string_view AdminServer::not_ready() const {
  if (draining_.load(std::memory_order_relaxed)) return "draining";
  return control_.ready() ? "" : "no healthy endpoint has told its models yet";
}

void AdminServer::explain_request(net::ServerExchange& exchange) {
  const std::string id = query_value(exchange.head().query(), "request_id");
  if (!exchange::is_request_id(id)) {
    return refuse(exchange, 400, "say which request: /debug/explain?request_id=ID, or POST a body");
  }
  const auto found = router_.decisions().find(id);
  if (found.empty()) {
    return refuse(exchange, 404,
                  fmt::format("no decision of request {} is kept: the last {} are, at most {} a "
                              "worker",
                              id, router_.decisions().kept(), router::kDecisionsKept));
  }
  std::vector<DecisionReport> reports;
  for (const router::PastDecision& past : found) {
    reports.push_back(explainer_.explain(past, kRowsExplained));
  }
  send_reports(exchange, reports);
}

void AdminServer::explain_body(net::ServerExchange& exchange) {
  std::string path = query_value(exchange.head().query(), "path");
  if (path.empty()) path = "/v1/chat/completions";
  auto report = explainer_.dry_run(path, exchange.body(), kRowsExplained);
  if (!report) return refuse(exchange, 400, report.error().message);
  std::vector<DecisionReport> reports;
  reports.push_back(std::move(*report));
  send_reports(exchange, reports);
}

void AdminServer::append_decisions(std::size_t count, std::size_t rows, codec::JsonWriter& json) {
  json.key("decisions").begin_array();
  for (const router::PastDecision& past : router_.decisions().newest(count)) {
    append_report(explainer_.explain(past, rows), json);
  }
  json.end_array();
}

std::string AdminServer::decisions_json() {
  std::string out;
  codec::JsonWriter json(out);
  json.begin_object();
  append_decisions(kDecisionsListed, kRowsExplained, json);
  json.end_object();
  out += '\n';
  return out;
}

// Made in one call of one thread, and its figures are the text that /metrics would answer now.
const std::string& AdminServer::state_json() {
  if (!state_.empty() && control_.now() - state_at_ < kStateKept) return state_;
  state_at_ = control_.now();
  control_.refresh_metrics();
  const auto generation = router_.generation().load();
  state_.clear();
  codec::JsonWriter json(state_);
  json.begin_object().key("time").number(control_.unix_seconds());
  json.key("policy").string(generation->policy).key("not_ready").string(not_ready());
  json.key("endpoints").begin_array();
  for (const fleet::Fleet::Status& status : control_.status()) {
    const model::Endpoint& endpoint = *status.endpoint;
    json.begin_object().key("name").string(endpoint.name);
    json.key("address").string(config::to_string({endpoint.host, endpoint.port}));
    json.key("health").string(model::to_string(endpoint.health));
    json.key("trouble").string(status.trouble).key("models").begin_array();
    for (const std::string& model : endpoint.models) json.string(model);
    json.end_array().end_object();
  }
  json.end_array();
  json.key("misconfigurations").begin_array();
  for (const router::Misconfiguration& found : router_.audits().found(*router_.pool().load())) {
    json.begin_object().key("endpoint").string(found.endpoint);
    json.key("check").string(to_string(found.check)).key("text").string(found.text).end_object();
  }
  json.end_array();
  append_decisions(kDecisionsOnPage, kRowsOnPage, json);
  json.key("events").begin_array();
  for (const router::Event& event : router_.events().events()) {
    json.begin_object().key("number").number(event.number).key("time").number(event.unix_seconds);
    json.key("level").string(to_string(event.level)).key("text").string(event.text).end_object();
  }
  json.end_array().key("metrics").string(router_.metrics().expose()).end_object();
  state_ += '\n';
  return state_;
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
    if (!level)
      return answer(exchange, 400, kText, "?level= must be debug, info, warning or error\n");
    log.set_level(*level);
    log.info("log level {}, set by the admin port", to_string(*level));
  } else if (head.method != "GET" && head.method != "HEAD") {
    return answer(exchange, 405, kText, "GET or PUT\n", "GET, HEAD, PUT");
  }
  answer(exchange, 200, kText, std::string(to_string(log.level())) + "\n");
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
