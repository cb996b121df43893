// SPDX-License-Identifier: Apache-2.0
#include "lab/engine/generation.h"

#include <algorithm>
#include <utility>

#include "core/codec/http1_write.h"

namespace fairlead::engine {
namespace {

constexpr codec::Http1Header kEventStream{"content-type", "text/event-stream; charset=utf-8"};
constexpr codec::Http1Header kJson{"content-type", "application/json"};

}  // namespace

Generation::Generation(GenerationHost& host, std::uint32_t slot, ServingMetrics& metrics,
                       net::ServerExchange& exchange, const ResponseWriter& writer,
                       const GenerationSetup& setup)
    : host_(host),
      slot_(slot),
      metrics_(metrics),
      loop_(exchange.loop()),
      exchange_(&exchange),
      writer_(writer),
      setup_(setup),
      received_at_(exchange.received_at()),
      frames_by_hand_(setup.faults.partial_after && exchange.accepts_chunked()) {
  exchange.set_observer(this);
}

void Generation::begin() {
  if (const auto delay = setup_.faults.delay) {
    held_ = true;
    delay_timer_.emplace(loop_, [this] {
      held_ = false;
      start_stream();
      write_all_due();
    });
    delay_timer_->arm(*delay);
    return;
  }
  start_stream();
}

void Generation::start_stream() {
  if (stream()) exchange_->start(200, {kEventStream}, codec::BodyFraming::chunked());
}

void Generation::on_client_gone() {
  if (delay_timer_) delay_timer_->cancel();
  host_.on_generation_end(*this, GenerationEnd::kClientGone);
}

void Generation::reset_connection() {
  if (delay_timer_) delay_timer_->cancel();
  exchange_->abort();
}

void Generation::on_token(std::size_t index, const TokenEvent& event) {
  Choice& choice = choices_[index];
  observe_token(choice, event, loop_.now());
  if (choice.finished()) ++finished_;
  if (held_ || frozen_) return;
  if (stream() && !write_due(index)) return;
  if (finished_ == choices_.size()) complete();
}

void Generation::observe_token(Choice& choice, const TokenEvent& event, Time now) {
  choice.made = event.output_tokens;
  if (!setup_.pooling) metrics_.add(Count::kGenerationTokens);
  if (choice.made == 1) {
    choice.cached_tokens = event.cached_tokens;
    choice.first_token_at = now;
    choice.queued = from_seconds(to_seconds(event.first_scheduled - choice.ready) / setup_.speed);
    metrics_.add(Count::kPromptTokens, static_cast<std::uint64_t>(choice.prompt_tokens));
    metrics_.observe(Sample::kTimeToFirstToken, now - received_at_);
    metrics_.observe(Sample::kQueueTime, choice.queued);
  } else {
    metrics_.observe(Sample::kInterTokenLatency, now - choice.last_token_at);
  }
  choice.last_token_at = now;
  if (choice.finished()) observe_finish(choice, now);
}

void Generation::observe_finish(const Choice& choice, Time now) {
  const bool stopped = choice.finish == FinishReason::kStop;
  metrics_.add(stopped ? Count::kFinishedStop : Count::kFinishedLength);
  metrics_.observe(Sample::kPromptTokens, static_cast<double>(choice.prompt_tokens));
  metrics_.observe(Sample::kGenerationTokens, choice.output_tokens);
  const Duration whole = now - received_at_;
  const Duration decode = now - choice.first_token_at;
  const Duration first = choice.first_token_at - received_at_;
  metrics_.observe(Sample::kEndToEnd, whole);
  metrics_.observe(Sample::kDecodeTime, decode);
  metrics_.observe(Sample::kPrefillTime, std::max(first - choice.queued, Duration::zero()));
  metrics_.observe(Sample::kInferenceTime, std::max(whole - choice.queued, Duration::zero()));
  if (choice.output_tokens > 1) {
    metrics_.observe(Sample::kTimePerOutputToken, to_seconds(decode) / (choice.output_tokens - 1));
  }
}

// After a delay: everything that came in the meantime.
void Generation::write_all_due() {
  for (std::size_t i = 0; stream() && i < choices_.size(); ++i) {
    if (!write_due(i)) return;
  }
  if (finished_ == choices_.size()) complete();
}

// Writes an event if one is due; false when nothing may follow.
bool Generation::write_due(std::size_t index) {
  Choice& choice = choices_[index];
  const std::uint32_t due = choice.made - choice.written;
  const bool wait = choice.written > 0 && due < setup_.stream_interval && !choice.finished();
  if (due == 0 || wait) return true;
  if (!write_roles()) return false;
  const bool last = choice.finished();
  const AnswerPart part{.index = static_cast<std::uint32_t>(index),
                        .seed = choice.seed,
                        .begin = choice.written,
                        .count = due,
                        .finish = last ? choice.finish : FinishReason::kNone};
  const UsageFigures usage = usage_of(choice);
  const bool signed_off = last && !setup_.include_usage;
  text_.clear();
  writer_.part_event(text_, part, setup_.continuous_usage ? &usage : nullptr,
                     signed_off ? Fingerprint::kGiven : Fingerprint::kOmitted);
  choice.written = choice.made;
  return emit();
}

bool Generation::write_roles() {
  if (roles_written_ || !writer_.has_roles()) return true;
  roles_written_ = true;
  for (std::size_t i = 0; i < choices_.size(); ++i) {
    const UsageFigures usage{.prompt_tokens = choices_[i].prompt_tokens};
    text_.clear();
    writer_.role_event(text_, static_cast<std::uint32_t>(i),
                       setup_.continuous_usage ? &usage : nullptr);
    if (!emit()) return false;
  }
  return true;
}

// Sends the event in text_, unless a fault is due; false when nothing may follow.
bool Generation::emit() {
  if (setup_.faults.abort_after && events_ >= *setup_.faults.abort_after) {
    end_by_fault();
    return false;
  }
  if (setup_.faults.partial_after && events_ >= *setup_.faults.partial_after) {
    freeze_event();
    return false;
  }
  ++events_;
  if (!frames_by_hand_) {
    exchange_->write_chunk(text_);
    return true;
  }
  std::string frame;
  codec::append_chunk_size(frame, text_.size());
  frame += text_;
  frame += codec::kChunkEnd;
  exchange_->write_raw(frame);
  return true;
}

void Generation::freeze_event() {
  frozen_ = true;
  std::string half;
  if (frames_by_hand_) codec::append_chunk_size(half, text_.size());
  half.append(text_, 0, text_.size() / 2);
  exchange_->write_raw(half);
}

void Generation::end_by_fault() {
  exchange_->abort();
  host_.on_generation_end(*this, GenerationEnd::kFault);
}

void Generation::complete() {
  if (stream()) {
    complete_stream();
  } else {
    complete_whole();
  }
}

void Generation::complete_stream() {
  if (setup_.include_usage) {
    text_.clear();
    writer_.usage_event(text_, total_usage());
    if (!emit()) return;
  }
  text_.clear();
  writer_.end_stream(text_, whole_part(choices_.front(), 0), total_usage());
  if (!emit()) return;
  if (frames_by_hand_) exchange_->write_raw(codec::kLastChunk);
  exchange_->finish();
  host_.on_generation_end(*this, GenerationEnd::kComplete);
}

void Generation::complete_whole() {
  if (setup_.faults.abort_after) return end_by_fault();
  text_.clear();
  writer_.begin_whole(text_);
  for (std::size_t i = 0; i < choices_.size(); ++i) {
    writer_.whole_choice(text_, whole_part(choices_[i], i));
  }
  writer_.end_whole(text_, total_usage());
  if (setup_.faults.partial_after) {
    frozen_ = true;
    exchange_->start(200, {kJson}, codec::BodyFraming::of_length(text_.size()));
    exchange_->write_raw(std::string_view(text_).substr(0, text_.size() / 2));
    return;
  }
  exchange_->send_response(200, {kJson}, text_);
  host_.on_generation_end(*this, GenerationEnd::kComplete);
}

AnswerPart Generation::whole_part(const Choice& choice, std::size_t index) {
  return {.index = static_cast<std::uint32_t>(index),
          .seed = choice.seed,
          .begin = 0,
          .count = choice.output_tokens,
          .finish = choice.finish};
}

UsageFigures Generation::usage_of(const Choice& choice) const {
  const std::int64_t whole_blocks = choice.prompt_tokens / setup_.block_size * setup_.block_size;
  return {.prompt_tokens = choice.prompt_tokens,
          .completion_tokens = choice.made,
          .cached_tokens = choice.cached_tokens,
          .created_tokens = std::max<std::int64_t>(whole_blocks - choice.cached_tokens, 0)};
}

UsageFigures Generation::total_usage() const {
  UsageFigures total;
  for (const Choice& choice : choices_) {
    const UsageFigures usage = usage_of(choice);
    total.completion_tokens += usage.completion_tokens;
    if (!choice.first_of_prompt) continue;
    total.prompt_tokens += usage.prompt_tokens;
    total.cached_tokens += usage.cached_tokens;
    total.created_tokens += usage.created_tokens;
  }
  return total;
}

}  // namespace fairlead::engine
