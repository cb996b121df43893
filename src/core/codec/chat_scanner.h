// SPDX-License-Identifier: Apache-2.0
// Chat scanner: one pass over the JSON body of an inference request that finds what routing needs
// and nothing else: model, streaming flags, limits and the raw, still escaped bytes of everything
// the engine renders into the prompt. Nothing is copied or decoded.
//
// Strictness: simdjson's first pass checks UTF-8 and string ends, and the walk over its index
// checks the whole grammar, skipped values included, so a body is either JSON or refused. Left to
// the engine: escape sequences inside strings and the meaning of fields not listed here.
// Errors: ScanStatus, with a text the client can act on. Views in ScannedRequest point into the
// body (model: see there) and die with it. Threads: one scanner per worker, reused; it allocates
// only while a body is longer than every earlier one, and never beyond its bound.
// Source: the API references named in the *_fields.cpp, one file a family of routes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fairlead::codec {

enum class RequestKind : std::uint8_t {
  kChatCompletions,
  kCompletions,
  kMessages,  // Anthropic's, counting tokens included.
  kResponses,
  kEmbeddings,  // Pooling and classification too.
  kRerank,      // And score.
  kTokenize,    // And detokenize.
  kSpeech,
  kImages,
  kConversations,
  kGenerate,  // Prompts as they go into the engine; see generate_fields.cpp.
};

enum class ScanError : std::uint8_t {
  kNone,
  kEmptyBody,
  kBodyTooLarge,
  kInvalidUtf8,
  kInvalidJson,
  kTooDeep,
  kNotAnObject,
  kDuplicateField,  // A field the router reads occurs twice; engines would differ on which wins.
  kMissingField,
  kWrongType,
  kModelNameTooLong,
  kTooManyParts,  // Messages, parts, prompts: more pieces of text than kMaxSpans.
  kInvalidForm,   // See multipart_scanner.h.
};

struct ScanStatus {
  ScanError error = ScanError::kNone;
  std::string_view field;  // The field at fault, a literal such as "model"; empty if none.
  std::size_t offset = 0;  // Where in the body, in bytes, as well as it is known.

  [[nodiscard]] bool ok() const { return error == ScanError::kNone; }
  // A sentence for the client, without any byte of the body.
  [[nodiscard]] std::string message() const;
};

// Half-open range of bytes in the body; empty when the field is absent.
struct ByteRange {
  std::size_t begin = 0;
  std::size_t end = 0;
  [[nodiscard]] bool empty() const { return begin == end; }
};

enum class SpanRole : std::uint8_t {
  kOther,  // A role outside the usual five.
  kSystem,
  kDeveloper,
  kUser,
  kAssistant,
  kTool,
  kPreamble,  // Top-level fields that engines render before the messages.
  kTools,     // The one among them that every engine renders.
  kPrompt,    // The prompt of /v1/completions.
};

enum class SpanKind : std::uint8_t {
  kText,    // Escaped characters of a JSON string.
  kJson,    // JSON that is rendered as text.
  kOpaque,  // Images, audio and other parts: identity matters, length says nothing about tokens.
  kTokens,  // The inside of an array of token ids.
};

struct PromptSpan {
  std::string_view text;
  SpanRole role = SpanRole::kOther;
  SpanKind kind = SpanKind::kText;
  // Which message it is of, from 1; 0: of none. One without content has an empty span.
  std::uint32_t message = 0;
};

struct ScannedRequest {
  // Decoded. Points into the body, or, when the name holds escapes, into the scanner until its
  // next scan.
  std::string_view model;
  ByteRange model_range;           // With its quotes: the place to splice another name into.
  ByteRange stream_options_range;  // The whole value.
  std::size_t fields_begin = 0;    // Just behind the opening brace: the place to insert fields.
  bool has_fields = false;         // An inserted field needs a comma behind it.
  bool stream = false;
  bool include_usage = false;
  std::optional<std::uint64_t> max_tokens;  // Or max_output_tokens.
  std::optional<std::uint64_t> max_completion_tokens;
  std::uint64_t n = 1;
  std::string_view cache_salt;         // Raw, still escaped; so is user.
  std::string_view user;               // Or metadata.user_id.
  std::string_view previous_response;  // An id, raw.
  // In the order in which engines render them, preamble first.
  std::vector<PromptSpan> spans;
  std::size_t text_bytes = 0;       // Sum over kText and kJson spans, escapes counted as written.
  std::size_t opaque_bytes = 0;     // Sum over kOpaque spans.
  std::uint64_t prompt_tokens = 0;  // Exact count over kTokens spans.

  // Forgets everything but the capacity of `spans`.
  void clear();
};

class ChatScanner {
 public:
  static constexpr std::size_t kMaxDepth = 128;
  static constexpr std::size_t kMaxModelBytes = 1024;
  // Of a request. Three bytes of body can make a span, which takes ten times their memory.
  static constexpr std::size_t kMaxSpans = 64 * 1024;

  // Bodies above `max_body_bytes` (below 4 GiB) are refused; four bytes of index are kept per
  // byte of the largest body seen.
  explicit ChatScanner(std::size_t max_body_bytes);
  ~ChatScanner();
  ChatScanner(const ChatScanner&) = delete;
  ChatScanner& operator=(const ChatScanner&) = delete;

  // Fills `out`, whose earlier content is dropped. After an error `out` is unspecified. Reads no
  // byte beyond `body`.
  [[nodiscard]] ScanStatus scan(RequestKind kind, std::string_view body, ScannedRequest& out);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace fairlead::codec
