// SPDX-License-Identifier: Apache-2.0
#include "io/net/zmq_publisher.h"

#include <algorithm>
#include <array>

namespace fairlead::net {
namespace {

constexpr std::size_t kNumberBytes = 8;
constexpr std::uint64_t kEndOfReplay = ~std::uint64_t{0};

class Number {
 public:
  explicit Number(std::uint64_t number) {
    for (std::size_t i = 0; i < kNumberBytes; ++i) {
      bytes_[i] = static_cast<char>(number >> (8 * (kNumberBytes - 1 - i)));
    }
  }
  std::string_view view() const { return {bytes_.data(), bytes_.size()}; }

 private:
  std::array<char, kNumberBytes> bytes_{};
};

}  // namespace

bool binds(const ZmqPublisherOptions& options) {
  const std::string_view endpoint = options.endpoint;
  return options.attach == ZmqAttach::kBind || endpoint.find('*') != std::string_view::npos ||
         endpoint.find("::") != std::string_view::npos || endpoint.starts_with("ipc://") ||
         endpoint.starts_with("inproc://");
}

Result<std::unique_ptr<ZmqPublisher>> ZmqPublisher::create(std::shared_ptr<ZmqContext> context,
                                                           EventLoop& loop,
                                                           const ZmqPublisherOptions& options) {
  std::unique_ptr<ZmqPublisher> publisher(new ZmqPublisher(std::move(context), options));
  auto opened = publisher->open(loop);
  if (!opened) return tl::unexpected(opened.error());
  return publisher;
}

Result<void> ZmqPublisher::open(EventLoop& loop) {
  ZmqOptions options;
  options.queue_max = options_.queue_max;
  auto events = ZmqSocket::create(*context_, loop, ZmqKind::kPublish, options, *this);
  if (!events) return tl::unexpected(events.error());
  events_ = std::move(*events);
  auto opened =
      binds(options_) ? events_->bind(options_.endpoint) : events_->connect(options_.endpoint);
  if (!opened || options_.replay_endpoint.empty()) return opened;
  auto replay = ZmqSocket::create(*context_, loop, ZmqKind::kRouter, options, *this);
  if (!replay) return tl::unexpected(replay.error());
  replay_ = std::move(*replay);
  return replay_->bind(options_.replay_endpoint);
}

std::uint64_t ZmqPublisher::lose(std::string payload) {
  kept_.push_back(std::move(payload));
  if (kept_.size() > options_.kept_max) kept_.pop_front();
  return next_++;
}

std::uint64_t ZmqPublisher::publish(std::string payload) {
  const Number number(next_);
  const std::array<std::string_view, 3> frames{options_.topic, number.view(), payload};
  // What a subscriber has no room for is lost to it; it will notice the gap.
  static_cast<void>(events_->send(frames));
  return lose(std::move(payload));
}

void ZmqPublisher::restart() {
  next_ = 0;
  kept_.clear();
}

std::string ZmqPublisher::endpoint() const { return events_->bound_endpoint(); }

std::string ZmqPublisher::replay_endpoint() const {
  return replay_ ? replay_->bound_endpoint() : std::string();
}

void ZmqPublisher::on_message(ZmqSocket& socket, std::span<const std::string_view> frames) {
  if (&socket != replay_.get() || frames.size() != 3 || frames[2].size() != kNumberBytes) return;
  std::uint64_t from = 0;
  for (const char byte : frames[2]) from = from << 8 | static_cast<std::uint8_t>(byte);
  // The request lies in memory that sending does not touch.
  const std::uint64_t first = next_ - kept_.size();
  for (std::uint64_t number = std::max(from, first); number < next_; ++number) {
    const Number text(number);
    const std::array<std::string_view, 5> reply{frames[0], "", options_.topic, text.view(),
                                                kept_[static_cast<std::size_t>(number - first)]};
    if (replay_->send(reply) != ZmqSocket::Sent::kSent) return;
  }
  const Number end(kEndOfReplay);
  const std::array<std::string_view, 5> reply{frames[0], "", "", end.view(), ""};
  static_cast<void>(replay_->send(reply));
}

}  // namespace fairlead::net
