// SPDX-License-Identifier: Apache-2.0
// The clients of the gateway benchmark: kept-alive connections, one thread.
//
//   gateway_client PORT CONNECTIONS SECONDS BODY_BYTES STREAM(0|1) [delayed-ack] [every=MS]
//
// A closed loop, where each connection asks again when it has its answer; with `every`, an open
// one: each asks at its own random phase of that period, whatever became of its last answer, and
// its times count from when it should have asked.
// Bodies are chat requests that share the first half of their prompt with one sixteenth of all.
// Prints one JSON line: answers, failures, wall seconds and its own CPU seconds, and microseconds
// of the whole answer, of its first content, and between two reads of it (p50, p99, largest).
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "io/net/event_loop.h"
#include "io/net/tcp_stream.h"
#include "io/net/timer.h"

namespace fairlead::net {
namespace {

constexpr std::size_t kInputBytes = 64 * 1024;
constexpr std::size_t kTailBytes = 5;
constexpr std::string_view kLastChunk = "0\r\n\r\n";
constexpr unsigned kGroups = 16;

double seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto of = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return of(usage.ru_utime) + of(usage.ru_stime);
}

std::string prompt_text(unsigned seed, std::size_t bytes) {
  std::string text;
  std::uint32_t state = seed * 2654435761U + 1;
  while (text.size() < bytes) {
    state = state * 1664525U + 1013904223U;
    fmt::format_to(std::back_inserter(text), "w{:x} ", state >> 16);
  }
  text.resize(bytes);
  return text;
}

std::vector<std::string> make_requests(std::size_t body_bytes, std::string_view stream) {
  const unsigned variants = body_bytes > 10'000 ? 32 : 256;
  std::vector<std::string> requests;
  for (unsigned i = 0; i < variants; ++i) {
    const std::string head = fmt::format(
        R"({{"model":"m","stream":{},"max_tokens":100,"messages":[{{"role":"system","content":")",
        stream);
    const std::string middle = R"("},{"role":"user","content":")";
    const std::string tail = R"("}]})";
    const std::size_t text = body_bytes - head.size() - middle.size() - tail.size();
    const std::string body = fmt::format("{}{}{}{}{}", head, prompt_text(i % kGroups, text / 2),
                                         middle, prompt_text(1000 + i, text - text / 2), tail);
    requests.push_back(
        fmt::format("POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\n"
                    "content-type: application/json\r\ncontent-length: {}\r\n\r\n{}",
                    body.size(), body));
  }
  return requests;
}

class Samples {
 public:
  void add(Duration value) { values_.push_back(static_cast<float>(seconds(value) * 1e6)); }
  std::string json() {
    if (values_.empty()) return "null";
    std::ranges::sort(values_);
    const auto at = [&](double share) {
      return values_[static_cast<std::size_t>(share * static_cast<double>(values_.size() - 1))];
    };
    return fmt::format(R"({{"p50":{:.1f},"p99":{:.1f},"max":{:.1f}}})", at(0.5), at(0.99),
                       values_.back());
  }

 private:
  std::vector<float> values_;
};

struct Run {
  EventLoop& loop;
  SocketAddress target;
  std::vector<std::string> requests;
  bool delayed_ack = false;
  Duration every{};  // 0: a closed loop.
  bool over = false;
  std::size_t next = 0;
  std::uint64_t answers = 0;
  std::uint64_t failures = 0;
  std::uint64_t reads = 0;
  Samples whole{};
  Samples first{};
  Samples gaps{};
};

class Connection final : public StreamHandler {
 public:
  Connection(Run& run, Duration phase)
      : run_(run), turn_(run.loop, [this] { send_next(); }), due_(run.loop.now() + phase) {
    connect();
  }

 private:
  void connect() {
    int os_error = 0;
    UniqueFd fd = connect_tcp(run_.target, os_error);
    stream_ = std::make_unique<TcpStream>(run_.loop, *this, 64 << 20);
    fd_ = fd.get();
    if (os_error != 0 || !stream_->open(std::move(fd), TcpStream::State::kConnecting)) {
      ++run_.failures;
      return;
    }
    set_ack();
  }
  void on_connected() override { wait_for_turn(); }

  void wait_for_turn() {
    if (run_.every == Duration::zero()) return send_next();
    turn_.arm_at(due_);
  }

  // Off means that the kernel waits up to 40 ms for an answer to ride on; it has to be said again
  // as the kernel changes its mind with every read.
  void set_ack() const {
    const int off = 0;
    if (run_.delayed_ack) setsockopt(fd_, IPPROTO_TCP, TCP_QUICKACK, &off, sizeof off);
  }

  void send_next() {
    if (run_.over) return;
    head_seen_ = first_seen_ = false;
    expected_ = received_ = 0;
    tail_.clear();
    began_ = run_.every == Duration::zero() ? clock_.now() : due_;
    due_ += run_.every;
    const std::string_view request = run_.requests[run_.next++ % run_.requests.size()];
    std::size_t sent = stream_->send({&request, 1});
    if (sent < request.size()) stream_->write(request.substr(sent));
  }

  void on_readable() override {
    while (stream_->readable()) {
      if (!input_.has_memory()) input_ = run_.loop.buffers().take(kInputBytes);
      if (stream_->read(input_) == 0) break;
      set_ack();
      const Time now = clock_.now();
      const std::string_view text = input_.view();
      const bool content = !text.starts_with("HTTP/") || text.find("data:") != text.npos;
      const bool complete = take(text);
      input_.clear();
      ++run_.reads;
      if (first_seen_) {
        run_.gaps.add(now - last_);
      } else if (content || complete) {
        first_seen_ = true;
        run_.first.add(now - began_);
      }
      last_ = now;
      if (complete) {
        ++run_.answers;
        run_.whole.add(now - began_);
        wait_for_turn();
      }
    }
    if (stream_->at_end()) on_stream_end(StreamEnd::kReset);
  }

  // Trusts routers to send a head in one piece.
  bool take(std::string_view text) {
    if (!head_seen_) {
      head_seen_ = true;
      if (!text.starts_with("HTTP/1.1 200")) ++run_.failures;
      std::string head(text.substr(0, text.find("\r\n\r\n")));
      for (char& c : head) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
      const std::size_t at = head.find("content-length: ");
      if (at != std::string::npos) {
        expected_ = head.size() + 4 + static_cast<std::size_t>(std::atoll(head.c_str() + at + 16));
      }
    }
    received_ += text.size();
    if (expected_ > 0) return received_ >= expected_;
    tail_ += text.substr(text.size() - std::min(text.size(), kTailBytes));
    if (tail_.size() > kTailBytes) tail_.erase(0, tail_.size() - kTailBytes);
    return tail_ == kLastChunk;
  }

  void on_writable() override {}
  void on_peer_half_closed() override {}
  void on_stream_end(StreamEnd) override {
    if (run_.over) return;
    ++run_.failures;
    stream_->close();
  }

  Run& run_;
  SteadyClock clock_;
  Timer turn_;
  Time due_;
  std::unique_ptr<TcpStream> stream_;
  int fd_ = -1;
  Buffer input_;
  bool head_seen_ = false;
  bool first_seen_ = false;   // Of the answer's content; a head alone says nothing.
  std::size_t expected_ = 0;  // 0 when chunked.
  std::size_t received_ = 0;
  std::string tail_;
  Time began_{};
  Time last_{};
};

}  // namespace
}  // namespace fairlead::net

int main(int count, char** arguments) {
  using namespace fairlead;
  using namespace fairlead::net;
  if (count < 6) {
    std::fputs(
        "usage: gateway_client PORT CONNECTIONS SECONDS BODY_BYTES STREAM [delayed-ack] "
        "[every=MS]\n",
        stderr);
    return 2;
  }
  auto loop = EventLoop::create();
  if (!loop) return 1;
  const auto port = static_cast<std::uint16_t>(std::atoi(arguments[1]));
  const std::string_view stream = std::string_view(arguments[5]) == "1" ? "true" : "false";
  Run run{**loop, SocketAddress::loopback(port),
          make_requests(static_cast<std::size_t>(std::atoll(arguments[4])), stream)};
  for (int i = 6; i < count; ++i) {
    const std::string_view how = arguments[i];
    if (how == "delayed-ack") run.delayed_ack = true;
    if (how.starts_with("every=")) run.every = from_seconds(std::atof(how.data() + 6) / 1e3);
  }
  Timer stop(**loop, [&run] {
    run.over = true;
    run.loop.stop();
  });
  std::vector<std::unique_ptr<Connection>> connections;
  std::minstd_rand chance(7);
  for (int i = 0; i < std::atoi(arguments[2]); ++i) {
    const Duration phase =
        from_seconds(to_seconds(run.every) * std::generate_canonical<double, 32>(chance));
    connections.push_back(std::make_unique<Connection>(run, phase));
  }
  (*loop)->run_turn(Duration::zero());
  const SteadyClock clock;
  const Time began = clock.now();
  const double cpu = cpu_seconds();
  stop.arm(from_seconds(std::atof(arguments[3])));
  (*loop)->run();
  fmt::print(
      R"({{"answers":{},"failures":{},"reads":{},"seconds":{:.4f},"cpu":{:.4f},"whole_us":{},)"
      R"("first_us":{},"gap_us":{}}})"
      "\n",
      run.answers, run.failures, run.reads, seconds(clock.now() - began), cpu_seconds() - cpu,
      run.whole.json(), run.first.json(), run.gaps.json());
  return 0;
}
