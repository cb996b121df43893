// SPDX-License-Identifier: Apache-2.0
// ExtProcStream: one ext_proc stream, that is one HTTP request on its way through Envoy, and its
// answer on the way back. A machine without sockets or clocks: whole gRPC messages go in, facts and
// messages come out of a port. The counterpart of the gateway's relay, where a proxy does the
// forwarding and asks only where to.
//
//   kStart ─▶ kCollecting ─▶ kDeciding ─▶ kForwarded ─▶ kOver
//                 │              └▶ reply ──────────────▶ ▲
//                 └ 413, 400, 404 ────────────────────────┘    kForeign: Envoy answers by itself.
//
// Body modes are told by Envoy in the first message (ExtProcSettings::assumed where it does not):
//   full duplex       the body is collected and scanned, then one header reply and the body back in
//                     pieces of kPieceBytesMax, by reference. A request of an unknown path, and
//                     a WebSocket, is decided at its head, and its bytes are echoed.
//   buffered          likewise, but the header changes go into the reply to the body.
//   buffered partial  likewise, of the part that Envoy shows; a cut JSON text is read up to the
//   cut. streamed, none    decided at the head, because Envoy sends the head on before the body.
// A request without a body is decided at its head.
//
// The end. Bytes of a body in full duplex are lost if the stream is closed while Envoy expects them
// back. So it is closed only behind the answer's end; or, with ResponseProcessing::kNone, behind
// the request's last byte, in one write with an empty last piece, unless the answer began before.
// What Envoy must not send is an ExtProcFault: the stream ends with an error status. An answer that
// begins before the request was decided is Envoy's own (a timeout, a filter before this one): it
// passes, and the decision is not used.
//
// Errors: ExtProcFault, and replies of ours to the client. Bounds: ExtProcSettings.
// Threads: the worker's thread. No allocation once warm, but for a body that is larger than all
// before it, and for what takes more than core/exchange/kept_memory.h keeps. Source: Envoy's
// external_processor.proto and ext_proc filter; the endpoint picker protocol of the Gateway API
// inference extension.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "core/codec/ext_proc.h"
#include "core/exchange/body_store.h"
#include "core/exchange/error_reply.h"
#include "core/exchange/model_name_swap.h"
#include "core/exchange/request_facts.h"
#include "core/exchange/request_head.h"
#include "core/exchange/response_relay.h"
#include "core/exchange/route.h"
#include "core/exchange/subset_hint.h"
#include "core/model/request.h"
#include "core/scheduling/picker_config.h"

namespace fairlead::exchange {

// Envoy takes up to 64 KiB a piece; llm-d sends this.
inline constexpr std::size_t kPieceBytesMax = 62'000;
// Of a request and of an answer. Envoy itself takes 100 unless told otherwise.
inline constexpr std::size_t kHeadersMax = 1000;

enum class ResponseProcessing : std::uint8_t {
  kFull,  // The answer passes through the stream: status, first token, usage.
  kNone,  // The stream ends with the request: nothing is learnt, and nothing is spent.
};
// Whether an answer's head tells the client which endpoint Envoy says has answered, which
// conformance tests of gateways ask for.
enum class ServedHeader : std::uint8_t { kOmitted, kTold };
enum class UnknownPath : std::uint8_t {
  kRefused,       // 404
  kPlacedByLoad,  // Forwarded unread, whatever the body is.
};

struct ExtProcSettings {
  ResponseProcessing response = ResponseProcessing::kFull;
  UnknownPath unknown_path = UnknownPath::kRefused;
  // Who may read a body: a known route that none of these claims is an unknown path.
  std::vector<scheduling::ParserKind> parsers{
      scheduling::ParserKind::kOpenAi, scheduling::ParserKind::kAnthropic,
      scheduling::ParserKind::kVllmHttp, scheduling::ParserKind::kSglangHttp};
  ServedHeader served_header = ServedHeader::kOmitted;
  std::size_t head_bytes_max = 64 * 1024;  // Of a request's headers, and of an answer's.
  std::size_t body_bytes_max = std::size_t{64} << 20;  // At most what the ReadingDesk can read.
  std::string request_id_header = "x-request-id";      // Lower case.
  // Of an Envoy that is too old to say. llm-d knows no other.
  codec::ProtocolConfiguration assumed{codec::BodySendMode::kFullDuplexStreamed,
                                       codec::BodySendMode::kFullDuplexStreamed};
  KeySettings keys;
};

// What Envoy must not send. The stream ends with StreamStatus::kInvalidArgument, or kUnimplemented
// for kUnknownMode.
enum class ExtProcFault : std::uint8_t {
  kMalformed,             // No ProcessingRequest, or a broken header map.
  kUnknownMessage,        // Nothing in the oneof, or what this version does not know.
  kUnknownMode,           // A body mode beyond those above, such as gRPC.
  kSecondRequestHeaders,  // Or behind an answer's.
  kBodyBeforeHeaders,     // Of the request; trailers too.
  kBodyNotAsked,          // The mode is none, or a buffered body comes twice.
  kRequestAfterEnd,       // But for a repeated last piece in full duplex, which is passed over.
  kSecondResponseHeaders,
  kResponseBodyBeforeHeaders,  // In full duplex, where Envoy never leaves the head out.
  kResponseBodyNotAsked,
  kResponseHeadTooLarge,  // Beyond what an answer's head may have; see ExtProcSettings.
};
inline constexpr std::size_t kExtProcFaultCount = 11;
std::string_view to_string(ExtProcFault fault);  // snake_case, a metric label.

struct ExtProcCounters {
  std::array<std::uint64_t, kExtProcFaultCount> faults{};
  std::uint64_t repeated_ends = 0;     // A last piece that Envoy delivered again; passed over.
  std::uint64_t foreign_answers = 0;   // Answers that began before the request was decided.
  std::uint64_t observed = 0;          // Streams in observability mode, where no reply counts.
  std::uint64_t closed_early = 0;      // Ended behind the request, by ResponseProcessing::kNone.
  std::uint64_t kept_open = 0;         // Would have been, but the answer had begun, or could have.
  std::uint64_t subsets_too_long = 0;  // Hints beyond SubsetHint::kEntriesMax, which name nobody.
  std::uint64_t swaps_stopped = 0;     // Answers that ModelNameSwap would have multiplied.
};

// Shared by the streams of one worker.
struct ExtProcShared {
  ReadingDesk& desk;
  BodyStore& bodies;
  ExtProcCounters& counters;
};

// A client's control headers, under their names of today or the deprecated ones. Views into the
// stream. Empty: not sent.
struct ExtProcControls {
  std::string_view fairness_id;
  std::string_view objective;
  std::string_view model_rewrite;
};

// A request as the owner decides on it. Views into the stream, valid until its end.
struct ExtProcRequest {
  model::InferenceRequest inference;  // Its model is the one to be served, after a rewrite.
  std::string_view client_model;      // As the client wrote it, decoded; empty without a body read.
  Route route = Route::kNone;
  std::string_view method;
  std::string_view path;  // With its query.
  std::span<const codec::Http1Header> headers;
  ExtProcControls controls;
  const SubsetHint* subset = nullptr;   // Never null.
  std::uint64_t previous_response = 0;  // As RequestFacts has it.
  std::size_t body_bytes = 0;           // As far as it was collected.
  // Of a prompt that is to be tokenized: as what, and its body, valid within on_decide().
  std::optional<tokens::RequestForm> token_form{};
  std::string_view body{};
};

// Where a request goes. All views are copied.
struct ExtProcTarget {
  // host:port[,host:port...], the first choice first; IPv6 in brackets. See append_endpoint().
  std::string_view endpoints;
  std::string_view session_token{};  // Towards the client; empty: none.
  // Of every endpoint that was rated, for Envoy; empty: not told.
  std::span<const codec::NamedNumber> scores{};
  TraceHeaders trace{};
};

// Appends one endpoint to such a list. `host` is without brackets.
void append_endpoint(std::string_view host, std::uint16_t port, std::string& list);

// How the gRPC stream ends, in gRPC's terms.
enum class StreamStatus : std::uint8_t { kOk, kInvalidArgument, kUnimplemented, kUnavailable };

// The owner of a stream. Within on_decide() the stream may be given its decision; within none of
// these calls may it be cleared, begun anew or destroyed. Every begin() is answered by exactly one
// on_end(), which is the last call.
class ExtProcPort {
 public:
  // One message to Envoy: `head` and `body`, one behind the other. Copies both.
  virtual void send(std::string_view head, std::string_view body) = 0;
  // The same; `body` stays where it is until ExtProcStream::on_drained(), clear() or begin().
  virtual void send_stored(std::string_view head, std::string_view body) = 0;
  // Ends the gRPC stream behind everything sent, in the same write.
  virtual void finish(StreamStatus status, std::string_view message) = 0;

  virtual void make_request_id(std::string& out) = 0;
  // Answered by forward() or reply(), within this call or later.
  virtual void on_decide(const ExtProcRequest& request) = 0;
  // Envoy has all of the request that it is to get from here.
  virtual void on_dispatched() = 0;
  // `endpoint`: the one that Envoy says has answered, host:port; empty: it does not say.
  // `status`: 0 when it could not be read. Not called for a foreign answer.
  virtual void on_response_head(int status, std::string_view endpoint) = 0;
  virtual void on_first_token() = 0;
  virtual void on_progress(std::size_t response_bytes) = 0;  // Of one piece.
  virtual void on_usage(const codec::Usage& usage) = 0;      // Once, before on_end().
  // What is to travel with the end of an answer that told its usage, as dynamic metadata; valid
  // until the next call.
  virtual std::span<const codec::MetadataNumber> on_last_piece(const codec::Usage& usage) = 0;
  // The client is answered from here, as the stream found itself or as reply() asked. Before
  // on_end(), once at most.
  virtual void on_reply(model::ReplyReason reason) = 0;
  virtual void on_end(model::Outcome outcome) = 0;

 protected:
  ~ExtProcPort() = default;
};

class ExtProcStream {
 public:
  ExtProcStream(const ExtProcShared& shared, ExtProcPort& port);
  ExtProcStream(const ExtProcStream&) = delete;
  ExtProcStream& operator=(const ExtProcStream&) = delete;

  // A new stream. `settings` outlive it.
  void begin(const ExtProcSettings& settings);
  // One whole message; nothing of it is kept but copies.
  void on_message(std::string_view message);
  // Envoy will send no more.
  void on_half_close();
  // The stream is gone: reset, connection lost, deadline. Nothing can be sent any more.
  void on_gone();
  // Everything sent has left: stored bytes go back.
  void on_drained();
  // Between on_decide() and its answer: the tokens of its prompt.
  void set_tokens(std::span<const std::uint32_t> tokens);
  // The answers to on_decide(). Ignored when the request needs none any more.
  void forward(const ExtProcTarget& target);
  void reply(const ErrorText& error, Duration retry_after = {});
  // Ends it now, if it runs: the time for draining is over.
  void cut_off();
  // Gives back what it holds. After its end and when nothing is on its way to Envoy.
  void clear();

  bool running() const { return phase_ != Phase::kIdle && phase_ != Phase::kOver; }
  // Valid from on_decide() to the end.
  ExtProcRequest request() const;
  const ResponseWatch& response() const { return watch_; }
  int response_status() const { return status_; }
  std::string_view request_id() const { return request_id_; }

 private:
  enum class Phase : std::uint8_t {
    kIdle,
    kStart,
    kCollecting,
    kDeciding,
    kForwarded,
    kForeign,
    kOver,
  };
  // Which reply carries the header changes.
  enum class ChangesIn : std::uint8_t { kHeadersReply, kBodyReply };
  enum class ResponsePhase : std::uint8_t { kNone, kHeaders, kBody };
  // Where bytes lie that are sent: in body_, or in a message that is being read.
  enum class Source : std::uint8_t { kStored, kPassing };
  enum class HeadRead : std::uint8_t { kWhole, kMalformed, kTooLarge };
  using Mode = codec::BodySendMode;
  using Side = codec::ProcessingSide;

  // extproc_stream.cpp: the order of messages, and ends.
  void dispatch(const codec::ProcessingRequest& message);
  bool learn_modes(const codec::ProcessingRequest& message);
  void fault(ExtProcFault fault);
  void end(model::Outcome outcome);
  void finish(StreamStatus status, std::string_view message, model::Outcome outcome);
  void begin_reply(Side side);
  void send_reply() { port_.send(out_, {}); }
  void send_body_reply(Side side);
  void send_trailers(Side side);
  void send_piece(Side side, std::string_view bytes, codec::BodyEnd end, Source source);
  void send_pieces(Side side, std::string_view bytes, codec::BodyEnd end, Source source);

  // extproc_request.cpp: the request, up to its decision.
  void on_request_headers(const codec::ProcessingRequest& message);
  void on_request_body(const codec::ProcessingRequest& message);
  void on_request_trailers();
  bool read_head(std::string_view map);
  static HeadRead read_headers(std::string_view map, codec::Http1Headers& headers);
  bool refuse_large_head();
  void match_route();
  void read_controls();
  void read_subset(std::string_view metadata);
  std::string_view header(std::string_view name) const {
    return codec::header_value(headers_, name);
  }
  bool refuse_head();
  std::uint64_t announced_bytes() const;
  std::uint64_t unread_bytes(std::size_t shown) const;
  bool decides_at_head() const;
  bool store(std::string_view bytes);
  void duplex_body(std::string_view bytes);
  void replied_body(std::string_view bytes);
  void read_body_and_decide(std::string_view body);
  codec::ScanStatus read_facts(std::string_view body);
  bool rewrite_model();
  void decide_at_head();
  void decide(std::string_view body);
  bool is_full_duplex() const { return request_mode_ == Mode::kFullDuplexStreamed; }
  bool is_buffered() const {
    return request_mode_ == Mode::kBuffered || request_mode_ == Mode::kBufferedPartial;
  }

  // extproc_forward.cpp: what Envoy is told of the decision.
  void build_changes(const ExtProcTarget& target);
  void set_length();
  void set_trace(const TraceHeaders& trace);
  bool is_set(std::string_view name) const;
  void send_decision(const ExtProcTarget& target);
  void send_body_replies();
  void send_request_bytes(std::string_view bytes, Source source);
  bool request_complete() const;
  void conclude_request();
  bool closes_early() const;
  bool leaves_at_once() const;

  // extproc_response.cpp: the answer.
  void on_response_headers(const codec::ProcessingRequest& message);
  void on_response_body(const codec::ProcessingRequest& message);
  void on_response_trailers();
  void begin_response();
  void begin_last_piece();
  void tell_served(std::string_view endpoint);
  bool read_response_head(std::string_view map);
  int read_status() const;
  void watch(std::string_view bytes);
  void swap_names(std::string_view bytes, HoldBack hold);
  void pass_piece(std::string_view bytes, codec::BodyEnd end);
  void reply_to_piece(std::string_view bytes);
  void note_first_token();
  void response_done();
  bool rest_is_unseen() const;
  model::Outcome outcome_of_response() const;
  model::Outcome outcome_if_gone() const;

  ExtProcShared shared_;
  ExtProcPort& port_;
  const ExtProcSettings* settings_ = nullptr;
  Phase phase_ = Phase::kIdle;
  bool modes_known_ = false;
  Mode request_mode_ = Mode::kFullDuplexStreamed;
  Mode response_mode_ = Mode::kFullDuplexStreamed;

  // The request.
  std::string head_;  // The serialized header map; the next are views into it.
  codec::Http1Headers headers_;
  std::string_view method_;
  std::string_view path_;
  ExtProcControls controls_;
  std::string request_id_;
  RouteMatch match_;
  SubsetHint subset_;
  RequestFacts facts_;
  StoredBody body_;
  std::string model_;  // Of a WebSocket's query.
  std::size_t body_bytes_ = 0;
  bool ended_at_head_ = false;
  bool request_ended_ = false;  // Envoy's last message of the request was seen.
  bool body_seen_ = false;
  bool trailers_due_ = false;     // They want a reply.
  std::uint32_t bodies_due_ = 0;  // Likewise, in the modes that want one for each.
  bool collected_ = false;        // The decision was made on the body.
  bool dispatched_ = false;
  bool in_parts_ = false;  // Something of it left after its decision.

  // Towards Envoy.
  codec::Http1Headers set_;
  std::vector<std::string_view> remove_;
  std::string length_;  // Content-Length.
  std::string session_token_;
  std::string trace_parent_;
  std::string out_;
  std::string piece_;
  std::string last_metadata_;  // Serialized, for the answer's last reply.

  // The answer.
  ResponsePhase response_phase_ = ResponsePhase::kNone;
  int status_ = 0;
  codec::Http1ResponseHead response_head_;
  ResponseWatch watch_;
  ModelNameSwap swap_;
  std::string served_;  // The header that tells it.
  bool first_token_noted_ = false;
};

}  // namespace fairlead::exchange
