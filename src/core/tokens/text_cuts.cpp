// SPDX-License-Identifier: Apache-2.0
#include "core/tokens/text_cuts.h"

#include <algorithm>
#include <cstdint>

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
  for (const std::string& separator : rule_.separators) {
    first_[byte(separator[0])] = true;
    pair_.set(pair_of(separator[0], separator[1]));
  }
}

bool TextCuts::separator_at(std::string_view text, std::size_t at) const {
  if (at + 2 > text.size() || !pair_.test(pair_of(text[at], text[at + 1]))) return false;
  const std::string_view rest = text.substr(at);
  return std::any_of(rule_.separators.begin(), rule_.separators.end(),
                     [&rest](const std::string& separator) { return rest.starts_with(separator); });
}

std::size_t TextCuts::line_cut(std::string_view text, std::size_t from) const {
  // The line end itself may be the last byte of the least that a chunk has.
  std::size_t at = std::max<std::size_t>(from, 2) - 1;
  while ((at = text.find('\n', at)) != std::string_view::npos && at + 1 < text.size()) {
    const char next = text[at + 1];
    if (printable(text[at - 1]) && printable(next) && next != '/') return at + 1;
    ++at;
  }
  return text.size();
}

std::size_t TextCuts::end(std::string_view text, std::size_t from) const {
  if (text.size() - from <= chunk_bytes_) return text.size();
  const std::size_t first = from + chunk_bytes_;
  const std::size_t last = rule_.lines ? line_cut(text, first) : text.size();
  if (rule_.separators.empty()) return last;
  for (std::size_t at = first; at < last; ++at) {
    if (first_[byte(text[at])] && separator_at(text, at)) return at;
  }
  return last;
}

}  // namespace fairlead::tokens
