// SPDX-License-Identifier: Apache-2.0
// Target: the OpenAI-compatible server that is put under load, and the bytes of requests to it.
// Requests stream, ask for usage, and end only at their planned length (ignore_eos, which vLLM and
// SGLang know and others ignore). Values; thread-compatible. Source: OpenAI API reference.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "io/net/socket.h"
#include "lab/load/model/prompt_content.h"

namespace fairlead::load {

enum class Api : std::uint8_t { kChat, kCompletions };

struct Target {
  net::SocketAddress address;
  std::string host;    // For the host header.
  std::string prefix;  // Before /v1/...; usually empty.
};

// "http://127.0.0.1:8080", "localhost:8080", "http://10.0.0.1:8000/team-a"; a trailing /v1 is
// dropped. Only http; host names other than localhost are not resolved.
Result<Target> parse_target(std::string_view url);

class RequestWriter {
 public:
  RequestWriter(const Target& target, Api api, std::string_view model, std::string_view api_key);

  // Replaces both strings, whose memory is reused.
  void write(std::span<const PromptPart> prompt, std::uint32_t output_tokens, std::string& head,
             std::string& body) const;

 private:
  std::string head_;   // Up to the length.
  std::string open_;   // Of the body, up to the prompt's text.
  std::string close_;  // From the end of the text to the value of max_tokens.
};

}  // namespace fairlead::load
