// SPDX-License-Identifier: Apache-2.0
#include "lab/load/target.h"

#include <gtest/gtest.h>

#include "lab/load/trace_file.h"

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

TEST(TraceFile, ReadsBothShippedTraces) {
  const std::string folder = FAIRLEAD_SOURCE_DIR "/data/traces/";
  const auto mooncake = read_trace(folder + "mooncake_conversation.jsonl.gz");
  ASSERT_TRUE(mooncake.has_value()) << mooncake.error().message;
  EXPECT_EQ(mooncake->name, "mooncake_conversation");
  EXPECT_EQ(mooncake->rows.size(), 12031u);
  const auto azure = read_trace(folder + "azure_llm_2023_code.csv.gz");
  ASSERT_TRUE(azure.has_value()) << azure.error().message;
  EXPECT_EQ(azure->rows.size(), 8819u);
}

TEST(TraceFile, ErrorsNameTheFile) {
  const auto missing = read_trace("/nowhere/trace.jsonl");
  ASSERT_FALSE(missing.has_value());
  EXPECT_EQ(missing.error().message,
            "/nowhere/trace.jsonl: cannot be opened: No such file or directory");
  const std::string readme = FAIRLEAD_SOURCE_DIR "/data/traces/README.md";
  EXPECT_EQ(read_trace(readme).error().message,
            readme + ": line 1: the header must be TIMESTAMP,ContextTokens,GeneratedTokens");
}

}  // namespace
}  // namespace fairlead::load
