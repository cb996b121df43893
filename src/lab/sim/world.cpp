// SPDX-License-Identifier: Apache-2.0
#include "lab/sim/world.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <xxhash.h>

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <utility>

#include "core/picker/candidate_builder.h"
#include "core/scheduling/catalog.h"
#include "core/scheduling/policy_config.h"
#include "lab/sim/envoy_call.h"
#include "lab/sim/gateway_call.h"

namespace fairlead::sim {
namespace {

constexpr std::uint32_t kPoolMin = 3;
constexpr std::uint32_t kMorePool = 3;
constexpr std::uint32_t kSpares = 2;
constexpr std::size_t kMoreRequests = 30;
constexpr double kArrivalsBegin = 0.5;  // Seconds.
constexpr double kArrivalsSpan = 40;
constexpr double kBeforeFault = -0.25;  // Seconds.
constexpr double kAroundFault = 0.75;
constexpr std::size_t kBurstMax = 4;
constexpr double kLeavingShare = 0.06;
constexpr double kSavesShare = 0.7;
constexpr double kSaveSecondsMin = 0.5;
constexpr double kMoreSaveSeconds = 8;
constexpr double kDamagedShare = 0.3;
constexpr double kAsksAgainShare = 0.7;
constexpr double kAsksAgainSeconds = 0.02;
constexpr double kAsksAgainMore = 0.8;
constexpr double kBalancedShare = 0.6;
// A router that is told to end waits so long for its requests.
constexpr double kDrainSeconds = 6;
// Routers learn one after the other that the pool has changed.
constexpr double kPoolNewsSeconds = 0.4;
constexpr std::uint64_t kConversations = 8;
constexpr std::uint64_t kReplicaStream = 0x7265706c696361;  // Of the world's seed.
constexpr std::size_t kCalmRequests = 12;
constexpr Duration kCalmGap = std::chrono::milliseconds(200);
constexpr Time kHealed = kFaultsOver + kRecovery;
// An event that gets lost is missed when the next one comes: each engine has one more before then.
constexpr Time kStrangers = kHealed - std::chrono::seconds(3);
constexpr Time kHorizon = kHealed + std::chrono::seconds(26);
// The total time of a request, the longest pause, and what passes on the wire.
constexpr Duration kLongestRequest = std::chrono::seconds(24);

constexpr std::string_view kPolicies[] = {"fairlead",    "fairlead-exact", "blend",
                                          "round-robin", "least-request",  "sticky"};

// Where one router's process runs.
struct Site {
  Site(Agenda& agenda, std::size_t place)
      : number(static_cast<std::uint32_t>(place)), loop(agenda) {}
  std::uint32_t number;
  RouterLoop loop;
  Disk disk;
  std::unique_ptr<RouterNode> node;  // None between two processes.
  bool ends = false;                 // It was told to, and waits for its requests.
  Duration down{};                   // Between it and the next process.
  std::uint64_t processes = 0;
  // New requests, which it refuses once it ends.
  bool takes() const { return node != nullptr && !ends; }
  std::size_t calls = 0;  // That are not over.
  std::size_t asked = 0;
};

struct OpenCall {
  std::size_t router = 0;
  std::unique_ptr<Call> call;
};

class World {
 public:
  World(std::uint64_t seed, const std::vector<scheduling::Profile>& policies);
  WorldReport run();

 private:
  RouterConfig draw_config();
  Time draw_arrival();
  void draw_arrivals();
  void arrive(std::uint32_t prompt);
  void ask(ClientId client);
  void ask_again(ClientId client);
  Site* find_site();
  void begin(const Fault& fault);
  std::unique_ptr<RouterNode> start_router(Site& site, const RouterConfig& config);
  void reload(Site& site);
  void restart(Site& site, Duration down);
  void end_in_order(Site& site);
  void end(Site& site);
  std::vector<ClientId> end_calls(const Site& site, void (Call::*how)());
  void tell_pool();
  void change_pool(std::uint32_t place, Duration length);
  std::vector<config::EndpointSetting> members() const;
  void sweep();
  void check_calm();
  WorldReport report();

  std::uint64_t seed_;
  const std::vector<scheduling::Profile>& policies_;
  Random random_;
  bool gateway_;
  bool balanced_;  // Whoever finds a router gone is taken by another one.
  Agenda agenda_;
  Ledger ledger_{agenda_};
  std::vector<std::unique_ptr<EngineHost>> engines_;
  std::vector<std::uint32_t> pool_;  // Engines by place.
  std::deque<std::uint32_t> spares_;
  std::vector<Fault> faults_;
  std::vector<Prompt> prompts_;
  std::vector<Prompt> strangers_;  // By place.
  PromptBlocks blocks_;
  std::optional<ReplicaWire> replicas_;       // Nothing: routers do not tell each other.
  std::vector<std::unique_ptr<Site>> sites_;  // By router.
  std::map<ClientId, OpenCall> calls_;
  std::size_t due_ = 0;  // Clients that have not arrived yet.
  std::uint64_t events_ = 0;
  std::size_t drained_ = 0;
  std::size_t killed_ = 0;
};

World::World(std::uint64_t seed, const std::vector<scheduling::Profile>& policies)
    : seed_(seed),
      policies_(policies),
      random_(mix64(seed)),
      gateway_(random_.below(2) == 0),
      balanced_(random_.uniform() < kBalancedShare) {
  const auto places = static_cast<std::uint32_t>(kPoolMin + random_.below(kMorePool));
  const auto routers = static_cast<std::uint32_t>(1 + random_.below(kRoutersMax));
  faults_ = draw_faults(random_, places, routers);
  if (gateway_) {
    for (Fault& fault : faults_) fault.cut = CutWires::kBoth;
  }
  prompts_ = draw_prompts(random_, kRequestsMin + random_.below(kMoreRequests) + kCalmRequests);
  while (strangers_.size() < places) {
    Prompt prompt = std::move(draw_prompts(random_, 1).front());
    // Of less than a block nothing is told.
    if (!prompt.token_keys.empty()) strangers_.push_back(std::move(prompt));
  }
  blocks_.add(prompts_);
  blocks_.add(strangers_);
  Random apart(mix64(seed ^ kReplicaStream));
  if (apart.below(2) == 0) replicas_.emplace(agenda_, ledger_, apart.next());
  for (std::uint32_t i = 0; i < places + kSpares; ++i) {
    engines_.push_back(std::make_unique<EngineHost>(agenda_, ledger_, i, routers, random_.next()));
    if (i < places) {
      pool_.push_back(i);
    } else {
      spares_.push_back(i);
    }
  }
  const RouterConfig config = draw_config();
  while (sites_.size() < routers) {
    sites_.push_back(std::make_unique<Site>(agenda_, sites_.size()));
    if (random_.uniform() < kSavesShare) {
      sites_.back()->disk.every =
          from_seconds(kSaveSecondsMin + kMoreSaveSeconds * random_.uniform());
    }
    sites_.back()->node = start_router(*sites_.back(), config);
  }
  for (const Fault& fault : faults_) agenda_.at(fault.at, [this, fault] { begin(fault); });
  draw_arrivals();
}

RouterConfig World::draw_config() {
  RouterConfig config;
  config::HealthSettings& health = config.fleet.health;
  health.interval = std::chrono::milliseconds(random_.below(2) == 0 ? 500 : 1000);
  health.timeout = std::chrono::milliseconds(500);
  health.eject = std::chrono::seconds(1);
  health.eject_max = std::chrono::seconds(4);
  health.return_ramp = std::chrono::seconds(2);
  config.fleet.scrape_interval = std::chrono::milliseconds(100 + random_.below(3) * 100);
  config.fleet.models_interval = std::chrono::seconds(5);
  config.prefix.block_bytes = std::size_t{256} << random_.below(2);
  config.prefix.bytes_unreported = 64 * 1024;
  config.picking.max_attempts = static_cast<std::uint32_t>(1 + random_.below(4));
  config.key.concurrency = 16 + random_.below(32);
  config.profile = &policies_[random_.below(policies_.size())];
  return config;
}

// Any time, or about the time of a fault, so that each has something to break.
Time World::draw_arrival() {
  if (random_.below(2) == 0) {
    return Time{from_seconds(kArrivalsBegin + kArrivalsSpan * random_.uniform())};
  }
  const Fault& fault = faults_[random_.below(faults_.size())];
  return fault.at + from_seconds(kBeforeFault + kAroundFault * random_.uniform());
}

void World::draw_arrivals() {
  const std::size_t stormy = prompts_.size() - kCalmRequests;
  due_ = prompts_.size();
  for (std::size_t i = 0; i < stormy;) {
    const Time at = draw_arrival();
    for (std::size_t burst = 1 + random_.below(kBurstMax); burst > 0 && i < stormy; --burst, ++i) {
      agenda_.at(at, [this, i] { arrive(static_cast<std::uint32_t>(i)); });
    }
  }
  agenda_.at(kStrangers, [this] {
    for (std::size_t place = 0; place < pool_.size(); ++place) {
      engines_[pool_[place]]->serve_stranger(strangers_[place]);
    }
  });
  agenda_.at(kHealed, [this] {
    for (const auto& site : sites_) site->node->check_healed(prompts_);
  });
  Time at = kHealed;
  for (std::size_t i = stormy; i < prompts_.size(); ++i) {
    at += kCalmGap;
    agenda_.at(at, [this, i] { arrive(static_cast<std::uint32_t>(i)); });
  }
}

void World::arrive(std::uint32_t prompt) {
  for (const auto& site : sites_) {
    if (site->node) site->node->check_prompt(prompts_[prompt]);
  }
  const ClientId client = ledger_.arrive(prompt);
  const bool leaves = agenda_.now() < kFaultsOver && random_.uniform() < kLeavingShare;
  ask(client);
  if (!leaves) return;
  agenda_.after(from_seconds(random_.uniform()), [this, client] {
    const auto found = calls_.find(client);
    if (found == calls_.end()) return;
    sites_[found->second.router]->loop.after({}, [this, client] {
      const auto open = calls_.find(client);
      if (open != calls_.end()) open->second.call->leave();
    });
  });
}

// Any of the routers; whoever comes to one that is gone may be taken to the next.
Site* World::find_site() {
  const std::size_t first = random_.below(sites_.size());
  for (std::size_t i = 0; i < (balanced_ ? sites_.size() : 1); ++i) {
    Site& site = *sites_[(first + i) % sites_.size()];
    if (site.takes()) return &site;
  }
  return nullptr;
}

// After a while, if it wants to.
void World::ask_again(ClientId client) {
  if (random_.uniform() >= kAsksAgainShare || !ledger_.ask_again(client)) return;
  ++due_;
  agenda_.after(from_seconds(kAsksAgainSeconds + kAsksAgainMore * random_.uniform()),
                [this, client] { ask(client); });
}

void World::ask(ClientId client) {
  --due_;
  Site* const taker = find_site();
  if (taker == nullptr) {
    ledger_.end(client, ClientEnd::kTurnedAway);
    return ask_again(client);
  }
  Site& site = *taker;
  const Prompt& prompt = prompts_[ledger_.client(client).prompt];
  const std::uint64_t conversation = random_.below(2) == 0 ? 0 : 1 + random_.below(kConversations);
  const std::uint64_t seed = random_.next();
  std::unique_ptr<Call> call;
  if (gateway_) {
    call = std::make_unique<GatewayCall>(*site.node, client, prompt, conversation);
  } else {
    call = std::make_unique<EnvoyCall>(*site.node, client, prompt, conversation, seed);
  }
  calls_.emplace(client, OpenCall{site.number, std::move(call)});
  ++site.asked;
  // The gateway's clients reach the process as all else does.
  site.loop.after({}, [this, client] {
    const auto found = calls_.find(client);
    if (found != calls_.end()) found->second.call->begin();
  });
}

void World::begin(const Fault& fault) {
  switch (fault.kind) {
    case FaultKind::kRouterRestart:
      return restart(*sites_[fault.whose], fault.lasts);
    case FaultKind::kClockJump:
      return sites_[fault.whose]->loop.pause(fault.lasts);
    case FaultKind::kReload:
      return reload(*sites_[fault.whose]);
    case FaultKind::kPoolChange:
      return change_pool(fault.whose, fault.lasts);
    default:
      return engines_[pool_[fault.whose]]->begin(fault);
  }
}

void World::reload(Site& site) {
  if (!site.node) return;
  site.loop.wrap([node = site.node.get(), config = draw_config()] { node->reload(config); })();
}

std::unique_ptr<RouterNode> World::start_router(Site& site, const RouterConfig& config) {
  return std::make_unique<RouterNode>(
      Surroundings{site.number, agenda_, site.loop, ledger_, engines_, blocks_, &site.disk,
                   replicas_ ? &*replicas_ : nullptr},
      config, members(), random_.next());
}

// Killed, or told to end.
void World::restart(Site& site, Duration down) {
  if (!site.takes()) return;  // It ends already.
  site.down = down;
  if (random_.below(2) == 0) {
    ++killed_;
    return end(site);
  }
  ++drained_;
  site.ends = true;
  agenda_.after(from_seconds(kDrainSeconds * random_.uniform()),
                [this, &site, process = site.processes] {
                  if (site.ends && process == site.processes) end_in_order(site);
                });
}

// All requests have ended, or the time for that is over.
void World::end_in_order(Site& site) {
  end_calls(site, &Call::cut_off);
  site.node->check_tables(0);
  site.node->check_idle();
  if (site.disk.every > Duration{}) site.node->save_at_end();
  end(site);
}

std::vector<ClientId> World::end_calls(const Site& site, void (Call::*how)()) {
  std::vector<ClientId> ended;
  std::erase_if(calls_, [&](auto& entry) {
    if (entry.second.router != site.number) return false;
    (*entry.second.call.*how)();
    ended.push_back(entry.first);
    return true;
  });
  return ended;
}

void World::end(Site& site) {
  const std::vector<ClientId> lost = end_calls(site, &Call::lose);
  if (random_.uniform() < kDamagedShare) site.disk.damage(random_);
  const RouterConfig config = site.node->config();
  site.node.reset();
  site.ends = false;
  ++site.processes;
  site.loop.restart();
  agenda_.after(site.down, [this, &site, config] {
    site.loop.restart();
    site.node = start_router(site, config);
  });
  for (const ClientId client : lost) ask_again(client);
}

void World::tell_pool() {
  for (const auto& site : sites_) {
    if (!site->node) continue;  // The next one asks when it starts.
    agenda_.after(
        from_seconds(kPoolNewsSeconds * random_.uniform()),
        site->loop.wrap([this, node = site->node.get()] { node->set_members(members()); }));
  }
}

// Another engine takes the place for a while.
void World::change_pool(std::uint32_t place, Duration length) {
  if (spares_.empty()) return;
  const std::uint32_t out = pool_[place];
  const auto swap = [this, place](std::uint32_t with) {
    spares_.push_back(std::exchange(pool_[place], with));
    tell_pool();
  };
  const std::uint32_t in = spares_.front();
  spares_.pop_front();
  swap(in);
  agenda_.after(length, [this, swap, out] {
    if (std::erase(spares_, out) > 0) swap(out);
  });
}

std::vector<config::EndpointSetting> World::members() const {
  std::vector<config::EndpointSetting> all;
  for (const std::uint32_t engine : pool_) all.push_back(member_of(engine));
  return all;
}

void World::sweep() {
  for (const auto& site : sites_) site->calls = 0;
  std::erase_if(calls_, [&](const auto& entry) {
    if (entry.second.call->over()) return true;
    ++sites_[entry.second.router]->calls;
    return false;
  });
  for (const auto& site : sites_) {
    if (site->ends && site->calls == 0) end_in_order(*site);
  }
}

// What came after the healing is served, whoever asked.
void World::check_calm() {
  const auto& clients = ledger_.clients();
  for (std::size_t id = 0; id < clients.size(); ++id) {
    if (clients[id].arrived < kHealed || clients[id].end == ClientEnd::kComplete) continue;
    ledger_.found("recovery", fmt::format("request {} ended {} long after the last fault", id,
                                          to_string(clients[id].end)));
  }
}

WorldReport World::run() {
  while (!ledger_.finding() && (due_ > 0 || !calls_.empty()) && agenda_.step(kHorizon)) {
    ++events_;
    sweep();
    for (const auto& site : sites_) {
      if (site->node) site->node->check_tables(site->calls);
    }
  }
  if (!ledger_.finding()) {
    ledger_.check_end(kLongestRequest);
    check_calm();
    for (const auto& site : sites_) site->node->check_idle();
  }
  return report();
}

WorldReport World::report() {
  WorldReport report;
  report.seed = seed_;
  report.faults = faults_;
  report.requests = ledger_.clients().size();
  for (const auto& site : sites_) {
    report.asked.push_back(site->asked);
    report.loaded += site->disk.loaded;
    report.refused += site->disk.refused;
  }
  report.drained = drained_;
  report.killed = killed_;
  report.events = events_;
  report.gateway = gateway_;
  report.exchanges = replicas_.has_value();
  report.finding = ledger_.finding();
  report.digest = mix64(seed_ ^ events_);
  for (const Client& client : ledger_.clients()) {
    ++report.ends[static_cast<std::size_t>(client.end)];
    const Time ended = client.ended.value_or(Time{});
    report.digest =
        mix64(report.digest ^ static_cast<std::uint64_t>(ended.time_since_epoch().count()) ^
              XXH3_64bits(client.received.data(), client.received.size()));
  }
  // The calls end before what they hold on to.
  for (auto& [client, open] : calls_) open.call->lose();
  calls_.clear();
  return report;
}

}  // namespace

Result<std::vector<scheduling::Profile>> sim_policies() {
  const scheduling::Registry registry = scheduling::builtin_registry();
  std::vector<scheduling::Profile> profiles;
  for (const std::string_view name : kPolicies) {
    config::Problems problems;
    config::Section root = config::Section::parse(scheduling::shipped_policy(name), name, problems);
    auto built = scheduling::build_policy(root, registry, {picker::filled_columns()}, problems);
    if (problems.has_errors()) {
      return fail(ErrorCode::kInvalidArgument, "{}: {}", name, problems.to_string());
    }
    profiles.push_back(std::move(*built.profile));
  }
  return profiles;
}

WorldReport run_world(std::uint64_t seed, const std::vector<scheduling::Profile>& policies) {
  return World(seed, policies).run();
}

std::string describe(const WorldReport& report) {
  std::string text = fmt::format("world {} through {}, {} routers{}\n", report.seed,
                                 report.gateway ? "the gateway" : "Envoy", report.asked.size(),
                                 report.exchanges ? " that tell each other" : "");
  bool told = !report.finding;
  const auto tell = [&] {
    text += fmt::format("{:8.3f} s  FOUND {}: {}\n", to_seconds(report.finding->at),
                        report.finding->checker, report.finding->what);
    told = true;
  };
  for (const Fault& fault : report.faults) {
    if (!told && fault.at > report.finding->at) tell();
    text += describe(fault) + "\n";
  }
  if (!told) tell();
  text +=
      fmt::format("{} requests, {} by router:", report.requests, fmt::join(report.asked, " and "));
  for (std::size_t end = 0; end < report.ends.size(); ++end) {
    if (report.ends[end] == 0) continue;
    text += fmt::format(" {} {}", report.ends[end], to_string(static_cast<ClientEnd>(end)));
  }
  if (report.drained + report.killed > 0) {
    text +=
        fmt::format("; {} routers ended in order, {} were killed", report.drained, report.killed);
  }
  if (report.loaded + report.refused > 0) {
    text += fmt::format("; {} restarts from a file, {} without it", report.loaded, report.refused);
  }
  text += fmt::format("; {} events, digest {:016x}\n", report.events, report.digest);
  return text;
}

}  // namespace fairlead::sim
