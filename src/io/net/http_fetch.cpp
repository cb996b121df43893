// SPDX-License-Identifier: Apache-2.0
#include "io/net/http_fetch.h"

#include <algorithm>
#include <utility>

#include "core/codec/http1_write.h"

namespace fairlead::net {

HttpFetch::HttpFetch(UpstreamPool& pool)
    : pool_(pool), request_(pool, *this), timer_(pool.loop(), [this] { on_timer(); }) {}

void HttpFetch::cancel() {
  request_.cancel();
  timer_.cancel();
}

void HttpFetch::get(const SocketAddress& address, std::string_view target,
                    const FetchOptions& options, Callback callback) {
  head_.clear();
  sent_ = {};
  codec::append_request_line(head_, "GET", target);
  start(address, options, std::move(callback));
}

void HttpFetch::post(const SocketAddress& address, std::string_view target, std::string_view body,
                     const FetchOptions& options, Callback callback) {
  head_.clear();
  sent_ = body;
  codec::append_request_line(head_, "POST", target);
  codec::append_length(head_, body.size());
  start(address, options, std::move(callback));
}

void HttpFetch::start(const SocketAddress& address, const FetchOptions& options,
                      Callback callback) {
  address_ = address;
  tls_name_ = options.tls_name;
  callback_ = std::move(callback);
  body_bytes_max_ = options.body_bytes_max;
  started_ = pool_.loop().now();
  timeout_ = options.timeout;
  late_before_ = pool_.loop().lateness();
  timer_.arm(timeout_);
  attempts_ = 0;
  codec::append_header(head_, "host",
                       options.authority.empty() ? address.to_string() : options.authority);
  for (const codec::Http1Header& header : options.headers) {
    codec::append_header(head_, header.name, header.value);
  }
  codec::append_head_end(head_);
  begin();
}

void HttpFetch::begin() {
  ++attempts_;
  body_.clear();
  whole_ = {};
  announced_bytes_ = 0;
  status_ = 0;
  UpstreamCall call;
  call.pieces[0] = head_;
  call.pieces[1] = sent_;
  call.tls_name = tls_name_;
  // timer_ decides, which knows how late the loop was.
  call.connect_timeout = call.reply_timeout = call.idle_timeout = (kPatience + 1) * timeout_;
  call.total_timeout = (kPatience + 1) * timeout_;
  request_.start(address_, call);
}

void HttpFetch::on_timer() {
  const Duration passed = pool_.loop().now() - started_;
  const Duration waited = passed - (pool_.loop().lateness() - late_before_);
  if (waited < timeout_ && passed < kPatience * timeout_) return timer_.arm(timeout_ - waited);
  request_.cancel();
  report(fail(ErrorCode::kUnavailable, "{}: {}", address_.to_string(),
              to_string(UpstreamFailure::kTotalTimeout)));
}

void HttpFetch::on_response_head(const codec::Http1ResponseHead& head) {
  status_ = head.status;
  announced_bytes_ = head.body.length;
}

void HttpFetch::on_body(std::string_view, std::span<const std::string_view> payload) {
  for (const std::string_view piece : payload) {
    if (body_.size() + piece.size() > body_bytes_max_) {
      request_.cancel();
      return report(fail(ErrorCode::kLimitExceeded, "{}: the reply is larger than {} bytes",
                         address_.to_string(), body_bytes_max_));
    }
    if (piece.size() == announced_bytes_) {
      whole_ = piece;
    } else {
      body_.append(piece);
    }
  }
}

void HttpFetch::on_complete() {
  const std::string_view body = whole_.empty() ? std::string_view(body_) : whole_;
  report(FetchReply{status_, body, pool_.loop().now() - started_});
}

void HttpFetch::on_failed(const UpstreamError& error) {
  if (error.failure == UpstreamFailure::kStale && attempts_ == 1) return begin();
  if (error.failure == UpstreamFailure::kTlsFailed) {
    return report(fail(ErrorCode::kUnavailable, "{}: TLS handshake: {}", address_.to_string(),
                       to_string(error.tls_failure)));
  }
  report(fail(error.local() ? ErrorCode::kExhausted : ErrorCode::kUnavailable, "{}: {}",
              address_.to_string(), to_string(error.failure)));
}

void HttpFetch::report(const Result<FetchReply>& reply) {
  // The callback may call get(), which replaces it.
  const Callback callback = std::exchange(callback_, nullptr);
  timer_.cancel();
  callback(reply);
}

}  // namespace fairlead::net
