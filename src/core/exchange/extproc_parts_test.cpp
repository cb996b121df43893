// SPDX-License-Identifier: Apache-2.0
// The parts of an ext_proc stream that have no order to keep.
#include <gtest/gtest.h>

#include <atomic>
#include <string>

#include "core/codec/ext_proc_envoy.h"
#include "core/exchange/body_store.h"
#include "core/exchange/extproc_stream.h"
#include "core/exchange/model_name_swap.h"
#include "core/exchange/route.h"
#include "core/exchange/subset_hint.h"

namespace fairlead::exchange {
namespace {

TEST(BodyStore, LendsWhatItKeptAndNoMoreThanItMay) {
  BodyStore store({.lent_bytes_max = 100'000, .kept_bytes_max = 50'000});
  StoredBody first(store);
  StoredBody second(store);
  ASSERT_TRUE(first.append(std::string(40'000, 'a')));
  const char* const memory = first.view().data();
  EXPECT_FALSE(second.append(std::string(70'000, 'b')));
  EXPECT_EQ(second.view(), "");
  first.release();
  EXPECT_EQ(store.lent_bytes(), 0U);
  EXPECT_GE(store.kept_bytes(), 40'000U);
  ASSERT_TRUE(second.append("b"));
  EXPECT_EQ(second.view().data(), memory);
  EXPECT_EQ(store.kept_bytes(), 0U);
  ASSERT_TRUE(second.splice(0, 1, std::string(60'000, 'c')));
  second.release();
  EXPECT_EQ(store.kept_bytes(), 0U) << "more than is kept goes back";
}

TEST(BodyStore, ARefusedBodyLeavesTheMemoryThatWasKept) {
  BodyStore store({.lent_bytes_max = 50'000, .kept_bytes_max = 50'000});
  StoredBody first(store);
  ASSERT_TRUE(first.append(std::string(40'000, 'a')));
  const char* const memory = first.view().data();
  first.release();
  const std::size_t kept = store.kept_bytes();
  EXPECT_FALSE(first.append(std::string(60'000, 'b')));
  EXPECT_EQ(store.kept_bytes(), kept);
  ASSERT_TRUE(first.append("c"));
  EXPECT_EQ(first.view().data(), memory);
}

TEST(BodyStore, StoresThatShareACountShareItsBound) {
  std::atomic<std::size_t> lent{0};
  BodyStore one(lent, {.lent_bytes_max = 100'000});
  BodyStore other(lent, {.lent_bytes_max = 100'000});
  StoredBody first(one);
  StoredBody second(other);
  ASSERT_TRUE(first.append(std::string(60'000, 'a')));
  EXPECT_FALSE(second.append(std::string(60'000, 'b')));
  ASSERT_TRUE(second.append(std::string(30'000, 'b')));
  EXPECT_EQ(one.lent_bytes(), 60'000U);
  EXPECT_EQ(other.lent_bytes(), 30'000U);
  EXPECT_EQ(lent, 90'000U);
  // What was lent stays when the bound falls, and may not grow.
  other.set_lent_bytes_max(50'000);
  EXPECT_FALSE(second.append("b"));
  EXPECT_TRUE(second.splice(0, 1, "c"));
  other.set_lent_bytes_max(200'000);
  EXPECT_TRUE(second.append("b"));
  first.release();
  second.release();
  EXPECT_EQ(lent, 0U);
}

TEST(ModelNameSwap, DoesNotDependOnTheCuts) {
  const std::string text =
      R"({"model":"a/b","x":"\"model\":\"a/b\"","model": "a/b","model":"a/bc",)"
      R"("model":"a/"} "mod "model":"model": "a/b")";
  const std::string wanted =
      R"({"model":"me","x":"\"model\":\"a/b\"","model": "me","model":"a/bc",)"
      R"("model":"a/"} "mod "model":"model": "me")";
  for (std::size_t one = 0; one <= text.size(); ++one) {
    for (std::size_t two = one; two <= text.size(); ++two) {
      ModelNameSwap swap;
      swap.set("a/b", "\"me\"");
      std::string out;
      const std::string_view view(text);
      swap.feed(view.substr(0, one), HoldBack::kAllowed, out);
      swap.feed(view.substr(one, two - one), HoldBack::kAllowed, out);
      swap.feed(view.substr(two), HoldBack::kAllowed, out);
      swap.finish(out);
      ASSERT_EQ(out, wanted) << one << ' ' << two;
    }
  }
}

TEST(ModelNameSwap, HoldsBackNoMoreThanWhatMayBeAMatch) {
  ModelNameSwap swap;
  swap.set("large", "\"s\"");
  std::string out;
  swap.feed("data: {\"x\":1,\"mod", HoldBack::kAllowed, out);
  EXPECT_EQ(out, "data: {\"x\":1,");
  swap.feed("ality\":2", HoldBack::kAllowed, out);
  EXPECT_EQ(out, "data: {\"x\":1,\"modality\":2");
  out.clear();
  swap.feed(",\"model\":\"lar", HoldBack::kForbidden, out);
  EXPECT_EQ(out, ",\"model\":\"lar");
}

TEST(RouteSuffix, TakesTheLongestKnownEnd) {
  EXPECT_EQ(match_route_suffix("POST", "/v1/chat/completions").route, Route::kChatCompletions);
  EXPECT_EQ(match_route_suffix("POST", "/team/a/v1/chat/completions").route,
            Route::kChatCompletions);
  EXPECT_EQ(match_route_suffix("POST", "/openai/chat/completions").route, Route::kChatCompletions);
  EXPECT_EQ(match_route_suffix("POST", "/x/messages/count_tokens").route, Route::kCountTokens);
  EXPECT_EQ(match_route_suffix("GET", "/x/completions").handling, Handling::kRefuse);
  EXPECT_EQ(match_route_suffix("POST", "/x/other").route, Route::kNone);
}

TEST(SubsetHint, MatchesAddressesAndPortsWhereThereAreAny) {
  SubsetHint hint;
  EXPECT_TRUE(hint.allows("10.0.0.1", 8000));
  hint.read(codec::envoy::subset_metadata(
      {"10.0.0.1:8000", "10.0.0.2", "[fd00::1]:9000", "fd00::2", "10.0.0.3:http", "[fd00::3]"}));
  EXPECT_TRUE(hint.present());
  EXPECT_TRUE(hint.allows("10.0.0.1", 8000));
  EXPECT_FALSE(hint.allows("10.0.0.1", 8001));
  EXPECT_TRUE(hint.allows("10.0.0.2", 1));
  EXPECT_TRUE(hint.allows("fd00::1", 9000));
  EXPECT_FALSE(hint.allows("fd00::1", 9001));
  EXPECT_TRUE(hint.allows("FD00::2", 1));
  EXPECT_TRUE(hint.allows("fd00::3", 1));
  EXPECT_FALSE(hint.allows("10.0.0.3", 80));
  hint.read(codec::envoy::subset_metadata({}));
  EXPECT_TRUE(hint.present());
  EXPECT_FALSE(hint.allows("10.0.0.1", 8000));
  hint.read("");  // The next message says nothing: what was said stands.
  EXPECT_FALSE(hint.allows("10.0.0.1", 8000));
}

TEST(AppendEndpoint, BracketsIpv6AndJoinsByCommas) {
  std::string list;
  append_endpoint("10.0.0.1", 80, list);
  append_endpoint("fd00::1", 8000, list);
  EXPECT_EQ(list, "10.0.0.1:80,[fd00::1]:8000");
}

}  // namespace
}  // namespace fairlead::exchange
