// SPDX-License-Identifier: Apache-2.0
// KeyUsage: what one API key has used of its limits, shared by all workers.
//
//   std::optional<Share> share;
//   const Grant grant = usage->admit(limits, prompt_tokens, now);
//   if (grant.refusal == Refusal::kNone) ... grant.share lives as long as the request ...
//   grant.share.settle({prompt_tokens, output_tokens}, now);   // What it was in the end.
//
// Requests and tokens a minute are token buckets that hold one minute's worth and fill evenly.
// A request is charged its estimated prompt when it is admitted, and what is missing when it ends;
// so a bucket can be overdrawn, and then the key waits until it is in credit again. A prompt larger
// than the whole bucket is admitted when the bucket is full. Concurrency is exact: a Share is one
// running request, and gives its place back when it dies, whatever happened.
// Units: tokens, nanoseconds. Errors: Refusal, with the time after which to try again.
// Threads: all members of KeyUsage from any thread, without locks; a Share belongs to one thread.
// Source: the generic cell rate algorithm (ITU-T I.371), which keeps a bucket in one word.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "base/time.h"

namespace fairlead::access {

struct KeyLimits {
  std::optional<std::uint64_t> requests_per_minute{};
  std::optional<std::uint64_t> tokens_per_minute{};
  std::optional<std::uint64_t> concurrency{};
  friend bool operator==(const KeyLimits&, const KeyLimits&) = default;
};
// Times a minute's nanoseconds, these stay within 64 bits.
inline constexpr std::uint64_t kRequestsPerMinuteMax = 10'000'000;
inline constexpr std::uint64_t kTokensPerMinuteMax = 300'000'000;

enum class Refusal : std::uint8_t { kNone, kModel, kConcurrency, kRequests, kTokens };
inline constexpr std::size_t kRefusalCount = 5;
// snake_case, a metric label; kNone is "admitted".
std::string_view to_string(Refusal refusal);

// A bucket that holds one minute's worth, as the time at which it will be full again.
class MinuteBucket {
 public:
  // Takes the amount if it is there, or if the bucket is full; else returns how long that takes.
  Duration take(std::uint64_t amount, std::uint64_t per_minute, Time now);
  // Takes it in any case. The debt stops growing at kDebtMax.
  void charge(std::uint64_t amount, std::uint64_t per_minute, Time now);
  void give_back(std::uint64_t amount, std::uint64_t per_minute);

  static constexpr Duration kDebtMax = std::chrono::hours(24);

 private:
  // Long ago, but far enough from the end of the range to subtract from.
  std::atomic<std::int64_t> full_at_{INT64_MIN / 2};
};

struct Spent {
  std::uint64_t prompt_tokens = 0;
  std::uint64_t output_tokens = 0;
};

class KeyUsage;

// One running request. Move-only; an empty one stands for nothing.
class Share {
 public:
  Share() = default;
  Share(Share&& other) noexcept;
  Share& operator=(Share&& other) noexcept;
  ~Share() { release(); }

  // Ends it, with what it really used; without this call its estimate stays charged.
  void settle(const Spent& spent, Time now);
  bool held() const { return usage_ != nullptr; }

 private:
  friend class KeyUsage;
  Share(std::shared_ptr<KeyUsage> usage, std::uint64_t tokens_per_minute, std::uint64_t estimate)
      : usage_(std::move(usage)), tokens_per_minute_(tokens_per_minute), estimate_(estimate) {}
  void release();

  std::shared_ptr<KeyUsage> usage_;
  std::uint64_t tokens_per_minute_ = 0;  // 0: no limit.
  std::uint64_t estimate_ = 0;
};

struct Grant {
  Refusal refusal = Refusal::kNone;
  Duration retry_after{};
  Share share;  // Held when not refused.
};

struct UsageFigures {
  std::uint64_t running = 0;
  std::uint64_t admitted = 0;
  std::uint64_t prompt_tokens = 0;  // Of ended requests, as is output_tokens.
  std::uint64_t output_tokens = 0;
};

class KeyUsage : public std::enable_shared_from_this<KeyUsage> {
 public:
  // A refusal takes nothing from any limit.
  Grant admit(const KeyLimits& limits, std::uint64_t prompt_tokens, Time now);
  // Counts a refusal that has nothing to do with limits.
  Grant refuse(Refusal refusal, Duration retry_after = {});

  UsageFigures figures() const;
  std::uint64_t refused(Refusal refusal) const;

 private:
  friend class Share;
  bool enter(std::uint64_t concurrency);
  void leave() { running_.fetch_sub(1, std::memory_order_relaxed); }

  alignas(64) std::atomic<std::uint64_t> running_{0};
  MinuteBucket requests_;
  MinuteBucket tokens_;
  std::atomic<std::uint64_t> admitted_{0};
  std::atomic<std::uint64_t> prompt_tokens_{0};
  std::atomic<std::uint64_t> output_tokens_{0};
  std::atomic<std::uint64_t> refused_[kRefusalCount] = {};
};

}  // namespace fairlead::access
