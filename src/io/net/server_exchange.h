// SPDX-License-Identifier: Apache-2.0
// ServerExchange: one request and its response, whatever the version of HTTP that carries them; and
// who is told about it. Http1Connection and Http2Connection implement it, every front uses it.
// Threads: the loop's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>

#include "base/time.h"
#include "core/codec/http1.h"
#include "core/codec/http1_request.h"
#include "io/net/event_loop.h"
#include "io/net/socket.h"

namespace fairlead::net {

// What a client is taken for that closed its sending side.
enum class HalfClosed : std::uint8_t { kGone, kMayRead };

// Told about one running request. No call may destroy the exchange or its server.
class ExchangeObserver {
 public:
  // The client left, stalled past write_timeout or hit pending_bytes_max. The exchange is dead
  // when this returns; nothing else is called for it.
  virtual void on_client_gone() = 0;
  // pending_bytes() fell to 0 after it was above 0.
  virtual void on_drained() {}
  // The client closed its sending side. It may still read, or have left; who left answers bytes
  // with a reset, and on_client_gone() follows. After kMayRead, before the response began, the
  // server sends such bytes itself; later it is for the observer to write some.
  virtual HalfClosed on_client_half_closed() { return HalfClosed::kGone; }
  // After upgrade(): read_upgraded() may find bytes, or their end.
  virtual void on_upgraded_input() {}

 protected:
  ~ExchangeObserver() = default;
};

using HeaderSpan = std::span<const codec::Http1Header>;

// One request and its response. Valid until send_response(), finish() or abort() is called on it,
// or on_client_gone() returns; head() and body() are valid just as long and never move before, but
// for drop_body().
class ServerExchange {
 public:
  virtual const codec::Http1RequestHead& head() const = 0;
  // Whole and decoded, with kBufferPadding readable bytes behind it.
  virtual std::string_view body() const = 0;
  virtual const SocketAddress& peer() const = 0;
  virtual EventLoop& loop() const = 0;
  // When its first byte was seen, and when it was whole.
  virtual Time received_at() const = 0;
  virtual Time complete_at() const = 0;
  // False for HTTP/1.0 and HTTP/2 clients: do not relay chunked bytes with write_raw() to them.
  virtual bool accepts_chunked() const = 0;
  virtual bool started() const = 0;  // A response head was written.
  // Of RequestHandler::wish_for_body(); 0 when nobody asked for the wish.
  virtual std::uint64_t note() const = 0;

  virtual void set_observer(ExchangeObserver* observer) = 0;

  // A whole response; Content-Length and Connection are added. Ends the exchange.
  virtual void send_response(int status, HeaderSpan headers, std::string_view body) = 0;
  void send_response(int status, std::initializer_list<codec::Http1Header> headers,
                     std::string_view body) {
    send_response(status, HeaderSpan(headers.begin(), headers.size()), body);
  }

  // A response in pieces: start(), then write_chunk() or write_raw() but not both, then finish().
  // `headers` must not name Content-Length, Transfer-Encoding or Connection. Towards an HTTP/1.0
  // client chunked turns into until_close. Body bytes of an answer to HEAD are dropped.
  virtual void start(int status, HeaderSpan headers, codec::BodyFraming framing) = 0;
  void start(int status, std::initializer_list<codec::Http1Header> headers,
             codec::BodyFraming framing) {
    start(status, HeaderSpan(headers.begin(), headers.size()), framing);
  }
  // Payload; framed here as start() said. An empty piece does nothing.
  virtual void write_chunk(std::string_view payload) = 0;
  // Bytes already framed as start() said, the last chunk and trailers included.
  virtual void write_raw(std::string_view bytes) = 0;
  // Adds the last chunk after write_chunk(). Fewer bytes than the announced length end in a reset.
  virtual void finish() = 0;
  // Resets the connection, or the stream: the client sees a broken response. Ends the exchange.
  virtual void abort() = 0;

  // Whether a handshake of HTTP/1.1's kind can be answered here; the next three are for those
  // alone.
  virtual bool can_upgrade() const { return false; }
  // Answers 101 with these headers and those that say so. From here on bytes are raw both ways:
  // write_raw() sends, finish() closes. What the client sent ahead of the 101 comes first.
  virtual void upgrade(HeaderSpan) {}
  // Reads once into the buffer's free space, which must not be empty; 0: nothing now. Not reading
  // holds the client back.
  virtual std::size_t read_upgraded(Buffer&) { return 0; }
  // The client has closed its sending side, and all of it was read.
  virtual bool upgraded_input_ended() const { return false; }

  // Response bytes not yet taken by the kernel, those of this turn included.
  virtual std::size_t pending_bytes() const = 0;
  // body() is not needed any more: what memory it has to itself goes back. It is empty afterwards.
  virtual void drop_body() = 0;

 protected:
  ~ServerExchange() = default;
};

}  // namespace fairlead::net
