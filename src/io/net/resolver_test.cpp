// SPDX-License-Identifier: Apache-2.0
#include "io/net/resolver.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/net/testing/fake_dns.h"
#include "io/net/testing/loop_fixture.h"

namespace fairlead::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::FakeDns;
using testing::make_loop;
using testing::run_until;
using Addresses = std::vector<std::string>;

class ResolverTest : public ::testing::Test {
 protected:
  // What the name server of this test says of a name.
  LookupResult look_up(const std::string& host) {
    std::optional<LookupResult> seen;
    Lookup lookup(resolver_);
    lookup.start(host, [&](const LookupResult& result) { seen = result; });
    EXPECT_TRUE(lookup.active());
    EXPECT_FALSE(seen.has_value()) << "never inside start()";
    EXPECT_TRUE(run_until(*loop_, [&] { return seen.has_value(); }));
    EXPECT_FALSE(lookup.active());
    EXPECT_EQ(resolver_.active(), 0U);
    return seen.value_or(tl::unexpected(LookupFailure::kLocal));
  }
  LookupFailure failure_of(const std::string& host) {
    const LookupResult result = look_up(host);
    EXPECT_FALSE(result.has_value());
    return result ? LookupFailure::kLocal : result.error();
  }

  std::unique_ptr<EventLoop> loop_ = make_loop();
  FakeDns dns_{*loop_};
  ResolverOptions options_{dns_.server(), milliseconds(300), 2};
  Resolver resolver_{*loop_, options_};
};

TEST_F(ResolverTest, AddressesOfBothFamiliesComeSortedWithTheirTtl) {
  dns_.names["engine.test"] = {"::1", "10.0.0.10", "10.0.0.9", "fd00::2", "10.0.0.9"};
  dns_.ttl = 42;
  const LookupResult result = look_up("engine.test");
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->addresses, (Addresses{"10.0.0.9", "10.0.0.10", "::1", "fd00::2"}));
  EXPECT_EQ(result->ttl, seconds(42));
  EXPECT_FALSE(result->partial);
}

TEST_F(ResolverTest, OneFamilyIsEnoughAndAnAnswerChanges) {
  dns_.names["engine.test"] = {"::1"};
  ASSERT_EQ(look_up("engine.test")->addresses, (Addresses{"::1"}));
  dns_.names["engine.test"] = {"10.0.0.1"};
  const LookupResult result = look_up("engine.test");
  EXPECT_EQ(result->addresses, (Addresses{"10.0.0.1"})) << "nothing is cached";
  EXPECT_FALSE(result->partial) << "an empty family is an answer too";
}

TEST_F(ResolverTest, AFamilyThatCannotBeAskedMakesTheAnswerPartial) {
  dns_.names["engine.test"] = {"10.0.0.1", "::1"};
  dns_.mood_v6 = FakeDns::Mood::kSilent;
  LookupResult result = look_up("engine.test");
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->addresses, (Addresses{"10.0.0.1"}));
  EXPECT_TRUE(result->partial);
  dns_.mood_v6 = FakeDns::Mood::kServerFailure;
  result = look_up("engine.test");
  ASSERT_TRUE(result.has_value());
  EXPECT_TRUE(result->partial);
}

TEST_F(ResolverTest, EveryFailureHasItsKind) {
  EXPECT_EQ(failure_of("nobody.test"), LookupFailure::kNotFound);
  dns_.names["engine.test"] = {};
  EXPECT_EQ(failure_of("engine.test"), LookupFailure::kNotFound) << "a name without addresses";
  dns_.names["engine.test"] = {"10.0.0.1", "::1"};
  dns_.mood = FakeDns::Mood::kSilent;
  EXPECT_EQ(failure_of("engine.test"), LookupFailure::kTimeout);
  dns_.mood = FakeDns::Mood::kGarbage;
  EXPECT_EQ(failure_of("engine.test"), LookupFailure::kTimeout) << "no answer to this question";
  dns_.mood = FakeDns::Mood::kServerFailure;
  EXPECT_EQ(failure_of("engine.test"), LookupFailure::kServer);
  dns_.mood = FakeDns::Mood::kTruncatedRecord;
  EXPECT_EQ(failure_of("engine.test"), LookupFailure::kMalformed);
  EXPECT_EQ(failure_of(std::string(300, 'a') + ".test"), LookupFailure::kNotFound);
}

TEST_F(ResolverTest, TheHostsFileIsHonouredWithoutAName) {
  const LookupResult result = look_up("localhost");
  ASSERT_TRUE(result.has_value());
  EXPECT_TRUE(result->addresses.front() == "127.0.0.1" || result->addresses.front() == "::1");
  EXPECT_EQ(dns_.asked(), 0);
}

TEST_F(ResolverTest, LookupsAtATimeAreBounded) {
  dns_.mood = FakeDns::Mood::kSilent;
  std::vector<LookupFailure> seen;
  Lookup lookups[3] = {Lookup(resolver_), Lookup(resolver_), Lookup(resolver_)};
  for (Lookup& lookup : lookups) {
    lookup.start("engine.test",
                 [&](const LookupResult& result) { seen.push_back(result.error()); });
  }
  EXPECT_EQ(resolver_.active(), 2U);
  ASSERT_TRUE(run_until(*loop_, [&] { return seen.size() == 3; }));
  EXPECT_EQ(seen.front(), LookupFailure::kLocal);
  EXPECT_EQ(seen.back(), LookupFailure::kTimeout);
  EXPECT_EQ(resolver_.active(), 0U);
}

TEST_F(ResolverTest, ACancelledLookupIsQuiet) {
  dns_.names["engine.test"] = {"10.0.0.1"};
  {
    Lookup dies(resolver_);
    dies.start("engine.test", [](const LookupResult&) { ADD_FAILURE(); });
  }
  Lookup lookup(resolver_);
  lookup.start("engine.test", [](const LookupResult&) { ADD_FAILURE(); });
  ASSERT_TRUE(run_until(*loop_, [&] { return dns_.asked() > 0; }));
  lookup.cancel();
  EXPECT_EQ(resolver_.active(), 0U);
  EXPECT_TRUE(look_up("engine.test").has_value());
}

TEST_F(ResolverTest, NameServersThatCannotBeReadAreALocalFailure) {
  Resolver broken(*loop_, {"not a server", milliseconds(300), 2});
  std::optional<LookupResult> seen;
  Lookup lookup(broken);
  lookup.start("engine.test", [&](const LookupResult& result) { seen = result; });
  ASSERT_TRUE(run_until(*loop_, [&] { return seen.has_value(); }));
  EXPECT_EQ(seen->error(), LookupFailure::kLocal);
}

}  // namespace
}  // namespace fairlead::net
