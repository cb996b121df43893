// SPDX-License-Identifier: Apache-2.0
#include "core/codec/chat_scanner.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <simdjson.h>

#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "core/codec/testing/test_data.h"

namespace fairlead::codec {
namespace {

constexpr std::size_t kMaxBody = 1 << 20;

struct Scan {
  explicit Scan(std::string text, RequestKind kind = RequestKind::kChatCompletions)
      : body(std::move(text)), scanner(kMaxBody), status(scanner.scan(kind, body, request)) {}

  [[nodiscard]] std::vector<std::string> spans() const {
    std::vector<std::string> texts;
    for (const PromptSpan& span : request.spans) texts.emplace_back(span.text);
    return texts;
  }

  std::string body;
  ChatScanner scanner;
  ScannedRequest request;
  ScanStatus status;
};

Scan scan_prompt(const std::string& prompt) {
  return Scan(R"({"model":"m","prompt":)" + prompt + "}", RequestKind::kCompletions);
}

Scan scan_messages(const std::string& messages) {
  return Scan(R"({"model":"m","messages":)" + messages + "}");
}

using Texts = std::vector<std::string>;

TEST(ChatScanner, ReadsACapturedChatRequest) {
  const Scan scan(read_testdata("chat_request.json"));
  ASSERT_TRUE(scan.status.ok()) << scan.status.message();
  EXPECT_EQ(scan.request.model, "tiny");
  EXPECT_EQ(scan.body.substr(scan.request.model_range.begin, 6), "\"tiny\"");
  EXPECT_EQ(scan.request.model_range.end - scan.request.model_range.begin, 6U);
  EXPECT_TRUE(scan.request.stream);
  EXPECT_TRUE(scan.request.include_usage);
  EXPECT_EQ(scan.request.max_tokens, 6U);
  EXPECT_FALSE(scan.request.max_completion_tokens);
  EXPECT_EQ(scan.request.n, 1U);
  EXPECT_EQ(scan.spans(), Texts{"def main(argv):"});
  EXPECT_EQ(scan.request.spans[0].role, SpanRole::kUser);
  const ByteRange options = scan.request.stream_options_range;
  EXPECT_EQ(scan.body.substr(options.begin, options.end - options.begin),
            R"({"include_usage": true})");
}

TEST(ChatScanner, ReadsACapturedCompletionRequest) {
  const Scan scan(read_testdata("completion_request.json"), RequestKind::kCompletions);
  ASSERT_TRUE(scan.status.ok()) << scan.status.message();
  EXPECT_EQ(scan.request.n, 2U);
  EXPECT_TRUE(scan.request.stream);
  EXPECT_FALSE(scan.request.include_usage);
  EXPECT_EQ(scan.spans(), Texts{"import os"});
  EXPECT_EQ(scan.request.spans[0].role, SpanRole::kPrompt);
}

TEST(ChatScanner, KeepsSpansRawAndInOrderWithTheRoleOfTheirMessage) {
  const Scan scan = scan_messages(
      R"([{"role":"system","content":"a\n\"b\""} , {"content":"late role","role":"user"},)"
      R"({"role":"assistant","content":null,"tool_calls":[ {"id":"x"} ]},)"
      R"({"role":"tool","content":"","tool_call_id":"x"}])");
  ASSERT_TRUE(scan.status.ok()) << scan.status.message();
  EXPECT_EQ(scan.spans(), (Texts{R"(a\n\"b\")", "late role", R"([ {"id":"x"} ])", "", "x"}));
  const std::vector<SpanRole> roles{SpanRole::kSystem, SpanRole::kUser, SpanRole::kAssistant,
                                    SpanRole::kTool, SpanRole::kTool};
  for (std::size_t i = 0; i < roles.size(); ++i) EXPECT_EQ(scan.request.spans[i].role, roles[i]);
  EXPECT_EQ(scan.request.text_bytes, 8U + 9U + 14U + 1U);
}

TEST(ChatScanner, PutsToolsBeforeMessagesWhereverTheyStand) {
  const std::string messages = R"("messages":[{"role":"user","content":"hi"}])";
  const std::string tools = R"("tools":[{"type":"function"}])";
  const std::string kwargs = R"("chat_template_kwargs":{"thinking":true})";
  const Scan behind(R"({"model":"m",)" + messages + "," + tools + "," + kwargs + "}");
  const Scan before(R"({)" + tools + "," + kwargs + "," + messages + R"(,"model":"m"})");
  ASSERT_TRUE(behind.status.ok() && before.status.ok());
  const Texts expected{R"({"thinking":true})", R"([{"type":"function"}])", "hi"};
  EXPECT_EQ(behind.spans(), expected);
  EXPECT_EQ(before.spans(), expected);
  EXPECT_EQ(behind.request.spans[1].role, SpanRole::kTools);
}

TEST(ChatScanner, CountsContentPartsAsTextOrOpaqueAndIgnoresCacheMarks) {
  const Scan scan = scan_messages(
      R"([{"role":"user","content":[{"type":"text","text":"see","cache_control":{"type":"e"}},)"
      R"({"type":"image_url","image_url":{"url":"data:abc"}},"bare",)"
      R"({"type":"text","text":"it"}]}])");
  ASSERT_TRUE(scan.status.ok()) << scan.status.message();
  EXPECT_EQ(scan.spans(), (Texts{"see", R"({"url":"data:abc"})", "bare", "it"}));
  EXPECT_EQ(scan.request.spans[1].kind, SpanKind::kOpaque);
  EXPECT_EQ(scan.request.text_bytes, 9U);
  EXPECT_EQ(scan.request.opaque_bytes, 18U);
}

TEST(ChatScanner, ReadsEveryFormOfPrompt) {
  EXPECT_EQ(scan_prompt(R"(["a" , "b\u0041"])").spans(), (Texts{"a", R"(b\u0041)"}));
  const Scan tokens = scan_prompt("[ 1, 22 ,333 ]");
  EXPECT_EQ(tokens.spans(), Texts{"1, 22 ,333"});
  EXPECT_EQ(tokens.request.prompt_tokens, 3U);
  EXPECT_EQ(tokens.request.spans[0].kind, SpanKind::kTokens);
  const Scan batches = scan_prompt("[[1,2],[],[3]]");
  ASSERT_TRUE(batches.status.ok()) << batches.status.message();
  EXPECT_EQ(batches.spans(), (Texts{"1,2", "", "3"}));
  EXPECT_EQ(batches.request.prompt_tokens, 3U);
  EXPECT_TRUE(scan_prompt("[]").status.ok());
  for (const char* wrong :
       {"1", "{}", "[1,\"a\"]", "[\"a\",1]", "[[1],2]", "[-1]", "[1.5]", "[true]", "[[\"a\"]]"}) {
    EXPECT_EQ(scan_prompt(wrong).status.error, ScanError::kWrongType) << wrong;
  }
}

TEST(ChatScanner, ResolvesEscapesInKeysAndInTheModel) {
  const Scan scan(R"({"mod\u0065l":"org\/m\u00fc\ud83d\ude00","messages":[]})");
  ASSERT_TRUE(scan.status.ok()) << scan.status.message();
  EXPECT_EQ(scan.request.model, "org/m\xc3\xbc\xf0\x9f\x98\x80");
  EXPECT_EQ(scan.body[scan.request.model_range.begin], '"');
  EXPECT_EQ(scan.body[scan.request.model_range.end], ',');
  const Scan twice(R"({"model":"a","m\u006fdel":"b","messages":[]})");
  EXPECT_EQ(twice.status.error, ScanError::kDuplicateField);
  EXPECT_EQ(Scan(R"({"model":"a\x","messages":[]})").status.error, ScanError::kInvalidJson);
}

struct Refusal {
  std::string body;
  ScanError error;
  const char* field;
};

std::string many_empty_texts(std::size_t count) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) text += "\"\",";
  return text;
}

TEST(ChatScanner, RefusesWithATypedErrorThatNamesTheField) {
  const std::vector<Refusal> refusals{
      {"", ScanError::kEmptyBody, ""},
      {" \n", ScanError::kEmptyBody, ""},
      {"[]", ScanError::kNotAnObject, ""},
      {"\"x\"", ScanError::kNotAnObject, ""},
      {"{", ScanError::kInvalidJson, ""},
      {"{}", ScanError::kMissingField, "model"},
      {R"({"model":"m"})", ScanError::kMissingField, "messages"},
      {R"({"messages":[]})", ScanError::kMissingField, "model"},
      {R"({"model":3,"messages":[]})", ScanError::kWrongType, "model"},
      {R"({"model":null,"messages":[]})", ScanError::kWrongType, "model"},
      {R"({"model":"m","messages":{}})", ScanError::kWrongType, "messages"},
      {R"({"model":"m","messages":["x"]})", ScanError::kWrongType, "messages[]"},
      {R"({"model":"m","messages":[{"content":"x"}]})", ScanError::kMissingField,
       "messages[].role"},
      {R"({"model":"m","messages":[{"role":"user","content":1}]})", ScanError::kWrongType,
       "messages[].content"},
      {R"({"model":"m","messages":[],"stream":"yes"})", ScanError::kWrongType, "stream"},
      {R"({"model":"m","messages":[],"max_tokens":-1})", ScanError::kWrongType, "max_tokens"},
      {R"({"model":"m","messages":[],"max_tokens":1e3})", ScanError::kWrongType, "max_tokens"},
      {R"({"model":"m","messages":[],"n":99999999999999999999})", ScanError::kWrongType, "n"},
      {R"({"model":"m","messages":[],"stream_options":[]})", ScanError::kWrongType,
       "stream_options"},
      {R"({"model":"m","messages":[],"model":"m"})", ScanError::kDuplicateField, "model"},
      {R"({"model":"m","messages":[],"messages":[]})", ScanError::kDuplicateField, "messages"},
      {R"({"model":"m","messages":[{"role":"user","content":[)" + many_empty_texts(70'000) +
           R"(""]}]})",
       ScanError::kTooManyParts, ""},
      {R"({"model":"m","messages":[]} x)", ScanError::kInvalidJson, ""},
      {R"({"model":"m","messages":[]}{})", ScanError::kInvalidJson, ""},
      {R"({"model":"m","messages":[],"x":[1}})", ScanError::kInvalidJson, ""},
      {R"({"model":"m","messages":[],"x":tru})", ScanError::kInvalidJson, ""},
      {R"({"model":"m","messages":[],"x":01})", ScanError::kInvalidJson, ""},
      {R"({"model":"m","messages":[],})", ScanError::kInvalidJson, ""},
      {"{\"model\":\"m\xff\",\"messages\":[]}", ScanError::kInvalidUtf8, ""},
      {"{\"model\":\"m\n\",\"messages\":[]}", ScanError::kInvalidJson, ""},
  };
  for (const Refusal& refusal : refusals) {
    const Scan scan(refusal.body);
    EXPECT_EQ(scan.status.error, refusal.error) << refusal.body << ": " << scan.status.message();
    EXPECT_EQ(scan.status.field, refusal.field) << refusal.body;
    EXPECT_FALSE(scan.status.message().empty());
  }
}

TEST(ChatScanner, BoundsDepthModelAndBody) {
  const auto nested = [](std::size_t levels) {
    return R"({"model":"m","messages":[],"x":)" + std::string(levels, '[') +
           std::string(levels, ']') + "}";
  };
  EXPECT_TRUE(Scan(nested(ChatScanner::kMaxDepth - 1)).status.ok());
  EXPECT_EQ(Scan(nested(ChatScanner::kMaxDepth)).status.error, ScanError::kTooDeep);
  EXPECT_EQ(Scan(nested(100'000)).status.error, ScanError::kTooDeep);
  const std::string name(ChatScanner::kMaxModelBytes + 1, 'm');
  EXPECT_EQ(Scan(R"({"model":")" + name + R"(","messages":[]})").status.error,
            ScanError::kModelNameTooLong);
  EXPECT_EQ(Scan(std::string(kMaxBody + 1, ' ')).status.error, ScanError::kBodyTooLarge);
}

TEST(ChatScanner, SaysWhereFieldsCanBeInserted) {
  const Scan scan(" {\t\"model\":\"m\",\"messages\":[]}");
  EXPECT_EQ(scan.request.fields_begin, 2U);
  EXPECT_TRUE(scan.request.has_fields);
  EXPECT_TRUE(scan.request.stream_options_range.empty());
}

TEST(ChatScanner, ForgetsTheRequestBefore) {
  ChatScanner scanner(kMaxBody);
  ScannedRequest request;
  const std::string first =
      R"({"model":"a","messages":[{"role":"user","content":"x"}],"stream":true,"max_tokens":5,)"
      R"("cache_salt":"s","user":"u","n":3,"tools":[1]})";
  const std::string second = R"({"model":"b","messages":[]})";
  ASSERT_TRUE(scanner.scan(RequestKind::kChatCompletions, first, request).ok());
  EXPECT_EQ(request.cache_salt, "s");
  EXPECT_EQ(request.user, "u");
  EXPECT_EQ(request.spans.size(), 2U);
  ASSERT_TRUE(scanner.scan(RequestKind::kChatCompletions, second, request).ok());
  EXPECT_EQ(request.model, "b");
  EXPECT_FALSE(request.stream || request.max_tokens);
  EXPECT_TRUE(request.spans.empty() && request.cache_salt.empty() && request.user.empty());
  EXPECT_EQ(request.n, 1U);
}

// A random JSON value without escapes in strings, which are not checked, and without numbers
// beyond 64 bits, which the oracle refuses.
std::string random_json(int depth) {
  const int kind = *rc::gen::inRange(0, depth > 0 ? 9 : 7);
  const std::vector<std::string> scalars{"true", "null", "-1.5e3", "0", "12", "\"a{],\"", "\"\""};
  if (kind < 7) return scalars[static_cast<std::size_t>(kind)];
  std::string out(1, kind == 7 ? '{' : '[');
  const int count = *rc::gen::inRange(0, 4);
  for (int i = 0; i < count; ++i) {
    if (i > 0) out += " ,";
    if (kind == 7) out += "\"k" + std::to_string(i) + "\": ";
    out += random_json(depth - 1);
  }
  return out + (kind == 7 ? "}" : "]");
}

TEST(ChatScanner, AcceptsInSkippedFieldsExactlyWhatIsJson) {
  simdjson::dom::parser oracle;
  ChatScanner scanner(kMaxBody);
  ScannedRequest request;
  int refused = 0;
  const bool held = rc::check([&] {
    std::string body = R"({"model":"m","messages":[],"x":)";
    const std::size_t begin = body.size();
    body += random_json(4) + "}";
    const int edits = *rc::gen::inRange(0, 3);
    for (int i = 0; i < edits; ++i) {
      const std::size_t at = *rc::gen::inRange(begin, body.size());
      const char c = *rc::gen::elementOf(std::string("{}[]:,\"1te- "));
      if (*rc::gen::arbitrary<bool>()) {
        body[at] = c;
      } else {
        body.insert(at, 1, c);
      }
    }
    const bool valid = oracle.parse(body).error() == simdjson::SUCCESS;
    const ScanStatus status = scanner.scan(RequestKind::kChatCompletions, body, request);
    if (!valid) ++refused;
    // Another key "model" may come about by an edit; that is no matter of grammar.
    if (status.error != ScanError::kDuplicateField) RC_ASSERT(status.ok() == valid);
  });
  EXPECT_TRUE(held);
  EXPECT_GT(refused, 10);
}

}  // namespace
}  // namespace fairlead::codec
