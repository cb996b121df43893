// SPDX-License-Identifier: Apache-2.0
// AnswerIdHash: a number for the id of an answer of the Responses API, made of its bytes as they
// come, in whatever pieces. It is a name in a table of ours, not a proof: whoever finds two ids
// with one number sends a request to another endpoint, no more.
// FNV-1a, then mixed. Threads: value.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/random.h"

namespace fairlead::codec {

class AnswerIdHash {
 public:
  void feed(std::string_view bytes) {
    for (const char c : bytes) state_ = (state_ ^ static_cast<unsigned char>(c)) * kPrime;
  }
  // Never 0, which stands for no id.
  std::uint64_t value() const { return mix64(state_) | 1; }

 private:
  static constexpr std::uint64_t kPrime = 0x100000001b3;
  std::uint64_t state_ = 0xcbf29ce484222325;
};

inline std::uint64_t answer_id_hash(std::string_view id) {
  AnswerIdHash hash;
  hash.feed(id);
  return hash.value();
}

}  // namespace fairlead::codec
