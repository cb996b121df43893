// SPDX-License-Identifier: Apache-2.0
// GatewayCall: a request through the gateway. It does what gateway::Relay does, without its
// sockets: the facts, the picker, the retry rule, the watch over the answer and the key's limits
// are the production code; the order in which they are asked is written again here.
//
//   facts ─▶ key ─▶ picker ─▶ flow to an engine ─▶ first byte ─▶ end
//                     ▲           └─ failed: replay_rule(), on_upstream_failed() ─┐
//                     └───────────────────────────────────────────────────────────┘
// Threads: thread-compatible.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/exchange/request_facts.h"
#include "core/exchange/response_relay.h"
#include "lab/sim/call.h"

namespace fairlead::sim {

class GatewayCall final : public Call, private FlowSink {
 public:
  using Call::Call;
  ~GatewayCall() override { close_flow(); }

  void begin() override;
  void leave() override;
  void cut_off() override;
  void lose() override;
  bool over() const override { return over_; }

 private:
  void on_connected() override;
  void on_head(int status) override;
  void on_piece(std::string_view bytes) override;
  void on_complete() override;
  void on_flow_failed(Failure failure) override;

  void act();
  void forward(model::EndpointRef endpoint);
  void close_flow();
  void give_up_flow();
  void wait(Duration length, void (GatewayCall::*then)());
  void on_connect_timeout();
  void on_reply_timeout();
  void on_idle_timeout();
  void on_total_timeout();
  void failed(model::UpstreamFailure failure);
  void note_first_token();
  void give_up();
  void conclude(ClientEnd end, model::Outcome outcome);
  void let_go();
  bool client_has_bytes() { return !ledger().client(client_).received.empty(); }
  exchange::ClientSaw client_saw() {
    return client_has_bytes() ? exchange::ClientSaw::kBytes : exchange::ClientSaw::kNothing;
  }

  exchange::RequestFacts facts_;
  access::Share share_;
  picker::RequestId id_;
  bool has_id_ = false;
  std::optional<model::EndpointRef> holds_;  // Where its in-flight share is.
  std::optional<FlowId> flow_;
  EngineHost* engine_ = nullptr;
  std::uint64_t waits_ = 0;  // Only the last wait counts.
  exchange::ResponseWatch watch_;
  int status_ = 0;  // Of the answer in hand; 0: there is none.
  bool failed_try_held_ = false;
  bool first_token_noted_ = false;
  bool over_ = false;
};

}  // namespace fairlead::sim
