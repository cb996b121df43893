// SPDX-License-Identifier: Apache-2.0
// Route: which of the engines' HTTP interfaces a request is for, by method and path.
//
// Only chat completions and completions are scanned for model and prompt; the other inference
// paths are forwarded by load alone; the model list is answered by the router. Whatever else an
// engine serves (its metrics, its administration) is not reachable through the router.
// Threads: pure functions. Source: OpenAI API reference; vLLM's api_server routes.
#pragma once

#include <cstdint>
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
};
inline constexpr std::size_t kRouteCount = 13;

// snake_case, a metric label.
std::string_view to_string(Route route);

// What is done with a request of this route.
enum class Handling : std::uint8_t {
  kRefuse,     // 404 or 405.
  kModelList,  // Answered here.
  kScan,       // Model, prompt and limits are read from the body.
  kForward,    // The body is forwarded unread.
};

struct RouteMatch {
  Route route = Route::kNone;
  Handling handling = Handling::kRefuse;
  std::string_view allow;  // The method to use instead, when the path is known: 405.
};

// `path` has no query.
RouteMatch match_route(std::string_view method, std::string_view path);

}  // namespace fairlead::exchange
