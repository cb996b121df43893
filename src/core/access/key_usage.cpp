// SPDX-License-Identifier: Apache-2.0
#include "core/access/key_usage.h"

#include <algorithm>

#include "base/mutant.h"

namespace fairlead::access {
namespace {

constexpr std::int64_t kMinute = std::chrono::nanoseconds(std::chrono::minutes(1)).count();
// What nothing else tells the end of.
constexpr Duration kPlaceFreeAfter = std::chrono::seconds(1);

// The time in which the bucket gains this much, rounded up, at most kDebtMax. kTokensPerMinuteMax
// keeps the product within 64 bits.
std::int64_t time_of(std::uint64_t amount, std::uint64_t per_minute) {
  const std::uint64_t minutes = amount / per_minute;
  constexpr std::int64_t kMost = MinuteBucket::kDebtMax.count();
  if (minutes >= static_cast<std::uint64_t>(kMost / kMinute)) return kMost;
  const std::uint64_t rest =
      (amount % per_minute * static_cast<std::uint64_t>(kMinute) + per_minute - 1) / per_minute;
  return static_cast<std::int64_t>(minutes) * kMinute + static_cast<std::int64_t>(rest);
}

}  // namespace

std::string_view to_string(Refusal refusal) {
  switch (refusal) {
    case Refusal::kNone:
      return "admitted";
    case Refusal::kModel:
      return "model_not_allowed";
    case Refusal::kConcurrency:
      return "rate_limited_concurrency";
    case Refusal::kRequests:
      return "rate_limited_requests";
    case Refusal::kTokens:
      return "rate_limited_tokens";
  }
  return "unknown";
}

Duration MinuteBucket::take(std::uint64_t amount, std::uint64_t per_minute, Time now) {
  const std::int64_t at = now.time_since_epoch().count();
  const std::int64_t cost = time_of(amount, per_minute);
  const std::int64_t needed = std::min(cost, kMinute);
  std::int64_t full_at = full_at_.load(std::memory_order_relaxed);
  for (;;) {
    const std::int64_t missing = full_at > at ? full_at - at : 0;
    if (missing + needed > kMinute) return Duration(missing + needed - kMinute);
    if (full_at_.compare_exchange_weak(full_at, at + missing + cost, std::memory_order_relaxed)) {
      return {};
    }
  }
}

void MinuteBucket::charge(std::uint64_t amount, std::uint64_t per_minute, Time now) {
  const std::int64_t at = now.time_since_epoch().count();
  const std::int64_t cost = time_of(amount, per_minute);
  std::int64_t full_at = full_at_.load(std::memory_order_relaxed);
  std::int64_t next = 0;
  do {
    next = std::min(std::max(full_at, at) + cost, std::max(full_at, at + kDebtMax.count()));
  } while (!full_at_.compare_exchange_weak(full_at, next, std::memory_order_relaxed));
}

// Below "full now" nothing is gained: take() and charge() count from now at the earliest.
void MinuteBucket::give_back(std::uint64_t amount, std::uint64_t per_minute) {
  full_at_.fetch_sub(time_of(amount, per_minute), std::memory_order_relaxed);
}

Share::Share(Share&& other) noexcept
    : usage_(std::move(other.usage_)),
      tokens_per_minute_(other.tokens_per_minute_),
      estimate_(other.estimate_) {}

Share& Share::operator=(Share&& other) noexcept {
  if (this == &other) return *this;
  release();
  usage_ = std::move(other.usage_);
  tokens_per_minute_ = other.tokens_per_minute_;
  estimate_ = other.estimate_;
  return *this;
}

void Share::release() {
  if (!usage_) return;
  if (!planted(Mutant::kLeakedGrant)) usage_->leave();
  usage_.reset();
}

void Share::settle(const Spent& spent, Time now) {
  if (!usage_) return;
  usage_->prompt_tokens_.fetch_add(spent.prompt_tokens, std::memory_order_relaxed);
  usage_->output_tokens_.fetch_add(spent.output_tokens, std::memory_order_relaxed);
  const std::uint64_t total = spent.prompt_tokens + spent.output_tokens;
  if (tokens_per_minute_ != 0 && total > estimate_) {
    usage_->tokens_.charge(total - estimate_, tokens_per_minute_, now);
  } else if (tokens_per_minute_ != 0 && total < estimate_) {
    usage_->tokens_.give_back(estimate_ - total, tokens_per_minute_);
  }
  release();
}

bool KeyUsage::enter(std::uint64_t concurrency) {
  std::uint64_t running = running_.load(std::memory_order_relaxed);
  do {
    if (running >= concurrency) return false;
  } while (!running_.compare_exchange_weak(running, running + 1, std::memory_order_relaxed));
  return true;
}

Grant KeyUsage::refuse(Refusal refusal, Duration retry_after) {
  refused_[static_cast<std::size_t>(refusal)].fetch_add(1, std::memory_order_relaxed);
  return {refusal, retry_after, {}};
}

Grant KeyUsage::admit(const KeyLimits& limits, std::uint64_t prompt_tokens, Time now) {
  if (!enter(limits.concurrency.value_or(UINT64_MAX))) {
    return refuse(Refusal::kConcurrency, kPlaceFreeAfter);
  }
  Share share(shared_from_this(), limits.tokens_per_minute.value_or(0), prompt_tokens);
  if (limits.requests_per_minute) {
    const Duration wait = requests_.take(1, *limits.requests_per_minute, now);
    if (wait > Duration::zero()) return refuse(Refusal::kRequests, wait);
  }
  if (limits.tokens_per_minute) {
    const Duration wait = tokens_.take(prompt_tokens, *limits.tokens_per_minute, now);
    if (wait > Duration::zero()) {
      if (limits.requests_per_minute) requests_.give_back(1, *limits.requests_per_minute);
      return refuse(Refusal::kTokens, wait);
    }
  }
  admitted_.fetch_add(1, std::memory_order_relaxed);
  return {Refusal::kNone, {}, std::move(share)};
}

UsageFigures KeyUsage::figures() const {
  return {running_.load(std::memory_order_relaxed), admitted_.load(std::memory_order_relaxed),
          prompt_tokens_.load(std::memory_order_relaxed),
          output_tokens_.load(std::memory_order_relaxed)};
}

std::uint64_t KeyUsage::refused(Refusal refusal) const {
  return refused_[static_cast<std::size_t>(refusal)].load(std::memory_order_relaxed);
}

}  // namespace fairlead::access
