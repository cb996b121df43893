// SPDX-License-Identifier: Apache-2.0
// GatewayTest: one gateway worker, scripted engines and clients on real loopback sockets, all on
// one event loop in one thread, so that a test decides what happens next and waits for effects with
// a deadline. Every test ends with the check that nothing is left in flight.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/log.h"
#include "core/codec/http1_body.h"
#include "core/codec/http1_response.h"
#include "fronts/gateway/gateway_worker.h"
#include "io/net/http1_server.h"
#include "io/net/socket.h"
#include "router/build.h"

namespace fairlead::gateway {

class LineLog final : public router::AccessLog {
 public:
  void write_line(std::string_view line) override { lines.emplace_back(line); }
  std::vector<std::string> lines;
};

// An engine whose answers a test writes, on our own server.
class ScriptedEngine final : public net::RequestHandler {
 public:
  struct Received {
    std::string target;
    std::vector<std::pair<std::string, std::string>> headers;
    std::string body;

    std::string header(std::string_view name) const {
      for (const auto& [key, value] : headers) {
        if (codec::equals_ignore_case(key, name)) return value;
      }
      return "(none)";
    }
  };

  explicit ScriptedEngine(net::EventLoop& loop) : server_(loop, *this, {}) {
    const auto listening =
        server_.listen(net::SocketAddress::loopback(0), net::PortSharing::kExclusive);
    EXPECT_TRUE(listening.has_value());
  }

  void on_request(net::ServerExchange& exchange) override {
    Received received{std::string(exchange.head().target), {}, std::string(exchange.body())};
    for (const codec::Http1Header& header : exchange.head().headers) {
      received.headers.emplace_back(header.name, header.value);
    }
    requests.push_back(std::move(received));
    script(exchange);
  }

  std::uint16_t port() const { return server_.local_port(); }
  const net::Http1ServerCounters& counters() const { return server_.counters(); }

  std::vector<Received> requests;
  std::function<void(net::ServerExchange&)> script = [](net::ServerExchange& exchange) {
    exchange.send_response(200, {{"content-type", "application/json"}}, "{}");
  };

 private:
  net::Http1Server server_;
};

// A peer that speaks bytes instead of HTTP, polled by the fixture.
class RawPeer {
 public:
  virtual ~RawPeer() = default;
  virtual void poll() = 0;
};

inline void reset_connection(net::UniqueFd& fd) {
  const linger hard{1, 0};
  setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  fd.close();
}

// Answers the n-th request head on any connection by the n-th entry of `replies` (the last one
// again and again), then does what the entry says.
class RawEngine final : public RawPeer {
 public:
  enum class Then { kKeep, kClose, kReset, kHalfClose };
  struct Reply {
    std::string bytes;
    Then then = Then::kKeep;
  };

  RawEngine() {
    auto listener = net::listen_tcp(net::SocketAddress::loopback(0), net::PortSharing::kExclusive);
    EXPECT_TRUE(listener.has_value());
    listener_ = std::move(*listener);
    port_ = net::local_address(listener_.get())->port();
  }

  void poll() override {
    for (;;) {
      net::UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!fd.valid()) break;
      connections_.push_back({std::move(fd), {}});
    }
    for (Connection& connection : connections_) {
      if (connection.fd.valid()) serve(connection);
    }
  }

  std::uint16_t port() const { return port_; }
  std::vector<Reply> replies;
  std::size_t requests = 0;

 private:
  struct Connection {
    net::UniqueFd fd;
    std::string input;
  };

  void serve(Connection& connection) {
    char bytes[4096];
    const ssize_t got = ::recv(connection.fd.get(), bytes, sizeof bytes, 0);
    if (got == 0 || (got < 0 && errno != EAGAIN)) return connection.fd.close();
    if (got < 0) return;
    connection.input.append(bytes, static_cast<std::size_t>(got));
    if (connection.input.find("\r\n\r\n") == std::string::npos) return;
    connection.input.clear();
    const Reply& reply = replies[std::min(requests++, replies.size() - 1)];
    EXPECT_EQ(::send(connection.fd.get(), reply.bytes.data(), reply.bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(reply.bytes.size()));
    if (reply.then == Then::kClose) connection.fd.close();
    if (reply.then == Then::kReset) reset_connection(connection.fd);
    if (reply.then == Then::kHalfClose) ::shutdown(connection.fd.get(), SHUT_WR);
  }

  net::UniqueFd listener_;
  std::uint16_t port_ = 0;
  std::vector<Connection> connections_;
};

struct ClientResponse {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;       // Without chunk framing.
  bool complete = false;  // By its framing; a body until close: once the peer closed.

  std::string header(std::string_view name) const {
    for (const auto& [key, value] : headers) {
      if (codec::equals_ignore_case(key, name)) return value;
    }
    return "(none)";
  }
};

class Client final : public RawPeer {
 public:
  explicit Client(std::uint16_t port, int receive_buffer = 0) {
    fd_ = net::UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (receive_buffer > 0) {
      setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    }
    const net::SocketAddress address = net::SocketAddress::loopback(port);
    connected_ = ::connect(fd_.get(), address.get(), address.size()) == 0;
  }

  void send(std::string_view text) { output_ += text; }
  void post(std::string_view path, std::string_view body, std::string_view headers = "") {
    output_ += "POST " + std::string(path) + " HTTP/1.1\r\nHost: test\r\n" + std::string(headers) +
               "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
  }

  // Sends FIN behind what was sent, and goes on reading.
  void finish_sending() { fin_due_ = true; }

  void poll() override {
    if (!fd_.valid()) return;
    while (unsent() > 0) {
      const ssize_t sent =
          ::send(fd_.get(), output_.data() + sent_, unsent(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent <= 0) break;
      sent_ += static_cast<std::size_t>(sent);
    }
    if (unsent() == 0 && std::exchange(fin_due_, false)) ::shutdown(fd_.get(), SHUT_WR);
    while (reading) {
      char bytes[16 * 1024];
      const ssize_t got = ::recv(fd_.get(), bytes, sizeof bytes, MSG_DONTWAIT);
      if (got > 0) {
        input.append(bytes, static_cast<std::size_t>(got));
        continue;
      }
      if (got == 0) closed = true;
      if (got < 0 && errno != EAGAIN) reset = true;
      return;
    }
  }

  // The first response among what came, behind interim ones; `input` keeps everything.
  ClientResponse response() const {
    ClientResponse out;
    codec::Http1ResponseParser parser;
    std::string_view rest = input;
    for (;; parser.reset()) {
      if (parser.parse(rest, codec::ResponseTo::kOther) != codec::Http1Progress::kComplete) {
        return out;
      }
      if (!parser.head().interim()) break;
      rest.remove_prefix(parser.head().size);
    }
    const codec::Http1ResponseHead& head = parser.head();
    out.status = head.status;
    for (const codec::Http1Header& header : head.headers) {
      out.headers.emplace_back(header.name, header.value);
    }
    codec::Http1BodyReader reader;
    reader.reset(head.body);
    std::vector<std::string_view> pieces;
    reader.walk(rest.substr(head.size), pieces);
    if (closed) reader.on_close();
    for (const std::string_view piece : pieces) out.body += piece;
    out.complete = reader.status() == codec::Http1Progress::kComplete;
    return out;
  }
  // Forgets the first response, to look at the next one of a kept-alive connection.
  void next() { input.clear(); }

  void close() { fd_.close(); }
  void abort() { reset_connection(fd_); }
  std::size_t unsent() const { return output_.size() - sent_; }
  bool connected() const { return connected_; }

  bool reading = true;
  std::string input;
  bool closed = false;  // FIN.
  bool reset = false;

 private:
  net::UniqueFd fd_;
  bool connected_ = false;
  bool fin_due_ = false;
  std::string output_;
  std::size_t sent_ = 0;  // Of output_.
};

class GatewayTest : public ::testing::Test {
 protected:
  static constexpr Duration kDeadline = std::chrono::seconds(10);

  GatewayTest() : log_(sink_), loop_(std::move(*net::EventLoop::create())) {}

  ~GatewayTest() override {
    // What clients left behind ends now, and nothing may remain of it.
    for (RawPeer* peer : peers_) {
      if (auto* client = dynamic_cast<Client*>(peer)) client->close();
    }
    if (worker_) {
      EXPECT_TRUE(until([&] { return worker_->requests_running() == 0; }));
      EXPECT_EQ(worker_->picker().live(), 0U);
      EXPECT_EQ(metric("fairlead_requests_in_flight"), 0);
      const fleet::InFlight left = router_->inflight().total();
      EXPECT_EQ(left.requests, 0);
      EXPECT_EQ(left.uncached_tokens, 0);
      EXPECT_EQ(left.unstarted, 0);
      for (const access::Key& key : router_->access().load()->keys.keys()) {
        EXPECT_EQ(key.usage->figures().running, 0U) << key.name;
      }
    }
    worker_.reset();
  }

  // `yaml` as in the configuration file.
  void start(const std::vector<std::uint16_t>& engine_ports, std::string_view yaml = "",
             std::string_view policy = "round-robin") {
    config::Problems problems;
    auto generation = router::build_generation(yaml, "test.yaml", policy, problems);
    ASSERT_NE(generation, nullptr) << problems.to_string();
    router_ = std::make_unique<router::Router>(generation, 42, log_, registry_);
    const Result<void> tls = router_->open_tls();
    ASSERT_TRUE(tls.has_value()) << tls.error().message;
    const Result<void> listening = router_->open_listener();
    ASSERT_TRUE(listening.has_value()) << listening.error().message;
    publish(engine_ports);
    worker_ = std::make_unique<GatewayWorker>(*loop_, *router_, &access_, WorkerPlace{});
    const auto bound =
        worker_->listen(net::SocketAddress::loopback(0), net::PortSharing::kExclusive);
    ASSERT_TRUE(bound.has_value());
    port_ = bound->port();
  }

  void publish(const std::vector<std::uint16_t>& engine_ports, std::uint32_t generation = 1) {
    auto pool = std::make_shared<model::PoolSnapshot>();
    for (std::size_t i = 0; i < engine_ports.size(); ++i) {
      model::Endpoint endpoint;
      endpoint.ref = {static_cast<std::uint32_t>(i), generation};
      endpoint.name = "engine-" + std::to_string(i);
      endpoint.host = "127.0.0.1";
      endpoint.port = engine_ports[i];
      endpoint.models = {"m", "m-" + std::to_string(i)};
      endpoint.health = model::Health::kHealthy;
      pool->endpoints.push_back(std::move(endpoint));
    }
    router_->pool().publish(std::move(pool));
  }

  // Keys by name, as entries of a keys file; the key of an entry is "sk-" and its name.
  void set_keys(const std::vector<std::pair<std::string, std::string>>& entries,
                std::string_view engine_authorization = "") {
    access::KeyHasher hasher;
    std::string yaml = "keys:\n";
    for (const auto& [name, more] : entries) {
      yaml += fmt::format("- {{name: {}, sha256: \"{}\"{}}}\n", name,
                          access::to_hex(hasher.digest("sk-" + name).value()), more);
    }
    config::Problems problems;
    auto keys = access::parse_keys_file(yaml, "keys.yaml", problems);
    ASSERT_TRUE(keys.has_value()) << problems.to_string();
    const auto before = router_->access().load();
    router_->access().publish(std::make_shared<const access::AccessRules>(access::AccessRules{
        access::KeyTable(std::move(*keys), before->keys), std::string(engine_authorization)}));
  }
  const access::Key& key(std::string_view name) const {
    return *router_->access().load()->keys.find_name(name);
  }

  Client& client(int receive_buffer = 0) {
    clients_.push_back(std::make_unique<Client>(port_, receive_buffer));
    peers_.push_back(clients_.back().get());
    return *clients_.back();
  }
  ScriptedEngine& engine() {
    engines_.push_back(std::make_unique<ScriptedEngine>(*loop_));
    return *engines_.back();
  }
  RawEngine& raw_engine(std::vector<RawEngine::Reply> replies) {
    raw_engines_.push_back(std::make_unique<RawEngine>());
    raw_engines_.back()->replies = std::move(replies);
    peers_.push_back(raw_engines_.back().get());
    return *raw_engines_.back();
  }

  void turn() {
    loop_->run_turn(std::chrono::milliseconds(1));
    for (RawPeer* peer : peers_) peer->poll();
  }
  // Turns until the condition holds; false when it does not within the deadline.
  bool until(const std::function<bool()>& condition) {
    const Time end = loop_->now() + kDeadline;
    while (!condition()) {
      if (loop_->now() > end) return false;
      turn();
    }
    return true;
  }
  ClientResponse wait_for(Client& client) {
    EXPECT_TRUE(until([&] { return client.response().complete || client.reset; }));
    return client.response();
  }
  // One request on a connection of its own.
  ClientResponse ask(std::string_view body, std::string_view path = "/v1/chat/completions",
                     std::string_view headers = "") {
    Client& one = client();
    one.post(path, body, headers);
    return wait_for(one);
  }

  // The value of the exposition line that begins with this name and labels; -1 without one.
  double metric(const std::string& name_and_labels) const {
    const std::string text = "\n" + registry_.expose();
    const std::size_t at = text.find("\n" + name_and_labels + " ");
    if (at == std::string::npos) return -1;
    return std::strtod(text.c_str() + at + 1 + name_and_labels.size(), nullptr);
  }
  // Of the newest access line, the raw JSON value of a top-level field.
  std::string logged(std::string_view field) const {
    if (access_.lines.empty()) return "(no line)";
    const std::string& line = access_.lines.back();
    const std::string key = "\"" + std::string(field) + "\":";
    const std::size_t at = line.find(key);
    if (at == std::string::npos) return "(no field)";
    const std::size_t begin = at + key.size();
    return line.substr(begin, line.find_first_of(",}", begin) - begin);
  }

  NullLogSink sink_;
  Log log_;
  MetricRegistry registry_;
  LineLog access_;
  std::unique_ptr<net::EventLoop> loop_;
  std::unique_ptr<router::Router> router_;
  std::unique_ptr<GatewayWorker> worker_;
  std::uint16_t port_ = 0;
  std::vector<std::unique_ptr<ScriptedEngine>> engines_;
  std::vector<std::unique_ptr<RawEngine>> raw_engines_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::vector<RawPeer*> peers_;
};

inline std::string chat_body(std::string_view content = "hello", std::string_view model = "m") {
  return R"({"model":")" + std::string(model) + R"(","messages":[{"role":"user","content":")" +
         std::string(content) + R"("}]})";
}

// The statuses of all answers among these bytes.
inline std::vector<int> statuses_in(std::string_view input) {
  constexpr std::string_view kLine = "HTTP/1.1 ";
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  std::vector<int> out;
  for (std::size_t at = 0; (at = input.find(kLine, at)) != std::string_view::npos; ++at) {
    const std::string_view code = input.substr(at + kLine.size(), 3);
    // The messages of errors speak of HTTP/1.1 too.
    if (code.size() < 3 || !std::ranges::all_of(code, is_digit)) continue;
    out.push_back((code[0] - '0') * 100 + (code[1] - '0') * 10 + code[2] - '0');
  }
  return out;
}

// What a raw engine says.
inline const std::string kJsonAnswer =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
inline const std::string kStreamHead =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

inline constexpr std::string_view kTokenEvent =
    "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n";

}  // namespace fairlead::gateway
