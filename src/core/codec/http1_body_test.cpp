// SPDX-License-Identifier: Apache-2.0
#include "core/codec/http1_body.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace fairlead::codec {
namespace {

struct Outcome {
  Http1Progress status;
  Http1Error error;
  std::size_t consumed;
  std::string payload;
  bool operator==(const Outcome&) const = default;
};

Outcome feed(BodyFraming framing, std::string_view bytes, std::size_t piece_bytes,
             const Http1Limits& limits = {}) {
  Http1BodyReader reader(limits);
  reader.reset(framing);
  Outcome outcome{};
  std::vector<std::string_view> pieces;
  while (reader.status() == Http1Progress::kNeedMore && !bytes.empty()) {
    const std::string_view piece = bytes.substr(0, piece_bytes);
    pieces.clear();
    const std::size_t taken = reader.walk(piece, pieces);
    for (const std::string_view payload : pieces) outcome.payload += payload;
    outcome.consumed += taken;
    bytes.remove_prefix(taken);
    if (taken < piece.size()) break;
  }
  EXPECT_EQ(reader.payload_bytes(), outcome.payload.size());
  outcome.status = reader.status();
  outcome.error = reader.error();
  return outcome;
}

TEST(Http1Body, ALengthEndsWhereItSays) {
  const Outcome outcome = feed(BodyFraming::of_length(5), "helloGET /", 100);
  EXPECT_EQ(outcome.status, Http1Progress::kComplete);
  EXPECT_EQ(outcome.consumed, 5U);
  EXPECT_EQ(outcome.payload, "hello");
}

TEST(Http1Body, ChunksExtensionsAndTrailersAreWalked) {
  const std::string raw = "5;x=\"y\"\r\nhello\r\n00a \r\n, world!!\n\r\n0\r\nX-T: 1\r\n\r\nNEXT";
  const Outcome outcome = feed(BodyFraming::chunked(), raw, 1000);
  EXPECT_EQ(outcome.status, Http1Progress::kComplete);
  EXPECT_EQ(outcome.payload, "hello, world!!\n");
  EXPECT_EQ(raw.substr(outcome.consumed), "NEXT");
}

TEST(Http1Body, ASizeLineHoldsASizeAndItsExtensionsOnly) {
  for (const char* line : {"5 zz\r\nhello\r\n0\r\n\r\n", "5 6\r\nhello\r\n0\r\n\r\n",
                           "00000000000000005\r\nhello\r\n0\r\n\r\n"}) {
    EXPECT_EQ(feed(BodyFraming::chunked(), line, 1000).error, Http1Error::kInvalidChunkSize)
        << line;
  }
  EXPECT_EQ(feed(BodyFraming::chunked(), "5 \t;a=b\r\nhello\r\n0\r\n\r\n", 1).status,
            Http1Progress::kComplete);
}

TEST(Http1Body, EverySplitGivesTheSameOutcome) {
  const std::vector<std::string> bodies = {
      "5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\nrest",
      "1;a\r\nx\r\n0\r\nA: b\r\nC: d\r\n\r\n",
      "5\r\nhelloX\r\n",
      "5\nhello",
      "g\r\n",
      "0\r\nbad trailer\r\n\r\n",
  };
  for (const std::string& body : bodies) {
    const Outcome whole = feed(BodyFraming::chunked(), body, body.size());
    for (std::size_t size = 1; size < body.size(); ++size) {
      EXPECT_TRUE(feed(BodyFraming::chunked(), body, size) == whole) << body << " by " << size;
    }
  }
}

TEST(Http1Body, BrokenChunksHaveTypedErrors) {
  Http1Limits limits;
  limits.chunk_extension_bytes = 8;
  limits.trailer_bytes = 16;
  const std::vector<std::pair<std::string, Http1Error>> cases = {
      {"\r\n", Http1Error::kInvalidChunkSize},
      {"-1\r\n", Http1Error::kInvalidChunkSize},
      {"0x5\r\n", Http1Error::kInvalidChunkSize},
      {"5\n", Http1Error::kInvalidChunkSize},
      {"5\rX", Http1Error::kInvalidChunkSize},
      {"5;a\nb\r\n", Http1Error::kInvalidChunkSize},
      {"1000000000000000\r\n", Http1Error::kInvalidChunkSize},
      {"5;123456789\r\n", Http1Error::kChunkExtensionTooLarge},
      {"1;1234\r\nx\r\n1;12345678\r\nx", Http1Error::kChunkExtensionTooLarge},
      {"1\r\nxy", Http1Error::kInvalidChunkEnd},
      {"1\r\nx\ry", Http1Error::kInvalidChunkEnd},
      {"0\r\n: b\r\n\r\n", Http1Error::kInvalidTrailer},
      {"0\r\nabc\r\n\r\n", Http1Error::kInvalidTrailer},
      {"0\r\na: b\rc", Http1Error::kInvalidTrailer},
      {"0\r\na: 12345678901234567\r\n", Http1Error::kTrailersTooLarge},
  };
  for (const auto& [raw, error] : cases) {
    const Outcome outcome = feed(BodyFraming::chunked(), raw, raw.size(), limits);
    EXPECT_EQ(outcome.status, Http1Progress::kError) << raw;
    EXPECT_EQ(to_string(outcome.error), to_string(error)) << raw;
  }
}

TEST(Http1Body, UntilCloseEndsOnlyWithTheConnection) {
  Http1BodyReader reader;
  std::vector<std::string_view> pieces;
  reader.reset(BodyFraming::until_close());
  EXPECT_EQ(reader.walk("abc", pieces), 3U);
  EXPECT_EQ(reader.status(), Http1Progress::kNeedMore);
  reader.on_close();
  EXPECT_EQ(reader.status(), Http1Progress::kComplete);

  reader.reset(BodyFraming::of_length(3));
  EXPECT_EQ(reader.walk("ab", pieces), 2U);
  reader.on_close();
  EXPECT_EQ(reader.status(), Http1Progress::kNeedMore);
}

}  // namespace
}  // namespace fairlead::codec
