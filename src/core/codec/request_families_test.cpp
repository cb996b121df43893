// SPDX-License-Identifier: Apache-2.0
// The scanner on the bodies of the routes that are no chat.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "core/codec/chat_scanner.h"

namespace fairlead::codec {
namespace {

using Texts = std::vector<std::string>;

struct Scan {
  Scan(RequestKind kind, std::string text)
      : body(std::move(text)), scanner(1 << 20), status(scanner.scan(kind, body, request)) {}

  Texts spans() const {
    Texts texts;
    for (const PromptSpan& span : request.spans) texts.emplace_back(span.text);
    return texts;
  }
  std::vector<SpanRole> roles() const {
    std::vector<SpanRole> out;
    for (const PromptSpan& span : request.spans) out.push_back(span.role);
    return out;
  }
  std::vector<SpanKind> kinds() const {
    std::vector<SpanKind> out;
    for (const PromptSpan& span : request.spans) out.push_back(span.kind);
    return out;
  }

  std::string body;
  ChatScanner scanner;
  ScannedRequest request;
  ScanStatus status;
};

Scan messages(const std::string& fields) {
  return {RequestKind::kMessages, R"({"model":"m",)" + fields + "}"};
}
Scan responses(const std::string& fields) {
  return {RequestKind::kResponses, R"({"model":"m",)" + fields + "}"};
}

TEST(MessagesFields, AreReadAndSpansStandInRenderedOrderWhateverTheirOrderInTheBody) {
  const Scan scan = messages(
      R"("messages":[{"role":"user","content":"q"}],"system":"sy\ns","max_tokens":7,)"
      R"("tools":[{"name":"t"}],"stream":true,"metadata":{"x":1,"user_id":"u"},"thinking":{})");
  ASSERT_TRUE(scan.status.ok()) << scan.status.message();
  EXPECT_EQ(scan.spans(), (Texts{R"([{"name":"t"}])", R"(sy\ns)", "q"}));
  EXPECT_EQ(scan.roles(), (std::vector{SpanRole::kTools, SpanRole::kSystem, SpanRole::kUser}));
  EXPECT_EQ(scan.request.max_tokens, 7U);
  EXPECT_EQ(scan.request.user, "u");
  EXPECT_TRUE(scan.request.stream);
}

TEST(MessagesFields, SpansDoNotDependOnTheOrderOfFields) {
  const bool held = rc::check([] {
    Texts fields{R"("model":"m")",
                 R"("messages":[{"role":"user","content":["a","b"]}])",
                 R"("system":[{"type":"text","text":"s1"},{"type":"text","text":"s2"}])",
                 R"("tools":[1])",
                 R"("chat_template_kwargs":{"k":2})",
                 R"("other":"x")"};
    for (std::size_t i = fields.size(); i > 1; --i) {
      std::swap(fields[i - 1], fields[*rc::gen::inRange<std::size_t>(0, i)]);
    }
    std::string body = "{";
    for (const std::string& field : fields) body += (body.size() > 1 ? "," : "") + field;
    const Scan scan(RequestKind::kMessages, body + "}");
    RC_ASSERT(scan.status.ok());
    RC_ASSERT(scan.spans() == (Texts{R"({"k":2})", "[1]", "s1", "s2", "a", "b"}));
  });
  EXPECT_TRUE(held);
}

TEST(MessagesFields, EveryKindOfBlockIsSeen) {
  const Scan scan = messages(
      R"("system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}],"messages":[)"
      R"({"role":"user","content":[{"type":"text","text":"t"},)"
      R"({"type":"image","source":{"type":"base64","data":"AAAA"}}]},)"
      R"({"role":"assistant","content":[{"type":"thinking","thinking":"h","signature":"sig"},)"
      R"({"type":"tool_use","id":"i","name":"f","input":{"a":1}}]},)"
      R"({"content":[{"type":"tool_result","tool_use_id":"i","is_error":false,)"
      R"("content":[{"type":"text","text":"r"},{"type":"image","source":"x"}]},)"
      R"({"type":"tool_result","tool_use_id":"j","content":"plain"}],"role":"user"}])");
  ASSERT_TRUE(scan.status.ok()) << scan.status.message();
  EXPECT_EQ(scan.spans(), (Texts{"s", "t", R"({"type":"base64","data":"AAAA"})", "h", "i", "f",
                                 R"({"a":1})", "i", "r", "x", "j", "plain"}));
  EXPECT_EQ(scan.request.spans[2].kind, SpanKind::kOpaque);
  EXPECT_EQ(scan.request.spans[9].kind, SpanKind::kOpaque);
  EXPECT_EQ(scan.request.spans[8].kind, SpanKind::kText);
  EXPECT_EQ(scan.request.spans[8].role, SpanRole::kUser);
  EXPECT_EQ(scan.request.spans[6].role, SpanRole::kAssistant);
}

TEST(MessagesFields, ABlockThatDiffersWithEveryRequestIsLeftOut) {
  const Scan scan =
      messages(R"("system":[{"type":"text","text":"x-anthropic-billing-header: cch=1;"},)"
               R"({"type":"text","text":"You are"}],"messages":[{"role":"user","content":"q"}])");
  EXPECT_EQ(scan.spans(), (Texts{"You are", "q"}));
}

TEST(MessagesFields, FaultsNameTheField) {
  const std::pair<std::string, std::pair<ScanError, std::string_view>> cases[] = {
      {R"("max_tokens":1)", {ScanError::kMissingField, "messages"}},
      {R"("messages":{})", {ScanError::kWrongType, "messages"}},
      {R"("messages":[1])", {ScanError::kWrongType, "messages[]"}},
      {R"("messages":[{"content":"x"}])", {ScanError::kMissingField, "messages[].role"}},
      {R"("messages":[],"system":5)", {ScanError::kWrongType, "system"}},
      {R"("messages":[],"system":[{"text":5}])", {ScanError::kWrongType, "system[].text"}},
      {R"("messages":[],"max_tokens":-1)", {ScanError::kWrongType, "max_tokens"}},
      {R"("messages":[],"metadata":[])", {ScanError::kWrongType, "metadata"}},
      {R"("messages":[],"syst\u0065m":"a","system":"b")", {ScanError::kDuplicateField, "system"}},
      {R"("messages":[],"mod\u0065l":"n")", {ScanError::kDuplicateField, "model"}},
      {R"("messages":[{"role":"user","content":"a","content":"b"}])",
       {ScanError::kDuplicateField, "messages[].content"}},
  };
  for (const auto& [fields, expected] : cases) {
    const Scan scan = messages(fields);
    EXPECT_EQ(scan.status.error, expected.first) << fields;
    EXPECT_EQ(scan.status.field, expected.second) << fields;
  }
}

TEST(MessagesFields, AnEmptyKeyIsNoFieldOfOurs) {
  EXPECT_TRUE(Scan(RequestKind::kChatCompletions,
                   R"({"model":"m","":1,"messages":[{"":2,"role":"user","content":[{"":3}]}]})")
                  .status.ok());
  EXPECT_TRUE(messages(R"("messages":[{"role":"user","content":[{"":3}]}])").status.ok());
}

TEST(ResponsesFields, AStringIsAUsersTurn) {
  const Scan scan =
      responses(R"("input":"hi","instructions":"be brief","max_output_tokens":5,"stream":true,)"
                R"("tools":[],"previous_response_id":"resp_1","user":"u")");
  ASSERT_TRUE(scan.status.ok()) << scan.status.message();
  EXPECT_EQ(scan.spans(), (Texts{"[]", "be brief", "hi"}));
  EXPECT_EQ(scan.roles(), (std::vector{SpanRole::kTools, SpanRole::kSystem, SpanRole::kUser}));
  EXPECT_EQ(scan.request.max_tokens, 5U);
  EXPECT_EQ(scan.request.previous_response, "resp_1");
  EXPECT_EQ(responses(R"("input":"x","previous_response_id":null)").request.previous_response, "");
  EXPECT_EQ(responses(R"("input":"x","previous_response_id":1)").status.field,
            "previous_response_id");
}

TEST(ResponsesFields, ItemsAreMessagesCallsAndOutputs) {
  const Scan scan =
      responses(R"("input":[{"role":"user","content":[{"type":"input_text","text":"a"},)"
                R"({"type":"input_image","image_url":"data:x","detail":"low"}]},)"
                R"({"type":"message","role":"assistant","id":"msg_1","status":"completed",)"
                R"("content":[{"type":"output_text","text":"b","annotations":[]}]},)"
                R"({"type":"function_call","call_id":"c","name":"f","arguments":"{}","id":"fc"},)"
                R"({"type":"function_call_output","call_id":"c","output":"r"}])");
  ASSERT_TRUE(scan.status.ok()) << scan.status.message();
  EXPECT_EQ(scan.spans(), (Texts{"a", "data:x", "b", "c", "f", "{}", "c", "r"}));
  EXPECT_EQ(scan.request.spans[1].kind, SpanKind::kOpaque);
  EXPECT_EQ(scan.request.spans[2].role, SpanRole::kAssistant);
}

TEST(ResponsesFields, FaultsNameTheField) {
  EXPECT_EQ(responses(R"("instructions":"x")").status.field, "input");
  EXPECT_EQ(responses(R"("input":5)").status.field, "input");
  EXPECT_EQ(responses(R"("input":[[]])").status.field, "input[]");
  EXPECT_EQ(responses(R"("input":"x","instructions":[])").status.field, "instructions");
  EXPECT_EQ(responses(R"("input":"x","input":"y")").status.error, ScanError::kDuplicateField);
}

TEST(InputFields, EmbeddingsTakeTextsAndTokens) {
  const auto scan = [](const std::string& input) {
    return Scan(RequestKind::kEmbeddings, R"({"model":"e","input":)" + input + "}");
  };
  EXPECT_EQ(scan(R"("abcd")").request.text_bytes, 4U);
  EXPECT_EQ(scan(R"(["ab","cd"])").request.text_bytes, 4U);
  EXPECT_EQ(scan("[1,2,3]").request.prompt_tokens, 3U);
  EXPECT_EQ(scan("[[1,2],[3]]").request.prompt_tokens, 3U);
  EXPECT_EQ(scan("{}").status.field, "input");
  EXPECT_EQ(scan("[1,\"a\"]").status.field, "input[]");
  EXPECT_EQ(Scan(RequestKind::kEmbeddings, R"({"model":"e"})").status.field, "input");
  EXPECT_TRUE(
      Scan(RequestKind::kEmbeddings, R"({"model":"e","messages":[{"role":"user","content":"x"}]})")
          .status.ok());
}

TEST(InputFields, OfRerankAndScoreTheSizeCounts) {
  EXPECT_EQ(
      Scan(RequestKind::kRerank, R"({"model":"r","query":"ab","documents":["cd",{"text":"e"}]})")
          .request.text_bytes,
      2 + std::string_view(R"(["cd",{"text":"e"}])").size());
  EXPECT_EQ(
      Scan(RequestKind::kRerank, R"({"model":"r","text_1":"ab","text_2":"cd"})").request.text_bytes,
      4U);
  EXPECT_EQ(Scan(RequestKind::kRerank, R"({"query":"ab"})").status.field, "model");
  EXPECT_EQ(Scan(RequestKind::kSpeech, R"({"model":"tts","input":"abc"})").request.text_bytes, 3U);
}

TEST(InputFields, OfImagesThePromptsSizeCountsAndTheModelMayBeLeftOut) {
  const Scan scan(RequestKind::kImages, R"({"prompt":"a cat","n":2,"size":"1024x1024"})");
  EXPECT_TRUE(scan.status.ok());
  EXPECT_EQ(scan.request.text_bytes, 5U);
  EXPECT_EQ(Scan(RequestKind::kImages, R"({"model":"m"})").status.field, "prompt");
}

TEST(ResponsesFields, AConversationHasItems) {
  const Scan scan(RequestKind::kConversations,
                  R"({"items":[{"type":"message","role":"user","content":"hi"}],"metadata":{}})");
  ASSERT_TRUE(scan.status.ok()) << scan.status.message();
  EXPECT_EQ(scan.spans(), Texts{"hi"});
  EXPECT_EQ(Scan(RequestKind::kConversations, R"({"metadata":{}})").status.field, "items");
}

TEST(GenerateFields, OfVllmAreTokensLimitsAndWhatTheyStandFor) {
  const Scan scan(RequestKind::kGenerate,
                  R"({"sampling_params":{"n":1,"max_tokens":7,"stop":["x"]},"model":"m",)"
                  R"("token_ids":[1,22,333],"features":{"mm_hashes":{"image":["ab"]}},)"
                  R"("cache_salt":"s","stream":true})");
  ASSERT_TRUE(scan.status.ok()) << scan.status.message();
  EXPECT_EQ(scan.spans(), (Texts{R"({"mm_hashes":{"image":["ab"]}})", "1,22,333"}));
  EXPECT_EQ(scan.kinds(), (std::vector{SpanKind::kOpaque, SpanKind::kTokens}));
  EXPECT_EQ(scan.request.prompt_tokens, 3U);
  EXPECT_EQ(scan.request.max_tokens, 7U);
  EXPECT_EQ(scan.request.cache_salt, "s");
  EXPECT_EQ(scan.request.model, "m");
  EXPECT_TRUE(scan.request.stream);
}

TEST(GenerateFields, OfSglangAreTokensOrTextAndNoModel) {
  const Scan ids(RequestKind::kGenerate,
                 R"({"input_ids":[5,6],"sampling_params":{"max_new_tokens":9},"extra_key":"t"})");
  ASSERT_TRUE(ids.status.ok()) << ids.status.message();
  EXPECT_EQ(ids.request.prompt_tokens, 2U);
  EXPECT_EQ(ids.request.max_tokens, 9U);
  EXPECT_EQ(ids.request.cache_salt, "t");
  EXPECT_EQ(Scan(RequestKind::kGenerate, R"({"text":"abc"})").request.text_bytes, 3U);
  EXPECT_EQ(Scan(RequestKind::kGenerate, R"({"input_ids":[-1]})").status.error,
            ScanError::kWrongType);
  EXPECT_EQ(Scan(RequestKind::kGenerate, R"({"text":"a","extra_key":7})").status.field,
            "extra_key");
  EXPECT_EQ(Scan(RequestKind::kGenerate, R"({"text":"a","sampling_params":[]})").status.field,
            "sampling_params");
  EXPECT_EQ(Scan(RequestKind::kGenerate, R"({"model":"m"})").status.error,
            ScanError::kMissingField);
}

TEST(InputFields, OfTokenizeOnlyTheModelIsReadButAllIsChecked) {
  const Scan scan(RequestKind::kTokenize, R"({"tokens":[1,2],"model":"m"})");
  EXPECT_TRUE(scan.status.ok());
  EXPECT_TRUE(scan.request.spans.empty());
  EXPECT_EQ(Scan(RequestKind::kTokenize, R"({"model":"m","tokens":[1,,2]})").status.error,
            ScanError::kInvalidJson);
  EXPECT_EQ(Scan(RequestKind::kTokenize, R"({"model":"m","x":1}{})").status.error,
            ScanError::kInvalidJson);
}

}  // namespace
}  // namespace fairlead::codec
