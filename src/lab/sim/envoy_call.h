// SPDX-License-Identifier: Apache-2.0
// EnvoyCall: a request through Envoy and the endpoint picker: the production ExtProcStream with a
// simulated proxy at the other end of its stream, which does the forwarding and turns to fall-backs
// by itself. Port and picker are joined as extproc::ExtProcCall does it.
//
//   proxy ─ request head, body ─▶ stream ─▶ on_decide() ─▶ picker ─▶ destinations ─▶ proxy ─▶
//   engine proxy ◀─ the answer's pieces again ── stream ◀─ answer's head, pieces ── proxy ◀──
//   engine
// The router's half happens in its loop, the proxy's beside it.
// Threads: thread-compatible.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "core/codec/ext_proc_envoy.h"
#include "core/exchange/extproc_stream.h"
#include "lab/sim/call.h"

namespace fairlead::sim {

class EnvoyCall final : public Call, private FlowSink, private exchange::ExtProcPort {
 public:
  EnvoyCall(RouterNode& node, ClientId client, const Prompt& prompt, std::uint64_t conversation,
            std::uint64_t seed);
  ~EnvoyCall() override { close_flow(); }

  void begin() override;
  void leave() override;
  void cut_off() override;
  void lose() override;
  bool over() const override { return client_over_ && stream_over_; }

 private:
  // envoy_call.cpp: the proxy's half.
  void on_connected() override;
  void on_head(int status) override;
  void on_piece(std::string_view bytes) override;
  void on_complete() override;
  void on_flow_failed(Failure failure) override;
  void to_router(codec::envoy::EnvoyMessage message);
  void take(std::string_view message);
  void take_request_piece(const codec::envoy::EnvoyReply& reply);
  void try_next();
  void answer_locally(std::string_view status);
  void pass(std::string_view bytes, codec::BodyEnd end);
  void break_off(ClientEnd how);
  void end_client(ClientEnd how);
  void close_flow();
  // How a client ends whom the proxy cannot serve on.
  ClientEnd unserved();
  void give_up_flow();
  void wait(Duration length, void (EnvoyCall::*then)());
  void on_router_timeout();
  void on_connect_timeout();
  void on_idle_timeout();

  // envoy_port.cpp: the router's half.
  void send(std::string_view head, std::string_view body) override;
  void send_stored(std::string_view head, std::string_view body) override;
  void finish(exchange::StreamStatus status, std::string_view message) override;
  void make_request_id(std::string& out) override;
  void on_decide(const exchange::ExtProcRequest& request) override;
  void on_dispatched() override;
  void on_response_head(int status, std::string_view endpoint) override;
  void on_first_token() override;
  void on_progress(std::size_t) override {}
  void on_usage(const codec::Usage& usage) override;
  std::span<const codec::MetadataNumber> on_last_piece(const codec::Usage&) override { return {}; }
  void on_reply(model::ReplyReason) override {}
  void on_end(model::Outcome outcome) override;
  model::InferenceRequest inference(const exchange::ExtProcRequest& request) const;
  void rebind(std::string_view endpoint);
  void let_go();

  // The router's.
  exchange::ExtProcSettings settings_;
  exchange::ExtProcStream stream_;
  picker::RequestId id_;
  bool has_id_ = false;
  std::optional<model::EndpointRef> holder_;
  std::optional<model::EndpointRef> holds_;  // Where its in-flight share is.
  bool stream_over_ = false;

  // The proxy's.
  Random random_;
  bool ends_with_bytes_;  // The answer's last message has bytes, or none.
  std::string destinations_;
  std::string request_;  // As it came back.
  bool forwarding_ = false;
  std::optional<FlowId> flow_;
  EngineHost* engine_ = nullptr;
  std::string served_;
  std::uint64_t waits_ = 0;
  int status_ = 0;  // Of the engine's answer; 0: none yet.
  std::string kept_piece_;
  bool client_over_ = false;
};

}  // namespace fairlead::sim
