// SPDX-License-Identifier: Apache-2.0
// HttpFetch: GET a small document and get it whole, for scraping and health checks; or POST one.
//
//   HttpFetch fetch(pool);  // A member; one fetch at a time.
//   fetch.get(address, "/metrics", {}, [this](const Result<FetchReply>& reply) { ... });
//
// A stale pooled connection is retried once on a fresh one, so POST only what is safe to repeat.
// The time that the loop itself was late counts against nobody: the timeout grows by it, at most to
// kPatience times its length.
// Threads: the loop's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "io/net/http1_client.h"

namespace fairlead::net {

struct FetchReply {
  int status = 0;
  std::string_view body;  // Valid during the callback.
  Duration elapsed{};     // From get() on.
};

struct FetchOptions {
  Duration timeout = std::chrono::seconds(2);  // The whole of it.
  std::size_t body_bytes_max = 8 * 1024 * 1024;
  std::string tls_name{};   // UpstreamCall::tls_name.
  std::string authority{};  // The Host header; empty: the address.
  // Added as they are, for instance authorization.
  std::vector<codec::Http1Header> headers{};
};

class HttpFetch final : private UpstreamObserver {
 public:
  using Callback = std::function<void(const Result<FetchReply>&)>;
  static constexpr int kPatience = 10;

  explicit HttpFetch(UpstreamPool& pool);

  // Only while not active(). `target` begins with '/'. A non-2xx status is a reply, not an error;
  // errors name the address and say what failed. The callback never runs inside get() and may call
  // get() again.
  void get(const SocketAddress& address, std::string_view target, const FetchOptions& options,
           Callback callback);
  // Likewise; `body` must live until the callback.
  void post(const SocketAddress& address, std::string_view target, std::string_view body,
            const FetchOptions& options, Callback callback);
  bool active() const { return request_.active(); }
  void cancel();

 private:
  void on_response_head(const codec::Http1ResponseHead& head) override;
  void on_body(std::string_view raw, std::span<const std::string_view> payload) override;
  void on_complete() override;
  void on_failed(const UpstreamError& error) override;
  void start(const SocketAddress& address, const FetchOptions& options, Callback callback);
  void begin();
  void on_timer();
  void report(const Result<FetchReply>& reply);

  UpstreamPool& pool_;
  UpstreamRequest request_;
  SocketAddress address_;
  std::string tls_name_;
  std::string head_;
  std::string_view sent_;  // The body of a POST.
  std::string body_;
  std::string_view whole_;             // The body when it came in one piece, which is not copied.
  std::uint64_t announced_bytes_ = 0;  // Of the body; 0: not said.
  std::size_t body_bytes_max_ = 0;
  Time started_;
  Duration timeout_{};
  Duration late_before_{};  // Of the loop, when this fetch began.
  Timer timer_;
  int status_ = 0;
  int attempts_ = 0;
  Callback callback_;
};

}  // namespace fairlead::net
