// SPDX-License-Identifier: Apache-2.0
// ReplicaInbox: judges what comes from the other routers of the fleet: who sealed it, whether it
// came before, what is missing before it, and which routers live.
//
//   if (inbox.take(challenge, message, seal, block_bytes, now) == BatchResult::kTaken) {
//     for (const Placement& one : inbox.placements()) ...
//   }
//
// The challenge is the connection's, made up here, so nothing that was said elsewhere is taken. A
// sender's numbers only grow, over its connections: what is not newer came before. Bounds:
// kReplicasMax senders that live; who is silent makes room. Errors: BatchResult. Threads:
// thread-compatible.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string_view>

#include "base/time.h"
#include "core/replication/placement_batch.h"
#include "core/replication/replica_secret.h"

namespace fairlead::replication {

enum class BatchResult : std::uint8_t {
  kTaken,
  kOwn,           // This router's, come back.
  kUnsealed,      // Of another secret, or changed on its way.
  kMalformed,     // No batch.
  kOtherVersion,  // Of a Fairlead that writes them in another way.
  kOtherBlocks,   // prefix.blockBytes is another there.
  kRepeated,      // Its number came before, or a later one.
  kTooMany,       // Routers.
};
inline constexpr std::size_t kBatchResultCount = 8;
std::string_view to_string(BatchResult result);
// Whether whoever sent it has the secret and writes as this router does.
bool is_of_fleet(BatchResult result);

class ReplicaInbox {
 public:
  static constexpr std::size_t kReplicasMax = 256;
  // Who is not heard for so long does not count as living; and then for how long it is known.
  static constexpr Duration kSilent = std::chrono::seconds(5);
  static constexpr Duration kForgotten = std::chrono::minutes(10);
  // Of one gap at most so many count as lost.
  static constexpr std::uint64_t kGapMax = std::uint64_t{1} << 20;

  ReplicaInbox(const ReplicaSecret& secret, std::uint64_t own) : secret_(secret), own_(own) {}

  BatchResult take(const Challenge& challenge, std::string_view message, std::string_view seal,
                   std::uint32_t block_bytes, Time now);
  // Of the last one, if it was taken; valid until the next call.
  std::span<const Placement> placements() const {
    return is_taken_ ? reader_.placements() : std::span<const Placement>();
  }
  // Batches that were sent and never came, as far as later ones show.
  std::uint64_t lost() const { return lost_; }
  // Routers that live, but for this one.
  std::size_t living(Time now) const;
  // Forgets those that have been silent for long.
  void forget_silent(Time now);

 private:
  struct Sender {
    std::uint64_t number = 0;
    Time heard{};
  };
  using Senders = std::map<std::uint64_t, Sender>;

  BatchResult read(const Challenge& challenge, std::string_view message, std::string_view seal,
                   std::uint32_t block_bytes, Time now);
  BatchResult judge(const BatchHead& head, std::uint32_t block_bytes, Time now);
  Senders::iterator find_or_add(const BatchHead& head, Time now);

  const ReplicaSecret secret_;
  const std::uint64_t own_;
  PlacementReader reader_;
  bool is_taken_ = false;
  Senders senders_;
  std::uint64_t lost_ = 0;
};

}  // namespace fairlead::replication
