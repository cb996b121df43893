// SPDX-License-Identifier: Apache-2.0
#include "core/codec/grpc_health.h"

#include <gtest/gtest.h>

namespace fairlead::codec {
namespace {

using namespace std::string_literals;

TEST(GrpcHealthCodec, ReadsTheServiceOfARequest) {
  EXPECT_EQ(parse_health_request(""), "");
  EXPECT_EQ(parse_health_request("\x0A\x08liveness"), "liveness");
  // Fields of a later version, and the last of two values, as protobuf has it.
  EXPECT_EQ(parse_health_request("\x10\x05\x0A\x01"
                                 "a\x1D"
                                 "four\x21"
                                 "eightbyt\x2A\x02xx\x0A\x01"
                                 "b"),
            "b");
}

TEST(GrpcHealthCodec, RefusesWhatIsNoMessage) {
  for (const std::string& bad : {"\x0A"s, "\x0A\x09liveness"s, "\x10"s, "\x1Dxxx"s, "\x13"s,
                                 "\x02\x01x"s, std::string(11, '\xFF'), "\x2A\xFF\xFF\xFF\x0Fx"s}) {
    EXPECT_EQ(parse_health_request(bad), std::nullopt);
  }
}

TEST(GrpcHealthCodec, WritesResponses) {
  std::string out;
  append_health_response(out, HealthStatus::kUnknown);
  EXPECT_EQ(out, "");
  append_health_response(out, HealthStatus::kServiceUnknown);
  EXPECT_EQ(out, "\x08\x03");
}

TEST(GrpcHealthCodec, WritesEntriesOfAList) {
  std::string out;
  append_health_entry(out, "ready", HealthStatus::kServing);
  append_health_entry(out, "", HealthStatus::kUnknown);
  EXPECT_EQ(out, "\x0A\x0B\x0A\x05ready\x12\x02\x08\x01\x0A\x04\x0A\x00\x12\x00"s);
}

}  // namespace
}  // namespace fairlead::codec
