// SPDX-License-Identifier: Apache-2.0
#include "io/net/zmq_socket.h"

#include <zmq.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/assert.h"

namespace fairlead::net {
namespace {

constexpr int kReconnectFirstMs = 100;
constexpr int kReconnectMostMs = 5'000;
// A peer that is gone without a word is noticed after this.
constexpr int kHeartbeatMs = 10'000;

tl::unexpected<Error> failed(std::string_view what) {
  const int error = zmq_errno();
  const bool exhausted = error == EMFILE || error == ENFILE || error == ENOMEM;
  return fail(exhausted ? ErrorCode::kExhausted : ErrorCode::kIo, "{}: {}", what,
              zmq_strerror(error));
}

int set(void* socket, int option, int value) {
  return zmq_setsockopt(socket, option, &value, sizeof(value));
}

int type_of(ZmqKind kind) {
  switch (kind) {
    case ZmqKind::kPublish:
      return ZMQ_PUB;
    case ZmqKind::kSubscribe:
      return ZMQ_SUB;
    case ZmqKind::kDealer:
      return ZMQ_DEALER;
    case ZmqKind::kRouter:
      return ZMQ_ROUTER;
  }
  return ZMQ_SUB;
}

int descriptor_of(void* socket) {
  int fd = -1;
  std::size_t size = sizeof(fd);
  return zmq_getsockopt(socket, ZMQ_FD, &fd, &size) == 0 ? fd : -1;
}

}  // namespace

Result<std::unique_ptr<ZmqContext>> ZmqContext::create(int sockets_max) {
  void* context = zmq_ctx_new();
  if (context == nullptr) return failed("cannot start ZeroMQ");
  zmq_ctx_set(context, ZMQ_MAX_SOCKETS, sockets_max);
  return std::unique_ptr<ZmqContext>(new ZmqContext(context));
}

ZmqContext::~ZmqContext() {
  while (zmq_ctx_term(context_) != 0 && zmq_errno() == EINTR) {
  }
}

// The frames of one message, kept from message to message.
struct ZmqSocket::Frames {
  std::array<zmq_msg_t, kFramesMax> messages;
  std::array<std::string_view, kFramesMax> views;

  Frames() {
    for (zmq_msg_t& message : messages) zmq_msg_init(&message);
  }
  ~Frames() {
    for (zmq_msg_t& message : messages) zmq_msg_close(&message);
  }
  Frames(const Frames&) = delete;
  Frames& operator=(const Frames&) = delete;
};

ZmqSocket::ZmqSocket(EventLoop& loop, ZmqObserver& observer, void* socket)
    : loop_(loop),
      observer_(observer),
      socket_(socket),
      again_(loop, [this] { read(); }),
      frames_(std::make_unique<Frames>()) {}

Result<std::unique_ptr<ZmqSocket>> ZmqSocket::create(const ZmqContext& context, EventLoop& loop,
                                                     ZmqKind kind, const ZmqOptions& options,
                                                     ZmqObserver& observer) {
  void* raw = zmq_socket(context.get(), type_of(kind));
  if (raw == nullptr) return failed("cannot open a ZeroMQ socket");
  std::unique_ptr<ZmqSocket> socket(new ZmqSocket(loop, observer, raw));
  socket->context_ = &context;
  auto done = socket->set_up(kind, options);
  if (!done) return tl::unexpected(done.error());
  return socket;
}

Result<void> ZmqSocket::set_up(ZmqKind kind, const ZmqOptions& options) {
  const bool bounded = set(socket_, ZMQ_LINGER, 0) == 0 &&
                       set(socket_, ZMQ_RCVHWM, options.queue_max) == 0 &&
                       set(socket_, ZMQ_SNDHWM, options.queue_max) == 0 &&
                       set(socket_, ZMQ_RECONNECT_IVL, kReconnectFirstMs) == 0 &&
                       set(socket_, ZMQ_RECONNECT_IVL_MAX, kReconnectMostMs) == 0 &&
                       set(socket_, ZMQ_HEARTBEAT_IVL, kHeartbeatMs) == 0 &&
                       zmq_setsockopt(socket_, ZMQ_MAXMSGSIZE, &options.frame_bytes_max,
                                      sizeof(options.frame_bytes_max)) == 0;
  if (!bounded) return failed("cannot set up a ZeroMQ socket");
  if (kind == ZmqKind::kSubscribe &&
      zmq_setsockopt(socket_, ZMQ_SUBSCRIBE, options.topic.data(), options.topic.size()) != 0) {
    return failed("cannot subscribe");
  }
  const int fd = descriptor_of(socket_);
  if (fd < 0) return failed("cannot watch a ZeroMQ socket");
  auto added = loop_.add(fd, EPOLLIN, *this);
  if (!added) return added;
  fd_ = fd;
  return {};
}

// Connections and their ends are told on a socket beside.
Result<void> ZmqSocket::watch(const ZmqContext& context) {
  const std::string name = fmt::format("inproc://monitor-{}", context.next_number());
  if (zmq_socket_monitor(socket_, name.c_str(),
                         ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED) != 0) {
    return failed("cannot watch a ZeroMQ socket");
  }
  monitor_ = zmq_socket(context.get(), ZMQ_PAIR);
  // libzmq's thread, which serves all sockets, waits while the news have no room.
  if (monitor_ == nullptr || set(monitor_, ZMQ_LINGER, 0) != 0 ||
      set(monitor_, ZMQ_RCVHWM, 0) != 0 || zmq_connect(monitor_, name.c_str()) != 0) {
    return failed("cannot watch a ZeroMQ socket");
  }
  const int fd = descriptor_of(monitor_);
  if (fd < 0) return failed("cannot watch a ZeroMQ socket");
  auto added = loop_.add(fd, EPOLLIN, *this);
  if (added) monitor_fd_ = fd;
  return added;
}

ZmqSocket::~ZmqSocket() { close(); }

void ZmqSocket::close() {
  again_.cancel();
  if (fd_ >= 0) loop_.remove(fd_, *this);
  if (monitor_fd_ >= 0) loop_.remove(monitor_fd_, *this);
  fd_ = -1;
  monitor_fd_ = -1;
  // News of a connection that nobody takes any more would stop libzmq's thread, and with it every
  // socket: there must be none before their reader goes.
  if (socket_ != nullptr) {
    zmq_socket_monitor(socket_, nullptr, 0);
    zmq_close(std::exchange(socket_, nullptr));
  }
  if (monitor_ != nullptr) zmq_close(std::exchange(monitor_, nullptr));
}

Result<void> ZmqSocket::bind(const std::string& endpoint) {
  FAIRLEAD_ASSERT(!closed());
  // Else an IPv4 address would be told back in the form of IPv6.
  const bool is_v6 = endpoint.find('[') != std::string::npos;
  if (set(socket_, ZMQ_IPV6, is_v6 ? 1 : 0) != 0 || zmq_bind(socket_, endpoint.c_str()) != 0) {
    return failed(fmt::format("cannot bind to {}", endpoint));
  }
  again_.arm(Duration::zero());
  return {};
}

Result<void> ZmqSocket::connect(const std::string& endpoint) {
  FAIRLEAD_ASSERT(!closed());
  if (monitor_ == nullptr) {
    auto watched = watch(*context_);
    if (!watched) return watched;
  }
  if (set(socket_, ZMQ_IPV6, 1) != 0 || zmq_connect(socket_, endpoint.c_str()) != 0) {
    return failed(fmt::format("cannot connect to {}", endpoint));
  }
  again_.arm(Duration::zero());
  return {};
}

std::string ZmqSocket::bound_endpoint() const {
  std::array<char, 256> text{};
  std::size_t size = text.size();
  if (closed() || zmq_getsockopt(socket_, ZMQ_LAST_ENDPOINT, text.data(), &size) != 0) return {};
  return text.data();
}

ZmqSocket::Sent ZmqSocket::send(std::span<const std::string_view> frames) {
  if (closed()) return Sent::kFailed;
  for (std::size_t i = 0; i < frames.size(); ++i) {
    const int flags = ZMQ_DONTWAIT | (i + 1 < frames.size() ? ZMQ_SNDMORE : 0);
    if (zmq_send(socket_, frames[i].data(), frames[i].size(), flags) >= 0) continue;
    return zmq_errno() == EAGAIN ? Sent::kFull : Sent::kFailed;
  }
  // Sending takes in what the descriptor told of.
  if (!reading_) again_.arm(Duration::zero());
  return Sent::kSent;
}

void ZmqSocket::on_events(std::uint32_t) { read(); }

// What came over a connection is told before its end, so messages go before the monitor's news.
void ZmqSocket::read() {
  if (closed() || reading_) return;
  reading_ = true;
  int left = kMessagesATurn;
  std::size_t bytes = 0;
  do {
    while (left > 0 && bytes < kBytesATurn && !closed() && read_message(bytes)) --left;
  } while (left-- > 0 && bytes < kBytesATurn && !closed() && read_monitor());
  reading_ = false;
  // The descriptor may be quiet although messages are left.
  if ((left <= 0 || bytes >= kBytesATurn) && !closed()) again_.arm(Duration::zero());
}

bool ZmqSocket::read_message(std::size_t& bytes) {
  std::size_t count = 0;
  bool too_many = false;
  for (bool more = true; more;) {
    too_many = too_many || count == kFramesMax;
    zmq_msg_t& message = frames_->messages[too_many ? kFramesMax - 1 : count];
    // All frames of a message arrive together: only the first can be missing.
    if (zmq_msg_recv(&message, socket_, ZMQ_DONTWAIT) < 0) return false;
    more = zmq_msg_more(&message) != 0;
    bytes += zmq_msg_size(&message);
    if (!too_many) {
      frames_->views[count++] = {static_cast<const char*>(zmq_msg_data(&message)),
                                 zmq_msg_size(&message)};
    }
  }
  if (too_many) {
    observer_.on_too_many_frames(*this);
  } else {
    observer_.on_message(*this, std::span(frames_->views).first(count));
  }
  return true;
}

bool ZmqSocket::read_monitor() {
  if (monitor_ == nullptr) return false;
  std::uint16_t event = 0;
  zmq_msg_t message;
  zmq_msg_init(&message);
  const bool got = zmq_msg_recv(&message, monitor_, ZMQ_DONTWAIT) >= 0;
  if (got && zmq_msg_size(&message) >= sizeof(event)) {
    std::memcpy(&event, zmq_msg_data(&message), sizeof(event));
  }
  while (got && zmq_msg_more(&message) != 0 &&
         zmq_msg_recv(&message, monitor_, ZMQ_DONTWAIT) >= 0) {
  }
  zmq_msg_close(&message);
  if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) observer_.on_connected(*this);
  if (event == ZMQ_EVENT_DISCONNECTED) observer_.on_disconnected(*this);
  return got;
}

}  // namespace fairlead::net
