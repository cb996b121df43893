// SPDX-License-Identifier: Apache-2.0
#include "core/codec/http1.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "core/codec/http1_request.h"
#include "core/codec/http1_response.h"
#include "core/codec/http1_write.h"

namespace fairlead::codec {
namespace {

Http1Error request_error(std::string_view text, const Http1Limits& limits = {}) {
  Http1RequestParser parser(limits);
  const Http1Progress progress = parser.parse(text);
  if (progress == Http1Progress::kNeedMore) return Http1Error::kNone;
  return parser.error();
}

// Wraps header lines in an otherwise good request.
Http1Error header_error(const std::string& lines) {
  return request_error("POST /v1/x HTTP/1.1\r\nHost: a\r\n" + lines + "\r\n");
}

TEST(Http1Request, ReadsEveryPartOfAHead) {
  const std::string text =
      "POST /v1/chat/completions?x=1 HTTP/1.1\r\nHost: gateway:8000\r\nContent-Length: 12\r\n"
      "X-Empty:\r\nAccept: \t text/event-stream \r\n\r\n{\"model\":\"m\"";
  Http1RequestParser parser;
  ASSERT_EQ(parser.parse(text), Http1Progress::kComplete);
  const Http1RequestHead& head = parser.head();
  EXPECT_EQ(head.method, "POST");
  EXPECT_EQ(head.target, "/v1/chat/completions?x=1");
  EXPECT_EQ(head.path(), "/v1/chat/completions");
  EXPECT_EQ(head.query(), "x=1");
  EXPECT_EQ(head.host, "gateway:8000");
  EXPECT_EQ(head.version, Http1Version::k11);
  EXPECT_EQ(head.body, BodyFraming::of_length(12));
  EXPECT_TRUE(head.keep_alive);
  ASSERT_EQ(head.headers.size(), 4U);
  EXPECT_EQ(header_value(head.headers, "accept"), "text/event-stream");
  EXPECT_EQ(find_header(head.headers, "x-empty")->value, "");
  EXPECT_EQ(text.substr(head.size), "{\"model\":\"m\"");
  // Zero-copy: the views lie in the caller's bytes.
  EXPECT_EQ(head.method.data(), text.data());
}

TEST(Http1Request, AbsoluteTargetsAndOneEmptyLineInFrontAreAccepted) {
  Http1RequestParser parser;
  ASSERT_EQ(parser.parse("\r\nGET http://h:1/a/b?q HTTP/1.1\r\nHost: h:1\r\n\r\n"),
            Http1Progress::kComplete);
  EXPECT_EQ(parser.head().path(), "/a/b");
  parser.reset();
  ASSERT_EQ(parser.parse("GET http://h HTTP/1.1\r\nHost: h\r\n\r\n"), Http1Progress::kComplete);
  EXPECT_EQ(parser.head().path(), "/");
  parser.reset();
  ASSERT_EQ(parser.parse("OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n"), Http1Progress::kComplete);
}

TEST(Http1Request, KeepAliveFollowsVersionAndConnection) {
  const auto keeps = [](std::string_view text) {
    Http1RequestParser parser;
    EXPECT_EQ(parser.parse(text), Http1Progress::kComplete);
    return parser.head().keep_alive;
  };
  EXPECT_TRUE(keeps("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
  EXPECT_FALSE(keeps("GET / HTTP/1.1\r\nHost: a\r\nConnection: foo, Close\r\n\r\n"));
  EXPECT_FALSE(keeps("GET / HTTP/1.0\r\n\r\n"));
  EXPECT_TRUE(keeps("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"));
}

TEST(Http1Request, EveryMalformedClassHasItsTypedError) {
  const std::vector<std::pair<std::string, Http1Error>> cases = {
      {"\x16\x03\x01", Http1Error::kInvalidStartLine},
      {"\r\n\r\nGET / HTTP/1.1\r\n", Http1Error::kInvalidStartLine},
      {"GET / HTTP/1.1\nHost: a\n\n", Http1Error::kBareLineEnd},
      {"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", Http1Error::kInvalidTarget},
      {"GET\r\n\r\n", Http1Error::kInvalidStartLine},
      {"GET /\r\n\r\n", Http1Error::kInvalidStartLine},
      {"GE@T / HTTP/1.1\r\nHost: a\r\n\r\n", Http1Error::kInvalidMethod},
      {"GET / x HTTP/1.1\r\nHost: a\r\n\r\n", Http1Error::kInvalidTarget},
      {"GET x HTTP/1.1\r\nHost: a\r\n\r\n", Http1Error::kInvalidTarget},
      {"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", Http1Error::kInvalidTarget},
      {"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", Http1Error::kInvalidTarget},
      {"GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n", Http1Error::kInvalidTarget},
      {"GET * HTTP/1.1\r\nHost: a\r\n\r\n", Http1Error::kInvalidTarget},
      {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", Http1Error::kUnsupportedVersion},
      {"PRI * HTTP/2.0\r\n\r\n", Http1Error::kUnsupportedVersion},
      {"GET / http/1.1\r\nHost: a\r\n\r\n", Http1Error::kInvalidVersion},
      {"GET / HTTP/1.1\r\n\r\n", Http1Error::kMissingHost},
      {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Http1Error::kDuplicateHost},
      {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", Http1Error::kInvalidHost},
      {"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", Http1Error::kInvalidHost},
      {"GET / HTTP/1.1\r\nHost: a\r\nConnection: " + std::string(32, ',') + "\r\n\r\n",
       Http1Error::kConnectionListTooLong},
      {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
       Http1Error::kInvalidTransferEncoding},
  };
  for (const auto& [text, error] : cases) {
    EXPECT_EQ(to_string(request_error(text)), to_string(error)) << text;
  }
}

TEST(Http1Request, EveryMalformedHeaderHasItsTypedError) {
  const std::vector<std::pair<std::string, Http1Error>> cases = {
      {"A : b\r\n", Http1Error::kSpaceBeforeColon},
      {"A\t: b\r\n", Http1Error::kSpaceBeforeColon},
      {"A B: c\r\n", Http1Error::kInvalidHeaderName},
      {": c\r\n", Http1Error::kInvalidHeaderName},
      {"A\x01: c\r\n", Http1Error::kInvalidHeaderName},
      {"abc\r\n", Http1Error::kMissingColon},
      {"A: b\r\n c\r\n", Http1Error::kFoldedHeader},
      {"A: b\rc\r\n", Http1Error::kBareLineEnd},
      {"A: b\r\r\n", Http1Error::kBareLineEnd},
      {std::string("A: b\0c\r\n", 8), Http1Error::kInvalidHeaderValue},
      {"A: b\x7F\r\n", Http1Error::kInvalidHeaderValue},
      {"Content-Length: 1\r\nContent-Length: 1\r\n", Http1Error::kDuplicateContentLength},
      {"Content-Length: 1\r\nContent-Length: 2\r\n", Http1Error::kDuplicateContentLength},
      {"Content-Length: 1, 1\r\n", Http1Error::kInvalidContentLength},
      {"Content-Length: +1\r\n", Http1Error::kInvalidContentLength},
      {"Content-Length: -1\r\n", Http1Error::kInvalidContentLength},
      {"Content-Length: 0x1\r\n", Http1Error::kInvalidContentLength},
      {"Content-Length:\r\n", Http1Error::kInvalidContentLength},
      {"Content-Length: 99999999999999999999\r\n", Http1Error::kInvalidContentLength},
      {"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", Http1Error::kLengthAndEncoding},
      {"Transfer-Encoding: chunked\r\ncontent-length: 1\r\n", Http1Error::kLengthAndEncoding},
      {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
       Http1Error::kInvalidTransferEncoding},
      {"Transfer-Encoding: chunked, chunked\r\n", Http1Error::kInvalidTransferEncoding},
      {"Transfer-Encoding: chunked, gzip\r\n", Http1Error::kInvalidTransferEncoding},
      {"Transfer-Encoding: xchunked\r\n", Http1Error::kInvalidTransferEncoding},
      {"Transfer-Encoding: \x0b"
       "chunked\r\n",
       Http1Error::kInvalidHeaderValue},
      {"Transfer-Encoding: gzip, chunked\r\n", Http1Error::kUnsupportedTransferEncoding},
      {"Expect: 200-ok\r\n", Http1Error::kUnsupportedExpectation},
  };
  for (const auto& [lines, error] : cases) {
    EXPECT_EQ(to_string(header_error(lines)), to_string(error)) << lines;
  }
  EXPECT_EQ(header_error("Transfer-Encoding: Chunked\r\n"), Http1Error::kNone);
  EXPECT_EQ(header_error("Expect: 100-Continue\r\n"), Http1Error::kNone);
}

TEST(Http1Request, LimitsHoldWithoutTheEndOfTheHead) {
  Http1Limits limits;
  limits.head_bytes = 64;
  limits.headers = 2;
  EXPECT_EQ(request_error("GET /" + std::string(100, 'a'), limits), Http1Error::kTargetTooLong);
  EXPECT_EQ(request_error("GET / HTTP/1.1\r\nHost: " + std::string(100, 'a'), limits),
            Http1Error::kHeadTooLarge);
  EXPECT_EQ(request_error("GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nC: d\r\n\r\n", limits),
            Http1Error::kTooManyHeaders);
  // Exactly the limit is accepted.
  const std::string exact = "GET / HTTP/1.1\r\nHost: " + std::string(38, 'a') + "\r\n\r\n";
  ASSERT_EQ(exact.size(), limits.head_bytes);
  EXPECT_EQ(request_error(exact, limits), Http1Error::kNone);
  EXPECT_EQ(request_error("GET / HTTP/1.1\r\nHost: " + std::string(39, 'a') + "\r\n\r\n", limits),
            Http1Error::kHeadTooLarge);
}

TEST(Http1Request, EveryErrorAnswersWithAClientOrServerErrorStatus) {
  for (std::size_t i = 1; i < kHttp1ErrorCount; ++i) {
    const auto error = static_cast<Http1Error>(i);
    EXPECT_GE(status_for(error), 400) << to_string(error);
    EXPECT_FALSE(to_string(error).empty());
  }
  EXPECT_EQ(to_string(Http1Error::kInvalidTrailer), "invalid_trailer");
  EXPECT_EQ(to_string(Http1Error::kMissingHost), "missing_host");
  EXPECT_EQ(status_for(Http1Error::kTargetTooLong), 414);
  EXPECT_EQ(status_for(Http1Error::kHeadTooLarge), 431);
  EXPECT_EQ(status_for(Http1Error::kUnsupportedTransferEncoding), 501);
}

TEST(Http1Request, ByteByByteEqualsWhole) {
  const std::vector<std::string> texts = {
      "\r\nPOST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a\nB: c\r\n\r\n",
      "GET / HTTP/3.1\r\nHost: a\r\n\r\n",
  };
  for (const std::string& text : texts) {
    Http1RequestParser whole;
    Http1RequestParser split;
    const Http1Progress expected = whole.parse(text);
    Http1Progress progress = Http1Progress::kNeedMore;
    for (std::size_t n = 1; n <= text.size() && progress == Http1Progress::kNeedMore; ++n) {
      // Each call sees the bytes elsewhere in memory.
      const std::string moved = text.substr(0, n);
      progress = split.parse(moved);
    }
    EXPECT_EQ(progress, expected) << text;
    EXPECT_EQ(split.error(), whole.error()) << text;
    EXPECT_EQ(split.head().size, whole.head().size) << text;
  }
}

TEST(Http1Response, FramingFollowsTheRfc) {
  const auto framing = [](std::string_view text, ResponseTo to = ResponseTo::kOther) {
    Http1ResponseParser parser;
    EXPECT_EQ(parser.parse(text, to), Http1Progress::kComplete) << text;
    return parser.head().body;
  };
  EXPECT_EQ(framing("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), BodyFraming::of_length(5));
  EXPECT_EQ(framing("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", ResponseTo::kHead),
            BodyFraming::none());
  EXPECT_EQ(framing("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), BodyFraming::none());
  EXPECT_EQ(framing("HTTP/1.1 204 No Content\r\n\r\n"), BodyFraming::none());
  EXPECT_EQ(framing("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"), BodyFraming::none());
  EXPECT_EQ(framing("HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n"), BodyFraming::chunked());
  EXPECT_EQ(framing("HTTP/1.0 200 OK\r\n\r\n"), BodyFraming::until_close());
  EXPECT_EQ(framing("HTTP/1.1 200 OK\r\n\r\n"), BodyFraming::until_close());
}

TEST(Http1Response, ReadsStatusAndPersistence) {
  Http1ResponseParser parser;
  ASSERT_EQ(parser.parse("HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n",
                         ResponseTo::kOther),
            Http1Progress::kComplete);
  EXPECT_EQ(parser.head().status, 429);
  EXPECT_EQ(parser.head().reason, "Too Many Requests");
  EXPECT_TRUE(parser.head().keep_alive);
  parser.reset();
  ASSERT_EQ(parser.parse("HTTP/1.1 100 Continue\r\n\r\n", ResponseTo::kOther),
            Http1Progress::kComplete);
  EXPECT_TRUE(parser.head().interim());
  parser.reset();
  ASSERT_EQ(parser.parse("HTTP/1.1 200 OK\r\n\r\n", ResponseTo::kOther), Http1Progress::kComplete);
  EXPECT_FALSE(parser.head().keep_alive);
}

TEST(Http1Response, RefusesAmbiguousOrBrokenHeads) {
  const std::vector<std::pair<std::string, Http1Error>> cases = {
      {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
       Http1Error::kDuplicateContentLength},
      {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
       Http1Error::kLengthAndEncoding},
      {"HTTP/1.1 20 OK\r\n\r\n", Http1Error::kInvalidStatusLine},
      {"HTTP/1.1 2000 OK\r\n\r\n", Http1Error::kInvalidStatusLine},
      {"HTTP/1.1 020 OK\r\n\r\n", Http1Error::kInvalidStatusLine},
      {"HTTP/2.0 200 OK\r\n\r\n", Http1Error::kUnsupportedVersion},
      {"HTTP/1.1 101 Switching Protocols\r\n\r\n", Http1Error::kInvalidStatusLine},
      {"HTTP/1.1 999 Unknown\r\n\r\n", Http1Error::kInvalidStatusLine},
      {"ICY 200 OK\r\n\r\n", Http1Error::kInvalidVersion},
      {"HTTP/1.1 200 OK\nA: b\n\n", Http1Error::kBareLineEnd},
  };
  for (const auto& [text, error] : cases) {
    Http1ResponseParser parser;
    EXPECT_EQ(parser.parse(text, ResponseTo::kOther), Http1Progress::kError) << text;
    EXPECT_EQ(to_string(parser.error()), to_string(error)) << text;
  }
}

TEST(Http1Headers, HopByHopCoversTheListAndWhatConnectionNames) {
  const Http1Headers headers = {{"Connection", "close, X-Private"}, {"X-Private", "1"}};
  EXPECT_TRUE(is_hop_by_hop("x-private", headers));
  EXPECT_TRUE(is_hop_by_hop("Transfer-Encoding", headers));
  EXPECT_TRUE(is_hop_by_hop("KEEP-ALIVE", headers));
  EXPECT_FALSE(is_hop_by_hop("Content-Type", headers));
}

TEST(Http1Write, HeadsParseBackAndValuesCannotEndTheirLine) {
  std::string out;
  append_request_line(out, "POST", "/v1/x");
  append_header(out, "host", "a");
  append_header(out, "x-evil", "1\r\nX-Injected: 2");
  append_framing(out, BodyFraming::of_length(42));
  append_head_end(out);
  Http1RequestParser parser;
  ASSERT_EQ(parser.parse(out), Http1Progress::kComplete);
  EXPECT_EQ(parser.head().headers.size(), 3U);
  EXPECT_EQ(parser.head().body, BodyFraming::of_length(42));
  EXPECT_EQ(header_value(parser.head().headers, "x-evil"), "1  X-Injected: 2");

  out.clear();
  append_status_line(out, 503);
  append_framing(out, BodyFraming::chunked());
  append_head_end(out);
  EXPECT_EQ(out, "HTTP/1.1 503 Service Unavailable\r\ntransfer-encoding: chunked\r\n\r\n");
  out.clear();
  append_chunk_size(out, 0x1AF);
  EXPECT_EQ(out, "1af\r\n");
}

}  // namespace
}  // namespace fairlead::codec
