// SPDX-License-Identifier: Apache-2.0
// What text costs, in CPU time of a fresh process: one long text, and a conversation.
//
//   text_cost FOLDER TEXT cold      one text, nothing remembered
//   text_cost FOLDER TEXT turns     20 turns whose last prompt is the text, each as it comes
//   text_cost FOLDER TEXT final     the last of those turns alone
#include <ctime>
#include <fstream>
#include <iterator>

#include "core/tokens/token_cache.h"
#include "io/text/hf_model.h"

namespace fairlead::text {
namespace {

constexpr std::size_t kTurns = 20;

class Endless final : public tokens::Patience {
 public:
  Answer ask() override { return Answer::kGoOn; }
};

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\n') {
      out += "\\n";
    } else if (static_cast<unsigned char>(c) >= ' ') {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
  }
  return out;
}

// The body of turn n: question and answer take turns through the text.
std::string body_of(std::string_view text, std::size_t turn) {
  const std::size_t size = text.size() / (2 * kTurns);
  std::string body = R"({"messages": [)";
  for (std::size_t i = 0; i <= 2 * turn; ++i) {
    body += i == 0 ? "" : ", ";
    body +=
        i % 2 == 0 ? R"({"role": "user", "content": ")" : R"({"role": "assistant", "content": ")";
    body += escaped(text.substr(i * size, size)) + "\"}";
  }
  return body + "]}";
}

int measure(const std::string& folder, const std::string& file, const std::string& mode) {
  std::ifstream in(file, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  const auto model = HfModel::load(folder);
  if (!model) {
    fmt::print(stderr, "{}\n", model.error().message);
    return 1;
  }
  const tokens::TextCuts cuts((*model)->cuts());
  tokens::TokenCache cache(std::size_t{64} << 20, 7);
  Endless patience;
  std::vector<std::string> bodies;
  for (std::size_t turn = mode == "turns" ? 0 : kTurns - 1; turn < kTurns; ++turn) {
    bodies.push_back(body_of(text, turn));
  }
  std::size_t count = 0;
  const auto add = [&](std::string_view whole) {
    std::vector<std::uint32_t> out;
    if (!tokens::append_tokens(**model, cuts, 0, whole, cache, patience, out)) return false;
    count = out.size();
    return true;
  };
  const std::clock_t before = std::clock();
  if (mode == "cold") {
    if (!add(text)) return 1;
  } else {
    for (const std::string& body : bodies) {
      const auto prompt = (*model)->read(tokens::RequestForm::kChat, body, 0);
      if (!prompt || !add(prompt->text)) return 1;
    }
  }
  const std::clock_t after = std::clock();
  fmt::print("{{\"{}_us\": {}, \"tokens\": {}}}\n", mode, after - before, count);
  return 0;
}

}  // namespace
}  // namespace fairlead::text

int main(int argc, char** argv) {
  return argc == 4 ? fairlead::text::measure(argv[1], argv[2], argv[3]) : 2;
}
