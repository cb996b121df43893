// SPDX-License-Identifier: Apache-2.0
#include "router/replica_link.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace fairlead::router {
namespace {

using replication::BatchResult;

// A greeting and a last word; more is nobody's of the fleet.
constexpr std::size_t kHeardMax = 256;

}  // namespace

ReplicaLink::ReplicaLink(net::EventLoop& loop, const net::SocketAddress& address,
                         const replication::ReplicaSecret& secret,
                         std::function<void(ReplicaLink&)> on_up)
    : loop_(loop),
      address_(address),
      secret_(secret),
      on_up_(std::move(on_up)),
      timer_(loop, [this] { on_timer(); }) {
  connect();
}

void ReplicaLink::close() {
  timer_.cancel();
  drop_stream();
  challenge_.reset();
}

// It may be what calls.
void ReplicaLink::drop_stream() {
  if (!stream_) return;
  stream_->close();
  loop_.destroy_later(std::move(stream_));
}

void ReplicaLink::connect() {
  waits_ = false;
  heard_.clear();
  int os_error = 0;
  net::UniqueFd fd = net::connect_tcp(address_, os_error);
  stream_ = std::make_unique<net::TcpStream>(loop_, handler(), kPendingMax);
  if (!fd.valid() || !stream_->open(std::move(fd), net::TcpStream::State::kConnecting)) {
    return retry(os_error == 0 ? "no descriptor" : std::strerror(os_error));
  }
  timer_.arm(kConnectMax);
}

void ReplicaLink::retry(std::string_view trouble) {
  // Only what lasted shows that all is well.
  if (up() && loop_.now() - up_since_ >= kRetryMax) pause_ = kRetryMin;
  challenge_.reset();
  trouble_ = trouble;
  drop_stream();
  waits_ = true;
  timer_.arm(pause_);
  pause_ = std::min(2 * pause_, kRetryMax);
}

void ReplicaLink::on_timer() {
  if (waits_) return connect();
  if (!up()) return retry("nobody greets there in time");
  const bool still = stream_->pending_bytes() > 0 && stream_->bytes_sent() == sent_before_;
  if (still) return retry("what it is told stands still");
  if (loop_.now() - up_since_ >= kRetryMax) trouble_.clear();
  sent_before_ = stream_->bytes_sent();
  timer_.arm(kStillMax);
}

void ReplicaLink::on_readable() {
  net::Buffer buffer = loop_.buffers().take(kHeardMax);
  while (stream_->readable()) {
    stream_->read(buffer);
    heard_.append(buffer.view());
    buffer.clear();
    if (heard_.size() > kHeardMax) return retry("what it says is no greeting of a router");
  }
  const bool at_end = stream_->at_end();
  if (!up() && heard_.size() >= replication::kGreetingBytes) read_greeting();
  if (at_end && stream_) ended();
}

void ReplicaLink::read_greeting() {
  const std::string_view greeting = std::string_view(heard_).substr(0, replication::kGreetingBytes);
  challenge_ = replication::read_greeting(greeting);
  if (!up()) return retry("no router of this version greets there");
  heard_.erase(0, replication::kGreetingBytes);
  up_since_ = loop_.now();
  sent_before_ = stream_->bytes_sent();
  timer_.arm(kStillMax);
  on_up_(*this);
}

void ReplicaLink::on_peer_half_closed() {
  // What it said before may wait to be read.
  if (stream_->readable()) return on_readable();
  ended();
}

void ReplicaLink::ended() {
  if (up() && !heard_.empty() && heard_.back() == static_cast<char>(BatchResult::kOwn)) {
    retry("");
    return timer_.arm(kOwnRetry);
  }
  retry(last_word());
}

void ReplicaLink::on_stream_end(net::StreamEnd end) {
  if (end == net::StreamEnd::kRefused) return retry("nobody listens there");
  if (heard_.empty() && stream_->os_error() != 0) return retry(std::strerror(stream_->os_error()));
  ended();
}

// Why it closed, if it said so.
std::string_view ReplicaLink::last_word() const {
  if (!up() || heard_.empty()) return up() ? "it closed the connection" : "it closed at once";
  switch (static_cast<BatchResult>(heard_.back())) {
    case BatchResult::kUnsealed:
      return "it has another secret: give all routers the same replicas.secretFile and restart "
             "them";
    case BatchResult::kOtherVersion:
      return "it is of another version, which writes placements in another way";
    case BatchResult::kTooMany:
      return "it is told by more routers than it can tell apart";
    default:
      return "it refuses what it is told";
  }
}

bool ReplicaLink::tell(std::string_view message, const replication::Digest& digest) {
  if (!up()) return false;
  frame_.clear();
  replication::append_frame(frame_, message, secret_.seal(*challenge_, digest));
  if (stream_->pending_bytes() + frame_.size() > kPendingMax) return false;
  stream_->write(frame_);
  return true;
}

}  // namespace fairlead::router
