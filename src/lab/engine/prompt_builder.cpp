// SPDX-License-Identifier: Apache-2.0
#include "lab/engine/prompt_builder.h"

#include <algorithm>

namespace fairlead::engine {

void PromptBuilder::name_role(std::size_t mark, std::string_view role) {
  if (use_ == PromptUse::kCount) return;
  std::vector<std::uint32_t>& tokens = request_.tokens;
  tokens::append_role_token(role, tokens);
  tokens[mark] = tokens.back();
  tokens.pop_back();
}

void PromptBuilder::move_to_front(std::size_t mark) {
  std::vector<std::uint32_t>& tokens = request_.tokens;
  std::rotate(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(mark), tokens.end());
}

}  // namespace fairlead::engine
