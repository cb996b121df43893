// SPDX-License-Identifier: Apache-2.0
// ServerBudget: what the servers of a process hold together, each of which compares it with its
// own options; and what an overloaded process asks of them.
// Threads: the counts are relaxed atomics, written by every server's loop; they bound memory and
// order nothing.
#pragma once

#include <atomic>
#include <cstddef>

namespace fairlead::net {

struct ServerBudget {
  alignas(64) std::atomic<std::size_t> connections{0};
  alignas(64) std::atomic<std::size_t> buffered_bytes{0};  // Of request bodies.
  alignas(64) std::atomic<std::size_t> calls{0};           // Of gRPC, open.
};

struct ServerRestraint {
  bool keeps_alive =
      true;             // False: HTTP/1.1 answers close their connection, HTTP/2 ends when idle.
  bool accepts = true;  // False: new connections wait in the kernel's backlog.
  bool takes_bodies = true;  // False: a body beyond the first buffer is refused, as kOutOfMemory.
  friend bool operator==(const ServerRestraint&, const ServerRestraint&) = default;
};

}  // namespace fairlead::net
