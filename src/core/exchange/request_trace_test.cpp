// SPDX-License-Identifier: Apache-2.0
#include "core/exchange/request_trace.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>

namespace fairlead::exchange {
namespace {

using codec::TraceHeader;
using Sent = TraceHeaders::Sent;
using namespace std::chrono_literals;

constexpr std::string_view kParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03";
constexpr std::string_view kUnsampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

class RequestTraceTest : public ::testing::Test {
 protected:
  bool begin(const codec::Http1Headers& headers, double ratio) {
    context_ = trace_.begin(headers, ratio, random_);
    return trace_.recording();
  }
  TraceHeaders first_try() {
    picker::Decision decision;
    decision.attempts = 1;
    return trace_.begin_try(decision, "a", "10.0.0.1", 8000, Time(2s));
  }
  static AccessRecord record() {
    AccessRecord record;
    record.unix_seconds = 1'700'000'000;
    record.method = "POST";
    record.path = "/v1/chat/completions";
    record.route = Route::kChatCompletions;
    record.status = 200;
    return record;
  }

  Random random_{7};
  RequestTrace trace_;
  codec::TraceContext context_;
};

TEST_F(RequestTraceTest, TheCallerDecidesWhereItSays) {
  EXPECT_TRUE(begin({{"traceparent", kParent}}, 0));
  EXPECT_FALSE(begin({{"traceparent", kUnsampled}}, 1));
  EXPECT_EQ(trace_.headers().parent, Sent::kKept);
  EXPECT_EQ(trace_.headers().state, Sent::kKept);
}

TEST_F(RequestTraceTest, TheRatioDecidesForANewTrace) {
  EXPECT_FALSE(begin({}, 0));
  EXPECT_EQ(trace_.headers().parent, Sent::kKept);
  EXPECT_TRUE(begin({}, 1));
  int sampled = 0;
  for (int i = 0; i < 10'000; ++i) sampled += begin({}, 0.25) ? 1 : 0;
  EXPECT_NEAR(sampled, 2500, 200);
}

TEST_F(RequestTraceTest, AMalformedContextEndsHereAndTheTraceBeginsAnew) {
  const codec::Http1Headers headers{{"traceparent", "00-nope"}, {"tracestate", "a=1"}};
  EXPECT_FALSE(begin(headers, 0));
  EXPECT_EQ(context_.parent_header, TraceHeader::kInvalid);
  EXPECT_EQ(trace_.headers().parent, Sent::kDropped);
  EXPECT_EQ(trace_.headers().state, Sent::kDropped);
  EXPECT_TRUE(trace_.headers().own_parent.empty());
  ASSERT_TRUE(begin(headers, 1));
  EXPECT_TRUE(first_try().own_parent.ends_with("-03"));
  EXPECT_EQ(trace_.end(record(), "http", Time(1s), Time(3s)).json.find("parentSpanId\":\"0000"),
            std::string::npos);
}

TEST_F(RequestTraceTest, AMalformedStateEndsHereAlone) {
  ASSERT_TRUE(begin({{"traceparent", kParent}, {"tracestate", "?"}}, 0));
  EXPECT_EQ(context_.state_header, TraceHeader::kInvalid);
  EXPECT_EQ(first_try().state, Sent::kDropped);
  ASSERT_FALSE(begin({{"traceparent", kUnsampled}, {"tracestate", "?"}}, 0));
  EXPECT_EQ(trace_.headers().parent, Sent::kKept);
  EXPECT_EQ(trace_.headers().state, Sent::kDropped);
}

TEST_F(RequestTraceTest, EnginesGetTheTrysSpanAsParent) {
  ASSERT_TRUE(begin({{"traceparent", kParent}, {"tracestate", "a=1"}}, 0));
  const std::string first(first_try().own_parent);
  EXPECT_EQ(trace_.headers().parent, Sent::kDropped);
  EXPECT_EQ(trace_.headers().state, Sent::kKept);
  EXPECT_TRUE(first.starts_with("00-0af7651916cd43dd8448eb211c80319c-"));
  EXPECT_TRUE(first.ends_with("-03"));
  const std::string second(first_try().own_parent);
  EXPECT_NE(first, second);
  const codec::OtlpSpans spans = trace_.end(record(), "http", Time(1s), Time(3s));
  EXPECT_EQ(spans.count, 3U);
  for (const std::string& parent : {first, second}) {
    EXPECT_NE(
        spans.json.find("\"spanId\":\"" + parent.substr(36, 16) + "\",\"traceState\":\"a=1\""),
        std::string::npos);
  }
}

std::string text(std::string_view key, std::string_view value) {
  return fmt::format(R"({{"key":"{}","value":{{"stringValue":"{}"}}}})", key, value);
}
std::string integer(std::string_view key, int value) {
  return fmt::format(R"({{"key":"{}","value":{{"intValue":"{}"}}}})", key, value);
}

constexpr char kName[] = R"("name":"POST /v1/chat/completions","kind":)";

// The span ids are those of the seed.
TEST_F(RequestTraceTest, WritesTheRequestAndItsTriesByteForByte) {
  random_ = Random(1);
  ASSERT_TRUE(begin({{"traceparent", kParent}}, 0));
  picker::Decision decision;
  decision.candidates = 2;
  decision.prompt_tokens = 100;
  decision.cached_tokens = 64;
  decision.total = 1.5F;
  decision.attempts = 1;
  trace_.begin_try(decision, "gpu-0", "10.0.0.7", 8000, Time(1500ms));
  trace_.on_resent();
  trace_.end_try(Time(2s), model::UpstreamFailure::kConnectRefused);
  decision.attempts = 2;
  trace_.begin_try(decision, "gpu-1", "10.0.0.8", 8001, Time(2s));
  trace_.on_status(200);
  trace_.on_first_token(Time(2500ms));
  AccessRecord ended = record();
  ended.unix_seconds = 1'700'000'003.5;
  ended.client_address = "10.1.1.1";
  ended.request_id = "id-1";
  ended.tenant = "team";
  ended.model = "m";
  ended.decision = decision;
  ended.usage = codec::Usage{.prompt_tokens = 101, .completion_tokens = 7, .cached_tokens = 64};
  Random twin(1);
  std::string span;
  std::string first;
  std::string second;
  codec::append_span_id(span, twin.next());
  codec::append_span_id(first, twin.next());
  codec::append_span_id(second, twin.next());
  const std::string trace = R"({"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":")";
  const std::string decided = text("fairlead.decision.reason", "only_candidate") + "," +
                              integer("fairlead.decision.candidates", 2) + "," +
                              integer("fairlead.decision.prompt_tokens", 100) + "," +
                              integer("fairlead.decision.predicted_cached_tokens", 64) +
                              R"(,{"key":"fairlead.decision.total","value":{"doubleValue":1.5}})"
                              R"(,{"key":"fairlead.decision.runner_up","value":{"doubleValue":0}})";
  const codec::OtlpSpans spans = trace_.end(ended, "https", Time(1s), Time(4s));
  EXPECT_EQ(
      spans.json,
      trace + span + R"(","parentSpanId":"b7ad6b7169203331","flags":771,)" + kName +
          R"(2,"startTimeUnixNano":"1700000000500000000","endTimeUnixNano":"1700000003500000000",)"
          R"("attributes":[)" +
          text("http.request.method", "POST") + "," + text("http.route", "/v1/chat/completions") +
          "," + text("url.path", "/v1/chat/completions") + "," + text("url.scheme", "https") + "," +
          text("client.address", "10.1.1.1") + "," + text("gen_ai.operation.name", "chat") + "," +
          text("gen_ai.request.model", "m") + "," + text("fairlead.request_id", "id-1") + "," +
          text("fairlead.tenant", "team") + "," + text("fairlead.outcome", "completed") + "," +
          integer("fairlead.attempts", 2) + "," + integer("http.response.status_code", 200) + "," +
          integer("gen_ai.usage.input_tokens", 101) + "," +
          integer("gen_ai.usage.cache_read.input_tokens", 64) + "," +
          integer("gen_ai.usage.output_tokens", 7) +
          R"(],"events":[{"timeUnixNano":"1700000002000000000","name":"first_token"}],)"
          R"("status":{}},)" +
          trace + first + R"(","parentSpanId":")" + span + R"(","flags":259,)" + kName +
          R"(3,"startTimeUnixNano":"1700000001000000000","endTimeUnixNano":"1700000001500000000",)"
          R"("attributes":[)" +
          text("http.request.method", "POST") + "," + text("server.address", "10.0.0.7") + "," +
          integer("server.port", 8000) + "," + text("fairlead.endpoint", "gpu-0") + "," + decided +
          "," + integer("http.request.resend_count", 1) + "," +
          text("error.type", "connect_refused") + R"(],"status":{"code":2}},)" + trace + second +
          R"(","parentSpanId":")" + span + R"(","flags":259,)" + kName +
          R"(3,"startTimeUnixNano":"1700000001500000000","endTimeUnixNano":"1700000003500000000",)"
          R"("attributes":[)" +
          text("http.request.method", "POST") + "," + text("server.address", "10.0.0.8") + "," +
          integer("server.port", 8001) + "," + text("fairlead.endpoint", "gpu-1") + "," + decided +
          "," + integer("http.request.resend_count", 1) + "," +
          integer("http.response.status_code", 200) + R"(],"status":{}})");
}

TEST_F(RequestTraceTest, FailuresAreTold) {
  ASSERT_TRUE(begin({}, 1));
  first_try();
  trace_.on_status(200);
  AccessRecord ended = record();
  ended.outcome = model::Outcome::kTimedOut;
  std::string spans = trace_.end(ended, "http", Time(1s), Time(3s)).json;
  EXPECT_GT(spans.find("\"parentSpanId\""), spans.find("},{\"traceId\""))
      << "the request's span begins the trace";
  std::size_t errors = 0;
  for (std::size_t at = 0; (at = spans.find("\"timed_out\"", at)) != std::string::npos; ++at) {
    ++errors;
  }
  EXPECT_EQ(errors, 3U) << "the outcome, and the errors of both spans";
  ASSERT_TRUE(begin({}, 1));
  ended = record();
  ended.method = "BREW";
  ended.route = Route::kNone;
  ended.path = std::string_view("/coffee");
  ended.status = 404;
  ended.reply_reason = model::ReplyReason::kNotFound;
  spans = trace_.end(ended, "http", Time(1s), Time(3s)).json;
  EXPECT_NE(spans.find("\"name\":\"_OTHER\""), std::string::npos);
  EXPECT_EQ(spans.find("http.route"), std::string::npos);
  EXPECT_NE(spans.find("\"status\":{}"), std::string::npos) << "the client's fault, not ours";
}

TEST(UnixAnchor, KeepsNanosecondsApart) {
  const UnixAnchor anchor{Time(5s), 1'700'000'000.25};
  EXPECT_EQ(anchor.nanoseconds(Time(5s)), 1'700'000'000'250'000'000U);
  EXPECT_EQ(anchor.nanoseconds(Time(5s) - 1ns), 1'700'000'000'249'999'999U);
}

}  // namespace
}  // namespace fairlead::exchange
