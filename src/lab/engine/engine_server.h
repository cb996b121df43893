// SPDX-License-Identifier: Apache-2.0
// EngineServer: the HTTP face of one simulated engine: vLLM's routes, and beside them
//   GET, POST, DELETE /admin/fault   see fault.h; DELETE clears all, or one with ?kind=
//   POST /reset                      as a restart, but the listener stays
// It also plays the faults that touch the listener: refuse, crash and slow_start.
// Threads: the loop's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "io/net/event_loop.h"
#include "io/net/http1_server.h"
#include "io/net/timer.h"
#include "lab/engine/engine.h"
#include "lab/engine/realtime.h"

namespace fairlead::engine {

struct EngineServerOptions {
  net::SocketAddress address{};  // Port 0: any free one.
  std::string api_key{};         // Wanted as bearer token below /v1; empty: none.
  EngineOptions engine{};
  std::shared_ptr<const net::TlsServerContext> tls{};  // Null: plain TCP.
};

class EngineServer final : private net::RequestHandler {
 public:
  static Result<std::unique_ptr<EngineServer>> create(net::EventLoop& loop,
                                                      EngineServerOptions options);
  EngineServer(const EngineServer&) = delete;
  EngineServer& operator=(const EngineServer&) = delete;

  std::uint16_t port() const { return options_.address.port(); }
  const Engine& engine() const { return engine_; }
  void publish_cache(std::unique_ptr<CacheEvents> events) {
    engine_.publish_cache(std::move(events));
  }

  void set_fault(const Fault& fault);
  void clear_fault(FaultKind kind);

  // Accepts no more; running requests end. `on_drained` runs once, when the last connection is
  // gone, maybe within this call.
  void drain(std::function<void()> on_drained);

 private:
  using Exchange = net::ServerExchange;
  struct Route {
    std::string_view method;
    std::string_view path;
    void (EngineServer::*serve)(Exchange&);
  };
  static const Route* find_route(std::string_view method, std::string_view path,
                                 std::string_view& allowed);

  EngineServer(net::EventLoop& loop, EngineServerOptions options);
  [[nodiscard]] Result<void> listen();

  void on_request(Exchange& exchange) override;
  bool refused(Exchange& exchange, std::string_view path);
  static void send_json(Exchange& exchange, int status, std::string_view body);
  static void send_error(Exchange& exchange, const ApiError& error);
  // In Anthropic's shape where `api` is Anthropic's.
  static void send_error(Exchange& exchange, Api api, const ApiError& error);

  void chat(Exchange& exchange) { complete(exchange, Api::kChat); }
  void completions(Exchange& exchange) { complete(exchange, Api::kCompletions); }
  void complete(Exchange& exchange, Api api);
  void messages(Exchange& exchange) { complete_dialect(exchange, Api::kMessages); }
  void responses(Exchange& exchange) { complete_dialect(exchange, Api::kResponses); }
  void embeddings(Exchange& exchange) { complete_dialect(exchange, Api::kEmbeddings); }
  void rerank(Exchange& exchange) { complete_dialect(exchange, Api::kRerank); }
  void transcribe(Exchange& exchange) { complete_dialect(exchange, Api::kTranscription); }
  void complete_dialect(Exchange& exchange, Api api);
  void count_tokens(Exchange& exchange);
  void realtime(Exchange& exchange);
  void models(Exchange& exchange);
  void tokenize(Exchange& exchange);
  void detokenize(Exchange& exchange);
  void health(Exchange& exchange);
  void version(Exchange& exchange);
  void metrics(Exchange& exchange);
  void load(Exchange& exchange);
  void load_adapter(Exchange& exchange);
  void unload_adapter(Exchange& exchange);
  void reset_prefix_cache(Exchange& exchange);
  void reset(Exchange& exchange);
  void show_faults(Exchange& exchange);
  void post_fault(Exchange& exchange);
  void delete_faults(Exchange& exchange);

  void act_on_listener();
  void close_listener();
  void crash();
  void come_back();
  void free_retired(const net::Http1Server* server);
  void forget(const RealtimeSession& session);

  net::EventLoop& loop_;
  EngineServerOptions options_;
  Engine engine_;
  CompletionRequestParser parser_;
  CompletionRequest request_;
  std::string text_;
  net::Timer stall_end_;
  net::Timer slow_end_;
  // Faults of the listener wait until the reply that announces them has left.
  net::Timer listener_action_;
  net::Timer come_back_;
  FaultKind listener_fault_ = FaultKind::kRefuse;
  bool draining_ = false;
  std::uint64_t sessions_begun_ = 0;
  std::unique_ptr<net::Http1Server> http_;                  // Nothing while down.
  std::vector<std::unique_ptr<net::Http1Server>> retired_;  // Their last requests still run.
  std::vector<std::unique_ptr<RealtimeSession>> sessions_;  // Die before the servers.
};

}  // namespace fairlead::engine
