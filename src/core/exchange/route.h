// SPDX-License-Identifier: Apache-2.0
// Route: which of the engines' HTTP interfaces a request is for, by method and path.
//
// Every inference path is read for its model and the size of its prompt, and those whose prompts
// fill a KV cache for the prompt itself; the model list is answered by the router. Whatever else an
// engine serves (its metrics, its administration) is not reachable through the router.
// Threads: pure functions. Source: OpenAI and Anthropic API references; vLLM's api_server routes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace fairlead::exchange {

enum class Route : std::uint8_t {
  kNone,  // No such path.
  kChatCompletions,
  kCompletions,
  kModels,
  kEmbeddings,
  kResponses,
  kMessages,
  kRerank,
  kScore,
  kPooling,
  kClassify,
  kTokenize,
  kDetokenize,
  kCountTokens,
  kTranscriptions,
  kTranslations,
  kSpeech,
  kRealtime,
  kImages,
  kConversations,
  kGenerate,
};
inline constexpr std::size_t kRouteCount = 21;

// snake_case, a metric label.
std::string_view to_string(Route route);

// What is done with a request of this route.
enum class Handling : std::uint8_t {
  kRefuse,     // 404 or 405.
  kModelList,  // Answered here.
  kModel,      // Likewise: one model.
  kScan,       // Model, prompt and limits are read from the body, and it is forwarded.
  kTunnel,     // A WebSocket: the model is in the query, and bytes go both ways.
};

struct RouteMatch {
  Route route = Route::kNone;
  Handling handling = Handling::kRefuse;
  std::string_view allow;  // The method to use instead, when the path is known: 405.
  std::string_view model;  // kModel: the path's last part, as written.
};

// Whose error bodies clients of this route expect.
enum class ErrorShape : std::uint8_t { kOpenAi, kAnthropic };
ErrorShape error_shape(Route route);
// Whether the prompts of this route fill a KV cache that a later prompt may find.
bool fills_cache(Route route);

// Replaces `out` by a path's part with its percent escapes resolved; false when one is malformed.
[[nodiscard]] bool decode_path_part(std::string_view part, std::string& out);

enum class QueryModel : std::uint8_t { kFound, kMissing, kRepeated, kMalformed };
// Replaces `out` by the value of `model` in a query (application/x-www-form-urlencoded).
QueryModel model_of_query(std::string_view query, std::string& out);

// `path` has no query.
RouteMatch match_route(std::string_view method, std::string_view path);
// The same for a proxy that may have put something in front of the path: where no path is equal,
// the longest known one counts that `path` ends with, `/v1` left out (`/openai/chat/completions`).
RouteMatch match_route_suffix(std::string_view method, std::string_view path);

}  // namespace fairlead::exchange
