// SPDX-License-Identifier: Apache-2.0
// What llm-d's endpoint picker does beyond naming an endpoint, behind a scripted Envoy: scores and
// usage as metadata, the served endpoint, conditional requests, figures of plugins.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "fronts/extproc/testing/envoy_fixture.h"

namespace fairlead::extproc {
namespace {

constexpr std::string_view kHead =
    "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\nplugins:\n";

std::string policy(std::string_view plugins) { return std::string(kHead) + std::string(plugins); }

TEST_F(ExtProcTest, ScoresOfAllRatedEndpointsAreToldWhenAsked) {
  flags_ = {"--emit-endpoint-scores"};
  start(policy("- {type: queue-scorer}\n- {type: kv-cache-utilization-scorer}\n"), 3);
  const Time now = loop_->now();
  router_->load().write(0, {.waiting = 0, .running = 0, .kv_usage = 0.25F, .scraped_at = now});
  router_->load().write(1, {.waiting = 4, .running = 0, .kv_usage = 0.5F, .scraped_at = now});
  router_->load().write(2, {.waiting = 2, .running = 0, .kv_usage = 1, .scraped_at = now});
  const std::int32_t stream = ask(chat_body());
  const std::map<std::string, double> expected = {
      {"envoy.lb/x-gateway-destination-endpoint-scores/10.0.0.1:8000", 1.75},
      {"envoy.lb/x-gateway-destination-endpoint-scores/10.0.0.2:8000", 0.5},
      {"envoy.lb/x-gateway-destination-endpoint-scores/10.0.0.3:8000", 0.5}};
  EXPECT_EQ(replies(stream)[0].metadata_numbers, expected);
  EXPECT_EQ(replies(stream)[0].metadata_endpoints, "10.0.0.1:8000");
  finish(stream);
  // What the proxy rules out is not rated.
  const std::int32_t subset = ask(chat_body(), {}, envoy::subset_metadata({"10.0.0.2:8000"}));
  EXPECT_EQ(replies(subset)[0].metadata_numbers.size(), 1U);
  finish(subset);
}

TEST_F(ExtProcTest, ScoresAreNotToldUnasked) {
  start();
  const std::int32_t stream = ask(chat_body());
  EXPECT_TRUE(replies(stream)[0].metadata_numbers.empty());
  finish(stream);
}

constexpr std::string_view kReporters =
    "- {type: queue-scorer}\n"
    "- {type: request-attribute-reporter, name: cost, parameters: {attributes: [\n"
    "    {key: {name: cost}, expression: usage.prompt_tokens + usage.completion_tokens * 10}]}}\n"
    "- {type: request-attribute-reporter, name: billed, parameters: {attributes: [\n"
    "    {key: {namespace: billing, name: t}, expression: usage.total_tokens}]}}\n"
    "- {type: request-attribute-reporter, name: never, parameters: {attributes: [\n"
    "    {key: {name: never}, expression: usage.prompt_tokens, condition: usage.prompt_tokens > "
    "99}]}}\n";

TEST_F(ExtProcTest, WhatAnAnswerUsedTravelsWithItsLastPiece) {
  start(policy(kReporters));
  const std::int32_t stream = ask(chat_body());
  finish(stream);
  const std::vector<EnvoyReply> all = replies(stream);
  const std::map<std::string, double> expected = {{"envoy.lb/cost", 27}, {"billing/t", 9}};
  EXPECT_EQ(all.back().metadata_numbers, expected);
  EXPECT_TRUE(all.back().end);
  for (std::size_t i = 0; i + 1 < all.size(); ++i) EXPECT_TRUE(all[i].metadata_numbers.empty());
  EXPECT_EQ(metric("llm_d_epp_plugin_duration_seconds_count{extension_point=\"ResponseStreaming\","
                   "plugin_type=\"request-attribute-reporter\",plugin_name=\"billed\"}"),
            1);
}

TEST_F(ExtProcTest, AnAnswerWithoutUsageReportsNothing) {
  start(policy(kReporters));
  const std::int32_t stream = ask(chat_body());
  answer_head(stream, "200");
  answer_piece(stream, "data: [DONE]\n\n", true);
  client_->append(stream, {}, true);
  ASSERT_TRUE(until([&] { return closed(stream); }));
  EXPECT_TRUE(replies(stream).back().metadata_numbers.empty());
}

TEST_F(ExtProcTest, TrailersCarryWhatTheLastPieceCouldNot) {
  start(policy(kReporters));
  const std::int32_t stream = ask(chat_body());
  answer_head(stream, "200", "", "application/json");
  answer_piece(stream, R"({"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}})");
  send(stream, {.phase = ProcessingPhase::kResponseTrailers});
  client_->append(stream, {}, true);
  ASSERT_TRUE(until([&] { return closed(stream); }));
  EXPECT_EQ(replies(stream).back().kind, ReplyKind::kTrailers);
  EXPECT_EQ(replies(stream).back().metadata_numbers["envoy.lb/cost"], 21);
}

TEST_F(ExtProcTest, TheServedEndpointIsShownToConformanceTests) {
  start(policy("- {type: queue-scorer}\n- {type: destination-endpoint-served-verifier}\n"));
  constexpr const char* kServed = "x-conformance-test-served-endpoint";
  const std::int32_t told_one = ask(chat_body());
  const std::size_t asked = replies(told_one).size();
  finish(told_one, "10.0.0.2:8000");
  EXPECT_EQ(replies(told_one)[asked].header(kServed), "10.0.0.2:8000");
  const std::int32_t untold = ask(chat_body());
  finish(untold);
  EXPECT_EQ(replies(untold)[asked].header(kServed).substr(0, 5), "fail:");
}

TEST_F(ExtProcTest, AConditionalRequestIsRefusedWhereNothingIsCached) {
  start(policy("- {type: prefix-cache-scorer}\n"));
  const std::string long_prompt(8000, 'x');
  const envoy::HeaderList prefer = {{"Prefer", "wait=5, If-Available; x=1"}};
  const std::int32_t cold = ask(chat_body(long_prompt), prefer);
  EXPECT_EQ(told(cold), "412");
  EXPECT_EQ(metric("fairlead_replies_total{reason=\"not_cached\"}"), 1);
  EXPECT_EQ(
      metric("llm_d_epp_request_error_total{model_name=\"m\",target_model_name=\"m\","
             "fairness_id=\"default-flow\",priority=\"0\",error_code=\"PreconditionFailed\"}"),
      1);
  EXPECT_EQ(told(ask(chat_body(long_prompt), prefer)), "412") << "a refusal warms nothing";
  const std::int32_t warms = ask(chat_body(long_prompt));
  finish(warms);
  const std::int32_t warm = ask(chat_body(long_prompt), prefer);
  EXPECT_EQ(told(warm), told(warms));
  finish(warm);
  const std::int32_t other = ask(chat_body(long_prompt), {{"prefer", "respond-async"}});
  EXPECT_NE(told(other), "412");
  finish(other);
}

TEST_F(ExtProcTest, EveryPluginsTimeIsCounted) {
  start(
      policy("- {type: decode-filter}\n- {type: queue-scorer, name: q}\n"
             "- {type: random-picker}\n- {type: probabilistic-admitter}\n"));
  finish(ask(chat_body()));
  for (const std::string_view labels :
       {R"(extension_point="Filter",plugin_type="decode-filter",plugin_name="decode-filter")",
        R"(extension_point="Scorer",plugin_type="queue-scorer",plugin_name="q")",
        R"(extension_point="Picker",plugin_type="random-picker",plugin_name="random-picker")",
        R"(extension_point="Admission",plugin_type="probabilistic-admitter",)"
        R"(plugin_name="probabilistic-admitter")"}) {
    for (const std::string_view name : {"llm_d_epp", "inference_extension"}) {
      EXPECT_EQ(metric(fmt::format("{}_plugin_duration_seconds_count{{{}}}", name, labels)), 1);
    }
  }
  EXPECT_EQ(metric("llm_d_epp_response_processing_duration_seconds_count"), 1);
}

// A reload gives another name to the plugin of the same place.
TEST_F(ExtProcTest, PluginTimesFollowAReload) {
  start(policy("- {type: queue-scorer, name: before}\n"));
  finish(ask(chat_body()));
  router_->generation().publish(build(policy("- {type: queue-scorer, name: after}\n")));
  finish(ask(chat_body()));
  finish(ask(chat_body()));
  const auto count = [&](std::string_view name) {
    return metric(fmt::format(
        "llm_d_epp_plugin_duration_seconds_count{{extension_point=\"Scorer\",plugin_type="
        "\"queue-scorer\",plugin_name=\"{}\"}}",
        name));
  };
  EXPECT_EQ(count("before"), 1);
  EXPECT_EQ(count("after"), 2);
}

TEST_F(ExtProcTest, TheTimeBetweenTokensIsCountedOnceAnAnswer) {
  start();
  finish(ask(chat_body("hello", R"(,"stream":true)")));
  EXPECT_EQ(metric("fairlead_inter_token_seconds_count"), 1);
}

TEST_F(ExtProcTest, ImagesThatTheEndpointWasSentBeforeAreHits) {
  start(policy("- {type: mm-embeddings-cache-scorer}\n"), 1);
  const std::string body =
      R"({"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"what"},)"
      R"({"type":"image_url","image_url":{"url":"https://x/a.png"}}]}]})";
  finish(ask(body));
  finish(ask(body));
  finish(ask(chat_body()));
  const std::string plugin =
      "plugin_type=\"mm-embeddings-cache-producer\",plugin_name="
      "\"mm-embeddings-cache-producer\"";
  EXPECT_EQ(metric("llm_d_epp_encoder_cache_queries_total{" + plugin + ",modality=\"\"}"), 2);
  EXPECT_EQ(
      metric("llm_d_epp_encoder_cache_hits_total{" + plugin + ",modality=\"\",pod=\"engine-0\"}"),
      1);
  EXPECT_EQ(metric("llm_d_epp_encoder_cache_hit_ratio_count{" + plugin + "}"), 2);
  EXPECT_EQ(metric("llm_d_epp_encoder_cache_hit_ratio_sum{" + plugin + "}"), 1);
}

class Lines final : public router::AccessLog {
 public:
  void write_line(std::string_view line) override { lines.emplace_back(line); }
  std::vector<std::string> lines;
};

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

TEST_F(ExtProcTest, EveryRequestIsALineOfTheAccessLog) {
  Lines log;
  shared_.access_log = &log;
  start("epp: {requestBytesMax: 1Ki}");
  const std::int32_t stream = ask(chat_body("secret"), {{"x-request-id", "mine"},
                                                        {"x-forwarded-for", "10.9.9.9, 192.0.2.7"},
                                                        {"x-llm-d-inference-fairness-id", "t"}});
  finish(stream);
  EXPECT_EQ(told(ask(R"({"model":)")), "400");
  client_->reset(ask(chat_body()));
  ASSERT_TRUE(until([&] { return log.lines.size() == 3; }));
  for (const std::string_view part :
       {R"("request_id":"mine")", R"("client":"192.0.2.7")", R"("tenant":"t")",
        R"("path":"/v1/chat/completions")", R"("model":"m","status":200,"outcome":"completed")",
        R"("endpoint":"engine-)", R"("attempts":1)", R"("last_failure":null)",
        R"("usage":{"prompt_tokens":7,"cached_tokens":3,"output_tokens":2})"}) {
    EXPECT_TRUE(has(log.lines[0], part)) << part << log.lines[0];
  }
  EXPECT_FALSE(has(log.lines[0], "secret"));
  EXPECT_FALSE(has(log.lines[0], R"("queue_ms":null)"));
  EXPECT_FALSE(has(log.lines[0], R"("ttft_ms":null)"));
  EXPECT_TRUE(
      has(log.lines[1], R"("status":400,"outcome":"rejected","reply_reason":"bad_request")"))
      << log.lines[1];
  EXPECT_TRUE(has(log.lines[2], R"("status":499,"outcome":"client_gone")")) << log.lines[2];
}

TEST_F(ExtProcTest, TheAccessLogNamesTheFallBackThatServed) {
  Lines log;
  shared_.access_log = &log;
  start(
      policy("- {type: active-request-scorer}\n"
             "- {type: max-score-picker, parameters: {maxNumOfEndpoints: 2}}\n"));
  const std::int32_t stream = ask(chat_body());
  const std::string list = told(stream);
  const std::string served = list.substr(list.find(',') + 1);
  finish(stream, served);
  ASSERT_EQ(log.lines.size(), 1U);
  EXPECT_TRUE(has(log.lines[0], fmt::format(R"("endpoint":"engine-{}")", served[7] - '1')))
      << served << log.lines[0];
}

constexpr std::string_view kTraced = "tracing: {endpoint: 'http://127.0.0.1:1', sampleRatio: 0}\n";
constexpr std::string_view kTrace = "0af7651916cd43dd8448eb211c80319c";

std::string parent_of(std::string_view flags) {
  return fmt::format("00-{}-b7ad6b7169203331-{}", kTrace, flags);
}

TEST_F(ExtProcTest, ASampledRequestHasASpanAndTheEngineItsChild) {
  start(kTraced);
  const std::int32_t stream =
      ask(chat_body(), {{"traceparent", parent_of("01")}, {":scheme", "https"}});
  const EnvoyReply first = replies(stream)[0];
  const std::string sent = first.header("traceparent");
  ASSERT_EQ(sent.size(), 55U);
  EXPECT_EQ(sent.substr(3, 32), kTrace);
  EXPECT_NE(sent.substr(36, 16), "b7ad6b7169203331");
  finish(stream);
  std::vector<codec::OtlpSpans> spans;
  router_->traces().drain(spans);
  ASSERT_EQ(spans.size(), 1U);
  EXPECT_EQ(spans[0].count, 2U);
  for (const std::string_view part :
       {std::string_view(kTrace), std::string_view(sent).substr(36, 16),
        std::string_view("b7ad6b7169203331"), std::string_view("10.0.0."),
        std::string_view("\"https\""), std::string_view("first_token")}) {
    EXPECT_TRUE(has(spans[0].json, part)) << part << spans[0].json;
  }
  EXPECT_EQ(metric("fairlead_traced_requests_total"), 1);
}

TEST_F(ExtProcTest, WhatIsNotSampledPassesAsItCameAndWhatIsMalformedEnds) {
  start(kTraced);
  const std::int32_t plain = ask(chat_body(), {{"traceparent", parent_of("00")}});
  EXPECT_EQ(replies(plain)[0].header("traceparent"), "");
  EXPECT_FALSE(replies(plain)[0].removes("traceparent"));
  finish(plain);
  const std::int32_t broken = ask(chat_body(), {{"traceparent", "00-zz"}, {"tracestate", "a=b"}});
  EXPECT_TRUE(replies(broken)[0].removes("traceparent"));
  EXPECT_TRUE(replies(broken)[0].removes("tracestate"));
  finish(broken);
  EXPECT_EQ(metric("fairlead_trace_context_invalid_total{header=\"traceparent\"}"), 1);
  std::vector<codec::OtlpSpans> spans;
  router_->traces().drain(spans);
  EXPECT_TRUE(spans.empty());
}

TEST_F(ExtProcTest, AFlagTurnsTracesOff) {
  flags_ = {"--tracing=false"};
  start(kTraced);
  const std::int32_t stream = ask(chat_body(), {{"traceparent", parent_of("01")}});
  EXPECT_EQ(replies(stream)[0].header("traceparent"), "");
  finish(stream);
  std::vector<codec::OtlpSpans> spans;
  router_->traces().drain(spans);
  EXPECT_TRUE(spans.empty());
}

// A refusal before the decision has a span of its own too.
TEST_F(ExtProcTest, ARefusedRequestIsTraced) {
  start("tracing: {endpoint: 'http://127.0.0.1:1', sampleRatio: 1}\n");
  EXPECT_EQ(told(ask(R"({"model":)")), "400");
  std::vector<codec::OtlpSpans> spans;
  router_->traces().drain(spans);
  ASSERT_EQ(spans.size(), 1U);
  EXPECT_EQ(spans[0].count, 1U);
}

}  // namespace
}  // namespace fairlead::extproc
