// SPDX-License-Identifier: Apache-2.0
// The request's side: routes, session tokens, facts, and the head towards an engine.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "core/codec/http1_request.h"
#include "core/exchange/request_facts.h"
#include "core/exchange/request_head.h"
#include "core/exchange/route.h"
#include "core/exchange/session_token.h"

namespace fairlead::exchange {
namespace {

std::string chat(std::string_view content, std::string_view more = "") {
  return R"({"model":"llama","messages":[{"role":"user","content":")" + std::string(content) +
         R"("}])" + std::string(more) + "}";
}

class Facts : public ::testing::Test {
 protected:
  codec::ScanStatus read(const std::string& body, Route route = Route::kChatCompletions) {
    return facts_.read(route, headers_, body, settings_, desk_);
  }
  std::vector<std::uint64_t> keys_of(const std::string& body) {
    EXPECT_TRUE(read(body).ok());
    const auto keys = facts_.request().keys;
    return {keys.begin(), keys.end()};
  }

  ReadingDesk desk_{std::size_t{1} << 20};
  KeySettings settings_{.process_seed = 7, .block_bytes = 1024};
  codec::Http1Headers headers_;
  RequestFacts facts_;
};

TEST(Route, KnowsPathsMethodsAndWhatToDo) {
  EXPECT_EQ(match_route("POST", "/v1/chat/completions").handling, Handling::kScan);
  EXPECT_EQ(match_route("POST", "/v1/completions").route, Route::kCompletions);
  EXPECT_EQ(match_route("GET", "/v1/realtime").handling, Handling::kTunnel);
  EXPECT_EQ(match_route("GET", "/v1/models").handling, Handling::kModelList);
  EXPECT_EQ(match_route("POST", "/v1/embeddings").handling, Handling::kScan);
  EXPECT_EQ(match_route("POST", "/v1/messages/count_tokens").route, Route::kCountTokens);
  EXPECT_EQ(match_route("POST", "/v1/audio/translations").route, Route::kTranslations);
  EXPECT_EQ(match_route("POST", "/inference/v1/generate").route, Route::kGenerate);
  EXPECT_EQ(match_route("POST", "/generate").route, Route::kGenerate);
  EXPECT_EQ(match_route("POST", "/v1/completions/render").route, Route::kTokenize);
  EXPECT_EQ(match_route("POST", "/v1/images/generations").route, Route::kImages);
  const RouteMatch one = match_route("GET", "/v1/models/org%2Fname");
  EXPECT_EQ(one.handling, Handling::kModel);
  EXPECT_EQ(one.model, "org%2Fname");
  EXPECT_EQ(match_route("DELETE", "/v1/models/m").allow, "GET");
  EXPECT_EQ(match_route("GET", "/v1/models/").route, Route::kNone);
  const RouteMatch wrong_method = match_route("GET", "/v1/chat/completions");
  EXPECT_EQ(wrong_method.handling, Handling::kRefuse);
  EXPECT_EQ(wrong_method.allow, "POST");
  EXPECT_EQ(match_route("POST", "/v1/models").allow, "GET");
  for (const char* path : {"/metrics", "/v1/chat/completions/", "/", "*", "/load_lora_adapter"}) {
    EXPECT_EQ(match_route("POST", path).route, Route::kNone) << path;
    EXPECT_TRUE(match_route("POST", path).allow.empty()) << path;
  }
}

TEST(Route, NamesAreDistinctAndCounted) {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < kRouteCount; ++i) names.insert(to_string(static_cast<Route>(i)));
  EXPECT_EQ(names.size(), kRouteCount);
  EXPECT_EQ(to_string(static_cast<Route>(kRouteCount)), "none");
}

TEST(Route, PathPartsAreDecodedOrRefused) {
  std::string out;
  EXPECT_TRUE(decode_path_part("org%2Fna%6de", out));
  EXPECT_EQ(out, "org/name");
  for (const char* bad : {"%", "%2", "a%zz", "%+1", "%-1", "% 1", "%0x"}) {
    EXPECT_FALSE(decode_path_part(bad, out)) << bad;
  }
}

TEST(SessionToken, RoundTripsEveryLengthAndRefusesGarbage) {
  std::string token;
  std::string name;
  for (const std::string text : {"", "a", "ab", "abc", "gpu-0", "10.0.0.7:8000", "\xff\x00\x01"}) {
    encode_session_token(text, token);
    EXPECT_EQ(token.size() % 4, 0U);
    decode_session_token(token, name);
    EXPECT_EQ(name, text);
  }
  encode_session_token("gpu-0", token);
  EXPECT_EQ(token, "Z3B1LTA=");
  decode_session_token("Z3B1LTA", name);
  EXPECT_EQ(name, "gpu-0");
  decode_session_token("Z3B1 LTA=", name);
  EXPECT_EQ(name, "");
  decode_session_token(std::string(2000, 'A'), name);
  EXPECT_EQ(name, "");
}

TEST_F(Facts, ReadModelLimitsStreamingAndSession) {
  headers_ = {{"X-Session-Token", "Z3B1LTA="}};
  ASSERT_TRUE(
      read(chat("hello", R"(,"stream":true,"max_tokens":9,"max_completion_tokens":12)")).ok());
  const model::InferenceRequest request = facts_.request();
  EXPECT_EQ(request.model, "llama");
  EXPECT_EQ(request.session, "gpu-0");
  EXPECT_EQ(request.streaming, model::Streaming::kStreamed);
  EXPECT_EQ(request.max_output_tokens, 12U);
  EXPECT_EQ(request.prompt_tokens, 2U);
  EXPECT_TRUE(request.keys.empty());
}

TEST_F(Facts, AModelNameWithEscapesSurvivesTheScannersNextScan) {
  ASSERT_TRUE(read(R"({"model":"ll\u0061ma","messages":[{"role":"user","content":"x"}]})").ok());
  codec::ScannedRequest other;
  const std::string body = R"({"model":"oth\u0065r","messages":[]})";
  ASSERT_TRUE(desk_.scanner.scan(codec::RequestKind::kChatCompletions, body, other).ok());
  EXPECT_EQ(facts_.request().model, "llama");
}

TEST_F(Facts, MediaAreHashedOneByOneWhereAPolicyAsks) {
  const auto body = [](std::string_view parts) {
    return fmt::format(R"({{"model":"m","messages":[{{"role":"user","content":[{}]}}]}})", parts);
  };
  const std::string cat = R"({"type":"image_url","image_url":{"url":"data:cat"}})";
  const std::string dog = R"({"type":"image_url","image_url":{"url":"data:a-dog"}})";
  const std::string text = R"({"type":"text","text":"and"})";
  ASSERT_TRUE(read(body(cat)).ok());
  EXPECT_TRUE(facts_.request().media.empty()) << "nobody asks";
  settings_.media = MediaItems::kHashed;
  ASSERT_TRUE(read(body(cat + "," + text + "," + dog)).ok());
  const auto both = facts_.request().media;
  ASSERT_EQ(both.size(), 2U);
  EXPECT_EQ(both[0].bytes, 18U);
  EXPECT_EQ(both[1].bytes, 20U);
  const std::uint64_t cat_hash = both[0].hash;
  EXPECT_NE(cat_hash, both[1].hash);
  ASSERT_TRUE(read(body(dog + "," + cat)).ok());
  EXPECT_EQ(facts_.request().media[1].hash, cat_hash) << "wherever it stands";
  std::string many = cat;
  for (std::size_t i = 0; i < model::kMaxMediaItems; ++i) many += "," + cat;
  ASSERT_TRUE(read(body(many)).ok());
  EXPECT_EQ(facts_.request().media.size(), model::kMaxMediaItems);
  ASSERT_TRUE(read(chat("text")).ok());
  EXPECT_TRUE(facts_.request().media.empty());
}

TEST_F(Facts, KeysShareAPrefixAndNothingElse) {
  const std::string prefix(4096, 'p');
  const auto one = keys_of(chat(prefix + std::string(2048, 'a')));
  const auto two = keys_of(chat(prefix + std::string(2048, 'b')));
  ASSERT_EQ(one.size(), 6U);
  EXPECT_EQ(facts_.request().block_tokens, 256U);
  EXPECT_TRUE(std::equal(one.begin(), one.begin() + 4, two.begin()));
  EXPECT_NE(one[4], two[4]);
  const auto salted = keys_of(chat(prefix, R"(,"cache_salt":"tenant")"));
  EXPECT_NE(salted[0], one[0]);
  settings_.process_seed = 8;
  EXPECT_NE(keys_of(chat(prefix))[0], one[0]);
}

class Adapters final : public ModelNames {
 public:
  bool is_adapter(std::string_view model) override { return model == "sql-lora"; }
  TokenSource token_source(std::string_view model) override {
    if (model == "foreign") return TokenSource::kNobody;
    return model == "real" ? TokenSource::kTokenizer : TokenSource::kEstimate;
  }
};

TEST_F(Facts, WhereEnginesAreHeardTokensBecomeKeysToo) {
  ASSERT_TRUE(read(chat(std::string(300, 'a'))).ok());
  EXPECT_TRUE(facts_.request().token_keys.empty()) << "nobody listens";
  Adapters adapters;
  const prefix::TokenKeys keys(5);
  const std::atomic<std::uint32_t> block = 4;
  settings_.tokens = {&keys, &block, &adapters};
  const auto read_ids = [&](std::string_view model, std::string_view more) {
    const std::string body =
        fmt::format(R"({{"model":"{}","prompt":[1,2,3,4,5,6,7,8,9]{}}})", model, more);
    EXPECT_TRUE(read(body, Route::kCompletions).ok());
    const auto seen = facts_.request().token_keys;
    return std::vector(seen.begin(), seen.end());
  };
  const auto expected = [&](const prefix::KvNamespace& space) {
    const std::vector<std::uint32_t> ids = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    std::vector<std::uint64_t> out(2);
    EXPECT_EQ(keys.keys(keys.root(space), ids, 4, out), 2U);
    return out;
  };
  const auto base = read_ids("llama", "");
  EXPECT_EQ(base, expected({.block_tokens = 4}));
  EXPECT_EQ(facts_.request().token_block, 4U);
  EXPECT_EQ(facts_.request().prompt_tokens, 9U);
  EXPECT_EQ(read_ids("alias", ""), base) << "an endpoint has one base model, whatever its name";
  EXPECT_EQ(read_ids("sql-lora", ""), expected({.adapter = "sql-lora", .block_tokens = 4}));
  EXPECT_EQ(read_ids("llama", R"(,"cache_salt":"te\u006eant")"),
            expected({.cache_salt = "tenant", .block_tokens = 4}));
  EXPECT_TRUE(read_ids("foreign", "").empty());
  EXPECT_FALSE(facts_.token_form().has_value());
  // Its tokens come from elsewhere, later.
  EXPECT_TRUE(read_ids("real", R"(,"cache_salt":"tenant")").empty());
  ASSERT_TRUE(facts_.token_form().has_value());
  const std::vector<std::uint32_t> ids = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  facts_.set_tokens(ids, settings_.tokens);
  EXPECT_FALSE(facts_.token_form().has_value());
  const auto late = facts_.request().token_keys;
  EXPECT_EQ(std::vector(late.begin(), late.end()),
            expected({.cache_salt = "tenant", .block_tokens = 4}));
  // A chat ends with the token that asks for the answer: 1 + 75 + 1 + 1.
  ASSERT_TRUE(read(chat(std::string(300, 'a'))).ok());
  EXPECT_EQ(facts_.request().prompt_tokens, 78U);
  EXPECT_EQ(facts_.request().token_keys.size(), 19U);
}

TEST_F(Facts, TokenArraysAreCountedExactlyAndBlocksStandForTheirShare) {
  std::string body = R"({"model":"m","prompt":[10000)";
  for (int i = 1; i < 1000; ++i) body += ",10000";
  body += "]}";
  ASSERT_TRUE(read(body, Route::kCompletions).ok());
  const model::InferenceRequest request = facts_.request();
  EXPECT_EQ(request.prompt_tokens, 1000U);
  ASSERT_EQ(request.keys.size(), 5U);
  EXPECT_NEAR(request.block_tokens, 1024.0 / 6, 1);
}

TEST_F(Facts, ErrorsNameTheFieldAndReuseLeavesNothingBehind) {
  headers_ = {{"x-session-token", "Z3B1LTA="}};
  ASSERT_TRUE(read(chat(std::string(2048, 'x'))).ok());
  const codec::ScanStatus status = read(R"({"messages":[]})");
  EXPECT_EQ(status.field, "model");
  headers_.clear();
  ASSERT_TRUE(read(R"({"model":"m","input":"12345678"})", Route::kEmbeddings).ok());
  EXPECT_TRUE(facts_.request().session.empty());
  EXPECT_TRUE(facts_.request().keys.empty());
  EXPECT_EQ(facts_.request().prompt_tokens, 2U);
}

TEST_F(Facts, OnlyPromptsThatFillACacheAreKeyed) {
  const std::string text(4096, 'x');
  const std::string input = R"({"model":"m","input":")" + text + "\"}";
  ASSERT_TRUE(read(input, Route::kEmbeddings).ok());
  EXPECT_TRUE(facts_.request().keys.empty());
  EXPECT_EQ(facts_.request().prompt_tokens, 1024U);
  ASSERT_TRUE(read(input, Route::kResponses).ok());
  EXPECT_EQ(facts_.request().keys.size(), 4U);
  const std::string messages =
      R"({"model":"m","max_tokens":9,"messages":[{"role":"user","content":")" + text + "\"}]}";
  ASSERT_TRUE(read(messages, Route::kMessages).ok());
  EXPECT_EQ(facts_.request().keys.size(), 4U);
  EXPECT_EQ(facts_.request().max_output_tokens, 9U);
  // Counting is no work for a GPU, and leaves nothing in its cache.
  ASSERT_TRUE(read(messages, Route::kCountTokens).ok());
  EXPECT_TRUE(facts_.request().keys.empty());
  EXPECT_EQ(facts_.request().prompt_tokens, 0U);
  ASSERT_TRUE(
      read(R"({"model":"m","query":"1234","documents":["1234","5678"]})", Route::kRerank).ok());
  EXPECT_EQ(facts_.request().prompt_tokens, 1U + (15U + 3U) / 4U);
}

TEST_F(Facts, AnAudioFormTellsItsModelAndSize) {
  headers_ = {{"Content-Type", "multipart/form-data; boundary=b"}};
  const std::string body =
      "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n" +
      std::string(64000, 'x') +
      "\r\n--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper\r\n--b--\r\n";
  ASSERT_TRUE(read(body, Route::kTranscriptions).ok());
  EXPECT_EQ(facts_.request().model, "whisper");
  EXPECT_NEAR(static_cast<double>(facts_.request().prompt_tokens), 100, 3);
  headers_.clear();
  EXPECT_EQ(read(body, Route::kTranslations).error, codec::ScanError::kInvalidForm);
}

std::string forwarded(const std::string& head_text, std::uint64_t body_bytes = 5) {
  codec::Http1RequestParser parser;
  EXPECT_EQ(parser.parse(head_text), codec::Http1Progress::kComplete);
  std::string out;
  write_request_head({.head = parser.head(),
                      .upstream_authority = "10.0.0.7:8000",
                      .request_id_header = "x-request-id",
                      .request_id = "id-1",
                      .client_address = "192.0.2.9",
                      .body_bytes = body_bytes},
                     out);
  return out;
}

TEST(RequestHead, KeepsTheEndToEndHeadersInOrderAndReplacesOurs) {
  EXPECT_EQ(forwarded("POST /v1/completions?a=1&b HTTP/1.1\r\n"
                      "Host: public.example\r\n"
                      "Authorization: Bearer k\r\n"
                      "X-Custom: One\r\n"
                      "traceparent: 00-1-2-03\r\n"
                      "X-Request-ID: theirs\r\n"
                      "Expect: 100-continue\r\n"
                      "Content-Length: 7\r\n"
                      "X-Custom: Two\r\n\r\n"),
            "POST /v1/completions?a=1&b HTTP/1.1\r\n"
            "host: 10.0.0.7:8000\r\n"
            "Authorization: Bearer k\r\n"
            "X-Custom: One\r\n"
            "traceparent: 00-1-2-03\r\n"
            "X-Custom: Two\r\n"
            "x-request-id: id-1\r\n"
            "x-forwarded-for: 192.0.2.9\r\n"
            "content-length: 5\r\n\r\n");
}

TEST(RequestHead, DropsHopByHopHeadersAndThoseThatConnectionNames) {
  const std::string out = forwarded(
      "POST /score HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, X-Secret\r\nX-Secret: 1\r\n"
      "TE: trailers\r\nKeep-Alive: timeout=5\r\nUpgrade: h2c\r\nProxy-Authorization: p\r\n"
      "Transfer-Encoding: chunked\r\n\r\n");
  for (const char* name : {"onnection", "ecret", "TE:", "eep-", "pgrade", "roxy", "ransfer"}) {
    EXPECT_EQ(out.find(name), std::string::npos) << name << " in\n" << out;
  }
  EXPECT_NE(out.find("content-length: 5\r\n"), std::string::npos);
}

TEST(RequestHead, AClientCannotSteerTheRouter) {
  const std::vector<std::string> steering = {"x-gateway-destination-endpoint",
                                             "X-Gateway-Destination-Endpoint-Subset",
                                             "x-gateway-destination-endpoint-served",
                                             "x-prefiller-host-port",
                                             "X-Encoder-Hosts-Ports",
                                             "x-data-parallel-host-port",
                                             "x-data-parallel-rank",
                                             "X-Fairlead-Anything",
                                             "test-epp-endpoint-selection",
                                             "EPP-Profile",
                                             "x-session-token",
                                             "x-llm-d-inference-objective",
                                             "x-gateway-model-name-rewrite",
                                             "x-slo-ttft-ms",
                                             "x-kv-cache-source-host-port"};
  std::string text = "POST /v1/completions HTTP/1.1\r\nHost: h\r\n";
  for (const std::string& name : steering) text += name + ": evil\r\n";
  const std::string out = forwarded(text + "x-fair: stays\r\ntest: stays\r\n\r\n");
  EXPECT_EQ(out.find("evil"), std::string::npos) << out;
  EXPECT_NE(out.find("x-fair: stays"), std::string::npos);
  EXPECT_NE(out.find("test: stays"), std::string::npos);
}

TEST(RequestHead, ForwardedForGrowsByTheClientsAddress) {
  const std::string out = forwarded(
      "POST http://public.example/v1/completions HTTP/1.1\r\nHost: public.example\r\n"
      "X-Forwarded-For: 198.51.100.1\r\nx-forwarded-for: 198.51.100.2\r\n\r\n",
      0);
  EXPECT_NE(out.find("x-forwarded-for: 198.51.100.1, 198.51.100.2, 192.0.2.9\r\n"),
            std::string::npos)
      << out;
  EXPECT_TRUE(out.starts_with("POST /v1/completions HTTP/1.1\r\n")) << out;
  EXPECT_NE(out.find("content-length: 0\r\n"), std::string::npos);
}

TEST(RequestId, KeepsPrintableShortOnesAndMakesVersion4Uuids) {
  EXPECT_TRUE(is_request_id("req_1-2"));
  EXPECT_FALSE(is_request_id(""));
  EXPECT_FALSE(is_request_id("with space"));
  EXPECT_FALSE(is_request_id("\xc3\xa4"));
  EXPECT_FALSE(is_request_id(std::string(129, 'x')));
  std::string id;
  make_request_id(~0ULL, ~0ULL, id);
  EXPECT_EQ(id, "ffffffff-ffff-4fff-bfff-ffffffffffff");
  make_request_id(0x0123456789abcdef, 0, id);
  EXPECT_EQ(id, "01234567-89ab-4def-8000-000000000000");
}

}  // namespace
}  // namespace fairlead::exchange
