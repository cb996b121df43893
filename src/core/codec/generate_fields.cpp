// SPDX-License-Identifier: Apache-2.0
// The fields of routes that take a prompt as it goes into the engine, mostly as token ids: vLLM's
// /inference/v1/generate and SGLang's /generate. A model may be left out: the engine has one.
// Source: vLLM's GenerateRequest; SGLang's GenerateReqInput.
#include "core/codec/request_walk.h"

namespace fairlead::codec {

namespace {

// token_ids of vLLM; input_ids and text of SGLang.
bool prompt(RequestWalk& walk, const FieldRule& rule) { return walk.prompt(rule.name, rule.name); }

// Images and what else the token ids only stand for.
bool opaque(RequestWalk& walk, const FieldRule& /*rule*/) {
  return walk.rendered_field(kTopDepth, SpanKind::kOpaque);
}

bool salt(RequestWalk& walk, const FieldRule& rule) {
  return walk.optional_string(walk.out().cache_salt, rule.name);
}

bool sampling_params(RequestWalk& walk, const FieldRule& rule) {
  constexpr std::array<std::string_view, 2> kLimits{"max_tokens", "max_new_tokens"};
  return walk.integer_inside(walk.out().max_tokens, rule.name, kLimits);
}

constexpr std::array kGenerateFields{
    FieldRule{"model", fields::model},
    FieldRule{"token_ids", prompt, kPromptGroup, 1},
    FieldRule{"input_ids", prompt, kPromptGroup, 1},
    FieldRule{"text", prompt, kPromptGroup, 1},
    FieldRule{"features", opaque, 0, 0},
    FieldRule{"image_data", opaque, 0, 0},
    FieldRule{"audio_data", opaque, 0, 0},
    FieldRule{"video_data", opaque, 0, 0},
    FieldRule{"sampling_params", sampling_params},
    FieldRule{"stream", fields::stream},
    FieldRule{"stream_options", fields::stream_options},
    FieldRule{"cache_salt", fields::cache_salt},
    FieldRule{"extra_key", salt},
};

}  // namespace

std::span<const FieldRule> generate_fields() { return kGenerateFields; }

}  // namespace fairlead::codec
