// SPDX-License-Identifier: Apache-2.0
#include "core/exchange/request_facts.h"

#include <xxhash.h>

#include <algorithm>

#include "core/codec/answer_id.h"
#include "core/codec/json_cursor.h"
#include "core/codec/multipart_scanner.h"
#include "core/exchange/kept_memory.h"
#include "core/exchange/session_token.h"
#include "core/tokens/estimate.h"

namespace fairlead::exchange {
namespace {

// The same bytes in another role or kind are another prompt.
std::uint32_t tag_of(const codec::PromptSpan& span) {
  return static_cast<std::uint32_t>(span.role) << 8 | static_cast<std::uint32_t>(span.kind);
}

// Uncompressed speech: 16,000 samples a second of two bytes, of which Whisper's encoder makes 50
// positions.
constexpr std::uint64_t kAudioBytesPerToken = 640;

bool takes_form(Route route) {
  return route == Route::kTranscriptions || route == Route::kTranslations;
}

// No GPU takes part.
bool only_tokenizes(Route route) {
  return route == Route::kTokenize || route == Route::kDetokenize || route == Route::kCountTokens;
}

// Chat templates know the messages of chats alone.
std::optional<tokens::RequestForm> token_form_of(Route route) {
  if (route == Route::kChatCompletions) return tokens::RequestForm::kChat;
  if (route == Route::kCompletions) return tokens::RequestForm::kCompletion;
  return std::nullopt;
}

codec::RequestKind kind_of(Route route) {
  switch (route) {
    case Route::kChatCompletions:
      return codec::RequestKind::kChatCompletions;
    case Route::kCompletions:
      return codec::RequestKind::kCompletions;
    case Route::kMessages:
    case Route::kCountTokens:
      return codec::RequestKind::kMessages;
    case Route::kResponses:
      return codec::RequestKind::kResponses;
    case Route::kEmbeddings:
    case Route::kPooling:
    case Route::kClassify:
      return codec::RequestKind::kEmbeddings;
    case Route::kRerank:
    case Route::kScore:
      return codec::RequestKind::kRerank;
    case Route::kSpeech:
      return codec::RequestKind::kSpeech;
    case Route::kImages:
      return codec::RequestKind::kImages;
    case Route::kConversations:
      return codec::RequestKind::kConversations;
    case Route::kGenerate:
      return codec::RequestKind::kGenerate;
    default:
      return codec::RequestKind::kTokenize;
  }
}

}  // namespace

void RequestFacts::clear() {
  reset();
  give_back_excess(keys_);
  give_back_excess(token_keys_);
  give_back_excess(media_);
  for (std::string* const text : {&model_, &client_model_, &session_, &cache_salt_})
    give_back_excess(*text);
}

void RequestFacts::reset() {
  keys_.clear();
  token_keys_.clear();
  media_.clear();
  model_.clear();
  client_model_.clear();
  model_range_ = {};
  model_replaced_ = false;
  session_.clear();
  cache_salt_.clear();
  token_form_.reset();
  prompt_tokens_ = max_output_tokens_ = previous_response_ = 0;
  holder_.reset();
  block_tokens_ = 1;
  token_block_ = 0;
  streaming_ = model::Streaming::kWhole;
}

codec::ScanStatus RequestFacts::read(Route route, std::span<const codec::Http1Header> headers,
                                     std::string_view body, const KeySettings& settings,
                                     ReadingDesk& desk, std::string_view served_model) {
  reset();
  const codec::ScanStatus status =
      takes_form(route)
          ? codec::scan_form(codec::header_value(headers, "content-type"), body, desk.scanned)
          : desk.scanner.scan(kind_of(route), body, desk.scanned);
  if (!status.ok()) return status;
  decode_session_token(codec::header_value(headers, kSessionTokenHeader), session_);
  derive(route, desk.scanned);
  replace_model(desk.scanned, served_model);
  if (fills_cache(route)) {
    if (settings.tokens.keys != nullptr) derive_token_keys(route, settings.tokens, desk);
    derive_keys(settings, desk);
  }
  if (settings.media == MediaItems::kHashed && !takes_form(route)) {
    derive_media(settings.process_seed, desk.scanned);
  }
  // Its views die with the body.
  desk.scanned.clear();
  return status;
}

void RequestFacts::set_tunnel(std::string_view model, std::span<const codec::Http1Header> headers) {
  reset();
  model_ = model;
  decode_session_token(codec::header_value(headers, kSessionTokenHeader), session_);
  streaming_ = model::Streaming::kStreamed;
}

void RequestFacts::add_unread(Route route, std::uint64_t bytes) {
  if (fills_cache(route)) prompt_tokens_ += tokens::estimate_tokens(bytes);
}

void RequestFacts::derive(Route route, const codec::ScannedRequest& scanned) {
  model_ = scanned.model;
  streaming_ = scanned.stream ? model::Streaming::kStreamed : model::Streaming::kWhole;
  max_output_tokens_ = scanned.max_completion_tokens.value_or(scanned.max_tokens.value_or(0));
  if (!scanned.previous_response.empty()) {
    previous_response_ = codec::answer_id_hash(scanned.previous_response);
  }
  if (only_tokenizes(route)) return;
  prompt_tokens_ = tokens::estimate_tokens(scanned.text_bytes) + scanned.prompt_tokens;
  if (takes_form(route)) prompt_tokens_ += scanned.opaque_bytes / kAudioBytesPerToken;
}

void RequestFacts::replace_model(const codec::ScannedRequest& scanned,
                                 std::string_view served_model) {
  model_range_ = scanned.model_range;
  if (served_model.empty() || served_model == model_ || model_range_.empty()) return;
  client_model_.swap(model_);
  model_ = served_model;
  model_replaced_ = true;
}

void RequestFacts::derive_keys(const KeySettings& settings, ReadingDesk& desk) {
  desk.spans.clear();
  for (const codec::PromptSpan& span : desk.scanned.spans) {
    desk.spans.push_back({span.text, tag_of(span)});
  }
  const std::uint64_t seed =
      prefix::seed_for(settings.process_seed, model_, {}, desk.scanned.cache_salt);
  const std::size_t bytes = prefix::byte_keys(desk.spans, settings.block_bytes, seed, keys_);
  desk.spans.clear();
  if (bytes == 0) return;
  // For text this is block_bytes / 4; token ids and opaque parts have other sizes.
  const double tokens_a_byte = static_cast<double>(prompt_tokens_) / static_cast<double>(bytes);
  block_tokens_ = std::max(
      1U, static_cast<std::uint32_t>(tokens_a_byte * static_cast<double>(settings.block_bytes)));
}

void RequestFacts::derive_token_keys(Route route, const TokenSettings& settings,
                                     ReadingDesk& desk) {
  const std::string_view salt = desk.scanned.cache_salt;
  if (!codec::decode_json_string(salt, cache_salt_)) cache_salt_ = salt;
  const TokenSource source =
      settings.models != nullptr ? settings.models->token_source(model_) : TokenSource::kEstimate;
  if (source == TokenSource::kTokenizer) token_form_ = token_form_of(route);
  if (source != TokenSource::kEstimate) return;
  desk.estimate.tokens(desk.scanned, desk.tokens);
  set_tokens(desk.tokens, settings);
}

void RequestFacts::set_tokens(std::span<const std::uint32_t> tokens,
                              const TokenSettings& settings) {
  token_form_.reset();
  const std::uint32_t block = settings.block_tokens->load(std::memory_order_relaxed);
  const bool is_adapter = settings.models != nullptr && settings.models->is_adapter(model_);
  const std::uint64_t root =
      settings.keys->root({.model = {},  // An endpoint has one base model.
                           .adapter = is_adapter ? std::string_view(model_) : std::string_view(),
                           .cache_salt = cache_salt_,
                           .block_tokens = block});
  token_block_ = block;
  token_keys_.resize(tokens.size() / block);
  settings.keys->keys(root, tokens, block, token_keys_);
  if (!tokens.empty()) prompt_tokens_ = tokens.size();
}

void RequestFacts::derive_media(std::uint64_t seed, const codec::ScannedRequest& scanned) {
  for (const codec::PromptSpan& span : scanned.spans) {
    if (span.kind != codec::SpanKind::kOpaque || media_.size() == model::kMaxMediaItems) continue;
    media_.push_back(
        {XXH3_64bits_withSeed(span.text.data(), span.text.size(), seed), span.text.size()});
  }
}

model::InferenceRequest RequestFacts::request() const {
  model::InferenceRequest request{model_,        session_,           keys_,      prompt_tokens_,
                                  block_tokens_, max_output_tokens_, streaming_, holder_};
  request.media = media_;
  request.token_keys = token_keys_;
  request.token_block = token_block_;
  return request;
}

}  // namespace fairlead::exchange
