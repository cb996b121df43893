// SPDX-License-Identifier: Apache-2.0
#include "core/codec/chat_scanner.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "core/codec/json_cursor.h"

namespace fairlead::codec {

namespace {

static_assert(ChatScanner::kMaxDepth == JsonCursor::kMaxDepth);

enum class Field : std::uint8_t {
  kModel,
  kStream,
  kStreamOptions,
  kMaxTokens,
  kMaxCompletionTokens,
  kN,
  kCacheSalt,
  kUser,
  kMessages,
  kPrompt,
  kPromptEmbeds,
  kChatTemplate,  // From here on: the preamble, in the order of its spans.
  kChatTemplateKwargs,
  kReasoningEffort,
  kTools,
  kFunctions,
  kDocuments,
  kUnknown,
};
constexpr auto kFirstPreamble = static_cast<std::size_t>(Field::kChatTemplate);
constexpr auto kFieldCount = static_cast<std::size_t>(Field::kUnknown);
constexpr std::size_t kPreambleCount = kFieldCount - kFirstPreamble;

enum class Use : std::uint8_t { kBoth, kChat, kCompletion };

struct FieldName {
  std::string_view name;
  Use use;
};

constexpr std::array<FieldName, kFieldCount> kFields{{
    {"model", Use::kBoth},
    {"stream", Use::kBoth},
    {"stream_options", Use::kBoth},
    {"max_tokens", Use::kBoth},
    {"max_completion_tokens", Use::kBoth},
    {"n", Use::kBoth},
    {"cache_salt", Use::kBoth},
    {"user", Use::kBoth},
    {"messages", Use::kChat},
    {"prompt", Use::kCompletion},
    {"prompt_embeds", Use::kCompletion},
    {"chat_template", Use::kChat},
    {"chat_template_kwargs", Use::kChat},
    {"reasoning_effort", Use::kChat},
    {"tools", Use::kChat},
    {"functions", Use::kChat},
    {"documents", Use::kChat},
}};

// Message fields that chat templates render besides content.
constexpr std::array<std::string_view, 6> kRenderedMessageFields{
    "tool_calls", "tool_call_id", "name", "reasoning_content", "reasoning", "function_call"};
// Fields of a content part that say nothing about the prompt. cache_control wanders from message
// to message as a chat grows and must not change the keys.
constexpr std::array<std::string_view, 2> kIgnoredPartFields{"type", "cache_control"};

constexpr std::size_t kTopDepth = 1;
constexpr std::size_t kMessageDepth = 3;
constexpr std::size_t kPartDepth = 5;

Field find_field(RequestKind kind, std::string_view key) {
  const Use other = kind == RequestKind::kChatCompletions ? Use::kCompletion : Use::kChat;
  for (std::size_t i = 0; i < kFields.size(); ++i) {
    if (kFields[i].name == key && kFields[i].use != other) return static_cast<Field>(i);
  }
  return Field::kUnknown;
}

SpanRole role_of(std::string_view role) {
  if (role == "user") return SpanRole::kUser;
  if (role == "assistant") return SpanRole::kAssistant;
  if (role == "system") return SpanRole::kSystem;
  if (role == "tool" || role == "function") return SpanRole::kTool;
  if (role == "developer") return SpanRole::kDeveloper;
  return SpanRole::kOther;
}

template <std::size_t kSize>
bool contains(const std::array<std::string_view, kSize>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

ScanError error_of(JsonFault fault) {
  switch (fault) {
    case JsonFault::kNone:
      return ScanError::kNone;
    case JsonFault::kEmpty:
      return ScanError::kEmptyBody;
    case JsonFault::kTooLarge:
      return ScanError::kBodyTooLarge;
    case JsonFault::kInvalidUtf8:
      return ScanError::kInvalidUtf8;
    case JsonFault::kInvalid:
      return ScanError::kInvalidJson;
    case JsonFault::kTooDeep:
      return ScanError::kTooDeep;
  }
  return ScanError::kInvalidJson;
}

struct Scratch {
  std::string model;
  std::string key;
};

// One scan. Every reader returns false once status_ or the cursor has failed.
class Pass {
 public:
  Pass(RequestKind kind, std::string_view body, const JsonIndex& index, Scratch& scratch,
       ScannedRequest& out)
      : kind_(kind), body_(body), cursor_(body, index), scratch_(scratch), out_(out) {}

  ScanStatus run() {
    if (document() && !cursor_.at_end()) cursor_.fail(JsonFault::kInvalid);
    if (status_.ok()) status_.error = error_of(cursor_.fault());
    if (!status_.ok()) {
      if (status_.offset == 0) status_.offset = cursor_.position();
      return status_;
    }
    place_preamble();
    for (const PromptSpan& span : out_.spans) {
      if (span.kind == SpanKind::kText) out_.text_bytes += span.text.size();
      if (span.kind == SpanKind::kOpaque) out_.opaque_bytes += span.text.size();
    }
    return status_;
  }

 private:
  bool refuse(ScanError error, std::string_view field) {
    if (status_.ok()) status_ = {error, field, cursor_.position()};
    return false;
  }
  [[nodiscard]] bool healthy() const { return status_.ok() && cursor_.fault() == JsonFault::kNone; }

  bool document();
  bool field_value(Field field);
  bool model();
  bool boolean(bool& out, std::string_view name);
  bool integer(std::uint64_t& out, bool& present, std::string_view name);
  bool optional_integer(std::optional<std::uint64_t>& out, std::string_view name);
  bool optional_string(std::string_view& out, std::string_view name);
  bool stream_options();
  bool messages();
  bool message();
  bool content();
  bool part();
  bool part_field(std::string_view key);
  bool rendered_field(std::size_t depth, SpanKind kind);
  bool prompt();
  bool prompt_array();
  bool token_array(std::size_t begin);
  bool prompt_embeds();
  // The key with its escapes resolved, so that "mod\u0065l" is what the engine takes it for.
  std::string_view plain(std::string_view raw_key);
  bool accept_null();
  void add(std::string_view text, SpanRole role, SpanKind kind) {
    out_.spans.push_back({text, role, kind});
  }
  void place_preamble();

  RequestKind kind_;
  std::string_view body_;
  JsonCursor cursor_;
  Scratch& scratch_;
  ScannedRequest& out_;
  ScanStatus status_;
  std::array<std::string_view, kPreambleCount> preamble_{};
};

std::string_view Pass::plain(std::string_view raw_key) {
  // Escapes make a name at most six times as long; beyond that it is none of ours.
  constexpr std::size_t kLongest = 6 * 32;
  if (raw_key.size() > kLongest || raw_key.find('\\') == std::string_view::npos) return raw_key;
  return decode_json_string(raw_key, scratch_.key) ? std::string_view(scratch_.key) : raw_key;
}

bool Pass::accept_null() {
  std::string_view token;
  return cursor_.peek() == 'n' && cursor_.read_scalar(token);
}

bool Pass::document() {
  if (!cursor_.accept('{')) return refuse(ScanError::kNotAnObject, {});
  out_.fields_begin = cursor_.last_position() + 1;
  cursor_.enter();
  std::uint32_t seen = 0;
  std::string_view key;
  std::string_view ignored;
  while (healthy() && cursor_.next_key(key)) {
    out_.has_fields = true;
    const Field field = find_field(kind_, plain(key));
    if (field == Field::kUnknown) {
      if (!cursor_.read_raw(ignored, kTopDepth)) return false;
      continue;
    }
    const std::uint32_t bit = std::uint32_t{1} << static_cast<unsigned>(field);
    if ((seen & bit) != 0) {
      return refuse(ScanError::kDuplicateField, kFields[static_cast<std::size_t>(field)].name);
    }
    seen |= bit;
    if (!field_value(field)) return false;
  }
  if (!healthy()) return false;
  const auto saw = [&](Field field) { return (seen >> static_cast<unsigned>(field) & 1) != 0; };
  if (!saw(Field::kModel)) return refuse(ScanError::kMissingField, "model");
  if (kind_ == RequestKind::kChatCompletions && !saw(Field::kMessages)) {
    return refuse(ScanError::kMissingField, "messages");
  }
  if (kind_ == RequestKind::kCompletions && !saw(Field::kPrompt) && !saw(Field::kPromptEmbeds)) {
    return refuse(ScanError::kMissingField, "prompt");
  }
  return true;
}

bool Pass::field_value(Field field) {
  switch (field) {
    case Field::kModel:
      return model();
    case Field::kStream:
      return boolean(out_.stream, "stream");
    case Field::kStreamOptions:
      return stream_options();
    case Field::kMaxTokens:
      return optional_integer(out_.max_tokens, "max_tokens");
    case Field::kMaxCompletionTokens:
      return optional_integer(out_.max_completion_tokens, "max_completion_tokens");
    case Field::kN: {
      bool present = false;
      return integer(out_.n, present, "n");
    }
    case Field::kCacheSalt:
      return optional_string(out_.cache_salt, "cache_salt");
    case Field::kUser:
      return optional_string(out_.user, "user");
    case Field::kMessages:
      return messages();
    case Field::kPrompt:
      return prompt();
    case Field::kPromptEmbeds:
      return prompt_embeds();
    default:
      if (accept_null()) return true;
      return cursor_.read_raw(preamble_[static_cast<std::size_t>(field) - kFirstPreamble],
                              kTopDepth);
  }
}

bool Pass::model() {
  if (cursor_.peek() != '"') return refuse(ScanError::kWrongType, "model");
  out_.model_range.begin = cursor_.position();
  std::string_view raw;
  if (!cursor_.read_string(raw)) return false;
  out_.model_range.end = out_.model_range.begin + raw.size() + 2;
  if (raw.size() > ChatScanner::kMaxModelBytes) {
    return refuse(ScanError::kModelNameTooLong, "model");
  }
  out_.model = raw;
  if (raw.find('\\') != std::string_view::npos) {
    if (!decode_json_string(raw, scratch_.model)) return cursor_.fail(JsonFault::kInvalid);
    out_.model = scratch_.model;
  }
  return true;
}

bool Pass::boolean(bool& out, std::string_view name) {
  const char c = cursor_.peek();
  if (c != 't' && c != 'f' && c != 'n') return refuse(ScanError::kWrongType, name);
  std::string_view token;
  if (!cursor_.read_scalar(token)) return false;
  out = token == "true";
  return true;
}

bool Pass::integer(std::uint64_t& out, bool& present, std::string_view name) {
  const char c = cursor_.peek();
  if (c != 'n' && c != '-' && (c < '0' || c > '9')) return refuse(ScanError::kWrongType, name);
  std::string_view token;
  if (!cursor_.read_scalar(token)) return false;
  if (token == "null") return true;
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), value);
  if (error != std::errc{} || end != token.data() + token.size()) {
    return refuse(ScanError::kWrongType, name);
  }
  out = value;
  present = true;
  return true;
}

bool Pass::optional_integer(std::optional<std::uint64_t>& out, std::string_view name) {
  std::uint64_t value = 0;
  bool present = false;
  if (!integer(value, present, name)) return false;
  if (present) out = value;
  return true;
}

bool Pass::optional_string(std::string_view& out, std::string_view name) {
  if (accept_null()) return true;
  if (cursor_.peek() != '"') return refuse(ScanError::kWrongType, name);
  return cursor_.read_string(out);
}

bool Pass::stream_options() {
  out_.stream_options_range.begin = cursor_.position();
  if (accept_null()) {
    out_.stream_options_range.end = out_.stream_options_range.begin + 4;
    return true;
  }
  if (!cursor_.accept('{')) return refuse(ScanError::kWrongType, "stream_options");
  cursor_.enter();
  std::string_view key;
  std::string_view value;
  bool seen = false;
  while (healthy() && cursor_.next_key(key)) {
    if (plain(key) == "include_usage") {
      if (seen) return refuse(ScanError::kDuplicateField, "stream_options.include_usage");
      seen = true;
      if (!boolean(out_.include_usage, "stream_options.include_usage")) return false;
    } else if (!cursor_.read_raw(value, kTopDepth + 1)) {
      return false;
    }
  }
  out_.stream_options_range.end = cursor_.last_position() + 1;
  return healthy();
}

bool Pass::messages() {
  if (!cursor_.accept('[')) return refuse(ScanError::kWrongType, "messages");
  cursor_.enter();
  while (healthy() && cursor_.next_element()) {
    if (!message()) return false;
  }
  return healthy();
}

bool Pass::message() {
  if (!cursor_.accept('{')) return refuse(ScanError::kWrongType, "messages[]");
  cursor_.enter();
  const std::size_t first = out_.spans.size();
  SpanRole role = SpanRole::kOther;
  bool has_role = false;
  bool has_content = false;
  std::string_view raw_key;
  std::string_view value;
  while (healthy() && cursor_.next_key(raw_key)) {
    const std::string_view key = plain(raw_key);
    if (key == "role") {
      if (has_role) return refuse(ScanError::kDuplicateField, "messages[].role");
      if (cursor_.peek() != '"') return refuse(ScanError::kWrongType, "messages[].role");
      if (!cursor_.read_string(value)) return false;
      role = role_of(value);
      has_role = true;
    } else if (key == "content") {
      if (has_content) return refuse(ScanError::kDuplicateField, "messages[].content");
      has_content = true;
      if (!content()) return false;
    } else if (contains(kRenderedMessageFields, key)) {
      if (!rendered_field(kMessageDepth, SpanKind::kText)) return false;
    } else if (!cursor_.read_raw(value, kMessageDepth)) {
      return false;
    }
  }
  if (!healthy()) return false;
  if (!has_role) return refuse(ScanError::kMissingField, "messages[].role");
  // The role may stand behind the content.
  for (std::size_t i = first; i < out_.spans.size(); ++i) out_.spans[i].role = role;
  return true;
}

bool Pass::content() {
  std::string_view text;
  if (cursor_.peek() == '"') {
    if (!cursor_.read_string(text)) return false;
    add(text, SpanRole::kOther, SpanKind::kText);
    return true;
  }
  if (accept_null()) return true;
  if (!cursor_.accept('[')) return refuse(ScanError::kWrongType, "messages[].content");
  cursor_.enter();
  while (healthy() && cursor_.next_element()) {
    if (!part()) return false;
  }
  return healthy();
}

bool Pass::part() {
  std::string_view text;
  if (cursor_.peek() == '"') {
    if (!cursor_.read_string(text)) return false;
    add(text, SpanRole::kOther, SpanKind::kText);
    return true;
  }
  if (!cursor_.accept('{')) return refuse(ScanError::kWrongType, "messages[].content[]");
  cursor_.enter();
  std::string_view key;
  while (healthy() && cursor_.next_key(key)) {
    if (!part_field(plain(key))) return false;
  }
  return healthy();
}

bool Pass::part_field(std::string_view key) {
  std::string_view value;
  if (contains(kIgnoredPartFields, key)) return cursor_.read_raw(value, kPartDepth);
  const bool is_text = key == "text" || key == "refusal" || key == "thinking";
  if (is_text && cursor_.peek() != '"' && cursor_.peek() != 'n') {
    return refuse(ScanError::kWrongType, "messages[].content[].text");
  }
  return rendered_field(kPartDepth, is_text ? SpanKind::kText : SpanKind::kOpaque);
}

// A value of any type that reaches the prompt: a string's inside, or the raw bytes.
bool Pass::rendered_field(std::size_t depth, SpanKind kind) {
  if (accept_null()) return true;
  std::string_view value;
  const bool is_string = cursor_.peek() == '"';
  if (!(is_string ? cursor_.read_string(value) : cursor_.read_raw(value, depth))) return false;
  add(value, SpanRole::kOther, kind);
  return true;
}

bool Pass::prompt() {
  std::string_view text;
  if (cursor_.peek() == '"') {
    if (!cursor_.read_string(text)) return false;
    add(text, SpanRole::kPrompt, SpanKind::kText);
    return true;
  }
  if (accept_null()) return true;
  if (!cursor_.accept('[')) return refuse(ScanError::kWrongType, "prompt");
  return prompt_array();
}

// Strings, token ids, or arrays of token ids; the first element decides which.
bool Pass::prompt_array() {
  const std::size_t begin = cursor_.position();
  const char first = cursor_.peek();
  if (first == ']') return cursor_.accept(']');
  cursor_.enter();
  if (first != '"' && first != '[') return token_array(begin);
  std::string_view text;
  while (healthy() && cursor_.next_element()) {
    if (cursor_.peek() != first) return refuse(ScanError::kWrongType, "prompt[]");
    if (first == '"') {
      if (!cursor_.read_string(text)) return false;
      add(text, SpanRole::kPrompt, SpanKind::kText);
      continue;
    }
    cursor_.accept('[');
    cursor_.enter();
    if (!token_array(cursor_.position())) return false;
  }
  return healthy();
}

bool Pass::token_array(std::size_t begin) {
  std::string_view token;
  while (cursor_.next_element()) {
    if (!cursor_.accept_natural(token)) {
      // Broken JSON and a value that is no token id are different errors.
      std::string_view ignored;
      return cursor_.read_raw(ignored, kTopDepth + 2) && refuse(ScanError::kWrongType, "prompt[]");
    }
    ++out_.prompt_tokens;
  }
  if (!healthy()) return false;
  const std::size_t end =
      token.empty() ? begin : static_cast<std::size_t>(token.data() - body_.data()) + token.size();
  add(body_.substr(begin, end - begin), SpanRole::kPrompt, SpanKind::kTokens);
  return true;
}

bool Pass::prompt_embeds() {
  if (accept_null()) return true;
  std::string_view value;
  if (!cursor_.read_raw(value, kTopDepth)) return false;
  add(value, SpanRole::kPrompt, SpanKind::kOpaque);
  return true;
}

void Pass::place_preamble() {
  std::array<PromptSpan, kPreambleCount> spans;
  std::size_t count = 0;
  for (const std::string_view text : preamble_) {
    if (!text.empty()) spans[count++] = {text, SpanRole::kPreamble, SpanKind::kText};
  }
  if (count == 0) return;
  out_.spans.insert(out_.spans.begin(), spans.begin(),
                    spans.begin() + static_cast<std::ptrdiff_t>(count));
}

}  // namespace

std::string ScanStatus::message() const {
  switch (error) {
    case ScanError::kNone:
      return {};
    case ScanError::kEmptyBody:
      return "The request body is empty; send a JSON object.";
    case ScanError::kBodyTooLarge:
      return "The request body is larger than this server accepts.";
    case ScanError::kInvalidUtf8:
      return "The request body is not valid UTF-8.";
    case ScanError::kInvalidJson:
      return fmt::format("The request body is not valid JSON (near byte {}).", offset);
    case ScanError::kTooDeep:
      return fmt::format("The request body is nested deeper than {} levels (near byte {}).",
                         ChatScanner::kMaxDepth, offset);
    case ScanError::kNotAnObject:
      return "The request body must be a JSON object.";
    case ScanError::kDuplicateField:
      return fmt::format("Field '{}' occurs twice (near byte {}); send it once.", field, offset);
    case ScanError::kMissingField:
      return fmt::format("Field '{}' is required.", field);
    case ScanError::kWrongType:
      return fmt::format("Field '{}' has a value of the wrong type or range (near byte {}).", field,
                         offset);
    case ScanError::kModelNameTooLong:
      return fmt::format("Field 'model' is longer than {} bytes.", ChatScanner::kMaxModelBytes);
  }
  return {};
}

void ScannedRequest::clear() {
  std::vector<PromptSpan> kept = std::move(spans);
  kept.clear();
  *this = ScannedRequest{};
  spans = std::move(kept);
}

struct ChatScanner::State {
  explicit State(std::size_t max_body_bytes) : index(max_body_bytes) {}
  JsonIndex index;
  Scratch scratch;
};

ChatScanner::ChatScanner(std::size_t max_body_bytes)
    : state_(std::make_unique<State>(max_body_bytes)) {}

ChatScanner::~ChatScanner() = default;

ScanStatus ChatScanner::scan(RequestKind kind, std::string_view body, ScannedRequest& out) {
  out.clear();
  const JsonFault fault = state_->index.build(body);
  if (fault != JsonFault::kNone) return {error_of(fault), {}, 0};
  return Pass(kind, body, state_->index, state_->scratch, out).run();
}

}  // namespace fairlead::codec
