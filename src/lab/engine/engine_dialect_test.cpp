// SPDX-License-Identifier: Apache-2.0
// The faces beside chats and completions. The key lists are those of answers captured from vLLM
// 0.32 (messages, responses), or of its protocol classes.
#include <gtest/gtest.h>

#include "core/codec/sse_scanner.h"
#include "lab/engine/testing/engine_fixture.h"

namespace fairlead::engine {
namespace {

using Names = std::vector<std::string>;

class EngineDialect : public EngineFixture {
 protected:
  ClientReply ask(const std::string& path, const std::string& fields) {
    return client_->post(port_, path, R"({"model":"tiny",)" + fields + "}");
  }
  // The "event:" names of a stream.
  static Names event_names(const ClientReply& reply) {
    Names names;
    constexpr std::string_view kField = "event: ";
    for (std::size_t at = 0; (at = reply.body.find(kField, at)) != std::string::npos; ++at) {
      const std::size_t begin = at + kField.size();
      names.push_back(reply.body.substr(begin, reply.body.find('\n', begin) - begin));
    }
    return names;
  }
  static codec::ResponseFacts facts_of(const ClientReply& reply) {
    codec::SseScanner scanner;
    scanner.restart(codec::EventStyle::kTyped);
    scanner.feed(reply.body);
    return scanner.facts();
  }
};

const std::string kMessage = R"("messages":[{"role":"user","content":"def main(argv):"}])";

TEST_F(EngineDialect, MessagesAnswerAsVllmDoes) {
  start();
  const Json answer = json(ask("/v1/messages", kMessage + R"(,"max_tokens":4)"));
  EXPECT_EQ(keys(answer),
            (Names{"id", "type", "role", "content", "model", "stop_reason", "usage"}));
  EXPECT_EQ(keys(answer["usage"]),
            (Names{"input_tokens", "output_tokens", "cache_creation_input_tokens",
                   "cache_read_input_tokens"}));
  EXPECT_EQ(answer["content"][0]["text"].get<std::string>().size(), 16U);
  EXPECT_EQ(answer["stop_reason"], "max_tokens");
  EXPECT_EQ(answer["usage"]["input_tokens"], 7);
  EXPECT_EQ(json(ask("/v1/messages/count_tokens", kMessage)).dump(), R"({"input_tokens":7})");
  const ClientReply reply = ask("/v1/messages", kMessage + R"(,"max_tokens":3,"stream":true)");
  EXPECT_EQ(
      event_names(reply),
      (Names{"message_start", "content_block_start", "content_block_delta", "content_block_delta",
             "content_block_delta", "content_block_stop", "message_delta", "message_stop"}));
  std::string text;
  for (const std::string& event : reply.events()) {
    const Json one = Json::parse(event);
    if (one["type"] == "content_block_delta") text += one["delta"]["text"].get<std::string>();
  }
  EXPECT_EQ(text, answer["content"][0]["text"].get<std::string>().substr(0, 12));
  EXPECT_TRUE(facts_of(reply).done);
  EXPECT_EQ(facts_of(reply).usage->prompt_tokens, 7U);
  EXPECT_EQ(facts_of(reply).usage->completion_tokens, 3U);
}

TEST_F(EngineDialect, ResponsesAnswerAsVllmDoes) {
  start();
  const Json answer = json(ask("/v1/responses", R"("input":"import os","max_output_tokens":4)"));
  EXPECT_EQ(keys(answer).size(), 32U);
  EXPECT_EQ(keys(answer)[6], "object");
  EXPECT_EQ(answer["status"], "incomplete");
  EXPECT_EQ(answer["output"][0]["content"][0]["text"].get<std::string>().size(), 16U);
  EXPECT_EQ(answer["usage"]["output_tokens"], 4);
  const ClientReply reply =
      ask("/v1/responses", R"("input":"import os","max_output_tokens":2,"stream":true)");
  EXPECT_EQ(event_names(reply), (Names{"response.created", "response.in_progress",
                                       "response.output_item.added", "response.content_part.added",
                                       "response.output_text.delta", "response.output_text.delta",
                                       "response.output_text.done", "response.content_part.done",
                                       "response.output_item.done", "response.completed"}));
  std::uint64_t number = 0;
  for (const std::string& event : reply.events()) {
    EXPECT_EQ(Json::parse(event)["sequence_number"], number++);
  }
  EXPECT_EQ(facts_of(reply).usage->completion_tokens, 2U);
  EXPECT_EQ(ask("/v1/responses", R"("input":"x","previous_response_id":"resp_1")").status, 404);
}

TEST_F(EngineDialect, AResponseIsContinuedByItsId) {
  start();
  const auto begin = [&](std::string_view more) {
    return json(
        ask("/v1/responses", R"("input":"import os","max_output_tokens":4)" + std::string(more)));
  };
  const auto go_on = [&](const std::string& id) {
    return ask("/v1/responses",
               R"("input":"go on","max_output_tokens":4,"previous_response_id":")" + id + "\"");
  };
  const Json first = begin("");
  const Json second = json(go_on(first["id"]));
  EXPECT_EQ(second["previous_response_id"], first["id"]);
  const std::int64_t before = first["usage"]["total_tokens"];
  EXPECT_GT(second["usage"]["input_tokens"], before) << "all of it, and what is new";
  const Json third = json(go_on(second["id"]));
  EXPECT_GT(third["usage"]["input_tokens"], second["usage"]["total_tokens"]);
  EXPECT_EQ(go_on(begin(R"(,"store":false)")["id"]).status, 404);
  EXPECT_EQ(client_->post(port_, "/reset", "").status, 200);
  EXPECT_EQ(go_on(first["id"]).status, 404) << "it was in memory";
}

TEST(StoredResponses, TheOldestMakeRoom) {
  StoredResponses stored;
  for (std::size_t i = 0; i <= StoredResponses::kResponsesMax; ++i) {
    stored.keep(std::to_string(i), {{}, 1});
  }
  EXPECT_EQ(stored.find("0"), nullptr);
  ASSERT_NE(stored.find("1"), nullptr);
  stored.keep("long", {{}, StoredResponses::kTokensMax});
  EXPECT_EQ(stored.find("1"), nullptr);
  ASSERT_NE(stored.find("long"), nullptr);
  stored.keep("long", {{}, 2});
  stored.keep("other", {{}, StoredResponses::kTokensMax - 2});
  EXPECT_NE(stored.find("long"), nullptr) << "what was replaced counts no more";
}

TEST_F(EngineDialect, FacesShareTokensAndCache) {
  start();
  const std::string text(4000, 'x');
  const std::string list = R"("messages":[{"role":"user","content":")" + text + "\"}]";
  const Json first = json(client_->post(port_, "/v1/chat/completions",
                                        R"({"model":"tiny","max_tokens":1,)" + list + "}"));
  const std::int64_t tokens = first["usage"]["prompt_tokens"];
  const Json second = json(ask("/v1/messages", list + R"(,"max_tokens":1)"));
  EXPECT_EQ(second["usage"]["input_tokens"], tokens);
  EXPECT_GT(second["usage"]["cache_read_input_tokens"], tokens - 32);
  const Json third =
      json(ask("/v1/responses", R"("input":")" + text + R"(","max_output_tokens":1)"));
  EXPECT_EQ(third["usage"]["input_tokens"], tokens);
  EXPECT_GT(third["usage"]["input_tokens_details"]["cached_tokens"], tokens - 32);
}

TEST_F(EngineDialect, SystemToolsBlocksAndItemsArePartOfThePrompt) {
  start();
  const auto count = [&](const std::string& fields) {
    return json(ask("/v1/messages/count_tokens", fields))["input_tokens"].get<int>();
  };
  const int plain = count(R"("messages":[])");
  EXPECT_EQ(count(R"("messages":[],"system":"12345678")"), plain + 4);
  EXPECT_EQ(count(R"("messages":[],"system":[{"type":"text","text":"12345678"}])"), plain + 4);
  EXPECT_EQ(count(R"("messages":[],"tools":[1234])"), plain + 4);
  EXPECT_EQ(count(R"("messages":[{"role":"user","content":[{"type":"tool_result","content":)"
                  R"([{"type":"text","text":"1234"}]}]}])"),
            plain + 3);
  EXPECT_EQ(ask("/v1/messages/count_tokens",
                R"("messages":[{"role":"user","content":[{"type":"image","source":{}}]}])")
                .status,
            400);
  const Json answer = json(ask("/v1/responses",
                               R"("max_output_tokens":1,"instructions":"1234","input":[)"
                               R"({"role":"user","content":[{"type":"input_text","text":"1234"}]},)"
                               R"({"type":"function_call","name":"1234","arguments":"{}"},)"
                               R"({"type":"function_call_output","output":"1234"}])"));
  EXPECT_EQ(answer["usage"]["input_tokens"], 3 + 3 + 4 + 3 + 1);
}

TEST_F(EngineDialect, EmbeddingsAreVectorsOfTheirTextsAndCachedByNobody) {
  start();
  const ClientReply reply = ask("/v1/embeddings", R"("input":["abcd","efgh","abcd"])");
  const Json answer = json(reply);
  EXPECT_EQ(keys(answer), (Names{"id", "object", "created", "model", "data", "usage"}));
  ASSERT_EQ(answer["data"].size(), 3U);
  EXPECT_EQ(answer["data"][0]["embedding"].size(), 64U);
  EXPECT_EQ(answer["data"][0]["embedding"], answer["data"][2]["embedding"]);
  EXPECT_NE(answer["data"][0]["embedding"], answer["data"][1]["embedding"]);
  EXPECT_EQ(answer["usage"]["prompt_tokens"], 3);
  EXPECT_EQ(answer["usage"]["completion_tokens"], 0);
  const Json packed =
      json(ask("/v1/embeddings", R"("input":[1,2],"encoding_format":"base64","dimensions":3)"));
  EXPECT_EQ(packed["data"][0]["embedding"].get<std::string>().size(), 16U);  // 12 bytes.
  EXPECT_EQ(packed["usage"]["prompt_tokens"], 2);
  const std::string long_text = R"("input":")" + std::string(4000, 'x') + "\"";
  EXPECT_EQ(ask("/v1/embeddings", long_text).status, 200);
  EXPECT_EQ(ask("/v1/embeddings", long_text).status, 200);
  const std::string metrics = client_->get(port_, "/metrics").body;
  for (const char* name : {"\nvllm:prefix_cache_hits_total{", "\nvllm:generation_tokens_total{"}) {
    const std::size_t at = metrics.find(name);
    ASSERT_NE(at, std::string::npos) << name;
    const std::string line = metrics.substr(at + 1, metrics.find('\n', at + 1) - at - 1);
    EXPECT_EQ(std::stod(line.substr(line.rfind(' '))), 0) << line;
  }
}

TEST_F(EngineDialect, RerankSortsByRelevance) {
  start();
  const Json answer =
      json(ask("/rerank", R"("query":"q","documents":["one",{"text":"two"},"three"],"top_n":2)"));
  EXPECT_EQ(keys(answer), (Names{"id", "model", "usage", "results"}));
  ASSERT_EQ(answer["results"].size(), 2U);
  EXPECT_GE(answer["results"][0]["relevance_score"], answer["results"][1]["relevance_score"]);
  EXPECT_EQ(keys(answer["results"][0]), (Names{"index", "document", "relevance_score"}));
  EXPECT_EQ(ask("/v2/rerank", R"("query":"q","documents":[])").status, 400);
}

TEST_F(EngineDialect, TranscriptionsTakeFormsAndStreamOnRequest) {
  start();
  const auto post = [&](const std::string& more) {
    const std::string body =
        "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n" +
        std::string(64'000, 'x') +
        "\r\n--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\ntiny\r\n" + more +
        "--b--\r\n";
    return client_->call(port_, "POST", "/v1/audio/transcriptions", body,
                         "content-type: multipart/form-data; boundary=b\r\n");
  };
  const Json whole = json(post(""));
  EXPECT_EQ(whole["usage"].dump(), R"({"type":"duration","seconds":2})");
  const ClientReply stream =
      post("--b\r\nContent-Disposition: form-data; name=\"stream\"\r\n\r\ntrue\r\n");
  std::string text;
  for (const std::string& event : stream.events()) {
    if (event == "[DONE]") continue;
    text += Json::parse(event)["choices"][0]["delta"]["content"].get<std::string>();
  }
  EXPECT_EQ(text, whole["text"].get<std::string>());
  EXPECT_EQ(stream.events().back(), "[DONE]");
  EXPECT_EQ(ask("/v1/audio/transcriptions", R"("x":1)").status, 400);
}

TEST_F(EngineDialect, AnInstantEngineAnswersTheSameShapes) {
  options_.profile = instant_profile();
  start();
  const ClientReply messages = ask("/v1/messages", kMessage + R"(,"max_tokens":2,"stream":true)");
  EXPECT_TRUE(facts_of(messages).done);
  EXPECT_EQ(facts_of(messages).usage->completion_tokens, 2U);
  EXPECT_TRUE(
      facts_of(ask("/v1/responses", R"("input":"x","stream":true,"max_output_tokens":2)")).done);
  EXPECT_EQ(json(ask("/v1/embeddings", R"("input":["a","b"])"))["data"].size(), 2U);
  EXPECT_EQ(json(ask("/rerank", R"("query":"q","documents":["a","b"])"))["results"].size(), 2U);
}

TEST_F(EngineDialect, RefusalsHaveTheShapeOfTheirApi) {
  start();
  const Json error = json(ask("/v1/messages", R"("max_tokens":1)"));
  EXPECT_EQ(error["type"], "error");
  EXPECT_EQ(keys(error["error"]), (Names{"type", "message"}));
  EXPECT_EQ(ask("/v1/messages", kMessage).status, 400);  // No max_tokens.
  EXPECT_EQ(
      client_->post(port_, "/v1/messages", R"({"model":"no","max_tokens":1,)" + kMessage + "}")
          .status,
      404);
  for (const auto& [path, fields] : std::vector<std::pair<std::string, std::string>>{
           {"/v1/messages", R"("messages":5,"max_tokens":1)"},
           {"/v1/messages", R"("messages":[{"content":"x"}],"max_tokens":1)"},
           {"/v1/messages", R"("messages":[{"role":"user","content":5}],"max_tokens":1)"},
           {"/v1/messages", kMessage + R"(,"max_tokens":0)"},
           {"/v1/messages", kMessage + R"(,"max_tokens":1,"stream":1)"},
           {"/v1/responses", R"("x":1)"},
           {"/v1/responses", R"("input":5)"},
           {"/v1/responses", R"("input":[5])"},
           {"/v1/embeddings", R"("input":"")"},
           {"/v1/embeddings", R"("input":[])"},
           {"/v1/embeddings", R"("input":[-1])"},
           {"/v1/embeddings", R"("input":"x","dimensions":0)"},
           {"/v1/embeddings", R"("input":"x","encoding_format":"hex")"},
           {"/rerank", R"("documents":["x"])"},
           {"/rerank", R"("query":"q","documents":[5])"},
       }) {
    const ClientReply reply = ask(path, fields);
    EXPECT_EQ(reply.status, 400) << path << fields;
    EXPECT_TRUE(json(reply).contains("error")) << path << fields;
  }
  EXPECT_EQ(client_->post(port_, "/v1/responses", "{").status, 400);
  EXPECT_EQ(client_->post(port_, "/v1/responses", "[]").status, 400);
}

}  // namespace
}  // namespace fairlead::engine
