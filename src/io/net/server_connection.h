// SPDX-License-Identifier: Apache-2.0
// ServerConnection: what Http1Server knows of a client connection, whatever it speaks; not for
// other users. Threads: the loop's thread.
#pragma once

#include <cstddef>
#include <optional>

#include "base/time.h"
#include "io/net/connection_list.h"
#include "io/net/tcp_stream.h"

namespace fairlead::net {

// One connection's share of a turn, of bytes received; more waits for the next.
inline constexpr std::size_t kPumpBytes = 1024 * 1024;
// How long a closing connection listens, so that the peer reads the last bytes before a reset
// reaches it (RFC 9112 §9.6).
inline constexpr Duration kLinger = std::chrono::seconds(1);

class ServerConnection {
 public:
  ServerConnection() = default;
  virtual ~ServerConnection() = default;
  ServerConnection(const ServerConnection&) = delete;
  ServerConnection& operator=(const ServerConnection&) = delete;

  virtual void on_server_draining() = 0;
  virtual const TcpStream& stream() const = 0;
  // Since when it has waited for a request; nothing while it has one.
  virtual std::optional<Time> idle_since() const = 0;
  // Closes it; only while idle.
  virtual void drop_idle() = 0;

  ConnectionEntry entry;
};

}  // namespace fairlead::net
