// SPDX-License-Identifier: Apache-2.0
#include "core/replication/replica_secret.h"

#include <gtest/gtest.h>

#include <string>

namespace fairlead::replication {
namespace {

ReplicaSecret secret_of(std::string_view text) {
  const auto secret = ReplicaSecret::derive(text);
  EXPECT_TRUE(secret) << secret.error().message;
  return *secret;
}

std::string_view view(const Seal& seal) {
  return {reinterpret_cast<const char*>(seal.data()), seal.size()};
}

constexpr std::string_view kText = "correct horse battery staple";

Seal seal_of(const ReplicaSecret& secret, std::string_view message,
             const Challenge& challenge = {}) {
  return secret.seal(challenge, digest_of(message));
}

TEST(ReplicaSecret, EqualTextsMakeEqualKeysAndOthersDoNot) {
  const ReplicaSecret a = secret_of(kText);
  const ReplicaSecret b = secret_of("correct horse battery staple\n");
  const ReplicaSecret c = secret_of("correct horse battery stapler");
  EXPECT_EQ(a.key_seed(), b.key_seed()) << "an editor's newline is no part of it";
  EXPECT_EQ(a.endpoint_id("gpu-0"), b.endpoint_id("gpu-0"));
  EXPECT_EQ(seal_of(a, "x"), seal_of(b, "x"));
  EXPECT_NE(a.key_seed(), c.key_seed());
  EXPECT_NE(a.endpoint_id("gpu-0"), c.endpoint_id("gpu-0"));
  EXPECT_NE(a.endpoint_id("gpu-0"), a.endpoint_id("gpu-1"));
  EXPECT_NE(seal_of(a, "x"), seal_of(c, "x"));
}

// HMAC-SHA256, worked out apart with Python's hmac, so that routers of two builds agree.
TEST(ReplicaSecret, IsTheSameInEveryBuild) {
  const ReplicaSecret a = secret_of(kText);
  EXPECT_EQ(a.key_seed(), 0xecd354c30a0f8ccbULL);
  EXPECT_EQ(a.endpoint_id("gpu-0"), 0x162679a34a42e225ULL);
  EXPECT_EQ(seal_of(a, "x")[0], 0x42);
}

TEST(ReplicaSecret, ASealFitsItsMessageOnly) {
  const ReplicaSecret a = secret_of(kText);
  const Seal seal = seal_of(a, "message");
  EXPECT_TRUE(a.sealed_by({}, "message", view(seal)));
  EXPECT_FALSE(a.sealed_by({}, "messagf", view(seal)));
  EXPECT_FALSE(a.sealed_by({}, "message", view(seal).substr(0, 31)));
  EXPECT_FALSE(a.sealed_by({}, "message", ""));
  EXPECT_FALSE(secret_of("another secret text").sealed_by({}, "message", view(seal)));
  EXPECT_FALSE(a.sealed_by(a.challenge(1, 1), "message", view(seal))) << "recorded elsewhere";
  for (std::size_t bit = 0; bit < 8 * kSealBytes; ++bit) {
    Seal other = seal;
    other[bit / 8] = static_cast<std::uint8_t>(other[bit / 8] ^ (1U << bit % 8));
    EXPECT_FALSE(a.sealed_by({}, "message", view(other))) << bit;
  }
}

TEST(ReplicaSecret, ChallengesDiffer) {
  const ReplicaSecret a = secret_of(kText);
  EXPECT_EQ(a.challenge(1, 1), a.challenge(1, 1));
  EXPECT_NE(a.challenge(1, 1), a.challenge(1, 2));
  EXPECT_NE(a.challenge(1, 1), a.challenge(2, 1));
  EXPECT_NE(a.challenge(1, 1), secret_of("another secret text").challenge(1, 1));
}

TEST(ReplicaSecret, ATextThatIsTooShortOrTooLongIsRefused) {
  EXPECT_FALSE(ReplicaSecret::derive(""));
  EXPECT_FALSE(ReplicaSecret::derive("                    \n"));
  const auto refused = ReplicaSecret::derive("fifteen bytes..\n");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message,
            "a secret has 16 to 4096 bytes, this one has 15; make one with: openssl rand -base64 "
            "32");
  EXPECT_TRUE(ReplicaSecret::derive("sixteen bytes..."));
  EXPECT_TRUE(ReplicaSecret::derive(std::string(4096, 'a')));
  EXPECT_FALSE(ReplicaSecret::derive(std::string(4097, 'a')));
}

}  // namespace
}  // namespace fairlead::replication
