// SPDX-License-Identifier: Apache-2.0
// RequestWalk: what the scanners of all request bodies share: the walk over the top-level object by
// a table of fields, readers for scalars, messages and content, and the order of spans. A family of
// routes (chat_fields.cpp, messages_fields.cpp, ...) is a table and the readers that only it needs.
//
// Every reader returns false once the walk has failed; the first failure stays.
// Internal to the codec. Threads: one owner.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/codec/chat_scanner.h"
#include "core/codec/json_cursor.h"

namespace fairlead::codec {

class RequestWalk;
struct FieldRule;

using FieldReader = bool (*)(RequestWalk& walk, const FieldRule& rule);

// One top-level field that the router reads.
struct FieldRule {
  std::string_view name;
  FieldReader read;
  // Of the rules with the same group above 0, one at least must be there.
  std::uint8_t group = 0;
  // Its spans stand behind those of lower ranks, wherever the fields stand in the body.
  std::uint8_t rank = kLastRank;

  static constexpr std::uint8_t kLastRank = 0xff;
};
inline constexpr std::uint8_t kModelGroup = 1;
inline constexpr std::uint8_t kPromptGroup = 2;
inline constexpr std::size_t kFieldsMax = 32;

// The tables.
std::span<const FieldRule> chat_fields();
std::span<const FieldRule> completion_fields();
std::span<const FieldRule> messages_fields();
std::span<const FieldRule> responses_fields();
std::span<const FieldRule> embedding_fields();
std::span<const FieldRule> rerank_fields();
std::span<const FieldRule> tokenize_fields();
std::span<const FieldRule> speech_fields();
std::span<const FieldRule> image_fields();
std::span<const FieldRule> conversation_fields();
std::span<const FieldRule> generate_fields();

// Where in the body things stand, in levels of nesting.
inline constexpr std::size_t kTopDepth = 1;
inline constexpr std::size_t kMessageDepth = 3;
inline constexpr std::size_t kPartDepth = 5;

enum class RoleRule : std::uint8_t { kRequired, kOptional };

// How one API writes its messages.
struct MessageRules {
  // For errors.
  std::string_view list;       // "messages"
  std::string_view item;       // "messages[]"
  std::string_view role;       // "messages[].role"
  std::string_view content;    // "messages[].content"
  std::string_view part;       // "messages[].content[]"
  std::string_view part_text;  // "messages[].content[].text"
  RoleRule role_rule = RoleRule::kRequired;
  std::span<const std::string_view> contents{};           // A message's fields with parts in them.
  std::span<const std::string_view> rendered{};           // Other fields that templates render.
  std::span<const std::string_view> text_in_parts{};      // Strings that are rendered.
  std::span<const std::string_view> rendered_in_parts{};  // Of any type; rendered as text.
  // Says nothing about the prompt; what is in no list is opaque.
  std::span<const std::string_view> ignored_in_parts{};
  std::string_view nested_content{};  // A part's field with parts in it, one level deep.
};
extern const MessageRules kChatMessages;

struct WalkScratch {
  std::string model;
  std::string key;
};

class RequestWalk {
 public:
  RequestWalk(std::string_view body, const JsonIndex& index, WalkScratch& scratch,
              ScannedRequest& out)
      : body_(body), cursor_(body, index), scratch_(scratch), out_(out) {}

  ScanStatus run(std::span<const FieldRule> rules);

  JsonCursor& cursor() { return cursor_; }
  ScannedRequest& out() { return out_; }
  bool refuse(ScanError error, std::string_view field);
  bool healthy() const { return status_.ok() && cursor_.fault() == JsonFault::kNone; }

  // The key with its escapes resolved, so that "mod\u0065l" is what the engine takes it for.
  std::string_view plain(std::string_view raw_key);
  bool accept_null();
  void add(std::string_view text, SpanRole role, SpanKind kind) {
    if (out_.spans.size() == ChatScanner::kMaxSpans) {
      refuse(ScanError::kTooManyParts, {});
      return;
    }
    out_.spans.push_back({.text = text, .role = role, .kind = kind});
  }

  bool model();
  bool boolean(bool& out, std::string_view name);
  bool integer(std::uint64_t& out, bool& present, std::string_view name);
  bool optional_integer(std::optional<std::uint64_t>& out, std::string_view name);
  bool optional_string(std::string_view& out, std::string_view name);
  bool stream_options();
  // One string inside an object whose other fields do not matter, as metadata.user_id.
  bool string_inside(std::string_view& out, std::string_view name, std::string_view inner);
  // Likewise a whole number, under one of these keys.
  bool integer_inside(std::optional<std::uint64_t>& out, std::string_view name,
                      std::span<const std::string_view> inners);
  bool messages(const MessageRules& rules);
  // A string, or a list of strings and part objects.
  bool content(const MessageRules& rules, std::size_t depth);
  // A value of any type that reaches the prompt: a string's inside, or the raw bytes.
  bool rendered_field(std::size_t depth, SpanKind kind);
  // The raw bytes, quotes included, as part of what stands before the messages.
  bool preamble_field(SpanRole role);
  // Strings, token ids, or arrays of token ids; the first element decides which. `name` and
  // `element` are for errors, such as "prompt" and "prompt[]".
  bool prompt(std::string_view name, std::string_view element);

 private:
  struct Segment {
    std::uint8_t rank;
    std::size_t begin;
    std::size_t end;
  };

  bool document(std::span<const FieldRule> rules);
  bool message(const MessageRules& rules);
  bool part(const MessageRules& rules, std::size_t depth);
  bool part_field(const MessageRules& rules, std::string_view key, std::size_t depth);
  bool prompt_array(std::string_view element);
  bool token_array(std::size_t begin, std::string_view element);
  void note_segment(const FieldRule& rule, std::size_t begin);
  void order_segments();

  std::string_view body_;
  JsonCursor cursor_;
  WalkScratch& scratch_;
  ScannedRequest& out_;
  ScanStatus status_;
  std::array<Segment, kFieldsMax> segments_;
  std::size_t segment_count_ = 0;
  std::uint32_t messages_ = 0;
};

// Readers of fields that several families share.
namespace fields {
bool model(RequestWalk& walk, const FieldRule& rule);
bool stream(RequestWalk& walk, const FieldRule& rule);
bool stream_options(RequestWalk& walk, const FieldRule& rule);
bool max_tokens(RequestWalk& walk, const FieldRule& rule);
bool cache_salt(RequestWalk& walk, const FieldRule& rule);
bool user(RequestWalk& walk, const FieldRule& rule);
bool previous_response(RequestWalk& walk, const FieldRule& rule);
bool preamble(RequestWalk& walk, const FieldRule& rule);
bool tools(RequestWalk& walk, const FieldRule& rule);
}  // namespace fields

SpanRole role_of(std::string_view role);
ScanError error_of(JsonFault fault);

}  // namespace fairlead::codec
