// SPDX-License-Identifier: Apache-2.0
// ResponseWriter: the answers of the engine's faces as bytes, with vLLM's fields in vLLM's order:
// whole JSON documents and server-sent events. Here are chats and completions, of which everything
// that stays the same during a request is rendered once; dialect_writer.h has the others.
// Threads: thread-compatible. Source: answers of vLLM 0.32.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lab/engine/completion_request.h"

namespace fairlead::engine {

// The vLLM whose wire format this is; GET /version gives it.
inline constexpr std::string_view kVllmVersion = "0.32.0";
inline constexpr std::string_view kDone = "data: [DONE]\n\n";

struct UsageFigures {
  std::int64_t prompt_tokens = 0;
  std::int64_t completion_tokens = 0;
  std::int64_t cached_tokens = 0;   // Of the prompt, found in the cache.
  std::int64_t created_tokens = 0;  // Of the prompt, newly put into the cache; chats only.
};

enum class FinishReason : std::uint8_t { kNone, kLength, kStop };
std::string_view to_string(FinishReason reason);  // "null" for kNone.

// Part of one choice's answer.
struct AnswerPart {
  std::uint32_t index = 0;  // Of the choice.
  std::uint64_t seed = 0;   // See output_text.h.
  std::uint32_t begin = 0;  // Tokens.
  std::uint32_t count = 0;
  FinishReason finish = FinishReason::kNone;
};

// vLLM names the system in the last event with an object: each choice's last, or the usage event.
enum class Fingerprint : std::uint8_t { kOmitted, kGiven };

enum class Delivery : std::uint8_t { kWhole, kStream };

struct AnswerIdentity {
  std::string id;
  std::int64_t created = 0;  // Unix seconds.
  std::string model;
  std::string previous{};  // Of the Responses API: the answer that this one continues.
};

class ResponseWriter {
 public:
  ResponseWriter(Api api, Delivery delivery, AnswerIdentity identity, PoolingRequest pooling);

  // Something leaves before the first token does.
  bool has_roles() const {
    return api_ == Api::kChat || api_ == Api::kMessages || api_ == Api::kResponses;
  }
  // Events of a stream, appended to `out`. `usage` is nullptr without continuous_usage_stats.
  void role_event(std::string& out, std::uint32_t index, const UsageFigures* usage) const;
  void part_event(std::string& out, const AnswerPart& part, const UsageFigures* usage,
                  Fingerprint fingerprint) const;
  void usage_event(std::string& out, const UsageFigures& usage) const;
  // The last ones. `whole` is the first choice's whole answer.
  void end_stream(std::string& out, const AnswerPart& whole, const UsageFigures& usage) const;

  // A whole answer: begin, each choice in order, end.
  void begin_whole(std::string& out) const;
  void whole_choice(std::string& out, const AnswerPart& part);
  void end_whole(std::string& out, const UsageFigures& usage) const;

 private:
  bool is_dialect() const { return api_ != Api::kChat && api_ != Api::kCompletions; }
  void end_dialect(std::string& out, const UsageFigures& usage) const;

  Api api_;
  AnswerIdentity identity_;
  PoolingRequest pooling_;
  std::vector<AnswerPart> choices_;  // Of a dialect.
  std::string opening_;  // From the first byte of an event, or of the answer, to its choices.
};

}  // namespace fairlead::engine
