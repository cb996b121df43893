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

BatchResult ReplicaInbox::take(std::string_view message, std::string_view seal,
                               std::uint32_t block_bytes, Time now) {
  if (!secret_.sealed_by(message, seal)) return BatchResult::kUnsealed;
  switch (reader_.read(message)) {
    case BatchFault::kNone:
      break;
    case BatchFault::kMalformed:
      return BatchResult::kMalformed;
    case BatchFault::kOtherVersion:
      return BatchResult::kOtherVersion;
  }
  const BatchHead& head = reader_.head();
  if (head.sender == own_) return BatchResult::kOwn;
  auto sender = senders_.find(head.sender);
  if (sender == senders_.end()) {
    if (senders_.size() >= kReplicasMax) return BatchResult::kTooMany;
    // What it said before it was heard is not lost: nobody waited for it.
    sender = senders_.emplace(head.sender, Sender{head.number - 1, now}).first;
  }
  if (head.number <= sender->second.number) return BatchResult::kRepeated;
  lost_ += head.number - sender->second.number - 1;
  sender->second = {head.number, now};
  return head.block_bytes == block_bytes ? BatchResult::kTaken : BatchResult::kOtherBlocks;
}

std::size_t ReplicaInbox::living(Time now) const {
  return static_cast<std::size_t>(std::ranges::count_if(
      senders_, [now](const auto& one) { return now - one.second.heard < kSilent; }));
}

void ReplicaInbox::forget_silent(Time now) {
  std::erase_if(senders_, [now](const auto& one) { return now - one.second.heard >= kForgotten; });
}

}  // namespace fairlead::replication
