// SPDX-License-Identifier: Apache-2.0
// ReplicaWire: what the routers of a simulated world tell each other, on its way: some batches get
// lost, come late, twice, or changed, and each router hears itself, too. The wire keeps its own
// account of what came to whom; a router that makes of a batch what it is not is found.
// Threads: thread-compatible.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "core/replication/placement_batch.h"
#include "core/replication/replica_inbox.h"
#include "lab/sim/agenda.h"
#include "lab/sim/ledger.h"
#include "lab/sim/router_loop.h"

namespace fairlead::sim {

// A router process that is told.
class ReplicaPort {
 public:
  virtual replication::BatchResult take_batch(std::string_view message, std::string_view seal) = 0;
  virtual std::uint32_t block_bytes() const = 0;

 protected:
  ~ReplicaPort() = default;
};

class ReplicaWire {
 public:
  ReplicaWire(Agenda& agenda, Ledger& ledger, std::uint64_t seed);

  static const replication::ReplicaSecret& secret();

  // Of a process; its name among the others.
  std::uint64_t join(ReplicaPort& port, RouterLoop& loop);
  void leave(std::uint64_t name);
  std::size_t members() const { return members_.size(); }

  void send(const replication::BatchHead& head, const std::string& message,
            const replication::Seal& seal);

 private:
  struct Member {
    ReplicaPort* port = nullptr;
    RouterLoop* loop = nullptr;
    std::map<std::uint64_t, std::uint64_t> heard;  // The greatest number, by sender.
  };
  enum class Shape : std::uint8_t { kWhole, kEmpty, kChanged, kMarkGone };

  void send_to(std::uint64_t to, const replication::BatchHead& head, const std::string& message,
               const replication::Seal& seal);
  void deliver(std::uint64_t to, const replication::BatchHead& head, const std::string& message,
               const replication::Seal& seal, Shape shape, Duration late);
  static replication::BatchResult due(Member& member, std::uint64_t to,
                                      const replication::BatchHead& head, Shape shape);

  Agenda& agenda_;
  Ledger& ledger_;
  Random random_;
  std::map<std::uint64_t, Member> members_;  // By name.
  std::uint64_t names_ = 0;
};

}  // namespace fairlead::sim
