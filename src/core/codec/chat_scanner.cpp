// SPDX-License-Identifier: Apache-2.0
#include "core/codec/chat_scanner.h"

#include <fmt/format.h>

#include <utility>

#include "core/codec/request_walk.h"

namespace fairlead::codec {

namespace {

static_assert(ChatScanner::kMaxDepth == JsonCursor::kMaxDepth);

std::span<const FieldRule> rules_of(RequestKind kind) {
  switch (kind) {
    case RequestKind::kChatCompletions:
      return chat_fields();
    case RequestKind::kCompletions:
      return completion_fields();
    case RequestKind::kMessages:
      return messages_fields();
    case RequestKind::kResponses:
      return responses_fields();
    case RequestKind::kEmbeddings:
      return embedding_fields();
    case RequestKind::kRerank:
      return rerank_fields();
    case RequestKind::kTokenize:
      return tokenize_fields();
    case RequestKind::kSpeech:
      return speech_fields();
    case RequestKind::kImages:
      return image_fields();
    case RequestKind::kConversations:
      return conversation_fields();
    case RequestKind::kGenerate:
      return generate_fields();
  }
  return {};
}

}  // namespace

std::string ScanStatus::message() const {
  switch (error) {
    case ScanError::kNone:
      return {};
    case ScanError::kEmptyBody:
      return "The request body is empty; send a JSON object.";
    case ScanError::kBodyTooLarge:
      return "The request body is larger than this server accepts.";
    case ScanError::kInvalidUtf8:
      return "The request body is not valid UTF-8.";
    case ScanError::kInvalidJson:
      return fmt::format("The request body is not valid JSON (near byte {}).", offset);
    case ScanError::kTooDeep:
      return fmt::format("The request body is nested deeper than {} levels (near byte {}).",
                         ChatScanner::kMaxDepth, offset);
    case ScanError::kNotAnObject:
      return "The request body must be a JSON object.";
    case ScanError::kDuplicateField:
      return fmt::format("Field '{}' occurs twice (near byte {}); send it once.", field, offset);
    case ScanError::kMissingField:
      return fmt::format("Field '{}' is required.", field);
    case ScanError::kWrongType:
      return fmt::format("Field '{}' has a value of the wrong type or range (near byte {}).", field,
                         offset);
    case ScanError::kModelNameTooLong:
      return fmt::format("Field 'model' is longer than {} bytes.", ChatScanner::kMaxModelBytes);
    case ScanError::kTooManyParts:
      return fmt::format("The request has more than {} messages, parts or prompts.",
                         ChatScanner::kMaxSpans);
    case ScanError::kInvalidForm:
      return fmt::format("The request body is not valid multipart/form-data ({}; near byte {}).",
                         field, offset);
  }
  return {};
}

void ScannedRequest::clear() {
  std::vector<PromptSpan> kept = std::move(spans);
  kept.clear();
  *this = ScannedRequest{};
  spans = std::move(kept);
}

struct ChatScanner::State {
  explicit State(std::size_t max_body_bytes) : index(max_body_bytes) {}
  JsonIndex index;
  WalkScratch scratch;
};

ChatScanner::ChatScanner(std::size_t max_body_bytes)
    : state_(std::make_unique<State>(max_body_bytes)) {}

ChatScanner::~ChatScanner() = default;

ScanStatus ChatScanner::scan(RequestKind kind, std::string_view body, ScannedRequest& out) {
  out.clear();
  const JsonFault fault = state_->index.build(body);
  if (fault != JsonFault::kNone) return {error_of(fault), {}, 0};
  return RequestWalk(body, state_->index, state_->scratch, out).run(rules_of(kind));
}

}  // namespace fairlead::codec
