// SPDX-License-Identifier: Apache-2.0
#include "router/replica_exchange.h"

#include <algorithm>
#include <utility>

#include "core/config/endpoints.h"

namespace fairlead::router {
namespace {

using replication::BatchResult;

constexpr const char* kBatches = "fairlead_replica_batches_total";
constexpr const char* kBatchesHelp =
    "Batches of placements that other routers told, by what became of them, and those sent.";
constexpr const char* kPlacements = "fairlead_replica_placements_total";
constexpr const char* kPlacementsHelp =
    "Prompts with their endpoint told between routers: sent, taken, of endpoints that are unknown "
    "here, or dropped because there was no room to send them.";
constexpr std::uint32_t kUnknown = ~std::uint32_t{0};

std::string zmq_endpoint(const config::HostPort& address) {
  return fmt::format("tcp://{}", config::to_string(address));
}

// What only somebody's configuration can end.
std::string_view advice_of(BatchResult result) {
  switch (result) {
    case BatchResult::kUnsealed:
      return "have another secret: give all routers the same replicas.secretFile and restart them";
    case BatchResult::kOtherVersion:
      return "write placements in another way: they are of another version of Fairlead";
    case BatchResult::kOtherBlocks:
      return "have another prefix.blockBytes: give all routers the same";
    case BatchResult::kMalformed:
      return "send what is no batch of placements: is another service at that address?";
    case BatchResult::kTooMany:
      return "are too many to be told apart";
    default:
      return {};
  }
}

}  // namespace

ReplicaExchange::Cells::Cells(MetricRegistry& registry)
    : batches_sent(registry.counter(kBatches, kBatchesHelp, {{"result", "sent"}})),
      batches_lost(registry.counter(kBatches, kBatchesHelp, {{"result", "lost"}})),
      placements_sent(registry.counter(kPlacements, kPlacementsHelp, {{"result", "sent"}})),
      placements_taken(registry.counter(kPlacements, kPlacementsHelp, {{"result", "taken"}})),
      placements_unknown(
          registry.counter(kPlacements, kPlacementsHelp, {{"result", "unknown_endpoint"}})),
      placements_dropped(registry.counter(kPlacements, kPlacementsHelp, {{"result", "dropped"}})),
      living(registry.gauge("fairlead_replicas",
                            "Other routers that were heard in the last 5 seconds.")),
      connected(registry.gauge("fairlead_replica_connections",
                               "Connections to addresses of routers; this one's may be among "
                               "them.")) {
  for (std::size_t i = 0; i < batches.size(); ++i) {
    const auto result = static_cast<BatchResult>(i);
    batches[i] = &registry.counter(kBatches, kBatchesHelp,
                                   {{"result", std::string(replication::to_string(result))}});
  }
}

Result<std::unique_ptr<ReplicaExchange>> ReplicaExchange::create(
    const config::ReplicaSettings& settings, const replication::ReplicaSecret& secret,
    std::uint64_t sender, SharedHistory& history, Log& log, MetricRegistry& metrics,
    const ReplicaExchangeOptions& options) {
  auto loop = net::EventLoop::create();
  if (!loop) return tl::unexpected(loop.error());
  auto context = net::ZmqContext::create();
  if (!context) return tl::unexpected(context.error());
  std::unique_ptr<ReplicaExchange> exchange(new ReplicaExchange(
      secret, sender, history, log, metrics, std::move(*loop), std::move(*context), options));
  if (auto opened = exchange->open(settings); !opened) return tl::unexpected(opened.error());
  return exchange;
}

ReplicaExchange::ReplicaExchange(const replication::ReplicaSecret& secret, std::uint64_t sender,
                                 SharedHistory& history, Log& log, MetricRegistry& metrics,
                                 std::unique_ptr<net::EventLoop> loop,
                                 std::unique_ptr<net::ZmqContext> context,
                                 const ReplicaExchangeOptions& options)
    : secret_(secret),
      sender_(sender),
      options_(options),
      history_(history),
      log_(log),
      cells_(metrics),
      inbox_(secret, sender),
      loop_(std::move(loop)),
      context_(std::move(context)),
      resolver_(*loop_, options.resolver),
      tell_(*loop_, [this] { tell(); }),
      heartbeat_(*loop_, [this] { on_heartbeat(); }) {}

ReplicaExchange::~ReplicaExchange() { stop(); }

Result<void> ReplicaExchange::open(const config::ReplicaSettings& settings) {
  net::ZmqOptions options{.queue_max = kQueued,
                          .frame_bytes_max = std::int64_t{replication::kBatchBytesMax},
                          .topic = {}};
  auto socket = net::ZmqSocket::create(*context_, *loop_, net::ZmqKind::kPublish, options, *this);
  if (!socket) return tl::unexpected(socket.error());
  config::HostPort listen = settings.listen;
  if (listen.host == "localhost") listen.host = "127.0.0.1";
  if (auto bound = (*socket)->bind(zmq_endpoint(listen)); !bound) {
    return with_context(bound.error(), "replicas.listen");
  }
  publisher_ = std::move(*socket);
  targets_.reserve(settings.addresses.size());  // Lookups tell theirs by its address.
  for (const std::string& text : settings.addresses) {
    const auto address = config::parse_endpoint_address(text);
    if (!address) return with_context(address.error(), "replicas.addresses");
    Target& target = targets_.emplace_back();
    target.address = address->address;
    if (target.address.host == "localhost") target.address.host = "127.0.0.1";
    if (config::is_host_name(target.address.host)) {
      target.lookup = std::make_unique<net::Lookup>(resolver_);
      resolve(target);
    } else {
      target.endpoints = {zmq_endpoint(target.address)};
    }
  }
  sync_links();
  heartbeat_.arm(options_.heartbeat);
  log_.info("what is sent where is told to other routers from {}", bound_endpoint());
  return {};
}

void ReplicaExchange::start() {
  thread_ = std::thread([this] { loop_->run(); });
}

void ReplicaExchange::stop() {
  if (!thread_.joinable()) return;
  loop_->stop();
  thread_.join();
}

void ReplicaExchange::set_pool(const model::PoolSnapshot& pool) {
  const std::lock_guard lock(mutex_);
  std::vector<std::pair<std::string, std::uint64_t>> before = std::exchange(endpoints_, {});
  slots_.clear();
  for (const model::Endpoint& endpoint : pool.endpoints) {
    const std::uint32_t slot = endpoint.ref.slot;
    if (slot >= endpoints_.size()) endpoints_.resize(slot + 1);
    const bool known = slot < before.size() && before[slot].first == endpoint.name;
    const std::uint64_t id = known ? before[slot].second : secret_.endpoint_id(endpoint.name);
    endpoints_[slot] = {endpoint.name, id};
    slots_.emplace(id, slot);
  }
}

void ReplicaExchange::record(std::uint32_t slot, std::span<const std::uint64_t> keys) {
  history_.record(slot, keys);
  if (keys.empty()) return;
  bool is_first = false;
  {
    const std::lock_guard lock(mutex_);
    if (slot >= endpoints_.size() || endpoints_[slot].first.empty()) return;
    is_first = writer_.size() == 0;
    if (!writer_.add({endpoints_[slot].second, keys})) return cells_.placements_dropped.add();
  }
  if (!is_first) return;
  // Where the loop takes no more, the next heartbeat tells.
  [[maybe_unused]] const net::Posted posted = loop_->post([this] { tell_.arm(kTellEvery); });
}

void ReplicaExchange::tell() {
  std::string message;
  std::uint32_t placements = 0;
  {
    const std::lock_guard lock(mutex_);
    placements = writer_.size();
    message =
        writer_.finish({sender_, ++number_, static_cast<std::uint32_t>(history_.block_bytes())});
  }
  const replication::Seal seal = secret_.seal(message);
  const std::array<std::string_view, 2> frames{
      message, std::string_view(reinterpret_cast<const char*>(seal.data()), seal.size())};
  if (publisher_->send(frames) != net::ZmqSocket::Sent::kSent) {
    return cells_.placements_dropped.add(placements);
  }
  cells_.batches_sent.add();
  cells_.placements_sent.add(placements);
}

void ReplicaExchange::on_message(net::ZmqSocket&, std::span<const std::string_view> frames) {
  if (frames.size() != 2) return count(BatchResult::kMalformed);
  const auto block_bytes = static_cast<std::uint32_t>(history_.block_bytes());
  const BatchResult result = inbox_.take(frames[0], frames[1], block_bytes, loop_->now());
  count(result);
  if (result == BatchResult::kTaken) take_placements();
}

void ReplicaExchange::on_too_many_frames(net::ZmqSocket&) { count(BatchResult::kMalformed); }

void ReplicaExchange::count(BatchResult result) {
  cells_.batches[static_cast<std::size_t>(result)]->add();
  seen_[static_cast<std::size_t>(result)] = true;
}

void ReplicaExchange::take_placements() {
  const auto placements = inbox_.placements();
  taken_slots_.assign(placements.size(), kUnknown);
  {
    const std::lock_guard lock(mutex_);
    for (std::size_t i = 0; i < placements.size(); ++i) {
      const auto found = slots_.find(placements[i].endpoint);
      if (found != slots_.end()) taken_slots_[i] = found->second;
    }
  }
  for (std::size_t i = 0; i < placements.size(); ++i) {
    if (taken_slots_[i] == kUnknown) {
      cells_.placements_unknown.add();
    } else {
      history_.record(taken_slots_[i], placements[i].keys);
      cells_.placements_taken.add();
    }
  }
}

void ReplicaExchange::on_connected(net::ZmqSocket& socket) {
  connected_.insert(&socket);
  cells_.connected.set(static_cast<double>(connected_.size()));
}

void ReplicaExchange::on_disconnected(net::ZmqSocket& socket) {
  connected_.erase(&socket);
  cells_.connected.set(static_cast<double>(connected_.size()));
}

void ReplicaExchange::on_heartbeat() {
  tell();
  const Time now = loop_->now();
  inbox_.forget_silent(now);
  cells_.batches_lost.raise_to(inbox_.lost());
  const std::size_t living = inbox_.living(now);
  cells_.living.set(static_cast<double>(living));
  if (living != living_) log_.info("{} other routers tell what they send where", living);
  living_ = living;
  warn_of_others();
  for (Target& target : targets_) {
    const bool due = now - target.asked >= options_.resolve_every;
    if (target.lookup && due && !target.lookup->active()) resolve(target);
  }
  heartbeat_.arm(options_.heartbeat);
}

// Once each time that it begins: between two heartbeats every router tells something.
void ReplicaExchange::warn_of_others() {
  for (std::size_t i = 0; i < seen_.size(); ++i) {
    const std::string_view advice = advice_of(static_cast<BatchResult>(i));
    const bool seen = std::exchange(seen_[i], false);
    const bool news = seen && !warned_[i];
    warned_[i] = seen;
    if (news && !advice.empty()) log_.warning("some of replicas.addresses {}", advice);
  }
}

void ReplicaExchange::resolve(Target& target) {
  target.asked = loop_->now();
  target.lookup->start(target.address.host, [this, &target](const net::LookupResult& answer) {
    take_answer(target, answer);
  });
}

void ReplicaExchange::take_answer(Target& target, const net::LookupResult& answer) {
  const std::string trouble = answer ? std::string() : std::string(net::to_string(answer.error()));
  if (trouble != target.trouble && !trouble.empty()) {
    log_.warning("replicas.addresses: {}: {}; it is asked for again", target.address.host, trouble);
  }
  target.trouble = trouble;
  if (!answer) return;  // Those known stay: a name server that fails is no reason to part.
  if (!answer->partial) target.endpoints.clear();
  for (const std::string& host : answer->addresses) {
    target.endpoints.insert(zmq_endpoint({host, target.address.port}));
  }
  sync_links();
}

void ReplicaExchange::sync_links() {
  std::set<std::string> wanted;
  for (const Target& target : targets_) {
    wanted.insert(target.endpoints.begin(), target.endpoints.end());
  }
  for (auto link = links_.begin(); link != links_.end();) {
    if (wanted.contains(link->first)) {
      ++link;
      continue;
    }
    link->second->close();
    on_disconnected(*link->second);
    loop_->destroy_later(std::move(link->second));
    link = links_.erase(link);
  }
  const bool too_many = wanted.size() > kLinksMax;
  if (too_many && !too_many_links_) {
    log_.warning("replicas.addresses: {} addresses; {} of them are listened to", wanted.size(),
                 kLinksMax);
  }
  too_many_links_ = too_many;
  const net::ZmqOptions options{.queue_max = kQueued,
                                .frame_bytes_max = std::int64_t{replication::kBatchBytesMax},
                                .topic = {}};
  for (const std::string& endpoint : wanted) {
    if (links_.size() >= kLinksMax || links_.contains(endpoint)) continue;
    auto socket =
        net::ZmqSocket::create(*context_, *loop_, net::ZmqKind::kSubscribe, options, *this);
    auto connected = socket ? (*socket)->connect(endpoint) : tl::unexpected(socket.error());
    if (connected) {
      links_.emplace(endpoint, std::move(*socket));
    } else {
      log_.error("replicas.addresses: {}", connected.error().message);
    }
  }
}

}  // namespace fairlead::router
