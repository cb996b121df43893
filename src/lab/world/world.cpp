// SPDX-License-Identifier: Apache-2.0
#include "lab/world/world.h"

#include <algorithm>
#include <queue>

#include "base/assert.h"
#include "core/picker/picker.h"
#include "core/prefix/routed_history.h"
#include "lab/load/model/pacer.h"

namespace fairlead::world {
namespace {

constexpr std::uint32_t kBytesPerToken = 4;

class HistoryRecorder final : public picker::DispatchRecorder {
 public:
  explicit HistoryRecorder(prefix::RoutedHistory& history) : history_(&history) {}
  void record(std::uint32_t slot, std::span<const std::uint64_t> keys) override {
    history_->record(slot, keys);
  }

 private:
  prefix::RoutedHistory* history_;
};

// Nothing fails in this world, so nobody needs to hear of it.
class NoObservations final : public picker::ObservationSink {
 public:
  void observe(const model::Observation&) override {}
};

struct Event {
  enum class Kind : std::uint8_t { kStepEnd, kStepStart, kScrape };
  Time at;
  std::uint64_t order;  // Ties go by the order of planning.
  Kind kind;
  std::uint32_t engine;
};

struct Later {
  bool operator()(const Event& a, const Event& b) const {
    return a.at != b.at ? a.at > b.at : a.order > b.order;
  }
};

class Run {
 public:
  Run(const PreparedWorkload& prepared, const scheduling::Profile& policy,
      const WorldSettings& settings);
  WorldResult go();

 private:
  void plan(Time at, Event::Kind kind, std::uint32_t engine) {
    events_.push({at, order_++, kind, engine});
  }
  void handle(const Event& event);
  void send(const load::Pacer::Issue& issue);
  void wake(std::uint32_t engine);
  void start_step(std::uint32_t engine);
  void end_step(std::uint32_t engine);
  void take_token(const engine::TokenEvent& token);
  void scrape();

  const PreparedWorkload& prepared_;
  const scheduling::Profile& policy_;
  WorldSettings settings_;
  model::PoolSnapshot pool_;
  fleet::InFlightTable inflight_;
  fleet::LoadTable load_;
  fleet::PlacementLedger ledger_;
  prefix::RoutedHistory history_;
  HistoryRecorder recorder_{history_};
  NoObservations observations_;
  picker::Picker picker_;
  picker::Outbox outbox_;
  load::Pacer pacer_;
  std::vector<engine::EngineModel> engines_;
  std::vector<char> start_planned_;
  std::vector<picker::RequestId> ids_;
  std::vector<engine::TokenEvent> tokens_;
  std::priority_queue<Event, std::vector<Event>, Later> events_;
  std::uint64_t order_ = 0;
  Time now_{};
  WorldResult result_;
};

std::uint64_t history_bytes(const WorldSettings& settings) {
  if (settings.history_bytes > 0) return settings.history_bytes;
  return static_cast<std::uint64_t>(settings.engine.kv_tokens) * kBytesPerToken;
}

Run::Run(const PreparedWorkload& prepared, const scheduling::Profile& policy,
         const WorldSettings& settings)
    : prepared_(prepared),
      policy_(policy),
      settings_(settings),
      history_(std::size_t{prepared.router_block_tokens()} * kBytesPerToken,
               history_bytes(settings)),
      picker_({{inflight_, load_, ledger_, history_}, recorder_, observations_}, {}, settings.seed),
      pacer_(prepared.workload(), {}, Time{}) {
  FAIRLEAD_ASSERT(prepared.engine_block_tokens() == settings.engine.block_size);
  for (std::uint32_t slot = 0; slot < settings.engines; ++slot) {
    model::Endpoint endpoint;
    endpoint.ref = {slot, 0};
    endpoint.name = fmt::format("engine-{}", slot);
    endpoint.health = model::Health::kHealthy;
    endpoint.models = {settings.engine.model};
    result_.records.endpoints.push_back(endpoint.name);
    pool_.endpoints.push_back(std::move(endpoint));
    engines_.emplace_back(settings.engine, mix64(settings.seed) + slot);
  }
  start_planned_.assign(settings.engines, 0);
  result_.records.requests.resize(prepared.workload().requests.size());
  ids_.resize(prepared.workload().requests.size());
}

WorldResult Run::go() {
  plan(Time{} + settings_.scrape_interval, Event::Kind::kScrape, 0);
  while (!pacer_.done()) {
    const std::optional<Time> due = pacer_.next_due();
    if (due && *due < events_.top().at) {
      now_ = *due;
      send(pacer_.issue());
      continue;
    }
    const Event event = events_.top();
    events_.pop();
    now_ = event.at;
    handle(event);
  }
  result_.records.spans.assign(pacer_.spans().begin(), pacer_.spans().end());
  for (const engine::EngineModel& engine : engines_) {
    result_.steps += engine.counters().steps;
    result_.preemptions += engine.counters().preemptions;
  }
  const fleet::InFlight left = inflight_.total();
  FAIRLEAD_ASSERT(left.uncached_tokens == 0 && left.unstarted == 0);
  result_.inflight_left = static_cast<std::uint64_t>(left.requests) + picker_.live();
  return std::move(result_);
}

void Run::handle(const Event& event) {
  switch (event.kind) {
    case Event::Kind::kStepEnd:
      end_step(event.engine);
      break;
    case Event::Kind::kStepStart:
      start_planned_[event.engine] = 0;
      start_step(event.engine);
      break;
    case Event::Kind::kScrape:
      scrape();
      break;
  }
}

void Run::send(const load::Pacer::Issue& issue) {
  const load::PlannedRequest& planned = prepared_.workload().requests[issue.request];
  const PromptKeys& keys = prepared_.keys(issue.request);
  model::InferenceRequest request;
  request.model = settings_.engine.model;
  request.keys = keys.router;
  request.prompt_tokens = planned.prompt_tokens;
  request.block_tokens = prepared_.router_block_tokens();
  request.max_output_tokens = planned.output_tokens;
  request.streaming = model::Streaming::kStreamed;

  outbox_.clear();
  const picker::RequestId id = picker_.on_request(request, pool_, policy_, now_, outbox_);
  FAIRLEAD_ASSERT(outbox_.size() == 1 && outbox_[0].kind == picker::Action::Kind::kForward);
  const std::uint32_t engine = outbox_[0].endpoint.slot;
  ids_[issue.request] = id;
  load::RequestRecord& record = result_.records.requests[issue.request];
  record.request = issue.request;
  record.stage = planned.stage;
  record.scheduled = issue.scheduled;
  record.sent = now_;
  record.prompt_tokens = planned.prompt_tokens;
  record.endpoint = static_cast<std::uint16_t>(engine);
  record.status = 200;

  const auto submitted = engines_[engine].submit({.block_hashes = keys.engine,
                                                  .prompt_tokens = planned.prompt_tokens,
                                                  .output_tokens = planned.output_tokens,
                                                  .output_seed = issue.request + 1ULL,
                                                  .adapter = 0,
                                                  .tag = issue.request},
                                                 now_);
  FAIRLEAD_ASSERT(submitted.has_value());
  picker_.on_dispatched(id, keys.router);
  wake(engine);
}

void Run::wake(std::uint32_t engine) {
  if (engines_[engine].stepping() || start_planned_[engine] != 0) return;
  const std::optional<Time> at = engines_[engine].next_step_at(now_);
  if (!at) return;
  start_planned_[engine] = 1;
  plan(*at, Event::Kind::kStepStart, engine);
}

void Run::start_step(std::uint32_t engine) {
  const std::optional<engine::StepPlan> step = engines_[engine].begin_step(now_);
  if (step) {
    plan(now_ + step->duration, Event::Kind::kStepEnd, engine);
  } else {
    wake(engine);
  }
}

void Run::end_step(std::uint32_t engine) {
  tokens_.clear();
  engines_[engine].finish_step(tokens_);
  for (const engine::TokenEvent& token : tokens_) take_token(token);
  wake(engine);
}

void Run::take_token(const engine::TokenEvent& token) {
  load::RequestRecord& record = result_.records.requests[token.tag];
  record.output_tokens = token.output_tokens;
  if (token.output_tokens == 1) {
    record.first_token = now_;
    record.cached_tokens = token.cached_tokens;
    picker_.on_first_token(ids_[token.tag]);
  }
  if (!token.finished) return;
  record.finished = now_;
  picker_.on_end(ids_[token.tag], model::Outcome::kCompleted, now_);
  pacer_.finish(now_);
}

void Run::scrape() {
  for (std::uint32_t slot = 0; slot < engines_.size(); ++slot) {
    const engine::EngineLoad load = engines_[slot].load();
    load_.write(slot, {static_cast<float>(load.waiting), static_cast<float>(load.running),
                       static_cast<float>(load.kv_usage), now_});
  }
  plan(now_ + settings_.scrape_interval, Event::Kind::kScrape, 0);
}

}  // namespace

WorldResult run_world(const PreparedWorkload& prepared, const scheduling::Profile& policy,
                      const WorldSettings& settings) {
  return Run(prepared, policy, settings).go();
}

}  // namespace fairlead::world
