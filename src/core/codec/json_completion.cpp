// SPDX-License-Identifier: Apache-2.0
#include "core/codec/json_completion.h"

#include <algorithm>
#include <array>

namespace fairlead::codec {
namespace {

constexpr std::size_t kUnicodeEscapeBytes = 6;

// The end of the string's content without an escape or character that is not whole. `begin` is
// behind its quote.
std::size_t whole_end(std::string_view text, std::size_t begin) {
  std::size_t at = begin;
  while (at < text.size()) {
    const std::size_t escape = std::min(text.find('\\', at), text.size());
    at = escape;
    if (at == text.size()) break;
    const bool is_unicode = at + 1 < text.size() && text[at + 1] == 'u';
    const std::size_t size = is_unicode ? kUnicodeEscapeBytes : 2;
    if (text.size() - at < size) return at;
    at += size;
  }
  std::size_t lead = at;
  for (std::size_t back = 1; back <= 4 && back <= at - begin; ++back) {
    const auto byte = static_cast<unsigned char>(text[at - back]);
    if (byte < 0x80) break;
    if (byte < 0xc0) continue;
    const std::size_t size = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
    if (size > back) lead = at - back;
    break;
  }
  return lead;
}

class Completion {
 public:
  bool walk(std::string_view text);
  // Where the text may be cut, and whether a quote belongs there.
  std::size_t kept() const { return kept_; }
  bool in_value() const { return in_value_; }
  void close(std::string& out) const {
    for (std::size_t i = depth_; i > 0; --i) out += closers_[i - 1];
  }

 private:
  bool step(std::string_view text);
  bool open(char closer);
  void string(std::string_view text);
  void value_done() { kept_ = at_; }

  std::array<char, kCompletionDepthMax> closers_;
  std::size_t depth_ = 0;
  std::size_t at_ = 0;
  std::size_t kept_ = 0;
  bool key_ahead_ = false;
  bool in_value_ = false;
};

bool Completion::walk(std::string_view text) {
  while (at_ < text.size()) {
    if (!step(text)) return false;
  }
  return true;
}

bool Completion::open(char closer) {
  if (depth_ == closers_.size()) return false;
  closers_[depth_++] = closer;
  kept_ = ++at_;
  key_ahead_ = closer == '}';
  return true;
}

// Reads a string that begins here.
void Completion::string(std::string_view text) {
  const std::size_t begin = at_ + 1;
  std::size_t end = begin;
  while (end < text.size() && text[end] != '"') end += text[end] == '\\' ? 2 : 1;
  if (end >= text.size()) {
    at_ = text.size();
    if (key_ahead_) return;
    kept_ = whole_end(text, begin);
    in_value_ = true;
    return;
  }
  at_ = end + 1;
  if (!key_ahead_) value_done();
}

bool Completion::step(std::string_view text) {
  switch (text[at_]) {
    case '{':
      return open('}');
    case '[':
      return open(']');
    case '}':
    case ']':
      if (depth_ > 0) --depth_;
      ++at_;
      key_ahead_ = false;
      value_done();
      return true;
    case '"':
      string(text);
      return true;
    case ':':
      key_ahead_ = false;
      ++at_;
      return true;
    case ',':
      key_ahead_ = depth_ > 0 && closers_[depth_ - 1] == '}';
      ++at_;
      return true;
    case ' ':
    case '\t':
    case '\r':
    case '\n':
      ++at_;
      return true;
    default:
      break;
  }
  // A number or literal is whole only when something stands behind it.
  at_ = std::min(text.find_first_of(",]} \t\r\n", at_), text.size());
  if (at_ < text.size()) value_done();
  return true;
}

}  // namespace

bool complete_json(std::string_view cut, std::string& out) {
  Completion completion;
  if (!completion.walk(cut)) return false;
  out = cut.substr(0, completion.kept());
  if (completion.in_value()) out += '"';
  completion.close(out);
  return true;
}

}  // namespace fairlead::codec
