// SPDX-License-Identifier: Apache-2.0
// ReplicaLink: the way to one address of replicas.addresses: connects, waits for the greeting, and
// then tells batches; when the connection ends or stands still it connects again, after a pause
// that doubles up to kRetryMax.
//
// Bounds: kPendingMax bytes on their way; what comes beyond is left out, which its receiver sees in
// the numbers. kConnectMax for connection and greeting, kStillMax for bytes that nobody takes.
// Errors: trouble() says what is wrong, for the log. Threads: the loop's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/replication/replica_frame.h"
#include "core/replication/replica_inbox.h"
#include "core/replication/replica_secret.h"
#include "io/net/event_loop.h"
#include "io/net/socket.h"
#include "io/net/tcp_stream.h"
#include "io/net/timer.h"

namespace fairlead::router {

class ReplicaLink final : private net::StreamHandler {
 public:
  static constexpr std::size_t kPendingMax = std::size_t{4} << 20;
  static constexpr Duration kConnectMax = std::chrono::seconds(5);
  static constexpr Duration kStillMax = std::chrono::seconds(10);
  static constexpr Duration kRetryMin = std::chrono::milliseconds(200);
  static constexpr Duration kRetryMax = std::chrono::seconds(5);
  // An address where this router found itself is asked again after this.
  static constexpr Duration kOwnRetry = std::chrono::minutes(1);

  // `on_up` is told when the address has greeted. It connects at once.
  ReplicaLink(net::EventLoop& loop, const net::SocketAddress& address,
              const replication::ReplicaSecret& secret, std::function<void(ReplicaLink&)> on_up);
  ReplicaLink(const ReplicaLink&) = delete;
  ReplicaLink& operator=(const ReplicaLink&) = delete;

  bool up() const { return challenge_.has_value(); }
  // Nothing is wrong, or this router is there itself.
  const std::string& trouble() const { return trouble_; }
  // False when it is not up, or has no room.
  bool tell(std::string_view message, const replication::Digest& digest);
  // Before it is destroyed in a later turn.
  void close();

 private:
  void connect();
  net::StreamHandler& handler() { return *this; }
  void drop_stream();
  void retry(std::string_view trouble);
  void on_timer();
  void read_greeting();
  void ended();
  void on_connected() override {}
  void on_readable() override;
  void on_writable() override {}
  void on_peer_half_closed() override;
  void on_stream_end(net::StreamEnd end) override;
  std::string_view last_word() const;

  net::EventLoop& loop_;
  const net::SocketAddress address_;
  const replication::ReplicaSecret& secret_;
  std::function<void(ReplicaLink&)> on_up_;
  std::unique_ptr<net::TcpStream> stream_;  // Of the connection that is, or is being made.
  net::Timer timer_;
  std::optional<replication::Challenge> challenge_;  // Once greeted.
  std::string heard_;
  std::string frame_;
  std::string trouble_;
  Duration pause_ = kRetryMin;
  Time up_since_{};
  std::uint64_t sent_before_ = 0;  // When the timer was armed.
  bool waits_ = false;             // To connect again.
};

}  // namespace fairlead::router
