// SPDX-License-Identifier: Apache-2.0
// GrpcServer: gRPC over HTTP/2 for one event loop, with TLS or as h2c with prior knowledge.
//
//   struct Echo : GrpcHandler { GrpcCallObserver* on_call(GrpcCall& call) override; } echo;
//   GrpcServer server(loop, echo, {});
//   server.listen(SocketAddress::loopback(0), PortSharing::kExclusive);
//
// It accepts by itself, or is given connections that a TcpListener of another loop accepted
// (adopt_connection(), in this loop's thread). Everything a peer can send is bounded by
// GrpcServerOptions; what it does wrong has a type, a counter and an answer in gRPC's terms.
// Omitted: compression, metadata beyond gRPC's own.
// Threads: the loop's thread, but for connections().
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "io/net/connection_list.h"
#include "io/net/event_loop.h"
#include "io/net/grpc_call.h"
#include "io/net/http2_flood.h"
#include "io/net/server_budget.h"
#include "io/net/socket.h"
#include "io/net/tcp_listener.h"
#include "io/net/tls_context.h"

namespace fairlead::net {

class GrpcConnection;
class GrpcStream;

struct GrpcServerOptions {
  std::shared_ptr<const TlsServerContext> tls{};  // Null for plain TCP.
  std::size_t connections_max = 20'000;           // Over all servers that share the budget.
  std::size_t calls_max = 20'000;                 // Likewise.
  std::uint32_t streams_max = 10'000;             // Calls at a time on a connection.
  std::size_t message_bytes_max = 4 * 1024 * 1024;
  // Of messages not complete and replies not taken, over all servers that share the budget.
  std::size_t buffered_bytes_max = std::size_t{1} << 30;
  std::size_t pending_bytes_max = 64 * 1024 * 1024;   // Of a call.
  std::uint32_t stream_window = 1024 * 1024;          // What a client may send ahead, of one call.
  std::uint32_t head_bytes_max = 64 * 1024;           // Of a call's headers.
  Duration open_timeout = std::chrono::seconds(10);   // A handshake and the client's first frame.
  Duration head_timeout = std::chrono::seconds(10);   // First to last byte of a call's headers.
  Duration write_timeout = std::chrono::seconds(60);  // Unsent bytes and no progress.
  std::optional<Duration> idle_timeout{};             // Without a call; else as long as it wants.
  // A peer that was silent for so long is asked for a sign of life, and has ping_timeout for it.
  Duration ping_interval = std::chrono::seconds(60);
  Duration ping_timeout = std::chrono::seconds(20);
};

// What the server answers, or ends, by itself.
enum class GrpcRefusal : std::uint8_t {
  kNotPost,             // 405
  kNotGrpc,             // 415: content-type.
  kHeadTooLarge,        // RESOURCE_EXHAUSTED: head_bytes_max.
  kBadTimeout,          // INTERNAL: grpc-timeout.
  kUnknownMethod,       // UNIMPLEMENTED: no handler wants the path.
  kTooManyCalls,        // RESOURCE_EXHAUSTED: calls_max.
  kMessageTooLarge,     // RESOURCE_EXHAUSTED: message_bytes_max.
  kCompressed,          // UNIMPLEMENTED
  kBadFrame,            // INTERNAL: the flag before a message.
  kTruncatedMessage,    // INTERNAL: the client ended in the middle of a message.
  kOutOfMemory,         // RESOURCE_EXHAUSTED: buffered_bytes_max.
  kTooManyConnections,  // Closed at once.
};
inline constexpr std::size_t kGrpcRefusalCount = 12;
std::string_view to_string(GrpcRefusal refusal);  // snake_case, a metric label.

// Plain counters, all cumulative but `calls_running`.
struct GrpcServerCounters {
  std::uint64_t calls_running = 0;  // Handed to the handler and not ended.
  std::uint64_t accepted = 0;
  std::uint64_t connections_failed = 0;  // Out of memory.
  std::uint64_t calls = 0;               // Handed to the handler.
  std::uint64_t messages_received = 0;
  std::uint64_t messages_sent = 0;
  std::uint64_t bytes_received = 0;  // Of closed connections and ended calls.
  std::uint64_t bytes_sent = 0;
  std::array<std::uint64_t, codec::kGrpcStatusCount> finished{};  // By the status written.
  std::array<std::uint64_t, kGrpcGoneCount> gone{};               // By GrpcGone.
  std::array<std::uint64_t, kGrpcRefusalCount> refusals{};        // By GrpcRefusal.
  std::uint64_t open_timeouts = 0;
  std::uint64_t head_timeouts = 0;
  std::uint64_t ping_timeouts = 0;  // Peers that showed no sign of life.
  std::uint64_t idle_closed = 0;
  std::uint64_t write_timeouts = 0;   // Connections whose socket took nothing.
  std::uint64_t protocol_errors = 0;  // Connections ended for not speaking HTTP/2.
  TlsFigures tls;
  std::uint64_t resets = 0;             // RST_STREAM received.
  std::uint64_t unanswered_resets = 0;  // Of those, of calls to which nothing had been sent.
  std::uint64_t stream_errors = 0;      // Frames that broke a rule, and their stream with it.
  std::array<std::uint64_t, kHttp2FloodCount> floods{};  // Connections lost, by Http2Flood.
};

class GrpcServer final {
 public:
  // `handler` outlives the server, and so does `budget`; null: a budget of its own.
  GrpcServer(EventLoop& loop, GrpcHandler& handler, const GrpcServerOptions& options,
             ServerBudget* budget = nullptr);
  // Closes everything at once; observers are not called.
  ~GrpcServer();
  GrpcServer(const GrpcServer&) = delete;
  GrpcServer& operator=(const GrpcServer&) = delete;

  [[nodiscard]] Result<void> listen(const SocketAddress& address, PortSharing sharing);
  // The address in use, with the port the kernel chose for port 0.
  const SocketAddress& local_address() const { return listener_.local_address(); }
  // Takes over a connected, non-blocking socket that somebody else accepted.
  void adopt_connection(UniqueFd fd, const SocketAddress& peer);

  // Stops accepting; clients are told to begin no more calls here (GOAWAY), those begun before they
  // hear of it still run, and a connection without calls closes. `on_drained` runs once, when the
  // last connection is gone (maybe within this call).
  void drain(std::function<void()> on_drained);
  // Only stops accepting.
  void stop_accepting() { listener_.close(); }

  // For connections accepted and calls begun from here on.
  void set_options(const GrpcServerOptions& options) { options_ = options; }

  // Times that there was no descriptor for a connection.
  std::uint64_t accept_failures() const { return listener_.failures(); }
  // Open now; thread-safe.
  std::size_t connections() const { return open_.load(std::memory_order_relaxed); }
  const GrpcServerCounters& counters() const { return counters_; }
  EventLoop& loop() { return loop_; }

 private:
  friend class GrpcConnection;
  friend class GrpcStream;
  // Room for one more call in the budget; false, and counted, when there is none.
  bool admit_call();
  void release_call();
  void forget(GrpcConnection& connection);
  // Sets what a call's buffers take of the budget; false when that is more than there is.
  bool charge(std::size_t& charged, std::size_t bytes);
  void count(GrpcRefusal refusal) { ++counters_.refusals[static_cast<std::size_t>(refusal)]; }

  EventLoop& loop_;
  GrpcHandler& handler_;
  GrpcServerOptions options_;
  GrpcServerCounters counters_;
  bool draining_ = false;
  ServerBudget own_budget_;
  ServerBudget* budget_;
  std::size_t buffered_bytes_ = 0;  // This server's part.
  std::size_t calls_open_ = 0;      // Likewise.
  std::atomic<std::size_t> open_{0};
  TcpListener listener_;
  std::vector<std::unique_ptr<GrpcStream>> free_streams_;
  ConnectionList<GrpcConnection> connections_;
};

}  // namespace fairlead::net
