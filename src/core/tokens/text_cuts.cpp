// SPDX-License-Identifier: Apache-2.0
#include "core/tokens/text_cuts.h"

#include <algorithm>
#include <cstdint>
#include <iterator>

namespace fairlead::tokens {
namespace {

std::size_t byte(char c) { return static_cast<unsigned char>(c); }
std::size_t pair_of(char first, char second) { return byte(first) << 8 | byte(second); }
bool printable(char c) { return c > ' ' && c <= '~'; }

}  // namespace

TextCuts::TextCuts(CutRule rule, std::size_t chunk_bytes)
    : rule_(std::move(rule)), chunk_bytes_(std::max<std::size_t>(chunk_bytes, 1)) {
  // A separator of one byte has no pair to be found by.
  std::erase_if(rule_.separators, [](const std::string& text) { return text.size() < 2; });
  std::ranges::sort(rule_.separators);
  for (const std::string& separator : rule_.separators) {
    first_[byte(separator[0])] = true;
    pair_.set(pair_of(separator[0], separator[1]));
  }
}

// None is the beginning of another, so the last one that is not behind the text is it or none is.
bool TextCuts::separator_at(std::string_view text, std::size_t at) const {
  if (at + 2 > text.size() || !pair_.test(pair_of(text[at], text[at + 1]))) return false;
  const std::string_view rest = text.substr(at);
  const auto behind = std::ranges::upper_bound(
      rule_.separators, rest, {}, [](const std::string& one) { return std::string_view(one); });
  return behind != rule_.separators.begin() && rest.starts_with(*std::prev(behind));
}

bool TextCuts::line_ends(std::string_view text, std::size_t at) {
  return at >= 2 && text[at - 1] == '\n' && printable(text[at - 2]) && printable(text[at]) &&
         text[at] != '/';
}

std::size_t TextCuts::line_cut(std::string_view text, std::size_t from) {
  // The line end itself may be the last byte of the least that a chunk has.
  for (std::size_t at = from - 1; (at = text.find('\n', at) + 1) != 0 && at < text.size();) {
    if (line_ends(text, at)) return at;
  }
  return text.size();
}

std::size_t TextCuts::end(std::string_view text, std::size_t from) const {
  if (text.size() - from <= chunk_bytes_) return text.size();
  const std::size_t first = from + chunk_bytes_;
  // Both are looked for in one go: each alone may be anywhere behind the other, chunk by chunk.
  // Where a chunk is too long to be tokenised does not matter.
  const std::string_view some = text.substr(0, from + std::max(kChunkBytesMax, chunk_bytes_) + 1);
  if (rule_.separators.empty()) return rule_.lines ? line_cut(some, first) : text.size();
  for (std::size_t at = first; at < some.size(); ++at) {
    if (first_[byte(text[at])] && separator_at(text, at)) return at;
    if (rule_.lines && line_ends(text, at)) return at;
  }
  return some.size();
}

}  // namespace fairlead::tokens
