// SPDX-License-Identifier: Apache-2.0
// Keys and origins in heads: what a client shows, and what is passed on.
#include <gtest/gtest.h>

#include <string>

#include "core/codec/http1_request.h"
#include "core/exchange/cors.h"
#include "core/exchange/credential.h"
#include "core/exchange/error_reply.h"
#include "core/exchange/request_head.h"
#include "core/exchange/response_head.h"

namespace fairlead::exchange {
namespace {

using codec::Http1Headers;

std::string list(const auto& headers) {
  std::string out;
  for (const codec::Http1Header& header : headers) {
    out += std::string(header.name) + ": " + std::string(header.value) + "\n";
  }
  return out;
}

TEST(ClientKey, IsReadFromTheHeadersThatClientsUse) {
  EXPECT_EQ(client_key(Http1Headers{{"Authorization", "Bearer sk-1"}}), "sk-1");
  EXPECT_EQ(client_key(Http1Headers{{"authorization", "bEARER   sk-1 "}}), "sk-1");
  EXPECT_EQ(client_key(Http1Headers{{"X-Api-Key", "sk-2"}}), "sk-2");
  EXPECT_EQ(client_key(Http1Headers{{"api-key", " sk-3 "}}), "sk-3");
  EXPECT_EQ(client_key(Http1Headers{{"x-api-key", "sk-2"}, {"authorization", "Bearer sk-1"}}),
            "sk-1");
  EXPECT_EQ(client_key(Http1Headers{{"authorization", "Basic eA=="}, {"api-key", "sk-3"}}), "sk-3");
  for (const char* none : {"", "Bearer", "Bearer ", "Basic eA==", "Bearersk-1", "sk-1"}) {
    EXPECT_EQ(client_key(Http1Headers{{"authorization", none}}), "") << none;
  }
  EXPECT_EQ(client_key({}), "");
}

class ForwardedKey : public ::testing::Test {
 protected:
  std::string forwarded(ClientKey key, std::string_view own, BodyBytes body = BodyBytes::kAsSent) {
    codec::Http1RequestParser parser;
    const std::string sent =
        "POST /v1/completions HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer sk-1\r\n"
        "x-api-key: sk-2\r\nAPI-Key: sk-3\r\nAuthorization: Bearer sk-4\r\n"
        "Content-Encoding: gzip\r\nX-Other: 1\r\nContent-Length: 0\r\n\r\n";
    EXPECT_EQ(parser.parse(sent), codec::Http1Progress::kComplete);
    std::string out;
    write_request_head({.head = parser.head(),
                        .upstream_authority = "e:1",
                        .request_id_header = "x-request-id",
                        .request_id = "id",
                        .client_address = "1.2.3.4",
                        .client_key = key,
                        .authorization = own,
                        .body = body},
                       out);
    EXPECT_NE(out.find("X-Other: 1\r\n"), std::string::npos);
    return out;
  }
};

TEST_F(ForwardedKey, PassesWhereTheRouterAsksForNone) {
  const std::string head = forwarded(ClientKey::kForwarded, "");
  for (const char* key : {"sk-1", "sk-2", "sk-3", "sk-4"}) {
    EXPECT_NE(head.find(key), std::string::npos) << key;
  }
}

TEST_F(ForwardedKey, StopsInEveryHeaderWhereItIsKept) {
  EXPECT_EQ(forwarded(ClientKey::kKept, "").find("sk-"), std::string::npos);
  const std::string head = forwarded(ClientKey::kKept, "Bearer own");
  EXPECT_EQ(head.find("sk-"), std::string::npos);
  EXPECT_NE(head.find("\r\nauthorization: Bearer own\r\n"), std::string::npos);
}

TEST_F(ForwardedKey, ADecodedBodyHasNoEncoding) {
  EXPECT_NE(forwarded(ClientKey::kKept, "").find("Content-Encoding: gzip"), std::string::npos);
  EXPECT_EQ(forwarded(ClientKey::kKept, "", BodyBytes::kDecoded).find("gzip"), std::string::npos);
}

TEST(Cors, KnowsAllowedOriginsExactly) {
  const std::vector<std::string> allowed = {"https://a.example", "http://b.example:8080"};
  const auto answer = [&](const char* origin) {
    return allowed_origin(allowed, Http1Headers{{"Origin", origin}});
  };
  EXPECT_EQ(answer("https://a.example"), "https://a.example");
  EXPECT_EQ(answer("http://b.example:8080"), "http://b.example:8080");
  for (const char* other : {"http://a.example", "https://a.example.evil", "https://a.example:1",
                            "https://A.example", "null", ""}) {
    EXPECT_EQ(answer(other), "") << other;
  }
  EXPECT_EQ(allowed_origin(allowed, {}), "");
  const std::vector<std::string> any = {"*"};
  EXPECT_EQ(allowed_origin(any, Http1Headers{{"origin", "null"}}), "*");
  EXPECT_EQ(allowed_origin(any, {}), "") << "no page asks";
  EXPECT_EQ(allowed_origin({}, Http1Headers{{"origin", "https://a.example"}}), "");
}

TEST(Cors, APreflightIsAnOptionsRequestThatNamesAMethod) {
  const auto preflight = [](std::string_view method, std::string_view name) {
    codec::Http1RequestHead head;
    head.method = method;
    head.headers = {{"Origin", "https://a.example"}, {name, "POST"}};
    return is_preflight(head);
  };
  EXPECT_TRUE(preflight("OPTIONS", "Access-Control-Request-Method"));
  EXPECT_FALSE(preflight("OPTIONS", "Access-Control-Request-Headers"));
  EXPECT_FALSE(preflight("POST", "Access-Control-Request-Method"));
  EXPECT_FALSE(preflight("options", "Access-Control-Request-Method"));
}

TEST(Cors, AnswersCarryWhatBrowsersNeed) {
  EXPECT_EQ(list(CorsHeaders("")), "");
  EXPECT_EQ(list(CorsHeaders("*")),
            "access-control-allow-origin: *\naccess-control-expose-headers: x-request-id, "
            "x-session-token, x-fairlead-endpoint, x-fairlead-reason, retry-after\n");
  EXPECT_TRUE(list(CorsHeaders("https://a")).ends_with("vary: origin\n"));
  Http1Headers preflight;
  append_preflight("https://a",
                   Http1Headers{{"Access-Control-Request-Headers", "authorization,x-stainless-os"}},
                   preflight);
  EXPECT_EQ(list(preflight),
            "access-control-allow-origin: https://a\naccess-control-allow-methods: GET, POST\n"
            "access-control-allow-headers: authorization,x-stainless-os\n"
            "access-control-max-age: 600\nvary: origin, access-control-request-headers\n");
}

TEST(Cors, AnEnginesOwnWordsAboutOriginsAreDropped) {
  codec::Http1ResponseHead head;
  head.status = 200;
  head.headers = {{"Access-Control-Allow-Origin", "*"}, {"content-type", "application/json"}};
  ResponseHead response;
  response.hold(head, {"e", "t", "x-request-id", "1", "https://a"});
  const std::string text = list(response.headers());
  EXPECT_EQ(text.find("Access-Control"), std::string::npos);
  EXPECT_NE(text.find("access-control-allow-origin: https://a\n"), std::string::npos);
  EXPECT_NE(text.find("content-type"), std::string::npos);
  response.hold(head, {"e", "t", "x-request-id", "1"});
  EXPECT_NE(list(response.headers()).find("Access-Control-Allow-Origin: *\n"), std::string::npos);
}

TEST(ErrorReply, RefusalsOfKeysSpeakLikeOpenAi) {
  const auto body = [](model::ReplyReason reason) {
    std::string out;
    append_error({reason, {}, {}}, ErrorShape::kOpenAi, out);
    return out;
  };
  EXPECT_NE(body(model::ReplyReason::kUnauthorized).find(R"("code":"invalid_api_key")"),
            std::string::npos);
  EXPECT_NE(body(model::ReplyReason::kModelNotAllowed).find(R"("param":"model")"),
            std::string::npos);
  const std::string limited = body(model::ReplyReason::kRateLimitedTokens);
  EXPECT_NE(limited.find(R"("type":"rate_limit_error")"), std::string::npos);
  EXPECT_NE(limited.find(R"("code":"rate_limit_exceeded")"), std::string::npos);
  EXPECT_EQ(retry_after_seconds(model::ReplyReason::kRateLimitedTokens,
                                std::chrono::milliseconds(61'001)),
            62U);
}

}  // namespace
}  // namespace fairlead::exchange
