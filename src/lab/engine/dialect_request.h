// SPDX-License-Identifier: Apache-2.0
// The bodies of the engine's other faces, read into the same CompletionRequest: Anthropic's
// /v1/messages, /v1/responses, /v1/embeddings, /rerank and /v1/audio/transcriptions.
//
// The same conversation gives the same tokens as /v1/chat/completions, so that faces share a cache.
// A text to embed, a query with a document, and an audio file are each a prompt of their own, whose
// whole answer is one pass; audio is one token for each kAudioBytesPerToken.
// Errors: ApiError, with vLLM's wording. Threads: pure functions.
#pragma once

#include <string_view>

#include "base/result.h"
#include "lab/engine/api_error.h"
#include "lab/engine/completion_request.h"

namespace fairlead::engine {

inline constexpr std::size_t kAudioBytesPerToken = 640;

// `content_type` matters to forms only. Fills `out`, whose earlier content is dropped.
[[nodiscard]] tl::expected<void, ApiError> parse_dialect(Api api, std::string_view content_type,
                                                         std::string_view body, PromptUse use,
                                                         CompletionRequest& out);

}  // namespace fairlead::engine
