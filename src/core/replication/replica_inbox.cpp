// SPDX-License-Identifier: Apache-2.0
#include "core/replication/replica_inbox.h"

#include <algorithm>

namespace fairlead::replication {

std::string_view to_string(BatchResult result) {
  switch (result) {
    case BatchResult::kTaken:
      return "taken";
    case BatchResult::kOwn:
      return "own";
    case BatchResult::kUnsealed:
      return "unsealed";
    case BatchResult::kMalformed:
      return "malformed";
    case BatchResult::kOtherVersion:
      return "other_version";
    case BatchResult::kOtherBlocks:
      return "other_blocks";
    case BatchResult::kRepeated:
      return "repeated";
    case BatchResult::kTooMany:
      return "too_many";
  }
  return "unknown";
}

bool is_of_fleet(BatchResult result) {
  return result != BatchResult::kUnsealed && result != BatchResult::kMalformed &&
         result != BatchResult::kOtherVersion;
}

BatchResult ReplicaInbox::take(const Challenge& challenge, std::string_view message,
                               std::string_view seal, std::uint32_t block_bytes, Time now) {
  const BatchResult result = read(challenge, message, seal, block_bytes, now);
  is_taken_ = result == BatchResult::kTaken;
  return result;
}

BatchResult ReplicaInbox::read(const Challenge& challenge, std::string_view message,
                               std::string_view seal, std::uint32_t block_bytes, Time now) {
  if (!looks_like_batch(message)) return BatchResult::kMalformed;
  if (!secret_.sealed_by(challenge, message, seal)) return BatchResult::kUnsealed;
  switch (reader_.read(message)) {
    case BatchFault::kNone:
      return judge(reader_.head(), block_bytes, now);
    case BatchFault::kMalformed:
      return BatchResult::kMalformed;
    case BatchFault::kOtherVersion:
      return BatchResult::kOtherVersion;
  }
  return BatchResult::kMalformed;
}

BatchResult ReplicaInbox::judge(const BatchHead& head, std::uint32_t block_bytes, Time now) {
  if (head.sender == own_) return BatchResult::kOwn;
  const auto sender = find_or_add(head, now);
  if (sender == senders_.end()) return BatchResult::kTooMany;
  Sender& known = sender->second;
  // One without placements says what came last before it.
  const bool is_empty = reader_.placements().empty();
  const bool is_new = is_empty ? head.number >= known.number : head.number > known.number;
  if (!is_new) return BatchResult::kRepeated;
  const std::uint64_t missing = head.number - known.number - (is_empty ? 0 : 1);
  lost_ += std::min(missing, kGapMax);
  known = {head.number, now};
  return head.block_bytes == block_bytes ? BatchResult::kTaken : BatchResult::kOtherBlocks;
}

ReplicaInbox::Senders::iterator ReplicaInbox::find_or_add(const BatchHead& head, Time now) {
  const auto known = senders_.find(head.sender);
  if (known != senders_.end()) return known;
  if (senders_.size() >= kReplicasMax) {
    const auto oldest =
        std::ranges::min_element(senders_, {}, [](const auto& one) { return one.second.heard; });
    if (now - oldest->second.heard < kSilent) return senders_.end();
    senders_.erase(oldest);
  }
  // What it said before it was heard is not lost: nobody waited for it.
  const std::uint64_t before = head.number - (reader_.placements().empty() ? 0 : 1);
  return senders_.emplace(head.sender, Sender{before, now}).first;
}

std::size_t ReplicaInbox::living(Time now) const {
  return static_cast<std::size_t>(std::ranges::count_if(
      senders_, [now](const auto& one) { return now - one.second.heard < kSilent; }));
}

void ReplicaInbox::forget_silent(Time now) {
  std::erase_if(senders_, [now](const auto& one) { return now - one.second.heard >= kForgotten; });
}

}  // namespace fairlead::replication
