// SPDX-License-Identifier: Apache-2.0
// Requests that are refused: the client gets exactly this status, the engine not a single byte, and
// the gateway serves the next client as if nothing had happened.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "fronts/gateway/testing/gateway_fixture.h"

namespace fairlead::gateway {
namespace {

struct Malformed {
  std::string name;
  int status;
  std::string bytes;
  bool fin = false;  // The client ends its side behind the bytes.
};

constexpr std::string_view kChat = "POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\n";

std::string with_headers(const std::string& headers, const std::string& body = chat_body()) {
  return std::string(kChat) + headers + "\r\n" + body;
}
std::string with_length(const std::string& body = chat_body()) {
  return "Content-Length: " + std::to_string(body.size()) + "\r\n";
}
std::string posted(const std::string& body, std::string_view path = "/v1/chat/completions",
                   const std::string& headers = "") {
  return "POST " + std::string(path) + " HTTP/1.1\r\nHost: t\r\n" + headers + with_length(body) +
         "\r\n" + body;
}
std::string chunked(const std::string& chunks) {
  return with_headers("Transfer-Encoding: chunked\r\n", chunks);
}
// A body that hides a request behind an end that only some parsers see.
const std::string kHidden = "0\r\n\r\nPOST /v1/completions HTTP/1.1\r\nHost: t\r\nX: ";

std::vector<Malformed> framing_cases() {
  const std::string length = "Content-Length: " + std::to_string(kHidden.size()) + "\r\n";
  std::vector<Malformed> cases{
      {"truncated body", 400, with_headers("Content-Length: 1000\r\n"), true},
      {"truncated head", 400, std::string(kChat) + "Content-Le", true},
      {"truncated chunk", 400, chunked("40\r\n{"), true},
      {"oversize head", 431,
       with_headers("X: " + std::string(70'000, 'x') + "\r\n" + with_length())},
      {"too many headers", 431, with_headers([] {
         std::string lines;
         for (int i = 0; i < 101; ++i) lines += "X: y\r\n";
         return lines;
       }() + with_length())},
      {"oversize body", 413, with_headers("Content-Length: 70000\r\n", "")},
      {"oversize chunked body", 413,
       chunked("11170\r\n" + std::string(70'000, 'x') + "\r\n0\r\n\r\n")},
      {"bad chunk size", 400, chunked("zz\r\n{}\r\n0\r\n\r\n")},
      {"chunk size with a sign", 400, chunked("+2\r\n{}\r\n0\r\n\r\n")},
      {"chunk size with 0x", 400, chunked("0x2\r\n{}\r\n0\r\n\r\n")},
      {"chunk size overflow", 400, chunked("10000000000000002\r\n{}\r\n0\r\n\r\n")},
      {"chunk longer than its size", 400, chunked("2\r\n{}x\r\n0\r\n\r\n")},
      {"chunk size ended by a bare LF", 400, chunked("2\n{}\r\n0\r\n\r\n")},
      {"empty chunk size", 400, chunked("\r\n{}\r\n0\r\n\r\n")},
      {"two equal lengths", 400, with_headers(with_length() + with_length())},
      {"two lengths", 400, with_headers("Content-Length: 4\r\n" + with_length())},
      {"a list of lengths", 400, with_headers("Content-Length: 5, 5\r\n", "{    ")},
      {"a length with a sign", 400, with_headers("Content-Length: +5\r\n", "{    ")},
      {"a negative length", 400, with_headers("Content-Length: -1\r\n", "")},
      {"a length in hex", 400, with_headers("Content-Length: 0x5\r\n", "{    ")},
      {"a length beyond 64 bits", 400,
       with_headers("Content-Length: 18446744073709551617\r\n", "{")},
      {"an empty length", 400, with_headers("Content-Length: \r\n", "{")},
  };
  const std::pair<std::string, std::string> smuggling[] = {
      {"length, then encoding", length + "Transfer-Encoding: chunked\r\n"},
      {"encoding, then length", "Transfer-Encoding: chunked\r\n" + length},
      {"encoding in another case", length + "TRANSFER-ENCODING: CHUNKED\r\n"},
      {"encoding with a tab", length + "Transfer-Encoding:\tchunked\r\n"},
      {"encoding with a vertical tab", length + "Transfer-Encoding:\x0b"
                                                "chunked\r\n"},
      {"space before the encoding's colon", length + "Transfer-Encoding : chunked\r\n"},
      {"encoding on a folded line", length + "Transfer-Encoding:\r\n chunked\r\n"},
      {"encoding behind a folded line", length + "X: y\r\n Transfer-Encoding: chunked\r\n"},
      {"encoding behind a bare CR", length + "X: y\rTransfer-Encoding: chunked\r\n"},
      {"encoding behind a bare LF", length + "X: y\nTransfer-Encoding: chunked\r\n"},
      {"encoding in quotes", length + "Transfer-Encoding: \"chunked\"\r\n"},
      {"two encodings", length + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"},
      {"two encodings in one", "Transfer-Encoding: chunked, identity\r\n"},
      {"chunked twice", "Transfer-Encoding: chunked, chunked\r\n"},
      {"an unknown encoding", length + "Transfer-Encoding: xchunked\r\n"},
      {"an empty encoding", length + "Transfer-Encoding: \r\n"},
      {"an encoding with a parameter", length + "Transfer-Encoding: chunked;q=1\r\n"},
      {"an encoding with a NUL", length + std::string("Transfer-Encoding: chunked\0\r\n", 29)},
      {"a control character in the encoding's name", length + "Transfer-Encoding\x7f: chunked\r\n"},
  };
  for (const auto& [name, headers] : smuggling) {
    cases.push_back({name, 400, with_headers(headers, kHidden)});
  }
  // Without a length beside it, this is well-formed and merely more than we can decode.
  cases.push_back({"an encoding before chunked", 501,
                   with_headers("Transfer-Encoding: gzip, chunked\r\n", kHidden)});
  return cases;
}

std::vector<Malformed> head_cases() {
  const std::string length = with_length();
  const auto head = [&](const std::string& text) { return text + length + "\r\n" + chat_body(); };
  return {
      {"two hosts", 400, head(std::string(kChat) + "Host: t\r\n")},
      {"no host", 400, head("POST /v1/chat/completions HTTP/1.1\r\n")},
      {"folded line", 400, head(std::string(kChat) + "X: y\r\n z\r\n")},
      {"space before a colon", 400, head(std::string(kChat) + "X : y\r\n")},
      {"a line that begins with a blank", 400,
       head("POST /v1/chat/completions HTTP/1.1\r\n Host: t\r\n")},
      {"bare LF behind a header", 400, head(std::string(kChat) + "X: y\n")},
      {"bare LF behind the request line", 400,
       head("POST /v1/chat/completions HTTP/1.1\nHost: t\r\n")},
      {"NUL in a value", 400, head(std::string(kChat) + std::string("X: a\0b\r\n", 8))},
      {"NUL in a name", 400, head(std::string(kChat) + std::string("X\0: ab\r\n", 8))},
      {"NUL in the target", 400, head(std::string("POST /v1/\0 HTTP/1.1\r\nHost: t\r\n", 30))},
      {"a header without a colon", 400, head(std::string(kChat) + "nothing\r\n")},
      {"a header without a name", 400, head(std::string(kChat) + ": y\r\n")},
      {"two spaces in the request line", 400,
       head("POST  /v1/chat/completions HTTP/1.1\r\nHost: t\r\n")},
      {"a version that is none", 400, head("POST /v1/chat/completions HTTP/1.x\r\nHost: t\r\n")},
      {"HTTP/2 by its name", 505, head("POST /v1/chat/completions HTTP/2.0\r\nHost: t\r\n")},
      {"no request at all", 400, "\x16\x03\x01\x02\r\n\r\n"},
  };
}

std::vector<Malformed> json_cases() {
  const auto chat = [](const std::string& fields) {
    return posted(R"({"model":"m","messages":[{"role":"user","content":"x"}])" + fields + "}");
  };
  std::string deep;
  for (int i = 0; i < 200; ++i) deep += "[";
  return {
      {"empty body", 400, posted("")},
      {"no length and no body", 400, with_headers("", "")},
      {"blanks only", 400, posted(" \r\n ")},
      {"invalid UTF-8", 400, posted(chat_body("\xff\xfe"))},
      {"overlong UTF-8", 400, posted(chat_body("\xc0\xaf"))},
      {"a surrogate in UTF-8", 400, posted(chat_body("\xed\xa0\x80"))},
      {"UTF-16", 400, posted(std::string("{\0\"\0", 4))},
      {"a byte order mark", 400, posted("\xef\xbb\xbf" + chat_body())},
      {"deep JSON", 400, chat(",\"x\":" + deep + std::string(200, ']'))},
      {"deep JSON without an end", 400, posted("{\"x\":" + std::string(60'000, '['))},
      {"NUL between tokens", 400, posted(std::string("{\0", 2) + chat_body().substr(1))},
      {"NUL in a string", 400, posted(chat_body(std::string("a\0b", 3)))},
      {"NUL behind the end", 400, posted(chat_body() + std::string(1, '\0'))},
      {"a control character in a string", 400, posted(chat_body("a\nb"))},
      {"a huge number where one is read", 400, chat(",\"max_tokens\":1" + std::string(400, '0'))},
      {"a fraction where an integer is read", 400, chat(",\"max_tokens\":1.5")},
      {"an exponent where an integer is read", 400, chat(",\"max_tokens\":1e9")},
      {"a negative count", 400, chat(",\"n\":-1")},
      {"a number with leading zeros", 400, chat(",\"x\":007")},
      {"NaN", 400, chat(",\"x\":NaN")},
      {"two models", 400, chat(R"(,"model":"n")")},
      {"two equal models", 400, chat(R"(,"model":"m")")},
      {"two models, one escaped", 400, chat(R"(,"mo\u0064el":"n")")},
      {"two lists of messages", 400, chat(R"(,"messages":[])")},
      {"an invalid escape in the model", 400, posted(R"({"model":"\x","messages":[]})")},
      {"a model that is no string", 400, posted(R"({"model":["m"],"messages":[]})")},
      {"no model", 400, posted(R"({"messages":[]})")},
      {"a model that is too long", 400, posted(chat_body("x", std::string(2000, 'm')))},
      {"trailing garbage", 400, posted(chat_body() + "x")},
      {"a second value", 400, posted(chat_body() + chat_body())},
      {"a trailing comma", 400, posted(R"({"model":"m","messages":[],})")},
      {"single quotes", 400, posted(R"({'model':'m'})")},
      {"a comment", 400, posted("/* x */" + chat_body())},
      {"an array", 400, posted("[" + chat_body() + "]")},
      {"a string", 400, posted("\"x\"")},
  };
}

std::vector<Malformed> form_cases() {
  const std::string type = "Content-Type: multipart/form-data; boundary=b\r\n";
  const auto field = [](const std::string& name, const std::string& value) {
    return "--b\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n";
  };
  const std::string model = field("model", "m");
  const auto form = [&](const std::string& body) {
    return posted(body, "/v1/audio/transcriptions", type);
  };
  return {
      {"form without a model", 400, form(field("language", "en") + "--b--\r\n")},
      {"form with two models", 400, form(model + field("model", "n") + "--b--\r\n")},
      {"form with an unterminated boundary", 400, form(model + "--b")},
      {"form without its last boundary", 400, form(model)},
      {"form that goes on behind its end", 400, form(model + "--b--\r\n" + model)},
      {"form with a preamble", 400, form("x\r\n" + model + "--b--\r\n")},
      {"form with bare LFs", 400,
       form("--b\nContent-Disposition: form-data; name=\"model\"\n\nm\n--b--\n")},
      {"form with a model file", 400, form(field("model\"; filename=\"f", "m") + "--b--\r\n")},
      {"form with an escaped name", 400, form(field("mo\\del", "m") + "--b--\r\n")},
      {"form without a content type", 400, posted(model + "--b--\r\n", "/v1/audio/transcriptions")},
      {"form without a boundary", 400,
       posted(model + "--b--\r\n", "/v1/audio/translations",
              "Content-Type: multipart/form-data\r\n")},
      {"JSON where a form belongs", 400,
       posted(R"({"model":"m"})", "/v1/audio/translations", "Content-Type: application/json\r\n")},
      {"empty form", 400, form("")},
  };
}

// The lines of a WebSocket's handshake.
const std::string kRealtime = "GET /v1/realtime?model=m HTTP/1.1\r\n";
const std::string kHost = "Host: t\r\n";
const std::string kConnection = "Connection: Upgrade\r\n";
const std::string kUpgrade = "Upgrade: websocket\r\n";
const std::string kVersion = "Sec-WebSocket-Version: 13\r\n";
const std::string kKey = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const std::string kAsked = kHost + kConnection + kUpgrade;
const std::string kWhole = kAsked + kVersion + kKey;

using Handshakes = std::vector<std::pair<std::string, std::string>>;

Handshakes incomplete_handshakes() {
  const std::string old = "GET /v1/realtime?model=m HTTP/1.0\r\n";
  const std::string rest = kVersion + kKey;
  return {
      {"no Connection", kRealtime + kHost + kUpgrade + rest},
      {"another Connection", kRealtime + kHost + "Connection: keep-alive\r\n" + kUpgrade + rest},
      {"no Upgrade", kRealtime + kHost + kConnection + rest},
      {"another Upgrade", kRealtime + kHost + kConnection + "Upgrade: h2c\r\n" + rest},
      {"an Upgrade with a version",
       kRealtime + kHost + kConnection + "Upgrade: websocket/13\r\n" + rest},
      {"no version", kRealtime + kAsked + kKey},
      {"an old version", kRealtime + kAsked + "Sec-WebSocket-Version: 8\r\n" + kKey},
      {"a list of versions", kRealtime + kAsked + "Sec-WebSocket-Version: 13, 8\r\n" + kKey},
      {"two versions", kRealtime + kWhole + "Sec-WebSocket-Version: 8\r\n"},
      {"two equal versions", kRealtime + kWhole + kVersion},
      {"HTTP/1.0", old + kWhole},
      {"HTTP/1.0 kept alive", old + kWhole + "Connection: keep-alive\r\n"},
  };
}

// `length` is that of what comes behind the head.
Handshakes bad_handshakes(const std::string& length) {
  const std::string keyless = kRealtime + kAsked + kVersion;
  const std::string rest = kVersion + kKey;
  const std::string chunked = "Transfer-Encoding: chunked\r\n";
  return {
      {"no key", keyless},
      {"an empty key", keyless + "Sec-WebSocket-Key:\r\n"},
      {"two keys", kRealtime + kWhole + "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"},
      {"two equal keys", kRealtime + kWhole + kKey},
      {"a short key", keyless + "Sec-WebSocket-Key: c2hvcnQ=\r\n"},
      {"a long key", keyless + "Sec-WebSocket-Key: " + std::string(200, 'A') + "==\r\n"},
      {"a key not in base64", keyless + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j*Q==\r\n"},
      {"a body by its length", kRealtime + kWhole + length},
      {"a body in chunks", kRealtime + kWhole + chunked},
      {"length and encoding", kRealtime + kWhole + length + chunked},
      {"encoding in HTTP/1.0", "GET /v1/realtime?model=m HTTP/1.0\r\n" + kWhole + chunked},
      {"no host", kRealtime + kConnection + kUpgrade + rest},
      {"two hosts", kRealtime + kWhole + kHost},
      {"Upgrade on a folded line",
       kRealtime + kHost + kConnection + "Upgrade:\r\n websocket\r\n" + rest},
      {"space before Upgrade's colon",
       kRealtime + kHost + kConnection + "Upgrade : websocket\r\n" + rest},
      {"Upgrade behind a bare LF",
       kRealtime + kHost + "Connection: Upgrade\nUpgrade: websocket\r\n" + rest},
      {"Upgrade behind a bare CR",
       kRealtime + kHost + "Connection: Upgrade\rUpgrade: websocket\r\n" + rest},
      {"NUL in Upgrade",
       kRealtime + kHost + kConnection + std::string("Upgrade: web\0socket\r\n", 21) + rest},
      {"a control character in Connection's name",
       kRealtime + kHost + "Connection\x7f: Upgrade\r\n" + kUpgrade + rest},
      {"no model", "GET /v1/realtime HTTP/1.1\r\n" + kWhole},
      {"two models", "GET /v1/realtime?model=m&model=n HTTP/1.1\r\n" + kWhole},
      {"a broken query", "GET /v1/realtime?model=%6 HTTP/1.1\r\n" + kWhole},
  };
}

// Each with a request behind it: none of them opens anything, and nobody takes what follows.
std::vector<Malformed> handshake_cases() {
  const std::string hidden = posted(chat_body("hidden"));
  const std::string behind = "\r\n" + hidden;
  const auto by = [&](const std::string& line) { return line + "\r\n" + kWhole + behind; };
  std::string crowd;
  for (int i = 0; i < 101; ++i) crowd += "X: y\r\n";
  std::vector<Malformed> cases{
      {"handshake by POST", 405, by("POST /v1/realtime?model=m HTTP/1.1")},
      {"handshake by PUT", 405, by("PUT /v1/realtime?model=m HTTP/1.1")},
      {"handshake by OPTIONS", 405, by("OPTIONS /v1/realtime?model=m HTTP/1.1")},
      {"handshake by CONNECT", 400, by("CONNECT /v1/realtime?model=m HTTP/1.1")},
      {"handshake of HTTP/2 by its name", 505, by("GET /v1/realtime?model=m HTTP/2.0")},
      {"handshake for nobody's model", 404, by("GET /v1/realtime?model=x HTTP/1.1")},
      {"handshake elsewhere", 404, by("GET /v1/other HTTP/1.1")},
      {"handshake of a foreign page", 403,
       kRealtime + kWhole + "Origin: https://evil.example\r\n" + behind},
      {"handshake with an oversize header", 431,
       kRealtime + kWhole + "X: " + std::string(70'000, 'x') + "\r\n" + behind},
      {"handshake with too many headers", 431, kRealtime + kWhole + crowd + behind},
      {"truncated handshake", 400, kRealtime + kWhole, true},
  };
  for (const auto& [name, head] : incomplete_handshakes()) {
    cases.push_back({"handshake: " + name, 426, head + behind});
  }
  const std::string length = "Content-Length: " + std::to_string(hidden.size()) + "\r\n";
  for (const auto& [name, head] : bad_handshakes(length)) {
    cases.push_back({"handshake: " + name, 400, head + behind});
  }
  return cases;
}

class MalformedTest : public GatewayTest {
 protected:
  void expect_refused(const std::vector<Malformed>& cases) {
    ScriptedEngine& engine = this->engine();
    start({engine.port()}, "limits: {bodyBytes: 64Ki}");
    std::size_t good = 0;
    for (const Malformed& one : cases) {
      const std::uint64_t seen = engine.counters().bytes_received;
      Client& bad = client();
      bad.send(one.bytes);
      if (one.fin) bad.finish_sending();
      const ClientResponse response = wait_for(bad);
      EXPECT_EQ(response.status, one.status) << one.name << "\n" << bad.input;
      EXPECT_NE(response.header("x-fairlead-reason"), "(none)") << one.name;
      // One answer, not two: nothing behind it was taken for a request.
      EXPECT_EQ(statuses_in(bad.input).size(), 1U) << one.name << "\n" << bad.input;
      EXPECT_EQ(engine.counters().bytes_received, seen) << one.name;
      EXPECT_EQ(engine.requests.size(), good) << one.name;
      EXPECT_EQ(ask(chat_body()).status, 200) << one.name;
      EXPECT_EQ(engine.requests.size(), ++good) << one.name;
    }
  }
};

TEST_F(MalformedTest, Framing) { expect_refused(framing_cases()); }
TEST_F(MalformedTest, Head) { expect_refused(head_cases()); }
TEST_F(MalformedTest, Json) { expect_refused(json_cases()); }
TEST_F(MalformedTest, Forms) { expect_refused(form_cases()); }
TEST_F(MalformedTest, Handshakes) { expect_refused(handshake_cases()); }

TEST_F(MalformedTest, JsonOnEveryRoute) {
  std::vector<Malformed> cases;
  for (const char* path : {"/v1/completions", "/v1/messages", "/v1/messages/count_tokens",
                           "/v1/responses", "/v1/embeddings", "/rerank", "/score", "/pooling",
                           "/classify", "/tokenize", "/detokenize", "/v1/audio/speech"}) {
    const std::string rest = R"(,"messages":[],"prompt":"x","input":"x")";
    cases.push_back({std::string(path) + " empty", 400, posted("", path)});
    cases.push_back(
        {std::string(path) + " no model", 400, posted("{" + rest.substr(1) + "}", path)});
    cases.push_back({std::string(path) + " two models", 400,
                     posted(R"({"model":"m","mo\u0064el":"m")" + rest + "}", path)});
    cases.push_back(
        {std::string(path) + " garbage", 400, posted(R"({"model":"m")" + rest + "}}", path)});
    cases.push_back({std::string(path) + " bad UTF-8", 400,
                     posted("{\"model\":\"m\",\"x\":\"\xff\"" + rest + "}", path)});
  }
  expect_refused(cases);
}

TEST_F(MalformedTest, HugeNumbersInFieldsThatAreNotReadAreTheEnginesBusiness) {
  ScriptedEngine& engine = this->engine();
  start({engine.port()});
  const std::string body = R"({"model":"m","messages":[],"x":1)" + std::string(5000, '9') + "}";
  EXPECT_EQ(ask(body).status, 200);
  EXPECT_EQ(engine.requests[0].body, body);
}

}  // namespace
}  // namespace fairlead::gateway
