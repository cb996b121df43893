// SPDX-License-Identifier: Apache-2.0
#include "core/fleet/others_load.h"

#include <algorithm>
#include <cmath>

namespace fairlead::fleet {
namespace {

// An average that fades never ends; below this nobody is left.
constexpr double kDecodingLeast = 0.01;

double keep(double elapsed_s, Duration memory) { return std::exp(-elapsed_s / to_seconds(memory)); }

// Of ours, what may be in an engine's figures.
struct Own {
  double requests = 0;
  double unstarted = 0;
  double uncached_tokens = 0;  // Of the unstarted.
};

Own own_of(const OwnLoad& asked, Sent sent) {
  // Since it was asked; counters wrap.
  const auto more = static_cast<double>(sent.requests - asked.sent.requests);
  const auto more_tokens = static_cast<double>(sent.uncached_tokens - asked.sent.uncached_tokens);
  return {static_cast<double>(asked.inflight.requests) + more,
          static_cast<double>(asked.inflight.unstarted) + more,
          static_cast<double>(asked.inflight.uncached_tokens) + more_tokens};
}

}  // namespace

OthersLoad OthersMeter::told(const codec::EngineMetrics& metrics, const OwnLoad& asked, Sent sent,
                             Time now) {
  const std::optional<Figures> figures = figures_of(metrics);
  if (!figures || (last_ && figures->went_back_from(*last_))) *this = {};
  if (!figures) return {};
  const bool is_first = !last_;
  const double elapsed_s = is_first ? 0 : to_seconds(std::max(Duration{}, now - told_at_));
  if (!is_first) grow(*figures, elapsed_s);
  const bool still = stands_still(*figures, now);
  const double in_prefill = prefilling(*figures, now);
  last_ = figures;
  told_at_ = now;
  if (still) decoding_ = 0;
  if (is_first || still) return {};

  const Own own = own_of(asked, sent);
  const double others = std::max(0.0, figures->waiting + figures->running - own.requests);
  const double waiting = std::clamp(figures->waiting - own.unstarted, 0.0, others);
  const double own_waiting = std::min(own.unstarted, figures->waiting - waiting);
  const double own_in_prefill =
      own.unstarted > 0 ? own.uncached_tokens * (1 - own_waiting / own.unstarted) : 0;
  const double in_prefill_of_others =
      others > waiting ? std::max(0.0, in_prefill - own_in_prefill) : 0;
  const double unstarted = waiting + (in_prefill_of_others > 0 ? 1 : 0);
  decoding_ +=
      (1 - keep(elapsed_s, kDecodingMemory)) * (std::max(0.0, others - unstarted) - decoding_);
  return {static_cast<float>(in_prefill_of_others + waiting * prompts_.mean_uncached()),
          static_cast<float>(unstarted),
          decoding_ < kDecodingLeast ? 0 : static_cast<float>(decoding_)};
}

std::optional<OthersMeter::Figures> OthersMeter::figures_of(const codec::EngineMetrics& metrics) {
  if (!metrics.waiting || !metrics.running || !metrics.prefix_queries || !metrics.prompt_tokens) {
    return std::nullopt;
  }
  return Figures{.waiting = *metrics.waiting,
                 .running = *metrics.running,
                 .kv_usage = metrics.kv_usage.value_or(0),
                 .queries = *metrics.prefix_queries,
                 .hits = metrics.prefix_hits.value_or(0),
                 .prompt_tokens = *metrics.prompt_tokens,
                 .first_tokens = metrics.first_tokens.value_or(0),
                 .kv_tokens = metrics.kv_tokens().value_or(0)};
}

bool OthersMeter::Figures::went_back_from(const Figures& last) const {
  return queries < last.queries || hits < last.hits || prompt_tokens < last.prompt_tokens ||
         first_tokens < last.first_tokens;
}

void OthersMeter::grow(const Figures& figures, double elapsed_s) {
  const double kept = keep(elapsed_s, kPromptMemory);
  const auto add = [&](double& sum, double Figures::* counter) {
    sum = sum * kept + (figures.*counter - (*last_).*counter);
  };
  add(prompts_.queries, &Figures::queries);
  add(prompts_.hits, &Figures::hits);
  add(prompts_.tokens, &Figures::prompt_tokens);
  add(prompts_.first_tokens, &Figures::first_tokens);
}

double OthersMeter::Prompts::uncached_share() const {
  return queries > 0 ? 1 - std::min(1.0, hits / queries) : 1;
}

// Of a prompt of this engine.
double OthersMeter::Prompts::mean_uncached() const {
  return first_tokens > 0 ? uncached_share() * tokens / first_tokens : 0;
}

bool OthersMeter::stands_still(const Figures& figures, Time now) {
  if (!last_ || figures != *last_ || figures.waiting + figures.running == 0) changed_at_ = now;
  return now - changed_at_ >= kStill;
}

// Uncached tokens of all prompts in prefill, this router's too.
double OthersMeter::prefilling(const Figures& figures, Time now) {
  const double in_prefill = figures.queries - figures.prompt_tokens;
  const double above = in_prefill - floor_.take(in_prefill, now);
  const double bound = figures.kv_tokens > 0 ? std::min(above, figures.kv_tokens) : above;
  return prompts_.uncached_share() * bound;
}

double OthersMeter::Floor::take(double value, Time now) {
  if (!began_ || now - *began_ >= kFloorWindow) {
    // What is known of the time before is too old after two windows, and nothing at first.
    before_ = began_ && now - *began_ < 2 * kFloorWindow ? least_ : value;
    began_ = now;
    least_ = value;
  }
  least_ = std::min(least_, value);
  return std::min(before_, least_);
}

}  // namespace fairlead::fleet
