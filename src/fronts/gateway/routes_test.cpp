// SPDX-License-Identifier: Apache-2.0
// Every inference route: bodies reach the engine byte for byte, the model decides, errors have the
// shape that the route's clients know, and answers tell their first token and usage.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "fronts/gateway/testing/gateway_fixture.h"

namespace fairlead::gateway {
namespace {

class RoutesTest : public GatewayTest {};

struct RouteCase {
  std::string_view path;
  std::string_view label;
  std::string body;  // With MODEL for the model's name.
  std::string_view content_type = "application/json";

  std::string body_for(std::string_view model) const {
    std::string out = body;
    const std::size_t at = out.find("MODEL");
    return out.replace(at, 5, model);
  }
  std::string headers() const { return "Content-Type: " + std::string(content_type) + "\r\n"; }
};

// Unknown fields, white space wherever it may stand, no field in its usual place.
std::vector<RouteCase> route_cases() {
  const auto json = [](const std::string& fields) {
    return " \t{ \"zz_unknown\" : {\"b\":[1e400,\"\\u00e9\\/\"] , \"a\":null} ,\r\n" + fields +
           " ,\"model\":\"MODEL\", \"other\": -0.0 }\n ";
  };
  const std::string messages = R"("messages" :[ {"content":"h\u0069","role":"user" ,"x":1 } ])";
  const std::string form =
      "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n" +
      std::string("RIFF\0\xff\r\n\r\n--\r", 13) +
      "\r\n--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nMODEL\r\n--b--";
  constexpr std::string_view kForm = "multipart/form-data; boundary=b";
  return {
      {"/v1/chat/completions", "chat_completions", json(messages)},
      {"/v1/completions", "completions", json(R"("prompt": [ "a" , "b" ])")},
      {"/v1/messages", "messages", json(messages + R"(, "max_tokens": 9 ,"system":[])")},
      {"/v1/messages/count_tokens", "count_tokens", json(messages)},
      {"/v1/responses", "responses", json(R"("input": [ {"type":"item_reference","id":"x"} ])")},
      {"/v1/embeddings", "embeddings", json(R"("input":[ 1 , 2 ])")},
      {"/rerank", "rerank", json(R"("query":"q","documents":["d"])")},
      {"/v1/rerank", "rerank", json(R"("query":"q","documents":["d"])")},
      {"/v2/rerank", "rerank", json(R"("query":"q","documents":["d"])")},
      {"/score", "score", json(R"("text_1":"q","text_2":["d"])")},
      {"/v1/score", "score", json(R"("text_1":"q","text_2":["d"])")},
      {"/pooling", "pooling", json(R"("input":"x")")},
      {"/classify", "classify", json(R"("input":["x"])")},
      {"/tokenize", "tokenize", json(R"("prompt":"x")")},
      {"/detokenize", "detokenize", json(R"("tokens":[1])")},
      {"/v1/audio/transcriptions", "audio_transcriptions", form, kForm},
      {"/v1/audio/translations", "audio_translations", form, kForm},
      {"/v1/audio/speech", "audio_speech", json(R"("input":"x","voice":"v")")},
  };
}

TEST_F(RoutesTest, BodiesReachTheEngineByteForByte) {
  ScriptedEngine& engine = this->engine();
  start({engine.port()});
  for (const RouteCase& route : route_cases()) {
    const std::string body = route.body_for("m");
    const ClientResponse response = ask(body, route.path, route.headers());
    ASSERT_EQ(response.status, 200) << route.path << " " << response.body;
    EXPECT_EQ(engine.requests.back().body, body) << route.path;
    EXPECT_EQ(engine.requests.back().target, route.path);
    EXPECT_EQ(engine.requests.back().header("content-type"), route.content_type);
    EXPECT_EQ(logged("route"), '"' + std::string(route.label) + '"');
    EXPECT_EQ(logged("model"), "\"m\"") << route.path;
  }
}

TEST_F(RoutesTest, ChunkedBodiesReachTheEngineDecodedAndOtherwiseByteForByte) {
  ScriptedEngine& engine = this->engine();
  start({engine.port()});
  for (const RouteCase& route : route_cases()) {
    const std::string body = route.body_for("m");
    std::string chunks;
    for (std::size_t at = 0; at < body.size(); at += 7) {
      char size[16];
      const std::string piece = body.substr(at, 7);
      std::snprintf(size, sizeof size, "%zx\r\n", piece.size());
      chunks += size + piece + "\r\n";
    }
    Client& one = client();
    one.send("POST " + std::string(route.path) + " HTTP/1.1\r\nHost: t\r\n" + route.headers() +
             "Transfer-Encoding: chunked\r\n\r\n" + chunks + "0\r\n\r\n");
    ASSERT_EQ(wait_for(one).status, 200) << route.path;
    EXPECT_EQ(engine.requests.back().body, body) << route.path;
  }
}

TEST_F(RoutesTest, TheModelDecidesOnEveryRoute) {
  ScriptedEngine& zero = engine();
  ScriptedEngine& one = engine();
  start({zero.port(), one.port()});
  std::size_t sent = 0;
  for (const RouteCase& route : route_cases()) {
    for (int i = 0; i < 2; ++i) {
      EXPECT_EQ(ask(route.body_for("m-1"), route.path, route.headers()).status, 200) << route.path;
      EXPECT_EQ(one.requests.size(), ++sent) << route.path;
    }
    const ClientResponse unknown = ask(route.body_for("gpt-9"), route.path, route.headers());
    EXPECT_EQ(unknown.status, 404) << route.path;
    EXPECT_EQ(unknown.header("x-fairlead-reason"), "unknown_model");
    EXPECT_NE(unknown.body.find("'gpt-9'"), std::string::npos);
  }
  EXPECT_TRUE(zero.requests.empty());
}

TEST_F(RoutesTest, AnthropicClientsGetAnthropicsErrors) {
  ScriptedEngine& engine = this->engine();
  start({engine.port()});
  for (const char* path : {"/v1/messages", "/v1/messages/count_tokens"}) {
    const ClientResponse unknown = ask(R"({"model":"x","messages":[]})", path);
    EXPECT_EQ(unknown.status, 404);
    EXPECT_EQ(
        unknown.body,
        R"({"type":"error","error":{"type":"not_found_error","message":"The model 'x' is not )"
        R"(served by any engine. GET /v1/models lists the models."}})");
    const ClientResponse bad = ask(R"({"model":"m"})", path);
    EXPECT_EQ(bad.status, 400);
    EXPECT_TRUE(bad.body.starts_with(
        R"({"type":"error","error":{"type":"invalid_request_error","message":)"))
        << bad.body;
  }
  publish({});
  EXPECT_EQ(ask(R"({"model":"m","messages":[]})", "/v1/messages").body.substr(0, 60),
            R"({"type":"error","error":{"type":"overloaded_error","message")");
}

TEST_F(RoutesTest, ABrokenAnthropicStreamEndsInItsOwnErrorEvent) {
  RawEngine& engine = raw_engine(
      {{"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        "1d\r\ndata: {\"type\":\"message_start\"\r\n3\r\n}\n\n\r\n",
        RawEngine::Then::kReset}});
  start({engine.port()});
  Client& one = client();
  one.post("/v1/messages", R"({"model":"m","messages":[],"stream":true})");
  ASSERT_TRUE(until([&] { return one.reset || one.closed; }));
  EXPECT_NE(
      one.input.find("event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\""),
      std::string::npos)
      << one.input;
}

TEST_F(RoutesTest, TypedStreamsTellFirstTokenAndUsage) {
  ScriptedEngine& engine = this->engine();
  engine.script = [](net::ServerExchange& exchange) {
    exchange.start(200, {{"content-type", "text/event-stream"}}, codec::BodyFraming::chunked());
    exchange.write_chunk(
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":"
        "{\"input_tokens\":15,\"output_tokens\":0}}}\n\n");
    exchange.write_chunk(
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"type\":"
        "\"text_delta\",\"text\":\"x\"},\"index\":0}\n\n");
    exchange.write_chunk(
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{},\"usage\":"
        "{\"output_tokens\":4,\"cache_read_input_tokens\":8}}\n\n"
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
    exchange.finish();
  };
  start({engine.port()});
  EXPECT_EQ(ask(R"({"model":"m","messages":[],"stream":true})", "/v1/messages").status, 200);
  EXPECT_EQ(logged("outcome"), "\"completed\"");
  EXPECT_NE(access_.lines.back().find(
                R"("usage":{"prompt_tokens":15,"cached_tokens":8,"output_tokens":4})"),
            std::string::npos)
      << access_.lines.back();
  EXPECT_NE(logged("ttft_ms"), "null");
}

TEST_F(RoutesTest, UsageOfEmbeddingsIsRead) {
  ScriptedEngine& engine = this->engine();
  engine.script = [](net::ServerExchange& exchange) {
    exchange.send_response(200, {{"content-type", "application/json"}},
                           R"({"object":"list","data":[{"embedding":[0.5,-1e-3]}],)"
                           R"("usage":{"prompt_tokens":6,"total_tokens":6}})");
  };
  start({engine.port()});
  EXPECT_EQ(ask(R"({"model":"m","input":"x"})", "/v1/embeddings").status, 200);
  EXPECT_NE(access_.lines.back().find(R"("usage":{"prompt_tokens":6,)"), std::string::npos);
}

TEST_F(RoutesTest, OneModelIsAnsweredHere) {
  ScriptedEngine& engine = this->engine();
  start({engine.port()});
  const auto get = [&](const std::string& target) {
    Client& one = client();
    one.send("GET " + target + " HTTP/1.1\r\nHost: t\r\n\r\n");
    return wait_for(one);
  };
  const ClientResponse known = get("/v1/models/m-0");
  EXPECT_EQ(known.status, 200);
  EXPECT_TRUE(known.body.starts_with(R"({"id":"m-0","object":"model",)")) << known.body;
  EXPECT_EQ(get("/v1/models/m%2d0").body, known.body);
  for (const char* target :
       {"/v1/models/nope", "/v1/models/m/0", "/v1/models/%zz", "/v1/models/m%00"}) {
    const ClientResponse unknown = get(target);
    EXPECT_EQ(unknown.status, 404) << target;
    EXPECT_NE(unknown.body.find(R"("param":"model","code":"model_not_found"}})"), std::string::npos)
        << unknown.body;
  }
  EXPECT_EQ(get("/v1/models/").header("x-fairlead-reason"), "not_found");
  EXPECT_TRUE(engine.requests.empty());
}

}  // namespace
}  // namespace fairlead::gateway
