// SPDX-License-Identifier: Apache-2.0
#include "router/kv_listener.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "router/kv_publisher.h"

namespace fairlead::router {
namespace {

constexpr Duration kPublishEvery = std::chrono::seconds(1);
constexpr std::size_t kSweepSteps = 20'000;  // About a millisecond.
constexpr std::uint32_t kRanksMax = 64;
// Device, host and storage rows of every endpoint, and one of what is expected.
constexpr std::uint32_t kRowsMax = 4 * model::kMaxEndpoints;
constexpr std::size_t kInbox = 16 * 1024;  // Dispatches between two ticks.
constexpr std::string_view kReplayLabel = "fairlead/kv-replay";
constexpr std::string_view kRanksLabel = "fairlead/kv-ranks";

std::uint32_t ranks_of(const model::Endpoint& endpoint) {
  const std::string_view text = endpoint.label(kRanksLabel);
  std::uint32_t ranks = 1;
  std::from_chars(text.data(), text.data() + text.size(), ranks);
  return std::clamp(ranks, 1U, kRanksMax);
}

std::string tcp_endpoint(const std::string& host, std::uint16_t port) {
  const bool is_v6 = host.find(':') != std::string::npos;
  return is_v6 ? fmt::format("tcp://[{}]:{}", host, port) : fmt::format("tcp://{}:{}", host, port);
}

prefix::ToldRows::Kind kind_of(prefix::KvTier tier) {
  return tier == prefix::KvTier::kDevice ? prefix::ToldRows::Kind::kDevice
                                         : prefix::ToldRows::Kind::kHost;
}

}  // namespace

KvListener::Publisher::Publisher(KvListener& listener, Source& source)
    : listener_(listener),
      source_(source),
      feed_(listener.context_, {.model = {},
                                .hash_seed = listener.settings_.hash_seed,
                                .expected = &listener.expected_,
                                .endpoint = source.ref}) {}

KvListener::Publisher::~Publisher() {
  listener_.told_before_ += feed_.figures();
  for (const auto& slot : rows_) {
    if (slot) listener_.rows_.release(listener_.row_of(*slot));
  }
}

prefix::BatchEffect KvListener::Publisher::apply(std::uint64_t sequence, std::string_view payload) {
  listener_.take_expected();  // It may tell of it.
  const prefix::BatchEffect effect = feed_.apply(sequence, payload);
  sync_rows();
  return effect;
}

void KvListener::Publisher::forget() {
  if (std::exchange(unproved_, false)) {
    listener_.cells_.not_continued.add();
    listener_.log_.info(
        "endpoint {}: its KV events do not go on where they were saved; what it "
        "holds is learnt anew",
        source_.name);
  }
  listener_.take_expected();  // It is forgotten too.
  feed_.forget();
  sync_rows();
  listener_.sync(source_);
}

void KvListener::Publisher::on_settled() { listener_.sync(source_); }

void KvListener::Publisher::sync_rows() {
  if (feed_.slots_version() == version_) return;
  version_ = feed_.slots_version();
  for (std::size_t tier = 0; tier < rows_.size(); ++tier) {
    if (rows_[tier] == feed_.slots()[tier]) continue;
    if (rows_[tier]) listener_.rows_.release(listener_.row_of(*rows_[tier]));
    rows_[tier] = feed_.slots()[tier];
    if (rows_[tier]) {
      listener_.rows_.assign(listener_.row_of(*rows_[tier]), source_.slot(),
                             kind_of(static_cast<prefix::KvTier>(tier)));
    }
  }
}

Result<std::unique_ptr<KvListener>> KvListener::create(const scheduling::KvEventSettings& settings,
                                                       std::uint64_t seed, Log& log,
                                                       MetricRegistry& metrics,
                                                       EngineAudits& audits) {
  auto loop = net::EventLoop::create();
  if (!loop) return with_context(loop.error(), "KV events");
  std::unique_ptr<KvListener> listener(
      new KvListener(settings, seed, log, metrics, audits, std::move(*loop)));
  auto subscriber = fleet::KvSubscriber::create(*listener->loop_, {}, metrics);
  if (!subscriber) return with_context(subscriber.error(), "KV events");
  listener->subscriber_ = std::move(*subscriber);
  if (!settings.bind.empty()) {
    auto bound = listener->subscriber_->listen(settings.bind);
    if (!bound) return with_context(bound.error(), "kvEventsConfig.zmqEndpoint");
    log.info("engines publish their KV events to {}", *bound);
  }
  return listener;
}

KvListener::KvListener(const scheduling::KvEventSettings& settings, std::uint64_t seed, Log& log,
                       MetricRegistry& metrics, EngineAudits& audits,
                       std::unique_ptr<net::EventLoop> loop)
    : settings_(settings),
      log_(log),
      audits_(audits),
      cells_(metrics),
      keys_(seed),
      lane_({.seed = seed, .budget_bytes = settings.budget_bytes, .slots_max = kRowsMax}),
      context_(lane_, keys_),
      lanes_{&lane_},
      index_(lanes_),
      rows_(index_, model::kMaxEndpoints, settings.host_weight),
      expected_(lane_),
      block_tokens_(settings.block_tokens),
      logged_block_tokens_(settings.block_tokens),
      loop_(std::move(loop)),
      pools_(1),
      inbox_(kInbox),
      tick_(*loop_, [this] { tick(); }),
      publish_(*loop_, [this] { publish_metrics(); }) {
  tick_.arm(prefix::kKvTick);
  publish_.arm(kPublishEvery);
}

KvListener::~KvListener() {
  stop();
  drop_resumable();
  if (save_) save_->give_up();
  for (auto& [slot, source] : sources_) remove(*source);
  sources_.clear();
}

void KvListener::start() {
  thread_ = std::thread([this] { loop_->run(); });
}

void KvListener::stop() {
  if (!thread_.joinable()) return;
  loop_->stop();
  thread_.join();
}

void KvListener::set_pool(std::shared_ptr<const model::PoolSnapshot> pool) {
  pools_.push(std::move(pool));
}

std::vector<fleet::KvPublisherAddress> KvListener::addresses_of(
    const model::Endpoint& endpoint) const {
  std::vector<fleet::KvPublisherAddress> addresses;
  const std::uint32_t ranks = ranks_of(endpoint);
  const std::string& host = endpoint.dial();
  std::string events(endpoint.label(kKvEventsLabel));
  std::string replay(endpoint.label(kReplayLabel));
  const bool comes_to_us = events.empty() && !settings_.bind.empty();
  if (comes_to_us) {
    if (endpoint.models.empty()) return {};  // Its topic is not known yet.
    const std::string topic = fmt::format("{}{}:{}@{}", settings_.topic_filter, host, endpoint.port,
                                          endpoint.models.front());
    for (std::uint32_t rank = 0; rank < ranks; ++rank) addresses.push_back({{}, {}, topic, rank});
    return addresses;
  }
  if (events.empty()) events = tcp_endpoint(host, settings_.port);
  if (replay.empty() && settings_.replay_port != 0) {
    replay = tcp_endpoint(host, settings_.replay_port);
  }
  for (std::uint32_t rank = 0; rank < ranks; ++rank) {
    addresses.push_back({fleet::kv_rank_endpoint(events, rank),
                         replay.empty() ? std::string() : fleet::kv_rank_endpoint(replay, rank),
                         settings_.topic_filter, rank});
  }
  return addresses;
}

void KvListener::take_pool(const model::PoolSnapshot& pool) {
  std::erase_if(sources_, [&](auto& entry) {
    Source& source = *entry.second;
    const model::Endpoint* const endpoint = pool.find(entry.first);
    if (endpoint != nullptr && endpoint->ref == source.ref &&
        addresses_of(*endpoint) == source.addresses) {
      return false;
    }
    remove(source);
    return true;
  });
  for (const model::Endpoint& endpoint : pool.endpoints) {
    if (!sources_.contains(endpoint.ref.slot)) add(endpoint, addresses_of(endpoint));
  }
  // Those that are left may have blocks of another size than the ones that went.
  decide_block_size();
  for (const auto& [slot, source] : sources_) {
    tell_block_size(*source);
    set_trust(*source);
  }
}

void KvListener::add(const model::Endpoint& endpoint,
                     const std::vector<fleet::KvPublisherAddress>& addresses) {
  if (addresses.empty()) return;
  auto source = std::make_unique<Source>();
  source->ref = endpoint.ref;
  source->name = endpoint.name;
  source->addresses = addresses;
  for (const fleet::KvPublisherAddress& address : addresses) {
    if (address.events.empty() && settings_.bind.empty()) {
      log_.warning(
          "endpoint {}: its KV events cannot be listened to: rank {} has no address of "
          "its own behind {}",
          endpoint.name, address.rank, addresses.front().events);
      continue;
    }
    auto publisher = std::make_unique<Publisher>(*this, *source);
    std::optional<Resumable> saved = take_resumable(endpoint.name, address);
    std::optional<prefix::SavedStream> place;
    if (saved) {
      place = saved->known.stream;
      publisher->resume(std::move(saved->known.feed));
    }
    const auto id = subscriber_->add(address, *publisher, place);
    if (!id) {
      log_.warning("endpoint {}: its KV events cannot be listened to: {}", endpoint.name,
                   id.error().message);
      continue;
    }
    publisher->set_stream(*id, address);
    source->publishers.push_back(std::move(publisher));
  }
  if (settings_.expect_for) {
    if (const auto expected = expected_.open(endpoint.ref)) {
      rows_.assign(row_of(*expected), endpoint.ref.slot, prefix::ToldRows::Kind::kExpected);
    }
  }
  Source& added = *source;
  sources_.emplace(endpoint.ref.slot, std::move(source));
  sync(added);
}

void KvListener::remove(Source& source) {
  for (const auto& publisher : source.publishers) subscriber_->remove(publisher->id());
  source.publishers.clear();
  rows_.set_trust(source.slot(), prefix::Trust::kAbsent);
  if (const auto expected = expected_.slot(source.ref)) {
    rows_.release(row_of(*expected));
    expected_.close(source.ref);
    context_.add_retired(*expected);
  }
}

void KvListener::sync(Source& source) {
  bool is_news = false;
  for (const auto& publisher : source.publishers) {
    if (publisher->tells_of(publisher->feed().block_tokens(), tellings_)) is_news = true;
  }
  if (is_news) {
    ++tellings_;
    if (decide_block_size()) {
      for (const auto& [slot, other] : sources_) {
        tell_block_size(*other);
        set_trust(*other);
      }
    }
    tell_block_size(source);
  }
  set_trust(source);
}

// The endpoint is trusted as far as the least of its ranks.
void KvListener::set_trust(Source& source) {
  // A rank that cannot be listened to is the least.
  const bool whole = source.publishers.size() == source.addresses.size();
  prefix::Trust trust = whole ? prefix::Trust::kTrusted : prefix::Trust::kAbsent;
  for (const auto& publisher : source.publishers) {
    const prefix::EventStream* const stream = subscriber_->stream(publisher->id());
    const prefix::Trust rank = stream == nullptr ? prefix::Trust::kAbsent : stream->trust();
    trust = std::min(trust, rank);
    if (rank != prefix::Trust::kAbsent) publisher->proved();
    // Keys of blocks of another size are not those that prompts are asked for by.
    const std::uint32_t block = publisher->block_tokens();
    if (block != 0 && block != block_tokens_) trust = prefix::Trust::kAbsent;
  }
  rows_.set_trust(source.slot(), trust);
}

void KvListener::Publisher::proved() {
  if (!std::exchange(unproved_, false)) return;
  listener_.cells_.continued.add();
  listener_.log_.info("endpoint {}: its KV events go on where they were saved", source_.name);
}

void KvListener::expect(model::EndpointRef endpoint, std::span<const std::uint64_t> keys,
                        Time now) {
  if (!settings_.expect_for || keys.empty()) return;
  inbox_.push({endpoint, {keys.begin(), keys.end()}, now + *settings_.expect_for});
}

void KvListener::take_expected() {
  if (!settings_.expect_for) return;
  arrived_.clear();
  inbox_.drain(arrived_);
  for (Expected& one : arrived_) {
    const auto source = sources_.find(one.endpoint.slot);
    if (source == sources_.end() || !(source->second->ref == one.endpoint)) continue;
    device_slots_.clear();
    for (const auto& publisher : source->second->publishers) {
      const auto slot = publisher->feed().slot(prefix::KvTier::kDevice);
      if (slot) device_slots_.push_back(*slot);
    }
    expected_.add(one.endpoint, std::move(one.keys), one.until, device_slots_);
  }
}

void KvListener::sweep() {
  lane_.sweep(kSweepSteps);
  // Rows were released when their slots were retired, so that no answer counts them any more.
  context_.recycle_swept();
}

void KvListener::tick() {
  arrived_pools_.clear();
  pools_.drain(arrived_pools_);
  if (!arrived_pools_.empty()) take_pool(*arrived_pools_.back());
  take_expected();
  expected_.expire(loop_->now());
  check_resumable(loop_->now());
  sweep();
  save_slice();
  tick_.arm(prefix::kKvTick);
}

void KvListener::publish_metrics() {
  check_links(loop_->now());
  for (const auto& [slot, source] : sources_) tell_hashes(*source);
  log_block_size();
  prefix::KvFeedFigures told = told_before_;
  for (const auto& [slot, source] : sources_) {
    for (const auto& publisher : source->publishers) told += publisher->feed().figures();
  }
  cells_.set(told);
  cells_.set(lane_.figures());
  cells_.bytes.set(static_cast<double>(lane_.memory_bytes()));
  cells_.lookups_cut.raise_to(rows_.lookups_cut());
  cells_.expected_dropped.raise_to(expected_.dropped() + inbox_.dropped());
  publish_.arm(kPublishEvery);
}

}  // namespace fairlead::router
