// SPDX-License-Identifier: Apache-2.0
// EstimatedPrompt: the tokens of a scanned request by the estimate rule (estimate.h), as the
// simulated engines count them: tools, then the messages, then the token that asks for the
// assistant's answer; or the first prompt of a completion. It is what makes prefix routing exact
// beside those engines, and what stands in for a tokenizer where no engine's is at hand.
//
// Parts that are no text have no tokens: a prompt ends before its first one. Roles outside the
// usual ones share a token, so that such a prompt is never taken for another, but may differ from
// an engine's own from there on.
// Errors: none. Threads: one owner; reuses its memory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/codec/chat_scanner.h"

namespace fairlead::tokens {

class EstimatedPrompt {
 public:
  // Replaces `out`. `request` still has its spans.
  void tokens(const codec::ScannedRequest& request, std::vector<std::uint32_t>& out);

 private:
  void append_text(std::string_view raw, std::vector<std::uint32_t>& out);
  void append_conversation(const codec::ScannedRequest& request, std::vector<std::uint32_t>& out);

  std::string decoded_;
};

}  // namespace fairlead::tokens
