// SPDX-License-Identifier: Apache-2.0
// GrpcHandler, GrpcCall and GrpcCallObserver: a gRPC service and its calls, all of them streams of
// messages both ways, as GrpcServer hands them over. Messages are bytes; nobody here decodes them.
//
// A call begins with GrpcHandler::on_call() and ends with exactly one of its observer's on_done()
// and on_gone(); the call is dead when that returns. Neither they nor on_drained() run within a
// method of a GrpcCall. An observer may do anything with any call in its callbacks, but may not
// destroy the server; destroying the server ends its calls without telling their observers.
// Threads: the loop's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/time.h"
#include "core/codec/grpc_frame.h"
#include "io/net/event_loop.h"
#include "io/net/socket.h"

namespace fairlead::net {

using codec::GrpcStatus;

// A message's body of so many bytes or more is sent from where it lies; less is copied.
inline constexpr std::size_t kGrpcBorrowBytes = 4096;

class GrpcCall {
 public:
  virtual std::string_view path() const = 0;  // "/package.Service/Method"
  virtual const SocketAddress& peer() const = 0;
  virtual EventLoop& loop() const = 0;
  virtual Time received_at() const = 0;
  virtual Time deadline() const = 0;  // Time::max() when the client gave none.

  // Sends one message, head and body one behind the other. A body of kGrpcBorrowBytes or more must
  // stay as it is until pending_bytes() is 0 or the call ended. What is sent in one turn leaves in
  // one write, together with the status. More than GrpcServerOptions::pending_bytes_max ends the
  // call with GrpcGone::kOverflow.
  virtual void send(std::string_view head, std::string_view body) = 0;
  void send(std::string_view message) { send(message, {}); }
  // Ends the call from this side, behind everything sent; no more messages come in. on_done()
  // follows when the status was written. `message` is for humans, up to 1 KiB, cut there.
  virtual void finish(GrpcStatus status, std::string_view message) = 0;
  void finish(GrpcStatus status) { finish(status, {}); }
  // Message bytes sent here that the connection has not taken yet.
  virtual std::size_t pending_bytes() const = 0;

  // The client's window is not opened any further; what is within it still comes, at most
  // GrpcServerOptions::stream_window.
  virtual void hold() = 0;
  virtual void resume() = 0;

 protected:
  ~GrpcCall() = default;
};

// How a call ended but for a status that was written.
enum class GrpcGone : std::uint8_t {
  kReset,           // By the client (RST_STREAM).
  kConnectionLost,  // The connection ended in any way.
  kDeadline,        // The client's own, grpc-timeout; it is told DEADLINE_EXCEEDED.
  kStalled,         // The client took nothing for write_timeout.
  kOverflow,        // The handler sent more than pending_bytes_max beyond what the client took.
  kBadMessage,      // The client broke a rule or a bound; GrpcRefusal says which.
};
inline constexpr std::size_t kGrpcGoneCount = 6;
std::string_view to_string(GrpcGone gone);  // snake_case, a metric label.

class GrpcCallObserver {
 public:
  // One whole message; the bytes are valid during the call.
  virtual void on_message(std::string_view message) = 0;
  // The client will send no more. Not told after finish().
  virtual void on_half_close() {}
  // pending_bytes() is 0 again. Not told after finish().
  virtual void on_drained() {}
  // The status that finish() gave has left, behind everything sent.
  virtual void on_done() = 0;
  virtual void on_gone(GrpcGone gone) = 0;

 protected:
  ~GrpcCallObserver() = default;
};

class GrpcHandler {
 public:
  // Null: no such method, which the client is told (UNIMPLEMENTED); then nothing may have been sent
  // on the call. The observer outlives the call.
  virtual GrpcCallObserver* on_call(GrpcCall& call) = 0;

 protected:
  ~GrpcHandler() = default;
};

}  // namespace fairlead::net
