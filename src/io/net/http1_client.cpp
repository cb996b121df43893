// SPDX-License-Identifier: Apache-2.0
#include "io/net/http1_client.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "io/net/upstream_connection.h"

namespace fairlead::net {

std::string_view to_string(UpstreamFailure failure) {
  switch (failure) {
    case UpstreamFailure::kConnectRefused:
      return "connect_refused";
    case UpstreamFailure::kConnectTimeout:
      return "connect_timeout";
    case UpstreamFailure::kConnectFailed:
      return "connect_failed";
    case UpstreamFailure::kConnectionLimit:
      return "connection_limit";
    case UpstreamFailure::kStale:
      return "stale";
    case UpstreamFailure::kClosedBeforeReply:
      return "closed_before_reply";
    case UpstreamFailure::kReplyTimeout:
      return "reply_timeout";
    case UpstreamFailure::kIdleTimeout:
      return "idle_timeout";
    case UpstreamFailure::kTotalTimeout:
      return "total_timeout";
    case UpstreamFailure::kMalformed:
      return "malformed";
    case UpstreamFailure::kResetMidReply:
      return "reset_mid_reply";
    case UpstreamFailure::kTruncated:
      return "truncated";
    case UpstreamFailure::kTlsFailed:
      return "tls_failed";
  }
  return "unknown";
}

bool UpstreamError::local() const {
  if (failure == UpstreamFailure::kConnectionLimit) return true;
  return failure == UpstreamFailure::kConnectFailed &&
         (os_error == EMFILE || os_error == ENFILE || os_error == ENOMEM || os_error == ENOBUFS ||
          os_error == EADDRNOTAVAIL);
}

UpstreamRequest::UpstreamRequest(UpstreamPool& pool, UpstreamObserver& observer)
    : pool_(pool), observer_(observer) {}

UpstreamRequest::~UpstreamRequest() { cancel(); }

void UpstreamRequest::start(const SocketAddress& address, const UpstreamCall& call) {
  FAIRLEAD_ASSERT(!active_);
  call_ = call;
  active_ = true;
  paused_ = false;
  connection_ = pool_.take(address, call.tls_name);
  connection_->begin(*this);
}

void UpstreamRequest::pause() {
  paused_ = true;
  if (active_ && connection_->response_started()) connection_->on_pause();
}

void UpstreamRequest::resume() {
  if (!std::exchange(paused_, false)) return;
  if (active_) connection_->on_resume();
}

void UpstreamRequest::cancel() {
  if (active_) connection_->cancel();
}

std::size_t UpstreamRequest::send(std::string_view bytes) {
  return active_ ? connection_->send_upgraded(bytes) : 0;
}

void UpstreamRequest::finish_sending() {
  if (active_) connection_->finish_sending();
}

bool UpstreamRequest::request_sent() const { return active_ && connection_->request_sent(); }
bool UpstreamRequest::response_started() const {
  return active_ && connection_->response_started();
}

UpstreamPool::UpstreamPool(EventLoop& loop, const UpstreamPoolOptions& options)
    : loop_(loop), options_(options) {}

UpstreamPool::~UpstreamPool() {
  for (const auto& connection : connections_) FAIRLEAD_ASSERT(connection->request_ == nullptr);
}

UpstreamConnection* UpstreamPool::take_idle(const SocketAddress& address,
                                            std::string_view tls_name) {
  const auto found = endpoints_.find(address);
  if (found == endpoints_.end()) return nullptr;
  const std::vector<UpstreamConnection*>& idle = found->second.idle;
  // Servers of several names may share an address; nearly always it is the last one.
  const auto last = std::find_if(idle.rbegin(), idle.rend(), [&](const UpstreamConnection* one) {
    return one->tls_name_ == tls_name;
  });
  return last == idle.rend() ? nullptr : *last;
}

UpstreamConnection* UpstreamPool::take(const SocketAddress& address, std::string_view tls_name) {
  while (UpstreamConnection* connection = take_idle(address, tls_name)) {
    remove_idle(*connection);
    if (connection->usable()) {
      ++counters_.reuses;
      return connection;
    }
    ++counters_.idle_closed_by_peer;
    discard(*connection);
  }
  const bool full = connections_.size() >= options_.connections_max;
  connections_.push_back(std::make_unique<UpstreamConnection>(*this, address, tls_name));
  UpstreamConnection* connection = connections_.back().get();
  connection->index_ = connections_.size() - 1;
  counters_.connections = connections_.size();
  if (full) {
    connection->fail_at_turn_end(UpstreamFailure::kConnectionLimit, 0);
  } else {
    connection->connect();
  }
  return connection;
}

void UpstreamPool::put_back(UpstreamConnection& connection) {
  std::vector<UpstreamConnection*>& idle = endpoints_[connection.address_].idle;
  if (idle.size() >= options_.idle_per_endpoint_max) return discard(connection);
  idle.push_back(&connection);
  ++counters_.idle;
  connection.idle_ = true;
  connection.used_before_ = true;
  connection.timer_.arm(options_.idle_timeout);
}

void UpstreamPool::remove_idle(UpstreamConnection& connection) {
  std::vector<UpstreamConnection*>& idle = endpoints_[connection.address_].idle;
  // Searched from the back, where take() finds it at once.
  const auto found = std::find(idle.rbegin(), idle.rend(), &connection);
  FAIRLEAD_ASSERT(found != idle.rend());
  idle.erase(std::next(found).base());
  --counters_.idle;
  connection.idle_ = false;
  connection.timer_.cancel();
}

void UpstreamPool::discard(UpstreamConnection& connection) {
  const std::size_t index = connection.index_;
  if (index >= connections_.size() || connections_[index].get() != &connection) return;
  connection.stream_.close();
  std::swap(connections_[index], connections_.back());
  connections_[index]->index_ = index;
  loop_.destroy_later(std::move(connections_.back()));
  connections_.pop_back();
  counters_.connections = connections_.size();
}

void UpstreamPool::close_idle(const SocketAddress& address) {
  const auto found = endpoints_.find(address);
  if (found == endpoints_.end()) return;
  while (!found->second.idle.empty()) {
    UpstreamConnection* connection = found->second.idle.back();
    remove_idle(*connection);
    discard(*connection);
  }
  endpoints_.erase(found);
}

void UpstreamPool::close_all_idle() {
  while (!endpoints_.empty()) close_idle(endpoints_.begin()->first);
}

}  // namespace fairlead::net
