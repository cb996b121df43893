// SPDX-License-Identifier: Apache-2.0
#include "core/tokens/estimated_prompt.h"

#include <charconv>

#include "core/codec/json_cursor.h"
#include "core/tokens/estimate.h"

namespace fairlead::tokens {
namespace {

using codec::PromptSpan;
using codec::SpanKind;
using codec::SpanRole;

std::string_view role_name(SpanRole role) {
  switch (role) {
    case SpanRole::kSystem:
      return "system";
    case SpanRole::kDeveloper:
      return "developer";
    case SpanRole::kUser:
      return "user";
    case SpanRole::kAssistant:
      return "assistant";
    case SpanRole::kTool:
      return "tool";
    case SpanRole::kTools:
      return "tools";
    case SpanRole::kOther:
    case SpanRole::kPreamble:
    case SpanRole::kPrompt:
      break;
  }
  return {};
}

// The inside of an array of token ids; the scanner has checked that they are natural numbers.
void append_ids(std::string_view ids, std::vector<std::uint32_t>& out) {
  const char* at = ids.data();
  const char* const end = at + ids.size();
  while (at != end) {
    std::uint32_t id = 0;
    const auto read = std::from_chars(at, end, id);
    if (read.ec == std::errc{}) out.push_back(id);
    at = read.ptr;
    while (at != end && (*at < '0' || *at > '9')) ++at;
  }
}

}  // namespace

void EstimatedPrompt::append_text(std::string_view raw, std::vector<std::uint32_t>& out) {
  const bool plain = raw.find('\\') == std::string_view::npos;
  // An engine refuses the request of a broken escape, so its tokens matter to nobody.
  append_text_tokens(plain || !codec::decode_json_string(raw, decoded_) ? raw : decoded_, out);
}

void EstimatedPrompt::append_conversation(const codec::ScannedRequest& request,
                                          std::vector<std::uint32_t>& out) {
  const PromptSpan* before = nullptr;
  for (const PromptSpan& span : request.spans) {
    if (span.role == SpanRole::kPreamble) continue;
    if (before == nullptr || span.message != before->message || span.role != before->role) {
      if (before != nullptr) append_end_token(out);
      append_role_token(role_name(span.role), out);
    }
    before = &span;
    if (span.kind == SpanKind::kJson) {
      append_text_tokens(span.text, out);
    } else if (span.kind == SpanKind::kText) {
      append_text(span.text, out);
    } else {
      return;
    }
  }
  if (before != nullptr) append_end_token(out);
  append_role_token("assistant", out);
}

void EstimatedPrompt::tokens(const codec::ScannedRequest& request,
                             std::vector<std::uint32_t>& out) {
  out.clear();
  if (request.spans.empty()) return;
  const PromptSpan& first = request.spans.front();
  if (first.role != SpanRole::kPrompt) return append_conversation(request, out);
  if (first.kind == SpanKind::kTokens) return append_ids(first.text, out);
  if (first.kind == SpanKind::kText) append_text(first.text, out);
}

}  // namespace fairlead::tokens
