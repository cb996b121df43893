// SPDX-License-Identifier: Apache-2.0
// PromptDesk: what one worker knows of models by their names, and where it has their prompts
// tokenized.
//
//   desk.tokenize(facts.request().model, form, body, [this](auto tokens) { ... });
//
// Errors: none are told: a prompt that was not tokenized in time has no tokens, and is counted by
// the pool (fairlead_tokenizer_requests_total). Threads: the worker's.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/published.h"
#include "core/exchange/request_facts.h"
#include "core/model/endpoint.h"
#include "core/prefix/prefix_knowledge.h"
#include "io/net/event_loop.h"
#include "io/text/token_pool.h"
#include "router/router.h"

namespace fairlead::router {

class PromptDesk final : private exchange::ModelNames {
 public:
  using Ticket = text::TokenDesk::Ticket;
  // Without tokens where they did not come in time, or are not all the engine's.
  using Done = std::function<void(std::span<const std::uint32_t>)>;

  PromptDesk(net::EventLoop& loop, Router& router);
  PromptDesk(const PromptDesk&) = delete;
  PromptDesk& operator=(const PromptDesk&) = delete;

  exchange::TokenSettings settings() { return router_.token_settings(*this); }
  // Of a model that has a tokenizer. Copies the body. `done` is called once, from the loop and
  // never within this call, unless it is cancelled.
  Ticket tokenize(std::string_view model, tokens::RequestForm form, std::string_view body,
                  Done done);
  void cancel(Ticket ticket) { desk_->cancel(ticket); }
  // For the audit: what the engine says of a prompt that it has answered.
  void note_answer(model::EndpointRef endpoint, const model::InferenceRequest& request,
                   std::uint64_t prompt_tokens);

 private:
  bool is_adapter(std::string_view model) override { return pool_.get().is_adapter(model); }
  exchange::TokenSource token_source(std::string_view model) override;

  net::EventLoop& loop_;
  Router& router_;
  Published<model::PoolSnapshot>::Reader pool_;
  std::optional<text::TokenDesk> desk_;  // None: there are no tokenizers.
  std::uint64_t answers_ = 0;
  std::vector<prefix::ToldBlocks> told_;
  prefix::ToldScratch scratch_;
};

}  // namespace fairlead::router
