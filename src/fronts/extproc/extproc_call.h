// SPDX-License-Identifier: Apache-2.0
// ExtProcCall: one ext_proc stream as a gRPC call: it carries messages between the call and the
// machine that understands them (exchange::ExtProcStream), and the machine's facts to the picker.
//
//   Envoy ─ GrpcCall ─▶ ExtProcStream ─ on_decide ─▶ Picker ─ on_action ─▶ forward, reply ─▶ Envoy
//
// The call and the request on it end apart: a request is over with the last byte of its answer, or
// with its own last byte where the answer is not watched; the call when its status has left.
// When Envoy takes less than kPendingBytesHigh, it is not listened to until it took all.
// Threads: the worker's thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/exchange/access_record.h"
#include "core/exchange/extproc_stream.h"
#include "core/exchange/request_trace.h"
#include "core/picker/picker.h"
#include "fronts/extproc/call_host.h"
#include "io/net/grpc_call.h"

namespace fairlead::extproc {

inline constexpr std::size_t kPendingBytesHigh = std::size_t{1} << 20;

class ExtProcCall final : public net::GrpcCallObserver,
                          private exchange::ExtProcPort,
                          private net::TurnTask {
 public:
  explicit ExtProcCall(CallHost& host);

  void begin(net::GrpcCall& call);
  void on_action(const picker::Action& action);
  // Ends the stream now, if one runs.
  void cut_off() { stream_.cut_off(); }

  void on_message(std::string_view message) override;
  void on_half_close() override { stream_.on_half_close(); }
  void on_drained() override;
  void on_done() override;
  void on_gone(net::GrpcGone gone) override;

 private:
  // exchange::ExtProcPort
  void send(std::string_view head, std::string_view body) override;
  void send_stored(std::string_view head, std::string_view body) override;
  void finish(exchange::StreamStatus status, std::string_view message) override;
  void make_request_id(std::string& out) override { host_.make_request_id(out); }
  void on_decide(const exchange::ExtProcRequest& request) override;
  void on_dispatched() override;
  void on_response_head(int status, std::string_view endpoint) override;
  void on_first_token() override;
  void on_progress(std::size_t response_bytes) override;
  void on_usage(const codec::Usage& usage) override;
  std::span<const codec::MetadataNumber> on_last_piece(const codec::Usage& usage) override;
  void on_reply(model::ReplyReason reason) override;
  void on_end(model::Outcome outcome) override;
  void on_turn_end() override;

  void reset();
  void release();
  model::InferenceRequest inference(const exchange::ExtProcRequest& request);
  void restrict_to_subset(const exchange::SubsetHint& subset);
  void find_holder(std::uint64_t previous_response);
  EppCells& cells_of(const exchange::ExtProcRequest& request) const;
  void tokenize(const exchange::ExtProcRequest& request);
  void pick(const exchange::ExtProcRequest& request);
  void forward(const picker::Decision& decision);
  void rebind(std::string_view endpoint);
  void count_failure(int status);
  void note_response();
  void note_token_interval(Time now);
  void observe_end(model::Outcome outcome, Time now);
  // extproc_records.cpp: what is told of a request when it has ended.
  void begin_trace();
  exchange::TraceHeaders trace_headers(const model::Endpoint& chosen,
                                       const picker::Decision& decision);
  exchange::AccessRecord access_record(int status, model::Outcome outcome) const;
  void write_records(int status, model::Outcome outcome);
  void hold_when_full();
  Duration lasted() const { return host_.loop().now() - began_; }

  CallHost& host_;
  exchange::ExtProcStream stream_;
  net::GrpcCall* call_ = nullptr;
  bool held_ = false;
  bool finished_ = false;  // Its status is on the way.
  std::shared_ptr<const router::Generation> generation_;
  std::shared_ptr<const exchange::ExtProcSettings> settings_;

  // The request.
  EppCells* cells_ = nullptr;  // From its decision to its end.
  picker::RequestId id_;
  bool has_id_ = false;
  std::optional<router::PromptDesk::Ticket> tokenizing_;
  bool forwarded_ = false;     // An endpoint was named to Envoy, and nobody has taken it back.
  bool dispatch_due_ = false;  // The history has not been told.
  std::string endpoints_;      // As Envoy is told; scratch, as the next.
  std::string session_token_;
  std::vector<std::uint32_t> subset_slots_;
  std::shared_ptr<const model::PoolSnapshot> pool_;  // While it is decided.
  std::int32_t priority_ = 0;
  bool prefers_cached_ = false;
  bool subset_given_ = false;
  std::optional<model::EndpointRef> holder_;
  std::vector<model::RequestHeader> headers_;
  Time began_{};
  Time deciding_at_{};
  std::optional<Time> decided_at_;
  std::string endpoint_;  // The name of the one that serves it.
  exchange::RequestTrace trace_;

  // The answer.
  model::ReplyReason reply_reason_ = model::ReplyReason::kNone;
  std::optional<model::UpstreamFailure> failure_;  // By its status.
  bool response_noted_ = false;
  std::optional<Time> first_token_at_;
  Time last_piece_at_{};
  std::uint64_t response_bytes_ = 0;
  Duration response_took_{};  // Of our own time.
  std::optional<codec::Usage> usage_;
};

}  // namespace fairlead::extproc
