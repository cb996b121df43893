// SPDX-License-Identifier: Apache-2.0
// Error replies: what a client is told when the router answers instead of an engine. The shape is
// OpenAI's, or Anthropic's on its routes, so that official clients raise their typed exceptions;
// the status and the x-fairlead-reason header say the same in two more ways.
// Threads: pure functions. Source: OpenAI API reference, "Error codes"; Anthropic API reference,
// "Errors".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/time.h"
#include "core/exchange/route.h"
#include "core/model/request.h"

namespace fairlead::exchange {

struct ErrorText {
  model::ReplyReason reason = model::ReplyReason::kBadRequest;
  std::string_view message;  // Empty: the reason's own sentence.
  std::string_view param;    // The field at fault, or empty.
};

// What happened and what the client can do, in one or two sentences.
std::string_view default_message(model::ReplyReason reason);

// Appends {"error":{"message":...,"type":...,"param":...,"code":...}}, or Anthropic's
// {"type":"error","error":{"type":...,"message":...}}.
void append_error(const ErrorText& error, ErrorShape shape, std::string& out);
// The same as one server-sent event.
void append_error_event(const ErrorText& error, ErrorShape shape, std::string& out);

// The value of llm-d's x-llm-d-request-dropped-reason for this reason; empty: it has none.
inline constexpr std::string_view kDroppedReasonHeader = "x-llm-d-request-dropped-reason";
std::string_view dropped_reason(model::ReplyReason reason);

// Seconds for the Retry-After header, rounded up; 0: send none.
std::uint64_t retry_after_seconds(model::ReplyReason reason, Duration wanted);

}  // namespace fairlead::exchange
