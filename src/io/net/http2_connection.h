// SPDX-License-Identifier: Apache-2.0
// Http2Connection: one client connection of Http1Server that speaks HTTP/2 (RFC 9113); not for
// other users. Http2Stream is a request on it.
//
// nghttp2 keeps the protocol: frames, HPACK, flow control, the order of events. Here are its bytes,
// its time and its bounds. Request bodies are taken off the window as they are stored, and storage
// has the server's bounds; what waits to be sent stays with its stream, so that a client that does
// not read one answer does not stop the others. The frames of one turn leave in one write.
// Threads: the loop's thread.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "io/net/http1_server.h"
#include "io/net/server_connection.h"
#include "io/net/tcp_stream.h"
#include "io/net/timer.h"

namespace fairlead::net {

class Http2Stream;

class Http2Connection final : public ServerConnection, private StreamHandler, private TurnTask {
 public:
  Http2Connection(Http1Server& server, const SocketAddress& peer);
  ~Http2Connection() override;

  // `seen`: what was read of the connection so far, the preface first.
  [[nodiscard]] Result<void> open(StreamSocket socket, Buffer seen);
  void on_server_draining() override;
  const TcpStream& stream() const override { return stream_; }
  std::optional<Time> idle_since() const override;
  void drop_idle() override;

 private:
  friend class Http2Stream;
  struct Callbacks;  // nghttp2's, http2_callbacks.cpp.
  static Result<nghttp2_session*> new_session(Http2Connection& connection);
  // nghttp2 asks how many bytes of a response can go.
  static ssize_t read_response(nghttp2_session*, std::int32_t, std::uint8_t*, std::size_t length,
                               std::uint32_t* flags, nghttp2_data_source* source, void*);

  void on_readable() override;
  void on_writable() override;
  void on_peer_half_closed() override;
  void on_stream_end(StreamEnd end) override;
  void on_turn_end() override;
  void on_timer();
  void on_write_timer();
  void watch_writes();

  void pump();
  void feed(std::string_view bytes);
  void flush();
  void emit(Buffer& out);
  void tell_drained();
  void close_when_done();
  void linger();
  void end_all_streams();
  void die();

  // A client's frame that costs it little; false when it has had too many.
  bool ration(Http2Flood flood);
  void end_for_flood(Http2Flood flood);
  void head_timed_out();
  Http2Stream* begin_stream(std::int32_t id);
  void end_stream(Http2Stream& stream);

  Http1Server& server_;
  EventLoop& loop_;
  SocketAddress peer_;
  TcpStream stream_;
  Timer timer_;        // Without a stream: until the next one. While closing: until the end.
  Timer write_timer_;  // While frames wait for the socket.
  std::uint64_t progress_mark_ = 0;  // stream_.bytes_sent() when the write timer was armed.
  nghttp2_session* session_ = nullptr;
  Buffer input_;
  Buffer* out_ = nullptr;  // During flush(): the frames of this turn.
  bool out_full_ = false;  // A frame did not fit.
  bool more_ = false;      // Bytes wait for this connection's next share of a turn.
  bool stalled_ = false;   // The client does not take what was written.
  bool closing_ = false;   // The last frame has been written.
  bool flooded_ = false;
  bool dead_ = false;
  std::vector<std::unique_ptr<Http2Stream>> streams_;
  std::vector<Http2Stream*> written_;  // Have had bytes to send since on_drained().
  std::vector<Http2Stream*> drained_;  // Scratch.
  std::vector<nghttp2_nv> pairs_;      // Scratch.
  std::uint64_t requests_ = 0;
  Time idle_since_;
  Http2Ration ration_;
};

}  // namespace fairlead::net
