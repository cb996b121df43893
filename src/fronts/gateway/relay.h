// SPDX-License-Identifier: Apache-2.0
// Relay: one request on its way from a client's exchange over the picker to an engine, and its
// answer on the way back.
//
//   kDeciding ─▶ kTrying ─▶ kRelaying ─▶ done        kTrying: an engine was asked, and the client
//        ▲          │           │                    has seen nothing yet; the answer's head is
//        held └─ retry ──┤           └─▶ kBreaking ─▶ reset    until its first body bytes.
//                   └─▶ reply                       kBreaking: a last error event is leaving.
//
// A WebSocket goes the same way until the engine's 101: then it is a tunnel (kTunnel), raw bytes
// both ways, and ends when either side does. What the client sends ahead of the 101 waits, so that
// an engine that refuses never sees it; any other answer is relayed like all answers.
//
// Bytes are relayed as they come, raw where both sides take chunks. When more than
// kPendingBytesHigh wait for the client, the engine's connection is not read until all have left;
// with tightened buffers that is kPendingBytesTight. A client that leaves closes the engine's
// connection at once. After the client saw a byte, any failure ends in a reset, never in an answer
// that looks complete, and the request's body, which nobody can ask for again, goes back.
// Threads: the worker's thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/exchange/access_record.h"
#include "core/exchange/error_reply.h"
#include "core/exchange/request_facts.h"
#include "core/exchange/request_head.h"
#include "core/exchange/request_trace.h"
#include "core/exchange/response_head.h"
#include "core/exchange/response_relay.h"
#include "core/exchange/route.h"
#include "core/picker/picker.h"
#include "fronts/gateway/relay_host.h"
#include "io/net/http1_client.h"
#include "io/net/http1_server.h"

namespace fairlead::gateway {

inline constexpr std::size_t kPendingBytesHigh = 256 * 1024;
inline constexpr std::size_t kPendingBytesTight = 16 * 1024;
// Of an engine's 502 or 503, kept in case nobody else can be asked.
inline constexpr std::size_t kHeldBodyBytesMax = 16 * 1024;

class Relay final : private net::ExchangeObserver,
                    private net::UpstreamObserver,
                    private net::TurnTask {
 public:
  explicit Relay(RelayHost& host);

  void begin(net::ServerExchange& exchange, const exchange::RouteMatch& match);
  void on_action(const picker::Action& action);
  // Ends the request now, if one runs.
  void cut_off();
  // The next slice of a compressed body.
  void decode_on();

 private:
  enum class Phase : std::uint8_t { kFree, kDeciding, kTrying, kRelaying, kTunnel, kBreaking };
  // How the answer's bytes are passed on.
  enum class Copy : std::uint8_t { kRaw, kPayload };

  void on_client_gone() override;
  void on_drained() override;
  net::HalfClosed on_client_half_closed() override;
  void on_upgraded_input() override { carry_to_engine(); }
  void on_connected(net::ConnectionUse use) override;
  void on_response_head(const codec::Http1ResponseHead& head) override;
  void on_body(std::string_view raw, std::span<const std::string_view> payload) override;
  void on_complete() override;
  void on_failed(const net::UpstreamError& error) override;
  void on_send_ready() override { carry_to_engine(); }
  void on_turn_end() override;

  // relay.cpp: the request.
  void reset();
  void read_request_id();
  void read_and_decide();
  void scan_and_decide();
  void find_holder();
  void tokenize(tokens::RequestForm form);
  void decide();
  void take_turn();
  model::InferenceRequest named_request() const;
  void forward(model::EndpointRef endpoint);
  void send_to_target();
  void record_dispatch();
  void try_failed(model::UpstreamFailure failure);
  void count_against_endpoint(model::UpstreamFailure failure);
  void reply(const exchange::ErrorText& text, Duration retry_after = {});
  void reply_unknown_model(std::string_view model);
  void reply_model_list();
  void reply_model();
  void reply_json(std::string_view body);
  void conclude(int status, model::Outcome outcome);
  void release();
  std::string_view request_id_header() const {
    return generation_->settings.gateway.request_id_header;
  }

  // relay_access.cpp: keys, limits and encodings. Those that give false have replied, or, of a
  // compressed body, go on in a later turn.
  bool authenticate();
  bool read_body();
  bool decode_slice();
  bool admit();
  void settle(model::Outcome outcome, Time now);
  void drop_decoded();
  void reply_preflight();

  // relay_records.cpp: what is told of a request when it has ended, and its trace until then.
  void begin_trace();
  exchange::TraceHeaders trace_headers();
  exchange::AccessRecord access_record(int status, model::Outcome outcome) const;
  void write_records(int status, model::Outcome outcome);

  // relay_tunnel.cpp: WebSockets.
  void begin_tunnel();
  bool read_handshake();
  bool read_query_model();
  void open_tunnel();
  void carry_to_engine();
  void carry_to_client(std::string_view raw);
  void tunnel_failed(const net::UpstreamError& error);
  void end_tunnel(TunnelEnd end);
  void count_tunnel(TunnelEnd end);
  void release_tunnel();

  // relay_response.cpp: the answer.
  void start_response();
  void pass_on(std::string_view raw, std::span<const std::string_view> payload);
  void hold_engine_back();
  void note_first_token();
  void note_response();
  void note_token_interval();
  void note_usage();
  void finish_response();
  void relay_held_answer();
  void break_off(model::ReplyReason reason);
  bool event_fits() const;
  void write_event(std::string_view event);
  void abort_response();
  int status_seen() const;

  RelayHost& host_;
  net::UpstreamRequest upstream_;
  Phase phase_ = Phase::kFree;
  net::ServerExchange* exchange_ = nullptr;
  exchange::RouteMatch match_;
  std::shared_ptr<const router::Generation> generation_;
  std::shared_ptr<const UpstreamTarget> target_;
  exchange::RequestFacts facts_;
  picker::RequestId id_;
  bool has_id_ = false;
  std::optional<router::PromptDesk::Ticket> tokenizing_;
  bool dispatch_due_ = false;  // The history has not been told of this try.
  std::string request_id_;
  std::string client_address_;
  std::string head_;               // Towards the engine.
  std::string_view body_;          // As the engine gets it: the client's bytes, or decoded_.
  std::size_t request_bytes_ = 0;  // Of the client's body.
  exchange::BodyBytes body_bytes_ = exchange::BodyBytes::kAsSent;
  std::unique_ptr<codec::GzipDecoder> decoder_;  // While it has not read the whole body.
  std::size_t decode_room_ = 0;                  // What the worker had left for decoded bodies.
  std::string decoded_;
  std::size_t decoded_held_ = 0;            // Its part of the host's count.
  std::string_view allow_origin_;           // Of cors.h, in the settings.
  std::shared_ptr<const access::Key> key_;  // Null where none is asked for.
  access::Share share_;                     // Of the key's limits.

  exchange::ResponseHead response_;
  exchange::ResponseWatch watch_;
  bool failed_try_held_ = false;  // The answer in hand is a 502 or 503.
  std::string held_body_;
  Copy copy_ = Copy::kRaw;
  bool first_token_noted_ = false;
  bool response_noted_ = false;

  bool holds_tunnel_ = false;  // One of the host's.
  bool client_ended_ = false;  // Its FIN went on to the engine.
  net::Buffer to_engine_;      // Read from the client; the engine takes no more of it now.
  std::uint64_t from_client_ = 0;
  net::Timer tunnel_timer_;  // Idle.

  // For metrics, the access log and traces.
  exchange::RequestTrace trace_;
  model::ReplyReason reply_reason_ = model::ReplyReason::kNone;
  std::optional<model::UpstreamFailure> last_failure_;
  std::optional<Time> departed_at_;
  std::optional<Time> first_token_at_;
  std::uint64_t response_bytes_ = 0;
};

}  // namespace fairlead::gateway
