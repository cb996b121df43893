// SPDX-License-Identifier: Apache-2.0
// Http2Stream: one request of an Http2Connection and its response; not for other users.
//
// The head is collected into one buffer and the body into another, both pooled and bounded as the
// server's options say, then the handler has it as a ServerExchange. The response's bytes wait here
// until nghttp2 asks for as many as the client's window allows. Reused from request to request.
// Threads: the loop's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/codec/http1_request.h"
#include "io/net/buffer_pool.h"
#include "io/net/http1_server.h"
#include "io/net/timer.h"

namespace fairlead::net {

class Http2Connection;

class Http2Stream final : public ServerExchange {
 public:
  explicit Http2Stream(Http1Server& server);

  const codec::Http1RequestHead& head() const override { return head_; }
  std::string_view body() const override { return body_.view(); }
  const SocketAddress& peer() const override;
  EventLoop& loop() const override { return loop_; }
  Time received_at() const override { return received_at_; }
  Time complete_at() const override { return complete_at_; }
  bool accepts_chunked() const override { return false; }
  bool started() const override { return started_; }
  std::uint64_t note() const override { return note_; }
  void set_observer(ExchangeObserver* observer) override { observer_ = observer; }
  using ServerExchange::send_response;
  using ServerExchange::start;
  void send_response(int status, HeaderSpan headers, std::string_view body) override;
  void start(int status, HeaderSpan headers, codec::BodyFraming framing) override;
  void write_chunk(std::string_view payload) override;
  void write_raw(std::string_view bytes) override;
  void finish() override;
  void abort() override;
  std::size_t pending_bytes() const override { return out_.size(); }
  void drop_body() override { release_body(); }

 private:
  friend class Http2Connection;
  enum class State : std::uint8_t {
    kFree,
    kHead,
    kBody,
    kRunning,   // The handler has the exchange.
    kFinished,  // The handler is done, or never saw it; the response may still have to leave.
  };
  enum class Follows : std::uint8_t { kNothing, kBody };
  // A header's bytes in fields_.
  struct Field {
    std::size_t begin = 0;
    std::size_t name_size = 0;
    std::size_t value_size = 0;
  };

  // The request, as nghttp2 hands it over.
  void begin(Http2Connection& connection, std::int32_t id);
  void add_header(std::string_view name, std::string_view value);
  void on_invalid_header() { head_error_ = codec::Http1Error::kInvalidHeaderValue; }
  void on_head(Follows follows);
  void add_body(std::string_view bytes);
  void on_request_end();
  void on_closed();
  void release();

  std::string_view name_of(const Field& field) const;
  std::string_view value_of(const Field& field) const;
  void join_cookies();
  codec::Http1Error build_head();
  codec::Http1Error take_field(std::string_view name, std::string_view value);
  bool store(std::string_view bytes);
  void arm_body_timer();
  void dispatch();
  void release_body();
  void refuse(RefusalKind kind, int status, codec::Http1Error error, std::string_view message);
  void refuse_malformed(codec::Http1Error error);
  void refuse_body_size();

  // The response.
  void submit(int status, HeaderSpan headers, codec::BodyFraming framing);
  void queue(std::string_view payload);
  void watch_writes();
  void end_exchange();
  void client_gone();
  void reset_stream(std::uint32_t code);
  void on_timer();

  Http1Server& server_;
  EventLoop& loop_;
  Timer timer_;  // What it times follows from state_.
  Http2Connection* connection_ = nullptr;
  ExchangeObserver* observer_ = nullptr;
  std::int32_t id_ = 0;
  std::uint64_t note_ = 0;  // The handler's, of this request.
  State state_ = State::kFree;
  bool request_done_ = false;  // The client sent END_STREAM.
  bool started_ = false;
  bool bodiless_ = false;
  bool response_done_ = false;  // Nothing follows what is in out_.
  bool owes_drained_ = false;
  bool reset_by_peer_ = false;
  bool blamed_ = false;      // For a frame that broke a rule.
  bool overflowed_ = false;  // The handler wrote past pending_bytes_max.
  codec::Http1Error head_error_ = codec::Http1Error::kNone;
  codec::Http1RequestHead head_;
  std::vector<Field> fields_;
  std::size_t head_bytes_ = 0;  // As HTTP/1.1 would have them.
  std::size_t cookies_ = 0;
  Buffer head_text_;
  Buffer body_;
  Buffer out_;
  codec::BodyFraming framing_;
  std::uint64_t response_left_ = 0;
  std::size_t charged_bytes_ = 0;
  std::uint64_t sent_bytes_ = 0;
  std::uint64_t progress_mark_ = 0;
  std::size_t index_ = 0;  // In the connection's list.
  Time received_at_;
  Time complete_at_;
};

}  // namespace fairlead::net
