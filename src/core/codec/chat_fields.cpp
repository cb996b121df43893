// SPDX-License-Identifier: Apache-2.0
// The fields of /v1/chat/completions and /v1/completions. The preamble's ranks are the order in
// which chat templates put it.
#include <algorithm>

#include "core/codec/request_walk.h"

namespace fairlead::codec {

namespace {

constexpr std::array<std::string_view, 1> kContents{"content"};
constexpr std::array<std::string_view, 6> kRendered{
    "tool_calls", "tool_call_id", "name", "reasoning_content", "reasoning", "function_call"};
constexpr std::array<std::string_view, 3> kTextInParts{"text", "refusal", "thinking"};
// cache_control wanders from message to message as a chat grows and must not change the keys.
constexpr std::array<std::string_view, 2> kIgnoredInParts{"type", "cache_control"};

bool max_completion_tokens(RequestWalk& walk, const FieldRule& rule) {
  return walk.optional_integer(walk.out().max_completion_tokens, rule.name);
}

bool choices(RequestWalk& walk, const FieldRule& rule) {
  bool present = false;
  return walk.integer(walk.out().n, present, rule.name);
}

bool messages(RequestWalk& walk, const FieldRule& /*rule*/) { return walk.messages(kChatMessages); }

bool prompt(RequestWalk& walk, const FieldRule& /*rule*/) {
  return walk.prompt("prompt", "prompt[]");
}

bool prompt_embeds(RequestWalk& walk, const FieldRule& /*rule*/) {
  if (walk.accept_null()) return true;
  std::string_view value;
  if (!walk.cursor().read_raw(value, kTopDepth)) return false;
  walk.add(value, SpanRole::kPrompt, SpanKind::kOpaque);
  return true;
}

// What both routes take beside their prompt.
constexpr std::array kCommonFields{
    FieldRule{"model", fields::model, kModelGroup},
    FieldRule{"stream", fields::stream},
    FieldRule{"stream_options", fields::stream_options},
    FieldRule{"max_tokens", fields::max_tokens},
    FieldRule{"max_completion_tokens", max_completion_tokens},
    FieldRule{"n", choices},
    FieldRule{"cache_salt", fields::cache_salt},
    FieldRule{"user", fields::user},
};

template <std::size_t N>
consteval auto with_common(const std::array<FieldRule, N>& own) {
  std::array<FieldRule, kCommonFields.size() + N> all{};
  std::ranges::copy(own, std::ranges::copy(kCommonFields, all.begin()).out);
  return all;
}

constexpr auto kChatFields = with_common(std::array{
    FieldRule{"messages", messages, kPromptGroup},
    FieldRule{"chat_template", fields::preamble, 0, 0},
    FieldRule{"chat_template_kwargs", fields::preamble, 0, 1},
    FieldRule{"reasoning_effort", fields::preamble, 0, 2},
    FieldRule{"tools", fields::tools, 0, 3},
    FieldRule{"functions", fields::preamble, 0, 4},
    FieldRule{"documents", fields::preamble, 0, 5},
});
static_assert(kChatFields.size() <= kFieldsMax);

constexpr auto kCompletionFields = with_common(std::array{
    FieldRule{"prompt", prompt, kPromptGroup},
    FieldRule{"prompt_embeds", prompt_embeds, kPromptGroup},
});

}  // namespace

const MessageRules kChatMessages{
    .list = "messages",
    .item = "messages[]",
    .role = "messages[].role",
    .content = "messages[].content",
    .part = "messages[].content[]",
    .part_text = "messages[].content[].text",
    .contents = kContents,
    .rendered = kRendered,
    .text_in_parts = kTextInParts,
    .ignored_in_parts = kIgnoredInParts,
};

std::span<const FieldRule> chat_fields() { return kChatFields; }
std::span<const FieldRule> completion_fields() { return kCompletionFields; }

}  // namespace fairlead::codec
