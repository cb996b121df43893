// SPDX-License-Identifier: Apache-2.0
// Request smuggling through a real HAProxy in front of the gateway: whatever a client writes, the
// engine sees as many requests as the proxy let through, each with the body that the proxy meant.
// Skipped without haproxy, and with REQUIRE_PEERS=1 a failure.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "fronts/gateway/testing/gateway_fixture.h"

namespace fairlead::gateway {
namespace {

constexpr int kListenFd = 3;

class HaproxyTest : public GatewayTest {
 protected:
  void SetUp() override {
    if (std::system("haproxy -v >/dev/null 2>&1") == 0) return;
    const char* required = std::getenv("REQUIRE_PEERS");
    ASSERT_FALSE(required != nullptr && std::string_view(required) == "1")
        << "haproxy is missing; install the package haproxy";
    GTEST_SKIP() << "haproxy is not installed";
  }

  ~HaproxyTest() override {
    if (process_ > 0) {
      ::kill(process_, SIGKILL);
      ::waitpid(process_, nullptr, 0);
    }
    if (!folder_.empty()) std::filesystem::remove_all(folder_);
  }

  // One engine, the gateway, and HAProxy before it. `options` go into its `defaults`.
  void start_proxy(const std::string& options) {
    engine_ = &engine();
    start({engine_->port()});
    std::string pattern = std::filesystem::temp_directory_path() / "fairlead-haproxy-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    const std::string config = folder_ + "/haproxy.cfg";
    std::ofstream(config) << "global\n  maxconn 64\n"
                          << "defaults\n  mode http\n  timeout connect 5s\n  timeout client 10s\n"
                          << "  timeout server 10s\n  http-reuse always\n"
                          << options << "frontend in\n  bind fd@" << kListenFd
                          << "\n  default_backend gateway\n"
                          << "backend gateway\n  server one 127.0.0.1:" << port_ << "\n";
    auto listener = net::listen_tcp(net::SocketAddress::loopback(0), net::PortSharing::kExclusive);
    ASSERT_TRUE(listener.has_value());
    proxy_port_ = net::local_address(listener->get())->port();
    process_ = ::fork();
    ASSERT_GE(process_, 0);
    if (process_ == 0) {
      // dup2() onto itself would leave the descriptor closed on exec.
      const int listening = ::fcntl(listener->get(), F_DUPFD, kListenFd + 1);
      const int silent = ::open("/dev/null", O_RDWR | O_CLOEXEC);
      ::dup2(silent, 1);
      ::dup2(silent, 2);
      ::dup2(listening, kListenFd);
      ::execlp("haproxy", "haproxy", "-db", "-f", config.c_str(), nullptr);
      ::_exit(127);
    }
  }

  Client& proxy_client() {
    clients_.push_back(std::make_unique<Client>(proxy_port_));
    peers_.push_back(clients_.back().get());
    return *clients_.back();
  }

  // The statuses of all answers to these bytes. When `expected` of them are there, a request on
  // another connection comes and goes, which leaves one too many the time to show itself.
  std::vector<int> statuses(const std::string& bytes, std::size_t expected) {
    Client& client = proxy_client();
    client.send(bytes);
    EXPECT_TRUE(until([&] {
      return statuses_in(client.input).size() >= expected || client.closed || client.reset;
    }));
    Client& other = proxy_client();
    other.post("/v1/chat/completions", chat_body("another"));
    EXPECT_EQ(wait_for(other).status, 200);
    return statuses_in(client.input);
  }

  ScriptedEngine* engine_ = nullptr;
  std::uint16_t proxy_port_ = 0;
  pid_t process_ = -1;
  std::string folder_;
};

struct Smuggling {
  std::string name;
  std::string headers;
  std::string body;
  std::vector<int> statuses;  // As the client sees them.
  std::size_t engine_sees;
};

std::string hidden_request() {
  const std::string body = chat_body("smuggled");
  return "POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\n\r\n" + body;
}

std::string request(const Smuggling& one) {
  return "POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n" +
         one.headers + "\r\n" + one.body;
}

std::string in_one_chunk(const std::string& body) {
  char size[16];
  std::snprintf(size, sizeof size, "%zx\r\n", body.size());
  return size + body + "\r\n0\r\n\r\n";
}

std::vector<Smuggling> pairs() {
  const std::string good = chat_body();
  const std::string chunks = in_one_chunk(good);
  const std::string both = chunks + hidden_request();
  const auto length = [](std::size_t size) {
    return "Content-Length: " + std::to_string(size) + "\r\n";
  };
  const std::string chunked = "Transfer-Encoding: chunked\r\n";
  return {
      {"length alone", length(good.size()), good, {200}, 1},
      {"chunked alone", chunked, chunks, {200}, 1},
      // The proxy drops the length, and the connection behind the answer (RFC 9112 §6.3).
      {"CL.TE, a request hidden behind the last chunk",
       length(both.size()) + chunked,
       both,
       {200},
       1},
      {"TE.CL, the length ends inside a chunk", chunked + length(4), chunks, {200}, 1},
      {"two lengths", length(good.size()) + length(good.size() + 1), good + "x", {400}, 0},
      {"two equal lengths", length(good.size()) + length(good.size()), good, {200}, 1},
      {"a list of lengths", "Content-Length: 5, 6\r\n", "{    }", {400}, 0},
      {"an encoding with a vertical tab",
       length(both.size()) + "Transfer-Encoding: \x0b"
                             "chunked\r\n",
       both,
       {400},
       0},
      {"space before the colon",
       length(both.size()) + "Transfer-Encoding : chunked\r\n",
       both,
       {400},
       0},
      {"an encoding on a folded line",
       length(both.size()) + "Transfer-Encoding:\r\n chunked\r\n",
       both,
       {200},
       1},
      {"an unknown encoding",
       length(both.size()) + "Transfer-Encoding: xchunked\r\n",
       both,
       {400},
       0},
      {"two encodings",
       length(both.size()) + chunked + "Transfer-Encoding: identity\r\n",
       both,
       {400},
       0},
      // Two requests to all: the first has a body that is refused.
      {"chunk size with an extension",
       chunked,
       "2;x=\r\n{}\r\n0\r\n\r\n" + hidden_request(),
       {400, 200},
       1},
  };
}

TEST_F(HaproxyTest, TheEngineSeesWhatTheProxyLetThroughAndNoMore) {
  start_proxy("");
  std::size_t seen = 0;
  for (const Smuggling& one : pairs()) {
    EXPECT_EQ(statuses(request(one), one.statuses.size()), one.statuses) << one.name;
    // And the request on the other connection.
    EXPECT_EQ(engine_->requests.size() - seen, one.engine_sees + 1) << one.name;
    seen = engine_->requests.size();
    EXPECT_EQ(engine_->requests.back().body, chat_body("another")) << one.name;
  }
}

// Handshakes that open nothing, with a request behind each: the proxy may take it for the next
// request, but then it is answered as one, and the engine sees no other.
TEST_F(HaproxyTest, ARefusedHandshakeHidesNoRequest) {
  start_proxy("");
  const std::string upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
  const std::string key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
  const std::string whole = upgrade + "Sec-WebSocket-Version: 13\r\n" + key;
  const std::string hidden = hidden_request();
  // Ends the connection, if it is still there.
  const std::string last = "GET /nothing HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n";
  const std::string length = "Content-Length: " + std::to_string(hidden.size()) + "\r\n";
  // Beside a body the proxy drops the Upgrade.
  const std::pair<std::string, int> cases[] = {
      {"GET /v1/realtime?model=m|" + upgrade + "Sec-WebSocket-Version: 8\r\n" + key, 426},
      {"GET /v1/realtime?model=m|" + upgrade + key, 426},
      {"GET /v1/realtime?model=m|" + upgrade + "Sec-WebSocket-Version: 13\r\n", 400},
      {"GET /v1/realtime?model=m|" + whole + key, 400},
      {"GET /v1/realtime?model=m|" + whole + length, 426},
      {"GET /v1/realtime?model=m|" + whole + "Transfer-Encoding: chunked\r\n" + length, 400},
      {"GET /v1/realtime?model=x|" + whole, 404},
      {"GET /v1/realtime|" + whole, 400},
      {"POST /v1/realtime?model=m|" + whole, 405},
      {"GET /v1/chat/completions|" + whole, 405},
      // An engine that knows no WebSockets.
      {"GET /v1/realtime?model=m|" + whole, 200},
  };
  std::size_t seen = 0;
  for (const auto& [text, status] : cases) {
    const std::size_t bar = text.find('|');
    const std::string head =
        text.substr(0, bar) + " HTTP/1.1\r\nHost: t\r\n" + text.substr(bar + 1) + "\r\n";
    Client& one = proxy_client();
    one.send(head + hidden + last);
    EXPECT_TRUE(until([&] { return one.closed || one.reset; })) << text << one.input;
    const std::vector<int> answers = statuses_in(one.input);
    ASSERT_FALSE(answers.empty()) << text;
    EXPECT_EQ(answers[0], status) << text;
    const auto served = static_cast<std::size_t>(std::ranges::count(answers, 200));
    EXPECT_EQ(engine_->requests.size() - seen, served) << text << one.input;
    seen = engine_->requests.size();
  }
}

}  // namespace
}  // namespace fairlead::gateway
