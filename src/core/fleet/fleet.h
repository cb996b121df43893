// SPDX-License-Identifier: Apache-2.0
// Fleet: turns what is seen of the endpoints into who may serve. Pure: observations and `now` go
// in; due work, effects and a pool snapshot come out. router::Control moves the bytes.
//
// Probes fall due for all endpoints at the same tick, scrapes in large batches (scrape_schedule.h).
// What scrapes tell, or that they tell nothing, never changes an endpoint's health: figures that
// are too old are marked so in the load table, and count as high as the fullest fresh ones.
// A slot goes to another endpoint only when nothing is in flight there and kSlotRest has passed, so
// that no worker still decides over the old snapshot. Until then a late request may still write to
// the slot's rows; kJoin tells when what is left there has to go.
// Thread-compatible; owned by control.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/result.h"
#include "base/time.h"
#include "core/codec/json_text.h"
#include "core/codec/vllm_metrics.h"
#include "core/config/settings.h"
#include "core/fleet/health.h"
#include "core/fleet/host_name.h"
#include "core/fleet/inflight_table.h"
#include "core/fleet/load_table.h"
#include "core/fleet/scrape_schedule.h"
#include "core/model/endpoint.h"
#include "core/model/request.h"

namespace fairlead::fleet {

enum class WorkKind : std::uint8_t { kProbe, kScrape, kModels, kResolve };
inline constexpr std::size_t kWorkKinds = 4;

enum class ProbeResult : std::uint8_t { kGood, kBad };

struct Work {
  WorkKind kind = WorkKind::kProbe;
  model::EndpointRef endpoint;
};

// What the owner must do to the shared tables, in the order given.
struct Effect {
  enum class Kind : std::uint8_t {
    kJoin,       // The slot has a new owner: reset its rows, history and budget.
    kForget,     // The endpoint's cache is gone: forget its prefix history.
    kSetBudget,  // Remember at most `bytes` of prompts for it.
    kTrouble,    // Nothing: `why` is news for the log.
    kStaleLoad,  // Its load figures are too old to be believed: mark its row.
    kRetire,     // It left the pool: drop its metrics, history and pending work.
  };
  Kind kind = Kind::kForget;
  model::EndpointRef endpoint;
  std::uint64_t bytes = 0;
  std::string name;  // Of the endpoint.
  std::string why;   // For the log.
};

class Fleet {
 public:
  static constexpr Duration kSlotRest = std::chrono::seconds(10);
  // Load figures are stale at this age, or at ten scrape intervals if that is longer.
  static constexpr Duration kLoadStale = std::chrono::seconds(2);
  // Host names asked for at a time; the others wait in the order of their slots.
  static constexpr std::size_t kLookupsMax = 32;

  Fleet(const config::FleetSettings& settings, const config::PrefixSettings& prefix,
        const InFlightTable& inflight, Random random);

  // Takes over other settings; the membership is set_members()'s.
  void reconfigure(const config::FleetSettings& settings, const config::PrefixSettings& prefix,
                   Time now);

  // Replaces the membership: known name and address keep their slot and state, changed labels are
  // taken over. kInvalidArgument: two members share a name or an address, and nothing changed.
  // kLimitExceeded: the named ones found no slot and join when one is free.
  Result<void> set_members(const std::vector<config::EndpointSetting>& members, Time now);

  // A request's failure after its connection was made may be the request's own doing. Such failures
  // eject an endpoint only while at least half of the pool keeps serving without it, so that no
  // client empties the pool; its probes decide beyond that.
  void observe(const model::Observation& observation, Time now);
  // Results of work; those for an endpoint that left meanwhile are ignored.
  void on_probe(model::EndpointRef endpoint, ProbeResult result, Time now);
  // Why work on an endpoint failed, "" when it went well: told to the log when it changes.
  void note(const Work& work, std::string_view trouble);
  void on_models(model::EndpointRef endpoint, const std::vector<codec::ModelCard>& models);
  // Another address than the one in use is another engine: the endpoint leaves its slot, with its
  // history, for another one. Its first address is taken in place.
  void on_answer(model::EndpointRef endpoint, const NameAnswer& answer, Time now);
  // The figures are being asked for; on_scrape() brings them.
  void on_scrape_asked(model::EndpointRef endpoint);
  void on_scrape(model::EndpointRef endpoint, const codec::EngineMetrics& metrics, LoadTable& load,
                 Time now);

  // No answer, or none with a known figure: it is asked less often until one comes.
  void on_scrape_failed(model::EndpointRef endpoint, Time now);

  // What was known of the endpoint before a restart of the router, so that its own meanwhile is
  // noticed at its first scrape; as status() tells it.
  struct Marks {
    std::optional<double> started_at;
    std::optional<double> prefix_queries;
    std::uint64_t budget = 0;  // As its KV cache was reported; 0: it was not.
  };
  void resume(model::EndpointRef endpoint, const Marks& marks);

  // Appends the work that is due, each kind at most once an endpoint.
  void tick(Time now, std::vector<Work>& due);
  // When tick() should run next.
  Time next_tick() const { return next_tick_; }
  void take_effects(std::vector<Effect>& effects);

  // True once after each change that snapshot() shows.
  bool take_changed();
  model::PoolSnapshot snapshot() const;

  struct Status {
    const model::Endpoint* endpoint;
    std::uint64_t ejections;
    std::uint64_t failed_requests;
    std::string_view trouble;  // What its probes, scrapes, model lists or name suffer from.
    Marks marks;
  };
  std::vector<Status> status() const;

 private:
  struct Member {
    model::Endpoint endpoint;
    std::optional<HostName> name;  // Of a host that is a name.
    HealthMachine health;
    bool probed = false;  // Asked at least once.
    bool models_known = false;
    Time models_next{};
    std::optional<Time> load_at;   // When its row of the load table was written, until stale.
    unsigned scrape_failures = 0;  // In a row.
    Time scrape_next{};            // Not before; moved by failures only.
    std::uint64_t budget = 0;
    float kv_tokens = 0;                  // As it last said; not every scrape tells.
    std::optional<OwnLoad> scrape_asked;  // Of the last one asked, until it is answered.
    OthersMeter others;
    std::optional<double> started_at;
    std::optional<double> prefix_queries;
    std::uint64_t failed_requests = 0;
    std::array<std::string, kWorkKinds> trouble;  // By WorkKind.
  };
  struct RestingSlot {
    std::uint32_t slot;
    std::uint32_t generation;
    Time free_at;
  };

  Member* find(model::EndpointRef endpoint);
  std::optional<model::EndpointRef> take_slot(Time now);
  void retire(const Member& member, std::string why, Time now);
  bool join(const config::EndpointSetting& setting, Time now);
  void insert(Member member);
  void move(const Member& member, Time now);
  const Member* twin_of(const Member& member) const;
  std::vector<std::string> adapters() const;
  bool may_eject(const Member& member, model::UpstreamFailure failure) const;
  void settle(Member& member, model::Health before, Time now);
  bool restarted(Member& member, const codec::EngineMetrics& metrics) const;
  void update_budget(Member& member, const codec::EngineMetrics& metrics);
  void mark_stale_load(Member& member, Time now);
  void schedule(Time now, std::vector<Work>& due);
  void schedule_scrapes(Time now, std::vector<Work>& due);
  void schedule_lookups(Time now, std::vector<Work>& due);
  void add_effect(Effect::Kind kind, const Member& member, std::string why,
                  std::uint64_t bytes = 0);

  config::FleetSettings settings_;
  config::PrefixSettings prefix_;
  const InFlightTable& inflight_;
  std::vector<Member> members_;  // By slot.
  std::vector<RestingSlot> resting_;
  std::vector<config::EndpointSetting> waiting_;  // For a slot.
  std::uint32_t fresh_slot_ = 0;
  std::vector<Effect> effects_;
  std::uint64_t version_ = 0;
  bool changed_ = true;
  ScrapeSchedule scrapes_;
  Time next_probe_{};
  Time next_tick_{};
};

}  // namespace fairlead::fleet
