// SPDX-License-Identifier: Apache-2.0
#include "core/codec/gzip_body.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/random.h"
#include "core/codec/testing/gzip.h"

namespace fairlead::codec {
namespace {

using testing::gzip;

constexpr GzipBounds kRoomy{.bytes = 1 << 20};

GzipStatus decode(GzipDecoder& decoder, std::string_view body, const GzipBounds& bounds,
                  std::string& out, std::size_t slice = kWholeBody) {
  GzipStatus status = decoder.begin(body, bounds, out);
  while (status == GzipStatus::kMore) status = decoder.step(slice);
  return status;
}

BodyCoding coding(std::initializer_list<Http1Header> headers) {
  return body_coding({headers.begin(), headers.size()});
}

TEST(BodyCoding, KnowsGzipAndRefusesToGuess) {
  EXPECT_EQ(coding({{"content-type", "application/json"}}), BodyCoding::kIdentity);
  EXPECT_EQ(coding({{"Content-Encoding", "identity"}}), BodyCoding::kIdentity);
  EXPECT_EQ(coding({{"Content-Encoding", "GZip"}}), BodyCoding::kGzip);
  EXPECT_EQ(coding({{"content-encoding", "x-gzip"}}), BodyCoding::kGzip);
  for (const char* other : {"deflate", "br", "zstd", "gzip, gzip", "gzip,br", "compress"}) {
    EXPECT_EQ(coding({{"content-encoding", other}}), BodyCoding::kOther) << other;
  }
  EXPECT_EQ(coding({{"content-encoding", "gzip"}, {"content-encoding", "gzip"}}),
            BodyCoding::kOther);
}

RC_GTEST_PROP(GzipDecoder, UndoesWhatZlibDid, (const std::string& text)) {
  const std::size_t times = *rc::gen::inRange<std::size_t>(0, 3000);
  std::string body;
  for (std::size_t i = 0; i < times; ++i) body += text;
  static GzipDecoder decoder;
  std::string out = "left from before";
  const GzipBounds bounds{.bytes = body.size(), .ratio = 2000};
  RC_ASSERT(decode(decoder, gzip(body), bounds, out) == GzipStatus::kOk);
  RC_ASSERT(out == body);
  const std::size_t slice = *rc::gen::inRange<std::size_t>(1, 5000);
  RC_ASSERT(decode(decoder, gzip(body), bounds, out, slice) == GzipStatus::kOk);
  RC_ASSERT(out == body);
}

TEST(GzipDecoder, SeveralMembersAreOneBody) {
  GzipDecoder decoder;
  std::string out;
  ASSERT_EQ(decode(decoder, gzip("ab") + gzip("") + gzip("c"), kRoomy, out), GzipStatus::kOk);
  EXPECT_EQ(out, "abc");
}

TEST(GzipDecoder, RefusesWhateverIsNotAWholeGzipBody) {
  GzipDecoder decoder;
  std::string out;
  const std::string good = gzip("hello, hello, hello");
  for (std::size_t cut = 0; cut < good.size(); ++cut) {
    EXPECT_EQ(decode(decoder, std::string_view(good).substr(0, cut), kRoomy, out),
              GzipStatus::kMalformed)
        << cut;
  }
  std::string wrong_sum = good;
  wrong_sum[good.size() - 8] = static_cast<char>(wrong_sum[good.size() - 8] ^ 1);
  std::string wrong_length = good;
  wrong_length[good.size() - 4] = static_cast<char>(wrong_length[good.size() - 4] ^ 1);
  for (const std::string& bad : {wrong_sum, wrong_length, good + "x", good + std::string(9, '\0'),
                                 std::string("{\"model\":\"m\"}")}) {
    EXPECT_EQ(decode(decoder, bad, kRoomy, out), GzipStatus::kMalformed);
  }
  EXPECT_EQ(decode(decoder, good, kRoomy, out), GzipStatus::kOk) << "the decoder is not spoilt";
}

TEST(GzipDecoder, KeepsTheSizeBoundToTheByte) {
  GzipDecoder decoder;
  std::string out;
  Random random(7);
  std::string body(100'000, 'x');
  for (std::size_t i = 0; i < body.size(); i += 3) body[i] = static_cast<char>(random.below(100));
  const std::string encoded = gzip(body);
  EXPECT_EQ(decode(decoder, encoded, {.bytes = body.size()}, out), GzipStatus::kOk);
  EXPECT_TRUE(out == body);
  EXPECT_EQ(decode(decoder, encoded, {.bytes = body.size() - 1}, out), GzipStatus::kTooLarge);
  EXPECT_LE(out.capacity(), 2 * body.size());
}

TEST(GzipDecoder, ABombIsStoppedByItsRatio) {
  GzipDecoder decoder;
  std::string out;
  const std::string bomb = gzip(std::string(std::size_t{32} << 20, '\0'));
  EXPECT_LT(bomb.size(), 40'000U);
  EXPECT_EQ(decode(decoder, bomb, {.bytes = std::size_t{64} << 20}, out), GzipStatus::kTooLarge);
  EXPECT_LE(out.size(), 40 * bomb.size() + 1);
  EXPECT_EQ(decode(decoder, gzip(std::string(60'000, '\0')), kRoomy, out), GzipStatus::kOk)
      << "small ones do no harm";
}

TEST(GzipDecoder, ASliceIsNoLargerThanAskedForAndBoundsHoldInSlicesToo) {
  GzipDecoder decoder;
  std::string out;
  const std::string body(100'000, 'x');
  const std::string encoded = gzip(body) + gzip(body);
  const GzipBounds bounds{.bytes = 2 * body.size(), .ratio = 2000};
  GzipStatus status = decoder.begin(encoded, bounds, out);
  int slices = 0;
  for (; status == GzipStatus::kMore; ++slices) {
    status = decoder.step(10'000);
    EXPECT_LE(out.size(), static_cast<std::size_t>(slices + 1) * 20'000);
  }
  EXPECT_EQ(status, GzipStatus::kOk);
  EXPECT_EQ(out, body + body);
  EXPECT_GE(slices, 20);
  EXPECT_EQ(decode(decoder, encoded, {.bytes = bounds.bytes - 1, .ratio = 2000}, out, 10'000),
            GzipStatus::kTooLarge);
  EXPECT_EQ(decode(decoder, encoded.substr(0, encoded.size() - 1), bounds, out, 10'000),
            GzipStatus::kMalformed);
  std::string nothing;
  for (int i = 0; i < 10'000; ++i) nothing += gzip("");
  slices = 0;
  for (status = decoder.begin(nothing, bounds, out); status == GzipStatus::kMore; ++slices) {
    status = decoder.step(10'000);
  }
  EXPECT_EQ(status, GzipStatus::kOk);
  EXPECT_GE(slices, 20) << "members without a byte in them take time too";
}

}  // namespace
}  // namespace fairlead::codec
