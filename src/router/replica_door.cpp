// SPDX-License-Identifier: Apache-2.0
#include "router/replica_door.h"

#include <algorithm>
#include <utility>

#include "core/replication/placement_batch.h"
#include "core/replication/replica_frame.h"
#include "io/net/tcp_stream.h"
#include "io/net/timer.h"

namespace fairlead::router {
namespace {

using replication::BatchResult;
using replication::FrameReader;

constexpr std::size_t kReadBytes = 64 * 1024;
// One connection's share of a turn.
constexpr int kReadsATurn = 16;
// A greeting and a last word.
constexpr std::size_t kSaidMax = 256;

}  // namespace

class ReplicaDoor::Visitor final : private net::StreamHandler {
 public:
  Visitor(ReplicaDoor& door, const net::SocketAddress& peer)
      : door_(door),
        peer_(peer),
        challenge_(door.secret_.challenge(door.process_, ++door.greeted_)),
        frames_(kFirstBytesMax),
        stream_(door.loop_, *this, kSaidMax),
        deadline_(door.loop_, [this] { leave(); }),
        again_(door.loop_, [this] { on_readable(); }) {}

  bool open(net::UniqueFd fd) {
    if (!stream_.open(std::move(fd), net::TcpStream::State::kOpen)) return false;
    stream_.write(replication::greeting_of(challenge_));
    deadline_.arm(kProveMax);
    return true;
  }
  bool proved() const { return proved_; }
  // Before it is destroyed in a later turn.
  void close() {
    deadline_.cancel();
    again_.cancel();
    stream_.close();
  }
  void send_away(BatchResult why) {
    const char word = static_cast<char>(why);
    stream_.write({&word, 1});
    stream_.flush();
    leave();
  }

 private:
  void on_readable() override {
    net::Buffer buffer = door_.loop_.buffers().take(kReadBytes);
    for (int reads = 0; stream_.readable(); ++reads) {
      // Others have their turn.
      if (reads == kReadsATurn) return again_.arm(Duration::zero());
      stream_.read(buffer);
      std::string_view bytes = buffer.view();
      if (!take(bytes)) return;
      buffer.clear();
    }
    if (stream_.at_end()) leave();
  }

  // False when it is gone.
  bool take(std::string_view bytes) {
    while (!bytes.empty()) {
      const FrameReader::Step step = frames_.next(bytes);
      if (step == FrameReader::Step::kMore) return true;
      if (step == FrameReader::Step::kTooLong) {
        door_.garbage_(peer_);
        send_away(BatchResult::kMalformed);
        return false;
      }
      const BatchResult result =
          door_.take_({challenge_, frames_.message(), frames_.seal(), peer_});
      if (!replication::is_of_fleet(result) || result == BatchResult::kOwn ||
          result == BatchResult::kTooMany) {
        send_away(result);
        return false;
      }
      proved_ = true;
      frames_.allow(replication::kBatchBytesMax);
      deadline_.arm(kIdleMax);
    }
    return true;
  }

  void leave() { door_.remove(*this); }
  void on_writable() override {}
  void on_peer_half_closed() override {
    if (!stream_.readable()) leave();
  }
  void on_stream_end(net::StreamEnd) override { leave(); }

  ReplicaDoor& door_;
  const net::SocketAddress peer_;
  const replication::Challenge challenge_;
  FrameReader frames_;
  net::TcpStream stream_;
  net::Timer deadline_;
  net::Timer again_;
  bool proved_ = false;
};

ReplicaDoor::ReplicaDoor(net::EventLoop& loop, const replication::ReplicaSecret& secret,
                         std::uint64_t process, Take take, Garbage garbage)
    : loop_(loop),
      secret_(secret),
      process_(process),
      take_(std::move(take)),
      garbage_(std::move(garbage)),
      listener_(loop, [this](net::UniqueFd fd, const net::SocketAddress& peer) {
        admit(std::move(fd), peer);
      }) {}

ReplicaDoor::~ReplicaDoor() = default;

Result<void> ReplicaDoor::listen(const net::SocketAddress& address) {
  return listener_.listen(address, net::PortSharing::kExclusive);
}

void ReplicaDoor::admit(net::UniqueFd fd, const net::SocketAddress& peer) {
  if (visitors_.size() >= kConnectionsMax && !make_room()) return;
  visitors_.push_back(std::make_unique<Visitor>(*this, peer));
  if (!visitors_.back()->open(std::move(fd))) visitors_.pop_back();
}

bool ReplicaDoor::make_room() {
  const auto unproved =
      std::ranges::find_if(visitors_, [](const auto& one) { return !one->proved(); });
  if (unproved == visitors_.end()) return false;
  remove(**unproved);
  return true;
}

void ReplicaDoor::remove(Visitor& visitor) {
  const auto found =
      std::ranges::find_if(visitors_, [&](const auto& one) { return one.get() == &visitor; });
  if (found == visitors_.end()) return;
  std::unique_ptr<Visitor> gone = std::move(*found);
  visitors_.erase(found);
  gone->close();
  loop_.destroy_later(std::move(gone));
}

}  // namespace fairlead::router
