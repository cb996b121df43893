// SPDX-License-Identifier: Apache-2.0
#include "core/codec/json_text.h"

#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "base/assert.h"
#include "core/codec/json_cursor.h"

namespace fairlead::codec {

namespace {

// Length of the UTF-8 sequence at the front, 0 if it is none (RFC 3629: no overlong forms,
// surrogates or points above U+10FFFF).
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  const unsigned second = byte(1);
  if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f) ||
      (lead == 0xf0 && second < 0x90) || (lead == 0xf4 && second > 0x8f)) {
    return 0;
  }
  return length;
}

void append_escape(std::string& out, char c) {
  constexpr std::string_view kHex = "0123456789abcdef";
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      out += "\\u00";
      out += kHex[static_cast<unsigned char>(c) >> 4];
      out += kHex[static_cast<unsigned char>(c) & 15];
  }
}

bool is_plain(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte >= 0x20 && byte < 0x80 && c != '"' && c != '\\';
}

}  // namespace

bool is_utf8(std::string_view text) { return simdjson::validate_utf8(text.data(), text.size()); }

void append_json_string(std::string& out, std::string_view text) {
  constexpr std::string_view kReplacement = "\xef\xbf\xbd";
  out += '"';
  while (!text.empty()) {
    const auto stop = std::find_if_not(text.begin(), text.end(), is_plain);
    const auto run = static_cast<std::size_t>(stop - text.begin());
    out.append(text.substr(0, run));
    text.remove_prefix(run);
    if (text.empty()) break;
    if (static_cast<unsigned char>(text.front()) < 0x80) {
      append_escape(out, text.front());
      text.remove_prefix(1);
      continue;
    }
    const std::size_t length = utf8_length(text);
    out.append(length == 0 ? kReplacement : text.substr(0, length));
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  out += '"';
}

void JsonWriter::before_value() {
  if (std::exchange(after_key_, false)) return;
  const std::uint32_t bit = std::uint32_t{1} << depth_;
  if ((has_items_ & bit) != 0) out_ += ',';
  has_items_ |= bit;
}

JsonWriter& JsonWriter::begin_object() {
  before_value();
  FAIRLEAD_ASSERT(depth_ < 31);
  has_items_ &= ~(std::uint32_t{1} << ++depth_);
  out_ += '{';
  return *this;
}

JsonWriter& JsonWriter::end_object() {
  FAIRLEAD_ASSERT(depth_ > 0 && !after_key_);
  --depth_;
  out_ += '}';
  return *this;
}

JsonWriter& JsonWriter::begin_array() {
  before_value();
  FAIRLEAD_ASSERT(depth_ < 31);
  has_items_ &= ~(std::uint32_t{1} << ++depth_);
  out_ += '[';
  return *this;
}

JsonWriter& JsonWriter::end_array() {
  FAIRLEAD_ASSERT(depth_ > 0 && !after_key_);
  --depth_;
  out_ += ']';
  return *this;
}

JsonWriter& JsonWriter::key(std::string_view name) {
  before_value();
  append_json_string(out_, name);
  out_ += ':';
  after_key_ = true;
  return *this;
}

JsonWriter& JsonWriter::string(std::string_view value) {
  before_value();
  append_json_string(out_, value);
  return *this;
}

namespace {

template <class Number>
void append_number(std::string& out, Number value) {
  char digits[32];
  const auto result = std::to_chars(std::begin(digits), std::end(digits), value);
  out.append(digits, result.ptr);
}

}  // namespace

JsonWriter& JsonWriter::number(std::uint64_t value) {
  before_value();
  append_number(out_, value);
  return *this;
}

JsonWriter& JsonWriter::number(std::int64_t value) {
  before_value();
  append_number(out_, value);
  return *this;
}

JsonWriter& JsonWriter::number(double value) {
  if (!std::isfinite(value)) return raw("null");
  before_value();
  append_number(out_, value);
  return *this;
}

JsonWriter& JsonWriter::raw(std::string_view json) {
  before_value();
  out_ += json;
  return *this;
}

void append_error_body(std::string& out, const ErrorBody& error) {
  JsonWriter writer(out);
  writer.begin_object().key("error").begin_object();
  writer.key("message").string(error.message).key("type").string(error.type).key("param");
  if (error.param.empty()) {
    writer.raw("null");
  } else {
    writer.string(error.param);
  }
  writer.key("code");
  if (error.code.empty()) {
    writer.number(std::int64_t{error.status});
  } else {
    writer.string(error.code);
  }
  writer.end_object().end_object();
}

namespace {

bool read_text(JsonCursor& cursor, std::string& out, std::size_t depth) {
  std::string_view raw;
  if (cursor.peek() != '"') return cursor.read_raw(raw, depth);
  if (!cursor.read_string(raw)) return false;
  return decode_json_string(raw, out) || cursor.fail(JsonFault::kInvalid);
}

bool read_count(JsonCursor& cursor, std::uint64_t& out, std::size_t depth) {
  std::string_view raw;
  if (!cursor.read_raw(raw, depth)) return false;
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(raw.data(), raw.data() + raw.size(), value);
  if (error == std::errc{} && end == raw.data() + raw.size()) out = value;
  return true;
}

constexpr std::size_t kCardDepth = 3;

bool read_card(JsonCursor& cursor, ModelCard& card) {
  if (!cursor.expect('{')) return false;
  cursor.enter();
  std::string_view key;
  std::string_view ignored;
  while (cursor.next_key(key)) {
    bool read = false;
    if (key == "id") {
      read = read_text(cursor, card.id, kCardDepth);
    } else if (key == "parent") {
      read = read_text(cursor, card.parent, kCardDepth);
    } else if (key == "owned_by") {
      read = read_text(cursor, card.owned_by, kCardDepth);
    } else if (key == "max_model_len") {
      read = read_count(cursor, card.max_model_len, kCardDepth);
    } else if (key == "created") {
      read = read_count(cursor, card.created, kCardDepth);
    } else {
      read = cursor.read_raw(ignored, kCardDepth);
    }
    if (!read) return false;
  }
  return cursor.fault() == JsonFault::kNone;
}

Result<void> read_cards(JsonCursor& cursor, std::vector<ModelCard>& models) {
  cursor.enter();
  while (cursor.next_element()) {
    if (models.size() == kMaxModels) {
      return fail(ErrorCode::kLimitExceeded, "model list: more than {} models", kMaxModels);
    }
    ModelCard card;
    if (!read_card(cursor, card)) break;
    if (card.id.empty()) {
      return fail(ErrorCode::kInvalidArgument, "model list: data[{}] has no string id",
                  models.size());
    }
    models.push_back(std::move(card));
  }
  return {};
}

}  // namespace

Result<std::vector<ModelCard>> parse_model_list(std::string_view body) {
  constexpr std::size_t kMaxBytes = 1024 * 1024;
  JsonIndex index(kMaxBytes);
  const JsonFault fault = index.build(body);
  if (fault == JsonFault::kTooLarge) {
    return fail(ErrorCode::kLimitExceeded, "model list: {} bytes, more than {}", body.size(),
                kMaxBytes);
  }
  JsonCursor cursor(body, index);
  std::vector<ModelCard> models;
  bool has_data = false;
  std::string_view key;
  std::string_view ignored;
  if (fault == JsonFault::kNone && cursor.expect('{')) {
    cursor.enter();
    while (cursor.next_key(key)) {
      if (key == "data" && cursor.accept('[')) {
        has_data = true;
        models.clear();
        if (auto read = read_cards(cursor, models); !read) return tl::unexpected(read.error());
      } else if (!cursor.read_raw(ignored, 1)) {
        break;
      }
    }
  }
  if (fault != JsonFault::kNone || cursor.fault() != JsonFault::kNone || !cursor.at_end()) {
    return fail(ErrorCode::kInvalidArgument, "model list: not valid JSON (near byte {})",
                cursor.position());
  }
  if (!has_data) return fail(ErrorCode::kInvalidArgument, "model list: no array \"data\"");
  return models;
}

namespace {

void write_card(JsonWriter& writer, const ModelCard& model) {
  writer.begin_object().key("id").string(model.id).key("object").string("model");
  writer.key("created").number(model.created).key("owned_by").string(model.owned_by);
  writer.key("root").string(model.parent.empty() ? model.id : model.parent).key("parent");
  if (model.parent.empty()) {
    writer.raw("null");
  } else {
    writer.string(model.parent);
  }
  if (model.max_model_len > 0) writer.key("max_model_len").number(model.max_model_len);
  writer.end_object();
}

}  // namespace

void append_model_card(std::string& out, const ModelCard& model) {
  JsonWriter writer(out);
  write_card(writer, model);
}

void append_model_list(std::string& out, std::span<const ModelCard> models) {
  JsonWriter writer(out);
  writer.begin_object().key("object").string("list").key("data").begin_array();
  for (const ModelCard& model : models) write_card(writer, model);
  writer.end_array().end_object();
}

}  // namespace fairlead::codec
