// SPDX-License-Identifier: Apache-2.0
#include "core/fleet/others_load.h"

#include <algorithm>
#include <cmath>

namespace fairlead::fleet {
namespace {

// An average that fades never ends; below this nobody is left.
constexpr double kDecodingLeast = 0.01;

double fade(double elapsed_s, Duration memory) { return std::exp(-elapsed_s / to_seconds(memory)); }

}  // namespace

OthersLoad OthersMeter::told(const codec::EngineMetrics& metrics, const OwnLoad& asked, Sent sent,
                             Time now) {
  const double elapsed_s = told_at_ ? to_seconds(std::max(Duration{}, now - *told_at_)) : 0;
  told_at_ = now;
  const double in_prefill = prefilling(metrics, elapsed_s, now);
  if (!metrics.waiting || !metrics.running) return {};
  // Since it was asked; counters wrap.
  const auto more = static_cast<double>(sent.requests - asked.sent.requests);
  const auto more_tokens = static_cast<double>(sent.uncached_tokens - asked.sent.uncached_tokens);
  const double mine = static_cast<double>(asked.inflight.requests) + more;
  const double unstarted = static_cast<double>(asked.inflight.unstarted) + more;
  const double tokens = static_cast<double>(asked.inflight.uncached_tokens) + more_tokens;

  const double others = std::max(0.0, *metrics.waiting + *metrics.running - mine);
  const double waiting = std::clamp(*metrics.waiting - unstarted, 0.0, others);
  const double own_waiting = std::min(unstarted, *metrics.waiting - waiting);
  const double own_prefill = unstarted > 0 ? tokens * (1 - own_waiting / unstarted) : 0;
  OthersLoad load;
  load.waiting = static_cast<float>(waiting);
  if (others > 0) load.prefilling = static_cast<float>(std::max(0.0, in_prefill - own_prefill));
  const double decoding = std::max(0.0, others - static_cast<double>(load.unstarted()));
  decoding_ += (1 - fade(elapsed_s, kDecodingMemory)) * (decoding - decoding_);
  load.decoding = decoding_ < kDecodingLeast ? 0 : static_cast<float>(decoding_);
  return load;
}

// Uncached tokens of all prompts in prefill, this router's too.
double OthersMeter::prefilling(const codec::EngineMetrics& metrics, double elapsed_s, Time now) {
  if (!metrics.prefix_queries || !metrics.prompt_tokens) return 0;
  const double queries = *metrics.prefix_queries;
  const double hits = std::min(metrics.prefix_hits.value_or(0), queries);
  const double keep = fade(elapsed_s, kShareMemory);
  new_queries_ = new_queries_ * keep + std::max(0.0, queries - queries_);
  new_hits_ = new_hits_ * keep + std::max(0.0, hits - hits_);
  queries_ = queries;
  hits_ = hits;
  const double uncached = new_queries_ > 0 ? 1 - std::min(1.0, new_hits_ / new_queries_) : 1;
  const double in_prefill = queries - *metrics.prompt_tokens;
  return uncached * (in_prefill - floor_.take(in_prefill, now));
}

double OthersMeter::Floor::take(double value, Time now) {
  if (!began_) before_ = value;
  if (!began_ || now - *began_ >= kFloorWindow) {
    if (began_) before_ = least_;
    began_ = now;
    least_ = value;
  }
  least_ = std::min(least_, value);
  return std::min(before_, least_);
}

}  // namespace fairlead::fleet
