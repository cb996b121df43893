// SPDX-License-Identifier: Apache-2.0
// UpstreamPool and UpstreamRequest: the client side of HTTP/1.1 with kept-alive connections.
//
//   UpstreamRequest request(pool, observer);           // A member of the caller's state.
//   request.start(address, {.pieces = {head, body}});  // Bytes are borrowed, never copied.
//
// A pooled connection that its peer closed while idle is dropped the moment that the loop sees it.
// One that dies under a request before any response byte is reported as kStale, so that the caller
// may try again where that is safe. Response bytes are relayed as they come: raw, with the payload
// among them marked. After a 101 that was asked for (call.method), the body is what comes until the
// close, and send() goes the other way. Omitted: pipelining.
// Threads: the loop's thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/time.h"
#include "core/codec/http1.h"
#include "core/codec/http1_response.h"
#include "io/net/event_loop.h"
#include "io/net/socket.h"
#include "io/net/tls_context.h"

namespace fairlead::net {

class UpstreamConnection;
class UpstreamPool;

struct UpstreamPoolOptions {
  codec::Http1Limits head{};
  std::size_t idle_per_endpoint_max = 256;
  std::size_t connections_max = 20'000;              // Idle and busy, all endpoints.
  Duration idle_timeout = std::chrono::seconds(30);  // A pooled connection unused.
  std::size_t read_bytes = 64 * 1024;                // Per recv.
  // For calls that name a TLS server; without it they fail as kTlsFailed.
  std::shared_ptr<const TlsClientContext> tls{};
};

enum class UpstreamFailure : std::uint8_t {
  kConnectRefused,
  kConnectTimeout,     // Of TCP, or of the TLS handshake.
  kConnectFailed,      // Unreachable, no descriptor, ...: os_error has errno.
  kConnectionLimit,    // connections_max.
  kStale,              // A reused connection died before any response byte.
  kClosedBeforeReply,  // A fresh one did: FIN or reset before any response byte.
  kReplyTimeout,       // No complete response head in time.
  kIdleTimeout,        // The body stopped coming.
  kTotalTimeout,
  kMalformed,      // parse_error says what.
  kResetMidReply,  // Reset after response bytes.
  kTruncated,      // Closed before the end of the body.
  kTlsFailed,      // tls_failure says what.
};
inline constexpr std::size_t kUpstreamFailureCount = 13;
std::string_view to_string(UpstreamFailure failure);  // snake_case, a metric label.

struct UpstreamError {
  UpstreamFailure failure = UpstreamFailure::kConnectFailed;
  codec::Http1Error parse_error = codec::Http1Error::kNone;
  TlsFailure tls_failure = TlsFailure::kOther;
  int os_error = 0;
  bool connected = false;         // The request could have reached the peer in part.
  bool request_sent = false;      // The kernel took every byte of it.
  bool response_started = false;  // At least one response byte came.

  // This side is at fault: no descriptor, port or memory left, or the pool's own bound.
  bool local() const;
};

enum class ConnectionUse : std::uint8_t { kFresh, kReused };

// Called from the loop, never from inside start(), resume() or cancel(). A callback may call
// cancel() or pause(), and on_complete() and on_failed() may call start() again; to destroy the
// request use EventLoop::destroy_later().
class UpstreamObserver {
 public:
  // The connection is there and the request starts to leave.
  virtual void on_connected(ConnectionUse) {}
  // Interim responses (100, 103) are skipped. The views are valid during the call.
  virtual void on_response_head(const codec::Http1ResponseHead& head) = 0;
  // The next raw bytes of the body, and the payload among them; valid during the call, and those of
  // the last call until on_complete() returns.
  virtual void on_body(std::string_view raw, std::span<const std::string_view> payload) = 0;
  // The response is whole. The connection is back in the pool if it can be reused.
  virtual void on_complete() = 0;
  virtual void on_failed(const UpstreamError& error) = 0;
  // After a 101: send() may take bytes again.
  virtual void on_send_ready() {}

 protected:
  ~UpstreamObserver() = default;
};

inline constexpr std::size_t kUpstreamPiecesMax = 8;

// A request's bytes, head first, sent in order. They stay valid until on_complete(), on_failed()
// or cancel().
struct UpstreamCall {
  std::array<std::string_view, kUpstreamPiecesMax> pieces{};
  // The TLS server's name or address; empty for plain TCP. Valid as long as the pieces.
  std::string_view tls_name{};
  codec::ResponseTo method = codec::ResponseTo::kOther;
  // Of a WebSocket's handshake: a 101 that does not answer this key is malformed.
  std::string_view websocket_key{};
  Duration connect_timeout = std::chrono::seconds(2);
  Duration reply_timeout = std::chrono::minutes(5);  // From connected to a whole response head.
  Duration idle_timeout = std::chrono::minutes(2);   // Between body bytes; not while paused.
  Duration total_timeout = std::chrono::minutes(30);
};

class UpstreamRequest {
 public:
  UpstreamRequest(UpstreamPool& pool, UpstreamObserver& observer);
  ~UpstreamRequest();  // Cancels.
  UpstreamRequest(const UpstreamRequest&) = delete;
  UpstreamRequest& operator=(const UpstreamRequest&) = delete;

  // Only while not active().
  void start(const SocketAddress& address, const UpstreamCall& call);
  bool active() const { return active_; }

  // No on_response_head() or on_body() until resume(); the peer is held back by TCP.
  void pause();
  void resume();
  bool paused() const { return paused_; }

  // Closes the connection at once; no callback follows. Harmless when not active.
  void cancel();

  // After a 101: sends what the kernel takes now, and says how much; on_send_ready() tells when
  // more may be taken. idle_timeout no longer holds.
  std::size_t send(std::string_view bytes);
  // Likewise: no more bytes will come from here.
  void finish_sending();

  bool request_sent() const;
  bool response_started() const;

 private:
  friend class UpstreamConnection;
  friend class UpstreamPool;

  UpstreamPool& pool_;
  UpstreamObserver& observer_;
  UpstreamConnection* connection_ = nullptr;  // While active.
  UpstreamCall call_;
  bool active_ = false;
  bool paused_ = false;
};

struct UpstreamPoolCounters {
  std::uint64_t connections = 0;  // Open or connecting now.
  std::uint64_t idle = 0;         // Of them, unused now.
  std::uint64_t connects = 0;
  std::uint64_t reuses = 0;
  std::uint64_t completed = 0;
  std::uint64_t cancelled = 0;
  std::uint64_t idle_closed_by_peer = 0;
  std::uint64_t idle_timeouts = 0;
  std::array<std::uint64_t, kUpstreamFailureCount> failures{};  // By UpstreamFailure.
  TlsFigures tls;
};

class UpstreamPool {
 public:
  UpstreamPool(EventLoop& loop, const UpstreamPoolOptions& options);
  ~UpstreamPool();  // No request may be active.
  UpstreamPool(const UpstreamPool&) = delete;
  UpstreamPool& operator=(const UpstreamPool&) = delete;

  // Drops the idle connections to an address that left the fleet or failed.
  void close_idle(const SocketAddress& address);
  void close_all_idle();

  const UpstreamPoolCounters& counters() const { return counters_; }
  EventLoop& loop() { return loop_; }

 private:
  friend class UpstreamConnection;
  friend class UpstreamRequest;
  struct Endpoint {
    std::vector<UpstreamConnection*> idle;  // The most recently used last.
  };

  UpstreamConnection* take(const SocketAddress& address, std::string_view tls_name);
  UpstreamConnection* take_idle(const SocketAddress& address, std::string_view tls_name);
  void put_back(UpstreamConnection& connection);
  void remove_idle(UpstreamConnection& connection);
  void discard(UpstreamConnection& connection);

  EventLoop& loop_;
  UpstreamPoolOptions options_;
  UpstreamPoolCounters counters_;
  std::unordered_map<SocketAddress, Endpoint> endpoints_;
  std::vector<std::unique_ptr<UpstreamConnection>> connections_;
  std::vector<std::string_view> pieces_;  // Scratch for on_body(), used by one call at a time.
};

}  // namespace fairlead::net
