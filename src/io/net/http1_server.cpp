// SPDX-License-Identifier: Apache-2.0
#include "io/net/http1_server.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <utility>

#include "core/codec/http1_write.h"
#include "io/net/http1_connection.h"
#include "io/net/http2_connection.h"
#include "io/net/http2_stream.h"

namespace fairlead::net {
namespace {

constexpr int kAcceptsPerTurn = 64;
// Out of descriptors: the listener would report readiness for ever.
constexpr Duration kAcceptRest = std::chrono::milliseconds(50);

}  // namespace

std::string_view to_string(RefusalKind kind) {
  switch (kind) {
    case RefusalKind::kMalformed:
      return "malformed";
    case RefusalKind::kBodyTooLarge:
      return "body_too_large";
    case RefusalKind::kHeadTimeout:
      return "head_timeout";
    case RefusalKind::kBodyTimeout:
      return "body_timeout";
    case RefusalKind::kOutOfMemory:
      return "out_of_memory";
    case RefusalKind::kTooManyConnections:
      return "too_many_connections";
  }
  return "unknown";
}

Http1Server::Http1Server(EventLoop& loop, RequestHandler& handler,
                         const Http1ServerOptions& options, ServerBudget* budget)
    : loop_(loop),
      handler_(handler),
      options_(options),
      budget_(budget != nullptr ? budget : &own_budget_),
      accept_again_(loop, [this] { watch_listener(); }) {}

Http1Server::~Http1Server() {
  stop_accepting();
  budget_->connections.fetch_sub(connections_.size(), std::memory_order_relaxed);
  budget_->buffered_bytes.fetch_sub(buffered_bytes_, std::memory_order_relaxed);
}

Result<void> Http1Server::listen(const SocketAddress& address, PortSharing sharing) {
  auto listener = listen_tcp(address, sharing);
  if (!listener) return tl::unexpected<Error>(std::move(listener.error()));
  return adopt_listener(std::move(*listener));
}

Result<void> Http1Server::adopt_listener(UniqueFd listener) {
  auto local = net::local_address(listener.get());
  if (!local) return tl::unexpected<Error>(std::move(local.error()));
  // Level-triggered, so that connections beyond one turn's share are not forgotten.
  auto added = loop_.add(listener.get(), EPOLLIN, *this);
  if (!added) return added;
  watching_ = true;
  local_ = *local;
  listener_ = std::move(listener);
  return {};
}

void Http1Server::stop_accepting() {
  if (!listener_.valid()) return;
  accept_again_.cancel();
  if (std::exchange(watching_, false)) loop_.remove(listener_.get(), *this);
  listener_.close();
}

void Http1Server::watch_listener() {
  const bool wanted = listener_.valid() && restraint_.accepts && !accept_again_.armed();
  if (wanted == watching_) return;
  watching_ = wanted;
  if (!wanted) {
    loop_.remove(listener_.get(), *this);
  } else if (!loop_.add(listener_.get(), EPOLLIN, *this)) {
    watching_ = false;
    accept_again_.arm(kAcceptRest);
  }
}

void Http1Server::restrain(const ServerRestraint& restraint) {
  restraint_ = restraint;
  if (listener_.valid()) watch_listener();
}

void Http1Server::close_idle(double share, Duration at_least) {
  const Time latest = loop_.now() - at_least;
  std::vector<ServerConnection*> idle;
  for (const auto& connection : connections_) {
    const auto since = connection->idle_since();
    if (since && *since <= latest) idle.push_back(connection.get());
  }
  const auto count = static_cast<std::size_t>(std::ceil(share * static_cast<double>(idle.size())));
  const auto middle = idle.begin() + static_cast<std::ptrdiff_t>(std::min(count, idle.size()));
  std::ranges::nth_element(idle, middle, {},
                           [](const ServerConnection* one) { return *one->idle_since(); });
  for (auto one = idle.begin(); one != middle; ++one) {
    ++counters_.idle_dropped;
    (*one)->drop_idle();
  }
}

void Http1Server::on_events(std::uint32_t) {
  for (int i = 0; i < kAcceptsPerTurn && listener_.valid(); ++i) {
    sockaddr_storage storage{};
    socklen_t size = sizeof storage;
    UniqueFd fd(::accept4(listener_.get(), reinterpret_cast<sockaddr*>(&storage), &size,
                          SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (fd.valid()) {
      accept_one(std::move(fd), SocketAddress::from(storage));
      continue;
    }
    if (errno == EAGAIN) return;
    // The peer left before we came, or the network has a passing fault (accept(2)).
    if (errno == EINTR || errno == ECONNABORTED || errno == EPROTO) continue;
    return rest_after_failure();
  }
}

void Http1Server::rest_after_failure() {
  ++counters_.accept_failures;
  accept_again_.arm(kAcceptRest);
  watch_listener();
}

void Http1Server::accept_one(UniqueFd fd, const SocketAddress& peer) {
  ++counters_.accepted;
  set_no_delay(fd.get());
  const std::size_t others = budget_->connections.fetch_add(1, std::memory_order_relaxed);
  if (others >= options_.connections_max) {
    budget_->connections.fetch_sub(1, std::memory_order_relaxed);
    if (options_.tls) {
      // Telling why would take a handshake.
      ++counters_.refusals[static_cast<std::size_t>(RefusalKind::kTooManyConnections)];
      return;
    }
    const std::string& text =
        compose_refusal({RefusalKind::kTooManyConnections, 503, codec::Http1Error::kNone,
                         "The server has as many connections as it may. Try again shortly."});
    // An empty socket takes it whole; a peer that cannot be told is closed all the same.
    [[maybe_unused]] const auto sent =
        ::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    ::shutdown(fd.get(), SHUT_WR);
    return;
  }
  auto connection = std::make_unique<Http1Connection>(*this, peer);
  StreamSocket socket{std::move(fd), options_.tls ? options_.tls->new_session() : nullptr};
  const bool no_session = options_.tls && !socket.tls;
  if (no_session || !connection->open(std::move(socket))) {
    budget_->connections.fetch_sub(1, std::memory_order_relaxed);
    ++counters_.accept_failures;
    return;
  }
  connection->index_ = connections_.size();
  connections_.push_back(std::move(connection));
  counters_.connections = connections_.size();
}

RefusalReply Http1Server::shape_refusal(const Http1Refusal& refusal) {
  ++counters_.refusals[static_cast<std::size_t>(refusal.kind)];
  RefusalReply reply;
  reply.body = std::string(refusal.message) + "\n";
  reply.content_type = "text/plain; charset=utf-8";
  handler_.on_refusal(refusal, reply);
  return reply;
}

const std::string& Http1Server::compose_refusal(const Http1Refusal& refusal) {
  const RefusalReply reply = shape_refusal(refusal);
  std::string& out = head_scratch_;
  out.clear();
  codec::append_status_line(out, refusal.status);
  codec::append_header(out, "content-type", reply.content_type);
  for (const codec::Http1Header& header : reply.headers) {
    codec::append_header(out, header.name, header.value);
  }
  codec::append_length(out, reply.body.size());
  codec::append_header(out, "connection", "close");
  codec::append_head_end(out);
  out.append(reply.body);
  return out;
}

// The preface has been read and waits in the connection's buffer.
void Http1Server::continue_as_http2(Http1Connection& connection) {
  const std::size_t index = connection.index_;
  count_bytes(connection);
  auto next = std::make_unique<Http2Connection>(*this, connection.peer_);
  Http2Connection& http2 = *next;
  http2.index_ = index;
  std::unique_ptr<ServerConnection> done = std::exchange(connections_[index], std::move(next));
  StreamSocket socket = connection.stream_.take_socket();
  const Result<void> opened = http2.open(std::move(socket), std::move(connection.input_));
  loop_.destroy_later(std::move(done));
  if (!opened) forget(http2);
}

void Http1Server::count_bytes(ServerConnection& connection) {
  const std::uint64_t received = connection.stream().bytes_received();
  const std::uint64_t sent = connection.stream().bytes_sent();
  counters_.bytes_received += received - std::exchange(connection.counted_received_, received);
  counters_.bytes_sent += sent - std::exchange(connection.counted_sent_, sent);
}

void Http1Server::forget(ServerConnection& connection) {
  const std::size_t index = connection.index_;
  if (index >= connections_.size() || connections_[index].get() != &connection) return;
  count_bytes(connection);
  std::swap(connections_[index], connections_.back());
  connections_[index]->index_ = index;
  loop_.destroy_later(std::move(connections_.back()));
  connections_.pop_back();
  budget_->connections.fetch_sub(1, std::memory_order_relaxed);
  counters_.connections = connections_.size();
  if (connections_.empty() && on_drained_) std::exchange(on_drained_, nullptr)();
}

bool Http1Server::charge(std::size_t& charged, std::size_t bytes) {
  // Unsigned arithmetic: what is given back wraps round to the difference.
  const std::size_t more = bytes - std::exchange(charged, bytes);
  buffered_bytes_ += more;
  const std::size_t before = budget_->buffered_bytes.fetch_add(more, std::memory_order_relaxed);
  return before + more <= options_.buffered_bytes_max && restraint_.takes_bodies;
}

void Http1Server::drain(std::function<void()> on_drained) {
  stop_accepting();
  draining_ = true;
  // A connection that closes takes itself off the list.
  for (std::size_t i = connections_.size(); i > 0; --i) {
    connections_[i - 1]->on_server_draining();
  }
  if (connections_.empty()) {
    on_drained();
  } else {
    on_drained_ = std::move(on_drained);
  }
}

}  // namespace fairlead::net
