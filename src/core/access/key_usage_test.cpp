// SPDX-License-Identifier: Apache-2.0
// The limits of a key: against a naive twin, and under threads.
#include "core/access/key_usage.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <functional>
#include <thread>
#include <vector>

namespace fairlead::access {
namespace {

// Twice a word, so that the twin rounds nothing.
__extension__ using Wide = __int128;

constexpr Duration kMinute = std::chrono::minutes(1);
constexpr Duration kSecond = std::chrono::seconds(1);

std::shared_ptr<KeyUsage> usage() { return std::make_shared<KeyUsage>(); }

// A bucket as one would explain it: a level that grows until it is full. In token-minutes, so that
// nothing is rounded.
class NaiveBucket {
 public:
  explicit NaiveBucket(std::uint64_t per_minute)
      : rate_(static_cast<std::int64_t>(per_minute)), level_(full()) {}

  bool take(std::uint64_t amount, Time now) {
    fill(now);
    const Wide wanted = Wide{amount} * kMinute.count();
    if (level_ < std::min(wanted, full())) return false;
    level_ -= wanted;
    return true;
  }
  void charge(std::uint64_t amount, Time now) {
    fill(now);
    level_ -= Wide{amount} * kMinute.count();
  }
  void give_back(std::uint64_t amount, Time now) {
    fill(now);
    level_ = std::min(full(), level_ + Wide{amount} * kMinute.count());
  }

 private:
  Wide full() const { return Wide{rate_} * kMinute.count(); }
  void fill(Time now) {
    level_ = std::min(full(), level_ + Wide{rate_} * (now - last_).count());
    last_ = now;
  }

  std::int64_t rate_;
  Wide level_;
  Time last_{};
};

// Rates that divide a minute's nanoseconds, so that both count alike.
RC_GTEST_PROP(MinuteBucket, DecidesAsTheNaiveTwin, ()) {
  const auto rate = *rc::gen::element<std::uint64_t>(1, 2, 60, 1000, 60'000, 1'000'000);
  MinuteBucket bucket;
  NaiveBucket twin(rate);
  Time now{};
  const int steps = *rc::gen::inRange(1, 60);
  for (int i = 0; i < steps; ++i) {
    now += Duration(*rc::gen::inRange<std::int64_t>(0, 40'000'000'000));
    const auto amount = *rc::gen::inRange<std::uint64_t>(0, 2 * rate + 2);
    switch (*rc::gen::inRange(0, 3)) {
      case 0:
        bucket.charge(amount, rate, now);
        twin.charge(amount, now);
        break;
      case 1:
        // Given back as a settled request does it: what was just taken.
        if (bucket.take(amount, rate, now) == Duration{}) {
          RC_ASSERT(twin.take(amount, now));
          bucket.give_back(amount / 2, rate);
          twin.give_back(amount / 2, now);
        } else {
          RC_ASSERT(!twin.take(amount, now));
        }
        break;
      default:
        RC_ASSERT((bucket.take(amount, rate, now) == Duration{}) == twin.take(amount, now));
    }
  }
}

RC_GTEST_PROP(MinuteBucket, TheWaitIsExactlyWhatItTakes, ()) {
  const auto rate = *rc::gen::inRange<std::uint64_t>(1, 1'000'000);
  const auto first = *rc::gen::inRange<std::uint64_t>(0, 2 * rate);
  const auto second = *rc::gen::inRange<std::uint64_t>(1, 2 * rate);
  MinuteBucket bucket;
  Time now{};
  RC_ASSERT(bucket.take(first, rate, now) == Duration{});
  const Duration wait = bucket.take(second, rate, now);
  if (wait == Duration{}) return;
  RC_ASSERT(bucket.take(second, rate, now + wait - Duration(1)) == Duration(1));
  RC_ASSERT(bucket.take(second, rate, now + wait) == Duration{});
}

RC_GTEST_PROP(MinuteBucket, NoRateIsEverExceeded, ()) {
  const auto rate = *rc::gen::inRange<std::uint64_t>(1, 100'000);
  MinuteBucket bucket;
  std::uint64_t taken = 0;
  Time now{};
  for (int i = 0; i < 200; ++i) {
    now += Duration(*rc::gen::inRange<std::int64_t>(0, 2'000'000'000));
    const auto amount = *rc::gen::inRange<std::uint64_t>(0, rate + 1);
    if (bucket.take(amount, rate, now) == Duration{}) taken += amount;
    const auto allowed = Wide{rate} * (kMinute.count() + now.time_since_epoch().count());
    RC_ASSERT(Wide{taken} * kMinute.count() <= allowed);
  }
}

TEST(MinuteBucket, ADebtIsBoundedAndPaidBack) {
  MinuteBucket bucket;
  for (int i = 0; i < 1000; ++i) bucket.charge(UINT64_MAX, 1, Time{});
  EXPECT_LE(bucket.take(1, 1, Time{}), MinuteBucket::kDebtMax);
  EXPECT_EQ(bucket.take(1, 1, Time{} + MinuteBucket::kDebtMax), Duration{});
}

TEST(KeyUsage, WithoutLimitsEverythingIsAdmittedAndCounted) {
  const auto key = usage();
  std::vector<Grant> running;
  for (int i = 0; i < 100; ++i) running.push_back(key->admit({}, 1'000'000, Time{}));
  EXPECT_EQ(key->figures().running, 100U);
  EXPECT_EQ(key->figures().admitted, 100U);
  running.clear();
  EXPECT_EQ(key->figures().running, 0U);
}

TEST(KeyUsage, RequestsComeBackOneByOne) {
  const auto key = usage();
  const KeyLimits limits{.requests_per_minute = 60};
  for (int i = 0; i < 60; ++i) {
    EXPECT_EQ(key->admit(limits, 0, Time{}).refusal, Refusal::kNone) << i;
  }
  const Grant refused = key->admit(limits, 0, Time{});
  EXPECT_EQ(refused.refusal, Refusal::kRequests);
  EXPECT_EQ(refused.retry_after, kSecond);
  EXPECT_FALSE(refused.share.held());
  EXPECT_EQ(key->admit(limits, 0, Time{} + kSecond).refusal, Refusal::kNone);
  EXPECT_EQ(key->admit(limits, 0, Time{} + kSecond).refusal, Refusal::kRequests);
  EXPECT_EQ(key->refused(Refusal::kRequests), 2U);
  EXPECT_EQ(key->figures().running, 0U);
}

TEST(KeyUsage, TokensAreChargedAtAdmissionAndCorrectedAtTheEnd) {
  const auto key = usage();
  const KeyLimits limits{.tokens_per_minute = 600};
  Grant first = key->admit(limits, 500, Time{});
  EXPECT_EQ(key->admit(limits, 200, Time{}).refusal, Refusal::kTokens);
  first.share.settle({.prompt_tokens = 100, .output_tokens = 50}, Time{});
  EXPECT_EQ(key->figures().prompt_tokens, 100U);
  EXPECT_EQ(key->figures().output_tokens, 50U);
  Grant second = key->admit(limits, 450, Time{});
  EXPECT_EQ(second.refusal, Refusal::kNone) << "of 600, 150 were used";
  second.share.settle({.prompt_tokens = 450, .output_tokens = 600}, Time{});
  const Grant third = key->admit(limits, 1, Time{});
  EXPECT_EQ(third.refusal, Refusal::kTokens) << "overdrawn by the answer";
  EXPECT_EQ(third.retry_after, std::chrono::milliseconds(60'100)) << "600 + 1 at 10 a second";
}

TEST(KeyUsage, APromptLargerThanAMinuteNeedsAFullBucket) {
  const auto key = usage();
  const KeyLimits limits{.tokens_per_minute = 600};
  EXPECT_EQ(key->admit(limits, 1200, Time{}).refusal, Refusal::kNone);
  EXPECT_EQ(key->admit(limits, 1200, Time{}).retry_after, 2 * kMinute);
  EXPECT_EQ(key->admit(limits, 1200, Time{} + 2 * kMinute).refusal, Refusal::kNone);
}

TEST(KeyUsage, ARefusalTakesNothing) {
  const auto key = usage();
  const KeyLimits limits{.requests_per_minute = 2, .tokens_per_minute = 100, .concurrency = 2};
  const Grant running = key->admit(limits, 100, Time{});
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(key->admit(limits, 1, Time{}).refusal, Refusal::kTokens);
  }
  EXPECT_EQ(key->figures().running, 1U);
  const Time later = Time{} + kSecond;
  const Grant second = key->admit(limits, 1, later);
  EXPECT_EQ(second.refusal, Refusal::kNone) << "the refused ones took no request";
  EXPECT_EQ(key->admit(limits, 0, later).refusal, Refusal::kConcurrency);
}

TEST(KeyUsage, AShareReturnsItsPlaceOnceHoweverItEnds) {
  const auto key = usage();
  const KeyLimits limits{.concurrency = 1};
  {
    Grant grant = key->admit(limits, 5, Time{});
    Share moved = std::move(grant.share);
    Share again;
    again = std::move(moved);
    EXPECT_EQ(key->admit(limits, 5, Time{}).refusal, Refusal::kConcurrency);
    again.settle({}, Time{});
    EXPECT_EQ(key->figures().running, 0U);
    again.settle({}, Time{});
  }
  EXPECT_EQ(key->figures().running, 0U);
  Share one = key->admit({}, 5, Time{}).share;
  one = key->admit({}, 5, Time{}).share;
  EXPECT_EQ(key->figures().running, 1U) << "what is replaced is returned";
}

TEST(KeyUsage, AShareOutlivesTheTableOfItsKey) {
  auto key = usage();
  const std::weak_ptr<KeyUsage> alive = key;
  auto grant = std::make_unique<Grant>(key->admit({}, 5, Time{}));
  key.reset();
  EXPECT_FALSE(alive.expired());
  grant.reset();
  EXPECT_TRUE(alive.expired());
}

constexpr int kThreads = 4;

// On all threads at once.
void together(const std::function<void()>& work) {
  std::atomic<int> ready{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      ++ready;
      while (ready < kThreads) std::this_thread::yield();
      work();
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(KeyUsage, ThreadsTogetherNeverExceedTheConcurrency) {
  constexpr std::uint64_t kRounds = 200'000;
  for (const std::uint64_t places : {1U, 2U, 1000U}) {
    const auto key = usage();
    const KeyLimits limits{.concurrency = places};
    std::atomic<std::uint64_t> inside{0};
    std::atomic<std::uint64_t> most{0};
    together([&] {
      for (std::uint64_t i = 0; i < kRounds; ++i) {
        Grant grant = key->admit(limits, 5, Time{});
        if (grant.refusal != Refusal::kNone) continue;
        const std::uint64_t now_inside = ++inside;
        std::uint64_t seen = most.load();
        while (seen < now_inside && !most.compare_exchange_weak(seen, now_inside)) {
        }
        --inside;
        grant.share.settle({5, 5}, Time{});
      }
    });
    EXPECT_LE(most.load(), places);
    EXPECT_EQ(key->figures().running, 0U) << "a place was lost or given twice";
    EXPECT_EQ(key->figures().output_tokens, 5 * key->figures().admitted);
    EXPECT_EQ(key->figures().admitted + key->refused(Refusal::kConcurrency), kThreads * kRounds);
  }
}

// Every take that another thread's overwrote would be left in the bucket.
TEST(MinuteBucket, ThreadsTogetherTakeEveryDrop) {
  constexpr std::uint64_t kRounds = 500'000;
  constexpr std::uint64_t kRate = kRequestsPerMinuteMax;
  MinuteBucket bucket;
  together([&] {
    for (std::uint64_t i = 0; i < kRounds; ++i) {
      EXPECT_EQ(bucket.take(1, kRate, Time{}), Duration{});
      bucket.charge(2, kRate, Time{});
      bucket.give_back(1, kRate);
    }
  });
  const std::uint64_t left = kRate - 2 * kThreads * kRounds;
  EXPECT_EQ(bucket.take(left, kRate, Time{}), Duration{});
  EXPECT_GT(bucket.take(1, kRate, Time{}), Duration{});
}

}  // namespace
}  // namespace fairlead::access
