// SPDX-License-Identifier: Apache-2.0
// RealtimeSession: one client of a simulated engine's /v1/realtime, a WebSocket of JSON texts.
//
// It says session.created at once and session.updated to each session.update; every other text is
// answered by as many words as it has tokens, at most kTokensMax, each an event of its own after
// the time that a step with one sequence takes, and then by response.done. Until then no further
// frame is read. These tokens take no part in the engine's batch, cache and metrics. A frame that
// breaks the protocol, is in pieces, binary or longer than kFrameBytesMax ends the session with its
// close code. Threads: the loop's thread. Source: RFC 6455.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/time.h"
#include "core/codec/websocket.h"
#include "io/net/server_exchange.h"
#include "io/net/timer.h"

namespace fairlead::engine {

struct RealtimeSettings {
  std::string model;
  Duration step{};  // Real time a token.
  std::uint64_t seed = 0;
  std::function<bool(std::string_view)> knows_model;
};

class RealtimeSession final : private net::ExchangeObserver {
 public:
  static constexpr std::uint32_t kTokensMax = 256;
  static constexpr std::size_t kFrameBytesMax = std::size_t{1} << 20;

  // Answers the handshake, which has been checked. `on_end` is called once, when the exchange is
  // over; the session is then of no more use.
  RealtimeSession(net::ServerExchange& exchange, RealtimeSettings settings,
                  std::function<void(RealtimeSession&)> on_end);
  ~RealtimeSession();  // Resets the connection if it is still there.
  RealtimeSession(const RealtimeSession&) = delete;
  RealtimeSession& operator=(const RealtimeSession&) = delete;

  // The server shuts down.
  void go_away() { close(1001); }

 private:
  void on_client_gone() override;
  void on_upgraded_input() override { read(); }

  void read();
  bool take_frames();
  void take(const codec::WebSocketFrame& frame);
  void take_text(const std::string& text);
  void say_token();
  void send_text(std::string_view text);
  void send(codec::WebSocketFrame::Kind kind, std::string_view payload);
  void close(std::uint16_t code);
  void end();

  net::ServerExchange* exchange_;
  RealtimeSettings settings_;
  std::function<void(RealtimeSession&)> on_end_;
  net::Timer step_;
  net::Buffer input_;
  std::string frame_;  // Being written.
  std::uint32_t said_ = 0;
  std::uint32_t left_ = 0;  // Words of the answer under way.
};

}  // namespace fairlead::engine
