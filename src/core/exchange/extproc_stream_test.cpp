// SPDX-License-Identifier: Apache-2.0
#include "core/exchange/extproc_stream.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "core/exchange/testing/extproc_fixture.h"

namespace fairlead::exchange {
namespace {

constexpr std::string_view kUsageEvent =
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":7}}\n\n";
constexpr std::string_view kTokenEvent =
    "data: {\"model\":\"small\",\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";

TEST_F(ExtProcTest, DuplexRequestGoesThereAndItsAnswerComesBack) {
  begin();
  whole_request();
  auto sent = replies();
  ASSERT_EQ(sent.size(), 2U);
  EXPECT_EQ(sent[0].kind, ReplyKind::kHeaders);
  EXPECT_TRUE(sent[0].clears_route_cache);
  EXPECT_EQ(sent[0].header("x-gateway-destination-endpoint"), "10.0.0.1:8000");
  EXPECT_EQ(sent[0].metadata_endpoints, "10.0.0.1:8000");
  EXPECT_EQ(sent[0].header("content-length"), std::to_string(kBody.size()));
  EXPECT_EQ(sent[0].header("x-request-id"), "made-id");
  EXPECT_EQ(sent[1].body_kind, BodyReplyKind::kStreamed);
  EXPECT_EQ(sent[1].body, kBody);
  EXPECT_TRUE(sent[1].end);
  EXPECT_EQ(port_.model, "small");
  EXPECT_EQ(port_.dispatched, 1);

  response_headers("200", "text/event-stream", false,
                   codec::envoy::served_metadata("10.0.0.2:8000"));
  response_body(kTokenEvent, false);
  response_body(kUsageEvent, false);
  response_body("data: [DONE]\n\n", true);
  sent = replies();
  ASSERT_EQ(sent.size(), 4U);
  EXPECT_EQ(sent[0].header("x-went-into-resp-headers"), "true");
  EXPECT_EQ(sent[1].body, kTokenEvent);
  EXPECT_FALSE(sent[1].end);
  EXPECT_TRUE(sent[3].end);
  EXPECT_EQ(port_.statuses, std::vector<int>{200});
  EXPECT_EQ(port_.served, "10.0.0.2:8000");
  EXPECT_EQ(port_.first_tokens, 1);
  ASSERT_TRUE(port_.usage);
  EXPECT_EQ(port_.usage->completion_tokens, 7U);
  EXPECT_EQ(port_.ends, 1);
  EXPECT_EQ(port_.outcome, model::Outcome::kCompleted);
  EXPECT_EQ(port_.finished, StreamStatus::kOk);
  EXPECT_FALSE(port_.broken_contract);
}

// B.4 trap 7, llm-d's defect 4.
TEST_F(ExtProcTest, PassesOverALastPieceThatEnvoyDeliversAgain) {
  begin();
  request_headers();
  request_body(kBody, true);
  request_body(kBody, true);
  EXPECT_EQ(counters_.repeated_ends, 1U);
  EXPECT_EQ(replies().size(), 2U);
  EXPECT_EQ(port_.decides, 1);
  response_headers();
  response_body(kTokenEvent, true);
  response_body(kTokenEvent, true);
  EXPECT_EQ(replies().size(), 2U);
  EXPECT_EQ(port_.ends, 1);
}

TEST_F(ExtProcTest, CutsABodyIntoPiecesThatEnvoyTakes) {
  begin();
  std::string body(kBody);
  body.insert(body.find("hi"), std::string(3 * kPieceBytesMax, 'x'));
  request_headers();
  for (std::size_t at = 0; at < body.size(); at += 16'384) {
    request_body(std::string_view(body).substr(at, 16'384), false);
  }
  request_body({}, true);
  std::string returned;
  const auto sent = replies();
  ASSERT_EQ(sent.size(), 5U);
  for (std::size_t i = 1; i < sent.size(); ++i) {
    EXPECT_LE(sent[i].body.size(), kPieceBytesMax);
    EXPECT_EQ(sent[i].end, i + 1 == sent.size());
    returned += sent[i].body;
  }
  EXPECT_TRUE(returned == body);
  EXPECT_GT(store_.lent_bytes(), body.size());
  EXPECT_TRUE(port_.drain());
  EXPECT_EQ(store_.lent_bytes(), 0U);
}

// B.4 traps 2 and 3: the close leaves with an empty last piece, or not at all.
TEST_F(ExtProcTest, WithoutResponseProcessingTheStreamEndsWithTheRequest) {
  settings_.response = ResponseProcessing::kNone;
  begin();
  whole_request();
  const auto sent = replies();
  ASSERT_EQ(sent.size(), 3U);
  EXPECT_EQ(sent[1].body, kBody);
  EXPECT_FALSE(sent[1].end);
  EXPECT_EQ(sent[2].body, "");
  EXPECT_TRUE(sent[2].end);
  EXPECT_EQ(port_.finished, StreamStatus::kOk);
  EXPECT_EQ(port_.outcome, model::Outcome::kCompleted);
  EXPECT_EQ(counters_.closed_early, 1U);
}

TEST_F(ExtProcTest, AnAnswerThatBeganKeepsTheStreamOpen) {
  settings_.response = ResponseProcessing::kNone;
  settings_.unknown_path = UnknownPath::kPlacedByLoad;
  begin();
  request_headers({}, false, "/v1/unknown");
  request_body("one", false);
  response_headers("413", "text/plain");
  request_body("two", true);
  EXPECT_FALSE(port_.finished);
  EXPECT_EQ(counters_.kept_open, 1U);
  response_body("too large", true);
  const auto sent = replies();
  ASSERT_EQ(sent.size(), 5U);
  EXPECT_TRUE(sent[3].end);
  EXPECT_EQ(sent[4].body, "too large");
  EXPECT_EQ(port_.finished, StreamStatus::kOk);
  EXPECT_EQ(port_.ends, 1);
}

TEST_F(ExtProcTest, ABufferedBodyIsAnsweredWithTheHeaderChanges) {
  for (const BodySendMode mode : {BodySendMode::kBuffered, BodySendMode::kBufferedPartial}) {
    port_ = RecordingPort();
    port_.attach(stream_);
    begin(mode, BodySendMode::kNone);
    request_headers({{"x-llm-d-inference-objective", "o"}});
    auto sent = replies();
    ASSERT_EQ(sent.size(), 1U);
    EXPECT_TRUE(sent[0].set.empty());
    request_body(kBody, true);
    sent = replies();
    ASSERT_EQ(sent.size(), 1U);
    EXPECT_EQ(sent[0].kind, ReplyKind::kBody);
    EXPECT_EQ(sent[0].body_kind, BodyReplyKind::kKept);
    EXPECT_TRUE(sent[0].clears_route_cache);
    EXPECT_EQ(sent[0].header("x-gateway-destination-endpoint"), "10.0.0.1:8000");
    EXPECT_TRUE(sent[0].removes("x-llm-d-inference-objective"));
    // Envoy keeps the client's length.
    EXPECT_EQ(sent[0].header("content-length"), "");
    EXPECT_FALSE(sent[0].removes("content-length"));
    response_headers();
    EXPECT_EQ(port_.first_tokens, 1);
    stream_.on_gone();
    EXPECT_EQ(port_.outcome, model::Outcome::kCompleted);
  }
}

TEST_F(ExtProcTest, ReadsACutBodyUpToTheCut) {
  settings_.keys.block_bytes = 64;
  std::string body = R"({"model":"small","stream":true,"messages":[{"role":"user","content":")";
  body += std::string(640, 'x');
  begin(BodySendMode::kBufferedPartial, BodySendMode::kNone);
  request_headers();
  request_body(body, false);
  EXPECT_EQ(port_.model, "small");
  EXPECT_GE(port_.keys.size(), 9U);
  stream_.on_gone();
  // A name that was cut is none: it would be an unknown model. What is not shown counts as load.
  begin(BodySendMode::kBufferedPartial, BodySendMode::kNone);
  request_headers({{"content-length", "4027"}});
  request_body(R"({"messages":[],"model":"sma)", false);
  EXPECT_EQ(port_.decides, 2);
  EXPECT_EQ(port_.model, "");
  EXPECT_EQ(stream_.request().inference.prompt_tokens, 1000U);
}

TEST_F(ExtProcTest, DecidesAtTheHeadWhereTheBodyComesTooLate) {
  begin(BodySendMode::kStreamed, BodySendMode::kStreamed);
  request_headers();
  auto sent = replies();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].header("x-gateway-destination-endpoint"), "10.0.0.1:8000");
  request_body("one", false);
  request_body("two", true);
  response_headers();
  response_body(kTokenEvent, true);
  sent = replies();
  ASSERT_EQ(sent.size(), 4U);
  for (const std::size_t body : {0U, 1U, 3U}) {
    EXPECT_EQ(sent[body].kind, ReplyKind::kBody);
    EXPECT_EQ(sent[body].body_kind, BodyReplyKind::kKept);
  }
  EXPECT_EQ(port_.first_tokens, 1);
  EXPECT_EQ(port_.outcome, model::Outcome::kCompleted);

  port_.finished.reset();
  begin(BodySendMode::kNone, BodySendMode::kNone);
  request_headers();
  EXPECT_EQ(port_.dispatched, 2);
  request_body("x", true);
  EXPECT_EQ(faults(ExtProcFault::kBodyNotAsked), 1U);
  EXPECT_EQ(port_.ends, 2);
}

TEST_F(ExtProcTest, RequestsWithoutABodyAreDecidedLikeAllOthers) {
  begin();
  request_headers({}, true, "/v1/models", codec::envoy::subset_metadata({"10.0.0.1"}));
  EXPECT_EQ(port_.decides, 1);
  const auto sent = replies();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].header("x-gateway-destination-endpoint"), "10.0.0.1:8000");
  EXPECT_TRUE(stream_.request().subset->present());
}

// llm-d's defect 3: a WebSocket's body never ends.
TEST_F(ExtProcTest, AWebSocketIsDecidedAtItsHeadAndItsBytesAreEchoed) {
  begin();
  say({.phase = ProcessingPhase::kRequestHeaders,
       .headers = {{":method", "GET"}, {":path", "/v1/realtime?model=voice"}}});
  EXPECT_EQ(port_.model, "voice");
  request_body("frame", false);
  response_headers("101", "");
  response_body("answer", false);
  const auto sent = replies();
  ASSERT_EQ(sent.size(), 4U);
  EXPECT_EQ(sent[1].body, "frame");
  EXPECT_EQ(sent[3].body, "answer");
}

// llm-d's defect 6.
TEST_F(ExtProcTest, ControlHeadersEndHereUnderEveryName) {
  begin();
  const char* const names[] = {"x-llm-d-inference-fairness-id", "x-gateway-inference-objective",
                               "x-slo-ttft-ms", "x-prefiller-host-port",
                               "x-gateway-destination-endpoint-subset"};
  HeaderList headers = {{"x-gateway-destination-endpoint", "6.6.6.6:1"}, {"accept", "a"}};
  for (const char* const name : names) headers.emplace_back(name, "v");
  headers.emplace_back("x-request-id", "client-id");
  request_headers(headers);
  request_body(kBody, true);
  const ExtProcRequest request = stream_.request();
  EXPECT_EQ(request.controls.fairness_id, "v");
  EXPECT_EQ(request.controls.objective, "v");
  const auto sent = replies();
  for (const char* const name : names) EXPECT_TRUE(sent[0].removes(name)) << name;
  EXPECT_FALSE(sent[0].removes("accept"));
  // It is replaced, so it must not be removed besides.
  EXPECT_FALSE(sent[0].removes("x-gateway-destination-endpoint"));
  EXPECT_EQ(sent[0].header("x-gateway-destination-endpoint"), "10.0.0.1:8000");
  EXPECT_EQ(sent[0].header("x-request-id"), "");
  EXPECT_EQ(stream_.request_id(), "client-id");
}

// llm-d's defects 7 and 8.
TEST_F(ExtProcTest, AModelIsRewrittenInPlaceAndBackAcrossPieces) {
  begin();
  request_headers({{"x-gateway-model-name-rewrite", "large/v2"}});
  request_body(kBody.substr(0, 40), false);
  request_body(kBody.substr(40), true);
  EXPECT_EQ(port_.model, "large/v2");
  EXPECT_EQ(port_.client_model, "small");
  auto sent = replies();
  std::string wanted(kBody);
  wanted.replace(wanted.find("small"), 5, "large/v2");
  EXPECT_EQ(sent[1].body, wanted);
  EXPECT_EQ(sent[0].header("content-length"), std::to_string(wanted.size()));

  const std::string event = R"(data: {"model": "large/v2","text":"\"model\":\"large/v2\""})"
                            "\n\n";
  const std::string shown = R"(data: {"model": "small","text":"\"model\":\"large/v2\""})"
                            "\n\n";
  response_headers();
  std::string answer;
  for (const char c : event) response_body({&c, 1}, false);
  response_body("data: {\"model\":\"lar", true);
  sent = replies();
  EXPECT_TRUE(sent[0].removes("content-length"));
  for (std::size_t i = 1; i < sent.size(); ++i) answer += sent[i].body;
  EXPECT_EQ(answer, shown + "data: {\"model\":\"lar");
}

TEST_F(ExtProcTest, ABufferedBodyWithAnotherModelIsReplaced) {
  begin(BodySendMode::kBuffered, BodySendMode::kBuffered);
  request_headers({{"x-llm-d-model-name-rewrite", "b"}});
  request_body(kBody, true);
  response_headers("200", "application/json");
  response_body(R"({"model":"b"})", true);
  const auto sent = replies();
  ASSERT_EQ(sent.size(), 4U);
  EXPECT_EQ(sent[1].body_kind, BodyReplyKind::kReplaced);
  EXPECT_EQ(sent[1].header("content-length"), std::to_string(sent[1].body.size()));
  EXPECT_EQ(sent[3].body, R"({"model":"small"})");
}

// llm-d's defects 10 and 11.
TEST_F(ExtProcTest, ARefusalSaysWhyAndWhenToComeAgain) {
  port_.refusal = model::ReplyReason::kNoEndpoint;
  port_.retry_after = std::chrono::milliseconds(1500);
  begin();
  whole_request();
  const auto sent = replies();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].kind, ReplyKind::kImmediate);
  EXPECT_EQ(sent[0].status, 503);
  EXPECT_EQ(sent[0].header("x-llm-d-request-dropped-reason"), "rejected-no-endpoints");
  EXPECT_EQ(sent[0].header("retry-after"), "2");
  EXPECT_EQ(port_.replied, model::ReplyReason::kNoEndpoint);
  EXPECT_EQ(sent[0].header("content-type"), "application/json");
  EXPECT_NE(sent[0].body.find(R"({"error":)"), std::string::npos);
  EXPECT_EQ(port_.finished, StreamStatus::kOk);
  EXPECT_EQ(port_.outcome, model::Outcome::kRejected);
}

TEST_F(ExtProcTest, TrailersAreAnsweredBehindTheBody) {
  begin();
  request_headers();
  request_body(kBody, false);
  say({.phase = ProcessingPhase::kRequestTrailers, .headers = {{"x", "y"}}});
  auto sent = replies();
  ASSERT_EQ(sent.size(), 3U);
  EXPECT_FALSE(sent[1].end);
  EXPECT_EQ(sent[2].kind, ReplyKind::kTrailers);
  EXPECT_EQ(sent[0].header("content-length"), "");
  response_headers();
  response_body(kTokenEvent, false);
  say({.phase = ProcessingPhase::kResponseTrailers});
  sent = replies();
  ASSERT_EQ(sent.size(), 3U);
  EXPECT_EQ(sent[2].kind, ReplyKind::kTrailers);
  EXPECT_EQ(sent[2].side, ProcessingSide::kResponse);
  EXPECT_EQ(port_.outcome, model::Outcome::kCompleted);
}

TEST_F(ExtProcTest, HeadsAndBodiesBeyondBoundsAreRefused) {
  settings_.body_bytes_max = 1000;
  const auto refused = [&](int status) {
    const auto sent = replies();
    ASSERT_EQ(sent.size(), 1U);
    EXPECT_EQ(sent[0].kind, ReplyKind::kImmediate);
    EXPECT_EQ(sent[0].status, status);
    ASSERT_TRUE(port_.replied);
    EXPECT_EQ(model::http_status(*port_.replied), status);
    port_.replied.reset();
    EXPECT_FALSE(stream_.running());
    port_.finished.reset();
    port_.ends = 0;
  };
  begin();
  request_headers({{"content-length", "1001"}});
  refused(413);
  begin();
  request_headers();
  request_body(std::string(600, ' '), false);
  request_body(std::string(600, ' '), false);
  refused(413);
  begin();
  request_headers({}, false, "/v1/nothing");
  refused(404);
  begin();
  say({.phase = ProcessingPhase::kRequestHeaders,
       .headers = {{":method", "PUT"}, {":path", "/v1/chat/completions"}}});
  refused(405);
  begin();
  request_headers({{"content-encoding", "gzip"}});
  refused(415);
  begin();
  request_headers();
  request_body("{", true);
  refused(400);
  begin();
  request_headers({{"x", std::string(settings_.head_bytes_max, 'x')}});
  refused(431);
}

TEST_F(ExtProcTest, AFullStoreRefusesAndRecovers) {
  BodyStore small({.lent_bytes_max = 8192, .kept_bytes_max = 8192});
  RecordingPort port;
  ExtProcStream stream({desk_, small, counters_}, port);
  port.attach(stream);
  stream.begin(settings_);
  stream.on_message(
      codec::envoy::encode({.phase = ProcessingPhase::kRequestHeaders,
                            .headers = {{":method", "POST"}, {":path", "/v1/completions"}}}));
  stream.on_message(codec::envoy::encode(
      {.phase = ProcessingPhase::kRequestBody, .body = std::string(9000, ' ')}));
  EnvoyReply reply;
  ASSERT_TRUE(codec::envoy::decode(port.messages.at(0), reply));
  EXPECT_EQ(reply.status, 503);
  EXPECT_EQ(reply.header("x-llm-d-request-dropped-reason"), "rejected-saturated");
  EXPECT_EQ(port.replied, model::ReplyReason::kOverloaded);
  stream.clear();
  EXPECT_EQ(small.lent_bytes(), 0U);
}

// Envoy's own answer, as when its timeout is shorter than our queue.
TEST_F(ExtProcTest, AnAnswerBeforeTheDecisionPassesAndTheDecisionIsDropped) {
  first_ = true;
  modes_ = {BodySendMode::kFullDuplexStreamed, BodySendMode::kFullDuplexStreamed};
  stream_later_.begin(settings_);
  const auto tell = [&](const EnvoyMessage& message) {
    stream_later_.on_message(codec::envoy::encode(message));
  };
  tell({.phase = ProcessingPhase::kRequestHeaders,
        .headers = {{":method", "POST"}, {":path", "/v1/chat/completions"}}});
  tell({.phase = ProcessingPhase::kRequestBody, .body = std::string(kBody), .end = true});
  EXPECT_EQ(later_.decides, 1);
  tell({.phase = ProcessingPhase::kResponseHeaders, .headers = {{":status", "504"}}});
  later_.decide();
  tell({.phase = ProcessingPhase::kResponseBody, .body = "timeout", .end = true});
  ASSERT_EQ(later_.messages.size(), 2U);
  EnvoyReply reply;
  ASSERT_TRUE(codec::envoy::decode(later_.messages[1], reply));
  EXPECT_EQ(reply.body, "timeout");
  EXPECT_EQ(later_.outcome, model::Outcome::kTimedOut);
  EXPECT_EQ(later_.statuses.size(), 0U);
  EXPECT_EQ(counters_.foreign_answers, 1U);
}

// llm-d's defect 9.
TEST_F(ExtProcTest, TheStatusOfTheAnswerDecidesItsOutcome) {
  for (const auto& [status, outcome] : {std::pair{"200", model::Outcome::kCompleted},
                                        {"404", model::Outcome::kCompleted},
                                        {"500", model::Outcome::kUpstreamFailed},
                                        {"503", model::Outcome::kUpstreamFailed}}) {
    begin();
    whole_request();
    response_headers(status, "application/json");
    response_body("{}", true);
    EXPECT_EQ(port_.outcome, outcome) << status;
    port_.finished.reset();
    port_.ends = 0;
  }
  EXPECT_EQ(port_.statuses, (std::vector<int>{200, 404, 500, 503}));
}

TEST_F(ExtProcTest, AClientThatLeavesIsNoFailure) {
  begin();
  request_headers();
  stream_.on_gone();
  EXPECT_EQ(port_.outcome, model::Outcome::kClientGone);
  stream_.on_gone();
  EXPECT_EQ(port_.ends, 1);
}

TEST_F(ExtProcTest, WithoutAProtocolConfigurationItIsFullDuplex) {
  begin();
  first_ = false;
  whole_request();
  EXPECT_EQ(replies().size(), 2U);
}

TEST_F(ExtProcTest, CutOffAnswersWhatIsUndecided) {
  begin();
  request_headers();
  stream_.cut_off();
  EXPECT_EQ(replies().at(0).status, 503);
  EXPECT_EQ(port_.replied, model::ReplyReason::kDraining);
  EXPECT_EQ(port_.ends, 1);
}

TEST_F(ExtProcTest, WhatEnvoyMustNotSendEndsTheStream) {
  const auto run = [&](ExtProcFault fault, auto&& play,
                       StreamStatus status = StreamStatus::kInvalidArgument) {
    counters_ = {};
    port_.finished.reset();
    port_.ends = 0;
    begin();
    play();
    expect_fault(fault, status);
    if (stream_.running()) stream_.on_gone();
  };
  run(ExtProcFault::kMalformed, [&] { stream_.on_message("\x0a"); });
  run(ExtProcFault::kUnknownMessage, [&] { say({}); });
  run(ExtProcFault::kBodyBeforeHeaders, [&] { request_body("x", true); });
  run(ExtProcFault::kBodyBeforeHeaders, [&] { say({.phase = ProcessingPhase::kRequestTrailers}); });
  run(ExtProcFault::kSecondRequestHeaders, [&] {
    request_headers();
    request_headers();
  });
  run(ExtProcFault::kRequestAfterEnd, [&] {
    whole_request();
    request_body("x", false);
  });
  run(ExtProcFault::kRequestAfterEnd, [&] {
    whole_request();
    say({.phase = ProcessingPhase::kRequestTrailers});
  });
  run(ExtProcFault::kSecondResponseHeaders, [&] {
    whole_request();
    response_headers();
    response_headers();
  });
  run(ExtProcFault::kResponseBodyBeforeHeaders, [&] {
    whole_request();
    response_body("x", false);
  });
  run(
      ExtProcFault::kUnknownMode,
      [&] {
        modes_.request_body = BodySendMode::kGrpc;
        request_headers();
      },
      StreamStatus::kUnimplemented);
}

}  // namespace
}  // namespace fairlead::exchange
