// SPDX-License-Identifier: Apache-2.0
// Frames of a connection between two routers. Who takes it greets: "FLRH", u32 version, and 16
// bytes of a challenge. From then on who made it sends frames: u32 bytes of the message, its seal,
// which is over that challenge, and the message (placement_batch.h). Before it closes, who takes it
// may say why in one byte (BatchResult). Little-endian.
// Bounds: the reader's. Errors: FrameReader::Step, std::nullopt. Threads: values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/replication/replica_secret.h"

namespace fairlead::replication {

inline constexpr std::size_t kGreetingBytes = 4 + 4 + kChallengeBytes;

std::string greeting_of(const Challenge& challenge);
// Nothing when it is another service's, or of another version. `bytes` are kGreetingBytes.
std::optional<Challenge> read_greeting(std::string_view bytes);

void append_frame(std::string& out, std::string_view message, const Seal& seal);

class FrameReader {
 public:
  enum class Step : std::uint8_t { kMore, kFrame, kTooLong };

  explicit FrameReader(std::size_t message_bytes_max) : message_bytes_max_(message_bytes_max) {}
  void allow(std::size_t message_bytes_max) { message_bytes_max_ = message_bytes_max; }

  // Takes from the front of `bytes` what is of this frame. After kTooLong nothing more is read.
  Step next(std::string_view& bytes);
  // Of the frame, until the next call.
  std::string_view message() const;
  std::string_view seal() const;

 private:
  static constexpr std::size_t kHeadBytes = 4 + kSealBytes;
  bool fill(std::size_t size, std::string_view& bytes);

  std::size_t message_bytes_max_;
  std::string frame_;
  bool whole_ = false;
};

}  // namespace fairlead::replication
