// SPDX-License-Identifier: Apache-2.0
// Http2Connection: one client connection of Http1Server that speaks HTTP/2 (RFC 9113); not for
// other users. Http2Stream is a request on it.
//
// Request bodies are taken off the window as they are stored, and storage has the server's bounds;
// what waits to be sent stays with its stream, so that a client that does not read one answer does
// not stop the others.
// Threads: the loop's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "io/net/http1_server.h"
#include "io/net/http2_session.h"
#include "io/net/server_connection.h"
#include "io/net/timer.h"

namespace fairlead::net {

class Http2Stream;

class Http2Connection final : public ServerConnection, public Http2Session {
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
  [[nodiscard]] Result<void> make_session();
  // nghttp2 asks how many bytes of a response can go.
  static ssize_t read_response(nghttp2_session*, std::int32_t, std::uint8_t*, std::size_t length,
                               std::uint32_t* flags, nghttp2_data_source* source, void*);

  Duration write_timeout() const override { return server_.options_.write_timeout; }
  void tell_drained() override;
  void end_all_streams() override;
  void on_closing() override { timer_.cancel(); }
  void on_dead() override;
  void count_flood(Http2Flood flood) override;
  void count_write_timeout() override { ++server_.counters_.write_timeouts; }

  void on_idle();
  void on_stream_error();
  void head_timed_out();
  Http2Stream* begin_stream(std::int32_t id);
  void end_stream(Http2Stream& stream);

  Http1Server& server_;
  SocketAddress peer_;
  Timer timer_;  // Without a stream: until the next one.
  std::vector<std::unique_ptr<Http2Stream>> streams_;
  std::vector<Http2Stream*> written_;  // Have had bytes to send since on_drained().
  std::vector<Http2Stream*> drained_;  // Scratch.
  std::vector<nghttp2_nv> pairs_;      // Scratch.
  std::uint64_t requests_ = 0;
  Time idle_since_;
};

}  // namespace fairlead::net
