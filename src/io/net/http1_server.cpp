// SPDX-License-Identifier: Apache-2.0
#include "io/net/http1_server.h"

#include <sys/socket.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/codec/http1_write.h"
#include "io/net/http1_connection.h"
#include "io/net/http2_connection.h"
#include "io/net/http2_stream.h"

namespace fairlead::net {

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
      listener_(loop, [this](UniqueFd fd,
                             const SocketAddress& peer) { accept_one(std::move(fd), peer); }),
      connections_(loop, *budget_, counters_.bytes_received, counters_.bytes_sent) {}

Http1Server::~Http1Server() {
  stop_accepting();
  budget_->buffered_bytes.fetch_sub(buffered_bytes_, std::memory_order_relaxed);
}

Result<void> Http1Server::listen(const SocketAddress& address, PortSharing sharing) {
  return listener_.listen(address, sharing);
}

void Http1Server::restrain(const ServerRestraint& restraint) {
  restraint_ = restraint;
  restraint.accepts ? listener_.resume() : listener_.pause();
}

void Http1Server::close_idle(double share, Duration at_least) {
  const Time latest = loop_.now() - at_least;
  std::vector<ServerConnection*> idle;
  for (const auto& connection : connections_.all()) {
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

void Http1Server::accept_one(UniqueFd fd, const SocketAddress& peer) {
  ++counters_.accepted;
  if (!connections_.reserve(options_.connections_max)) {
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
    connections_.give_back();
    ++counters_.connections_failed;
    return;
  }
  connections_.add(std::move(connection));
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
  auto next = std::make_unique<Http2Connection>(*this, connection.peer_);
  Http2Connection& http2 = *next;
  std::unique_ptr<ServerConnection> done = connections_.replace(connection, std::move(next));
  StreamSocket socket = connection.stream_.take_socket();
  const Result<void> opened = http2.open(std::move(socket), std::move(connection.input_));
  loop_.destroy_later(std::move(done));
  if (!opened) forget(http2);
}

void Http1Server::forget(ServerConnection& connection) {
  if (!connections_.forget(connection)) return;
  counters_.connections = connections_.size();
  connections_.tell_if_drained();
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
  connections_.drain(std::move(on_drained));
}

}  // namespace fairlead::net
