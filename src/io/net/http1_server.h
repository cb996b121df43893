// SPDX-License-Identifier: Apache-2.0
// Http1Server: accepts connections and hands whole requests (head and collected body) to a
// RequestHandler, one at a time a connection; pipelined requests wait for their turn (RFC 9112). A
// connection that begins with HTTP/2's preface continues as an Http2Connection, if that is allowed.
//
//   struct Hello : RequestHandler {
//     void on_request(ServerExchange& x) override { x.send_response(200, {}, "hello"); }
//   } hello;
//   Http1Server server(loop, hello, {});
//   server.listen(SocketAddress::loopback(0), PortSharing::kExclusive);
//
// Everything a peer can send is bounded by Http1ServerOptions; what it does wrong gets a typed
// refusal, a counter and a reply. A peer that closes its sending side while its request runs
// counts as gone, unless the handler says that it may still read (ExchangeObserver). HTTP/1.0 has
// no interim response to find out with, and such a peer is gone.
// A connection whose client asked for a WebSocket, if only by half, and did not get it closes, so
// that bytes sent ahead are taken for no request. Omitted: other upgrades, CONNECT tunnels.
// Threads: the loop's thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "core/codec/http1.h"
#include "core/codec/http1_request.h"
#include "io/net/connection_list.h"
#include "io/net/event_loop.h"
#include "io/net/http2_flood.h"
#include "io/net/server_budget.h"
#include "io/net/server_exchange.h"
#include "io/net/socket.h"
#include "io/net/tcp_listener.h"
#include "io/net/tls_context.h"

namespace fairlead::net {

class Http1Server;
class Http1Connection;
class Http2Connection;
class Http2Stream;
class ServerConnection;

struct Http1ServerOptions {
  codec::Http1Limits head{};
  std::size_t body_bytes_max = 32 * 1024 * 1024;
  // Of the request bodies in memory, over all servers that share the budget.
  std::size_t buffered_bytes_max = std::size_t{1} << 30;
  // Response bytes a connection may leave unsent; a handler that writes on loses the connection.
  std::size_t pending_bytes_max = 64 * 1024 * 1024;
  std::size_t connections_max = 20'000;  // Likewise over all that share the budget.
  // Requests at a time on an HTTP/2 connection; 0 turns HTTP/2 off.
  std::uint32_t http2_streams_max = 0;
  std::shared_ptr<const TlsServerContext> tls{};  // Null for plain TCP.
  std::uint64_t requests_per_connection_max = 1'000'000;
  Duration idle_timeout = std::chrono::seconds(75);   // Between requests.
  Duration head_timeout = std::chrono::seconds(10);   // First to last byte of a head; a handshake.
  Duration body_timeout = std::chrono::seconds(60);   // Without a byte of the body.
  Duration receive_timeout = std::chrono::hours(1);   // First byte of a head to last of its body.
  Duration write_timeout = std::chrono::seconds(60);  // Unsent bytes and no progress.
};

enum class RefusalKind : std::uint8_t {
  kMalformed,           // `error` says what.
  kBodyTooLarge,        // 413
  kHeadTimeout,         // 408
  kBodyTimeout,         // 408
  kOutOfMemory,         // 503: buffered_bytes_max.
  kTooManyConnections,  // 503: connections_max.
};
inline constexpr std::size_t kRefusalKindCount = 6;
std::string_view to_string(RefusalKind kind);

// A request that the server answers by itself; the connection closes afterwards.
struct Http1Refusal {
  RefusalKind kind = RefusalKind::kMalformed;
  int status = 400;
  codec::Http1Error error = codec::Http1Error::kNone;
  std::string_view message;  // One plain English sentence.
};

// What RequestHandler::on_refusal() may fill; starts as plain text of the message.
struct RefusalReply {
  std::string body;
  std::string content_type;
  std::vector<codec::Http1Header> headers;  // Views must outlive the call.
};

// Plain counters, all cumulative but `connections` and `requests_running`.
struct Http1ServerCounters {
  std::uint64_t connections = 0;       // Open now.
  std::uint64_t requests_running = 0;  // Handed to the handler and not finished.
  std::uint64_t accepted = 0;
  std::uint64_t connections_failed = 0;  // Out of memory.
  std::uint64_t requests = 0;
  std::uint64_t bytes_received = 0;  // Of closed connections and finished requests.
  std::uint64_t bytes_sent = 0;
  std::array<std::uint64_t, kRefusalKindCount> refusals{};         // By RefusalKind.
  std::array<std::uint64_t, codec::kHttp1ErrorCount> malformed{};  // By Http1Error.
  std::uint64_t clients_gone = 0;        // Left before their response was complete.
  std::uint64_t truncated_requests = 0;  // Left in the middle of a request.
  std::uint64_t idle_closed = 0;
  std::uint64_t idle_dropped = 0;       // By close_idle().
  std::uint64_t keep_alives_ended = 0;  // By ServerRestraint::keeps_alive.
  std::uint64_t write_timeouts = 0;
  std::uint64_t pending_limit_hits = 0;
  TlsFigures tls;
  std::uint64_t http2_connections = 0;
  std::uint64_t http2_resets = 0;           // RST_STREAM received.
  std::uint64_t http2_streams_refused = 0;  // More at a time than are allowed.
  std::uint64_t http2_stream_errors = 0;    // Frames that broke a rule, and their stream with it.
  std::array<std::uint64_t, kHttp2FloodCount> http2_floods{};  // Connections lost, by Http2Flood.
};

// ServerExchange over HTTP/1.1. Its response bytes of one turn leave in one write at the turn's
// end; large pieces leave at once, uncopied.
class Http1Exchange final : public ServerExchange {
 public:
  const codec::Http1RequestHead& head() const override;
  std::string_view body() const override;
  const SocketAddress& peer() const override;
  EventLoop& loop() const override;
  Time received_at() const override;
  Time complete_at() const override;
  bool accepts_chunked() const override;
  bool started() const override;
  std::uint64_t note() const override;
  void set_observer(ExchangeObserver* observer) override;
  void send_response(int status, HeaderSpan headers, std::string_view body) override;
  void start(int status, HeaderSpan headers, codec::BodyFraming framing) override;
  void write_chunk(std::string_view payload) override;
  void write_raw(std::string_view bytes) override;
  void finish() override;
  void abort() override;
  bool can_upgrade() const override;
  void upgrade(HeaderSpan headers) override;
  std::size_t read_upgraded(Buffer& buffer) override;
  bool upgraded_input_ended() const override;
  std::size_t pending_bytes() const override;
  void drop_body() override;

 private:
  friend class Http1Connection;
  explicit Http1Exchange(Http1Connection& connection) : connection_(connection) {}
  Http1Connection& connection_;
};

enum class BodyWish : std::uint8_t { kRead, kSkip };

class RequestHandler {
 public:
  // A head came whose body is still to come. kSkip, for a request that is refused by its head
  // alone: on_request() follows at once, without a body, and what comes of it takes no memory; an
  // HTTP/1.1 connection ends behind the answer. `note`, 0 before, is what the exchange's note()
  // will say, so that nothing is found out twice.
  virtual BodyWish wish_for_body(const codec::Http1RequestHead&, std::uint64_t& note) {
    note = 0;
    return BodyWish::kRead;
  }
  // Answer now or later. The exchange may be kept until it ends.
  virtual void on_request(ServerExchange& exchange) = 0;
  // Shapes the reply to a request that the server refuses.
  virtual void on_refusal(const Http1Refusal&, RefusalReply&) {}

 protected:
  ~RequestHandler() = default;
};

class Http1Server final {
 public:
  // `handler` outlives the server, and so does `budget`; null: a budget of its own.
  Http1Server(EventLoop& loop, RequestHandler& handler, const Http1ServerOptions& options,
              ServerBudget* budget = nullptr);
  // Closes everything at once; observers are not called.
  ~Http1Server();
  Http1Server(const Http1Server&) = delete;
  Http1Server& operator=(const Http1Server&) = delete;

  [[nodiscard]] Result<void> listen(const SocketAddress& address, PortSharing sharing);
  // The address in use, with the port the kernel chose for port 0.
  const SocketAddress& local_address() const { return listener_.local_address(); }
  std::uint16_t local_port() const { return local_address().port(); }

  // Stops accepting; running requests end with `Connection: close`, idle connections close now.
  // `on_drained` runs once, when the last connection is gone (maybe within this call).
  void drain(std::function<void()> on_drained);
  // Only stops accepting.
  void stop_accepting() { listener_.close(); }

  // For connections accepted and requests begun from here on.
  void set_options(const Http1ServerOptions& options) { options_ = options; }
  // Until the next call.
  void restrain(const ServerRestraint& restraint);
  // Closes idle connections: a `share` of those that have been so for `at_least`, longest first.
  void close_idle(double share, Duration at_least);

  const Http1ServerCounters& counters() const { return counters_; }
  // Times that there was no descriptor or memory for a connection.
  std::uint64_t accept_failures() const {
    return listener_.failures() + counters_.connections_failed;
  }
  EventLoop& loop() { return loop_; }

 private:
  friend class Http1Connection;
  friend class Http2Connection;
  friend class Http2Stream;
  void accept_one(UniqueFd fd, const SocketAddress& peer);
  RefusalReply shape_refusal(const Http1Refusal& refusal);
  const std::string& compose_refusal(const Http1Refusal& refusal);
  void continue_as_http2(Http1Connection& connection);
  void forget(ServerConnection& connection);
  // Sets what a body takes of the budget; false when that is more than there is.
  bool charge(std::size_t& charged, std::size_t bytes);
  bool draining() const { return draining_; }

  EventLoop& loop_;
  RequestHandler& handler_;
  Http1ServerOptions options_;
  Http1ServerCounters counters_;
  ServerRestraint restraint_;
  bool draining_ = false;
  std::string head_scratch_;  // A head or chunk size on its way into a stream.
  ServerBudget own_budget_;
  ServerBudget* budget_;
  std::size_t buffered_bytes_ = 0;  // This server's part.
  TcpListener listener_;
  std::vector<std::unique_ptr<Http2Stream>> free_streams_;
  ConnectionList<ServerConnection> connections_;
};

}  // namespace fairlead::net
