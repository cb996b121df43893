// SPDX-License-Identifier: Apache-2.0
#include "core/replication/replica_inbox.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace fairlead::replication {
namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t kBlock = 1024;

class ReplicaInboxTest : public ::testing::Test {
 protected:
  static ReplicaSecret secret_of(std::string_view text) { return *ReplicaSecret::derive(text); }

  BatchResult take(const std::string& message) { return take(message, secret_); }
  BatchResult take(const std::string& message, const ReplicaSecret& by) {
    const Seal seal = by.seal(challenge_, digest_of(message));
    return inbox_.take(challenge_, message,
                       {reinterpret_cast<const char*>(seal.data()), seal.size()}, kBlock, now_);
  }
  // A batch of one prompt.
  static std::string batch(std::uint64_t sender, std::uint64_t number,
                           std::uint32_t block = kBlock) {
    const std::vector<std::uint64_t> keys{number};
    PlacementWriter writer;
    EXPECT_TRUE(writer.add({1, keys}));
    return writer.finish({sender, number, block});
  }

  ReplicaSecret secret_ = secret_of("correct horse battery staple");
  Challenge challenge_ = secret_.challenge(1, 1);
  ReplicaInbox inbox_{secret_, 1};
  Time now_{1h};
};

TEST_F(ReplicaInboxTest, TakesWhatIsNewFromEachRouter) {
  EXPECT_EQ(take(batch(2, 1)), BatchResult::kTaken);
  ASSERT_EQ(inbox_.placements().size(), 1U);
  EXPECT_EQ(inbox_.placements()[0].keys[0], 1U);
  EXPECT_EQ(take(batch(3, 1)), BatchResult::kTaken);
  EXPECT_EQ(take(batch(2, 2)), BatchResult::kTaken);
  EXPECT_EQ(inbox_.placements()[0].keys[0], 2U);
  EXPECT_EQ(inbox_.lost(), 0U);
}

TEST_F(ReplicaInboxTest, ItsOwnCountsForNothing) {
  EXPECT_EQ(take(batch(1, 1)), BatchResult::kOwn);
  EXPECT_EQ(inbox_.living(now_), 0U);
}

TEST_F(ReplicaInboxTest, WhatSomebodyElseSealedChangesNothing) {
  EXPECT_EQ(take(batch(2, 1), secret_of("another secret text")), BatchResult::kUnsealed);
  EXPECT_EQ(inbox_.take(challenge_, batch(2, 1), "", kBlock, now_), BatchResult::kUnsealed);
  EXPECT_EQ(inbox_.living(now_), 0U);
  EXPECT_EQ(take(batch(2, 1)), BatchResult::kTaken);
}

TEST_F(ReplicaInboxTest, GapsAreCountedAndRepeatsAreNot) {
  EXPECT_EQ(take(batch(2, 10)), BatchResult::kTaken);
  EXPECT_EQ(inbox_.lost(), 0U) << "nobody waited for what came before";
  EXPECT_EQ(take(batch(2, 14)), BatchResult::kTaken);
  EXPECT_EQ(inbox_.lost(), 3U);
  EXPECT_EQ(take(batch(2, 14)), BatchResult::kRepeated);
  EXPECT_TRUE(inbox_.placements().empty()) << "of what is not taken nothing is shown";
  EXPECT_EQ(take(batch(2, 12)), BatchResult::kRepeated) << "late ones count as lost";
  EXPECT_EQ(inbox_.lost(), 3U);
  EXPECT_EQ(take(batch(2, 15)), BatchResult::kTaken);
}

TEST_F(ReplicaInboxTest, WhatWasSaidOnAnotherConnectionIsNotTaken) {
  const std::string message = batch(2, 1);
  const Seal seal = secret_.seal(secret_.challenge(1, 2), digest_of(message));
  EXPECT_EQ(inbox_.take(challenge_, message,
                        {reinterpret_cast<const char*>(seal.data()), seal.size()}, kBlock, now_),
            BatchResult::kUnsealed);
}

// A batch without placements has the number of the last one with.
TEST_F(ReplicaInboxTest, AnEmptyBatchSaysThatItsSenderLivesAndWhatIsMissing) {
  const auto empty = [](std::uint64_t number) {
    return PlacementWriter().finish({2, number, kBlock});
  };
  EXPECT_EQ(take(empty(0)), BatchResult::kTaken) << "before the first";
  EXPECT_EQ(take(empty(0)), BatchResult::kTaken);
  EXPECT_EQ(take(batch(2, 1)), BatchResult::kTaken);
  EXPECT_EQ(take(empty(1)), BatchResult::kTaken);
  EXPECT_EQ(inbox_.lost(), 0U);
  EXPECT_EQ(take(empty(3)), BatchResult::kTaken);
  EXPECT_EQ(inbox_.lost(), 2U) << "those of 2 and 3";
  EXPECT_EQ(take(batch(2, 3)), BatchResult::kRepeated);
  EXPECT_EQ(take(empty(2)), BatchResult::kRepeated);
  EXPECT_EQ(take(batch(2, 4)), BatchResult::kTaken);
  EXPECT_EQ(inbox_.lost(), 2U);
}

TEST_F(ReplicaInboxTest, OneGapCountsOnlySoMuch) {
  EXPECT_EQ(take(batch(2, 1)), BatchResult::kTaken);
  EXPECT_EQ(take(batch(2, ~std::uint64_t{0})), BatchResult::kTaken);
  EXPECT_EQ(inbox_.lost(), ReplicaInbox::kGapMax);
}

TEST_F(ReplicaInboxTest, FaultsHaveNames) {
  EXPECT_EQ(take("garbage"), BatchResult::kMalformed);
  std::string next = batch(2, 1);
  next[4] = 9;
  EXPECT_EQ(take(next), BatchResult::kOtherVersion);
  EXPECT_EQ(take(batch(2, 1, 512)), BatchResult::kOtherBlocks);
  EXPECT_EQ(take(batch(2, 2)), BatchResult::kTaken) << "it was told to have the same";
}

TEST_F(ReplicaInboxTest, WhoIsSilentDoesNotLiveAndIsForgotten) {
  EXPECT_EQ(take(batch(2, 1)), BatchResult::kTaken);
  now_ += 4s;
  EXPECT_EQ(take(batch(3, 1)), BatchResult::kTaken);
  EXPECT_EQ(inbox_.living(now_), 2U);
  now_ += 1s;
  EXPECT_EQ(inbox_.living(now_), 1U);
  inbox_.forget_silent(now_);
  EXPECT_EQ(take(batch(2, 1)), BatchResult::kRepeated) << "it is known still";
  now_ += ReplicaInbox::kForgotten;
  inbox_.forget_silent(now_);
  EXPECT_EQ(take(batch(2, 1)), BatchResult::kTaken);
}

TEST_F(ReplicaInboxTest, RoutersAreBoundedAndWhoIsSilentMakesRoom) {
  for (std::uint64_t i = 0; i < ReplicaInbox::kReplicasMax; ++i) {
    ASSERT_EQ(take(batch(2 + i, 1)), BatchResult::kTaken);
    now_ += 1ms;
  }
  EXPECT_EQ(take(batch(5000, 1)), BatchResult::kTooMany);
  now_ += 4700ms;
  EXPECT_EQ(take(batch(2, 2)), BatchResult::kTaken);
  now_ += 100ms;
  EXPECT_EQ(take(batch(5000, 1)), BatchResult::kTaken) << "in the place of 3";
  EXPECT_EQ(take(batch(3, 1)), BatchResult::kTaken) << "in the place of 4";
  EXPECT_EQ(take(batch(2, 2)), BatchResult::kRepeated) << "it spoke a moment ago";
}

}  // namespace
}  // namespace fairlead::replication
