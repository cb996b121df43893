// SPDX-License-Identifier: Apache-2.0
// Http2Session: what the HTTP/2 connections of both servers have in common; not for other users.
// GrpcConnection and Http2Connection are the two kinds.
//
// nghttp2 keeps the protocol: frames, HPACK, flow control, the order of events. Here are the bytes
// of a connection, its time and its bounds: it is read in shares of a turn, the frames of one turn
// leave in one write, what a client may do cheaply is rationed, and a connection that is over
// listens for a moment. Streams, and what nghttp2 calls, are the kind's own.
// Threads: the loop's thread. Source: RFC 9113.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/result.h"
#include "io/net/buffer_pool.h"
#include "io/net/event_loop.h"
#include "io/net/http2_flood.h"
#include "io/net/tcp_stream.h"
#include "io/net/timer.h"

namespace fairlead::net {

struct Http2SessionSizes {
  std::size_t input_bytes;  // Read at a time.
  std::size_t out_bytes;    // Frames of a turn that are gathered for a write.
  std::size_t unsent_high;  // With so much unsent nothing more is framed or read.
  std::size_t unsent_max;   // What is beyond unsent_high are nghttp2's own frames, which it bounds.
};

class Http2Session : protected StreamHandler, public TurnTask {
 public:
  Http2Session(const Http2Session&) = delete;
  Http2Session& operator=(const Http2Session&) = delete;

 protected:
  Http2Session(EventLoop& loop, const Http2SessionSizes& sizes);
  ~Http2Session();

  // Makes the session with nghttp2's callbacks, which `register_all` sets and which are given
  // `user`, and submits the first SETTINGS. Then the socket joins the loop.
  using RegisterCallbacks = void (*)(nghttp2_session_callbacks* calls);
  [[nodiscard]] Result<void> make_session(RegisterCallbacks register_all, void* user,
                                          std::span<const nghttp2_settings_entry> settings,
                                          std::int32_t connection_window);
  [[nodiscard]] Result<void> open_socket(StreamSocket socket);

  // The kind's part.
  virtual Duration write_timeout() const = 0;
  // What there was to read in this turn has been.
  virtual void on_fed() {}
  // Those whose bytes have left hear of it.
  virtual void tell_drained() = 0;
  // The last frame has been written, or nothing will be: streams that are left end.
  virtual void end_all_streams() = 0;
  virtual void on_closing() {}
  // The socket is closed; the last call.
  virtual void on_dead() = 0;
  virtual void count_flood(Http2Flood flood) = 0;
  virtual void count_write_timeout() = 0;
  virtual Http2Ration& ration_of(Http2Flood) { return ration_; }

  void pump();
  // A client's frame that costs it little; false when it has had too many.
  bool ration(Http2Flood flood);
  // Tells the client why and reads no more.
  void end_session(std::uint32_t code);
  // Room for a frame in what is gathered; without it the frame is asked for again.
  bool has_room(std::size_t frame_bytes);
  bool dead() const { return dead_; }
  bool closing() const { return closing_; }
  // The client does not take what was written, so that nothing is read.
  bool stalled() const { return stalled_; }
  void die();

  void on_readable() override { pump(); }
  void on_writable() override;
  void on_peer_half_closed() override;
  void on_stream_end(StreamEnd end) override;
  void on_turn_end() override;

  EventLoop& loop_;
  TcpStream stream_;
  nghttp2_session* session_ = nullptr;
  Buffer input_;           // What was read of it before it was a session of HTTP/2.
  Buffer* out_ = nullptr;  // While frames are asked for: those of this turn.

 private:
  void feed(std::string_view bytes);
  void flush();
  void gather(std::string_view frame, Buffer& out);
  void emit(Buffer& out);
  void watch_writes();
  void on_write_timer();
  void close_when_done();
  void linger();
  void end_for_flood(Http2Flood flood);

  Http2SessionSizes sizes_;
  Timer write_timer_;               // While frames wait for the socket.
  Timer closing_timer_;             // From the last frame on.
  std::uint64_t written_mark_ = 0;  // stream_.bytes_sent() when the write timer was armed.
  bool out_full_ = false;           // A frame did not fit.
  bool more_ = false;               // Bytes wait for this connection's next share of a turn.
  bool stalled_ = false;
  bool ended_ = false;    // By end_session().
  bool closing_ = false;  // The last frame has been written.
  bool dead_ = false;
  Http2Ration ration_;
};

}  // namespace fairlead::net
