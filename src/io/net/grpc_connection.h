// SPDX-License-Identifier: Apache-2.0
// GrpcConnection: one client connection of GrpcServer; not for other users. GrpcStream is a call on
// it.
//
// The connection's window is given back as bytes come, so that one call stops no other; a call's
// own window is its handler's to hold.
// Threads: the loop's thread. Source: RFC 9113.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "io/net/grpc_server.h"
#include "io/net/http2_session.h"
#include "io/net/timer.h"

namespace fairlead::net {

class GrpcStream;

class GrpcConnection final : public Http2Session {
 public:
  GrpcConnection(GrpcServer& server, const SocketAddress& peer);
  ~GrpcConnection();

  [[nodiscard]] Result<void> open(StreamSocket socket);
  void on_server_draining();
  const TcpStream& stream() const { return stream_; }

  ConnectionEntry entry;

 private:
  friend class GrpcServer;
  friend class GrpcStream;
  struct Callbacks;  // nghttp2's, grpc_callbacks.cpp.
  [[nodiscard]] Result<void> make_session();

  void on_connected() override;
  void on_stream_end(StreamEnd end) override;
  Duration write_timeout() const override { return server_.options_.write_timeout; }
  void on_fed() override;
  void tell_drained() override;
  void end_all_streams() override;
  void on_closing() override;
  void on_dead() override;
  void count_flood(Http2Flood flood) override;
  void count_write_timeout() override { ++server_.counters_.write_timeouts; }
  Http2Ration& ration_of(Http2Flood flood) override;

  void on_watch_timer();
  void watch_peer();
  void watch_idle();
  void on_idle_timer();

  // Events of nghttp2's.
  void on_first_frame();
  void on_ping_answered(const std::uint8_t* opaque);
  void on_drain_heard();
  void on_stream_error();
  void on_goaway_sent(std::uint32_t code);
  // Null: one call too many, to be refused when its headers are whole.
  GrpcStream* begin_stream(std::int32_t id);
  void refuse_call(std::int32_t id);
  void end_stream(GrpcStream& stream);
  // It is owed on_drained().
  void note_written(GrpcStream& stream);

  GrpcServer& server_;
  SocketAddress peer_;
  Timer watch_timer_;                // The opening, then signs of life.
  Timer head_timer_;                 // While a call's headers are incomplete.
  Timer drain_timer_;                // Until the client has heard that we drain.
  Timer idle_timer_;                 // Without a call.
  std::uint64_t received_mark_ = 0;  // stream_.bytes_received() when the watch timer was armed.
  bool opened_ = false;              // The client's first frame came.
  bool asked_ = false;               // For a sign of life, by PING.
  bool draining_ = false;
  bool pings_free_ = true;  // Something was sent that a client may want to measure.
  bool head_open_ = false;
  std::vector<std::unique_ptr<GrpcStream>> streams_;
  // Have had bytes to send since on_drained(); null: has ended.
  std::vector<GrpcStream*> written_;
  std::vector<GrpcStream*> drained_;  // Scratch.
  Http2Ration resets_;
};

}  // namespace fairlead::net
