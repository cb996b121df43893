// SPDX-License-Identifier: Apache-2.0
// An Envoy that plays one HTTP request over an ExtProcStream in any order that the real one can
// produce, and knows what backend and client must have received in the end. The seed of a failure
// is printed; kSeeds of them run, every mode among them.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/random.h"
#include "core/codec/ext_proc_envoy.h"
#include "core/exchange/extproc_stream.h"
#include "core/exchange/testing/recording_port.h"

namespace fairlead::exchange {
namespace {

using codec::BodySendMode;
using codec::ProcessingPhase;
using codec::ProcessingSide;
using codec::envoy::BodyReplyKind;
using codec::envoy::EnvoyMessage;
using codec::envoy::EnvoyReply;
using codec::envoy::ReplyKind;
using testing::RecordingPort;

constexpr std::uint64_t kSeeds = 12'000;
constexpr std::string_view kServedModel = "served-model";

std::string replace_all(std::string text, std::string_view from, std::string_view to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
    text.replace(at, from.size(), to);
  }
  return text;
}

// As the client must see it.
std::string shown(const std::string& text) {
  return replace_all(text, R"("model":"served-model")", R"("model":"m")");
}

std::vector<std::string> cut(Random& random, const std::string& text) {
  std::vector<std::string> pieces;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t most = random.below(4) == 0 ? 70'000 : 40;
    const std::size_t size = std::min(text.size() - at, 1 + random.below(most));
    pieces.push_back(text.substr(at, size));
    at += size;
  }
  return pieces;
}

std::string request_text(Random& random) {
  std::string text = R"({"model":"m","stream":true,"messages":[{"role":"user","content":")";
  text += std::string(random.below(random.below(8) == 0 ? 200'000 : 300), 'p');
  return text + R"("}],"seed":12345678901234567890})";
}

std::string response_text(Random& random) {
  std::string text;
  for (std::uint64_t i = random.below(6); i > 0; --i) {
    text += R"(data: {"model":"served-model","choices":[{"delta":{"content":")" +
            std::string(random.below(random.below(10) == 0 ? 90'000 : 20), 'a') + "\"}}]}\n\n";
  }
  if (random.below(2) == 0) {
    text += "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":7}}\n\n";
  }
  return text;
}

constexpr std::size_t kFirstWindow = 65'535;  // Of HTTP/2.

struct Plan {
  explicit Plan(Random& random);
  codec::ProtocolConfiguration modes;
  ExtProcSettings settings;
  bool bodiless = false;
  bool request_trailers = false;
  bool response_trailers = false;
  bool bodiless_response = false;
  bool rewrites = false;
  bool early_response = false;  // Before the backend has all of the request.
  bool repeats_ends = false;
  bool refused = false;
  bool client_leaves = false;
  std::vector<std::string> request;
  std::vector<std::string> response;
  std::size_t shown_bytes = 0;  // Of the request, in buffered partial.
};

Plan::Plan(Random& random) {
  const auto chance = [&](std::uint64_t one_in) { return random.below(one_in) == 0; };
  const auto mode = [&] { return static_cast<BodySendMode>(random.below(5)); };
  const bool duplex = chance(3);
  modes = {duplex ? BodySendMode::kFullDuplexStreamed : mode(),
           duplex ? BodySendMode::kFullDuplexStreamed : mode()};
  if (chance(3)) settings.response = ResponseProcessing::kNone;
  if (chance(5)) settings.unknown_path = UnknownPath::kPlacedByLoad;
  bodiless = chance(8);
  request_trailers = !bodiless && chance(6);
  bodiless_response = chance(8);
  response_trailers = !bodiless_response && chance(6);
  rewrites = chance(3);
  early_response = chance(5);
  repeats_ends = chance(5);
  refused = chance(10);
  client_leaves = chance(8);
  const std::string body = request_text(random);
  if (!bodiless) request = cut(random, body);
  if (!bodiless_response) response = cut(random, response_text(random));
  shown_bytes = chance(2) ? body.size() : random.below(body.size());
}

class EnvoyModel {
 public:
  EnvoyModel(std::uint64_t seed, ReadingDesk& desk, BodyStore& store, ExtProcCounters& counters)
      : random_(seed),
        plan_(random_),
        port_(random_.below(2) == 0 ? RecordingPort::Decide::kAtOnce
                                    : RecordingPort::Decide::kLater),
        stream_({desk, store, counters}, port_) {
    port_.attach(stream_);
    port_.reported = {{"envoy.lb", "cost", 7}};
    if (plan_.refused) port_.refusal = model::ReplyReason::kNoEndpoint;
    for (const std::string& piece : plan_.request) request_ += piece;
    for (const std::string& piece : plan_.response) response_ += piece;
    stream_.begin(plan_.settings);
  }

  void play();

 private:
  using Mode = BodySendMode;
  bool duplex_request() const { return plan_.modes.request_body == Mode::kFullDuplexStreamed; }
  bool duplex_response() const { return plan_.modes.response_body == Mode::kFullDuplexStreamed; }
  // Else its path is unknown.
  bool reads_body() const { return plan_.settings.unknown_path == UnknownPath::kRefused; }
  static bool buffered(Mode mode) {
    return mode == Mode::kBuffered || mode == Mode::kBufferedPartial;
  }
  // What Envoy would call a spurious message, or lose bytes over.
  void wrong(const char* what) {
    if (fault_.empty()) fault_ = what;
  }

  std::vector<int> possible() const;
  void step(int event);
  void say(EnvoyMessage message);
  void read_replies();
  void on_request_reply(const EnvoyReply& reply);
  void on_response_reply(const EnvoyReply& reply);
  void on_finish();
  void send_request_headers();
  void send_request_body();
  void send_response_body();
  bool request_body_done() const;
  bool response_body_done() const;
  bool backend_reached() const;
  void check() const;

  Random random_;
  Plan plan_;
  RecordingPort port_;
  ExtProcStream stream_;
  std::string fault_;
  std::string request_;
  std::string response_;
  std::size_t read_ = 0;  // Of port_.messages.
  bool first_ = true;
  bool closed_ = false;  // By the server, or by the client's leaving.
  bool left_ = false;

  bool headers_sent_ = false;
  bool headers_answered_ = false;
  std::size_t request_sent_ = 0;  // Pieces.
  bool request_end_sent_ = false;
  bool request_end_returned_ = false;
  bool trailers_sent_ = false;
  bool trailers_answered_ = false;
  std::vector<std::string> request_unanswered_;
  int destinations_ = 0;
  std::string backend_;
  int immediate_ = 0;
  bool repeated_ = false;

  bool response_headers_sent_ = false;
  bool response_headers_answered_ = false;
  std::size_t response_sent_ = 0;
  bool response_end_sent_ = false;
  bool response_end_returned_ = false;
  bool response_trailers_sent_ = false;
  bool response_trailers_answered_ = false;
  std::vector<std::string> response_unanswered_;
  std::string client_;
  int reports_ = 0;  // Of usage, beside a reply.
};

enum Event {
  kRequestHeaders,
  kRequestBody,
  kRequestTrailers,
  kRepeatEnd,
  kResponseHeaders,
  kResponseBody,
  kResponseTrailers,
  kDecide,
  kDrain,
  kLeave,
};

bool EnvoyModel::request_body_done() const {
  if (plan_.bodiless || plan_.modes.request_body == Mode::kNone) return true;
  if (buffered(plan_.modes.request_body)) return request_sent_ > 0;
  return plan_.request_trailers ? request_sent_ == plan_.request.size() : request_end_sent_;
}

bool EnvoyModel::response_body_done() const {
  if (plan_.bodiless_response || plan_.modes.response_body == Mode::kNone) return true;
  if (buffered(plan_.modes.response_body)) return response_sent_ > 0;
  return plan_.response_trailers ? response_sent_ == plan_.response.size() : response_end_sent_;
}

// Whether the upstream request may have been answered.
bool EnvoyModel::backend_reached() const {
  if (destinations_ == 0) return false;
  if (plan_.early_response) return true;
  if (duplex_request()) {
    return plan_.bodiless || request_end_returned_ ||
           (plan_.request_trailers && trailers_answered_);
  }
  if (plan_.request_trailers && !trailers_answered_) return false;
  return request_body_done() && request_unanswered_.empty();
}

std::vector<int> EnvoyModel::possible() const {
  if (closed_ || immediate_ > 0) return {};
  if (!headers_sent_) return {kRequestHeaders};
  std::vector<int> events;
  const bool may_send = duplex_request() || headers_answered_;
  if (may_send && !request_body_done()) events.push_back(kRequestBody);
  if (plan_.request_trailers && !trailers_sent_ && may_send && request_body_done() &&
      (duplex_request() || request_unanswered_.empty())) {
    events.push_back(kRequestTrailers);
  }
  if (plan_.repeats_ends && !repeated_ && duplex_request() && request_end_sent_) {
    events.push_back(kRepeatEnd);
  }
  if (port_.decides > 0 && destinations_ == 0) events.push_back(kDecide);
  if (backend_reached() && !response_headers_sent_) events.push_back(kResponseHeaders);
  const bool may_answer =
      response_headers_sent_ && (duplex_response() || response_headers_answered_);
  if (may_answer && !response_body_done()) events.push_back(kResponseBody);
  if (may_answer && plan_.response_trailers && !response_trailers_sent_ && response_body_done() &&
      (duplex_response() || response_unanswered_.empty())) {
    events.push_back(kResponseTrailers);
  }
  if (!events.empty() && plan_.client_leaves) events.push_back(kLeave);
  if (!events.empty()) events.push_back(kDrain);
  return events;
}

void EnvoyModel::say(EnvoyMessage message) {
  if (first_) message.protocol = plan_.modes;
  first_ = false;
  stream_.on_message(codec::envoy::encode(message));
}

void EnvoyModel::send_request_headers() {
  headers_sent_ = true;
  EnvoyMessage message{.phase = ProcessingPhase::kRequestHeaders,
                       .headers = {{":method", plan_.bodiless ? "GET" : "POST"},
                                   {":path", reads_body() ? "/v1/chat/completions" : "/v1/other"},
                                   {"x-slo-ttft-ms", "1"}},
                       .end = plan_.bodiless};
  if (plan_.rewrites) message.headers.emplace_back("x-llm-d-model-name-rewrite", kServedModel);
  say(std::move(message));
}

void EnvoyModel::send_request_body() {
  EnvoyMessage message{.phase = ProcessingPhase::kRequestBody};
  if (buffered(plan_.modes.request_body)) {
    message.body = request_;
    request_sent_ = plan_.request.size();
    message.end = !plan_.request_trailers;
    if (plan_.modes.request_body == Mode::kBufferedPartial && plan_.shown_bytes < request_.size()) {
      message.body.resize(plan_.shown_bytes);
      message.end = false;
      request_sent_ = 1;
    }
  } else if (request_sent_ < plan_.request.size()) {
    message.body = plan_.request[request_sent_++];
    // The end comes with the last piece, or in a message of its own.
    message.end =
        !plan_.request_trailers && request_sent_ == plan_.request.size() && random_.below(2) == 0;
  } else {
    message.end = true;
  }
  request_end_sent_ = message.end;
  if (!duplex_request()) request_unanswered_.push_back(message.body);
  say(std::move(message));
}

void EnvoyModel::send_response_body() {
  EnvoyMessage message{.phase = ProcessingPhase::kResponseBody};
  if (buffered(plan_.modes.response_body)) {
    message.body = response_;
    message.end = !plan_.response_trailers;
    response_sent_ = 1;
  } else if (response_sent_ < plan_.response.size()) {
    message.body = plan_.response[response_sent_++];
    message.end = !plan_.response_trailers && response_sent_ == plan_.response.size() &&
                  random_.below(2) == 0;
  } else {
    message.end = true;
  }
  response_end_sent_ = message.end;
  response_unanswered_.push_back(message.body);
  say(std::move(message));
}

void EnvoyModel::step(int event) {
  switch (event) {
    case kRequestHeaders:
      return send_request_headers();
    case kRequestBody:
      return send_request_body();
    case kRequestTrailers:
      trailers_sent_ = true;
      return say({.phase = ProcessingPhase::kRequestTrailers, .headers = {{"x", "y"}}});
    case kRepeatEnd:
      repeated_ = true;
      return say(
          {.phase = ProcessingPhase::kRequestBody, .body = plan_.request.back(), .end = true});
    case kResponseHeaders:
      response_headers_sent_ = true;
      return say({.phase = ProcessingPhase::kResponseHeaders,
                  .headers = {{":status", "200"}, {"content-type", "text/event-stream"}},
                  .end = plan_.bodiless_response});
    case kResponseBody:
      return send_response_body();
    case kResponseTrailers:
      response_trailers_sent_ = true;
      return say({.phase = ProcessingPhase::kResponseTrailers});
    case kDecide:
      return port_.decide();
    case kDrain:
      if (!port_.drain()) wrong("lent bytes changed before they left");
      return;
    default:
      left_ = closed_ = true;
      return stream_.on_gone();
  }
}

void EnvoyModel::on_request_reply(const EnvoyReply& reply) {
  if (!reply.header("x-gateway-destination-endpoint").empty()) ++destinations_;
  if (reply.kind == ReplyKind::kTrailers) {
    if (!trailers_sent_ || trailers_answered_) wrong("trailers reply at no trailers");
    trailers_answered_ = true;
    return;
  }
  if (reply.kind == ReplyKind::kHeaders) {
    if (!headers_sent_ || headers_answered_) wrong("headers reply at no headers");
    headers_answered_ = true;
    return;
  }
  if (!headers_answered_) wrong("body reply before the headers'");
  if (trailers_answered_) wrong("body reply behind the trailers'");
  if (duplex_request()) {
    if (reply.body_kind != BodyReplyKind::kStreamed) wrong("not streamed in full duplex");
    if (request_end_returned_) wrong("body reply behind its end");
    if (reply.end && !request_end_sent_) wrong("an end that was not sent");
    backend_ += reply.body;
    request_end_returned_ = reply.end;
    return;
  }
  if (request_unanswered_.empty()) return wrong("body reply at no body");
  if (reply.body_kind == BodyReplyKind::kStreamed) wrong("streamed outside full duplex");
  backend_ +=
      reply.body_kind == BodyReplyKind::kReplaced ? reply.body : request_unanswered_.front();
  request_unanswered_.erase(request_unanswered_.begin());
}

void EnvoyModel::on_response_reply(const EnvoyReply& reply) {
  if (reports_ > 0) wrong("a reply behind the report, which travels with the last one");
  if (!reply.metadata_numbers.empty()) ++reports_;
  if (reply.kind == ReplyKind::kTrailers) {
    if (!response_trailers_sent_ || response_trailers_answered_) wrong("response trailers reply");
    response_trailers_answered_ = true;
    return;
  }
  if (reply.kind == ReplyKind::kHeaders) {
    if (!response_headers_sent_ || response_headers_answered_) wrong("response headers reply");
    response_headers_answered_ = true;
    return;
  }
  if (!response_headers_answered_ || response_trailers_answered_) wrong("response body reply");
  if (duplex_response()) {
    if (reply.body_kind != BodyReplyKind::kStreamed) wrong("response not streamed");
    if (response_end_returned_) wrong("response piece behind the end");
    if (reply.end && !response_end_sent_) wrong("a response end that was not sent");
    client_ += reply.body;
    response_end_returned_ = reply.end;
    return;
  }
  if (response_unanswered_.empty()) return wrong("response body reply at no body");
  client_ +=
      reply.body_kind == BodyReplyKind::kReplaced ? reply.body : response_unanswered_.front();
  response_unanswered_.erase(response_unanswered_.begin());
}

void EnvoyModel::read_replies() {
  const bool reached_before = destinations_ > 0;
  const std::size_t before = backend_.size();
  for (; read_ < port_.messages.size(); ++read_) {
    EnvoyReply reply;
    if (!codec::envoy::decode(port_.messages[read_], reply)) return wrong("no ProcessingResponse");
    if (reply.kind == ReplyKind::kImmediate) {
      ++immediate_;
    } else if (reply.side == ProcessingSide::kRequest) {
      on_request_reply(reply);
    } else {
      on_response_reply(reply);
    }
  }
  // A backend answers when it wants, and Envoy sends the pieces without waiting for replies.
  const bool fits = !duplex_request() || backend_.size() - before < kFirstWindow;
  const bool at_once = !reached_before && fits;
  const bool early = port_.finished && !closed_ && immediate_ == 0 && !response_headers_sent_;
  if (early && duplex_response() && !at_once) wrong("closed while an answer may be on the way");
  if (port_.finished && !closed_) on_finish();
}

// The server closed the stream: what it had and did not return is lost in full duplex, the rest
// goes its way without it.
void EnvoyModel::on_finish() {
  closed_ = true;
  if (port_.finished != StreamStatus::kOk) wrong("closed with an error");
  if (immediate_ > 0) return;
  const bool returned = response_end_returned_ || response_trailers_answered_ ||
                        (!duplex_response() && response_end_sent_);
  const bool answered = returned || (plan_.bodiless_response && response_headers_answered_);
  if (duplex_request() && !plan_.bodiless && !request_end_returned_ && !trailers_answered_ &&
      !answered) {
    wrong("closed before the body was returned");
  }
  if (duplex_response() && response_headers_sent_ && !answered) wrong("closed within the answer");
  for (const std::string& body : request_unanswered_) backend_ += body;
}

void EnvoyModel::check() const {
  EXPECT_EQ(fault_, "");
  EXPECT_EQ(port_.ends, 1);
  EXPECT_FALSE(port_.broken_contract);
  EXPECT_LE(port_.decides, 1);
  EXPECT_EQ(port_.replied.has_value(), immediate_ > 0);
  if (left_) return;
  if (immediate_ > 0) {
    EXPECT_TRUE(plan_.refused);
    EXPECT_EQ(destinations_, 0);
    return;
  }
  EXPECT_EQ(destinations_, 1);
  EXPECT_EQ(port_.dispatched, plan_.early_response ? port_.dispatched : 1);
  if (plan_.early_response) return;  // The backend may have all it wants of the request.
  const Mode mode = plan_.modes.request_body;
  const bool reads = duplex_request() || buffered(mode);
  const bool whole = mode != Mode::kBufferedPartial || plan_.shown_bytes >= request_.size();
  if (plan_.rewrites && reads && !plan_.bodiless && whole && reads_body()) {
    EXPECT_EQ(port_.model, kServedModel);
  }
  std::string wanted = request_;
  const bool replaced = port_.model == kServedModel;
  if (mode == Mode::kBufferedPartial) wanted.resize(std::min(wanted.size(), plan_.shown_bytes));
  if (replaced) wanted = replace_all(wanted, R"("model":"m")", R"("model":"served-model")");
  EXPECT_TRUE(mode == Mode::kNone || plan_.bodiless || backend_ == wanted);
  if (!response_headers_sent_) {
    EXPECT_EQ(plan_.settings.response, ResponseProcessing::kNone);
    EXPECT_EQ(client_, "");
    return;
  }
  if (plan_.modes.response_body == Mode::kNone || plan_.bodiless_response) return;
  std::string answer = response_;
  if (replaced && plan_.modes.response_body == Mode::kStreamed) {
    answer.clear();
    for (const std::string& piece : plan_.response) answer += shown(piece);
  } else if (replaced) {
    answer = shown(response_);
  }
  EXPECT_TRUE(client_ == answer);
  EXPECT_EQ(port_.progress, response_.size());
  // In buffered partial the end may not pass.
  if (plan_.modes.response_body == Mode::kBufferedPartial) return;
  EXPECT_EQ(reports_, port_.usage ? 1 : 0);
}

void EnvoyModel::play() {
  for (std::vector<int> events; !(events = possible()).empty();) {
    const bool leaves = events.size() > 2 && random_.below(30) != 0;
    int event = events[random_.below(events.size())];
    if (event == kLeave && leaves) event = kDrain;
    step(event);
    read_replies();
  }
  if (stream_.running()) stream_.on_gone();
  port_.drain();
  check();
  stream_.clear();
}

TEST(ExtProcModel, EveryOrderThatEnvoyCanProduceDeliversBothBodiesWhole) {
  ReadingDesk desk(std::size_t{4} << 20);
  BodyStore store;
  ExtProcCounters counters;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE(seed);
    EnvoyModel(seed, desk, store, counters).play();
    ASSERT_EQ(store.lent_bytes(), 0U);
    if (HasFailure()) return;
  }
  for (const std::uint64_t faults : counters.faults) EXPECT_EQ(faults, 0U);
  EXPECT_GT(counters.repeated_ends, 0U);
  EXPECT_GT(counters.closed_early, 0U);
  EXPECT_GT(counters.kept_open, 0U);
}

std::string random_message(Random& random) {
  EnvoyMessage message;
  message.phase = static_cast<ProcessingPhase>(random.below(7));
  message.end = random.below(3) == 0;
  if (random.below(4) != 0) message.headers = {{":method", "POST"}, {":path", "/v1/completions"}};
  if (random.below(3) == 0) message.headers.emplace_back(":status", "200");
  if (random.below(4) == 0) message.headers.emplace_back("x-llm-d-model-name-rewrite", "x");
  if (random.below(30) == 0) message.headers.resize(kHeadersMax + 1);
  message.body = random.below(2) == 0 ? R"({"model":"m","prompt":"p"})" : "x";
  if (random.below(20) == 0) message.observability = true;
  std::string bytes = codec::envoy::encode(message);
  if (random.below(20) == 0) bytes.resize(random.below(bytes.size() + 1));
  return bytes;
}

TEST(ExtProcModel, AnyOrderAtAllEndsExactlyOnce) {
  ReadingDesk desk(std::size_t{1} << 20);
  BodyStore store;
  ExtProcCounters counters;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    RecordingPort port(random.below(2) == 0 ? RecordingPort::Decide::kAtOnce
                                            : RecordingPort::Decide::kLater);
    ExtProcStream stream({desk, store, counters}, port);
    port.attach(stream);
    ExtProcSettings settings;
    settings.assumed = {static_cast<BodySendMode>(random.below(6)),
                        static_cast<BodySendMode>(random.below(6))};
    if (random.below(2) == 0) settings.response = ResponseProcessing::kNone;
    stream.begin(settings);
    for (std::uint64_t i = random.below(12); i > 0; --i) {
      stream.on_message(random_message(random));
      if (random.below(4) == 0) port.decide();
      ASSERT_TRUE(random.below(8) != 0 || port.drain());
    }
    random.below(2) == 0 ? stream.on_gone() : stream.on_half_close();
    EXPECT_EQ(port.ends, 1);
    EXPECT_FALSE(port.broken_contract);
    EnvoyReply reply;
    bool immediate = false;
    for (const std::string& message : port.messages) {
      EXPECT_TRUE(codec::envoy::decode(message, reply));
      immediate = immediate || reply.kind == ReplyKind::kImmediate;
    }
    EXPECT_EQ(port.replied.has_value(), immediate);
    stream.clear();
    ASSERT_EQ(store.lent_bytes(), 0U);
    if (HasFailure()) return;
  }
  for (std::size_t fault = 0; fault < kExtProcFaultCount; ++fault) {
    EXPECT_GT(counters.faults[fault], 0U) << to_string(static_cast<ExtProcFault>(fault));
  }
}

}  // namespace
}  // namespace fairlead::exchange
