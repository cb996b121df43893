// SPDX-License-Identifier: Apache-2.0
// The answers of the faces that are no chat and no completion, for ResponseWriter. Each namespace
// is one API, with vLLM's fields in vLLM's order; everything is appended to `out`.
// Threads: pure functions. Source: answers of vLLM 0.32 (messages, responses); vLLM's protocol
// classes (embeddings, rerank, transcriptions).
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "lab/engine/response_writer.h"

namespace fairlead::engine {

namespace messages {
void open(std::string& out, const AnswerIdentity& identity, const UsageFigures& usage);
void part(std::string& out, const AnswerPart& part);
void close(std::string& out, const AnswerPart& whole, const UsageFigures& usage);
void whole(std::string& out, const AnswerIdentity& identity, const AnswerPart& whole,
           const UsageFigures& usage);
}  // namespace messages

namespace responses {
void open(std::string& out, const AnswerIdentity& identity);
void part(std::string& out, const AnswerIdentity& identity, const AnswerPart& part);
void close(std::string& out, const AnswerIdentity& identity, const AnswerPart& whole,
           const UsageFigures& usage);
void whole(std::string& out, const AnswerIdentity& identity, const AnswerPart& whole,
           const UsageFigures& usage);
}  // namespace responses

namespace transcription {
void part(std::string& out, const AnswerIdentity& identity, const AnswerPart& part);
void whole(std::string& out, const AnswerPart& whole, const UsageFigures& usage);
}  // namespace transcription

// `seeds` are one a prompt, in the order of the request.
namespace embeddings {
void whole(std::string& out, const AnswerIdentity& identity, const PoolingRequest& request,
           std::span<const std::uint64_t> seeds, const UsageFigures& usage);
}  // namespace embeddings

namespace rerank {
void whole(std::string& out, const AnswerIdentity& identity, const PoolingRequest& request,
           std::span<const std::uint64_t> seeds, const UsageFigures& usage);
}  // namespace rerank

}  // namespace fairlead::engine
