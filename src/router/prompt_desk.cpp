// SPDX-License-Identifier: Apache-2.0
#include "router/prompt_desk.h"

#include <string>
#include <utility>

namespace fairlead::router {
namespace {

// Looking up what is told costs a microsecond and more; a wrong template shows on every prompt.
constexpr std::uint64_t kAnswersABlockCheck = 8;

}  // namespace

PromptDesk::PromptDesk(net::EventLoop& loop, Router& router)
    : loop_(loop), router_(router), pool_(router.pool()) {
  if (Tokenizers* const tokenizers = router.tokenizers()) desk_.emplace(loop, tokenizers->pool());
}

// Beside engines with tokenizers, the estimate rule would find nothing in their caches.
exchange::TokenSource PromptDesk::token_source(std::string_view model) {
  if (!desk_) return exchange::TokenSource::kEstimate;
  return router_.tokenizers()->find(model) ? exchange::TokenSource::kTokenizer
                                           : exchange::TokenSource::kNobody;
}

PromptDesk::Ticket PromptDesk::tokenize(std::string_view model, tokens::RequestForm form,
                                        std::string_view body, Done done) {
  const Tokenizers& tokenizers = *router_.tokenizers();
  return desk_->submit({.model = *tokenizers.find(model),
                        .form = form,
                        .body = std::string(body),
                        .deadline = loop_.now() + tokenizers.deadline()},
                       [done = std::move(done)](const text::TokenOutcome& outcome) {
                         // From a placeholder on, an engine has other tokens than the text.
                         const bool exact =
                             outcome.end == text::TokenEnd::kDone && outcome.media == 0;
                         done(exact ? std::span(outcome.tokens) : std::span<const std::uint32_t>());
                       });
}

void PromptDesk::note_answer(model::EndpointRef endpoint, const model::InferenceRequest& request,
                             std::uint64_t prompt_tokens) {
  if (request.token_block == 0) return;  // It was not tokenized.
  EngineAudits& audits = router_.audits();
  audits.note_prompt(endpoint, request.prompt_tokens, prompt_tokens);
  if (++answers_ % kAnswersABlockCheck != 0 || request.token_keys.empty()) return;
  told_.assign(endpoint.slot + std::size_t{1}, {});
  router_.listener()->knowledge().told(request.token_keys, told_, scratch_);
  const prefix::ToldBlocks& told = told_[endpoint.slot];
  if (told.trust != prefix::Trust::kTrusted) return;
  audits.note_blocks(endpoint, request.token_keys.size(), told.blocks);
}

}  // namespace fairlead::router
