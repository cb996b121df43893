// SPDX-License-Identifier: Apache-2.0
#include "core/fleet/fleet.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <limits>
#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "base/mutant.h"

namespace fairlead::fleet {

using model::Health;

namespace {

// Bytes of prompt per token, until usage teaches better.
constexpr std::uint64_t kBytesPerToken = 4;
// An engine that claims more is not believed: 4 GiB of prompts are a billion tokens.
constexpr std::uint64_t kBudgetBytesMax = std::uint64_t{4} << 30;
// An error names this many endpoints; an operator does not read thousands.
constexpr std::size_t kNamesMax = 5;

using SettingsByName = std::map<std::string_view, const config::EndpointSetting*>;

std::uint16_t hash_names(const std::vector<std::string>& names,
                         std::array<std::uint32_t, kMaxAdapters>& hashes) {
  for (std::size_t i = 0; i < std::min(names.size(), kMaxAdapters); ++i) {
    hashes[i] = adapter_hash(names[i]);
  }
  constexpr std::size_t kMost = std::numeric_limits<std::uint16_t>::max();
  return static_cast<std::uint16_t>(std::min(names.size(), kMost));
}

AdapterRow adapters_of(const codec::EngineMetrics& metrics) {
  AdapterRow row;
  if (!metrics.lora) return row;
  row.active_count = hash_names(metrics.lora->running, row.active);
  row.waiting_count = hash_names(metrics.lora->waiting, row.waiting);
  row.max = metrics.lora->max_lora;
  return row;
}

Result<SettingsByName> by_name(const std::vector<config::EndpointSetting>& members) {
  SettingsByName names;
  std::map<std::pair<std::string_view, std::uint16_t>, std::string_view> addresses;
  for (const config::EndpointSetting& member : members) {
    if (!names.emplace(member.name, &member).second) {
      return fail(ErrorCode::kInvalidArgument,
                  "two endpoints are named {}; give each a name of its own", member.name);
    }
    const auto [other, fresh] = addresses.emplace(
        std::pair(std::string_view(member.address.host), member.address.port), member.name);
    if (!fresh) {
      return fail(ErrorCode::kInvalidArgument, "endpoints {} and {} are both at {}; keep one",
                  other->second, member.name, config::to_string(member.address));
    }
  }
  return names;
}

bool same_address(const model::Endpoint& endpoint, const config::EndpointSetting& setting) {
  return endpoint.host == setting.address.host && endpoint.port == setting.address.port &&
         endpoint.tls == setting.tls;
}

std::string first_names(const std::vector<config::EndpointSetting>& settings) {
  std::string names;
  for (std::size_t i = 0; i < std::min(settings.size(), kNamesMax); ++i) {
    names += (i == 0 ? "" : ", ") + settings[i].name;
  }
  if (settings.size() > kNamesMax)
    names += fmt::format(" and {} more", settings.size() - kNamesMax);
  return names;
}

}  // namespace

Fleet::Fleet(const config::FleetSettings& settings, const config::PrefixSettings& prefix,
             const InFlightTable& inflight, Random random)
    : settings_(settings), prefix_(prefix), inflight_(inflight), scrapes_(random) {}

Fleet::Member* Fleet::find(model::EndpointRef endpoint) {
  const auto found = std::ranges::lower_bound(
      members_, endpoint.slot, {}, [](const Member& member) { return member.endpoint.ref.slot; });
  return found != members_.end() && found->endpoint.ref == endpoint ? &*found : nullptr;
}

void Fleet::add_effect(Effect::Kind kind, const Member& member, std::string why,
                       std::uint64_t bytes) {
  effects_.push_back({kind, member.endpoint.ref, bytes, member.endpoint.name, std::move(why)});
}

std::optional<model::EndpointRef> Fleet::take_slot(Time now) {
  const auto rested = std::ranges::find_if(resting_, [&](const RestingSlot& resting) {
    return planted(Mutant::kReusedSlot) ||
           (now >= resting.free_at && !inflight_.in_use(resting.slot));
  });
  if (rested != resting_.end()) {
    const model::EndpointRef ref{rested->slot, rested->generation + 1};
    resting_.erase(rested);
    return ref;
  }
  if (fresh_slot_ == model::kMaxEndpoints) return std::nullopt;
  return model::EndpointRef{fresh_slot_++, 0};
}

void Fleet::retire(const Member& member, std::string why, Time now) {
  const model::EndpointRef ref = member.endpoint.ref;
  resting_.push_back({ref.slot, ref.generation, now + kSlotRest});
  add_effect(Effect::Kind::kRetire, member, std::move(why));
}

bool Fleet::join(const config::EndpointSetting& setting, Time now) {
  const std::optional<model::EndpointRef> ref = take_slot(now);
  if (!ref) return false;
  Member member;
  member.endpoint.ref = *ref;
  member.endpoint.name = setting.name;
  member.endpoint.host = setting.address.host;
  member.endpoint.port = setting.address.port;
  member.endpoint.tls = setting.tls;
  member.endpoint.labels = setting.labels;
  if (config::is_host_name(setting.address.host)) member.name.emplace(setting.address.host);
  insert(std::move(member));
  return true;
}

void Fleet::insert(Member member) {
  add_effect(Effect::Kind::kJoin, member, "joined the pool");
  const auto place =
      std::ranges::upper_bound(members_, member.endpoint.ref.slot, {},
                               [](const Member& other) { return other.endpoint.ref.slot; });
  members_.insert(place, std::move(member));
  changed_ = true;
}

void Fleet::move(const Member& member, Time now) {
  const model::EndpointRef old = member.endpoint.ref;
  const std::string& address = member.name->address();
  const std::optional<model::EndpointRef> ref = take_slot(now);
  if (!ref) {
    return note({WorkKind::kResolve, old},
                fmt::format("it moved to {}, but no slot is free", address));
  }
  Member fresh;
  fresh.endpoint.ref = *ref;
  fresh.endpoint.name = member.endpoint.name;
  fresh.endpoint.host = member.endpoint.host;
  fresh.endpoint.port = member.endpoint.port;
  fresh.endpoint.tls = member.endpoint.tls;
  fresh.endpoint.labels = member.endpoint.labels;
  fresh.endpoint.address = address;
  fresh.name = member.name;
  fresh.trouble[static_cast<std::size_t>(WorkKind::kResolve)] =
      member.trouble[static_cast<std::size_t>(WorkKind::kResolve)];
  retire(member, fmt::format("moved from {} to {}", member.endpoint.address, address), now);
  std::erase_if(members_, [&](const Member& other) { return other.endpoint.ref == old; });
  insert(std::move(fresh));
}

void Fleet::reconfigure(const config::FleetSettings& settings, const config::PrefixSettings& prefix,
                        Time now) {
  const bool budgets = prefix != prefix_;
  settings_ = settings;
  prefix_ = prefix;
  next_probe_ = next_tick_ = now;
  scrapes_.restart(now);
  for (Member& member : members_) {
    member.models_next = std::min(member.models_next, now + settings.models_interval);
    if (!budgets) continue;
    const std::uint64_t unreported = member.budget > 0 ? member.budget : prefix.bytes_unreported;
    add_effect(Effect::Kind::kSetBudget, member, "the configuration changed",
               prefix.bytes_per_endpoint.value_or(unreported));
  }
}

Result<void> Fleet::set_members(const std::vector<config::EndpointSetting>& members, Time now) {
  auto wanted = by_name(members);
  if (!wanted) return tl::unexpected(std::move(wanted.error()));
  std::erase_if(members_, [&](const Member& member) {
    const auto found = wanted->find(member.endpoint.name);
    if (found != wanted->end() && same_address(member.endpoint, *found->second)) return false;
    retire(member, "left the pool", now);
    return true;
  });
  for (Member& member : members_) {
    const auto found = wanted->find(member.endpoint.name);
    member.endpoint.labels = found->second->labels;
    wanted->erase(found);
  }
  changed_ = true;
  next_tick_ = now;
  waiting_.clear();
  // In the order given, so that the same list always takes the same slots.
  for (const config::EndpointSetting& setting : members) {
    if (wanted->contains(setting.name) && !join(setting, now)) waiting_.push_back(setting);
  }
  if (waiting_.empty()) return {};
  return fail(ErrorCode::kLimitExceeded,
              "the pool is full at {} endpoints; {} waiting for a free slot: {}. Remove endpoints "
              "or start another router",
              model::kMaxEndpoints, waiting_.size(), first_names(waiting_));
}

void Fleet::settle(Member& member, Health before, Time now) {
  const Health after = member.health.state();
  const double share = member.health.admit_share(settings_.health, now);
  if (after == before && share == member.endpoint.admit_share) return;
  if (!member.endpoint.takes_traffic()) {
    member.scrape_failures = 0;
    member.scrape_next = now;
  }
  member.endpoint.health = after;
  member.endpoint.admit_share = share;
  changed_ = true;
  // A newcomer serves nothing until its models are known: they are asked for at once.
  next_tick_ = std::min(next_tick_, now);
  if (after == Health::kEjected && before != Health::kEjected) {
    add_effect(Effect::Kind::kForget, member, "ejected after repeated failures");
    if (member.name) member.name->doubt(now);
  }
}

void Fleet::observe(const model::Observation& observation, Time now) {
  Member* member = find(observation.endpoint);
  if (member == nullptr || observation.failure == model::UpstreamFailure::kStaleConnection) return;
  const Health before = member->health.state();
  if (observation.kind == model::Observation::Kind::kSuccess) {
    member->health.on_request_success();
  } else {
    ++member->failed_requests;
    if (!may_eject(*member, observation.failure)) return;
    member->health.on_failure(Witness::kRequest, settings_.health, now);
  }
  settle(*member, before, now);
}

bool Fleet::may_eject(const Member& member, model::UpstreamFailure failure) const {
  using model::UpstreamFailure;
  if (failure == UpstreamFailure::kConnectRefused || failure == UpstreamFailure::kConnectTimeout) {
    return true;
  }
  const auto others = std::ranges::count_if(members_, [&](const Member& other) {
    return &other != &member && other.endpoint.takes_traffic();
  });
  return 2 * static_cast<std::size_t>(others) >= members_.size();
}

void Fleet::note(const Work& work, std::string_view trouble) {
  Member* member = find(work.endpoint);
  if (member == nullptr) return;
  std::string& before = member->trouble[static_cast<std::size_t>(work.kind)];
  if (before == trouble) return;
  before = trouble;
  if (!trouble.empty()) add_effect(Effect::Kind::kTrouble, *member, before);
}

void Fleet::on_probe(model::EndpointRef endpoint, ProbeResult result, Time now) {
  Member* member = find(endpoint);
  if (member == nullptr) return;
  const Health before = member->health.state();
  changed_ |= !std::exchange(member->endpoint.asked, true);
  if (result == ProbeResult::kGood) {
    member->health.on_probe_success(settings_.health, now);
  } else {
    member->health.on_failure(Witness::kProbe, settings_.health, now);
  }
  settle(*member, before, now);
}

void Fleet::on_models(model::EndpointRef endpoint, const std::vector<codec::ModelCard>& models) {
  Member* member = find(endpoint);
  if (member == nullptr) return;
  member->models_known = true;
  std::vector<std::string> ids;
  std::vector<std::string> adapters;
  ids.reserve(models.size());
  for (const codec::ModelCard& card : models) {
    ids.push_back(card.id);
    if (!card.parent.empty()) adapters.push_back(card.id);
  }
  model::Endpoint& known = member->endpoint;
  if (ids == known.models && adapters == known.adapters) return;
  known.models = std::move(ids);
  known.adapters = std::move(adapters);
  changed_ = true;
}

const Fleet::Member* Fleet::twin_of(const Member& member) const {
  const auto twin = std::ranges::find_if(members_, [&](const Member& other) {
    return &other != &member && other.endpoint.port == member.endpoint.port &&
           other.endpoint.dial() == member.name->address();
  });
  return twin == members_.end() ? nullptr : &*twin;
}

void Fleet::on_answer(model::EndpointRef endpoint, const NameAnswer& answer, Time now) {
  Member* member = find(endpoint);
  if (member == nullptr || !member->name) return;
  member->name->on_answer(answer, now);
  const std::string& address = member->name->address();
  std::string trouble = member->name->trouble();
  const Member* const twin = trouble.empty() ? twin_of(*member) : nullptr;
  if (twin != nullptr) {
    trouble = fmt::format("{} port {} is endpoint {}'s too; one engine needs one endpoint", address,
                          member->endpoint.port, twin->endpoint.name);
  }
  note({WorkKind::kResolve, endpoint}, trouble);
  next_tick_ = std::min(next_tick_, now);
  if (address == member->endpoint.address) return;
  if (!member->endpoint.address.empty()) return move(*member, now);
  member->endpoint.address = address;
  changed_ = true;
}

bool Fleet::restarted(Member& member, const codec::EngineMetrics& metrics) const {
  const bool new_process = metrics.process_start_time && member.started_at &&
                           *metrics.process_start_time != *member.started_at;
  const bool went_back = metrics.prefix_queries && member.prefix_queries &&
                         *metrics.prefix_queries < *member.prefix_queries;
  if (metrics.process_start_time) member.started_at = metrics.process_start_time;
  if (metrics.prefix_queries) member.prefix_queries = metrics.prefix_queries;
  return new_process || went_back;
}

void Fleet::update_budget(Member& member, const codec::EngineMetrics& metrics) {
  if (prefix_.bytes_per_endpoint || !metrics.block_size || !metrics.num_gpu_blocks) return;
  const std::uint64_t block_bytes = std::min(*metrics.block_size, kBudgetBytesMax) * kBytesPerToken;
  const std::uint64_t blocks = std::min(*metrics.num_gpu_blocks, kBudgetBytesMax / kBytesPerToken);
  const std::uint64_t bytes = block_bytes > 0 && blocks > kBudgetBytesMax / block_bytes
                                  ? kBudgetBytesMax
                                  : block_bytes * blocks;
  if (bytes == member.budget) return;
  member.budget = bytes;
  add_effect(Effect::Kind::kSetBudget, member, "the engine reported its KV cache", bytes);
}

void Fleet::on_scrape_asked(model::EndpointRef endpoint) {
  Member* member = find(endpoint);
  if (member == nullptr) return;
  member->scrape_asked.emplace(inflight_, endpoint.slot);
}

void Fleet::on_scrape(model::EndpointRef endpoint, const codec::EngineMetrics& metrics,
                      LoadTable& load, Time now) {
  Member* member = find(endpoint);
  if (member == nullptr || !metrics.any()) return;
  if (const auto tokens = metrics.kv_tokens()) member->kv_tokens = static_cast<float>(*tokens);
  const bool is_new = restarted(*member, metrics);
  if (is_new) member->others = {};
  OthersLoad others;
  if (const auto asked = std::exchange(member->scrape_asked, std::nullopt)) {
    others = member->others.told(metrics, *asked, inflight_.sent(endpoint.slot), now);
  }
  load.write(endpoint.slot, load_row(metrics, member->kv_tokens, others, now),
             adapters_of(metrics));
  member->load_at = now;
  member->scrape_failures = 0;
  if (is_new) {
    add_effect(Effect::Kind::kForget, *member, "restarted");
    // It may serve something else now.
    member->models_next = now;
  }
  update_budget(*member, metrics);
}

void Fleet::on_scrape_failed(model::EndpointRef endpoint, Time now) {
  Member* member = find(endpoint);
  if (member == nullptr) return;
  ++member->scrape_failures;
  member->scrape_next =
      ScrapeSchedule::retry_at(now, member->scrape_failures, settings_.scrape_interval);
}

void Fleet::mark_stale_load(Member& member, Time now) {
  const Duration age_max = std::max<Duration>(kLoadStale, 10 * settings_.scrape_interval);
  if (!member.load_at || now - *member.load_at <= age_max) return;
  member.load_at.reset();
  add_effect(Effect::Kind::kStaleLoad, member, "its load figures are too old to be believed");
}

void Fleet::tick(Time now, std::vector<Work>& due) {
  while (!waiting_.empty() && join(waiting_.front(), now)) waiting_.erase(waiting_.begin());
  for (Member& member : members_) {
    const Health before = member.health.state();
    member.health.tick(settings_.health, now);
    settle(member, before, now);
    mark_stale_load(member, now);
  }
  schedule(now, due);
}

void Fleet::schedule(Time now, std::vector<Work>& due) {
  const bool probe_all = now >= next_probe_;
  if (probe_all) next_probe_ = now + settings_.health.interval;
  schedule_scrapes(now, due);
  next_tick_ = std::min(next_probe_, scrapes_.next());
  schedule_lookups(now, due);
  for (Member& member : members_) {
    const model::EndpointRef ref = member.endpoint.ref;
    if (member.name && member.endpoint.address.empty()) continue;
    if (probe_all || !member.probed) due.push_back({WorkKind::kProbe, ref});
    member.probed = true;
    if (!member.endpoint.takes_traffic()) continue;
    if (now >= member.models_next) {
      due.push_back({WorkKind::kModels, ref});
      // Until the first answer, at the pace of probes.
      member.models_next =
          now + (member.models_known ? settings_.models_interval : settings_.health.interval);
    }
    next_tick_ = std::min(next_tick_, member.models_next);
  }
}

void Fleet::schedule_scrapes(Time now, std::vector<Work>& due) {
  const auto batch = scrapes_.take(now, members_.size(), settings_.scrape_interval);
  if (!batch) return;
  auto member = std::ranges::lower_bound(members_, batch->from_slot, {},
                                         [](const Member& one) { return one.endpoint.ref.slot; });
  std::uint32_t end_slot = batch->from_slot;
  for (std::size_t left = batch->members; left > 0 && member != members_.end(); --left, ++member) {
    end_slot = member->endpoint.ref.slot + 1;
    if (!member->endpoint.takes_traffic() || now < member->scrape_next) continue;
    due.push_back({WorkKind::kScrape, member->endpoint.ref});
  }
  scrapes_.taken(end_slot);
}

void Fleet::schedule_lookups(Time now, std::vector<Work>& due) {
  const auto is_out = [](const Member& member) { return member.name && member.name->asked(); };
  auto out = static_cast<std::size_t>(std::ranges::count_if(members_, is_out));
  for (Member& member : members_) {
    // Who finds no room is asked for when an answer has made some.
    if (!member.name || out == kLookupsMax) continue;
    if (member.name->next() <= now) {
      member.name->ask();
      due.push_back({WorkKind::kResolve, member.endpoint.ref});
      ++out;
    }
    next_tick_ = std::min(next_tick_, member.name->next());
  }
}

void Fleet::take_effects(std::vector<Effect>& effects) {
  std::ranges::move(effects_, std::back_inserter(effects));
  effects_.clear();
}

bool Fleet::take_changed() {
  if (!changed_) return false;
  changed_ = false;
  ++version_;
  return true;
}

model::PoolSnapshot Fleet::snapshot() const {
  model::PoolSnapshot pool;
  pool.version = version_;
  pool.endpoints.reserve(members_.size());
  for (const Member& member : members_) pool.endpoints.push_back(member.endpoint);
  pool.adapters = adapters();
  return pool;
}

// Names that more engines have as an adapter than as a model of their own: what one engine says of
// a name must not change the keys of everybody's prompts.
std::vector<std::string> Fleet::adapters() const {
  std::vector<std::string_view> told;
  std::vector<std::string_view> own;
  for (const Member& member : members_) {
    const model::Endpoint& one = member.endpoint;
    const std::set<std::string_view> adapters(one.adapters.begin(), one.adapters.end());
    const std::set<std::string_view> models(one.models.begin(), one.models.end());
    std::ranges::copy(adapters, std::back_inserter(told));
    std::ranges::set_difference(models, adapters, std::back_inserter(own));
  }
  std::vector<std::string> most;
  if (told.empty()) return most;
  std::ranges::sort(told);
  std::ranges::sort(own);
  for (auto at = told.begin(); at != told.end();) {
    const auto end = std::ranges::upper_bound(at, told.end(), *at);
    if (end - at > std::ranges::ssize(std::ranges::equal_range(own, *at))) most.emplace_back(*at);
    at = end;
  }
  return most;
}

void Fleet::resume(model::EndpointRef endpoint, const Marks& marks) {
  Member* member = find(endpoint);
  if (member == nullptr || planted(Mutant::kForgottenMarks)) return;
  member->started_at = marks.started_at;
  member->prefix_queries = marks.prefix_queries;
  if (!prefix_.bytes_per_endpoint) member->budget = marks.budget;
}

std::vector<Fleet::Status> Fleet::status() const {
  std::vector<Status> out;
  out.reserve(members_.size());
  for (const Member& member : members_) {
    const auto failing =
        std::ranges::find_if(member.trouble, [](const auto& t) { return !t.empty(); });
    out.push_back({&member.endpoint,
                   member.health.ejections(),
                   member.failed_requests,
                   failing == member.trouble.end() ? std::string_view() : *failing,
                   {member.started_at, member.prefix_queries, member.budget}});
  }
  return out;
}

}  // namespace fairlead::fleet
