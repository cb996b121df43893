// SPDX-License-Identifier: Apache-2.0
// LoopClient: a blocking HTTP client for tests, in the same thread and event loop as the servers:
// every call turns the loop until the answer is there. A call that takes longer than 20 s fails.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/net/event_loop.h"
#include "io/net/http1_client.h"

namespace fairlead::engine {

struct ClientReply {
  int status = 0;          // 0: no response head.
  std::string head;        // "name: value\n" for each header, names in lower case.
  std::string body;        // Decoded.
  std::size_t pieces = 0;  // Of payload.
  std::optional<net::UpstreamFailure> failure;
  Duration first_byte{};  // From the call on, of the payload.
  Duration elapsed{};

  // The JSON texts of a stream's events, [DONE] included.
  std::vector<std::string> events() const;
};

// A call that is not waited for; destroying it closes the connection.
class PendingCall final : private net::UpstreamObserver {
 public:
  PendingCall(net::EventLoop& loop, net::UpstreamPool& pool, std::uint16_t port,
              std::string_view method, std::string_view target, std::string_view body,
              std::string_view headers);

  bool done() const { return done_; }
  const ClientReply& reply() const { return reply_; }

 private:
  void on_response_head(const codec::Http1ResponseHead& head) override;
  void on_body(std::string_view raw, std::span<const std::string_view> payload) override;
  void on_complete() override;
  void on_failed(const net::UpstreamError& error) override;

  net::EventLoop& loop_;
  net::UpstreamRequest request_;
  std::string head_;
  std::string body_;
  Time started_;
  ClientReply reply_;
  bool done_ = false;
};

class LoopClient {
 public:
  explicit LoopClient(net::EventLoop& loop) : loop_(loop), pool_(loop, {}) {}

  // `headers`: whole lines, each with CR LF.
  ClientReply call(std::uint16_t port, std::string_view method, std::string_view target,
                   std::string_view body = {}, std::string_view headers = {});
  ClientReply get(std::uint16_t port, std::string_view target) { return call(port, "GET", target); }
  ClientReply post(std::uint16_t port, std::string_view target, std::string_view body) {
    return call(port, "POST", target, body);
  }
  std::unique_ptr<PendingCall> begin(std::uint16_t port, std::string_view method,
                                     std::string_view target, std::string_view body,
                                     std::string_view headers = {});
  // Turns the loop until the condition holds; false after 20 s.
  bool wait(const std::function<bool()>& condition);
  // New calls go over new connections.
  void forget_connections() { pool_.close_all_idle(); }

 private:
  net::EventLoop& loop_;
  net::UpstreamPool pool_;
};

}  // namespace fairlead::engine
