// SPDX-License-Identifier: Apache-2.0
#include "io/net/grpc_server.h"

#include <utility>

#include "io/net/grpc_connection.h"
#include "io/net/grpc_stream.h"

namespace fairlead::net {

std::string_view to_string(GrpcGone gone) {
  switch (gone) {
    case GrpcGone::kReset:
      return "reset";
    case GrpcGone::kConnectionLost:
      return "connection_lost";
    case GrpcGone::kDeadline:
      return "deadline";
    case GrpcGone::kStalled:
      return "stalled";
    case GrpcGone::kOverflow:
      return "overflow";
    case GrpcGone::kBadMessage:
      return "bad_message";
  }
  return "unknown";
}

std::string_view to_string(GrpcRefusal refusal) {
  switch (refusal) {
    case GrpcRefusal::kNotPost:
      return "not_post";
    case GrpcRefusal::kNotGrpc:
      return "not_grpc";
    case GrpcRefusal::kHeadTooLarge:
      return "head_too_large";
    case GrpcRefusal::kBadTimeout:
      return "bad_timeout";
    case GrpcRefusal::kUnknownMethod:
      return "unknown_method";
    case GrpcRefusal::kTooManyCalls:
      return "too_many_calls";
    case GrpcRefusal::kMessageTooLarge:
      return "message_too_large";
    case GrpcRefusal::kCompressed:
      return "compressed";
    case GrpcRefusal::kBadFrame:
      return "bad_frame";
    case GrpcRefusal::kTruncatedMessage:
      return "truncated_message";
    case GrpcRefusal::kOutOfMemory:
      return "out_of_memory";
    case GrpcRefusal::kTooManyConnections:
      return "too_many_connections";
  }
  return "unknown";
}

GrpcServer::GrpcServer(EventLoop& loop, GrpcHandler& handler, const GrpcServerOptions& options,
                       ServerBudget* budget)
    : loop_(loop),
      handler_(handler),
      options_(options),
      budget_(budget != nullptr ? budget : &own_budget_),
      listener_(loop, [this](UniqueFd fd, const SocketAddress& peer) {
        adopt_connection(std::move(fd), peer);
      }) {}

GrpcServer::~GrpcServer() {
  stop_accepting();
  budget_->connections.fetch_sub(connections_.size(), std::memory_order_relaxed);
  budget_->buffered_bytes.fetch_sub(buffered_bytes_, std::memory_order_relaxed);
  budget_->calls.fetch_sub(calls_open_, std::memory_order_relaxed);
}

Result<void> GrpcServer::listen(const SocketAddress& address, PortSharing sharing) {
  return listener_.listen(address, sharing);
}

void GrpcServer::adopt_connection(UniqueFd fd, const SocketAddress& peer) {
  if (draining_) return;
  ++counters_.accepted;
  const std::size_t others = budget_->connections.fetch_add(1, std::memory_order_relaxed);
  if (others >= options_.connections_max) {
    budget_->connections.fetch_sub(1, std::memory_order_relaxed);
    return count(GrpcRefusal::kTooManyConnections);
  }
  auto connection = std::make_unique<GrpcConnection>(*this, peer);
  StreamSocket socket{std::move(fd), options_.tls ? options_.tls->new_session() : nullptr};
  const bool no_session = options_.tls && !socket.tls;
  if (no_session || !connection->open(std::move(socket))) {
    budget_->connections.fetch_sub(1, std::memory_order_relaxed);
    ++counters_.connections_failed;
    return;
  }
  connection->index_ = connections_.size();
  connections_.push_back(std::move(connection));
  open_.store(connections_.size(), std::memory_order_relaxed);
}

bool GrpcServer::admit_call() {
  const std::size_t others = budget_->calls.fetch_add(1, std::memory_order_relaxed);
  if (others >= options_.calls_max) {
    budget_->calls.fetch_sub(1, std::memory_order_relaxed);
    count(GrpcRefusal::kTooManyCalls);
    return false;
  }
  ++calls_open_;
  return true;
}

void GrpcServer::release_call() {
  --calls_open_;
  budget_->calls.fetch_sub(1, std::memory_order_relaxed);
}

bool GrpcServer::charge(std::size_t& charged, std::size_t bytes) {
  if (charged == bytes) return true;
  // Unsigned arithmetic: what is given back wraps round to the difference.
  const std::size_t more = bytes - std::exchange(charged, bytes);
  buffered_bytes_ += more;
  const std::size_t before = budget_->buffered_bytes.fetch_add(more, std::memory_order_relaxed);
  return before + more <= options_.buffered_bytes_max;
}

void GrpcServer::count_bytes(GrpcConnection& connection) {
  const std::uint64_t received = connection.stream().bytes_received();
  const std::uint64_t sent = connection.stream().bytes_sent();
  counters_.bytes_received += received - std::exchange(connection.counted_received_, received);
  counters_.bytes_sent += sent - std::exchange(connection.counted_sent_, sent);
}

void GrpcServer::forget(GrpcConnection& connection) {
  const std::size_t index = connection.index_;
  if (index >= connections_.size() || connections_[index].get() != &connection) return;
  count_bytes(connection);
  std::swap(connections_[index], connections_.back());
  connections_[index]->index_ = index;
  loop_.destroy_later(std::move(connections_.back()));
  connections_.pop_back();
  budget_->connections.fetch_sub(1, std::memory_order_relaxed);
  open_.store(connections_.size(), std::memory_order_relaxed);
  if (connections_.empty() && on_drained_) std::exchange(on_drained_, nullptr)();
}

void GrpcServer::drain(std::function<void()> on_drained) {
  stop_accepting();
  draining_ = true;
  // A connection that closes takes itself off the list.
  for (std::size_t i = connections_.size(); i > 0; --i) connections_[i - 1]->drain();
  if (connections_.empty()) {
    on_drained();
  } else {
    on_drained_ = std::move(on_drained);
  }
}

}  // namespace fairlead::net
