// SPDX-License-Identifier: Apache-2.0
#include "lab/engine/completion_request.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "core/codec/chat_scanner.h"
#include "core/tokens/estimate.h"
#include "core/tokens/estimated_prompt.h"
#include "lab/engine/output_text.h"

namespace fairlead::engine {
namespace {

using Tokens = std::vector<std::uint32_t>;

class RequestParsing : public ::testing::Test {
 protected:
  const CompletionRequest& parse(Api api, std::string_view body,
                                 PromptUse use = PromptUse::kTokens) {
    const auto parsed = parser_.parse(api, body, use, request_);
    EXPECT_TRUE(parsed.has_value()) << parsed.error().message;
    return request_;
  }
  std::string refusal(Api api, std::string_view body) {
    const auto parsed = parser_.parse(api, body, PromptUse::kTokens, request_);
    return parsed ? "accepted" : parsed.error().param;
  }

  CompletionRequestParser parser_{std::size_t{1} << 20};
  CompletionRequest request_;
};

Tokens message(std::string_view role, std::string_view text) {
  Tokens tokens;
  tokens::append_message_tokens(role, text, tokens);
  return tokens;
}

TEST_F(RequestParsing, ChatIsRenderedMessageByMessage) {
  Tokens expected = message("system", "be kind\n");
  const Tokens user = message("user", "h\xc3\xa9llo");
  expected.insert(expected.end(), user.begin(), user.end());
  tokens::append_role_token("assistant", expected);
  const auto& request = parse(Api::kChat, R"({"messages":[
      {"content":"be kind\n","role":"system"}, {"role":"user","content":"h\u00e9llo"}]})");
  EXPECT_EQ(request.tokens, expected);
  ASSERT_EQ(request.prompts.size(), 1U);
  EXPECT_EQ(request.prompts[0].count, static_cast<std::int64_t>(expected.size()));
}

// What a router knows of a prompt must be what the engine makes of it.
TEST_F(RequestParsing, ARouterEstimatesTheSameTokens) {
  codec::ChatScanner scanner(std::size_t{1} << 20);
  codec::ScannedRequest scanned;
  tokens::EstimatedPrompt estimate;
  Tokens seen;
  const auto check = [&](Api api, codec::RequestKind kind, std::string_view fields) {
    const std::string body = fmt::format(R"({{"model":"m",{}}})", fields);
    ASSERT_TRUE(scanner.scan(kind, body, scanned).ok()) << body;
    estimate.tokens(scanned, seen);
    const CompletionRequest& request = parse(api, body);
    const auto& first = request.prompts.front();
    const auto begin = request.tokens.begin() + static_cast<std::ptrdiff_t>(first.begin);
    EXPECT_EQ(seen, Tokens(begin, begin + static_cast<std::ptrdiff_t>(first.count))) << body;
  };
  for (const std::string_view fields : {
           R"("messages":[{"role":"user","content":"hi"}])",
           R"("messages":[{"content":"be \"kind\"\n","role":"system"},{"role":"user",)"
           R"("content":[{"type":"text","text":"h\u00e9"},{"type":"text","text":"[1]\n"}]}])",
           R"("messages":[{"role":"user","content":""},{"role":"user","content":null},)"
           R"({"role":"user","content":[]}],"tools":[ {"type" : "function"}])",
           R"("tools":[1],"messages":[{"role":"assistant","content":null,"tool_calls":)"
           R"([{"id":"c","function":{"name":"f","arguments":"{\"a\":1}"}}]},)"
           R"({"role":"tool","tool_call_id":"c\t","content":"[\"x\"]"}])",
       }) {
    check(Api::kChat, codec::RequestKind::kChatCompletions, fields);
  }
  for (const std::string_view fields : {
           R"("prompt":"a \ud83d\ude00 b")",
           R"("prompt":["first","second"])",
           R"("prompt":[1, 22,4294967295 ])",
           R"("prompt":[[7,8],[9]])",
       }) {
    check(Api::kCompletions, codec::RequestKind::kCompletions, fields);
  }
}

TEST_F(RequestParsing, ToolsComeFirstWhereverTheyStand) {
  const Tokens before =
      parse(Api::kChat, R"({"tools":[{"a":1}],"messages":[{"role":"user","content":"x"}]})").tokens;
  const Tokens after =
      parse(Api::kChat, R"({"messages":[{"role":"user","content":"x"}],"tools":[{"a":1}]})").tokens;
  EXPECT_EQ(before, after);
  const Tokens none = parse(Api::kChat, R"({"messages":[{"role":"user","content":"x"}]})").tokens;
  EXPECT_TRUE(std::equal(none.rbegin(), none.rend(), before.rbegin()));
  EXPECT_GT(before.size(), none.size());
}

TEST_F(RequestParsing, CountingGivesTheSameCounts) {
  const std::string_view bodies[] = {
      R"({"tools":[{}],"messages":[{"role":"user","content":[{"type":"text","text":"abcde"}]}]})",
      R"({"messages":[{"role":"assistant","content":null,"tool_calls":[{"id":"1"}]}]})"};
  for (const std::string_view body : bodies) {
    const std::int64_t counted = parse(Api::kChat, body, PromptUse::kCount).prompts[0].count;
    EXPECT_TRUE(request_.tokens.empty());
    EXPECT_EQ(parse(Api::kChat, body).prompts[0].count, counted);
    EXPECT_EQ(static_cast<std::int64_t>(request_.tokens.size()), counted);
  }
}

TEST_F(RequestParsing, ReadsEveryField) {
  const auto& request = parse(Api::kCompletions, R"({"model":"m\u0031","prompt":"abcd","n":2,
      "max_tokens":16.0,"seed":9007199254740993,"ignore_eos":true,"stream":true,"cache_salt":"s",
      "stream_options":{"include_usage":true,"continuous_usage_stats":true},
      "temperature":0.5,"logprobs":null,"unknown":{"a":[1,{"b":"}"}]}})");
  EXPECT_EQ(request.model, "m1");
  EXPECT_EQ(request.n, 2);
  EXPECT_EQ(request.max_tokens, 16);
  EXPECT_EQ(request.seed, 9007199254740993);
  EXPECT_TRUE(request.ignore_eos && request.stream && request.include_usage);
  EXPECT_TRUE(request.continuous_usage);
  EXPECT_EQ(request.cache_salt, "s");
}

TEST_F(RequestParsing, NothingOfARequestStaysForTheNext) {
  parse(Api::kCompletions, R"({"model":"m","prompt":"x","n":3,"stream":true,"max_tokens":4})");
  const auto& request = parse(Api::kChat, R"({"messages":[{"role":"user","content":"x"}]})");
  EXPECT_TRUE(request.model.empty());
  EXPECT_EQ(request.n, 1);
  EXPECT_FALSE(request.stream);
  EXPECT_FALSE(request.max_tokens.has_value());
}

TEST_F(RequestParsing, RefusalsNameTheField) {
  EXPECT_EQ(refusal(Api::kChat, "[1]"), "body");
  EXPECT_EQ(refusal(Api::kChat, R"({"messages":{}})"), "body.messages");
  EXPECT_EQ(refusal(Api::kChat, R"({"messages":[{"content":"x"}]})"), "body.messages.role");
  EXPECT_EQ(refusal(Api::kChat, R"({"messages":[{"role":"user","content":[{"type":"image_url",
      "image_url":{"url":"data:"}}]}]})"),
            "messages");
  EXPECT_EQ(refusal(Api::kChat, R"({"messages":[],"stream":1})"), "body.stream");
  EXPECT_EQ(refusal(Api::kChat, R"({"messages":[],"max_tokens":1.5})"), "body.max_tokens");
  EXPECT_EQ(refusal(Api::kCompletions, R"({"prompt":[1,-2]})"), "body.prompt");
  EXPECT_EQ(refusal(Api::kCompletions, R"({"prompt":["a",5]})"), "body.prompt");
  EXPECT_EQ(refusal(Api::kCompletions, R"({"prompt":[4294967296]})"), "prompt");
  EXPECT_EQ(refusal(Api::kCompletions, R"({"prompt":"x","n":1025})"), "n");
  EXPECT_EQ(refusal(Api::kCompletions, R"({"prompt":"x"} {})"), "body.15");
}

TEST(OutputText, IsFourBytesATokenAndReadsBackAsTheSameTokens) {
  std::string text;
  Tokens said;
  append_output_text(text, 42, 0, 100);
  append_output_tokens(said, 42, 0, 100);
  ASSERT_EQ(text.size(), 400U);
  Tokens read;
  tokens::append_text_tokens(text, read);
  EXPECT_EQ(read, said);
  EXPECT_EQ(text.find_first_not_of(" abcdefghijklmnopqrstuvwxyz"), std::string::npos);
  std::string pieces;
  append_output_text(pieces, 42, 0, 33);
  append_output_text(pieces, 42, 33, 67);
  EXPECT_EQ(pieces, text);
}

}  // namespace
}  // namespace fairlead::engine
