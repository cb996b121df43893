// SPDX-License-Identifier: Apache-2.0
// The clients of the proof of scale, one thread; every answer is checked to be whole.
//
//   streams_client h1 PORT STREAMS EVENTS           a connection each, opened 2,000 a second
//   streams_client h2 PORT STREAMS EVENTS CONNECTIONS
//   streams_client idle PORT CONNECTIONS SECONDS    one request each, then silence
//   streams_client soak PORT SECONDS EVENTS         64 at a time: whole streams, small and large
//                                                   prompts, wrong requests, clients that leave
//
// Prints `held` once all streams run at the same time, or all connections are idle, and at the end
// one JSON line. A stream is whole when it has all its events, [DONE] and the framing's end. What
// is neither whole nor a typed error is lost, and the first of those is shown.
#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "core/codec/http1_body.h"
#include "core/codec/http1_response.h"
#include "io/net/event_loop.h"
#include "io/net/tcp_stream.h"
#include "io/net/testing/http2_client.h"
#include "io/net/timer.h"

namespace fairlead::net {
namespace {

constexpr std::size_t kInputBytes = 16 * 1024;
constexpr std::size_t kSmallBody = 300;
constexpr std::size_t kLargeBody = 200'000;
constexpr int kSoakClients = 64;
constexpr int kOpenedPerTick = 20;
constexpr Duration kTick = std::chrono::milliseconds(10);
constexpr std::string_view kDone = "data: [DONE]\n\n";
// Prompts of a soak are these many, so that the router's memory of them reaches its end.
constexpr std::uint64_t kPrompts = 64;

std::string chat(std::uint64_t prompt, std::size_t bytes, std::string_view model = "m") {
  std::string text = fmt::format("prompt {} ", prompt % kPrompts);
  while (text.size() < bytes) text += fmt::format("{:x} ", mix64(prompt % kPrompts + text.size()));
  return fmt::format(
      R"({{"model":"{}","stream":true,"messages":[{{"role":"user","content":"{}"}}]}})", model,
      text);
}

std::string post(std::string_view body) {
  return fmt::format(
      "POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
      "content-length: {}\r\n\r\n{}",
      body.size(), body);
}

std::size_t count_of(std::string_view text, std::string_view part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++found;
  return found;
}

bool whole_stream(std::string_view body, std::size_t events) {
  return body.ends_with(kDone) && count_of(body, "data: ") == events + 1;
}

struct Run {
  EventLoop& loop;
  SocketAddress target;
  std::size_t events = 0;
  Random random{1};
  bool over = false;
  std::uint64_t open = 0;  // Streams, or connections, that run now.
  std::uint64_t first = 0;
  std::uint64_t whole = 0;
  std::uint64_t broken = 0;   // By the engine, and told by a typed error.
  std::uint64_t refused = 0;  // As expected: 404 and 400.
  std::uint64_t left = 0;     // By the client itself.
  std::uint64_t lost = 0;
  std::string problem{};

  void lose(std::string_view why, std::string_view text) {
    if (lost++ == 0) problem = fmt::format("{}: {}", why, text.substr(0, 300));
  }
};

void print_held(std::uint64_t count) {
  std::printf("held %llu\n", static_cast<unsigned long long>(count));
  std::fflush(stdout);
}

void print_end(const Run& run) {
  std::string problem;
  for (const char c : run.problem) problem += c < ' ' || c == '"' || c == '\\' ? '.' : c;
  fmt::print(R"({{"whole":{},"broken":{},"refused":{},"left":{},"lost":{},"problem":"{}"}})"
             "\n",
             run.whole, run.broken, run.refused, run.left, run.lost, problem);
}

enum class Plan : std::uint8_t {
  kWhole,
  kLarge,
  kHalfClose,     // After the request.
  kLeave,         // Behind the first event,
  kReset,         // likewise,
  kTruncate,      // or within the request.
  kUnknownModel,  // 404
  kMalformed,     // 400
};
constexpr std::uint64_t kPlans = 8;

// One HTTP/1.1 client: one request at a time, again and again in a soak.
class Client final : public StreamHandler {
 public:
  enum class Repeat : std::uint8_t { kOnce, kForEver };
  Client(Run& run, Repeat repeat) : run_(run), repeat_(repeat) { begin(); }

 private:
  void begin() {
    plan_ =
        repeat_ == Repeat::kForEver ? static_cast<Plan>(run_.random.below(kPlans)) : Plan::kWhole;
    text_.clear();
    first_ = false;
    active_ = true;
    ++run_.open;
    if (stream_ && stream_->open()) return send_request();
    int os_error = 0;
    UniqueFd fd = connect_tcp(run_.target, os_error);
    if (stream_) run_.loop.destroy_later(std::move(stream_));
    stream_ = std::make_unique<TcpStream>(run_.loop, *this, std::size_t{64} << 20);
    if (!fd.valid() || !stream_->open(std::move(fd), TcpStream::State::kConnecting)) {
      lose("no connection");
    }
  }
  void on_connected() override { send_request(); }

  void send_request() {
    const std::uint64_t prompt = run_.random.next();
    std::string request = post(chat(prompt, plan_ == Plan::kLarge ? kLargeBody : kSmallBody,
                                    plan_ == Plan::kUnknownModel ? "nobody" : "m"));
    if (plan_ == Plan::kMalformed) request = post("{\"model\":");
    if (plan_ == Plan::kTruncate) request.resize(request.size() / 2);
    stream_->write(request);
    stream_->flush();
    if (plan_ == Plan::kHalfClose) stream_->shutdown_write();
    if (plan_ == Plan::kTruncate) leave();
  }

  void on_readable() override {
    Buffer buffer = run_.loop.buffers().take(kInputBytes);
    while (stream_->readable() && stream_->read(buffer, buffer.free_space().size()) > 0) {
      text_ += buffer.view();
      buffer.clear();
    }
    if (!active_) {
      if (stream_->at_end()) stream_->close();
      return;
    }
    if (!first_ && text_.find("data: ") != std::string::npos) {
      first_ = true;
      ++run_.first;
      if (plan_ == Plan::kLeave || plan_ == Plan::kReset) return leave();
    }
    examine();
  }

  void examine() {
    codec::Http1ResponseParser parser;
    std::string_view rest = text_;
    for (;; parser.reset()) {
      if (parser.parse(rest, codec::ResponseTo::kOther) != codec::Http1Progress::kComplete) {
        if (stream_->at_end()) lose("closed before an answer");
        return;
      }
      if (!parser.head().interim()) break;
      rest.remove_prefix(parser.head().size);
    }
    codec::Http1BodyReader reader;
    reader.reset(parser.head().body);
    std::vector<std::string_view> pieces;
    reader.walk(rest.substr(parser.head().size), pieces);
    if (reader.status() == codec::Http1Progress::kComplete) {
      std::string body;
      for (const std::string_view piece : pieces) body += piece;
      return judge(parser.head(), body);
    }
    if (stream_->at_end()) lose("cut off");
  }

  void judge(const codec::Http1ResponseHead& head, std::string_view body) {
    const bool refusal_due = plan_ == Plan::kUnknownModel || plan_ == Plan::kMalformed;
    if (head.status == 200 && whole_stream(body, run_.events)) {
      ++run_.whole;
    } else if (refusal_due && head.status == (plan_ == Plan::kMalformed ? 400 : 404)) {
      ++run_.refused;
    } else if (head.status == 502) {
      ++run_.broken;
    } else {
      return lose("not whole");
    }
    if (!head.keep_alive || plan_ == Plan::kHalfClose) stream_->close();
    end();
  }

  void leave() {
    ++run_.left;
    plan_ == Plan::kReset ? stream_->abort() : stream_->close();
    end();
  }
  void lose(std::string_view why) {
    // The router's typed end of a stream that its engine broke off.
    if (text_.find("\"code\":\"upstream_failed\"") != std::string::npos) {
      ++run_.broken;
    } else {
      run_.lose(why, text_);
    }
    stream_->close();
    end();
  }
  void end() {
    active_ = false;
    --run_.open;
    if (repeat_ == Repeat::kOnce || run_.over) return stream_->close();
    // A turn later: the stream whose event this is may be replaced.
    [[maybe_unused]] const Posted posted = run_.loop.post([this] { begin(); });
  }

  void on_writable() override {}
  void on_peer_half_closed() override {}  // Reading finds the end.
  void on_stream_end(StreamEnd) override {
    if (active_) lose("reset");
  }

  Run& run_;
  Repeat repeat_;
  Plan plan_ = Plan::kWhole;
  std::unique_ptr<TcpStream> stream_;
  std::string text_;
  bool active_ = false;  // A request runs; else whatever the router does is no loss.
  bool first_ = false;
};

int run_h1(Run& run, std::size_t streams) {
  std::vector<std::unique_ptr<Client>> clients;
  bool held = false;
  Time next = run.loop.now();
  while (clients.size() < streams || run.open > 0) {
    if (clients.size() < streams && run.loop.now() >= next) {
      next = run.loop.now() + kTick;
      for (int i = 0; i < kOpenedPerTick && clients.size() < streams; ++i) {
        clients.push_back(std::make_unique<Client>(run, Client::Repeat::kOnce));
      }
    }
    run.loop.run_turn(kTick);
    if (!held && run.first == streams && run.open == streams) {
      held = true;
      print_held(streams);
    }
  }
  print_end(run);
  return 0;
}

int run_soak(Run& run, double seconds) {
  std::vector<std::unique_ptr<Client>> clients;
  Timer stop(run.loop, [&run] { run.over = true; });
  stop.arm(from_seconds(seconds));
  for (int i = 0; i < kSoakClients; ++i) {
    clients.push_back(std::make_unique<Client>(run, Client::Repeat::kForEver));
  }
  print_held(clients.size());
  while (!run.over || run.open > 0) run.loop.run_turn(kTick);
  print_end(run);
  return 0;
}

int run_h2(Run& run, std::size_t streams, std::size_t connections) {
  using testing::Http2Client;
  std::vector<std::unique_ptr<Http2Client>> clients;
  for (std::size_t i = 0; i < connections; ++i) {
    clients.push_back(std::make_unique<Http2Client>(run.loop, run.target));
  }
  std::vector<std::pair<Http2Client*, std::int32_t>> all;
  bool held = false;
  for (Time next = run.loop.now(), sweep = next;;) {
    const Time now = run.loop.now();
    if (all.size() < streams && now >= next) {
      next = now + kTick;
      for (int i = 0; i < kOpenedPerTick && all.size() < streams; ++i) {
        Http2Client& client = *clients[all.size() % connections];
        const std::string body = chat(run.random.next(), kSmallBody);
        all.emplace_back(&client, client.request(Http2Client::post("/v1/chat/completions"), body));
      }
    }
    for (const auto& client : clients) client->pump();
    run.loop.run_turn(kTick);
    if (all.size() < streams || now < sweep) continue;
    sweep = now + std::chrono::milliseconds(200);
    std::size_t begun = 0;
    std::size_t closed = 0;
    for (const auto& [client, id] : all) {
      const Http2Client::Answer& answer = client->answer(id);
      begun += answer.body.empty() ? 0 : 1;
      closed += answer.closed || client->ended() ? 1 : 0;
    }
    if (!held && begun == streams && closed == 0) {
      held = true;
      print_held(streams);
    }
    if (closed == streams) break;
  }
  for (const auto& [client, id] : all) {
    const Http2Client::Answer& answer = client->answer(id);
    if (answer.status == 200 && answer.ended && whole_stream(answer.body, run.events)) {
      ++run.whole;
    } else {
      run.lose(fmt::format("status {}, reset {}", answer.status, answer.reset), answer.body);
    }
  }
  print_end(run);
  return 0;
}

// One request each, then idle; one more connection asks again and again.
int run_idle(Run& run, std::size_t connections, double seconds) {
  constexpr std::string_view kRequest = "GET /v1/models HTTP/1.1\r\nhost: bench\r\n\r\n";
  const auto answers = [](const testing::RawClient& client) {
    return count_of(client.received(), "HTTP/1.1 200 OK\r\n");
  };
  std::vector<std::unique_ptr<testing::RawClient>> clients;
  for (Time next = run.loop.now(); clients.size() < connections;) {
    if (run.loop.now() >= next) {
      next = run.loop.now() + kTick;
      for (int i = 0; i < kOpenedPerTick && clients.size() < connections; ++i) {
        clients.push_back(std::make_unique<testing::RawClient>(run.loop, run.target));
        clients.back()->send(kRequest);
      }
    }
    run.loop.run_turn(kTick);
  }
  const bool all = testing::run_until(
      run.loop,
      [&] { return std::ranges::all_of(clients, [&](auto& one) { return answers(*one) == 1; }); },
      std::chrono::seconds(30));
  if (all) print_held(connections);
  testing::RawClient busy(run.loop, run.target);
  std::size_t asked = 0;
  for (const Time end = run.loop.now() + from_seconds(seconds); run.loop.now() < end;) {
    if (answers(busy) == asked) {
      ++asked;
      busy.send(kRequest);
    }
    run.loop.run_turn(kTick);
  }
  for (const auto& one : clients) {
    if (one->ended() || answers(*one) != 1) {
      run.lose("closed", one->received());
    } else {
      ++run.whole;
    }
  }
  if (asked < 2) run.lose("nobody else was served", "");
  print_end(run);
  return 0;
}

}  // namespace
}  // namespace fairlead::net

int main(int count, char** arguments) {
  using namespace fairlead::net;
  const auto number = [&](int at) {
    return at < count ? static_cast<std::size_t>(std::atoll(arguments[at])) : 0;
  };
  auto loop = EventLoop::create();
  if (!loop || count < 5) {
    std::fputs("usage: streams_client h1|h2|idle|soak PORT ...\n", stderr);
    return 2;
  }
  const std::string_view how = arguments[1];
  Run run{**loop, SocketAddress::loopback(static_cast<std::uint16_t>(number(2)))};
  run.events = number(4);
  if (how == "h1") return run_h1(run, number(3));
  if (how == "h2") return run_h2(run, number(3), std::max<std::size_t>(1, number(5)));
  if (how == "idle") return run_idle(run, number(3), static_cast<double>(number(4)));
  return run_soak(run, static_cast<double>(number(3)));
}
