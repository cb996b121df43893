// SPDX-License-Identifier: Apache-2.0
// Ports of a model's text side: the tokenizer, and what turns a request's body into its prompt.
// io/text implements them over a Hugging Face folder. Errors: TextFailure, because what fails is
// counted and replaced by byte keys, not told to anybody. Threads: implementations are immutable.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace fairlead::tokens {

enum class TextFailure : std::uint8_t {
  kInvalid,   // The request or the text cannot be read.
  kLimit,     // A chat template ran for too long or wrote too much, or the text is too long.
  kRefused,   // The template refused, or there is none for such a request.
  kInternal,  // The code failed where it must not.
  kStopped,   // The caller wanted no more of it.
};

// Where a text may be cut so that its parts, tokenised alone, give the tokens of the whole.
struct CutRule {
  // Before each of these. They begin with ASCII punctuation, and none overlaps another or itself.
  std::vector<std::string> separators;
  // Between lines: after "x\n" and before y, both printable ASCII, y not '/'.
  bool lines = false;
};

// The special tokens that a completion's prompt gets in front and behind.
struct Around {
  std::vector<std::uint32_t> before;
  std::vector<std::uint32_t> after;
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  virtual const CutRule& cuts() const = 0;
  // Null when they depend on the text.
  virtual const Around* around() const = 0;
  // Appends the tokens of UTF-8 text, without special tokens around it.
  virtual tl::expected<void, TextFailure> append(std::string_view text,
                                                 std::vector<std::uint32_t>& out) const = 0;
};

// What is to be tokenised: text or, with an empty text, tokens that the client made itself.
struct Prompt {
  enum class Specials : std::uint8_t { kNone, kAround };
  std::string text;
  std::vector<std::uint32_t> ids;
  Specials specials = Specials::kNone;
  // Parts that are no text. The engine puts its own tokens where the text has a placeholder, so the
  // tokens from the first placeholder on are not the engine's.
  std::uint32_t media = 0;
};

enum class RequestForm : std::uint8_t {
  kChat,        // Messages as vLLM rewrites them before its template sees them.
  kPlainChat,   // Messages as transformers takes them.
  kCompletion,  // One prompt, as text or token ids.
};

class PromptReader {
 public:
  virtual ~PromptReader() = default;
  // `body` is the JSON of an OpenAI request; `unix_seconds` is for templates that write the date.
  virtual tl::expected<Prompt, TextFailure> read(RequestForm form, std::string_view body,
                                                 double unix_seconds) const = 0;
};

}  // namespace fairlead::tokens
