// SPDX-License-Identifier: Apache-2.0
#include "core/tokens/estimate.h"

#include <xxhash.h>

#include <bit>
#include <cstring>

namespace fairlead::tokens {
namespace {

static_assert(std::endian::native == std::endian::little, "token ids are little-endian bytes");

std::uint32_t special_token(std::string_view name) {
  const auto hash = static_cast<std::uint32_t>(XXH3_64bits(name.data(), name.size()));
  return (hash << 8) | 0xFFU;
}

}  // namespace

void append_text_tokens(std::string_view text, std::vector<std::uint32_t>& out) {
  if (text.empty()) return;
  const std::size_t first = out.size();
  out.resize(first + estimate_tokens(text.size()), 0);
  out.back() = 0xFFFFFFFFU;
  std::memcpy(out.data() + first, text.data(), text.size());
}

void append_role_token(std::string_view role, std::vector<std::uint32_t>& out) {
  out.push_back(special_token(role));
}

void append_end_token(std::vector<std::uint32_t>& out) { out.push_back(0xFFFFFFFFU); }

void append_message_tokens(std::string_view role, std::string_view content,
                           std::vector<std::uint32_t>& out) {
  append_role_token(role, out);
  append_text_tokens(content, out);
  append_end_token(out);
}

}  // namespace fairlead::tokens
