// SPDX-License-Identifier: Apache-2.0
// StoredResponses: the conversations behind answers of /v1/responses, which a later request
// continues by previous_response_id. As vLLM does, an engine keeps them in memory and for itself.
// Bounds: kResponsesMax answers and kTokensMax tokens, the oldest go first. vLLM has no bound.
// Threads: thread-compatible.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace fairlead::engine {

// A prompt and the answer to it.
struct Conversation {
  std::vector<std::uint32_t> tokens;  // Empty in engines that only count.
  std::int64_t count = 0;
};

class StoredResponses {
 public:
  static constexpr std::size_t kResponsesMax = 4096;
  static constexpr std::int64_t kTokensMax = std::int64_t{4} << 20;

  void keep(const std::string& id, Conversation conversation);
  // nullptr when there is none; valid until the next keep().
  const Conversation* find(const std::string& id) const;
  void clear();

 private:
  std::unordered_map<std::string, Conversation> by_id_;
  std::deque<std::string> order_;  // The oldest first.
  std::int64_t tokens_ = 0;
};

}  // namespace fairlead::engine
