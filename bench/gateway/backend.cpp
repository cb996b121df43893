// SPDX-License-Identifier: Apache-2.0
// The engines behind every router of the gateway benchmark: cheap, answers at once, and writes each
// chunk by itself, as engines do. One process, one thread, a port for each engine.
//
//   gateway_backend ENGINES [METRICS_FILE]
//
// prints its ports and serves until standard input ends. `PUT /shape?chunks=N&gap_us=G&length=0`
// to any port sets what the next answers look like: N server-sent events, G microseconds apart (the
// first after a part of G that no two streams share, because streams in phase batch their wake-ups
// and flatter routers), or with `length` a JSON answer of that many bytes.
#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/random.h"
#include "core/codec/http1_body.h"
#include "io/net/event_loop.h"
#include "io/net/tcp_stream.h"
#include "io/net/timer.h"

namespace fairlead::net {
namespace {

constexpr std::size_t kInputBytes = 64 * 1024;
constexpr std::string_view kEvent =
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":"
    "\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"token \"},\"finish_reason\":null}]}"
    "\n\n";
constexpr std::string_view kMetricsType = "text/plain; version=0.0.4";
constexpr std::string_view kDone = "data: [DONE]\n\n";

struct Shape {
  unsigned chunks = 1;
  unsigned gap_us = 0;
  unsigned length = 0;
  unsigned cut_every = 0;
};

std::string chunk(std::string_view payload) {
  return fmt::format("{:x}\r\n{}\r\n", payload.size(), payload);
}

std::string sized(int status, std::string_view type, std::string_view body) {
  return fmt::format("HTTP/1.1 {} x\r\ncontent-type: {}\r\ncontent-length: {}\r\n\r\n{}", status,
                     type, body.size(), body);
}

unsigned number_after(std::string_view text, std::string_view key) {
  const std::size_t at = text.find(key);
  unsigned value = 0;
  if (at != std::string_view::npos) {
    std::from_chars(text.data() + at + key.size(), text.data() + text.size(), value);
  }
  return value;
}

class Backend {
 public:
  explicit Backend(EventLoop& event_loop) : loop(event_loop) {}
  std::string canned(std::string_view line);
  const std::string& json() {
    if (json_.empty()) json_ = sized(200, "application/json", std::string(shape.length, 'x'));
    return json_;
  }
  EventLoop& loop;
  Shape shape;
  unsigned streams = 0;
  Random random{1};
  std::string metrics =
      sized(200, kMetricsType,
            "vllm:num_requests_running{model_name=\"m\"} 0\n"
            "vllm:num_requests_waiting{model_name=\"m\"} 0\n"
            "vllm:kv_cache_usage_perc{model_name=\"m\"} 0\n"
            "vllm:cache_config_info{block_size=\"16\",num_gpu_blocks=\"20000\"} 1\n");
  std::string stream_head =
      "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
      "transfer-encoding: chunked\r\n\r\n";
  std::string event = chunk(kEvent);
  std::string end = chunk(kDone) + "0\r\n\r\n";

 private:
  std::string json_;
};

// What routers ask engines about themselves, and the benchmark about the shape.
std::string Backend::canned(std::string_view line) {
  if (line.starts_with("PUT /shape")) {
    shape = {number_after(line, "chunks="), number_after(line, "gap_us="),
             number_after(line, "length="), number_after(line, "cut_every=")};
    json_.clear();
    return sized(200, "text/plain", "");
  }
  if (line.starts_with("GET /v1/models")) {
    return sized(200, "application/json",
                 R"({"object":"list","data":[{"id":"m","object":"model","owned_by":"x"}]})");
  }
  if (line.starts_with("GET /metrics")) return metrics;
  // As a vLLM without --enable-scale-out: one rival asks for it with every prompt.
  if (line.find("/render") != std::string_view::npos) return sized(403, "application/json", "{}");
  if (line.starts_with("GET /")) {
    return sized(200, "application/json", R"({"model_path":"m","status":"ready"})");
  }
  return {};
}

class Peer final : private StreamHandler {
 public:
  Peer(Backend& backend, UniqueFd fd)
      : backend_(backend),
        stream_(backend.loop, *this, 64 << 20),
        timer_(backend.loop, [this] { next_event(); }) {
    set_no_delay(fd.get());
    if (!stream_.open(std::move(fd), TcpStream::State::kOpen)) std::abort();
  }

 private:
  void on_readable() override {
    while (stream_.readable()) {
      if (!input_.has_memory()) input_ = backend_.loop.buffers().take(kInputBytes);
      if (input_.free_space().empty()) backend_.loop.buffers().grow(input_, kInputBytes);
      if (stream_.read(input_) == 0) break;
      while (take_request()) {
      }
    }
    if (stream_.at_end()) on_stream_end(StreamEnd::kReset);
  }
  void on_writable() override {}
  void on_peer_half_closed() override {}
  void on_stream_end(StreamEnd) override {
    if (std::exchange(ended_, true)) return;
    timer_.cancel();
    stream_.close();
    backend_.loop.destroy_later(std::unique_ptr<Peer>(this));
  }

  bool take_request() {
    if (!in_body_) {
      const std::string_view text = input_.view();
      const std::size_t head_end = text.find("\r\n\r\n");
      if (head_end == std::string_view::npos) return false;
      line_ = text.substr(0, text.find('\r'));
      std::string head(text.substr(0, head_end));
      for (char& c : head) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
      const bool chunked = head.find("\r\ntransfer-encoding: chunked") != std::string::npos;
      body_.reset(chunked
                      ? codec::BodyFraming::chunked()
                      : codec::BodyFraming::of_length(number_after(head, "\r\ncontent-length: ")));
      input_.consume(head_end + 4);
      in_body_ = true;
    }
    pieces_.clear();
    input_.consume(body_.walk(input_.view(), pieces_));
    if (body_.status() == codec::Http1Progress::kError) {
      stream_.abort();
      on_stream_end(StreamEnd::kReset);
      return false;
    }
    if (body_.status() != codec::Http1Progress::kComplete) return false;
    in_body_ = false;
    answer(line_);
    if (input_.empty()) input_.release();
    return !input_.empty();
  }

  void answer(std::string_view line) {
    const std::string text = backend_.canned(line);
    if (!text.empty()) return send(text);
    if (backend_.shape.length > 0) return send(backend_.json());
    left_ = backend_.shape.chunks;
    const unsigned cut_every = backend_.shape.cut_every;
    cut_ = cut_every > 0 && ++backend_.streams % cut_every == 0;
    gap_ = std::chrono::microseconds(backend_.shape.gap_us);
    send(backend_.stream_head);
    if (gap_ > Duration::zero()) {
      timer_.arm(Duration(static_cast<Duration::rep>(
          backend_.random.below(static_cast<std::uint64_t>(gap_.count())))));
    } else {
      while (left_ > 0) next_event();
    }
  }

  void next_event() {
    if (cut_ && left_ < backend_.shape.chunks) {
      left_ = 0;
      stream_.abort();
      return on_stream_end(StreamEnd::kReset);
    }
    if (--left_ > 0) {
      send(backend_.event);
      if (gap_ > Duration::zero()) timer_.arm(gap_);
    } else {
      send(backend_.event + backend_.end);
    }
  }

  // Each piece is a write of its own; what the kernel refuses is queued.
  void send(std::string_view piece) {
    std::size_t sent = 0;
    if (stream_.pending_bytes() == 0) sent = stream_.send({&piece, 1});
    if (sent < piece.size()) stream_.write(piece.substr(sent));
  }

  Backend& backend_;
  TcpStream stream_;
  Timer timer_;
  Buffer input_;
  codec::Http1BodyReader body_;  // Of the request in hand.
  std::vector<std::string_view> pieces_;
  std::string line_;  // Its first.
  bool in_body_ = false;
  unsigned left_ = 0;
  bool cut_ = false;  // This stream is to be reset behind its first event.
  Duration gap_{};
  bool ended_ = false;
};

class Listener final : private FdHandler {
 public:
  Listener(Backend& backend, UniqueFd fd) : backend_(backend), fd_(std::move(fd)) {
    if (!backend.loop.add(fd_.get(), EPOLLIN, *this)) std::abort();
  }
  std::uint16_t port() const { return local_address(fd_.get())->port(); }

 private:
  void on_events(std::uint32_t) override {
    UniqueFd fd(accept4(fd_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (fd.valid()) new Peer(backend_, std::move(fd));  // Destroys itself.
  }
  Backend& backend_;
  UniqueFd fd_;
};

// Ends the program when the benchmark that started it ends.
class Lifeline final : private FdHandler {
 public:
  explicit Lifeline(EventLoop& loop) : loop_(loop) {
    // A file or terminal cannot be watched; then a signal ends the program.
    if (!loop.add(STDIN_FILENO, EPOLLIN, *this)) return;
  }

 private:
  void on_events(std::uint32_t) override { loop_.stop(); }
  EventLoop& loop_;
};

}  // namespace
}  // namespace fairlead::net

int main(int count, char** arguments) {
  using namespace fairlead::net;
  const unsigned engines = count > 1 ? static_cast<unsigned>(std::atoi(arguments[1])) : 8;
  auto loop = EventLoop::create();
  if (!loop) return 1;
  Backend backend(**loop);
  if (count > 2) {
    std::ifstream file(arguments[2]);
    const std::string text(std::istreambuf_iterator<char>(file), {});
    if (text.empty()) return 1;
    backend.metrics = sized(200, kMetricsType, text);
  }
  std::vector<std::unique_ptr<Listener>> listeners;
  for (unsigned i = 0; i < engines; ++i) {
    auto fd = listen_tcp(SocketAddress::loopback(0), PortSharing::kExclusive);
    if (!fd) return 1;
    listeners.push_back(std::make_unique<Listener>(backend, std::move(*fd)));
    std::printf("%u%c", listeners.back()->port(), i + 1 == engines ? '\n' : ' ');
  }
  std::fflush(stdout);
  const Lifeline lifeline(**loop);
  (*loop)->run();
  return 0;
}
