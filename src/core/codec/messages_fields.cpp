// SPDX-License-Identifier: Apache-2.0
// The fields of Anthropic's /v1/messages and /v1/messages/count_tokens. Engines render tools and
// system prompt before the messages. Source: Anthropic's Messages API reference; vLLM's conversion
// of it to a chat.
#include "core/codec/request_walk.h"

namespace fairlead::codec {

namespace {

constexpr std::array<std::string_view, 1> kContents{"content"};
constexpr std::array<std::string_view, 2> kTextInParts{"text", "thinking"};
constexpr std::array<std::string_view, 4> kRenderedInParts{"id", "name", "input", "tool_use_id"};
// cache_control wanders from block to block as a chat grows and must not change the keys.
constexpr std::array<std::string_view, 5> kIgnoredInParts{"type", "cache_control", "signature",
                                                          "citations", "is_error"};
// Claude Code begins its system prompt with a block of its own that differs with every request and
// that engines leave out; left in, it would make every prompt look new.
constexpr std::string_view kAttribution = "x-anthropic-billing-header";

constexpr MessageRules kMessages{
    .list = "messages",
    .item = "messages[]",
    .role = "messages[].role",
    .content = "messages[].content",
    .part = "messages[].content[]",
    .part_text = "messages[].content[].text",
    .contents = kContents,
    .text_in_parts = kTextInParts,
    .rendered_in_parts = kRenderedInParts,
    .ignored_in_parts = kIgnoredInParts,
    .nested_content = "content",
};

constexpr MessageRules kSystem{
    .list = "system",
    .item = "system",
    .role = "system",
    .content = "system",
    .part = "system[]",
    .part_text = "system[].text",
    .text_in_parts = kTextInParts,
    .ignored_in_parts = kIgnoredInParts,
};

bool messages(RequestWalk& walk, const FieldRule& /*rule*/) { return walk.messages(kMessages); }

bool system_prompt(RequestWalk& walk, const FieldRule& /*rule*/) {
  std::vector<PromptSpan>& spans = walk.out().spans;
  const std::size_t first = spans.size();
  // Its parts are two levels deeper than this object would be.
  if (!walk.content(kSystem, kTopDepth)) return false;
  if (spans.size() > first && spans[first].text.starts_with(kAttribution)) {
    spans.erase(spans.begin() + static_cast<std::ptrdiff_t>(first));
  }
  for (std::size_t i = first; i < spans.size(); ++i) spans[i].role = SpanRole::kSystem;
  return true;
}

bool metadata(RequestWalk& walk, const FieldRule& rule) {
  return walk.string_inside(walk.out().user, rule.name, "user_id");
}

constexpr std::array kMessagesFields{
    FieldRule{"model", fields::model, kModelGroup},
    FieldRule{"max_tokens", fields::max_tokens},
    FieldRule{"stream", fields::stream},
    FieldRule{"messages", messages, kPromptGroup},
    FieldRule{"system", system_prompt, 0, 2},
    FieldRule{"tools", fields::tools, 0, 1},
    FieldRule{"chat_template_kwargs", fields::preamble, 0, 0},
    FieldRule{"metadata", metadata},
    FieldRule{"cache_salt", fields::cache_salt},
};

}  // namespace

std::span<const FieldRule> messages_fields() { return kMessagesFields; }

}  // namespace fairlead::codec
