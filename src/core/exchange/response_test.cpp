// SPDX-License-Identifier: Apache-2.0
// The answer's side: its head, what passes, the retry rule, errors and the access line.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/codec/http1_body.h"
#include "core/codec/json_cursor.h"
#include "core/exchange/access_record.h"
#include "core/exchange/error_reply.h"
#include "core/exchange/response_head.h"
#include "core/exchange/response_relay.h"

namespace fairlead::exchange {
namespace {

using model::ReplyReason;

codec::Http1ResponseHead parsed(const std::string& text, codec::Http1ResponseParser& parser) {
  EXPECT_EQ(parser.parse(text, codec::ResponseTo::kOther), codec::Http1Progress::kComplete);
  return parser.head();
}

TEST(ResponseHead, OutlivesTheConnectionsBufferAndSaysWhereItCameFrom) {
  codec::Http1ResponseParser parser;
  std::string text =
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
      "X-Fairlead-Endpoint: forged\r\nx-session-token: forged\r\nX-Request-Id: theirs\r\n"
      "Keep-Alive: timeout=5\r\nserver: uvicorn\r\nConnection: X-Hop\r\nx-hop: 1\r\n\r\n";
  ResponseHead head;
  EXPECT_FALSE(head.held());
  head.hold(parsed(text, parser), {"gpu-0", "Z3B1LTA=", "x-request-id", "id-1"});
  text.assign(text.size(), '#');
  std::string seen;
  for (const codec::Http1Header& header : head.headers()) {
    seen += std::string(header.name) + "=" + std::string(header.value) + "\n";
  }
  EXPECT_EQ(seen,
            "Content-Type=text/event-stream\nserver=uvicorn\nx-request-id=id-1\n"
            "x-fairlead-endpoint=gpu-0\nx-session-token=Z3B1LTA=\n");
  EXPECT_EQ(head.status(), 200);
  EXPECT_EQ(head.body(), codec::BodyFraming::chunked());
  head.clear();
  EXPECT_FALSE(head.held());
  EXPECT_TRUE(head.headers().empty());
}

// Feeds a chunked body cut into pieces of `step` bytes, as a connection would.
class Watched : public ::testing::Test {
 protected:
  void begin(const std::string& content_type, Route route = Route::kChatCompletions) {
    codec::Http1ResponseParser parser;
    const std::string text = "HTTP/1.1 200 OK\r\nContent-Type: " + content_type +
                             "\r\nTransfer-Encoding: chunked\r\n\r\n";
    watch_.begin(parsed(text, parser), route);
    body_.reset(codec::BodyFraming::chunked());
  }
  void feed(std::string_view raw) {
    std::vector<std::string_view> pieces;
    EXPECT_EQ(body_.walk(raw, pieces), raw.size());
    watch_.feed(raw, pieces);
  }

  ResponseWatch watch_;
  codec::Http1BodyReader body_;
};

TEST_F(Watched, TellsTheFirstTokenAndUsageHoweverTheStreamIsCut) {
  const std::string events[] = {
      "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
      "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n",
      "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2,"
      "\"prompt_tokens_details\":{\"cached_tokens\":4}}}\n\ndata: [DONE]\n\n"};
  for (const std::size_t step : {1U, 7U, 4096U}) {
    begin("text/event-stream; charset=utf-8");
    for (int i = 0; i < 3; ++i) {
      char size[16];
      std::snprintf(size, sizeof size, "%zx\r\n", events[i].size());
      const std::string raw = size + events[i] + "\r\n";
      for (std::size_t at = 0; at < raw.size(); at += step) {
        feed(std::string_view(raw).substr(at, step));
      }
      EXPECT_EQ(watch_.first_token(), i > 0) << step;
      EXPECT_TRUE(watch_.between_events()) << step;
      EXPECT_TRUE(watch_.between_chunks()) << step;
    }
    ASSERT_TRUE(watch_.facts().usage.has_value());
    EXPECT_EQ(watch_.facts().usage->cached_tokens, 4U);
    EXPECT_TRUE(watch_.facts().done);
  }
}

TEST_F(Watched, AnEventFitsOnlyBetweenEventsAndBetweenChunks) {
  begin("text/event-stream");
  EXPECT_TRUE(watch_.between_events() && watch_.between_chunks());
  feed("1");  // Of a chunk's size.
  EXPECT_FALSE(watch_.between_chunks());
  feed("0\r\ndata: {}\n");
  EXPECT_FALSE(watch_.between_events());
  EXPECT_FALSE(watch_.between_chunks());
  feed("\n12345");
  EXPECT_FALSE(watch_.between_events());
  feed("\n");
  EXPECT_FALSE(watch_.between_chunks());
  begin("text/event-stream");
  feed("a\r\ndata: {}\n\n");
  EXPECT_TRUE(watch_.between_events());
  EXPECT_FALSE(watch_.between_chunks()) << "the chunk's CRLF is missing";
  feed("\r");
  EXPECT_FALSE(watch_.between_chunks());
  feed("\n");
  EXPECT_TRUE(watch_.between_chunks());
  feed("2\r\n\r");
  EXPECT_FALSE(watch_.between_chunks());
}

TEST_F(Watched, CarriageReturnsDoNotHideTheEndOfAnEvent) {
  begin("text/event-stream");
  feed("c\r\ndata: {}\r\n\r\n\r\n");
  EXPECT_TRUE(watch_.between_events());
}

TEST_F(Watched, TellsTheFirstTokenOfTypedStreams) {
  const auto chunk = [&](const std::string& event) {
    char size[16];
    std::snprintf(size, sizeof size, "%zx\r\n", event.size());
    feed(size + event + "\r\n");
  };
  begin("text/event-stream", Route::kMessages);
  chunk(
      "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{"
      "\"input_tokens\":15,\"output_tokens\":0}}}\n\n");
  EXPECT_FALSE(watch_.first_token());
  chunk(
      "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{"
      "\"type\":\"text_delta\",\"text\":\"x\"}}\n\n");
  EXPECT_TRUE(watch_.first_token());
  begin("text/event-stream", Route::kResponses);
  chunk("data: {\"type\":\"response.created\",\"response\":{\"error\":null}}\n\n");
  EXPECT_FALSE(watch_.first_token());
  chunk("data: {\"delta\":\"x\",\"type\":\"response.output_text.delta\"}\n\n");
  EXPECT_TRUE(watch_.first_token());
  EXPECT_FALSE(watch_.facts().error);
}

TEST_F(Watched, SpeechTellsOnlyTheFirstByte) {
  begin("text/event-stream", Route::kSpeech);
  EXPECT_FALSE(watch_.first_token());
  feed("3\r\n: x\r\n");
  EXPECT_TRUE(watch_.first_token());
  begin("application/json");
  EXPECT_EQ(watch_.form(), ResponseForm::kJson);
  feed("12\r\n{\"error\":{\"a\":1}}\n\r\n");
  EXPECT_TRUE(watch_.facts().error);
}

TEST(RetryRule, NeedsAnUntouchedClientAndABufferedBody) {
  EXPECT_EQ(replay_rule(ClientSaw::kNothing, 10, 10), picker::Replay::kPossible);
  EXPECT_EQ(replay_rule(ClientSaw::kNothing, 11, 10), picker::Replay::kImpossible);
  EXPECT_EQ(replay_rule(ClientSaw::kBytes, 1, 10), picker::Replay::kImpossible);
  EXPECT_TRUE(is_failed_try(502) && is_failed_try(503));
  EXPECT_FALSE(is_failed_try(500) || is_failed_try(504) || is_failed_try(429));
  EXPECT_EQ(failure_of_status(500), model::UpstreamFailure::kInternalError);
  EXPECT_EQ(failure_of_status(503), model::UpstreamFailure::kServerError);
  EXPECT_FALSE(failure_of_status(404).has_value());
}

TEST(ErrorReply, EveryReasonHasAStatusASentenceAndOpenAisShape) {
  for (int i = 1; i <= static_cast<int>(ReplyReason::kRequestTimeout); ++i) {
    const auto reason = static_cast<ReplyReason>(i);
    const int status = model::http_status(reason);
    EXPECT_GE(status, 400);
    EXPECT_LE(status, 504);
    EXPECT_TRUE(default_message(reason).ends_with('.'));
    std::string body;
    append_error({reason, {}, {}}, ErrorShape::kOpenAi, body);
    EXPECT_TRUE(body.starts_with(R"({"error":{"message":")")) << body;
    EXPECT_NE(body.find(status < 500 ? "_error\"" : "\"server_error\""), std::string::npos);
    codec::JsonIndex index(4096);
    EXPECT_EQ(index.build(body), codec::JsonFault::kNone);
  }
  std::string body;
  append_error({ReplyReason::kUnknownModel, "no \"x\"", {}}, ErrorShape::kOpenAi, body);
  EXPECT_EQ(body, R"({"error":{"message":"no \"x\"","type":"invalid_request_error",)"
                  R"("param":"model","code":"model_not_found"}})");
  body.clear();
  append_error_event({ReplyReason::kUpstreamFailed, "m", {}}, ErrorShape::kOpenAi, body);
  EXPECT_EQ(body,
            "data: {\"error\":{\"message\":\"m\",\"type\":\"server_error\",\"param\":null,"
            "\"code\":\"upstream_failed\"}}\n\n");
}

TEST(ErrorReply, HasAnthropicsShapeOnItsRoutes) {
  EXPECT_EQ(error_shape(Route::kMessages), ErrorShape::kAnthropic);
  EXPECT_EQ(error_shape(Route::kCountTokens), ErrorShape::kAnthropic);
  EXPECT_EQ(error_shape(Route::kResponses), ErrorShape::kOpenAi);
  const std::pair<ReplyReason, std::string_view> types[] = {
      {ReplyReason::kBadRequest, "invalid_request_error"},
      {ReplyReason::kUnknownModel, "not_found_error"},
      {ReplyReason::kTooLarge, "request_too_large"},
      {ReplyReason::kFilteredOut, "rate_limit_error"},
      {ReplyReason::kUpstreamFailed, "api_error"},
      {ReplyReason::kNoEndpoint, "overloaded_error"},
      {ReplyReason::kUpstreamTimeout, "timeout_error"}};
  for (const auto& [reason, type] : types) {
    std::string body;
    append_error({reason, "m\"", {}}, ErrorShape::kAnthropic, body);
    EXPECT_EQ(body, R"({"type":"error","error":{"type":")" + std::string(type) +
                        R"(","message":"m\""}})");
  }
  std::string event;
  append_error_event({ReplyReason::kUpstreamFailed, "m", {}}, ErrorShape::kAnthropic, event);
  EXPECT_EQ(event,
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\","
            "\"message\":\"m\"}}\n\n");
}

TEST(ErrorReply, RetryAfterIsRoundedUpAndOnlyWhereItHelps) {
  EXPECT_EQ(retry_after_seconds(ReplyReason::kNoEndpoint, std::chrono::milliseconds(1200)), 2U);
  EXPECT_EQ(retry_after_seconds(ReplyReason::kOverloaded, {}), 1U);
  EXPECT_EQ(retry_after_seconds(ReplyReason::kFilteredOut, std::chrono::seconds(3)), 3U);
  EXPECT_EQ(retry_after_seconds(ReplyReason::kBadRequest, std::chrono::seconds(3)), 0U);
  EXPECT_EQ(retry_after_seconds(ReplyReason::kUpstreamFailed, std::chrono::seconds(3)), 0U);
}

TEST(AccessRecord, WritesEveryFieldWithNullForWhatIsNotKnown) {
  std::string line;
  AccessRecord record;
  record.path = "/nowhere";
  record.status = 404;
  record.outcome = model::Outcome::kRejected;
  record.reply_reason = ReplyReason::kNotFound;
  append_access_line(record, line);
  EXPECT_EQ(line,
            R"({"time":0,"request_id":null,"client":null,"tenant":null,"method":null,)"
            R"("path":"/nowhere","route":"none","model":null,"status":404,"outcome":"rejected",)"
            R"("reply_reason":"not_found","endpoint":null,"reason":null,"candidates":null,)"
            R"("prompt_tokens":null,"predicted_cached_tokens":null,"attempts":0,)"
            R"("last_failure":null,"stream":false,"usage":null,"request_bytes":0,)"
            R"("response_bytes":0,"queue_ms":null,"ttft_ms":null,"total_ms":0})");
  record.unix_seconds = 1700000000.1234;
  record.path = std::string_view("x");
  const std::string long_path(1000, 'p');
  record.path = long_path;
  record.endpoint = "gpu-0";
  record.decision = picker::Decision{{1, 1}, scheduling::Reason::kPrefix, 1, 0, 8, 300, 256, 2};
  record.last_failure = model::UpstreamFailure::kConnectRefused;
  record.usage = codec::Usage{9, 2, std::nullopt};
  record.first_token = std::chrono::microseconds(1500);
  line.clear();
  append_access_line(record, line);
  EXPECT_NE(line.find(R"("time":1700000000.123,)"), std::string::npos) << line;
  EXPECT_NE(line.find(std::string(256, 'p') + "\","), std::string::npos);
  EXPECT_EQ(line.find(std::string(257, 'p')), std::string::npos);
  EXPECT_NE(line.find(R"("endpoint":"gpu-0","reason":"prefix","candidates":8,)"
                      R"("prompt_tokens":300,"predicted_cached_tokens":256,"attempts":2,)"
                      R"("last_failure":"connect_refused")"),
            std::string::npos)
      << line;
  EXPECT_NE(line.find(R"("usage":{"prompt_tokens":9,"cached_tokens":null,"output_tokens":2})"),
            std::string::npos)
      << line;
  EXPECT_NE(line.find(R"("ttft_ms":1.5,)"), std::string::npos) << line;
}

}  // namespace
}  // namespace fairlead::exchange
