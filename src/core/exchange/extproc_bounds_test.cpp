// SPDX-License-Identifier: Apache-2.0
// What a hostile client, Envoy or engine may not make an ext_proc stream do: grow, count or wait
// beyond what is bounded.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/codec/ext_proc_envoy.h"
#include "core/exchange/extproc_stream.h"
#include "core/exchange/kept_memory.h"
#include "core/exchange/testing/recording_port.h"
#include "core/tokens/estimate.h"

namespace fairlead::exchange {
namespace {

using codec::BodySendMode;
using codec::ProcessingPhase;
using codec::envoy::EnvoyReply;
using codec::envoy::HeaderList;
using testing::RecordingPort;

class ExtProcBoundsTest : public ::testing::Test {
 protected:
  ExtProcBoundsTest() { port_.attach(stream_); }

  // A new stream, and a request's head on it.
  void head(HeaderList more = {}, BodySendMode mode = BodySendMode::kFullDuplexStreamed,
            std::string metadata = {}, std::string path = "/v1/chat/completions") {
    if (stream_.running()) stream_.on_gone();
    port_ = RecordingPort();
    port_.attach(stream_);
    settings_.assumed = {mode, mode};
    stream_.begin(settings_);
    HeaderList headers = {{":method", "POST"}, {":path", std::move(path)}};
    headers.insert(headers.end(), more.begin(), more.end());
    stream_.on_message(codec::envoy::encode({.phase = ProcessingPhase::kRequestHeaders,
                                             .headers = headers,
                                             .metadata = std::move(metadata)}));
  }
  void body(std::string_view text, bool end = true) {
    stream_.on_message(codec::envoy::encode(
        {.phase = ProcessingPhase::kRequestBody, .body = std::string(text), .end = end}));
  }
  void answer_head(HeaderList headers) {
    stream_.on_message(codec::envoy::encode(
        {.phase = ProcessingPhase::kResponseHeaders, .headers = std::move(headers)}));
  }
  void answer_body(std::string_view text) {
    stream_.on_message(codec::envoy::encode(
        {.phase = ProcessingPhase::kResponseBody, .body = std::string(text), .end = false}));
  }
  std::uint64_t large_heads() const {
    return counters_.faults[static_cast<std::size_t>(ExtProcFault::kResponseHeadTooLarge)];
  }

  static constexpr std::string_view kBody =
      R"({"model":"m","messages":[{"role":"user","content":"hi"}]})";
  ExtProcSettings settings_;
  ReadingDesk desk_{std::size_t{8} << 20};
  BodyStore store_;
  ExtProcCounters counters_;
  RecordingPort port_;
  ExtProcStream stream_{{desk_, store_, counters_}, port_};
};

// An empty header takes two bytes of a map, and sixteen times as many to be looked at.
TEST_F(ExtProcBoundsTest, AHeadHasNoMoreThanSoManyHeaders) {
  head(HeaderList(kHeadersMax - 2));
  EXPECT_FALSE(port_.replied);
  EXPECT_TRUE(stream_.running());
  head(HeaderList(kHeadersMax - 1));
  EXPECT_EQ(port_.replied, model::ReplyReason::kHeaderTooLarge);
  EXPECT_EQ(port_.outcome, model::Outcome::kRejected);
}

TEST_F(ExtProcBoundsTest, AnAnswersHeadIsBoundedLikeARequests) {
  head();
  body(kBody);
  answer_head(HeaderList(kHeadersMax));
  EXPECT_EQ(large_heads(), 0U);
  head();
  body(kBody);
  answer_head(HeaderList(kHeadersMax + 1));
  EXPECT_EQ(large_heads(), 1U);
  EXPECT_EQ(port_.finished, StreamStatus::kInvalidArgument);
  EXPECT_TRUE(port_.statuses.empty());
  head();
  body(kBody);
  answer_head({{":status", "200"}, {"x", std::string(settings_.head_bytes_max, 'x')}});
  EXPECT_EQ(large_heads(), 2U);
}

TEST_F(ExtProcBoundsTest, AStreamKeepsNoMoreThanMostRequestsNeed) {
  head(HeaderList(kHeadersMax - 2));
  stream_.on_gone();
  stream_.clear();
  EXPECT_EQ(stream_.request().headers.data(), nullptr);
  head(HeaderList(30));
  stream_.on_gone();
  stream_.clear();
  EXPECT_NE(stream_.request().headers.data(), nullptr) << "or each request would allocate";
  settings_.keys.block_bytes = 64;
  std::string large(kBody);
  large.insert(large.find("hi"), std::string(64 * kKeptBytesMax, 'x'));
  head();
  body(large);
  EXPECT_GT(stream_.request().inference.keys.size_bytes(), kKeptBytesMax);
  stream_.on_gone();
  stream_.clear();
  EXPECT_EQ(stream_.request().inference.keys.data(), nullptr);
}

TEST_F(ExtProcBoundsTest, AStatusThatHttpDoesNotKnowIsUnknown) {
  for (const auto& [text, status] : {std::pair{"100", 100},
                                     {"599", 599},
                                     {"99", 0},
                                     {"600", 0},
                                     {"-200", 0},
                                     {"200x", 0},
                                     {"99999999999", 0},
                                     {"", 0}}) {
    head();
    body(kBody);
    answer_head({{":status", text}});
    EXPECT_EQ(port_.statuses, std::vector<int>{status}) << text;
  }
}

TEST_F(ExtProcBoundsTest, AnAnnouncedLengthCountsUpToWhatCouldBeRead) {
  const std::uint64_t most = tokens::estimate_tokens(settings_.body_bytes_max);
  for (const char* const length :
       {"9999999999999999", "18446744073709551615", "99999999999999999999999"}) {
    head({{"content-length", length}}, BodySendMode::kStreamed);
    EXPECT_EQ(stream_.request().inference.prompt_tokens, most) << length;
    head({{"content-length", length}}, BodySendMode::kBufferedPartial);
    body(kBody.substr(0, kBody.find("hi")), false);
    EXPECT_EQ(port_.decides, 1);
    EXPECT_GT(stream_.request().inference.prompt_tokens, 0U) << length;
    EXPECT_LE(stream_.request().inference.prompt_tokens, most) << length;
    head({{"content-length", length}});
    EXPECT_EQ(port_.replied, model::ReplyReason::kTooLarge) << length;
  }
}

TEST_F(ExtProcBoundsTest, ASubsetThatIsTooLongNamesNobodyAndIsCounted) {
  std::vector<std::string> hint(SubsetHint::kEntriesMax, "10.0.0.1");
  head({}, BodySendMode::kFullDuplexStreamed, codec::envoy::subset_metadata(hint));
  EXPECT_TRUE(stream_.request().subset->allows("10.0.0.1", 80));
  EXPECT_EQ(counters_.subsets_too_long, 0U);
  hint.emplace_back("10.0.0.1");
  head({}, BodySendMode::kFullDuplexStreamed, codec::envoy::subset_metadata(hint));
  EXPECT_TRUE(stream_.request().subset->present());
  EXPECT_EQ(stream_.request().subset->size(), 0U);
  EXPECT_FALSE(stream_.request().subset->allows("10.0.0.1", 80));
  EXPECT_EQ(counters_.subsets_too_long, 1U);
}

// Of an answer that begins before its request has left, Envoy may have pieces on the way to us when
// it hears of the close; those would be lost.
TEST_F(ExtProcBoundsTest, ARequestThatDoesNotLeaveAtOnceKeepsItsStreamOpen) {
  settings_.response = ResponseProcessing::kNone;
  settings_.unknown_path = UnknownPath::kPlacedByLoad;
  const auto answered = [&] {
    EXPECT_FALSE(port_.finished);
    answer_head({{":status", "200"}});
    stream_.on_message(codec::envoy::encode(
        {.phase = ProcessingPhase::kResponseBody, .body = "answer", .end = true}));
    EnvoyReply last;
    EXPECT_TRUE(codec::envoy::decode(port_.messages.back(), last));
    EXPECT_EQ(last.body, "answer");
    EXPECT_EQ(port_.finished, StreamStatus::kOk);
  };
  head();
  body(R"({"model":"m","messages":[{"role":"user","content":")" + std::string(60'000, 'x') +
       R"("}]})");
  answered();
  head({}, BodySendMode::kFullDuplexStreamed, {}, "/v1/unknown");
  body("in", false);
  body("parts");
  answered();
  EXPECT_EQ(counters_.kept_open, 2U);
  head();
  body(kBody);
  EXPECT_EQ(port_.finished, StreamStatus::kOk);
  EXPECT_EQ(counters_.closed_early, 1U);
}

// A client's model of a thousand letters, for an engine's of one.
TEST_F(ExtProcBoundsTest, NamesAreNotSwappedIntoABomb) {
  const std::string model(1024, 'y');
  std::string event;
  for (int i = 0; i < 1000; ++i) event += R"("model":"x",)";
  for (const BodySendMode mode : {BodySendMode::kFullDuplexStreamed, BodySendMode::kBuffered}) {
    counters_ = {};
    head({{"x-llm-d-model-name-rewrite", "x"}}, mode);
    body(R"({"model":")" + model + R"(","messages":[]})");
    ASSERT_EQ(port_.client_model, model);
    answer_head({{":status", "200"}});
    port_.messages.clear();
    answer_body(event);
    std::string shown;
    for (const std::string& message : port_.messages) {
      EnvoyReply reply;
      ASSERT_TRUE(codec::envoy::decode(message, reply));
      shown += reply.body;
    }
    EXPECT_TRUE(shown.starts_with(R"("model":")" + model));
    EXPECT_TRUE(shown.ends_with(R"("model":"x",)"));
    EXPECT_LE(shown.size(), event.size() + ModelNameSwap::kGrowthBytesMax);
    EXPECT_EQ(counters_.swaps_stopped, 1U);
  }
}

}  // namespace
}  // namespace fairlead::exchange
