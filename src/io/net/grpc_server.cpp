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
      listener_(loop, [this](UniqueFd fd,
                             const SocketAddress& peer) { adopt_connection(std::move(fd), peer); }),
      connections_(loop, *budget_, counters_.bytes_received, counters_.bytes_sent) {}

GrpcServer::~GrpcServer() {
  stop_accepting();
  budget_->buffered_bytes.fetch_sub(buffered_bytes_, std::memory_order_relaxed);
  budget_->calls.fetch_sub(calls_open_, std::memory_order_relaxed);
}

Result<void> GrpcServer::listen(const SocketAddress& address, PortSharing sharing) {
  return listener_.listen(address, sharing);
}

void GrpcServer::adopt_connection(UniqueFd fd, const SocketAddress& peer) {
  if (draining_) return;
  ++counters_.accepted;
  if (!connections_.reserve(options_.connections_max)) {
    return count(GrpcRefusal::kTooManyConnections);
  }
  auto connection = std::make_unique<GrpcConnection>(*this, peer);
  StreamSocket socket{std::move(fd), options_.tls ? options_.tls->new_session() : nullptr};
  const bool no_session = options_.tls && !socket.tls;
  if (no_session || !connection->open(std::move(socket))) {
    connections_.give_back();
    ++counters_.connections_failed;
    return;
  }
  connections_.add(std::move(connection));
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

void GrpcServer::forget(GrpcConnection& connection) {
  if (!connections_.forget(connection)) return;
  open_.store(connections_.size(), std::memory_order_relaxed);
  connections_.tell_if_drained();
}

void GrpcServer::drain(std::function<void()> on_drained) {
  stop_accepting();
  draining_ = true;
  connections_.drain(std::move(on_drained));
}

}  // namespace fairlead::net
