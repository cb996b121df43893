// SPDX-License-Identifier: Apache-2.0
#include "router/replica_exchange.h"

#include <fmt/format.h>

#include <algorithm>

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

// What only somebody's configuration can end.
std::string_view advice_of(BatchResult result) {
  switch (result) {
    case BatchResult::kUnsealed:
      return "it has another secret: give all routers the same replicas.secretFile and restart "
             "them";
    case BatchResult::kMalformed:
      return "what it says is no batch of placements: only routers should reach replicas.listen";
    case BatchResult::kOtherVersion:
      return "it is of another version, which writes placements in another way";
    case BatchResult::kOtherBlocks:
      return "its prefix.blockBytes is another: give all routers the same";
    case BatchResult::kTooMany:
      return "more routers tell than can be told apart, 256";
    default:
      return {};
  }
}

}  // namespace

ReplicaExchange::Cells::Cells(MetricRegistry& registry)
    : batches_sent(registry.counter(kBatches, kBatchesHelp, {{"result", "sent"}})),
      batches_lost(registry.counter(kBatches, kBatchesHelp, {{"result", "lost"}})),
      batches_untold(registry.counter(kBatches, kBatchesHelp, {{"result", "untold"}})),
      placements_sent(registry.counter(kPlacements, kPlacementsHelp, {{"result", "sent"}})),
      placements_taken(registry.counter(kPlacements, kPlacementsHelp, {{"result", "taken"}})),
      placements_unknown(
          registry.counter(kPlacements, kPlacementsHelp, {{"result", "unknown_endpoint"}})),
      placements_dropped(registry.counter(kPlacements, kPlacementsHelp, {{"result", "dropped"}})),
      living(registry.gauge("fairlead_replicas",
                            "Other routers that were heard in the last 5 seconds.")),
      connected(registry.gauge("fairlead_replica_connections",
                               "Addresses of other routers that this one tells.")) {
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
  std::unique_ptr<ReplicaExchange> exchange(
      new ReplicaExchange(secret, sender, history, log, metrics, std::move(*loop), options));
  if (auto opened = exchange->open(settings); !opened) return tl::unexpected(opened.error());
  return exchange;
}

ReplicaExchange::ReplicaExchange(const replication::ReplicaSecret& secret, std::uint64_t sender,
                                 SharedHistory& history, Log& log, MetricRegistry& metrics,
                                 std::unique_ptr<net::EventLoop> loop,
                                 const ReplicaExchangeOptions& options)
    : secret_(secret),
      sender_(sender),
      options_(options),
      history_(history),
      log_(log),
      cells_(metrics),
      inbox_(secret, sender),
      loop_(std::move(loop)),
      door_(
          *loop_, secret_, sender, [this](const ReplicaDoor::Told& told) { return take(told); },
          [this](const net::SocketAddress& peer) { count(BatchResult::kMalformed, peer); }),
      resolver_(*loop_, options.resolver),
      tell_(*loop_, [this] { tell(); }),
      heartbeat_(*loop_, [this] { on_heartbeat(); }) {}

ReplicaExchange::~ReplicaExchange() { stop(); }

Result<void> ReplicaExchange::open(const config::ReplicaSettings& settings) {
  auto listen = net::SocketAddress::parse(settings.listen.host, settings.listen.port);
  auto opened = listen ? door_.listen(*listen) : tl::unexpected(listen.error());
  if (!opened) return with_context(opened.error(), "replicas.listen");
  targets_.reserve(settings.addresses.size());  // Lookups tell theirs by its address.
  for (const std::string& text : settings.addresses) {
    if (auto added = add_target(text); !added) {
      return with_context(added.error(), "replicas.addresses");
    }
  }
  sync_links();
  heartbeat_.arm(options_.heartbeat);
  log_.info("other routers tell this one what they send where at {}",
            door_.local_address().to_string());
  return {};
}

Result<void> ReplicaExchange::add_target(const std::string& text) {
  const auto read = config::parse_endpoint_address(text);
  if (!read) return tl::unexpected(read.error());
  Target& target = targets_.emplace_back();
  target.address = read->address;
  if (config::is_host_name(target.address.host)) {
    target.lookup = std::make_unique<net::Lookup>(resolver_);
    resolve(target);
    return {};
  }
  const auto literal = net::SocketAddress::parse(target.address.host, target.address.port);
  if (!literal) return tl::unexpected(literal.error());
  target.seen[literal->to_string()] = Time::max();
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
  std::vector<std::pair<std::string, std::uint64_t>> endpoints;
  std::unordered_map<std::uint64_t, std::uint32_t> slots;
  for (const model::Endpoint& endpoint : pool.endpoints) {
    const std::uint32_t slot = endpoint.ref.slot;
    if (slot >= endpoints.size()) endpoints.resize(slot + 1);
    endpoints[slot] = {endpoint.name, secret_.endpoint_id(endpoint.name)};
    slots.emplace(endpoints[slot].second, slot);
  }
  const std::lock_guard lock(mutex_);
  endpoints_.swap(endpoints);
  slots_.swap(slots);
}

void ReplicaExchange::record(std::uint32_t slot, std::span<const std::uint64_t> keys) {
  history_.record(slot, keys);
  if (keys.empty()) return;
  const std::size_t block_bytes = history_.block_bytes();
  bool is_first = false;
  {
    const std::lock_guard lock(mutex_);
    const bool known = slot < endpoints_.size() && !endpoints_[slot].first.empty();
    is_first = pending_.writer.size() == 0;
    if (is_first) pending_.block_bytes = block_bytes;
    if (!known || pending_.block_bytes != block_bytes ||
        !pending_.writer.add({endpoints_[slot].second, keys})) {
      return cells_.placements_dropped.add();
    }
  }
  if (!is_first) return;
  // Where the loop takes no more, the next heartbeat tells.
  [[maybe_unused]] const net::Posted posted = loop_->post([this] { tell_.arm(kTellEvery); });
}

void ReplicaExchange::tell() {
  Pending pending;
  {
    const std::lock_guard lock(mutex_);
    std::swap(pending, pending_);
  }
  const std::uint32_t placements = pending.writer.size();
  if (placements > 0) ++number_;
  if (placements == 0) pending.block_bytes = history_.block_bytes();
  const replication::BatchHead head{sender_, number_,
                                    static_cast<std::uint32_t>(pending.block_bytes)};
  tell_all(pending.writer.finish(head), placements);
}

void ReplicaExchange::tell_all(std::string_view message, std::uint32_t placements) {
  const replication::Digest digest = replication::digest_of(message);
  bool is_told = false;
  for (auto& [address, one] : links_) {
    if (one.link->tell(message, digest)) {
      is_told = true;
      cells_.batches_sent.add();
    } else if (one.link->up()) {
      cells_.batches_untold.add();
    }
  }
  if (is_told) cells_.placements_sent.add(placements);
}

// The first that it is told is short, and proves who tells.
void ReplicaExchange::greet(ReplicaLink& link) {
  const std::string message = replication::PlacementWriter().finish(
      {sender_, number_, static_cast<std::uint32_t>(history_.block_bytes())});
  if (link.tell(message, replication::digest_of(message))) cells_.batches_sent.add();
}

BatchResult ReplicaExchange::take(const ReplicaDoor::Told& told) {
  const auto block_bytes = static_cast<std::uint32_t>(history_.block_bytes());
  const BatchResult result =
      inbox_.take(told.challenge, told.message, told.seal, block_bytes, loop_->now());
  count(result, told.peer);
  if (result == BatchResult::kTaken) take_placements();
  return result;
}

void ReplicaExchange::count(BatchResult result, const net::SocketAddress& peer) {
  const auto place = static_cast<std::size_t>(result);
  cells_.batches[place]->add();
  const Time before = std::exchange(seen_at_[place], loop_->now());
  const std::string_view advice = advice_of(result);
  const bool is_news = before == Time{} || loop_->now() - before >= kWarnAgain;
  if (is_news && !advice.empty()) {
    log_.warning("a router at {} tells what is not taken: {}", peer.host(), advice);
  }
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

void ReplicaExchange::on_heartbeat() {
  tell();
  for (Target& target : targets_) {
    const bool due = loop_->now() - target.asked >= options_.resolve_every;
    if (target.lookup && due && !target.lookup->active()) resolve(target);
  }
  sync_links();
  show_links();
  heartbeat_.arm(options_.heartbeat);
  // What waits to be read after a pause is read before.
  [[maybe_unused]] const net::Posted posted = loop_->post([this] { look_around(); });
}

void ReplicaExchange::look_around() {
  const Time now = loop_->now();
  inbox_.forget_silent(now);
  cells_.batches_lost.raise_to(inbox_.lost());
  const std::size_t living = inbox_.living(now);
  cells_.living.set(static_cast<double>(living));
  if (living != living_) {
    log_.info("{} other router{} what {} where", living, living == 1 ? " tells" : "s tell",
              living == 1 ? "it sends" : "they send");
  }
  living_ = living;
}

void ReplicaExchange::show_links() {
  std::size_t up = 0;
  for (auto& [address, one] : links_) {
    if (one.link->up()) ++up;
    const std::string& trouble = one.link->trouble();
    if (trouble == one.trouble) continue;
    one.trouble = trouble;
    if (!trouble.empty()) log_.warning("the router at {} is not told: {}", address, trouble);
  }
  cells_.connected.set(static_cast<double>(up));
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
  if (!answer->partial) target.seen.clear();
  const Time now = loop_->now();
  std::erase_if(target.seen,
                [&](const auto& one) { return now - one.second >= options_.unseen_max; });
  for (const std::string& host : answer->addresses) {
    const auto address = net::SocketAddress::parse(host, target.address.port);
    if (address) target.seen[address->to_string()] = now;
  }
  sync_links();
}

// Those that were named last come first.
std::vector<std::string> ReplicaExchange::wanted_addresses() {
  std::map<std::string, Time> newest;
  for (const Target& target : targets_) {
    for (const auto& [address, at] : target.seen) {
      Time& known = newest[address];
      known = std::max(known, at);
    }
  }
  std::vector<std::string> wanted;
  for (const auto& [address, at] : newest) wanted.push_back(address);
  std::ranges::sort(wanted, [&](const std::string& a, const std::string& b) {
    return newest[a] != newest[b] ? newest[a] > newest[b] : a < b;
  });
  const bool too_many = wanted.size() > kLinksMax;
  if (too_many && !too_many_links_) {
    log_.warning("replicas.addresses: {} addresses, of which {} are told", wanted.size(),
                 kLinksMax);
  }
  too_many_links_ = too_many;
  wanted.resize(std::min(wanted.size(), kLinksMax));
  return wanted;
}

void ReplicaExchange::sync_links() {
  const std::vector<std::string> wanted = wanted_addresses();
  for (auto one = links_.begin(); one != links_.end();) {
    if (std::ranges::find(wanted, one->first) != wanted.end()) {
      ++one;
      continue;
    }
    one->second.link->close();
    loop_->destroy_later(std::move(one->second.link));
    one = links_.erase(one);
  }
  for (const std::string& address : wanted) {
    if (links_.contains(address)) continue;
    links_[address].link =
        std::make_unique<ReplicaLink>(*loop_, *net::SocketAddress::parse(address), secret_,
                                      [this](ReplicaLink& link) { greet(link); });
  }
}

}  // namespace fairlead::router
