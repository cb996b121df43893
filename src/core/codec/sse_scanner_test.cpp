// SPDX-License-Identifier: Apache-2.0
#include "core/codec/sse_scanner.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <iterator>
#include <string>
#include <tuple>
#include <vector>

#include "core/codec/json_text.h"
#include "core/codec/testing/test_data.h"

namespace fairlead::codec {

// For failure messages.
static void PrintTo(const ResponseFacts& facts, std::ostream* out) {
  *out << "first_token " << facts.first_token << " error " << facts.error << " done " << facts.done
       << " events " << facts.data_events << " usage " << facts.usage.has_value();
}

namespace {

template <class Scanner>
ResponseFacts whole(std::string_view text) {
  Scanner scanner;
  scanner.feed(text);
  return scanner.facts();
}

template <class Scanner>
ResponseFacts in_pieces(std::string_view text, std::size_t size) {
  Scanner scanner;
  for (std::size_t at = 0; at < text.size(); at += size) scanner.feed(text.substr(at, size));
  return scanner.facts();
}

Usage usage(std::uint64_t prompt, std::uint64_t completion, std::optional<std::uint64_t> cached) {
  return {prompt, completion, cached};
}

std::string event(std::string_view json) { return "data: " + std::string(json) + "\n\n"; }

TEST(SseScanner, ReadsACapturedChatStream) {
  const ResponseFacts facts = whole<SseScanner>(read_testdata("chat_stream_usage.sse"));
  EXPECT_TRUE(facts.first_token);
  EXPECT_TRUE(facts.done);
  EXPECT_FALSE(facts.error);
  EXPECT_EQ(facts.data_events, 8U);
  EXPECT_EQ(facts.usage, usage(15, 6, 0));
}

TEST(SseScanner, ReadsCapturedStreamsTheSameForEveryCut) {
  for (const char* name : {"chat_stream_usage.sse", "chat_stream.sse",
                           "completion_usage_continuous.sse", "completion_n2.sse"}) {
    const std::string text = read_testdata(name);
    const ResponseFacts expected = whole<SseScanner>(text);
    EXPECT_TRUE(expected.done && expected.first_token) << name;
    for (std::size_t size = 1; size < 300; ++size) {
      ASSERT_EQ(in_pieces<SseScanner>(text, size), expected) << name << " cut by " << size;
    }
  }
}

TEST(SseScanner, FindsTheIdOfATypedAnswerForEveryCut) {
  const std::string text = read_testdata("responses_stream.sse");
  for (std::size_t size = 1; size < 300; ++size) {
    SseScanner scanner;
    scanner.restart(EventStyle::kTyped);
    for (std::size_t at = 0; at < text.size(); at += size) scanner.feed(text.substr(at, size));
    ASSERT_EQ(scanner.facts().answer_id, answer_id_hash("resp_b39da157a9fdafb1")) << size;
  }
  EXPECT_EQ(whole<SseScanner>(text).answer_id, 0U) << "of typed streams only";
}

// As SGLang's /generate tells it: in every event, the last of which counts.
TEST(SseScanner, FindsUsageInMetaInfoForEveryCut) {
  const std::string text =
      "data: {\"text\":\"a\",\"meta_info\":{\"prompt_tokens\":9,\"completion_tokens\":1,"
      "\"cached_tokens\":4,\"finish_reason\":null}}\n\n"
      "data: {\"text\":\"ab\",\"meta_info\":{\"prompt_tokens\":9,\"completion_tokens\":2,"
      "\"cached_tokens\":4,\"finish_reason\":{\"type\":\"length\",\"length\":2}}}\n\n"
      "data: [DONE]\n\n";
  for (std::size_t size = 1; size < text.size(); ++size) {
    SseScanner scanner;
    scanner.restart(EventStyle::kGenerated);
    for (std::size_t at = 0; at < text.size(); at += size) scanner.feed(text.substr(at, size));
    ASSERT_EQ(scanner.facts().usage, (Usage{9, 2, 4})) << size;
    ASSERT_EQ(scanner.facts().data_events, 2U);
  }
  EXPECT_FALSE(whole<SseScanner>(text).usage) << "of that route only";
  EXPECT_EQ(whole<JsonResponseScanner>(
                R"({"text":"x","meta_info":{"id":"y","prompt_tokens":3,"completion_tokens":1}})")
                .usage,
            (Usage{3, 1, {}}));
}

TEST(SseScanner, TheIdIsThereBeforeTheFirstEventIsWhole) {
  SseScanner scanner;
  scanner.restart(EventStyle::kTyped);
  scanner.feed("event: response.created\ndata: {\"response\":{\"id\":\"resp_1");
  EXPECT_EQ(scanner.facts().answer_id, 0U);
  scanner.feed("2\",");
  EXPECT_EQ(scanner.facts().answer_id, answer_id_hash("resp_12"));
  scanner.feed("\"output\":[{\"id\":\"msg\"}]},\"id\":\"x\"}\n\n");
  scanner.feed("data: {\"response\":{\"id\":\"later\"}}\n\n");
  EXPECT_EQ(scanner.facts().answer_id, answer_id_hash("resp_12"));
}

TEST(JsonResponseScanner, FindsTheAnswersIdForEveryCut) {
  const std::string text = read_testdata("responses.json");
  for (std::size_t size = 1; size < 100; ++size) {
    ASSERT_EQ(in_pieces<JsonResponseScanner>(text, size).answer_id,
              answer_id_hash("resp_b088f60c2ea893ac"))
        << size;
  }
  EXPECT_EQ(whole<JsonResponseScanner>(R"({"output":[{"id":"x"}],"id":5})").answer_id, 0U);
}

TEST(SseScanner, FindsTheFirstTokenInTheFirstEventWithText) {
  const std::string text = read_testdata("chat_stream.sse");
  const std::size_t second = text.find("\n\n") + 2;
  SseScanner scanner;
  scanner.feed(std::string_view(text).substr(0, second));
  EXPECT_EQ(scanner.facts().data_events, 1U);
  EXPECT_FALSE(scanner.facts().first_token) << "the role event has no text";
  scanner.feed(std::string_view(text).substr(second, text.find("\n\n", second) - second));
  EXPECT_TRUE(scanner.facts().first_token);
}

TEST(SseScanner, KnowsEveryFormOfFirstToken) {
  const auto first_token = [](std::string_view json) {
    return whole<SseScanner>(event(json)).first_token;
  };
  EXPECT_TRUE(first_token(R"({"choices":[{"text":" "}]})"));
  EXPECT_TRUE(first_token(R"({"choices":[{"delta":{"content":"\u0041"}}]})"));
  EXPECT_TRUE(first_token(R"({"choices":[{"delta":{"content":null,"reasoning":"hm"}}]})"));
  EXPECT_TRUE(first_token(R"({"choices":[{"delta":{"content":"","reasoning_content":"h"}}]})"));
  EXPECT_TRUE(first_token(R"({"choices": [{"delta": {"tool_calls": [{"index":0}]}}]})"));
  EXPECT_FALSE(first_token(R"({"choices":[{"delta":{"tool_calls":[],"content":""}}]})"));
  EXPECT_FALSE(
      first_token(R"({"choices":[{"delta":{"role":"assistant"},"logprobs":{"content":"x"}}]})"));
  EXPECT_FALSE(first_token(R"({"choices":[],"text":"x","content":"y"})"));
}

TEST(SseScanner, SeesErrorEvents) {
  EXPECT_TRUE(whole<SseScanner>(event(R"({"error":{"message":"m","code":500}})")).error);
  EXPECT_TRUE(whole<SseScanner>(event(R"({"object":"error","message":"m"})")).error);
  EXPECT_FALSE(whole<SseScanner>(event(R"({"error":null,"object":"errors"})")).error);
  EXPECT_FALSE(whole<SseScanner>(event(R"({"choices":[{"error":{}}]})")).error);
  const std::string token = event(R"({"choices":[{"text":"x"}]})");
  EXPECT_TRUE(whole<SseScanner>(token + event(R"({"error":{"message":"m"}})")).error);
  EXPECT_TRUE(whole<SseScanner>(token + event(R"({"object":"error"})")).error);
}

TEST(SseScanner, AcceptsEveryWayToWriteALine) {
  const ResponseFacts facts = whole<SseScanner>(
      "\xef\xbb\xbf: comment\r\nevent: x\r\ndata:{\"choices\":[{\"text\":\"a\"}]}\r\n\r\n"
      "id: 1\ndata: {\"a\":1}\n\ndatum: {}\ndata: 5\n\ndata: [DONE]\r\n\r\n");
  EXPECT_EQ(facts.data_events, 2U);
  EXPECT_TRUE(facts.first_token && facts.done);
  EXPECT_FALSE(whole<SseScanner>("data: [DONE]").done) << "no line end yet";
  EXPECT_FALSE(whole<SseScanner>("data: [DONE]x\n\n").done);
  EXPECT_FALSE(whole<SseScanner>("data: [DONE\n\n").done);
}

TEST(SseScanner, IgnoresUsageThatIsNotTheTopLevelObject) {
  const std::string token = event(R"({"choices":[{"text":"x"}]})");
  for (const char* json : {
           R"({"choices":[{"text":"{\"usage\":{\"prompt_tokens\":7}}"}]})",
           R"({"choices":[{"text":"a\\\"usage\":{","usage":{"prompt_tokens":7}}]})",
           R"({"x":{"usage":{"prompt_tokens":7}}})",
           R"({"usage":null})",
           R"({"usage":"prompt_tokens"})",
           R"({"usage":[{"prompt_tokens":7}]})",
       }) {
    const auto seen = whole<SseScanner>(token + event(json)).usage;
    EXPECT_TRUE(!seen || !seen->prompt_tokens) << json;
  }
}

TEST(SseScanner, KeepsTheLastUsageAndLeavesWhatItLacksUnset) {
  const ResponseFacts facts = whole<SseScanner>(
      event(R"({"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}})") +
      event(R"({"usage":{"completion_tokens":12.5,"prompt_tokens" : 3 ,)"
            R"("prompt_tokens_details":{"cached_tokens":2}}})"));
  EXPECT_EQ(facts.usage, (Usage{3, std::nullopt, 2}));
  EXPECT_FALSE(whole<SseScanner>(R"(data: {"usage":{"prompt_tokens":1)").usage);
}

TEST(SseScanner, ReadsCapturedTypedStreams) {
  for (const auto& [name, expected, first] :
       std::vector<std::tuple<std::string, Usage, std::string>>{
           {"messages_stream.sse", usage(15, 4, 0), "false"},
           {"responses_stream.sse", usage(12, 4, 0), " auto"}}) {
    const std::string text = read_testdata(name);
    for (const std::size_t size : {std::size_t{1}, std::size_t{7}, text.size()}) {
      SseScanner scanner;
      scanner.restart(EventStyle::kTyped);
      std::size_t first_at = 0;
      for (std::size_t at = 0; at < text.size(); at += size) {
        scanner.feed(std::string_view(text).substr(at, size));
        if (first_at == 0 && scanner.facts().first_token) first_at = at;
      }
      EXPECT_EQ(scanner.facts().usage, expected) << name;
      EXPECT_TRUE(scanner.facts().done) << name;
      EXPECT_FALSE(scanner.facts().error) << name;
      EXPECT_TRUE(scanner.facts().first_token) << name;
      if (size > 1) continue;
      EXPECT_EQ(first_at, text.find('"' + first) + 1) << name;
    }
  }
}

TEST(SseScanner, TypedStreamsTellErrorsToolCallsAndUsageInParts) {
  const auto facts = [](const std::string& json) {
    SseScanner scanner;
    scanner.restart(EventStyle::kTyped);
    scanner.feed(json);
    return scanner.facts();
  };
  EXPECT_TRUE(facts(event(R"({"type":"error","error":{"type":"x","message":"y"}})")).error);
  EXPECT_TRUE(facts(event(R"({"code":"x","type":"error"})")).error);
  EXPECT_TRUE(
      facts(event(R"({"type":"response.failed","response":{"error":{"code":"x"}}})")).error);
  EXPECT_TRUE(facts(event(R"({"type":"content_block_start","content_block":{"type":"tool_use",)"
                          R"("name":"f"}})"))
                  .first_token);
  EXPECT_FALSE(facts(event(R"({"type":"content_block_start","content_block":{"type":"text",)"
                           R"("text":""}})"))
                   .first_token);
  EXPECT_FALSE(
      facts(event(R"({"type":"message_delta","delta":{"stop_reason":"end_turn"}})")).first_token);
  EXPECT_EQ(facts(event(R"({"type":"message_start","message":{"usage":{"input_tokens":5,)"
                        R"("cache_read_input_tokens":3}}})") +
                  event(R"({"type":"message_delta","usage":{"output_tokens":9}})"))
                .usage,
            (Usage{5, 9, 3}));
  // Of a chat, such a field says nothing.
  EXPECT_FALSE(whole<SseScanner>(event(R"({"type":"error"})")).error);
}

TEST(JsonResponseScanner, PassesOverNumbersToTheUsageBehindThem) {
  std::string text = R"({"object":"list","data":[{"embedding":[-0.5)";
  for (int i = 0; i < 5000; ++i) text += ",1.25e-3";
  text += R"(],"usage":{"prompt_tokens":7}}],"usage":{"prompt_tokens":8,"completion_tokens":0}})";
  for (const std::size_t size : {std::size_t{1}, std::size_t{13}, text.size()}) {
    EXPECT_EQ(in_pieces<JsonResponseScanner>(text, size).usage, (Usage{8, 0, std::nullopt}));
  }
}

TEST(JsonResponseScanner, ReadsCapturedAnswers) {
  for (const auto& [name, expected] :
       std::vector<std::pair<std::string, Usage>>{{"chat.json", usage(15, 6, 0)},
                                                  {"completion.json", usage(2, 6, 0)},
                                                  {"messages.json", usage(15, 4, 0)},
                                                  {"responses.json", usage(12, 4, 0)}}) {
    const std::string text = read_testdata(name);
    for (const std::size_t size : {std::size_t{1}, std::size_t{7}, text.size()}) {
      const ResponseFacts facts = in_pieces<JsonResponseScanner>(text, size);
      EXPECT_EQ(facts.usage, expected) << name;
      EXPECT_TRUE(facts.first_token);
      EXPECT_FALSE(facts.error);
    }
  }
  EXPECT_TRUE(whole<JsonResponseScanner>(read_testdata("error_unknown_model.json")).error);
}

// Text that tries hard to look like structure.
rc::Gen<std::string> nasty_text() {
  return rc::gen::map(
      rc::gen::container<std::vector<std::string>>(rc::gen::elementOf(std::vector<std::string>{
          "\"usage\"", "\"usage\":{\"prompt_tokens\":999}", "\\", "\"", "{", "}", "]", "\n\n",
          "data: [DONE]\n\n", "\"error\":{}", "caf\xc3\xa9", "usage", ","})),
      [](const std::vector<std::string>& words) {
        std::string text;
        for (const std::string& word : words) text += word;
        return text;
      });
}

TEST(SseScanner, IsNotFooledByAnyContentAndAnyCut) {
  const bool held = rc::check([] {
    std::string stream;
    ResponseFacts expected;
    const auto texts =
        *rc::gen::resize(12, rc::gen::container<std::vector<std::string>>(nasty_text()));
    for (const std::string& text : texts) {
      std::string json;
      JsonWriter writer(json);
      writer.begin_object().key("choices").begin_array().begin_object();
      writer.key("delta").begin_object().key("content").string(text).end_object().end_object();
      writer.end_array();
      if (*rc::gen::inRange(0, 4) == 0) {
        const auto count = *rc::gen::inRange<std::uint64_t>(0, 1000000);
        writer.key("usage").begin_object().key("prompt_tokens").number(count).end_object();
        expected.usage = Usage{count, std::nullopt, std::nullopt};
      }
      writer.key("note").string(text).end_object();
      stream += event(json);
      ++expected.data_events;
      expected.first_token = expected.first_token || !text.empty();
    }
    stream += "data: [DONE]\n\n";
    expected.done = true;
    RC_ASSERT(whole<SseScanner>(stream) == expected);
    SseScanner scanner;
    std::string_view rest = stream;
    while (!rest.empty()) {
      const auto size = *rc::gen::inRange<std::size_t>(1, 400);
      scanner.feed(rest.substr(0, size));
      rest.remove_prefix(std::min(size, rest.size()));
    }
    RC_ASSERT(scanner.facts() == expected);
  });
  EXPECT_TRUE(held);
}

}  // namespace
}  // namespace fairlead::codec
