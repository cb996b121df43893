// SPDX-License-Identifier: Apache-2.0
// UpstreamConnection: one connection of UpstreamPool; not for other users.
//
// It is connecting, idle in the pool, or serving one UpstreamRequest. Bytes received wait in a
// pooled buffer only while they are needed, so that an idle stream holds no memory.
// Threads: the loop's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/codec/http1_body.h"
#include "core/codec/http1_response.h"
#include "io/net/http1_client.h"
#include "io/net/tcp_stream.h"
#include "io/net/timer.h"

namespace fairlead::net {

class UpstreamConnection final : private StreamHandler, private TurnTask {
 public:
  UpstreamConnection(UpstreamPool& pool, const SocketAddress& address, std::string_view tls_name);

  // Begins to connect; a failure shows later, as a failed request.
  void connect();
  // Binds the request and begins to send it as soon as there is a connection.
  void begin(UpstreamRequest& request);
  // The request will be failed at the end of the turn: start() must not call back.
  void fail_at_turn_end(UpstreamFailure failure, int os_error);
  // Forgets the request and closes.
  void cancel();
  void on_resume();
  void on_pause() { timer_.cancel(); }

  bool usable() const { return stream_.open() && !stream_.peer_half_closed(); }
  std::size_t send_upgraded(std::string_view bytes);
  void finish_sending() { stream_.shutdown_write(); }

  bool request_sent() const { return piece_ == kUpstreamPiecesMax; }
  bool response_started() const { return response_started_; }

 private:
  friend class UpstreamPool;

  void on_connected() override;
  void on_readable() override;
  void on_writable() override;
  void on_peer_half_closed() override;
  void on_stream_end(StreamEnd end) override;
  void on_turn_end() override;
  void on_timer();

  void send_request();
  void pump();
  bool process();
  bool process_head();
  bool process_body();
  void at_end();
  void arm_phase_timer();
  bool upgraded() const { return head_done_ && parser_.head().status == 101; }
  bool nothing_behind();
  void complete();
  void fail(UpstreamFailure failure, codec::Http1Error parse_error = codec::Http1Error::kNone);
  void fail_broken(UpstreamFailure mid_reply);
  void close_unused();
  UpstreamRequest* unbind();

  UpstreamPool& pool_;
  EventLoop& loop_;
  SocketAddress address_;
  std::string tls_name_;  // Empty for plain TCP.
  TcpStream stream_;
  Timer timer_;        // Connect, reply, body idle or pool idle, as the state says.
  Timer total_timer_;  // Of the request.
  codec::Http1ResponseParser parser_;
  codec::Http1BodyReader body_reader_;
  UpstreamRequest* request_ = nullptr;
  Buffer input_;
  std::size_t piece_ = 0;         // The first piece not sent whole.
  std::size_t piece_offset_ = 0;  // Bytes of it that are.
  bool idle_ = false;             // In the pool.
  bool tell_connected_ = false;
  bool used_before_ = false;
  bool head_done_ = false;
  bool response_started_ = false;
  bool failing_ = false;
  UpstreamFailure failure_ = UpstreamFailure::kConnectFailed;
  int os_error_ = 0;
  std::size_t index_ = 0;  // In the pool's list of connections.
};

}  // namespace fairlead::net
