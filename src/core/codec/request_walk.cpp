// SPDX-License-Identifier: Apache-2.0
#include "core/codec/request_walk.h"

#include <algorithm>
#include <charconv>

namespace fairlead::codec {

namespace {

bool contains(std::span<const std::string_view> names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

}  // namespace

SpanRole role_of(std::string_view role) {
  if (role == "user") return SpanRole::kUser;
  if (role == "assistant") return SpanRole::kAssistant;
  if (role == "system") return SpanRole::kSystem;
  if (role == "tool" || role == "function") return SpanRole::kTool;
  if (role == "developer") return SpanRole::kDeveloper;
  return SpanRole::kOther;
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

bool RequestWalk::refuse(ScanError error, std::string_view field) {
  if (status_.ok()) status_ = {error, field, cursor_.position()};
  return false;
}

ScanStatus RequestWalk::run(std::span<const FieldRule> rules) {
  if (document(rules) && !cursor_.at_end()) cursor_.fail(JsonFault::kInvalid);
  if (status_.ok()) status_.error = error_of(cursor_.fault());
  if (!status_.ok()) {
    if (status_.offset == 0) status_.offset = cursor_.position();
    return status_;
  }
  order_segments();
  for (const PromptSpan& span : out_.spans) {
    if (span.kind == SpanKind::kText || span.kind == SpanKind::kJson) {
      out_.text_bytes += span.text.size();
    }
    if (span.kind == SpanKind::kOpaque) out_.opaque_bytes += span.text.size();
  }
  return status_;
}

bool RequestWalk::document(std::span<const FieldRule> rules) {
  if (!cursor_.accept('{')) return refuse(ScanError::kNotAnObject, {});
  out_.fields_begin = cursor_.last_position() + 1;
  cursor_.enter();
  std::uint32_t seen = 0;
  std::uint32_t groups = 0;
  std::string_view raw_key;
  std::string_view ignored;
  while (healthy() && cursor_.next_key(raw_key)) {
    out_.has_fields = true;
    const std::string_view key = plain(raw_key);
    const auto rule = std::ranges::find(rules, key, &FieldRule::name);
    if (rule == rules.end()) {
      if (!cursor_.read_raw(ignored, kTopDepth)) return false;
      continue;
    }
    const std::uint32_t bit = std::uint32_t{1} << (rule - rules.begin());
    if ((seen & bit) != 0) return refuse(ScanError::kDuplicateField, rule->name);
    seen |= bit;
    groups |= std::uint32_t{1} << rule->group;
    const std::size_t first_span = out_.spans.size();
    if (!rule->read(*this, *rule)) return false;
    if (out_.spans.size() != first_span) note_segment(*rule, first_span);
  }
  if (!healthy()) return false;
  for (const FieldRule& rule : rules) {
    if (rule.group != 0 && (groups >> rule.group & 1) == 0) {
      return refuse(ScanError::kMissingField, rule.name);
    }
  }
  return true;
}

void RequestWalk::note_segment(const FieldRule& rule, std::size_t begin) {
  segments_[segment_count_++] = {rule.rank, begin, out_.spans.size()};
}

// An insertion sort of runs of spans, in place; a body has a handful of them.
void RequestWalk::order_segments() {
  const auto at = [&](std::size_t span) {
    return out_.spans.begin() + static_cast<std::ptrdiff_t>(span);
  };
  for (std::size_t i = 1; i < segment_count_; ++i) {
    for (std::size_t j = i; j > 0 && segments_[j].rank < segments_[j - 1].rank; --j) {
      Segment& left = segments_[j - 1];
      Segment& right = segments_[j];
      std::rotate(at(left.begin), at(right.begin), at(right.end));
      const std::size_t middle = left.begin + (right.end - right.begin);
      const std::uint8_t moved = left.rank;
      left = {.rank = right.rank, .begin = left.begin, .end = middle};
      right = {.rank = moved, .begin = middle, .end = right.end};
    }
  }
}

std::string_view RequestWalk::plain(std::string_view raw_key) {
  // Escapes make a name at most six times as long; beyond that it is none of ours.
  constexpr std::size_t kLongest = 6 * 32;
  if (raw_key.size() > kLongest || raw_key.find('\\') == std::string_view::npos) return raw_key;
  return decode_json_string(raw_key, scratch_.key) ? std::string_view(scratch_.key) : raw_key;
}

bool RequestWalk::accept_null() {
  std::string_view token;
  return cursor_.peek() == 'n' && cursor_.read_scalar(token);
}

bool RequestWalk::model() {
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

bool RequestWalk::boolean(bool& out, std::string_view name) {
  const char c = cursor_.peek();
  if (c != 't' && c != 'f' && c != 'n') return refuse(ScanError::kWrongType, name);
  std::string_view token;
  if (!cursor_.read_scalar(token)) return false;
  out = token == "true";
  return true;
}

bool RequestWalk::integer(std::uint64_t& out, bool& present, std::string_view name) {
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

bool RequestWalk::optional_integer(std::optional<std::uint64_t>& out, std::string_view name) {
  std::uint64_t value = 0;
  bool present = false;
  if (!integer(value, present, name)) return false;
  if (present) out = value;
  return true;
}

bool RequestWalk::optional_string(std::string_view& out, std::string_view name) {
  if (accept_null()) return true;
  if (cursor_.peek() != '"') return refuse(ScanError::kWrongType, name);
  return cursor_.read_string(out);
}

bool RequestWalk::stream_options() {
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

bool RequestWalk::string_inside(std::string_view& out, std::string_view name,
                                std::string_view inner) {
  if (accept_null()) return true;
  if (!cursor_.accept('{')) return refuse(ScanError::kWrongType, name);
  cursor_.enter();
  std::string_view key;
  std::string_view value;
  while (healthy() && cursor_.next_key(key)) {
    const bool wanted = plain(key) == inner;
    if (!(wanted ? optional_string(out, inner) : cursor_.read_raw(value, kTopDepth + 1))) {
      return false;
    }
  }
  return healthy();
}

bool RequestWalk::integer_inside(std::optional<std::uint64_t>& out, std::string_view name,
                                 std::span<const std::string_view> inners) {
  if (accept_null()) return true;
  if (!cursor_.accept('{')) return refuse(ScanError::kWrongType, name);
  cursor_.enter();
  std::string_view key;
  std::string_view value;
  while (healthy() && cursor_.next_key(key)) {
    const auto inner = std::ranges::find(inners, plain(key));
    if (!(inner != inners.end() ? optional_integer(out, *inner)
                                : cursor_.read_raw(value, kTopDepth + 1))) {
      return false;
    }
  }
  return healthy();
}

bool RequestWalk::preamble_field(SpanRole role) {
  if (accept_null()) return true;
  std::string_view value;
  if (!cursor_.read_raw(value, kTopDepth)) return false;
  add(value, role, SpanKind::kJson);
  return true;
}

bool RequestWalk::messages(const MessageRules& rules) {
  if (!cursor_.accept('[')) return refuse(ScanError::kWrongType, rules.list);
  cursor_.enter();
  while (healthy() && cursor_.next_element()) {
    if (!message(rules)) return false;
  }
  return healthy();
}

bool RequestWalk::message(const MessageRules& rules) {
  if (!cursor_.accept('{')) return refuse(ScanError::kWrongType, rules.item);
  cursor_.enter();
  const std::size_t first = out_.spans.size();
  SpanRole role = SpanRole::kOther;
  bool has_role = false;
  std::uint32_t contents_seen = 0;
  std::string_view raw_key;
  std::string_view value;
  while (healthy() && cursor_.next_key(raw_key)) {
    const std::string_view key = plain(raw_key);
    if (key == "role") {
      if (has_role) return refuse(ScanError::kDuplicateField, rules.role);
      if (cursor_.peek() != '"') return refuse(ScanError::kWrongType, rules.role);
      if (!cursor_.read_string(value)) return false;
      role = role_of(value);
      has_role = true;
    } else if (const auto at = std::ranges::find(rules.contents, key); at != rules.contents.end()) {
      const std::uint32_t bit = std::uint32_t{1} << (at - rules.contents.begin());
      if ((contents_seen & bit) != 0) return refuse(ScanError::kDuplicateField, rules.content);
      contents_seen |= bit;
      if (!content(rules, kMessageDepth)) return false;
    } else if (contains(rules.rendered, key)) {
      if (!rendered_field(kMessageDepth, SpanKind::kText)) return false;
    } else if (!cursor_.read_raw(value, kMessageDepth)) {
      return false;
    }
  }
  if (!healthy()) return false;
  if (!has_role && rules.role_rule == RoleRule::kRequired) {
    return refuse(ScanError::kMissingField, rules.role);
  }
  if (out_.spans.size() == first) add({}, role, SpanKind::kText);
  ++messages_;
  // The role may stand behind the content.
  for (std::size_t i = first; i < out_.spans.size(); ++i) {
    out_.spans[i].role = role;
    out_.spans[i].message = messages_;
  }
  return true;
}

// `depth` is that of the object which the content belongs to.
bool RequestWalk::content(const MessageRules& rules, std::size_t depth) {
  std::string_view text;
  if (cursor_.peek() == '"') {
    if (!cursor_.read_string(text)) return false;
    add(text, SpanRole::kOther, SpanKind::kText);
    return true;
  }
  if (accept_null()) return true;
  if (!cursor_.accept('[')) return refuse(ScanError::kWrongType, rules.content);
  cursor_.enter();
  while (healthy() && cursor_.next_element()) {
    if (!part(rules, depth + 2)) return false;
  }
  return healthy();
}

bool RequestWalk::part(const MessageRules& rules, std::size_t depth) {
  std::string_view text;
  if (cursor_.peek() == '"') {
    if (!cursor_.read_string(text)) return false;
    add(text, SpanRole::kOther, SpanKind::kText);
    return true;
  }
  if (!cursor_.accept('{')) return refuse(ScanError::kWrongType, rules.part);
  cursor_.enter();
  std::string_view key;
  while (healthy() && cursor_.next_key(key)) {
    if (!part_field(rules, plain(key), depth)) return false;
  }
  return healthy();
}

bool RequestWalk::part_field(const MessageRules& rules, std::string_view key, std::size_t depth) {
  std::string_view value;
  if (contains(rules.ignored_in_parts, key)) return cursor_.read_raw(value, depth);
  // A result inside a message has parts of its own; what those hold is taken whole.
  const bool is_nested = !rules.nested_content.empty() && key == rules.nested_content;
  if (is_nested && depth == kPartDepth) return content(rules, depth);
  const bool is_text = contains(rules.text_in_parts, key);
  if (is_text && cursor_.peek() != '"' && cursor_.peek() != 'n') {
    return refuse(ScanError::kWrongType, rules.part_text);
  }
  const bool is_rendered = is_text || contains(rules.rendered_in_parts, key);
  return rendered_field(depth, is_rendered ? SpanKind::kText : SpanKind::kOpaque);
}

bool RequestWalk::rendered_field(std::size_t depth, SpanKind kind) {
  if (accept_null()) return true;
  std::string_view value;
  const bool is_string = cursor_.peek() == '"';
  if (!(is_string ? cursor_.read_string(value) : cursor_.read_raw(value, depth))) return false;
  add(value, SpanRole::kOther, kind == SpanKind::kText && !is_string ? SpanKind::kJson : kind);
  return true;
}

bool RequestWalk::prompt(std::string_view name, std::string_view element) {
  std::string_view text;
  if (cursor_.peek() == '"') {
    if (!cursor_.read_string(text)) return false;
    add(text, SpanRole::kPrompt, SpanKind::kText);
    return true;
  }
  if (accept_null()) return true;
  if (!cursor_.accept('[')) return refuse(ScanError::kWrongType, name);
  return prompt_array(element);
}

bool RequestWalk::prompt_array(std::string_view element) {
  const std::size_t begin = cursor_.position();
  const char first = cursor_.peek();
  if (first == ']') return cursor_.accept(']');
  cursor_.enter();
  if (first != '"' && first != '[') return token_array(begin, element);
  std::string_view text;
  while (healthy() && cursor_.next_element()) {
    if (cursor_.peek() != first) return refuse(ScanError::kWrongType, element);
    if (first == '"') {
      if (!cursor_.read_string(text)) return false;
      add(text, SpanRole::kPrompt, SpanKind::kText);
      continue;
    }
    cursor_.accept('[');
    cursor_.enter();
    if (!token_array(cursor_.position(), element)) return false;
  }
  return healthy();
}

bool RequestWalk::token_array(std::size_t begin, std::string_view element) {
  std::string_view token;
  while (cursor_.next_element()) {
    if (!cursor_.accept_natural(token)) {
      // Broken JSON and a value that is no token id are different errors.
      std::string_view ignored;
      return cursor_.read_raw(ignored, kTopDepth + 2) && refuse(ScanError::kWrongType, element);
    }
    ++out_.prompt_tokens;
  }
  if (!healthy()) return false;
  const std::size_t end =
      token.empty() ? begin : static_cast<std::size_t>(token.data() - body_.data()) + token.size();
  add(body_.substr(begin, end - begin), SpanRole::kPrompt, SpanKind::kTokens);
  return true;
}

namespace fields {

bool model(RequestWalk& walk, const FieldRule& /*rule*/) { return walk.model(); }
bool stream(RequestWalk& walk, const FieldRule& rule) {
  return walk.boolean(walk.out().stream, rule.name);
}
bool stream_options(RequestWalk& walk, const FieldRule& /*rule*/) { return walk.stream_options(); }
bool max_tokens(RequestWalk& walk, const FieldRule& rule) {
  return walk.optional_integer(walk.out().max_tokens, rule.name);
}
bool cache_salt(RequestWalk& walk, const FieldRule& rule) {
  return walk.optional_string(walk.out().cache_salt, rule.name);
}
bool user(RequestWalk& walk, const FieldRule& rule) {
  return walk.optional_string(walk.out().user, rule.name);
}
bool previous_response(RequestWalk& walk, const FieldRule& rule) {
  return walk.optional_string(walk.out().previous_response, rule.name);
}
bool preamble(RequestWalk& walk, const FieldRule& /*rule*/) {
  return walk.preamble_field(SpanRole::kPreamble);
}
bool tools(RequestWalk& walk, const FieldRule& /*rule*/) {
  return walk.preamble_field(SpanRole::kTools);
}

}  // namespace fields

}  // namespace fairlead::codec
