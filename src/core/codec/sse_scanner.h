// SPDX-License-Identifier: Apache-2.0
// Response scanners: read what routing learns from an answer that is being relayed: the first
// token, the usage, an error, the end. Fed payload pieces (after HTTP framing) cut anywhere; the
// result never depends on the cuts. State is a few hundred bytes, nothing is carried or
// allocated, and no line is too long. Malformed input is not an error here, it only yields fewer
// facts: the client gets the bytes either way.
//
// Every "data:" line is taken for an event of its own, which is how all engines write them.
// JSON is tracked by depth and key, so that text which looks like a usage object inside a string
// or a nested object is never taken for one. Keys written with escapes are not recognised.
// Threads: thread-compatible. Source: WHATWG HTML "Server-sent events" (lines end in LF or CRLF
// only; no engine sends lone CR); OpenAI and Anthropic streaming references; vLLM's events.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "core/codec/answer_id.h"

namespace fairlead::codec {

struct Usage {
  std::optional<std::uint64_t> prompt_tokens;  // Or input_tokens, and output_tokens below.
  std::optional<std::uint64_t> completion_tokens;
  // prompt_tokens_details.cached_tokens, or what other APIs call it.
  std::optional<std::uint64_t> cached_tokens;
  bool operator==(const Usage&) const = default;
};

struct ResponseFacts {
  bool first_token = false;       // Non-empty text, content, reasoning or tool call was seen.
  bool error = false;             // An error object was seen, in an event or as the body.
  bool done = false;              // "data: [DONE]", or the other APIs' last event, was seen.
  std::uint64_t data_events = 0;  // Events that carry a JSON object.
  // Of the answer's id, by AnswerIdHash; in typed streams and whole answers only. 0: none yet.
  std::uint64_t answer_id = 0;
  std::optional<Usage> usage;  // The last complete one; in typed streams all, merged.
  bool operator==(const ResponseFacts&) const = default;
};

// kTyped: events name themselves in a "type" field, as Anthropic's and the Responses API's do.
// kGenerated: events may tell usage as SGLang does, in "meta_info". kWhole: no events, but a whole
// answer, in either form.
enum class EventStyle : std::uint8_t { kUntyped, kTyped, kGenerated, kWhole };

// Tracks one JSON object, byte by byte, and notes the facts above. A part of both scanners.
class ResponseJson {
 public:
  explicit ResponseJson(EventStyle style = EventStyle::kUntyped) : style_(style) {}
  void restart() { *this = ResponseJson(style_); }
  EventStyle style() const { return style_; }
  void feed(std::string_view bytes, ResponseFacts& facts);

 private:
  enum class Scope : std::uint8_t {
    kIgnored,
    kTop,
    kUsage,
    kPromptDetails,
    kChoices,
    kChoice,
    kDelta,
    kToolCalls,
    kEnvelope,  // What message_start and the response.* events carry.
    kOutput,    // The list of items in a whole answer of the Responses API.
    kItem,
    kBlocks,
    kBlock,  // Of an item's or message's content.
  };
  enum class Key : std::uint8_t {
    kOther,
    kUsage,
    kChoices,
    kError,
    kObject,
    kType,
    kPromptTokens,
    kCompletionTokens,
    kPromptTokensDetails,
    kCachedTokens,
    kCacheReadTokens,
    kText,
    kDelta,
    kMessage,
    kContent,
    kReasoning,
    kToolCalls,
    kResponse,
    kOutput,
    kBlock,
    kBlockText,  // Only ever in blocks.
    kId,
  };
  enum class Mode : std::uint8_t { kStructure, kString, kStringEscape, kScalar };
  enum class StringUse : std::uint8_t { kNone, kKey, kTypeName, kTokenText, kAnswerId };
  static constexpr std::size_t kTrackedDepth = 6;
  static constexpr std::size_t kHeadBytes = 32;

  static std::size_t skip_ignored(std::string_view bytes);
  void structure(char c, ResponseFacts& facts);
  void open(char bracket, ResponseFacts& facts);
  void close(ResponseFacts& facts);
  void begin_string(ResponseFacts& facts);
  void string_bytes(std::string_view bytes, ResponseFacts& facts);
  void end_string(ResponseFacts& facts);
  void begin_scalar(char c, ResponseFacts& facts);
  void end_scalar();
  void note_type(std::string_view name, ResponseFacts& facts);
  [[nodiscard]] Scope scope() const {
    return depth_ == 0 || depth_ > kTrackedDepth ? Scope::kIgnored : scopes_[depth_ - 1];
  }
  [[nodiscard]] Scope child_scope() const;
  [[nodiscard]] static Key find_key(std::string_view text);
  [[nodiscard]] bool at_token_text() const;
  [[nodiscard]] bool at_answer_id() const;

  EventStyle style_;
  std::array<Scope, kTrackedDepth> scopes_{};
  std::uint32_t depth_ = 0;
  Mode mode_ = Mode::kStructure;
  Key key_ = Key::kOther;  // Of the member that the walk is in.
  bool expects_key_ = false;
  StringUse string_use_ = StringUse::kNone;
  bool scalar_is_number_ = false;
  // The head of the string being read, if it matters; all names looked for are shorter.
  std::array<char, kHeadBytes> head_{};
  std::uint8_t head_size_ = 0;
  std::uint64_t number_ = 0;
  AnswerIdHash id_;
  Usage usage_;
};

// For text/event-stream.
class SseScanner {
 public:
  void feed(std::string_view piece);
  [[nodiscard]] const ResponseFacts& facts() const { return facts_; }
  void restart(EventStyle style = EventStyle::kUntyped);

 private:
  enum class Line : std::uint8_t { kField, kSpace, kHead, kObject, kDone, kOther };

  // Counts a whole line, given without its LF, and returns true if it holds no new fact.
  [[nodiscard]] bool skip_known_line(std::string_view line);
  void line_bytes(std::string_view bytes);
  void end_line();

  ResponseFacts facts_;
  ResponseJson json_;
  Line line_ = Line::kField;
  std::size_t matched_ = 0;  // Bytes of "data:" or "[DONE]" matched so far.
};

// For a whole JSON answer (stream: false). first_token is set once the text begins; data_events
// and done stay unset.
class JsonResponseScanner {
 public:
  void feed(std::string_view piece) { json_.feed(piece, facts_); }
  [[nodiscard]] const ResponseFacts& facts() const { return facts_; }
  void restart() { *this = JsonResponseScanner(); }

 private:
  ResponseFacts facts_;
  ResponseJson json_{EventStyle::kWhole};
};

}  // namespace fairlead::codec
