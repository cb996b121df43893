// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "base/random.h"
#include "core/tokens/token_cache.h"
#include "io/fleet/testing/scratch_folder.h"
#include "io/text/hf_model.h"

namespace fairlead::text {
namespace {

using json = nlohmann::ordered_json;  // Templates print fields in their order.
using tokens::Prompt;
using tokens::RequestForm;
using tokens::TextFailure;
using Ids = std::vector<std::uint32_t>;

const std::string kModels = std::string(FAIRLEAD_SOURCE_DIR) + "/test/text/models/";
constexpr const char* kNames[] = {"chatml", "qwen", "llama3", "mistral", "plain", "words"};

std::string slurp(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

const json& recorded() {
  static const json kRecord = json::parse(slurp(kModels + "recorded.json"));
  return kRecord;
}

std::unique_ptr<HfModel> load(const std::string& name) {
  auto model = HfModel::load(kModels + name);
  EXPECT_TRUE(model) << (model ? "" : model.error().message);
  return model ? std::move(*model) : nullptr;
}

class HfModelTest : public testing::Test {
 protected:
  void SetUp() override {
#ifndef FAIRLEAD_TOKENS
    GTEST_SKIP() << "built without tokenizers";
#endif
  }
};

class Endless final : public tokens::Patience {
 public:
  Answer ask() override { return Answer::kGoOn; }
};

Ids encoded(const HfModel& model, const std::string& text) {
  Ids out;
  EXPECT_TRUE(model.append(text, out));
  return out;
}

TEST_F(HfModelTest, ChatsAreRenderedAsTransformersRendersThem) {
  int equal = 0;
  int refused = 0;
  for (const auto& [name, facts] : recorded()["models"].items()) {
    const auto model = load(name);
    ASSERT_TRUE(model);
    for (const auto& [chat, expected] : facts["chats"].items()) {
      const std::string body = recorded()["requests"][chat].dump();
      const double now = recorded()["now"].get<double>();
      const auto prompt = model->read(RequestForm::kPlainChat, body, now);
      if (expected.is_null()) {
        EXPECT_FALSE(prompt) << name << " " << chat << ": " << (prompt ? prompt->text : "");
        ++refused;
      } else if (prompt) {
        EXPECT_EQ(prompt->text, expected.get<std::string>()) << name << " " << chat;
        ++equal;
      } else {
        ADD_FAILURE() << name << " " << chat << " is refused as " << int(prompt.error());
      }
    }
  }
  EXPECT_GE(equal, 150);
  EXPECT_GE(refused, 8);
}

TEST_F(HfModelTest, TokensAreThoseOfTransformers) {
  std::size_t count = 0;
  for (const auto& [name, facts] : recorded()["models"].items()) {
    const auto model = load(name);
    for (const auto& [chat, ids] : facts["chat_ids"].items()) {
      const Ids out = encoded(*model, facts["chats"][chat].get<std::string>());
      EXPECT_EQ(out, ids.get<Ids>()) << name << " " << chat;
      count += out.size();
    }
    const tokens::Around* around = model->around();
    ASSERT_TRUE(around) << name;
    for (const auto& [text, ids] : facts["text_ids"].items()) {
      Ids out = around->before;
      ASSERT_TRUE(model->append(text, out));
      out.insert(out.end(), around->after.begin(), around->after.end());
      EXPECT_EQ(out, ids.get<Ids>()) << name << " '" << text << "'";
    }
  }
  EXPECT_GT(count, 10'000U);
}

// The prompts and token ids that a real vLLM answered, for requests as clients send them.
TEST_F(HfModelTest, PromptsAreThoseOfVllm) {
  const auto model = load("tiny-llama");
  ASSERT_TRUE(model);
  for (const json& item : json::parse(slurp(kModels + "tiny-llama/vllm.json"))) {
    const bool chat = item["body"].contains("messages");
    const auto form = chat ? RequestForm::kChat : RequestForm::kCompletion;
    const auto prompt = model->read(form, item["body"].dump(), 0);
    ASSERT_TRUE(prompt) << item["body"];
    const Ids ids = prompt->text.empty() ? prompt->ids : encoded(*model, prompt->text);
    EXPECT_EQ(ids, item["tokens"].get<Ids>()) << item["body"];
  }
}

std::string random_text(Random& random, const tokens::CutRule& rule) {
  static constexpr std::string_view kPieces[] = {
      "\n",      "\n\n", " ",        "  ",     "cache ", "prefix", "x = 1;\n", "/path\n", "né",
      "e\u0301", "好",   "🚀",       "\u00a0", "\t",     "\r\n",   "'s",       "123456",  "<|",
      "|>",      "<s",   "\n\u0301", "[IN",    "ST]",    "://",    ":\n",      "Ünï",     "\n#"};
  std::string text;
  for (std::uint64_t i = random.below(300); i > 0; --i) {
    const std::uint64_t pick = random.below(std::size(kPieces) + 3);
    if (pick < std::size(kPieces)) {
      text += kPieces[pick];
    } else if (!rule.separators.empty()) {
      text += rule.separators[random.below(rule.separators.size())];
    }
  }
  return text;
}

void expect_cached_is_whole(const HfModel& model, const char* name, Random& random) {
  Endless patience;
  // Tiny chunks, so that nearly every place that may be a cut is one.
  const tokens::TextCuts cuts(model.cuts(), 6);
  tokens::TokenCache cache(200'000, random.next());
  std::string text;
  std::size_t cached = 0;
  for (int round = 0; round < 150; ++round) {
    text = random.below(5) == 0 ? "" : text;
    text += random_text(random, model.cuts());
    Ids parts;
    const auto cost = tokens::append_tokens(model, cuts, 0, text, cache, patience, parts);
    ASSERT_TRUE(cost);
    ASSERT_EQ(parts, encoded(model, text)) << name << " round " << round;
    cached += cost->cached_bytes;
  }
  EXPECT_GT(cached, 10'000U) << name;
}

TEST_F(HfModelTest, CachedTokensAreThoseOfTheWholeTextForEveryTokenizer) {
  Random random(11);
  for (const char* name : kNames) expect_cached_is_whole(*load(name), name, random);
}

// Shows a cut that parts or joins white space, which small vocabularies hide.
TEST_F(HfModelTest, CachedTokensAreThoseOfTheWholeTextWhereWhiteSpaceIsMerged) {
  Random random(17);
  for (const char* name : {"chatml", "qwen", "llama3"}) {
    json tokenizer = json::parse(slurp(kModels + name + "/tokenizer.json"));
    const std::string line = "\u010a";  // How byte-level tokenizers write a line end, and a space.
    for (const std::string& first : {line, std::string("\u0120")}) {
      tokenizer["model"]["vocab"][first + line] = 5000 + first.back();
      tokenizer["model"]["merges"].push_back(json::array({first, line}));
    }
    const fleet::testing::ScratchFolder folder;
    folder.write("tokenizer.json", tokenizer.dump());
    const auto model = HfModel::load(folder.path().string());
    ASSERT_TRUE(model) << model.error().message;
    expect_cached_is_whole(**model, name, random);
  }
}

TEST_F(HfModelTest, CutsAreWhatTheTokenizersAllow) {
  EXPECT_TRUE(load("chatml")->cuts().lines);
  EXPECT_TRUE(load("qwen")->cuts().lines);
  EXPECT_TRUE(load("llama3")->cuts().lines);
  EXPECT_FALSE(load("mistral")->cuts().lines);
  EXPECT_FALSE(load("plain")->cuts().lines);
  EXPECT_FALSE(load("words")->cuts().lines);
  EXPECT_EQ(load("qwen")->cuts().separators.size(), 6U);
}

TEST_F(HfModelTest, MessagesReachTheTemplateAsVllmRewritesThem) {
  const fleet::testing::ScratchFolder folder;
  folder.write("tokenizer.json", slurp(kModels + "words/tokenizer.json"));
  folder.write("chat_template.jinja", R"({% for m in messages %}{{ m.role }}:
{%- for part in m['content'] %}{{ part.text if part.type == 'text' else '<' ~ part.type ~ '>' }}
{%- endfor %}{% for c in m.tool_calls or [] %}{{ c.function.arguments | tojson }}{% endfor %};
{%- endfor %}{% if add_generation_prompt %}assistant:{% endif %})");
  const auto parts = HfModel::load(folder.path().string());
  ASSERT_TRUE(parts);
  const auto mistral = load("mistral");
  const std::string body = R"({"messages": [
      {"role": "user", "content": [{"type": "text", "text": "a"},
          {"type": "image_url", "image_url": {"url": "data:,"}}, {"type": "text", "text": "a"}]},
      {"role": "assistant", "tool_calls": [{"id": "call12345", "type": "function",
          "function": {"name": "f", "arguments": "{\"x\": 1.50}"}}]}]})";
  auto prompt = (*parts)->read(RequestForm::kChat, body, 0);
  ASSERT_TRUE(prompt);
  EXPECT_EQ(prompt->media, 1U);
  EXPECT_EQ(prompt->text, "user:a<image>a;assistant:{\"x\": 1.5};assistant:");
  // A template that takes text only has no place for media, and parts of text become lines.
  prompt = mistral->read(RequestForm::kChat, body, 0);
  ASSERT_FALSE(prompt);
  EXPECT_EQ(prompt.error(), TextFailure::kRefused);
  const std::string lines = R"({"messages": [{"role": "user",
      "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "a"}]}]})";
  prompt = mistral->read(RequestForm::kChat, lines, 0);
  ASSERT_TRUE(prompt);
  EXPECT_EQ(prompt->text, "<s>[INST] a\na[/INST]");
}

TEST_F(HfModelTest, CompletionsAreTextOrTokenIds) {
  const auto model = load("llama3");
  const auto read = [&model](const char* body) {
    return model->read(RequestForm::kCompletion, body, 0);
  };
  auto prompt = read(R"({"prompt": "a\nb"})");
  ASSERT_TRUE(prompt);
  EXPECT_EQ(prompt->text, "a\nb");
  EXPECT_EQ(prompt->specials, Prompt::Specials::kAround);
  prompt = read(R"({"prompt": ["ab"], "add_special_tokens": false})");
  ASSERT_TRUE(prompt);
  EXPECT_EQ(prompt->text, "ab");
  EXPECT_EQ(prompt->specials, Prompt::Specials::kNone);
  for (const char* body : {R"({"prompt": [1, 2, 3]})", R"({"prompt": [[1, 2, 3]]})"}) {
    prompt = read(body);
    ASSERT_TRUE(prompt);
    EXPECT_EQ(prompt->ids, (Ids{1, 2, 3}));
  }
  for (const char* body : {R"({"prompt": ["a", "b"]})", R"({"prompt": [[1], [2]]})"}) {
    EXPECT_EQ(read(body).error(), TextFailure::kRefused) << body;
  }
  for (const char* body : {R"({})", R"({"prompt": [1, -2]})", R"({"prompt": [1, 4294967296]})",
                           R"({"prompt": {}})", "{", "", R"({"prompt": "\ud800"})"}) {
    EXPECT_EQ(read(body).error(), TextFailure::kInvalid) << body;
  }
}

TEST_F(HfModelTest, TemplatesThatRunAwayAreStopped) {
  const fleet::testing::ScratchFolder folder;
  folder.write("tokenizer.json", slurp(kModels + "words/tokenizer.json"));
  const std::string body = R"({"messages": [{"role": "user", "content": "secret"}]})";
  const std::string nested(20'000, '[');
  const std::pair<std::string, TextFailure> cases[] = {
      {"{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
       TextFailure::kLimit},
      {"{% for a in range(99999) %}{{ messages|tojson * 1000 }}{% endfor %}", TextFailure::kLimit},
      {"{% set ns = namespace(s='xxxxxxxx') %}{% for a in range(60) %}{% set ns.s = ns.s ~ ns.s %}"
       "{% endfor %}{{ ns.s }}",
       TextFailure::kLimit},
      {"{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}", TextFailure::kRefused},
      {"{{ raise_exception('no') }}", TextFailure::kRefused},
      {"{{ messages[7].content.x }}", TextFailure::kRefused},
      {"{{ nothing() }}", TextFailure::kRefused},
  };
  for (const auto& [source, expected] : cases) {
    folder.write("chat_template.jinja", source);
    const auto model = HfModel::load(folder.path().string());
    ASSERT_TRUE(model) << source;
    const auto prompt = (*model)->read(RequestForm::kPlainChat, body, 0);
    ASSERT_FALSE(prompt) << source;
    EXPECT_EQ(prompt.error(), expected) << source;
  }
  for (const std::string& source : {std::string("{% for %}"), "{{ " + nested, std::string("{{")}) {
    folder.write("chat_template.jinja", source);
    const auto model = HfModel::load(folder.path().string());
    ASSERT_FALSE(model);
    EXPECT_NE(model.error().message.find("chat template"), std::string::npos);
  }
}

// Its indentation is of no step of the template.
TEST_F(HfModelTest, AnIndentationThatSwellsIsStopped) {
  const fleet::testing::ScratchFolder folder;
  folder.write("tokenizer.json", slurp(kModels + "words/tokenizer.json"));
  const auto render = [&folder](const char* source, const std::string& body) {
    folder.write("chat_template.jinja", source);
    return (*HfModel::load(folder.path().string()))->read(RequestForm::kChat, body, 0);
  };
  const std::string deep(100, '[');
  std::string body = R"({"messages": [{"role": "user", "content": "a"}], "documents": [)" + deep;
  for (int i = 0; i < 200'000; ++i) body += "1,";
  body += "1" + std::string(100, ']') + "]}";
  const char* const indented = "{% set text = documents | tojson(indent=4) %}{{ text | length }}";
  const auto prompt = render(indented, body);
  ASSERT_FALSE(prompt) << prompt->text << " bytes of " << body.size();
  EXPECT_EQ(prompt.error(), TextFailure::kLimit);
}

TEST_F(HfModelTest, HostileRequestsAreRefusedAndNeverBreakIt) {
  const auto model = load("qwen");
  Random random(13);
  const std::string whole = recorded()["requests"]["tool_answer"].dump();
  for (int round = 0; round < 2000; ++round) {
    std::string body = whole;
    for (std::uint64_t i = random.below(6); i > 0; --i) {
      const std::size_t at = random.below(body.size());
      if (random.below(2) == 0) {
        body[at] = "\"{}[],:0x\\"[random.below(10)];
      } else {
        body.erase(at, random.below(30));
      }
    }
    (void)model->read(RequestForm::kChat, body, 0);
    (void)model->read(RequestForm::kCompletion, body, 0);
  }
  const std::string deep(100'000, '[');
  EXPECT_FALSE(model->read(RequestForm::kChat, R"({"messages": )" + deep, 0));
  for (const char* body :
       {R"({"messages": []})", R"({"messages": [1]})", R"({"messages": [{}]})", "[]", "null",
        R"({"messages": [{"role": "user", "content": [{"type": "hologram"}]}]})",
        R"({"messages": [{"role": "user", "content": "a"}], "chat_template": "{{ 1 }}"})"}) {
    EXPECT_FALSE(model->read(RequestForm::kChat, body, 0)) << body;
  }
  Ids out;
  EXPECT_EQ(model->append("\xff\xfe", out).error(), TextFailure::kInvalid);
}

TEST_F(HfModelTest, ABrokenFolderIsAnErrorThatNamesTheFile) {
  const fleet::testing::ScratchFolder folder;
  EXPECT_NE(HfModel::load(folder.path().string()).error().message.find("tokenizer.json"),
            std::string::npos);
  folder.write("tokenizer.json", "{");
  EXPECT_NE(HfModel::load(folder.path().string()).error().message.find("tokenizer.json"),
            std::string::npos);
  folder.write("tokenizer.json", slurp(kModels + "words/tokenizer.json"));
  folder.write("tokenizer_config.json", R"({"eos_token": {"content": "E"},
      "chat_template": [{"name": "default", "template": "d{{ eos_token }}"},
                        {"name": "tool_use", "template": "t"}]})");
  const auto model = HfModel::load(folder.path().string());
  ASSERT_TRUE(model) << model.error().message;
  const auto render = [&model](const char* body) {
    return (*model)->read(RequestForm::kPlainChat, body, 0)->text;
  };
  EXPECT_EQ(render(R"({"messages": [{"role": "user"}]})"), "dE");
  EXPECT_EQ(render(R"({"messages": [{"role": "user"}], "tools": [{}]})"), "t");
  EXPECT_EQ(encoded(**model, "E").size(), 1U);  // A token that tokenizer.json lacks is added.
}

}  // namespace
}  // namespace fairlead::text
