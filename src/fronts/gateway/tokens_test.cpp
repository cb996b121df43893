// SPDX-License-Identifier: Apache-2.0
// Prompts that are tokenized as their engines do it, before a decision.
#include "fronts/gateway/testing/gateway_fixture.h"
#include "io/fleet/testing/scratch_folder.h"
#include "io/text/hf_model.h"
#include "router/testing/telling_engine.h"

namespace fairlead::gateway {
namespace {

constexpr std::string_view kListening = R"(
plugins:
  - type: precise-prefix-cache-producer
    parameters:
      tokenProcessorConfig: {blockSizeTokens: 16}
      kvEventsConfig: {podDiscoveryConfig: {socketPort: 1}}
  - type: prefix-cache-scorer
  - type: max-score-picker
schedulingProfiles:
  - name: default
    plugins: [{pluginRef: prefix-cache-scorer}, {pluginRef: max-score-picker}]
)";

class TokensTest : public GatewayTest {
 protected:
  void SetUp() override {
#ifndef FAIRLEAD_TOKENS
    GTEST_SKIP() << "built without tokenizers";
#endif
  }
  static std::string folder(std::string_view model) {
    return std::string(FAIRLEAD_SOURCE_DIR) + "/test/text/models/" + std::string(model);
  }
  void begin(std::string_view tokens) {
    start({engine().port(), engine().port()}, fmt::format("tokens: {}{}", tokens, kListening), "");
  }
  static std::vector<std::uint32_t> ids(std::string_view model, const std::string& body,
                                        tokens::RequestForm form) {
    const auto loaded = text::HfModel::load(folder(model));
    const auto prompt = (*loaded)->read(form, body, 0);
    std::vector<std::uint32_t> out;
    const bool around = prompt->specials == tokens::Prompt::Specials::kAround;
    if (around) out = (*loaded)->around()->before;
    EXPECT_TRUE((*loaded)->append(prompt->text, out));
    if (around)
      out.insert(out.end(), (*loaded)->around()->after.begin(), (*loaded)->around()->after.end());
    return out;
  }
  static std::size_t tokens_of(std::string_view model, const std::string& body,
                               tokens::RequestForm form) {
    return ids(model, body, form).size();
  }
  double ended(std::string_view end) const {
    return metric(fmt::format("fairlead_tokenizer_requests_total{{end=\"{}\"}}", end));
  }
  void check_idle() {
    EXPECT_TRUE(until([&] { return worker_->requests_running() == 0; }));
  }
};

const std::string kLong =
    "The quick brown fox jumps over the lazy dog, and then over another one, and again, and once "
    "more, until nobody counts any longer how many dogs there were in the yard that day.";

TEST_F(TokensTest, AChatIsWhatItsTemplateMakesOfIt) {
  begin("{models: [{model: m, folder: " + folder("chatml") + "}], deadline: 10s}");
  const std::string body = chat_body(kLong);
  const std::size_t tokens = tokens_of("chatml", body, tokens::RequestForm::kChat);
  EXPECT_EQ(ask(body).status, 200);
  EXPECT_EQ(logged("prompt_tokens"), std::to_string(tokens));
  EXPECT_EQ(logged("predicted_cached_tokens"), "0");
  EXPECT_EQ(ended("done"), 1);
  EXPECT_EQ(engines_[0]->requests.size() + engines_[1]->requests.size(), 1U);
}

TEST_F(TokensTest, ACompletionAndOtherRoutes) {
  begin("{models: [{model: m, folder: " + folder("words") + "}], deadline: 10s}");
  const std::string body = R"({"model":"m","prompt":")" + kLong + "\"}";
  EXPECT_EQ(ask(body, "/v1/completions").status, 200);
  EXPECT_EQ(logged("prompt_tokens"),
            std::to_string(tokens_of("words", body, tokens::RequestForm::kCompletion)));
  EXPECT_EQ(ended("done"), 1);
  // No template is known for it.
  EXPECT_EQ(ask(R"({"model":"m","max_tokens":9,"messages":[{"role":"user","content":"Hi"}]})",
                "/v1/messages")
                .status,
            200);
  EXPECT_EQ(ended("done"), 1);
}

TEST_F(TokensTest, EachModelHasItsOwn) {
  begin("{models: [{model: m, folder: " + folder("chatml") +
        "}, {model: m-0, folder: " + folder("qwen") + "}], deadline: 10s}");
  for (const auto& [name, kind] : {std::pair{"m", "chatml"}, {"m-0", "qwen"}}) {
    const std::string body = chat_body(kLong, name);
    EXPECT_EQ(ask(body).status, 200);
    EXPECT_EQ(logged("prompt_tokens"),
              std::to_string(tokens_of(kind, body, tokens::RequestForm::kChat)))
        << name;
  }
  EXPECT_EQ(ended("done"), 2);
  // Whose tokenizer is not known: without tokens.
  EXPECT_EQ(ask(chat_body(kLong, "m-1")).status, 200);
  EXPECT_EQ(ended("done"), 2);
}

// In lines: what has no place to be cut ends by its size, at once.
std::string much() {
  std::string text;
  for (int i = 0; i < 20'000; ++i) text += std::to_string(i) + " bottles of " + kLong + R"(\n)";
  return text;
}

TEST_F(TokensTest, WhatTakesTooLongIsDecidedWithoutTokens) {
  begin("{models: [{model: m, folder: " + folder("chatml") + "}], deadline: 1ms}");
  EXPECT_EQ(ask(chat_body(much())).status, 200);
  EXPECT_EQ(ended("expired"), 1);
  EXPECT_EQ(ended("done"), 0);
}

TEST_F(TokensTest, WhatTheTemplateRefusesIsDecidedWithoutTokens) {
  begin("{models: [{model: m, folder: " + folder("words") + "}], deadline: 10s}");
  EXPECT_EQ(ask(chat_body(kLong)).status, 200);
  EXPECT_EQ(ended("refused"), 1);
}

TEST_F(TokensTest, AClientThatLeavesMeanwhileLeavesNothing) {
  begin("{models: [{model: m, folder: " + folder("chatml") + "}], deadline: 10s}");
  Client& leaver = client();
  leaver.post("/v1/chat/completions", chat_body(much()));
  EXPECT_TRUE(until([&] { return worker_->requests_running() == 1; }));
  leaver.abort();
  check_idle();
  EXPECT_EQ(ended("done"), 0);
  EXPECT_TRUE(engines_[0]->requests.empty() && engines_[1]->requests.empty());
}

TEST_F(TokensTest, AnEnginesOwnTokensAreFoundInItsCache) {
  begin("{models: [{model: m, folder: " + folder("chatml") + "}], deadline: 10s}");
  auto context = net::ZmqContext::create();
  ASSERT_TRUE(context);
  router::testing::TellingEngine teller(std::move(*context), *loop_);
  auto pool = std::make_shared<model::PoolSnapshot>(*router_->pool().load());
  pool->endpoints[1].labels = teller.labels();
  router_->pool().publish(pool);
  router_->listener()->set_pool(pool);
  router_->listener()->start();

  const std::string body = chat_body(kLong);
  const std::vector<std::uint32_t> tokens = ids("chatml", body, tokens::RequestForm::kChat);
  ASSERT_GT(tokens.size(), router::testing::kToldBlock);
  teller.store_prompt(tokens);
  const std::string found = std::to_string((tokens.size() - 1) / router::testing::kToldBlock *
                                           router::testing::kToldBlock);
  EXPECT_TRUE(until([&] {
    EXPECT_EQ(ask(body).status, 200);
    return logged("predicted_cached_tokens") == found;
  })) << logged("predicted_cached_tokens")
      << " of " << found;
  EXPECT_EQ(logged("endpoint"), "\"engine-1\"");
  router_->listener()->stop();
}

TEST(Tokens, AFolderWithoutATokenizerIsAnErrorThatNamesIt) {
  config::Problems problems;
  fleet::testing::ScratchFolder empty;
  auto generation = router::build_generation(
      "tokens: {models: [{model: m, folder: " + empty.path().string() + "}]}", "test.yaml",
      "fairlead-exact", problems);
  ASSERT_NE(generation, nullptr) << problems.to_string();
  NullLogSink sink;
  Log log(sink);
  MetricRegistry registry;
  router::Router router(generation, 1, log, registry);
  const auto opened = router.open_listener();
  ASSERT_FALSE(opened.has_value());
  EXPECT_TRUE(opened.error().message.starts_with("tokens.models")) << opened.error().message;
  EXPECT_NE(opened.error().message.find(empty.path().string()), std::string::npos)
      << opened.error().message;
}

}  // namespace
}  // namespace fairlead::gateway
