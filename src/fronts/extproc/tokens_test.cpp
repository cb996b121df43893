// SPDX-License-Identifier: Apache-2.0
// Prompts that are tokenized as their engines do it, before a decision that Envoy waits for.
#include "fronts/extproc/testing/envoy_fixture.h"
#include "io/text/hf_model.h"

namespace fairlead::extproc {
namespace {

class ExtProcTokensTest : public ExtProcTest {
 protected:
  void SetUp() override {
#ifndef FAIRLEAD_TOKENS
    GTEST_SKIP() << "built without tokenizers";
#endif
  }
  static std::string folder() {
    return std::string(FAIRLEAD_SOURCE_DIR) + "/test/text/models/chatml";
  }
  void begin(std::string_view deadline) {
    start(fmt::format(R"(apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: precise-prefix-cache-producer
  parameters: {{kvEventsConfig: {{podDiscoveryConfig: {{socketPort: 1}}}}}}
- {{type: prefix-cache-scorer}}
tokens: {{models: [{{model: m, folder: {}}}], deadline: {}}})",
                      folder(), deadline));
  }
  static std::int64_t tokens_of(const std::string& body) {
    const auto loaded = text::HfModel::load(folder());
    std::vector<std::uint32_t> ids;
    EXPECT_TRUE((*loaded)->append((*loaded)->read(tokens::RequestForm::kChat, body, 0)->text, ids));
    return static_cast<std::int64_t>(ids.size());
  }
  double ended(std::string_view end) {
    return metric(fmt::format("fairlead_tokenizer_requests_total{{end=\"{}\"}}", end));
  }
  // As Envoy cuts it.
  std::int32_t send_in_pieces(const std::string& body) {
    const std::int32_t stream = open();
    send(stream, head());
    for (std::size_t at = 0; at < body.size(); at += 60'000) {
      send(stream, {.phase = ProcessingPhase::kRequestBody, .body = body.substr(at, 60'000)});
    }
    send(stream, {.phase = ProcessingPhase::kRequestBody, .end = true});
    return stream;
  }
  // In lines: what has no place to be cut ends by its size, at once.
  static std::string much() {
    std::string text;
    for (int i = 0; i < 60'000; ++i) text += std::to_string(i) + R"( bottles of beer.\n)";
    return text;
  }
};

TEST_F(ExtProcTokensTest, APromptCountsByTheTokensOfItsModel) {
  begin("10s");
  const std::string body = chat_body("a KV cache is hit where its blocks are held");
  const std::int32_t stream = ask(body);
  EXPECT_EQ(told(stream).substr(0, 7), "10.0.0.");
  EXPECT_EQ(router_->inflight().total().uncached_tokens, tokens_of(body));
  EXPECT_EQ(ended("done"), 1);
  finish(stream);
}

TEST_F(ExtProcTokensTest, WhatTakesTooLongIsDecidedWithoutTokens) {
  begin("1ms");
  const std::int32_t stream = send_in_pieces(chat_body(much()));
  ASSERT_TRUE(until([&] { return router_->inflight().total().requests == 1; }));
  EXPECT_EQ(ended("expired"), 1);
  client_->reset(stream);
}

TEST_F(ExtProcTokensTest, AStreamThatIsResetMeanwhileLeavesNothing) {
  begin("10s");
  const std::int32_t stream = send_in_pieces(chat_body(much()));
  ASSERT_TRUE(until([&] { return shared_.body_bytes > 1'000'000; }));
  client_->reset(stream);
  EXPECT_TRUE(until([&] { return worker_->streams_running() == 0; }));
  EXPECT_EQ(ended("done"), 0);
}

}  // namespace
}  // namespace fairlead::extproc
