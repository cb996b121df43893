// SPDX-License-Identifier: Apache-2.0
#include "core/codec/grpc_frame.h"

#include <gtest/gtest.h>

#include <vector>

namespace fairlead::codec {
namespace {

using Kind = GrpcFrameReader::Kind;

std::string framed(std::string_view message, char flag = 0) {
  const auto prefix = grpc_prefix(static_cast<std::uint32_t>(message.size()));
  std::string out(prefix.data(), prefix.size());
  out[0] = flag;
  return out.append(message);
}

struct Reading {
  std::vector<std::string> messages;
  bool in_place = true;  // No message came in parts.
  GrpcFrameError error = GrpcFrameError::kNone;
  bool at_boundary = true;
};

// Reads `bytes` in pieces of `piece` bytes.
Reading read_messages(std::string_view bytes, std::size_t piece, std::size_t max = 1000) {
  GrpcFrameReader reader(max);
  Reading out;
  std::string parts;
  while (!bytes.empty() && out.error == GrpcFrameError::kNone) {
    std::string_view now = bytes.substr(0, piece);
    bytes.remove_prefix(now.size());
    while (!now.empty() && out.error == GrpcFrameError::kNone) {
      const GrpcFrameReader::Step step = reader.next(now);
      if (step.kind == Kind::kError) out.error = reader.error();
      if (step.kind == Kind::kPart || step.kind == Kind::kLast) {
        EXPECT_FALSE(step.bytes.empty());
        out.in_place = false;
        parts += step.bytes;
      }
      if (step.kind == Kind::kWhole) out.messages.emplace_back(step.bytes);
      if (step.kind == Kind::kLast) out.messages.push_back(std::exchange(parts, {}));
    }
  }
  out.at_boundary = reader.at_boundary();
  return out;
}

TEST(GrpcFrame, MessagesInOnePieceLieWhereTheyCame) {
  const std::string bytes = framed("first") + framed("") + framed("second");
  const Reading all = read_messages(bytes, bytes.size());
  EXPECT_EQ(all.messages, (std::vector<std::string>{"first", "", "second"}));
  EXPECT_TRUE(all.in_place);
  EXPECT_TRUE(all.at_boundary);
}

TEST(GrpcFrame, EveryWayToCutTheBytesGivesTheSameMessages) {
  const std::string bytes = framed("first") + framed("") + framed(std::string(300, 'x'));
  for (std::size_t piece = 1; piece <= bytes.size(); ++piece) {
    const Reading all = read_messages(bytes, piece);
    ASSERT_EQ(all.messages.size(), 3U) << piece;
    EXPECT_EQ(all.messages[0], "first");
    EXPECT_EQ(all.messages[1], "");
    EXPECT_EQ(all.messages[2], std::string(300, 'x'));
    EXPECT_TRUE(all.at_boundary);
  }
}

TEST(GrpcFrame, AnEndWithinAPrefixOrAMessageIsSeen) {
  const std::string bytes = framed("first");
  for (std::size_t size = 1; size < bytes.size(); ++size) {
    EXPECT_FALSE(read_messages(bytes.substr(0, size), 1).at_boundary) << size;
  }
}

TEST(GrpcFrame, RefusesWhatItCannotRead) {
  EXPECT_EQ(read_messages(framed("x", 1), 9).error, GrpcFrameError::kCompressed);
  EXPECT_EQ(read_messages(framed("x", 2), 9).error, GrpcFrameError::kBadFlag);
  EXPECT_EQ(read_messages(framed(std::string(1000, 'x')), 9).error, GrpcFrameError::kNone);
  const Reading large = read_messages(framed(std::string(1001, 'x')), 9);
  EXPECT_EQ(large.error, GrpcFrameError::kTooLarge);
  EXPECT_TRUE(large.messages.empty());
}

TEST(GrpcFrame, MessageTextIsPercentEncoded) {
  std::string out = "grpc-message: ";
  append_grpc_message(out, "50% of \xC3\xA9\n~ !");
  EXPECT_EQ(out, "grpc-message: 50%25 of %C3%A9%0A~ !");
}

TEST(GrpcFrame, TimeoutsHaveAllUnits) {
  using namespace std::chrono_literals;
  EXPECT_EQ(parse_grpc_timeout("1H"), Duration(1h));
  EXPECT_EQ(parse_grpc_timeout("2M"), Duration(2min));
  EXPECT_EQ(parse_grpc_timeout("30S"), Duration(30s));
  EXPECT_EQ(parse_grpc_timeout("250m"), Duration(250ms));
  EXPECT_EQ(parse_grpc_timeout("7u"), Duration(7us));
  EXPECT_EQ(parse_grpc_timeout("12345678n"), Duration(12345678));
  EXPECT_EQ(parse_grpc_timeout("99999999H"), Duration(24h * 365 * 10));
  for (const char* bad : {"", "S", "1", "1s", "-1S", "1.5S", " 1S", "123456789S"}) {
    EXPECT_EQ(parse_grpc_timeout(bad), std::nullopt) << bad;
  }
}

TEST(GrpcFrame, StatusesHaveTheirNumbersOnTheWire) {
  EXPECT_EQ(static_cast<int>(GrpcStatus::kDeadlineExceeded), 4);
  EXPECT_EQ(static_cast<int>(GrpcStatus::kUnimplemented), 12);
  EXPECT_EQ(static_cast<int>(GrpcStatus::kUnauthenticated), 16);
  EXPECT_EQ(to_string(GrpcStatus::kUnauthenticated), "UNAUTHENTICATED");
}

}  // namespace
}  // namespace fairlead::codec
