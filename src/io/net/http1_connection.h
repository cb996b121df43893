// SPDX-License-Identifier: Apache-2.0
// Http1Connection: one client connection of Http1Server; not for other users.
//
// It reads one request at a time, hands it over as an Http1Exchange, and reads on only when the
// response has ended and most of it has left: a client cannot make the server queue responses.
// Head and body stay where they were read until then: a small body inside the input buffer, a
// large one in a buffer of its own, a chunked one decoded into such a buffer.
// Threads: the loop's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/codec/http1_body.h"
#include "core/codec/http1_request.h"
#include "io/net/http1_server.h"
#include "io/net/server_connection.h"
#include "io/net/tcp_stream.h"
#include "io/net/timer.h"

namespace fairlead::net {

class Http1Connection final : public ServerConnection, private StreamHandler, private TurnTask {
 public:
  Http1Connection(Http1Server& server, const SocketAddress& peer);

  [[nodiscard]] Result<void> open(StreamSocket socket);
  void on_server_draining() override;
  const TcpStream& stream() const override { return stream_; }
  std::optional<Time> idle_since() const override;
  void drop_idle() override { die(); }

 private:
  friend class Http1Exchange;
  friend class Http1Server;

  enum class State : std::uint8_t {
    kIdle,      // Between requests, nothing received.
    kHead,      // A part of a head received.
    kBody,      // A whole head received.
    kRunning,   // The handler has the exchange.
    kFinished,  // The response ended; the next request has not begun.
    kClosing,   // Everything is written; waiting for it to leave and for the peer to close.
    kDead,
  };
  // Where the body is collected.
  enum class Place : std::uint8_t { kInput, kOwnBuffer, kDecoded };

  void on_connected() override;
  void on_readable() override;
  void on_writable() override;
  void on_peer_half_closed() override;
  void on_stream_end(StreamEnd end) override;
  void on_turn_end() override;
  void on_timer();
  void arm_body_timer();

  void pump();
  bool read_head();
  bool is_http2();
  void begin_body();
  bool read_body();
  bool read_more(Buffer& buffer, std::size_t bytes_max);
  bool decode_chunks();
  bool charge_body();
  void on_input_end();
  void dispatch();
  void refuse(RefusalKind kind, int status, codec::Http1Error error, std::string_view message);
  void refuse_malformed(codec::Http1Error error);

  void start(int status, HeaderSpan headers, codec::BodyFraming framing, std::string_view body);
  void write_payload(std::string_view payload);
  void write_raw(std::string_view bytes);
  void upgrade(HeaderSpan headers);
  void tell_upgraded_input();
  std::size_t read_upgraded(Buffer& buffer);
  bool upgraded_input_ended() const;
  void watch_writes();
  void finish();
  void abort();
  void end_exchange(State next);
  void next_request();
  void release_body();
  void drop_body();
  void close_gracefully();
  void client_gone();
  void die();

  Http1Server& server_;
  EventLoop& loop_;
  SocketAddress peer_;
  TcpStream stream_;
  Timer timer_;  // What it times follows from state_.
  codec::Http1RequestParser parser_;
  codec::Http1BodyReader body_reader_;
  Http1Exchange exchange_;
  ExchangeObserver* observer_ = nullptr;
  Buffer input_;
  Buffer body_;     // kOwnBuffer, kDecoded.
  Buffer encoded_;  // kDecoded: chunked bytes not yet decoded, then the next request's.
  std::string_view body_view_;
  State state_ = State::kIdle;
  Place place_ = Place::kInput;
  bool started_ = false;
  bool raw_written_ = false;
  bool upgraded_ = false;
  bool bodiless_ = false;    // The response may not have a body: HEAD, 204, 304.
  bool keep_alive_ = false;  // As promised in the response head.
  bool fin_sent_ = false;
  bool half_close_told_ = false;  // For this request.
  std::uint64_t note_ = 0;        // The handler's, of this request.
  bool body_skipped_ = false;     // Of this request; its bytes are still to come.
  codec::BodyFraming framing_;
  std::uint64_t response_left_ = 0;  // Of a response with a length.
  std::size_t upgraded_at_ = 0;      // In input_: upgraded bytes not yet read.
  std::size_t charged_bytes_ = 0;    // Counted in the server's buffered bytes.
  std::size_t discarded_bytes_ = 0;  // While closing.
  std::uint64_t progress_mark_ = 0;  // stream_.bytes_sent() when the write timer was armed.
  std::uint64_t requests_ = 0;
  Time received_at_;  // While idle: since when.
  Time complete_at_;
};

}  // namespace fairlead::net
