// SPDX-License-Identifier: Apache-2.0
#include "core/exchange/route.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace fairlead::exchange {
namespace {

struct Entry {
  std::string_view path;
  Route route;
  Handling handling;
};

// The most frequent first.
constexpr std::array kEntries = {
    Entry{"/v1/chat/completions", Route::kChatCompletions, Handling::kScan},
    Entry{"/v1/completions", Route::kCompletions, Handling::kScan},
    Entry{"/v1/models", Route::kModels, Handling::kModelList},
    Entry{"/v1/embeddings", Route::kEmbeddings, Handling::kScan},
    Entry{"/v1/responses", Route::kResponses, Handling::kScan},
    Entry{"/v1/messages", Route::kMessages, Handling::kScan},
    Entry{"/v1/messages/count_tokens", Route::kCountTokens, Handling::kScan},
    Entry{"/v1/audio/transcriptions", Route::kTranscriptions, Handling::kScan},
    Entry{"/v1/audio/translations", Route::kTranslations, Handling::kScan},
    Entry{"/v1/audio/speech", Route::kSpeech, Handling::kScan},
    Entry{"/rerank", Route::kRerank, Handling::kScan},
    Entry{"/v1/rerank", Route::kRerank, Handling::kScan},
    Entry{"/v2/rerank", Route::kRerank, Handling::kScan},
    Entry{"/score", Route::kScore, Handling::kScan},
    Entry{"/v1/score", Route::kScore, Handling::kScan},
    Entry{"/pooling", Route::kPooling, Handling::kScan},
    Entry{"/classify", Route::kClassify, Handling::kScan},
    Entry{"/tokenize", Route::kTokenize, Handling::kScan},
    Entry{"/detokenize", Route::kDetokenize, Handling::kScan},
    Entry{"/v1/realtime", Route::kRealtime, Handling::kTunnel},
    Entry{"/v1/chat/completions/render", Route::kTokenize, Handling::kScan},
    Entry{"/v1/completions/render", Route::kTokenize, Handling::kScan},
    Entry{"/v1/images/generations", Route::kImages, Handling::kScan},
    Entry{"/v1/conversations", Route::kConversations, Handling::kScan},
    Entry{"/inference/v1/generate", Route::kGenerate, Handling::kScan},
    Entry{"/generate", Route::kGenerate, Handling::kScan},
};

constexpr std::string_view kModelPrefix = "/v1/models/";
constexpr std::string_view kVersionPrefix = "/v1";

}  // namespace

std::string_view to_string(Route route) {
  switch (route) {
    case Route::kNone:
      return "none";
    case Route::kChatCompletions:
      return "chat_completions";
    case Route::kCompletions:
      return "completions";
    case Route::kModels:
      return "models";
    case Route::kEmbeddings:
      return "embeddings";
    case Route::kResponses:
      return "responses";
    case Route::kMessages:
      return "messages";
    case Route::kRerank:
      return "rerank";
    case Route::kScore:
      return "score";
    case Route::kPooling:
      return "pooling";
    case Route::kClassify:
      return "classify";
    case Route::kTokenize:
      return "tokenize";
    case Route::kDetokenize:
      return "detokenize";
    case Route::kCountTokens:
      return "count_tokens";
    case Route::kTranscriptions:
      return "audio_transcriptions";
    case Route::kTranslations:
      return "audio_translations";
    case Route::kSpeech:
      return "audio_speech";
    case Route::kRealtime:
      return "realtime";
    case Route::kImages:
      return "images";
    case Route::kConversations:
      return "conversations";
    case Route::kGenerate:
      return "generate";
  }
  return "none";
}

RouteMatch match_route(std::string_view method, std::string_view path) {
  for (const Entry& entry : kEntries) {
    if (entry.path != path) continue;
    const std::string_view wanted = entry.handling == Handling::kScan ? "POST" : "GET";
    if (method == wanted) return {entry.route, entry.handling, {}, {}};
    return {entry.route, Handling::kRefuse, wanted, {}};
  }
  if (path.starts_with(kModelPrefix) && path.size() > kModelPrefix.size()) {
    if (method != "GET") return {Route::kModels, Handling::kRefuse, "GET", {}};
    return {Route::kModels, Handling::kModel, {}, path.substr(kModelPrefix.size())};
  }
  return {};
}

RouteMatch match_route_suffix(std::string_view method, std::string_view path) {
  const RouteMatch exact = match_route(method, path);
  if (exact.route != Route::kNone) return exact;
  const Entry* longest = nullptr;
  std::size_t longest_bytes = 0;
  for (const Entry& entry : kEntries) {
    std::string_view suffix = entry.path;
    if (suffix.starts_with(kVersionPrefix)) suffix.remove_prefix(kVersionPrefix.size());
    if (suffix.size() <= longest_bytes || !path.ends_with(suffix)) continue;
    longest = &entry;
    longest_bytes = suffix.size();
  }
  return longest == nullptr ? RouteMatch{} : match_route(method, longest->path);
}

bool decode_path_part(std::string_view part, std::string& out) {
  out.clear();
  for (std::size_t at = 0; at < part.size(); ++at) {
    if (part[at] != '%') {
      out += part[at];
      continue;
    }
    unsigned value = 0;
    const char* const digits = part.data() + at + 1;
    const char* const end = digits + std::min<std::size_t>(2, part.size() - at - 1);
    if (const auto read = std::from_chars(digits, end, value, 16);
        read.ec != std::errc{} || read.ptr != digits + 2) {
      return false;
    }
    out += static_cast<char>(value);
    at += 2;
  }
  return true;
}

QueryModel model_of_query(std::string_view query, std::string& out) {
  constexpr std::string_view kName = "model=";
  QueryModel found = QueryModel::kMissing;
  while (!query.empty()) {
    const std::size_t end = std::min(query.find('&'), query.size());
    const std::string_view field = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (!field.starts_with(kName)) continue;
    if (found != QueryModel::kMissing) return QueryModel::kRepeated;
    std::string value(field.substr(kName.size()));
    std::ranges::replace(value, '+', ' ');
    if (!decode_path_part(value, out)) return QueryModel::kMalformed;
    found = QueryModel::kFound;
  }
  return found == QueryModel::kFound && out.empty() ? QueryModel::kMissing : found;
}

ErrorShape error_shape(Route route) {
  return route == Route::kMessages || route == Route::kCountTokens ? ErrorShape::kAnthropic
                                                                   : ErrorShape::kOpenAi;
}

bool fills_cache(Route route) {
  return route == Route::kChatCompletions || route == Route::kCompletions ||
         route == Route::kMessages || route == Route::kResponses || route == Route::kGenerate;
}

}  // namespace fairlead::exchange
