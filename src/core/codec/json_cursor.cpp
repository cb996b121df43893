// SPDX-License-Identifier: Apache-2.0
#include "core/codec/json_cursor.h"

#include <simdjson.h>

#include <algorithm>
#include <bit>
#include <limits>

namespace fairlead::codec {

namespace {

bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

// RFC 8259 section 6.
bool is_number(std::string_view token) {
  const char* p = token.data();
  const char* const end = p + token.size();
  if (p != end && *p == '-') ++p;
  if (p == end || !is_digit(*p)) return false;
  if (*p == '0') {
    ++p;
  } else {
    while (p != end && is_digit(*p)) ++p;
  }
  if (p != end && *p == '.') {
    ++p;
    if (p == end || !is_digit(*p)) return false;
    while (p != end && is_digit(*p)) ++p;
  }
  if (p != end && (*p == 'e' || *p == 'E')) {
    ++p;
    if (p != end && (*p == '+' || *p == '-')) ++p;
    if (p == end || !is_digit(*p)) return false;
    while (p != end && is_digit(*p)) ++p;
  }
  return p == end;
}

bool is_literal(std::string_view token) {
  return token == "true" || token == "false" || token == "null";
}

}  // namespace

struct JsonIndex::Stage {
  std::unique_ptr<simdjson::internal::dom_parser_implementation> parser;
  std::size_t capacity = 0;
};

JsonIndex::JsonIndex(std::size_t max_bytes)
    : stage_(std::make_unique<Stage>()),
      max_bytes_(std::min<std::size_t>(max_bytes, std::numeric_limits<std::uint32_t>::max() / 2)) {}

JsonIndex::~JsonIndex() = default;

JsonFault JsonIndex::build(std::string_view text) {
  tokens_ = {};
  if (text.empty()) return JsonFault::kEmpty;
  if (text.size() > max_bytes_) return JsonFault::kTooLarge;
  // The index takes four bytes for each of the text: what a rare giant needed is not kept.
  constexpr std::size_t kKept = 4 * 1024 * 1024;
  const bool shrink = stage_->capacity > kKept && text.size() <= kKept;
  if (text.size() > stage_->capacity || shrink) {
    constexpr std::size_t kSmallest = 16 * 1024;
    const std::size_t capacity = std::bit_ceil(std::max(text.size(), kSmallest));
    // The depth is the cursor's business; stage 1 has none.
    if (simdjson::get_active_implementation()->create_dom_parser_implementation(
            capacity, 1, stage_->parser) != simdjson::SUCCESS) {
      stage_->capacity = 0;
      return JsonFault::kTooLarge;
    }
    stage_->capacity = capacity;
  }
  const auto error = stage_->parser->stage1(reinterpret_cast<const std::uint8_t*>(text.data()),
                                            text.size(), simdjson::stage1_mode::regular);
  switch (error) {
    case simdjson::SUCCESS:
      break;
    case simdjson::EMPTY:
      return JsonFault::kEmpty;
    case simdjson::UTF8_ERROR:
      return JsonFault::kInvalidUtf8;
    default:
      return JsonFault::kInvalid;
  }
  tokens_ = {stage_->parser->structural_indexes.get(), stage_->parser->n_structural_indexes};
  return JsonFault::kNone;
}

// The end of the token ahead: where the next one begins, blanks before it taken off.
std::size_t JsonCursor::token_end() const {
  // Valid at the last token too: the index is followed by the text's size.
  std::size_t end = tokens_.data()[at_ + 1];
  while (is_space(text_[end - 1])) --end;
  return end;
}

bool JsonCursor::read_string(std::string_view& raw) {
  if (peek() != '"') return fail(JsonFault::kInvalid);
  const std::size_t begin = tokens_[at_] + 1;
  const std::size_t end = token_end();
  if (end <= begin || text_[end - 1] != '"') return fail(JsonFault::kInvalid);
  raw = text_.substr(begin, end - 1 - begin);
  ++at_;
  return true;
}

bool JsonCursor::read_scalar(std::string_view& token) {
  if (at_end()) return fail(JsonFault::kInvalid);
  const std::size_t begin = tokens_[at_];
  token = text_.substr(begin, token_end() - begin);
  if (!is_number(token) && !is_literal(token)) return fail(JsonFault::kInvalid);
  ++at_;
  return true;
}

bool JsonCursor::accept_natural(std::string_view& token) {
  if (at_end()) return false;
  const std::size_t begin = tokens_[at_];
  const std::size_t end = tokens_.data()[at_ + 1];
  std::size_t digits_end = begin;
  while (digits_end < end && is_digit(text_[digits_end])) ++digits_end;
  if (digits_end == begin || (text_[begin] == '0' && digits_end > begin + 1)) return false;
  std::size_t at = digits_end;
  while (at < end && is_space(text_[at])) ++at;
  if (at != end) return false;
  token = text_.substr(begin, digits_end - begin);
  ++at_;
  return true;
}

bool JsonCursor::read_raw(std::string_view& raw, std::size_t depth) {
  const std::size_t begin = position();
  if (!skip_value(depth)) return false;
  std::size_t end = position();
  while (is_space(text_[end - 1])) --end;
  raw = text_.substr(begin, end - begin);
  return true;
}

// Leaving a container, an empty one too, the one around it has had an element.
bool JsonCursor::close(char bracket) {
  if (!accept(bracket)) return false;
  first_ = false;
  return true;
}

bool JsonCursor::next_key(std::string_view& raw_key) {
  if (fault_ != JsonFault::kNone) return false;
  if (close('}')) return false;
  if (!first_ && !expect(',')) return false;
  first_ = false;
  return read_string(raw_key) && expect(':');
}

bool JsonCursor::next_element() {
  if (fault_ != JsonFault::kNone) return false;
  if (close(']')) return false;
  if (!first_ && !expect(',')) return false;
  first_ = false;
  return true;
}

bool JsonCursor::skip_value(std::size_t depth) {
  // One bit a level, set for objects; the loop is the grammar of RFC 8259 with an explicit stack.
  std::uint64_t is_object[kMaxDepth / 64] = {};
  std::size_t level = 0;
  const auto in_object = [&] {
    return level > 0 && (is_object[(level - 1) / 64] >> ((level - 1) % 64) & 1) != 0;
  };
  std::string_view ignored;
  for (;;) {
    const char c = peek();
    bool closed = true;
    if (c == '{' || c == '[') {
      if (depth + level >= kMaxDepth) return fail(JsonFault::kTooDeep);
      ++at_;
      const std::uint64_t bit = std::uint64_t{1} << (level % 64);
      std::uint64_t& word = is_object[level / 64];
      word = c == '{' ? word | bit : word & ~bit;
      ++level;
      closed = accept(c == '{' ? '}' : ']');
      if (closed) --level;
    } else if (c == '"') {
      // A stray byte behind the closing quote is a token of its own and fails as such.
      ++at_;
    } else if (!read_scalar(ignored)) {
      return false;
    }
    while (closed) {
      if (level == 0) return true;
      if (accept(',')) {
        closed = false;
      } else if (accept(in_object() ? '}' : ']')) {
        --level;
      } else {
        return fail(JsonFault::kInvalid);
      }
    }
    if (in_object()) {
      if (!expect('"') || !expect(':')) return false;
    }
  }
}

namespace {

int hex_digit(char c) {
  if (is_digit(c)) return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// The code unit of the four digits at `at`, or -1.
std::int32_t code_unit(std::string_view raw, std::size_t at) {
  if (at + 4 > raw.size()) return -1;
  std::int32_t unit = 0;
  for (std::size_t i = at; i < at + 4; ++i) {
    const int digit = hex_digit(raw[i]);
    if (digit < 0) return -1;
    unit = unit * 16 + digit;
  }
  return unit;
}

void append_utf8(std::uint32_t point, std::string& out) {
  const auto push = [&](std::uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (point < 0x80) {
    push(point);
  } else if (point < 0x800) {
    push(0xc0 | point >> 6);
    push(0x80 | (point & 0x3f));
  } else if (point < 0x10000) {
    push(0xe0 | point >> 12);
    push(0x80 | (point >> 6 & 0x3f));
    push(0x80 | (point & 0x3f));
  } else {
    push(0xf0 | point >> 18);
    push(0x80 | (point >> 12 & 0x3f));
    push(0x80 | (point >> 6 & 0x3f));
    push(0x80 | (point & 0x3f));
  }
}

// Decodes \uXXXX at `at` (behind the u), a surrogate pair included; advances `at`.
bool decode_unicode(std::string_view raw, std::size_t& at, std::string& out) {
  constexpr std::uint32_t kReplacement = 0xfffd;
  const std::int32_t unit = code_unit(raw, at);
  if (unit < 0) return false;
  at += 4;
  auto point = static_cast<std::uint32_t>(unit);
  if (point >= 0xd800 && point < 0xdc00 && raw.substr(at, 2) == "\\u") {
    const std::int32_t low = code_unit(raw, at + 2);
    if (low >= 0xdc00 && low < 0xe000) {
      at += 6;
      point = 0x10000 + ((point - 0xd800) << 10) + (static_cast<std::uint32_t>(low) - 0xdc00);
    }
  }
  if (point >= 0xd800 && point < 0xe000) point = kReplacement;
  append_utf8(point, out);
  return true;
}

}  // namespace

bool decode_json_string(std::string_view raw, std::string& out) {
  constexpr std::string_view kEscapes = "\"\\/bfnrt";
  constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
  out.clear();
  for (std::size_t at = 0; at < raw.size();) {
    const std::size_t escape = std::min(raw.find('\\', at), raw.size());
    out.append(raw.substr(at, escape - at));
    at = escape;
    if (at == raw.size()) break;
    if (at + 1 == raw.size()) return false;
    const char kind = raw[at + 1];
    at += 2;
    if (kind == 'u') {
      if (!decode_unicode(raw, at, out)) return false;
    } else if (const auto which = kEscapes.find(kind); which != std::string_view::npos) {
      out.push_back(kMeanings[which]);
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace fairlead::codec
