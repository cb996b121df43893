// SPDX-License-Identifier: Apache-2.0
// CompletionRequest, and its parser for the bodies of /v1/chat/completions, /v1/completions and
// /tokenize, read in one pass over simdjson's index, straight into tokens.
//
// Fields that change neither length nor content of a simulated answer are checked as JSON and
// ignored, as vLLM ignores what it does not know. Content other than text is refused, as by a
// model without it. With a repeated field the last one counts, as in Python.
// Errors: ApiError, with vLLM's wording. Threads: one parser per owner.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "core/codec/json_cursor.h"
#include "lab/engine/api_error.h"

namespace fairlead::engine {

enum class Api : std::uint8_t {
  kChat,
  kCompletions,
  kTokenize,
  // Read by dialect_request.h.
  kMessages,
  kCountTokens,
  kResponses,
  kEmbeddings,
  kRerank,
  kTranscription,
};
// A prompt is run through once and nothing is generated.
constexpr bool is_pooling(Api api) { return api == Api::kEmbeddings || api == Api::kRerank; }

// kCount: only how many tokens there are, for engines that compare no prompts.
enum class PromptUse : std::uint8_t { kTokens, kCount };

inline constexpr std::int64_t kChoicesMax = 1024;  // Prompts times n.

enum class VectorFormat : std::uint8_t { kFloats, kBase64 };
inline constexpr std::uint32_t kDimensionsMax = 4096;

// What an answer of a pooling route needs of its request.
struct PoolingRequest {
  VectorFormat format = VectorFormat::kFloats;
  std::uint32_t dimensions = 64;
  std::size_t top_n = 0;               // 0: all.
  std::vector<std::string> documents;  // To rerank.
};

struct CompletionRequest {
  struct Prompt {
    std::size_t begin = 0;   // In `tokens`; 0 with PromptUse::kCount.
    std::int64_t count = 0;  // Tokens.
  };

  Api api = Api::kChat;
  std::string model;  // Empty: not given, which means the base model.
  std::string cache_salt;
  std::vector<std::uint32_t> tokens;  // Of all prompts, one behind the other.
  std::vector<Prompt> prompts;        // At least one; exactly one for a chat.
  std::int64_t n = 1;                 // Choices a prompt.
  std::optional<std::int64_t> max_tokens;
  std::int64_t seed = 0;
  bool ignore_eos = false;
  bool stream = false;
  bool include_usage = false;
  bool continuous_usage = false;
  bool return_token_strs = false;     // kTokenize only.
  bool add_generation_prompt = true;  // kTokenize only.
  std::string previous_response;      // kResponses only: the answer that it continues.
  bool store = true;                  // kResponses only: the answer may be continued.
  PoolingRequest pooling;

  // Forgets everything but memory.
  void clear();
};

class CompletionRequestParser {
 public:
  explicit CompletionRequestParser(std::size_t body_bytes_max) : index_(body_bytes_max) {}

  // Fills `out`, whose earlier content is dropped.
  [[nodiscard]] tl::expected<void, ApiError> parse(Api api, std::string_view body, PromptUse use,
                                                   CompletionRequest& out);

 private:
  codec::JsonIndex index_;
  std::string text_;  // A string with its escapes resolved.
};

}  // namespace fairlead::engine
