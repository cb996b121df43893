// SPDX-License-Identifier: Apache-2.0
// What llm-d's endpoint picker reads and tells beyond the endpoint, on one stream: parsers, the
// preference of a client, trace headers.
#include <gtest/gtest.h>

#include <string>

#include "core/exchange/prefer.h"
#include "core/exchange/testing/extproc_fixture.h"

namespace fairlead::exchange {
namespace {

TEST_F(ExtProcTest, ARouteThatNoListedParserClaimsIsRefused) {
  settings_.parsers = {scheduling::ParserKind::kAnthropic};
  begin();
  request_headers();
  EXPECT_EQ(port_.replied, model::ReplyReason::kNotFound);
  EXPECT_EQ(port_.decides, 0);
}

TEST_F(ExtProcTest, WithPassthroughAloneNoBodyIsRead) {
  settings_.parsers = {scheduling::ParserKind::kPassthrough};
  settings_.unknown_path = UnknownPath::kPlacedByLoad;
  begin();
  request_headers();
  EXPECT_EQ(port_.decides, 1) << "at the head";
  request_body("{broken", true);
  EXPECT_EQ(replies().back().body, "{broken");
  EXPECT_TRUE(port_.keys.empty());
}

TEST_F(ExtProcTest, ATokenPromptIsReadWhereItsParserIsListed) {
  settings_.keys.block_bytes = 64;
  std::string tokens = "[7";
  for (int i = 0; i < 100; ++i) tokens += ",7";
  for (const std::string path : {"/inference/v1/generate", "/generate"}) {
    port_ = RecordingPort();
    port_.attach(stream_);
    begin();
    request_headers({}, false, path);
    request_body((path == "/generate" ? "{\"input_ids\":" : "{\"token_ids\":") + tokens + "]}",
                 true);
    EXPECT_FALSE(port_.replied) << path;
    EXPECT_FALSE(port_.keys.empty()) << path;
    stream_.on_gone();
  }
  settings_.parsers = {scheduling::ParserKind::kOpenAi};
  port_ = RecordingPort();
  port_.attach(stream_);
  begin();
  request_headers({}, false, "/generate");
  EXPECT_EQ(port_.replied, model::ReplyReason::kNotFound);
}

TEST_F(ExtProcTest, TheOwnersSpanReplacesTheClientsAndAStateMayBeDropped) {
  port_.target.trace = {.parent = TraceHeaders::Sent::kDropped,
                        .state = TraceHeaders::Sent::kDropped,
                        .own_parent = "00-own"};
  begin();
  request_headers({{"traceparent", "00-theirs"}, {"tracestate", "a=b"}});
  request_body(kBody, true);
  const EnvoyReply head = replies().front();
  EXPECT_EQ(head.header("traceparent"), "00-own");
  EXPECT_FALSE(head.removes("traceparent"));
  EXPECT_TRUE(head.removes("tracestate"));
}

TEST(Prefer, IsATokenOfAListWhateverItsCaseAndParameters) {
  const auto prefers = [](std::string_view value) {
    const codec::Http1Header header{"prefer", value};
    return prefers_if_available({&header, 1});
  };
  for (const char* value :
       {"if-available", "IF-Available", "wait=1, if-available", "if-available;x=1",
        " if-available ,a", R"(a="x, y", if-available)", "if-available=1"}) {
    EXPECT_TRUE(prefers(value)) << value;
  }
  for (const char* value : {"", "if-availables", "not if-available", R"(a="b, if-available")",
                            R"(a="\", if-available)", ",", "x;if-available"}) {
    EXPECT_FALSE(prefers(value)) << value;
  }
}

}  // namespace
}  // namespace fairlead::exchange
