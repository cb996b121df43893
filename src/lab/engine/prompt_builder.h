// SPDX-License-Identifier: Apache-2.0
// PromptBuilder: the prompts of one CompletionRequest, token by token or only counted.
// Threads: thread-compatible.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/tokens/estimate.h"
#include "lab/engine/completion_request.h"

namespace fairlead::engine {

class PromptBuilder {
 public:
  PromptBuilder(PromptUse use, CompletionRequest& request) : use_(use), request_(request) {}

  void forget_all() {
    request_.tokens.clear();
    request_.prompts.clear();
  }
  void begin_prompt() { request_.prompts.push_back({request_.tokens.size(), 0}); }

  void add_id(std::uint32_t id) {
    if (use_ == PromptUse::kTokens) request_.tokens.push_back(id);
    ++request_.prompts.back().count;
  }
  void add_text(std::string_view text) {
    if (use_ == PromptUse::kTokens) tokens::append_text_tokens(text, request_.tokens);
    request_.prompts.back().count +=
        static_cast<std::int64_t>(tokens::estimate_tokens(text.size()));
  }
  void add_role(std::string_view role) {
    if (use_ == PromptUse::kTokens) tokens::append_role_token(role, request_.tokens);
    ++request_.prompts.back().count;
  }
  void add_end() {
    if (use_ == PromptUse::kTokens) tokens::append_end_token(request_.tokens);
    ++request_.prompts.back().count;
  }

  // Where the next token goes; name_role() replaces the one there, and move_to_front() takes all
  // from there on before the rest of the only prompt.
  std::size_t mark() const { return request_.tokens.size(); }
  void name_role(std::size_t mark, std::string_view role);
  void move_to_front(std::size_t mark);

 private:
  PromptUse use_;
  CompletionRequest& request_;
};

}  // namespace fairlead::engine
