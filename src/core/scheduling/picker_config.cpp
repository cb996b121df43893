// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/picker_config.h"

#include <fmt/format.h>

#include <algorithm>

namespace fairlead::scheduling {
namespace {

struct Parser {
  ParserKind kind;
  std::string_view type;
};

constexpr std::array kParsers = {
    Parser{ParserKind::kOpenAi, "openai-parser"},
    Parser{ParserKind::kAnthropic, "anthropic-parser"},
    Parser{ParserKind::kVllmHttp, "vllmhttp-parser"},
    Parser{ParserKind::kSglangHttp, "sglanghttp-parser"},
    Parser{ParserKind::kPassthrough, "passthrough-parser"},
};

struct Claim {
  ParserKind parser;
  std::string_view suffix;
};

constexpr std::array kClaims = {
    Claim{ParserKind::kOpenAi, "/chat/completions"},
    Claim{ParserKind::kOpenAi, "/completions"},
    Claim{ParserKind::kOpenAi, "/embeddings"},
    Claim{ParserKind::kOpenAi, "/responses"},
    Claim{ParserKind::kOpenAi, "/conversations"},
    Claim{ParserKind::kOpenAi, "/chat/completions/render"},
    Claim{ParserKind::kOpenAi, "/completions/render"},
    Claim{ParserKind::kOpenAi, "/images/generations"},
    Claim{ParserKind::kOpenAi, "/rerank"},
    Claim{ParserKind::kOpenAi, "/score"},
    Claim{ParserKind::kOpenAi, "/pooling"},
    Claim{ParserKind::kOpenAi, "/classify"},
    Claim{ParserKind::kOpenAi, "/tokenize"},
    Claim{ParserKind::kOpenAi, "/detokenize"},
    Claim{ParserKind::kOpenAi, "/audio/transcriptions"},
    Claim{ParserKind::kOpenAi, "/audio/translations"},
    Claim{ParserKind::kOpenAi, "/audio/speech"},
    Claim{ParserKind::kOpenAi, "/realtime"},
    Claim{ParserKind::kAnthropic, "/messages"},
    Claim{ParserKind::kAnthropic, "/messages/count_tokens"},
    Claim{ParserKind::kVllmHttp, "/inference/v1/generate"},
};

// The claims are of whole path segments.
bool claims(const Claim& claim, std::string_view path) {
  return path.ends_with(claim.suffix) || path == claim.suffix.substr(1);
}

// SGLang's path is the only one that is claimed whole.
bool is_sglang_path(std::string_view path) {
  if (path.ends_with('/')) path.remove_suffix(1);
  return path == "/generate" || path == "generate";
}

// What a response's first bytes and its end change.
constexpr Columns kOfResponses{Column::kInFlightRequests, Column::kInFlightTokens,
                               Column::kUnstarted, Column::kInFlightContext};

// The types that put something into responses, or beside them.
constexpr std::array<std::string_view, 3> kResponseTypes = {
    "session-affinity-scorer", "request-attribute-reporter", kServedVerifier};

}  // namespace

std::string_view type_name(ParserKind parser) {
  return std::ranges::find(kParsers, parser, &Parser::kind)->type;
}

std::optional<ParserKind> parser_kind(std::string_view type) {
  const auto* const found = std::ranges::find(kParsers, type, &Parser::type);
  return found == kParsers.end() ? std::nullopt : std::optional(found->kind);
}

std::optional<ParserKind> parser_for(std::span<const ParserKind> parsers, std::string_view path) {
  for (const ParserKind parser : parsers) {
    const bool claims_it = parser == ParserKind::kPassthrough ||
                           (parser == ParserKind::kSglangHttp && is_sglang_path(path)) ||
                           std::ranges::any_of(kClaims, [&](const Claim& claim) {
                             return claim.parser == parser && claims(claim, path);
                           });
    if (claims_it) return parser;
  }
  return std::nullopt;
}

std::optional<ResponseNeed> response_need(const PickerConfig& config) {
  for (const PluginUse& plugin : config.plugins) {
    if (std::ranges::find(kResponseTypes, plugin.type) != kResponseTypes.end()) {
      return ResponseNeed{plugin.name, "works on responses"};
    }
    const Columns lost = plugin.reads.missing_from(kOfResponses);
    const Columns needed = plugin.reads.missing_from(lost);
    if (needed.none()) continue;
    return ResponseNeed{
        plugin.name, fmt::format("reads {}, which only responses bring down", to_string(needed))};
  }
  return std::nullopt;
}

}  // namespace fairlead::scheduling
