// SPDX-License-Identifier: Apache-2.0
#include "core/replication/replica_frame.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace fairlead::replication {
namespace {

using Step = FrameReader::Step;

Seal seal_filled_with(std::uint8_t byte) {
  Seal seal;
  seal.fill(byte);
  return seal;
}

std::string three_frames() {
  std::string out;
  append_frame(out, "first message", seal_filled_with(1));
  append_frame(out, "", seal_filled_with(2));
  append_frame(out, "third", seal_filled_with(3));
  return out;
}

TEST(ReplicaFrame, MessagesAreReadHoweverTheyAreCut) {
  const std::string bytes = three_frames();
  for (std::size_t piece = 1; piece <= bytes.size(); ++piece) {
    FrameReader reader(1024);
    std::vector<std::string> messages;
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
      std::string_view now = std::string_view(bytes).substr(at, piece);
      while (!now.empty() && reader.next(now) == Step::kFrame) {
        messages.emplace_back(reader.message());
        EXPECT_EQ(reader.seal(), std::string(kSealBytes, static_cast<char>(messages.size())));
      }
    }
    EXPECT_EQ(messages, (std::vector<std::string>{"first message", "", "third"})) << piece;
  }
}

TEST(ReplicaFrame, OneThatIsTooLongIsToldAtItsHead) {
  std::string bytes;
  append_frame(bytes, std::string(11, 'x'), seal_filled_with(1));
  FrameReader reader(10);
  std::string_view head = std::string_view(bytes).substr(0, 4 + kSealBytes);
  EXPECT_EQ(reader.next(head), Step::kTooLong);
  FrameReader wider(10);
  wider.allow(11);
  std::string_view all = bytes;
  EXPECT_EQ(wider.next(all), Step::kFrame);
  EXPECT_EQ(wider.message().size(), 11U);
}

TEST(ReplicaFrame, AGreetingIsReadBackAndNothingElseIs) {
  const ReplicaSecret secret = *ReplicaSecret::derive("correct horse battery staple");
  const Challenge challenge = secret.challenge(1, 2);
  const std::string greeting = greeting_of(challenge);
  ASSERT_EQ(greeting.size(), kGreetingBytes);
  EXPECT_EQ(read_greeting(greeting), challenge);
  EXPECT_FALSE(read_greeting(greeting.substr(1)));
  std::string other = greeting;
  other[4] = 2;
  EXPECT_FALSE(read_greeting(other)) << "another version";
  EXPECT_FALSE(read_greeting("HTTP/1.1 400 Bad Request"));
}

}  // namespace
}  // namespace fairlead::replication
