// SPDX-License-Identifier: Apache-2.0
// GrpcConnection: one client connection of GrpcServer; not for other users. GrpcStream is a call on
// it.
//
// nghttp2 keeps the protocol: frames, HPACK, flow control, the order of events. Here are its bytes,
// its time and its bounds. The connection's window is given back as bytes come, so that one call
// stops no other; a call's own window is its handler's to hold. The frames of one turn leave in one
// write.
// Threads: the loop's thread. Source: RFC 9113.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "io/net/grpc_server.h"
#include "io/net/tcp_stream.h"
#include "io/net/timer.h"

namespace fairlead::net {

class GrpcStream;

class GrpcConnection final : private StreamHandler, private TurnTask {
 public:
  GrpcConnection(GrpcServer& server, const SocketAddress& peer);
  ~GrpcConnection();

  [[nodiscard]] Result<void> open(StreamSocket socket);
  void drain();
  const TcpStream& stream() const { return stream_; }

 private:
  friend class GrpcServer;
  friend class GrpcStream;
  struct Callbacks;  // nghttp2's, grpc_callbacks.cpp.
  enum class Phase : std::uint8_t {
    kOpening,  // Until the client's first frame.
    kOpen,
    kClosing,  // The last frame has been written.
    kDead,
  };
  static Result<nghttp2_session*> new_session(GrpcConnection& connection);

  void on_connected() override;
  void on_readable() override { pump(); }
  void on_writable() override;
  void on_peer_half_closed() override;
  void on_stream_end(StreamEnd end) override;
  void on_turn_end() override;
  void on_watch_timer();
  void on_write_timer();
  void watch_writes();
  void watch_peer();

  bool dead() const { return phase_ == Phase::kDead; }
  void pump();
  void feed(std::string_view bytes);
  void flush();
  void emit(Buffer& out);
  void tell_drained();
  void close_when_done();
  void linger();
  void end_all_streams();
  void die();

  // Events of nghttp2's.
  void on_first_frame();
  void on_ping_answered(const std::uint8_t* opaque);
  void on_drain_heard();
  void on_stream_error();
  void on_goaway_sent(std::uint32_t code);
  // A client's frame that costs it little; false when it has had too many.
  bool ration(Http2Flood flood);
  void end_for_flood(Http2Flood flood);
  // Tells the client why and reads no more.
  void end_session(std::uint32_t code);
  // Null: one call too many, refused.
  GrpcStream* begin_stream(std::int32_t id);
  void end_stream(GrpcStream& stream);
  // It is owed on_drained().
  void note_written(GrpcStream& stream);

  GrpcServer& server_;
  EventLoop& loop_;
  SocketAddress peer_;
  TcpStream stream_;
  Timer watch_timer_;  // By phase_: the opening, signs of life, the end.
  Timer write_timer_;  // While frames wait for the socket.
  Timer head_timer_;   // While a call's headers are incomplete.
  Timer drain_timer_;  // Until the client has heard that we drain.
  Phase phase_ = Phase::kOpening;
  std::uint64_t written_mark_ = 0;   // stream_.bytes_sent() when the write timer was armed.
  std::uint64_t received_mark_ = 0;  // stream_.bytes_received() when the watch timer was armed.
  bool asked_ = false;               // For a sign of life, by PING.
  bool draining_ = false;
  nghttp2_session* session_ = nullptr;
  Buffer input_;
  Buffer* out_ = nullptr;   // During flush(): the frames of this turn.
  bool out_full_ = false;   // A frame did not fit.
  bool more_ = false;       // Bytes wait for this connection's next share of a turn.
  bool stalled_ = false;    // The client does not take what was written.
  bool ended_ = false;      // By end_session().
  bool pings_free_ = true;  // Something was sent that a client may want to measure.
  bool head_open_ = false;
  std::vector<std::unique_ptr<GrpcStream>> streams_;
  // Have had bytes to send since on_drained(); null: has ended.
  std::vector<GrpcStream*> written_;
  std::vector<GrpcStream*> drained_;  // Scratch.
  std::size_t index_ = 0;             // In the server's list.
  std::uint64_t counted_received_ = 0;
  std::uint64_t counted_sent_ = 0;
  Http2Ration ration_;
  Http2Ration resets_;
};

}  // namespace fairlead::net
