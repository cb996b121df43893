// SPDX-License-Identifier: Apache-2.0
// ReplicaDoor: where other routers tell this one: greets who connects, and hands on the frames that
// come. Who does not prove to be of the fleet with its first, short frame is sent away.
//
// Bounds: kConnectionsMax connections; one more takes the place of the one that has waited longest
// without a proof, and where all have proved, it is sent away. kFirstBytesMax of a first message,
// kBatchBytesMax of others; kProveMax for the first, kIdleMax between two. Errors: BatchResult,
// told to whoever is sent away in one byte. Threads: the loop's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string_view>

#include "base/result.h"
#include "core/replication/replica_inbox.h"
#include "core/replication/replica_secret.h"
#include "io/net/event_loop.h"
#include "io/net/socket.h"
#include "io/net/tcp_listener.h"

namespace fairlead::router {

class ReplicaDoor {
 public:
  static constexpr std::size_t kConnectionsMax = 128;
  static constexpr std::size_t kFirstBytesMax = 1024;
  static constexpr Duration kProveMax = std::chrono::seconds(5);
  static constexpr Duration kIdleMax = std::chrono::seconds(10);

  // What came on a connection, with its challenge and its peer.
  struct Told {
    const replication::Challenge& challenge;
    std::string_view message;
    std::string_view seal;
    const net::SocketAddress& peer;
  };
  using Take = std::function<replication::BatchResult(const Told& told)>;
  // A frame that is none came from this peer.
  using Garbage = std::function<void(const net::SocketAddress& peer)>;

  // `process` is another for each process.
  ReplicaDoor(net::EventLoop& loop, const replication::ReplicaSecret& secret, std::uint64_t process,
              Take take, Garbage garbage);
  ~ReplicaDoor();
  ReplicaDoor(const ReplicaDoor&) = delete;
  ReplicaDoor& operator=(const ReplicaDoor&) = delete;

  [[nodiscard]] Result<void> listen(const net::SocketAddress& address);
  const net::SocketAddress& local_address() const { return listener_.local_address(); }
  std::size_t connections() const { return visitors_.size(); }

 private:
  class Visitor;
  using Visitors = std::list<std::unique_ptr<Visitor>>;  // The oldest first.

  void admit(net::UniqueFd fd, const net::SocketAddress& peer);
  bool make_room();
  void remove(Visitor& visitor);

  net::EventLoop& loop_;
  const replication::ReplicaSecret& secret_;
  const std::uint64_t process_;
  Take take_;
  Garbage garbage_;
  std::uint64_t greeted_ = 0;
  Visitors visitors_;
  net::TcpListener listener_;
};

}  // namespace fairlead::router
