// SPDX-License-Identifier: Apache-2.0
#include "io/fleet/kv_subscriber.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "core/codec/kv_events.h"

namespace fairlead::fleet {
namespace {

using prefix::EventStream;
using prefix::EventStreamFigures;
using prefix::Trust;

constexpr std::uint64_t kEndOfReplay = ~std::uint64_t{0};
constexpr std::size_t kNumberBytes = 8;
constexpr Duration kPublishEvery = std::chrono::milliseconds(500);
constexpr Duration kLookAgain = std::chrono::milliseconds(100);

std::optional<std::uint64_t> number_of(std::string_view frame) {
  if (frame.size() != kNumberBytes) return std::nullopt;
  std::uint64_t number = 0;
  for (const char byte : frame) number = number << 8 | static_cast<std::uint8_t>(byte);
  return number;
}

std::array<char, kNumberBytes> frame_of(std::uint64_t number) {
  std::array<char, kNumberBytes> frame{};
  for (std::size_t i = 0; i < frame.size(); ++i) {
    frame[i] = static_cast<char>(number >> (8 * (frame.size() - 1 - i)));
  }
  return frame;
}

void add_figures(EventStreamFigures& sum, const EventStreamFigures& part) {
  sum.applied += part.applied;
  sum.replayed += part.replayed;
  sum.duplicates += part.duplicates;
  sum.late += part.late;
  sum.gaps += part.gaps;
  sum.lost += part.lost;
  sum.restarts += part.restarts;
  sum.malformed += part.malformed;
  sum.replays += part.replays;
  sum.replays_failed += part.replays_failed;
  sum.held_dropped += part.held_dropped;
  sum.forgotten += part.forgotten;
}

}  // namespace

std::string kv_rank_endpoint(std::string_view endpoint, std::uint32_t rank) {
  if (rank == 0) return std::string(endpoint);
  if (endpoint.starts_with("inproc://")) return fmt::format("{}_dp{}", endpoint, rank);
  const std::size_t colon = endpoint.rfind(':');
  std::uint32_t port = 0;
  const char* end = endpoint.data() + endpoint.size();
  if (!endpoint.starts_with("tcp://") || colon == std::string_view::npos) return {};
  const auto parsed = std::from_chars(endpoint.data() + colon + 1, end, port);
  if (parsed.ec != std::errc() || parsed.ptr != end || port + rank > 65'535) return {};
  return fmt::format("{}:{}", endpoint.substr(0, colon), port + rank);
}

// One publisher: its sockets and its order.
class KvSubscriber::Stream final : private net::ZmqObserver {
 public:
  Stream(KvSubscriber& owner, std::uint32_t id, const KvPublisherAddress& address,
         prefix::EventStreamSink& sink, const prefix::EventStreamOptions& options)
      : owner_(owner),
        id_(id),
        address_(address),
        sink_(sink),
        stream_(sink, options),
        timer_(owner.loop_, [this] { on_timer(); }) {}
  ~Stream() { end_replay(); }

  Result<void> start(const std::optional<prefix::SavedStream>& saved) {
    if (saved) stream_.resume(*saved);
    if (address_.events.empty()) {
      connected_ = true;  // Whether it is cannot be told.
      look();
      return {};
    }
    net::ZmqOptions options = owner_.options_.events;
    options.topic = address_.topic;
    auto socket = net::ZmqSocket::create(*owner_.context_, owner_.loop_, net::ZmqKind::kSubscribe,
                                         options, *this);
    if (!socket) return tl::unexpected(socket.error());
    events_ = std::move(*socket);
    unlinked_since_ = owner_.loop_.now();
    return events_->connect(address_.events);
  }

  std::optional<Time> unlinked_since() const { return unlinked_since_; }

  void on_live(std::span<const std::string_view> frames) {
    const auto number = number_of(frames[1]);
    if (!number || *number == kEndOfReplay) return owner_.metrics_.garbage.add();
    owner_.metrics_.messages.add();
    owner_.metrics_.bytes.add(frames[2].size());
    stream_.on_batch(*number, frames[2], owner_.loop_.now());
    look();
  }

  // After all that the stream was told: starts or breaks off what it wants started or broken off.
  void look() {
    const Time now = owner_.loop_.now();
    if (replay_ && !stream_.replaying()) end_replay();
    if (connected_ && !waiting_) {
      if (const auto from = stream_.wanted_replay(now)) ask(*from, now);
    }
    sink_.on_settled();
    const auto deadline = stream_.deadline();
    if (!deadline) return timer_.cancel();
    // Who waits for a replay or a connection is not to be looked at every turn.
    timer_.arm_at(*deadline > now ? *deadline : now + kLookAgain);
  }
  // Before it is destroyed in a later turn.
  void close() {
    end_replay();
    timer_.cancel();
    if (events_) events_->close();
  }
  void stop_waiting() { waiting_ = false; }

  const KvPublisherAddress& address() const { return address_; }
  const EventStream& stream() const { return stream_; }

 private:
  void ask(std::uint64_t from, Time now) {
    if (!owner_.replays_left_.take()) {
      waiting_ = true;
      owner_.waiting_.push_back(id_);
      return;
    }
    stream_.on_replay_asked(now);
    auto socket = net::ZmqSocket::create(*owner_.context_, owner_.loop_, net::ZmqKind::kDealer,
                                         owner_.options_.replay, *this);
    const std::array<char, kNumberBytes> number = frame_of(from);
    const std::array<std::string_view, 2> frames{std::string_view(),
                                                 std::string_view(number.data(), number.size())};
    if (socket && (*socket)->connect(address_.replay) &&
        (*socket)->send(frames) == net::ZmqSocket::Sent::kSent) {
      replay_ = std::move(*socket);
      return;
    }
    owner_.replays_left_.give_back();
    stream_.on_replay_failed(now);
  }

  void end_replay() {
    if (!replay_) return;
    replay_->close();
    owner_.loop_.destroy_later(std::move(replay_));
    owner_.replay_ended();
  }

  void on_message(net::ZmqSocket& socket, std::span<const std::string_view> frames) override {
    if (&socket == events_.get()) {
      if (frames.size() != 3) return owner_.metrics_.garbage.add();
      return on_live(frames);
    }
    const std::size_t size = frames.size();
    const auto number = size < 2 ? std::nullopt : number_of(frames[size - 2]);
    if (!number) return owner_.metrics_.garbage.add();
    const Time now = owner_.loop_.now();
    if (*number == kEndOfReplay) {
      stream_.on_replay_end(now);
    } else {
      stream_.on_replay_batch(*number, frames[size - 1], now);
    }
    look();
  }
  void on_too_many_frames(net::ZmqSocket&) override { owner_.metrics_.garbage.add(); }
  void on_connected(net::ZmqSocket& socket) override {
    if (&socket != events_.get()) return;
    owner_.metrics_.connected.add();
    connected_ = true;
    unlinked_since_.reset();
    stream_.on_connected(owner_.loop_.now());
    look();
  }
  void on_disconnected(net::ZmqSocket& socket) override {
    if (&socket != events_.get()) return;
    owner_.metrics_.disconnected.add();
    unlinked_since_ = owner_.loop_.now();
    stream_.on_disconnected(owner_.loop_.now());
    look();
  }
  void on_timer() {
    stream_.on_time(owner_.loop_.now());
    look();
  }

  KvSubscriber& owner_;
  std::uint32_t id_;
  KvPublisherAddress address_;
  prefix::EventStreamSink& sink_;
  EventStream stream_;
  net::Timer timer_;
  bool connected_ = false;  // It was, once.
  std::optional<Time> unlinked_since_;
  bool waiting_ = false;
  std::unique_ptr<net::ZmqSocket> events_;
  std::unique_ptr<net::ZmqSocket> replay_;
};

namespace {

constexpr const char* kBatches = "fairlead_kv_event_batches_total";
constexpr const char* kBatchesHelp = "Batches of KV-cache events, by what became of them.";
constexpr const char* kMessages = "fairlead_kv_event_messages_total";
constexpr const char* kMessagesHelp = "Messages of KV-cache events, by what they were.";
constexpr const char* kLinks = "fairlead_kv_event_connections_total";
constexpr const char* kLinksHelp = "Connections with publishers of KV-cache events.";
constexpr const char* kReplays = "fairlead_kv_event_replays_total";
constexpr const char* kReplaysHelp = "Replays of KV-cache events.";
constexpr const char* kStreams = "fairlead_kv_event_streams";
constexpr const char* kStreamsHelp = "Publishers of KV-cache events, by how far they are trusted.";

}  // namespace

KvSubscriber::Metrics::Metrics(MetricRegistry& registry)
    : messages(registry.counter(kMessages, kMessagesHelp, {{"kind", "batch"}})),
      bytes(registry.counter("fairlead_kv_event_bytes_total",
                             "Bytes of payloads of KV-cache events.")),
      garbage(registry.counter(kMessages, kMessagesHelp, {{"kind", "garbage"}})),
      unclaimed(registry.counter(kMessages, kMessagesHelp, {{"kind", "unclaimed"}})),
      connected(registry.counter(kLinks, kLinksHelp, {{"event", "connected"}})),
      disconnected(registry.counter(kLinks, kLinksHelp, {{"event", "disconnected"}})),
      applied(registry.counter(kBatches, kBatchesHelp, {{"result", "applied"}})),
      replayed(registry.counter(kBatches, kBatchesHelp, {{"result", "replayed"}})),
      duplicates(registry.counter(kBatches, kBatchesHelp, {{"result", "duplicate"}})),
      late(registry.counter(kBatches, kBatchesHelp, {{"result", "late"}})),
      lost(registry.counter(kBatches, kBatchesHelp, {{"result", "lost"}})),
      malformed(registry.counter(kBatches, kBatchesHelp, {{"result", "malformed"}})),
      dropped(registry.counter(kBatches, kBatchesHelp, {{"result", "dropped"}})),
      gaps(registry.counter("fairlead_kv_event_gaps_total",
                            "Times that batches of KV-cache events were missing.")),
      restarts(registry.counter("fairlead_kv_event_restarts_total",
                                "Restarts of publishers told from their KV-cache events.")),
      forgotten(registry.counter("fairlead_kv_event_resets_total",
                                 "Times that all that one publisher had told was forgotten.")),
      replays(registry.counter(kReplays, kReplaysHelp, {{"event", "asked"}})),
      replays_failed(registry.counter(kReplays, kReplaysHelp, {{"event", "failed"}})),
      absent(registry.gauge(kStreams, kStreamsHelp, {{"trust", "absent"}})),
      suspect(registry.gauge(kStreams, kStreamsHelp, {{"trust", "suspect"}})),
      trusted(registry.gauge(kStreams, kStreamsHelp, {{"trust", "trusted"}})) {}

Result<std::unique_ptr<KvSubscriber>> KvSubscriber::create(net::EventLoop& loop,
                                                           const KvSubscriberOptions& options,
                                                           MetricRegistry& metrics) {
  auto context = net::ZmqContext::create();
  if (!context) return tl::unexpected(context.error());
  return std::unique_ptr<KvSubscriber>(
      new KvSubscriber(loop, options, metrics, std::move(*context)));
}

KvSubscriber::KvSubscriber(net::EventLoop& loop, const KvSubscriberOptions& options,
                           MetricRegistry& metrics, std::unique_ptr<net::ZmqContext> context)
    : loop_(loop),
      options_(options),
      metrics_(metrics),
      context_(std::move(context)),
      replays_left_(options.replays_max),
      publish_(loop, [this] { publish_metrics(); }) {
  publish_.arm(kPublishEvery);
}

KvSubscriber::~KvSubscriber() {
  waiting_.clear();
  by_topic_.clear();
  // Replay sockets end at once: the loop would destroy them after the context.
  streams_.clear();
}

Result<std::string> KvSubscriber::listen(const std::string& endpoint) {
  auto socket =
      net::ZmqSocket::create(*context_, loop_, net::ZmqKind::kSubscribe, options_.events, *this);
  if (!socket) return tl::unexpected(socket.error());
  auto bound = (*socket)->bind(endpoint);
  if (!bound) return tl::unexpected(bound.error());
  listening_ = std::move(*socket);
  return listening_->bound_endpoint();
}

Result<KvStreamId> KvSubscriber::add(const KvPublisherAddress& address,
                                     prefix::EventStreamSink& sink,
                                     const std::optional<prefix::SavedStream>& saved) {
  if (streams_.size() >= options_.streams_max) {
    return fail(ErrorCode::kLimitExceeded, "{}: more than {} publishers of KV-cache events",
                address.events, options_.streams_max);
  }
  prefix::EventStreamOptions options = options_.stream;
  options.has_replay = !address.replay.empty();
  const std::uint32_t id = next_id_++;
  auto stream = std::make_unique<Stream>(*this, id, address, sink, options);
  if (address.events.empty()) {
    const auto [place, is_new] =
        by_topic_.try_emplace(std::pair{address.topic, address.rank}, stream.get());
    if (!is_new) {
      return fail(ErrorCode::kInvalidArgument, "topic \"{}\", rank {}: named twice", address.topic,
                  address.rank);
    }
  }
  auto started = stream->start(saved);
  if (!started) return tl::unexpected(started.error());
  streams_.emplace(id, std::move(stream));
  return KvStreamId{id};
}

void KvSubscriber::remove(KvStreamId id) {
  const auto found = streams_.find(static_cast<std::uint32_t>(id));
  if (found == streams_.end()) return;
  const Stream& stream = *found->second;  // May be the one that runs now.
  add_figures(removed_figures_, stream.stream().figures());
  if (stream.address().events.empty()) {
    by_topic_.erase(std::pair{stream.address().topic, stream.address().rank});
  }
  std::unique_ptr<Stream> gone = std::move(found->second);
  streams_.erase(found);
  gone->close();
  loop_.destroy_later(std::move(gone));
}

const EventStream* KvSubscriber::stream(KvStreamId id) const {
  const auto found = streams_.find(static_cast<std::uint32_t>(id));
  return found == streams_.end() ? nullptr : &found->second->stream();
}

std::optional<Time> KvSubscriber::unlinked_since(KvStreamId id) const {
  const auto found = streams_.find(static_cast<std::uint32_t>(id));
  return found == streams_.end() ? std::nullopt : found->second->unlinked_since();
}

// From a publisher that connected to us.
void KvSubscriber::on_message(net::ZmqSocket&, std::span<const std::string_view> frames) {
  if (frames.size() != 3) return metrics_.garbage.add();
  const auto found =
      by_topic_.find(std::pair{std::string(frames[0]), codec::kv_batch_rank(frames[2])});
  if (found == by_topic_.end()) return metrics_.unclaimed.add();
  found->second->on_live(frames);
}

void KvSubscriber::on_too_many_frames(net::ZmqSocket&) { metrics_.garbage.add(); }

void KvSubscriber::replay_ended() {
  replays_left_.give_back();
  while (!waiting_.empty()) {
    const auto found = streams_.find(waiting_.front());
    waiting_.pop_front();
    if (found == streams_.end()) continue;
    found->second->stop_waiting();
    found->second->look();
    // Whoever lost its connection meanwhile leaves its turn to the next.
    if (found->second->stream().replaying()) return;
  }
}

void KvSubscriber::publish_metrics() {
  EventStreamFigures sum = removed_figures_;
  std::array<double, 3> trust{};
  for (const auto& [id, stream] : streams_) {
    add_figures(sum, stream->stream().figures());
    ++trust[static_cast<std::size_t>(stream->stream().trust())];
  }
  metrics_.applied.raise_to(sum.applied - sum.replayed);
  metrics_.replayed.raise_to(sum.replayed);
  metrics_.duplicates.raise_to(sum.duplicates);
  metrics_.late.raise_to(sum.late);
  metrics_.lost.raise_to(sum.lost);
  metrics_.malformed.raise_to(sum.malformed);
  metrics_.dropped.raise_to(sum.held_dropped);
  metrics_.gaps.raise_to(sum.gaps);
  metrics_.restarts.raise_to(sum.restarts);
  metrics_.forgotten.raise_to(sum.forgotten);
  metrics_.replays.raise_to(sum.replays);
  metrics_.replays_failed.raise_to(sum.replays_failed);
  metrics_.absent.set(trust[static_cast<std::size_t>(Trust::kAbsent)]);
  metrics_.suspect.set(trust[static_cast<std::size_t>(Trust::kSuspect)]);
  metrics_.trusted.set(trust[static_cast<std::size_t>(Trust::kTrusted)]);
  publish_.arm(kPublishEvery);
}

}  // namespace fairlead::fleet
