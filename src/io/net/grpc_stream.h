// SPDX-License-Identifier: Apache-2.0
// GrpcStream: one call of a GrpcConnection; not for other users.
//
// Of the headers only what gRPC needs is kept. A message that lies in one piece of DATA goes to the
// observer as it lies; another gathers in a pooled buffer that grows with what came, not with what
// was announced. What is sent waits as pieces, copied or borrowed, until nghttp2 asks for as many
// bytes as the client's window allows. Reused from call to call.
// Threads: the loop's thread.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/codec/grpc_frame.h"
#include "io/net/buffer_pool.h"
#include "io/net/grpc_server.h"
#include "io/net/timer.h"

namespace fairlead::net {

class GrpcConnection;

class GrpcStream final : public GrpcCall {
 public:
  explicit GrpcStream(GrpcServer& server);

  std::string_view path() const override { return path_; }
  const SocketAddress& peer() const override;
  EventLoop& loop() const override { return loop_; }
  Time received_at() const override { return received_at_; }
  Time deadline() const override { return deadline_; }
  using GrpcCall::finish;
  using GrpcCall::send;
  void send(std::string_view head, std::string_view body) override;
  void finish(GrpcStatus status, std::string_view message) override;
  std::size_t pending_bytes() const override { return queued_; }
  void hold() override { held_ = true; }
  void resume() override;

 private:
  friend class GrpcConnection;
  enum class State : std::uint8_t {
    kFree,
    kHead,
    kRunning,    // The handler has the call.
    kFinishing,  // It has finished it; the status has still to leave.
    kOver,       // Nobody here waits for it any more.
  };
  enum class Follows : std::uint8_t { kNothing, kMessages };
  // Bytes to send: the next `size` of out_, or those at `borrowed`.
  struct Piece {
    const char* borrowed;
    std::size_t size;
  };

  // The request, as nghttp2 hands it over.
  void begin(GrpcConnection& connection, std::int32_t id);
  void add_header(std::string_view name, std::string_view value);
  void on_head(Follows follows);
  void add_data(std::string_view bytes);
  void on_half_close();
  // Its observer has not been told of its end.
  bool live() const { return state_ == State::kRunning || state_ == State::kFinishing; }
  void on_closed(GrpcGone gone);
  void release();

  bool acceptable();
  void deliver(std::string_view bytes);
  bool store(std::string_view bytes);
  void refuse_frame();
  void refuse(GrpcRefusal refusal, GrpcStatus status, std::string_view text);
  void refuse_http(GrpcRefusal refusal, std::string_view status);

  // The reply.
  static ssize_t read_reply(nghttp2_session*, std::int32_t, std::uint8_t*, std::size_t length,
                            std::uint32_t* flags, nghttp2_data_source* source, void*);
  void start();
  void copy(std::string_view bytes);
  void take_pieces(std::size_t length, Buffer& to);
  void drop_pieces();
  void submit_status();
  void on_status_sent();
  bool owes_status() const { return state_ == State::kFinishing && !status_submitted_; }
  void watch_writes();
  void on_write_timer();
  void on_deadline();
  void reset_stream(std::uint32_t code);
  // Ends the call from here: with a status where one can still be sent, else by a reset.
  void end_early(GrpcGone gone, GrpcStatus status, std::string_view text);
  void tell_gone(GrpcGone gone);
  bool charge();  // False: more than the budget has.

  GrpcServer& server_;
  EventLoop& loop_;
  Timer deadline_timer_;
  Timer write_timer_;
  GrpcConnection* connection_ = nullptr;
  GrpcCallObserver* observer_ = nullptr;
  std::int32_t id_ = 0;
  State state_ = State::kFree;
  bool is_post_ = false;
  bool is_grpc_ = false;
  bool timeout_malformed_ = false;
  bool request_done_ = false;  // The client sent END_STREAM.
  bool reset_by_peer_ = false;
  bool blamed_ = false;   // For a frame that broke a rule.
  bool started_ = false;  // Something of the reply has been submitted.
  bool status_submitted_ = false;
  bool held_ = false;
  bool owes_drained_ = false;
  bool overflowed_ = false;  // The handler sent past pending_bytes_max.
  GrpcStatus status_ = GrpcStatus::kOk;
  std::string status_text_;  // As grpc-message has it.
  std::string path_;
  std::size_t head_bytes_ = 0;
  codec::GrpcFrameReader reader_{0};
  Buffer message_;  // Parts of the message that is being read.
  std::size_t held_bytes_ = 0;
  Buffer out_;
  std::vector<Piece> pieces_;
  std::size_t first_piece_ = 0;
  std::size_t queued_ = 0;  // In all pieces.
  std::size_t charged_bytes_ = 0;
  std::uint64_t sent_bytes_ = 0;
  std::uint64_t sent_mark_ = 0;
  std::size_t index_ = 0;          // In the connection's list.
  std::size_t written_index_ = 0;  // Likewise of those that owe on_drained().
  Time received_at_;
  Time deadline_;
};

}  // namespace fairlead::net
