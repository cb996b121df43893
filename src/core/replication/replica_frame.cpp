// SPDX-License-Identifier: Apache-2.0
#include "core/replication/replica_frame.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/replication/placement_batch.h"

namespace fairlead::replication {
namespace {

constexpr std::string_view kGreeting = "FLRH";

template <class T>
void append_value(std::string& out, const T& value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

std::uint32_t word_at(std::string_view bytes) {
  std::uint32_t word = 0;
  std::memcpy(&word, bytes.data(), sizeof word);
  return word;
}

}  // namespace

std::string greeting_of(const Challenge& challenge) {
  std::string out(kGreeting);
  append_value(out, kBatchVersion);
  append_value(out, challenge);
  return out;
}

std::optional<Challenge> read_greeting(std::string_view bytes) {
  if (bytes.size() != kGreetingBytes || !bytes.starts_with(kGreeting) ||
      word_at(bytes.substr(kGreeting.size())) != kBatchVersion) {
    return std::nullopt;
  }
  Challenge challenge;
  std::memcpy(challenge.data(), bytes.data() + kGreetingBytes - kChallengeBytes, kChallengeBytes);
  return challenge;
}

void append_frame(std::string& out, std::string_view message, const Seal& seal) {
  append_value(out, static_cast<std::uint32_t>(message.size()));
  append_value(out, seal);
  out += message;
}

FrameReader::Step FrameReader::next(std::string_view& bytes) {
  if (std::exchange(whole_, false)) frame_.clear();
  if (!fill(kHeadBytes, bytes)) return Step::kMore;
  const std::size_t message_bytes = word_at(frame_);
  if (message_bytes > message_bytes_max_) return Step::kTooLong;
  if (!fill(kHeadBytes + message_bytes, bytes)) return Step::kMore;
  whole_ = true;
  return Step::kFrame;
}

bool FrameReader::fill(std::size_t size, std::string_view& bytes) {
  const std::size_t missing = size - std::min(size, frame_.size());
  const std::string_view taken = bytes.substr(0, missing);
  frame_ += taken;
  bytes.remove_prefix(taken.size());
  return frame_.size() >= size;
}

std::string_view FrameReader::message() const {
  return std::string_view(frame_).substr(kHeadBytes);
}

std::string_view FrameReader::seal() const {
  return std::string_view(frame_).substr(kHeadBytes - kSealBytes, kSealBytes);
}

}  // namespace fairlead::replication
