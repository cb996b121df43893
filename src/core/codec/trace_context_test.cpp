// SPDX-License-Identifier: Apache-2.0
#include "core/codec/trace_context.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace fairlead::codec {
namespace {

constexpr std::string_view kGood = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

TraceContext read(std::string_view parent, const std::vector<std::string>& states = {}) {
  Http1Headers headers{{"Host", "x"}, {"TraceParent", parent}};
  for (const std::string& state : states) headers.push_back({"tracestate", state});
  return read_trace_context(headers);
}

TEST(TraceContext, ReadsAParentAndWritesItBack) {
  const TraceContext context = read(kGood);
  ASSERT_EQ(context.parent_header, TraceHeader::kValid);
  EXPECT_EQ(
      context.parent,
      (TraceParent{{0x0af7651916cd43dd, 0x8448eb211c80319c}, 0xb7ad6b7169203331, kTraceSampled}));
  EXPECT_TRUE(context.parent.sampled());
  std::string text;
  append_trace_parent(text, context.parent);
  EXPECT_EQ(text, kGood);
  EXPECT_FALSE(read("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-02").parent.sampled());
}

TEST(TraceContext, ALaterVersionIsReadAsFarAsThisOneGoes) {
  for (const char* good : {"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                           "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what",
                           "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-"}) {
    EXPECT_EQ(read(good).parent_header, TraceHeader::kValid) << good;
  }
}

TEST(TraceContext, RefusesEveryOtherForm) {
  for (const char* wrong : {"", "00", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
                            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
                            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 ",
                            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.what",
                            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                            "0x-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                            "00-0af7651916cd43dd8448eb211c80319c-B7ad6b7169203331-01",
                            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0A",
                            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
                            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
                            "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                            "00-0af7651916cd43dd8448eb211c80319c.b7ad6b7169203331-01",
                            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331_01",
                            "00-0af7651916cd43dd8448eb211c80319-cb7ad6b71692033310-01"}) {
    const TraceContext context = read(wrong, {"a=1"});
    EXPECT_EQ(context.parent_header, TraceHeader::kInvalid) << wrong;
    EXPECT_EQ(context.state_header, TraceHeader::kAbsent) << wrong;
    EXPECT_EQ(context.parent, TraceParent{}) << wrong;
  }
}

TEST(TraceContext, TwoParentsAreNone) {
  const Http1Headers headers{{"traceparent", kGood}, {"traceparent", kGood}};
  EXPECT_EQ(read_trace_context(headers).parent_header, TraceHeader::kInvalid);
  const Http1Headers three{{"traceparent", kGood}, {"traceparent", kGood}, {"traceparent", kGood}};
  EXPECT_EQ(read_trace_context(three).parent_header, TraceHeader::kInvalid);
}

TEST(TraceContext, AStateWithoutAParentMeansNothing) {
  const TraceContext context = read_trace_context(Http1Headers{{"tracestate", "a=1"}});
  EXPECT_EQ(context.parent_header, TraceHeader::kAbsent);
  EXPECT_EQ(context.state_header, TraceHeader::kAbsent);
}

TEST(TraceContext, ReadsStates) {
  const std::string long_key(256, 'k');
  const std::vector<std::vector<std::string>> good = {{"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"},
                                                      {"a=1", "b=2"},
                                                      {" a=1 , ,\tb=2 3,"},
                                                      {""},
                                                      {"0t@sys=v", "fw529a3039@dt=FfffffK"},
                                                      {"a-b_c*d/e=!~"},
                                                      {long_key + "=1"},
                                                      {"a=" + std::string(256, 'v')}};
  for (const auto& states : good) {
    EXPECT_EQ(read(kGood, states).state_header, TraceHeader::kValid) << states[0];
  }
  std::string many = "k0=1";
  for (int i = 1; i < 32; ++i) many += ",k" + std::to_string(i) + "=1";
  EXPECT_EQ(read(kGood, {many}).state_header, TraceHeader::kValid);
  EXPECT_EQ(read(kGood, {many, "l=1"}).state_header, TraceHeader::kInvalid);
}

TEST(TraceContext, AMalformedStateLosesOnlyItself) {
  const std::string long_key(257, 'k');
  for (const std::string& wrong :
       {std::string("a"), std::string("=1"), std::string("a="), std::string("A=1"),
        std::string("1a=1"), std::string("a=1=2"), std::string("a@=1"), std::string("@s=1"),
        std::string("a@1s=1"), std::string("a@b@c=1"), std::string("a@systemsystemsyz=1"),
        std::string("a b=1"), std::string("a=\x7f"), std::string("a=\xc3\xa4"), long_key + "=1",
        "a=" + std::string(257, 'v'), "a=1," + std::string(510, ' ') + ",b=1"}) {
    const TraceContext context = read(kGood, {wrong});
    EXPECT_EQ(context.state_header, TraceHeader::kInvalid) << wrong;
    EXPECT_EQ(context.parent_header, TraceHeader::kValid) << wrong;
  }
}

TEST(TraceContext, JoinsTheStatesInOrder) {
  std::string text;
  append_trace_state(
      Http1Headers{{"tracestate", "a=1"}, {"x", "y"}, {"Tracestate", ""}, {"Tracestate", "b=2"}},
      text);
  EXPECT_EQ(text, "a=1,b=2");
}

}  // namespace
}  // namespace fairlead::codec
