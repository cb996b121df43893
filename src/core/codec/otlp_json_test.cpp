// SPDX-License-Identifier: Apache-2.0
// Byte for byte; a decoder that others wrote reads the same in test/e2e/trace_export_test.py.
#include "core/codec/otlp_json.h"

#include <gtest/gtest.h>

#include <string>

namespace fairlead::codec {
namespace {

TEST(OtlpJson, WritesASpanWithEverything) {
  std::string out;
  OtlpSpanWriter writer(out);
  writer.begin({.trace = {0x0af7651916cd43dd, 0x8448eb211c80319c},
                .span = 0x00000000000000ff,
                .parent = 0xb7ad6b7169203331,
                .parent_place = OtlpParent::kRemote,
                .trace_flags = 3,
                .trace_state = "a=1",
                .name = "POST /v1/\"x\"",
                .kind = OtlpSpanKind::kServer,
                .began = 1'700'000'000'000'000'001,
                .ended = 1'700'000'000'000'000'002});
  writer.text("k", "v\n").text("none", "").integer("n", 18446744073709551615U).real("r", 0.5);
  const OtlpEvent events[] = {{"first_token", 7}, {"x", 8}};
  writer.end(events, OtlpStatus::kError, "why");
  EXPECT_EQ(out, R"({"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"00000000000000ff",)"
                 R"("traceState":"a=1","parentSpanId":"b7ad6b7169203331","flags":771,)"
                 R"("name":"POST /v1/\"x\"","kind":2,"startTimeUnixNano":"1700000000000000001",)"
                 R"("endTimeUnixNano":"1700000000000000002","attributes":[)"
                 R"({"key":"k","value":{"stringValue":"v\n"}},)"
                 R"({"key":"n","value":{"intValue":"18446744073709551615"}},)"
                 R"({"key":"r","value":{"doubleValue":0.5}}],"events":[)"
                 R"({"timeUnixNano":"7","name":"first_token"},{"timeUnixNano":"8","name":"x"}],)"
                 R"("status":{"message":"why","code":2}})");
}

TEST(OtlpJson, WritesASpanWithNothing) {
  std::string out;
  OtlpSpanWriter writer(out);
  writer.begin({.trace = {1, 2}, .span = 3, .name = "n", .kind = OtlpSpanKind::kClient});
  writer.end({}, OtlpStatus::kUnset, {});
  EXPECT_EQ(out, R"({"traceId":"00000000000000010000000000000002","spanId":"0000000000000003",)"
                 R"("flags":257,"name":"n","kind":3,"startTimeUnixNano":"0","endTimeUnixNano":"0",)"
                 R"("attributes":[],"status":{}})");
}

TEST(OtlpJson, WritesTheRequestAroundSpans) {
  std::string out;
  append_export_head(out, {"edge \"1\"", "00ff"});
  out += "{},{}";
  append_export_tail(out);
  EXPECT_EQ(out, R"({"resourceSpans":[{"resource":{"attributes":[)"
                 R"({"key":"service.name","value":{"stringValue":"edge \"1\""}},)"
                 R"({"key":"service.instance.id","value":{"stringValue":"00ff"}}]},)"
                 R"("scopeSpans":[{"scope":{"name":"fairlead"},"spans":[{},{}]}]}]})");
}

TEST(OtlpJson, ReadsHowManySpansWereRejected) {
  EXPECT_EQ(rejected_spans(R"({"partialSuccess":{"rejectedSpans":"5","errorMessage":"x"}})"), 5U);
  EXPECT_EQ(rejected_spans(R"({ "a":[1], "partialSuccess" : { "rejectedSpans" : 12 } })"), 12U);
  for (const char* nothing :
       {"", "{}", "x", "[", "{\"partialSuccess\":", "{\"partialSuccess\":{}}",
        "{\"partialSuccess\":null}", "{\"partialSuccess\":{\"rejectedSpans\":\"-1\"}}",
        "{\"partialSuccess\":{\"rejectedSpans\":\"\"}}", "{\"partialSuccess\":[5]}"}) {
    EXPECT_EQ(rejected_spans(nothing), 0U) << nothing;
  }
}

}  // namespace
}  // namespace fairlead::codec
