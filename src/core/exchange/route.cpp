// SPDX-License-Identifier: Apache-2.0
#include "core/exchange/route.h"

#include <array>

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
    Entry{"/v1/embeddings", Route::kEmbeddings, Handling::kForward},
    Entry{"/v1/responses", Route::kResponses, Handling::kForward},
    Entry{"/v1/messages", Route::kMessages, Handling::kForward},
    Entry{"/rerank", Route::kRerank, Handling::kForward},
    Entry{"/v1/rerank", Route::kRerank, Handling::kForward},
    Entry{"/v2/rerank", Route::kRerank, Handling::kForward},
    Entry{"/score", Route::kScore, Handling::kForward},
    Entry{"/v1/score", Route::kScore, Handling::kForward},
    Entry{"/pooling", Route::kPooling, Handling::kForward},
    Entry{"/classify", Route::kClassify, Handling::kForward},
    Entry{"/tokenize", Route::kTokenize, Handling::kForward},
    Entry{"/detokenize", Route::kDetokenize, Handling::kForward},
};

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
  }
  return "none";
}

RouteMatch match_route(std::string_view method, std::string_view path) {
  for (const Entry& entry : kEntries) {
    if (entry.path != path) continue;
    const std::string_view wanted = entry.handling == Handling::kModelList ? "GET" : "POST";
    if (method == wanted) return {entry.route, entry.handling, {}};
    return {entry.route, Handling::kRefuse, wanted};
  }
  return {};
}

}  // namespace fairlead::exchange
