// SPDX-License-Identifier: Apache-2.0
// The fields of OpenAI's /v1/responses and /v1/conversations. Instructions and tools are rendered
// before the input, whose items are messages, calls of functions and their outputs. Source:
// OpenAI's Responses API reference; vLLM's ResponsesRequest.
#include "core/codec/request_walk.h"

namespace fairlead::codec {

namespace {

constexpr std::array<std::string_view, 2> kContents{"content", "output"};
constexpr std::array<std::string_view, 6> kRendered{"name",    "arguments", "call_id",
                                                    "summary", "input",     "action"};
constexpr std::array<std::string_view, 2> kTextInParts{"text", "refusal"};
constexpr std::array<std::string_view, 4> kIgnoredInParts{"type", "annotations", "logprobs",
                                                          "detail"};

constexpr MessageRules kItems{
    .list = "input",
    .item = "input[]",
    .role = "input[].role",
    .content = "input[].content",
    .part = "input[].content[]",
    .part_text = "input[].content[].text",
    .role_rule = RoleRule::kOptional,
    .contents = kContents,
    .rendered = kRendered,
    .text_in_parts = kTextInParts,
    .ignored_in_parts = kIgnoredInParts,
};

bool input(RequestWalk& walk, const FieldRule& /*rule*/) {
  if (walk.cursor().peek() != '"') return walk.messages(kItems);
  std::string_view text;
  if (!walk.cursor().read_string(text)) return false;
  walk.add(text, SpanRole::kUser, SpanKind::kText);
  return true;
}

bool items(RequestWalk& walk, const FieldRule& /*rule*/) { return walk.messages(kItems); }

bool instructions(RequestWalk& walk, const FieldRule& rule) {
  std::string_view text;
  if (!walk.optional_string(text, rule.name)) return false;
  if (!text.empty()) walk.add(text, SpanRole::kSystem, SpanKind::kText);
  return true;
}

constexpr std::array kResponsesFields{
    FieldRule{"model", fields::model, kModelGroup},
    FieldRule{"stream", fields::stream},
    FieldRule{"max_output_tokens", fields::max_tokens},
    FieldRule{"input", input, kPromptGroup},
    FieldRule{"reasoning", fields::preamble, 0, 0},
    FieldRule{"tools", fields::tools, 0, 1},
    FieldRule{"instructions", instructions, 0, 2},
    FieldRule{"user", fields::user},
    FieldRule{"cache_salt", fields::cache_salt},
    FieldRule{"previous_response_id", fields::previous_response},
};

// Only items are kept there; a model may be named by what continues it.
constexpr std::array kConversationFields{
    FieldRule{"model", fields::model},
    FieldRule{"items", items, kPromptGroup},
    FieldRule{"cache_salt", fields::cache_salt},
};

}  // namespace

std::span<const FieldRule> conversation_fields() { return kConversationFields; }
std::span<const FieldRule> responses_fields() { return kResponsesFields; }

}  // namespace fairlead::codec
