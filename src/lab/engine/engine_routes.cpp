// SPDX-License-Identifier: Apache-2.0
// The routes of EngineServer.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/random.h"
#include "core/codec/http1_text.h"
#include "core/codec/json_text.h"
#include "core/tokens/estimate.h"
#include "lab/engine/dialect_request.h"
#include "lab/engine/engine_server.h"

namespace fairlead::engine {
namespace {

constexpr codec::Http1Header kJson{"content-type", "application/json"};
constexpr codec::Http1Header kText{"content-type", "text/plain; charset=utf-8"};
constexpr codec::Http1Header kExposition{"content-type",
                                         "text/plain; version=0.0.4; charset=utf-8"};

ApiError from_result(const Error& error) { return {.message = error.message, .param = {}}; }

constexpr std::size_t kSessionsMax = 1024;

// The bytes of a token id of the estimate tokenizer; nothing for a special one.
void append_token_bytes(std::string& out, std::uint32_t id) {
  for (std::uint32_t rest = id, i = 0; i < tokens::kBytesPerToken; ++i, rest >>= 8U) {
    const auto byte = static_cast<unsigned char>(rest & 0xFFU);
    if (byte == 0xFF) return;
    out.push_back(static_cast<char>(byte));
  }
}

// A field of a small administrative body; empty when it is not a string.
std::string text_field(const nlohmann::json& json, const char* name) {
  if (!json.is_object()) return {};
  const auto found = json.find(name);
  return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

}  // namespace

const EngineServer::Route* EngineServer::find_route(std::string_view method, std::string_view path,
                                                    std::string_view& allowed) {
  static constexpr std::array kRoutes{
      Route{"POST", "/v1/chat/completions", &EngineServer::chat},
      Route{"POST", "/v1/completions", &EngineServer::completions},
      Route{"POST", "/v1/messages", &EngineServer::messages},
      Route{"POST", "/v1/messages/count_tokens", &EngineServer::count_tokens},
      Route{"POST", "/v1/responses", &EngineServer::responses},
      Route{"POST", "/v1/embeddings", &EngineServer::embeddings},
      Route{"POST", "/rerank", &EngineServer::rerank},
      Route{"POST", "/v1/rerank", &EngineServer::rerank},
      Route{"POST", "/v2/rerank", &EngineServer::rerank},
      Route{"POST", "/v1/audio/transcriptions", &EngineServer::transcribe},
      Route{"POST", "/v1/audio/translations", &EngineServer::transcribe},
      Route{"GET", "/v1/realtime", &EngineServer::realtime},
      Route{"GET", "/metrics", &EngineServer::metrics},
      Route{"GET", "/health", &EngineServer::health},
      Route{"GET", "/v1/models", &EngineServer::models},
      Route{"GET", "/load", &EngineServer::load},
      Route{"GET", "/ping", &EngineServer::health},
      Route{"POST", "/ping", &EngineServer::health},
      Route{"GET", "/version", &EngineServer::version},
      Route{"POST", "/tokenize", &EngineServer::tokenize},
      Route{"POST", "/detokenize", &EngineServer::detokenize},
      Route{"POST", "/v1/load_lora_adapter", &EngineServer::load_adapter},
      Route{"POST", "/v1/unload_lora_adapter", &EngineServer::unload_adapter},
      Route{"POST", "/reset_prefix_cache", &EngineServer::reset_prefix_cache},
      Route{"POST", "/reset", &EngineServer::reset},
      Route{"GET", "/admin/fault", &EngineServer::show_faults},
      Route{"POST", "/admin/fault", &EngineServer::post_fault},
      Route{"DELETE", "/admin/fault", &EngineServer::delete_faults},
  };
  allowed = {};
  for (const Route& route : kRoutes) {
    if (route.path != path) continue;
    if (route.method == method) return &route;
    if (allowed.empty()) allowed = route.method;
  }
  return nullptr;
}

void EngineServer::send_json(Exchange& exchange, int status, std::string_view body) {
  exchange.send_response(status, {kJson}, body);
}

void EngineServer::send_error(Exchange& exchange, const ApiError& error) {
  send_json(exchange, error.status, error_body(error));
}

void EngineServer::on_request(Exchange& exchange) {
  const std::string_view path = exchange.head().path();
  if (refused(exchange, path)) return;
  std::string_view allowed;
  const Route* route = find_route(exchange.head().method, path, allowed);
  if (route != nullptr) return (this->*route->serve)(exchange);
  if (allowed.empty()) return send_json(exchange, 404, R"({"detail":"Not Found"})");
  exchange.send_response(405, {kJson, {"allow", allowed}}, R"({"detail":"Method Not Allowed"})");
}

// Answers what the whole server refuses: a late request to one that crashed, any request but an
// administrative one to one that starts, and one without its key.
bool EngineServer::refused(Exchange& exchange, std::string_view path) {
  if (http_ == nullptr && retired_.empty()) {
    exchange.abort();
    return true;
  }
  const bool starting = engine_.faults().find(FaultKind::kSlowStart) != nullptr;
  if (starting && !path.starts_with("/admin/") && path != "/metrics") {
    send_error(exchange, {.status = 503,
                          .message = "The engine is starting.",
                          .type = "ServiceUnavailableError",
                          .param = {}});
    return true;
  }
  if (options_.api_key.empty() || !path.starts_with("/v1")) return false;
  const std::string_view given = codec::header_value(exchange.head().headers, "authorization");
  constexpr std::string_view kScheme = "Bearer ";
  if (given.starts_with(kScheme) && given.substr(kScheme.size()) == options_.api_key) return false;
  send_json(exchange, 401, R"({"error":"Unauthorized"})");
  return true;
}

void EngineServer::complete(Exchange& exchange, Api api) {
  const PromptUse use = engine_.prompt_use();
  if (const auto parsed = parser_.parse(api, exchange.body(), use, request_); !parsed) {
    return send_error(exchange, parsed.error());
  }
  if (const auto begun = engine_.begin(exchange, request_, use); !begun) {
    send_error(exchange, begun.error());
  }
}

void EngineServer::send_error(Exchange& exchange, Api api, const ApiError& error) {
  if (api != Api::kMessages && api != Api::kCountTokens) return send_error(exchange, error);
  std::string body;
  codec::JsonWriter json(body);
  json.begin_object().key("type").string("error").key("error").begin_object();
  json.key("type").string(error.type).key("message").string(error.message);
  json.end_object().end_object();
  send_json(exchange, error.status, body);
}

void EngineServer::complete_dialect(Exchange& exchange, Api api) {
  const PromptUse use = engine_.prompt_use();
  const std::string_view type = codec::header_value(exchange.head().headers, "content-type");
  if (const auto parsed = parse_dialect(api, type, exchange.body(), use, request_); !parsed) {
    return send_error(exchange, api, parsed.error());
  }
  if (const auto begun = engine_.begin(exchange, request_, use); !begun) {
    send_error(exchange, api, begun.error());
  }
}

void EngineServer::count_tokens(Exchange& exchange) {
  constexpr Api kApi = Api::kCountTokens;
  if (const auto parsed = parse_dialect(kApi, {}, exchange.body(), PromptUse::kCount, request_);
      !parsed) {
    return send_error(exchange, kApi, parsed.error());
  }
  if (const auto known = engine_.check_model(request_.model); !known) {
    return send_error(exchange, kApi, known.error());
  }
  send_json(exchange, 200, fmt::format(R"({{"input_tokens":{}}})", request_.prompts[0].count));
}

void EngineServer::realtime(Exchange& exchange) {
  if (!exchange.can_upgrade() ||
      codec::check_handshake(exchange.head()) != codec::HandshakeStatus::kOk) {
    return exchange.send_response(426, {kJson, {"upgrade", "websocket"}},
                                  R"({"detail":"Upgrade Required"})");
  }
  if (sessions_.size() >= kSessionsMax) {
    return send_error(exchange, {.status = 503,
                                 .message = "Too many realtime sessions.",
                                 .type = "ServiceUnavailableError",
                                 .param = {}});
  }
  const EngineOptions& options = engine_.options();
  const EngineProfile& profile = options.profile;
  const double step_s =
      std::max(profile.step_floor_s, profile.per_token_s) + profile.per_sequence_s;
  RealtimeSettings settings{.model = options.served_names.front(),
                            .step = from_seconds(step_s / options.speed),
                            .seed = mix64(options.seed + ++sessions_begun_),
                            .knows_model = [this](std::string_view name) {
                              return engine_.check_model(name).has_value();
                            }};
  sessions_.push_back(std::make_unique<RealtimeSession>(
      exchange, std::move(settings), [this](RealtimeSession& session) { forget(session); }));
}

void EngineServer::models(Exchange& exchange) {
  text_.clear();
  engine_.append_models(text_);
  send_json(exchange, 200, text_);
}

void EngineServer::tokenize(Exchange& exchange) {
  const auto parsed = parser_.parse(Api::kTokenize, exchange.body(), PromptUse::kTokens, request_);
  if (!parsed) return send_error(exchange, parsed.error());
  if (const auto known = engine_.check_model(request_.model); !known) {
    return send_error(exchange, known.error());
  }
  text_.clear();
  codec::JsonWriter json(text_);
  json.begin_object().key("count").number(std::uint64_t{request_.tokens.size()});
  json.key("max_model_len").number(engine_.options().profile.max_model_len);
  json.key("tokens").begin_array();
  for (const std::uint32_t id : request_.tokens) json.number(std::uint64_t{id});
  json.end_array().key("token_strs");
  if (request_.return_token_strs) {
    json.begin_array();
    std::string bytes;
    for (const std::uint32_t id : request_.tokens) {
      bytes.clear();
      append_token_bytes(bytes, id);
      json.string(bytes);
    }
    json.end_array();
  } else {
    json.raw("null");
  }
  json.end_object();
  send_json(exchange, 200, text_);
}

void EngineServer::detokenize(Exchange& exchange) {
  const auto json = nlohmann::json::parse(exchange.body(), nullptr, false);
  if (!json.is_object() || !json.contains("tokens") || !json["tokens"].is_array()) {
    return send_error(exchange, validation_error("missing", "body.tokens", "Field required"));
  }
  std::string bytes;
  for (const nlohmann::json& id : json["tokens"]) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() > 0xFFFFFFFFU) {
      return send_error(exchange, validation_error("int_type", "body.tokens",
                                                   "Input should be a valid token id"));
    }
    append_token_bytes(bytes, id.get<std::uint32_t>());
  }
  text_ = R"({"prompt":)";
  codec::append_json_string(text_, bytes);
  text_ += '}';
  send_json(exchange, 200, text_);
}

void EngineServer::health(Exchange& exchange) { exchange.send_response(200, {}, {}); }

void EngineServer::version(Exchange& exchange) {
  send_json(exchange, 200, fmt::format(R"({{"version":"{}"}})", kVllmVersion));
}

void EngineServer::metrics(Exchange& exchange) {
  text_.clear();
  engine_.append_metrics(text_);
  exchange.send_response(200, {kExposition}, text_);
}

void EngineServer::load(Exchange& exchange) {
  send_json(exchange, 200, fmt::format(R"({{"server_load":{}}})", engine_.running_requests()));
}

void EngineServer::load_adapter(Exchange& exchange) {
  const auto json = nlohmann::json::parse(exchange.body(), nullptr, false);
  const std::string name = text_field(json, "lora_name");
  if (name.empty() || text_field(json, "lora_path").empty()) {
    return send_error(exchange, {.message = "Both 'lora_name' and 'lora_path' must be provided.",
                                 .type = "InvalidUserInput",
                                 .param = {}});
  }
  if (const auto loaded = engine_.load_adapter(name); !loaded) {
    return send_error(exchange, loaded.error());
  }
  exchange.send_response(200, {kText},
                         fmt::format("Success: LoRA adapter '{}' added successfully.", name));
}

void EngineServer::unload_adapter(Exchange& exchange) {
  const auto json = nlohmann::json::parse(exchange.body(), nullptr, false);
  const std::string name = text_field(json, "lora_name");
  if (name.empty()) {
    return send_error(exchange, {.message = "'lora_name' must be provided to unload an adapter.",
                                 .type = "InvalidUserInput",
                                 .param = {}});
  }
  if (const auto unloaded = engine_.unload_adapter(name); !unloaded) {
    return send_error(exchange, unloaded.error());
  }
  exchange.send_response(200, {kText},
                         fmt::format("Success: LoRA adapter '{}' removed successfully.", name));
}

void EngineServer::reset_prefix_cache(Exchange& exchange) {
  if (engine_.reset_prefix_cache()) return exchange.send_response(200, {}, {});
  send_error(exchange, {.status = 409,
                        .message = "The prefix cache is in use; try again when no request runs.",
                        .type = "ConflictError",
                        .param = {}});
}

void EngineServer::reset(Exchange& exchange) {
  engine_.restart();
  sessions_.clear();
  exchange.send_response(200, {}, {});
}

void EngineServer::show_faults(Exchange& exchange) {
  send_json(exchange, 200, engine_.faults().json());
}

void EngineServer::post_fault(Exchange& exchange) {
  const auto fault = parse_fault_json(exchange.body());
  if (!fault) return send_error(exchange, from_result(fault.error()));
  set_fault(*fault);
  show_faults(exchange);
}

void EngineServer::delete_faults(Exchange& exchange) {
  constexpr std::string_view kKind = "kind=";
  const std::string_view query = exchange.head().query();
  if (query.empty()) {
    for (std::size_t i = 0; i < kFaultKindCount; ++i) clear_fault(static_cast<FaultKind>(i));
    return show_faults(exchange);
  }
  if (!query.starts_with(kKind)) {
    return send_error(exchange, {.message = "The query must be empty or kind=...", .param = {}});
  }
  const auto kind = parse_fault_kind(query.substr(kKind.size()));
  if (!kind) return send_error(exchange, from_result(kind.error()));
  clear_fault(*kind);
  show_faults(exchange);
}

}  // namespace fairlead::engine
