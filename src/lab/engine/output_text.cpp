// SPDX-License-Identifier: Apache-2.0
#include "lab/engine/output_text.h"

#include <cstring>
#include <string_view>

#include "base/random.h"
#include "core/tokens/estimate.h"

namespace fairlead::engine {
namespace {

constexpr std::size_t kWordCount = 64;
constexpr std::string_view kWords =
    " the and for you are not but all any can had her was one our out"
    " day get has him his how man new now old see two way who boy did"
    " its let put say she too use dad mom sun sea sky red big top run"
    " far few got car cat dog end ask art ago air age add act win yes";
static_assert(kWords.size() == kWordCount * tokens::kBytesPerToken);

const char* word(std::uint64_t seed, std::uint32_t index) {
  return kWords.data() + mix64(seed + index) % kWordCount * tokens::kBytesPerToken;
}

}  // namespace

void append_output_text(std::string& out, std::uint64_t seed, std::uint32_t begin,
                        std::uint32_t count) {
  for (std::uint32_t i = 0; i < count; ++i) {
    out.append(word(seed, begin + i), tokens::kBytesPerToken);
  }
}

void append_output_tokens(std::vector<std::uint32_t>& out, std::uint64_t seed, std::uint32_t begin,
                          std::uint32_t count) {
  for (std::uint32_t i = 0; i < count; ++i) {
    std::uint32_t token = 0;
    std::memcpy(&token, word(seed, begin + i), sizeof token);
    out.push_back(token);
  }
}

}  // namespace fairlead::engine
