// SPDX-License-Identifier: Apache-2.0
// Engine: one simulated vLLM server behind its HTTP routes: the model in real time, the answers
// under way, LoRA adapters, faults and figures.
//
// How long an answer is: max_tokens or max_completion_tokens exactly, with or without ignore_eos;
// without either, 16 to 256 tokens drawn from the prompt's hash (finish_reason "stop"), and with
// ignore_eos all that the context holds, as in vLLM. Never more than the context holds.
// The words follow from prompt, model, `seed` and choice, the same on every engine. Blocks of the
// answer are cached by its words, so that a next turn which repeats the answer finds them.
// An engine whose profile has no delay at all answers inside begin(), without caching anything.
// Threads: the loop's thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "io/net/event_loop.h"
#include "io/net/http1_server.h"
#include "lab/engine/cache_events.h"
#include "lab/engine/completion_request.h"
#include "lab/engine/fault_set.h"
#include "lab/engine/generation.h"
#include "lab/engine/model/engine_model.h"
#include "lab/engine/serving_metrics.h"
#include "lab/engine/step_driver.h"
#include "lab/engine/stored_responses.h"

namespace fairlead::engine {

struct EngineOptions {
  EngineProfile profile{};
  double speed = 1;                   // Model time per real time, above 0.
  std::uint64_t seed = 0;             // Of the step noise, the faults' draws and the answers' ids.
  std::uint32_t stream_interval = 1;  // Tokens an event, at least 1.
  std::vector<std::string> served_names{};  // At least one; the first is the model's id.
  std::vector<std::string> adapters{};      // LoRA adapters loaded from the start.
  std::uint32_t max_waiting = 0;            // More requests than this waiting: 429; 0: no bound.
};

class Engine final : private GenerationHost {
 public:
  Engine(net::EventLoop& loop, EngineOptions options);
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // From here on the cache's changes are published.
  void publish_cache(std::unique_ptr<CacheEvents> events);
  // While the engine is down; and when it is back. Without events both do nothing.
  void close_events() {
    if (cache_events_) cache_events_->close();
  }
  [[nodiscard]] Result<void> reopen_events() {
    return cache_events_ ? cache_events_->reopen() : Result<void>();
  }
  // Null when they are not.
  const CacheEvents* cache_events() const { return cache_events_.get(); }

  // How the next request for begin() has to be read.
  PromptUse prompt_use() const;
  // Answers the exchange now or later, or says why not and leaves it to the caller.
  [[nodiscard]] tl::expected<void, ApiError> begin(net::ServerExchange& exchange,
                                                   CompletionRequest& request, PromptUse use);
  // Known model, or adapter; empty is the base model.
  [[nodiscard]] tl::expected<void, ApiError> check_model(std::string_view name) const;

  [[nodiscard]] tl::expected<void, ApiError> load_adapter(std::string_view name);
  [[nodiscard]] tl::expected<void, ApiError> unload_adapter(std::string_view name);
  void append_models(std::string& out) const;

  void append_metrics(std::string& out) const;
  std::size_t running_requests() const { return running_requests_; }
  const ServingMetrics& metrics() const { return metrics_; }
  const EngineOptions& options() const { return options_; }

  FaultSet& faults() { return faults_; }
  void pause() { driver_.pause(); }
  void resume() { driver_.resume(); }
  // As a new process: running answers are reset, cache and counters empty. Loaded adapters stay.
  void restart();
  // False while a sequence holds blocks.
  bool reset_prefix_cache() { return model_.reset_prefix_cache(); }

 private:
  struct Adapter {
    std::string name;
    bool loaded = false;
  };
  struct Length {
    std::uint32_t tokens = 0;
    FinishReason finish = FinishReason::kLength;
  };

  // 0 is the base model, nothing an unknown name.
  std::optional<std::uint32_t> adapter_number(std::string_view name) const;
  std::string known_names() const;
  [[nodiscard]] tl::expected<void, ApiError> admit(const CompletionRequest& request);
  Length length_of(const CompletionRequest& request, std::int64_t prompt_tokens,
                   std::uint64_t draw) const;
  [[nodiscard]] tl::expected<void, ApiError> continue_response(CompletionRequest& request) const;
  void keep_response(const std::string& id, const CompletionRequest& request, std::uint64_t seed,
                     std::uint32_t output_tokens);
  std::string make_id(const net::ServerExchange& exchange, Api api);
  ResponseWriter make_writer(std::string id, const CompletionRequest& request) const;
  GenerationSetup make_setup(const CompletionRequest& request);
  void answer_at_once(net::ServerExchange& exchange, const CompletionRequest& request);
  void stream_at_once(net::ServerExchange& exchange, const CompletionRequest& request,
                      const ResponseWriter& writer, std::span<const AnswerPart> parts,
                      const UsageFigures& usage);
  [[nodiscard]] Result<void> submit_prompt(Generation& generation, const CompletionRequest& request,
                                           const CompletionRequest::Prompt& prompt,
                                           std::uint32_t adapter);
  std::uint32_t take_slot();
  void on_step(const FinishedStep& step);
  void on_generation_end(Generation& generation, GenerationEnd end) override;
  std::string adapter_names(std::uint32_t AdapterLoad::* count) const;

  net::EventLoop& loop_;
  EngineOptions options_;
  bool instant_;
  EngineModel model_;
  StepDriver driver_;
  ServingMetrics metrics_;
  FaultSet faults_;
  std::vector<Adapter> adapters_;                         // Number 1 is the first.
  std::vector<std::unique_ptr<Generation>> generations_;  // By slot; empty ones are free.
  std::vector<std::uint32_t> free_slots_;
  std::size_t running_requests_ = 0;
  std::size_t living_sequences_ = 0;
  std::uint64_t requests_ = 0;
  StoredResponses responses_;
  CacheLog cache_log_;
  std::unique_ptr<CacheEvents> cache_events_;
  std::vector<std::uint32_t> tail_;  // Tokens behind a prompt's last whole block.
  std::string text_;
};

}  // namespace fairlead::engine
