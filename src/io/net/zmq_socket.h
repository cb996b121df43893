// SPDX-License-Identifier: Apache-2.0
// ZmqContext and ZmqSocket: ZeroMQ messages on an event loop. libzmq moves bytes on a thread of its
// own, reconnects by itself (100 ms, doubled up to 5 s) and tells through a descriptor that there
// is something to do; that descriptor says nothing of how much, so every time all is read that
// there is, in turns of kMessagesATurn messages or kBytesATurn: then the loop's other sockets have
// theirs.
//
// Bounds: messages queued towards us and away from us (`queue_max` a peer; what a publisher has no
// room for it drops), bytes of a frame (the connection of a peer that sends more is closed), frames
// of a message (more are passed over and counted as too many, but only once all are there: libzmq
// has no bound for those of a message that is not whole). Nothing lingers at close. Errors: a
// Result that names the endpoint and libzmq's text; sending tells what became of it. Threads: the
// loop's thread; the context outlives its sockets. Library: libzmq's C interface, because the C++
// one throws. Source: zmq_getsockopt(3), ZMQ_FD.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "io/net/event_loop.h"
#include "io/net/timer.h"

namespace fairlead::net {

class ZmqContext {
 public:
  // `sockets_max`: each takes about three descriptors.
  static Result<std::unique_ptr<ZmqContext>> create(int sockets_max = 16 * 1024);
  ~ZmqContext();
  ZmqContext(const ZmqContext&) = delete;
  ZmqContext& operator=(const ZmqContext&) = delete;

  void* get() const { return context_; }
  // For names within the context that must differ.
  std::uint64_t next_number() const { return numbers_.fetch_add(1, std::memory_order_relaxed); }

 private:
  explicit ZmqContext(void* context) : context_(context) {}
  void* context_;
  mutable std::atomic<std::uint64_t> numbers_{0};
};

enum class ZmqKind { kPublish, kSubscribe, kDealer, kRouter };

struct ZmqOptions {
  int queue_max = 10'000;
  std::int64_t frame_bytes_max = std::int64_t{16} << 20;
  std::string topic;  // Of kSubscribe: only messages that begin so; empty: all.
};

class ZmqSocket;

class ZmqObserver {
 public:
  // The frames are valid during the call. The socket may be closed in it.
  virtual void on_message(ZmqSocket& socket, std::span<const std::string_view> frames) = 0;
  // A message of more than kFramesMax frames.
  virtual void on_too_many_frames(ZmqSocket&) {}
  // Of a socket that was connect()ed.
  virtual void on_connected(ZmqSocket&) {}
  virtual void on_disconnected(ZmqSocket&) {}

 protected:
  ~ZmqObserver() = default;
};

class ZmqSocket final : private FdHandler {
 public:
  static constexpr std::size_t kFramesMax = 8;
  static constexpr int kMessagesATurn = 512;
  // And the rest of the message in which this is reached.
  static constexpr std::size_t kBytesATurn = std::size_t{1} << 20;
  enum class Sent { kSent, kFull, kFailed };

  static Result<std::unique_ptr<ZmqSocket>> create(const ZmqContext& context, EventLoop& loop,
                                                   ZmqKind kind, const ZmqOptions& options,
                                                   ZmqObserver& observer);
  ~ZmqSocket();
  ZmqSocket(const ZmqSocket&) = delete;
  ZmqSocket& operator=(const ZmqSocket&) = delete;

  // "tcp://127.0.0.1:*" binds to any free port, which bound_endpoint() tells.
  [[nodiscard]] Result<void> bind(const std::string& endpoint);
  [[nodiscard]] Result<void> connect(const std::string& endpoint);
  std::string bound_endpoint() const;

  [[nodiscard]] Sent send(std::span<const std::string_view> frames);

  // Nothing is told to the observer from here on.
  void close();
  bool closed() const { return socket_ == nullptr; }

 private:
  ZmqSocket(EventLoop& loop, ZmqObserver& observer, void* socket);
  [[nodiscard]] Result<void> set_up(ZmqKind kind, const ZmqOptions& options);
  [[nodiscard]] Result<void> watch(const ZmqContext& context);

  void on_events(std::uint32_t events) override;
  void read();
  // Whether a message was read, whole; adds its bytes.
  bool read_message(std::size_t& bytes);
  bool read_monitor();

  EventLoop& loop_;
  ZmqObserver& observer_;
  void* socket_;
  void* monitor_ = nullptr;
  int fd_ = -1;
  int monitor_fd_ = -1;
  Timer again_;
  bool reading_ = false;
  struct Frames;
  std::unique_ptr<Frames> frames_;
  const ZmqContext* context_ = nullptr;
};

}  // namespace fairlead::net
