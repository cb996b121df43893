// SPDX-License-Identifier: Apache-2.0
#include "lab/load/target.h"

#include <gtest/gtest.h>

namespace fairlead::load {
namespace {

TEST(Target, UrlsArePartedIntoAddressHostAndPrefix) {
  const Target plain = parse_target("http://127.0.0.1:8080").value();
  EXPECT_EQ(plain.address.to_string(), "127.0.0.1:8080");
  EXPECT_EQ(plain.host, "127.0.0.1:8080");
  EXPECT_EQ(plain.prefix, "");
  EXPECT_EQ(parse_target("localhost:9").value().address.port(), 9);
  EXPECT_EQ(parse_target("http://[::1]:81/v1/").value().prefix, "");
  EXPECT_EQ(parse_target("http://[::1]:81/team/v1").value().prefix, "/team");
  for (const char* wrong : {"https://127.0.0.1:1", "http://", "example.org:80", "127.0.0.1",
                            "http://127.0.0.1:80/a b"}) {
    const auto target = parse_target(wrong);
    ASSERT_FALSE(target.has_value()) << wrong;
    EXPECT_NE(target.error().message.find(wrong), std::string::npos);
  }
}

}  // namespace
}  // namespace fairlead::load
