// SPDX-License-Identifier: Apache-2.0
// The fields of the routes whose prompts leave nothing in a KV cache: embeddings, pooling,
// classification, reranking, scoring, tokenisation, speech, images. Only model and size matter;
// what the inputs mean is the engine's business. Source: OpenAI API reference; vLLM's pooling,
// score, rerank and tokenize requests; Cohere's and Jina's rerank requests.
#include "core/codec/request_walk.h"

namespace fairlead::codec {

namespace {

bool input(RequestWalk& walk, const FieldRule& /*rule*/) { return walk.prompt("input", "input[]"); }

bool messages(RequestWalk& walk, const FieldRule& /*rule*/) { return walk.messages(kChatMessages); }

// A value of any shape, for its size.
bool sized(RequestWalk& walk, const FieldRule& /*rule*/) {
  return walk.rendered_field(kTopDepth, SpanKind::kText);
}

constexpr std::array kEmbeddingFields{
    FieldRule{"model", fields::model, kModelGroup},
    FieldRule{"input", input, kPromptGroup},
    FieldRule{"messages", messages, kPromptGroup},
    FieldRule{"data", sized, kPromptGroup},  // Pooling by a plugin.
    FieldRule{"user", fields::user},
};

constexpr std::array kRerankFields{
    FieldRule{"model", fields::model, kModelGroup},
    FieldRule{"query", sized},
    FieldRule{"queries", sized},
    FieldRule{"documents", sized},
    FieldRule{"text_1", sized},
    FieldRule{"text_2", sized},
    FieldRule{"data_1", sized},
    FieldRule{"data_2", sized},
    FieldRule{"items", sized},
    FieldRule{"user", fields::user},
};

constexpr std::array kTokenizeFields{
    FieldRule{"model", fields::model, kModelGroup},
};

constexpr std::array kSpeechFields{
    FieldRule{"model", fields::model, kModelGroup},
    FieldRule{"input", sized},
};

constexpr std::array kImageFields{
    FieldRule{"model", fields::model},
    FieldRule{"prompt", sized, kPromptGroup},
    FieldRule{"user", fields::user},
};

}  // namespace

std::span<const FieldRule> embedding_fields() { return kEmbeddingFields; }
std::span<const FieldRule> rerank_fields() { return kRerankFields; }
std::span<const FieldRule> tokenize_fields() { return kTokenizeFields; }
std::span<const FieldRule> speech_fields() { return kSpeechFields; }
std::span<const FieldRule> image_fields() { return kImageFields; }

}  // namespace fairlead::codec
