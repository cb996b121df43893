// SPDX-License-Identifier: Apache-2.0
#include "lab/world/world.h"

#include <algorithm>
#include <deque>
#include <memory>
#include <utility>

#include "base/assert.h"
#include "base/random.h"
#include "lab/load/model/pacer.h"
#include "lab/world/replica.h"
#include "lab/world/step_clock.h"

namespace fairlead::world {
namespace {

// Of the chance by which arrivals are dealt, apart from the routers' own.
constexpr std::uint64_t kDealing = 0x6465616c;

// What a router sees of an engine's answer.
struct Answer {
  enum class Kind : std::uint8_t { kFirstToken, kEnd, kRefused };
  Time at;
  std::uint32_t request;
  Kind kind;
};

// Figures of all engines, on their way to one router.
struct Scrape {
  Time at;
  std::uint32_t router;
  std::vector<EngineFigures> rows;
};

// What a router sent where, on its way to the others.
struct Told {
  Time at;
  std::uint32_t router;
  std::uint32_t request;
  std::uint32_t engine;
};

// What one step changed in an engine's cache, on its way to all routers.
struct CacheBatch {
  Time at;
  std::uint32_t engine;
  engine::CacheLog log;
};

struct Flight {
  picker::RequestId id;
  std::uint32_t router = 0;
};

codec::EngineMetrics figures_of(const engine::EngineModel& engine) {
  const engine::EngineLoad load = engine.load();
  const engine::EngineCounters& counters = engine.counters();
  codec::EngineMetrics metrics;
  metrics.waiting = load.waiting;
  metrics.running = load.running;
  metrics.kv_usage = load.kv_usage;
  metrics.prefix_queries = static_cast<double>(counters.prefix_queries);
  metrics.prefix_hits = static_cast<double>(counters.prefix_hits);
  metrics.prompt_tokens = static_cast<double>(counters.prompt_tokens);
  metrics.first_tokens = static_cast<double>(counters.first_tokens);
  const engine::EngineProfile& profile = engine.profile();
  metrics.block_size = profile.block_size;
  metrics.num_gpu_blocks = static_cast<std::uint64_t>(profile.kv_tokens / profile.block_size);
  return metrics;
}

class Run {
 public:
  Run(const PreparedWorkload& prepared, const scheduling::Profile& policy,
      const WorldSettings& settings);
  WorldResult go();

 private:
  // In the order in which they are handled at one time.
  enum class Next : std::uint8_t {
    kAnswer,
    kScraped,
    kCacheBatch,
    kTold,
    kEngine,
    kScrape,
    kTurn,
    kArrival,
  };

  std::pair<Next, Time> next() const;
  void handle(Next what);
  void arrive(const load::Pacer::Issue& issue);
  void take_turns();
  void act_on(const picker::Action& action, std::uint32_t request);
  void submit(std::uint32_t request, std::uint32_t engine);
  void answer(Time at, std::uint32_t request, Answer::Kind kind);
  void take_answer();
  void fail(std::uint32_t request, int status);
  void act(std::uint32_t engine);
  void take_token(const engine::TokenEvent& token);
  Time horizon() const;
  void scrape();
  void skip_idle_scrapes();
  void take_scrape();
  void take_cache_batch();
  void take_told();
  WorldResult finish();

  const PreparedWorkload& prepared_;
  const WorldSettings settings_;
  const Duration host_overhead_;
  model::PoolSnapshot pool_;
  std::vector<std::unique_ptr<Replica>> routers_;
  Random dealing_;
  load::Pacer pacer_;
  std::vector<engine::EngineModel> engines_;
  StepClock clock_;
  engine::CacheLog log_;  // Of the step that begins.
  std::vector<Flight> flights_;
  std::vector<engine::TokenEvent> tokens_;
  // Each with a delay of its own that does not change, and so in the order of time.
  std::deque<Answer> answers_;
  std::deque<Scrape> scrapes_;
  std::deque<CacheBatch> batches_;
  std::deque<Told> told_;
  std::vector<std::vector<EngineFigures>> spare_rows_;
  std::vector<engine::CacheLog> spare_logs_;
  std::uint64_t scraped_ = 0;  // Scrapes begun, by the routers in turn.
  Time next_scrape_{};
  Time next_turn_ = Time::max();  // While anybody waits at a router.
  Time now_{};
  WorldResult result_;
};

Run::Run(const PreparedWorkload& prepared, const scheduling::Profile& policy,
         const WorldSettings& settings)
    : prepared_(prepared),
      settings_(settings),
      host_overhead_(from_seconds(settings.engine.host_overhead_s)),
      dealing_(mix64(settings.seed ^ kDealing)),
      pacer_(prepared.workload(), {}, Time{}),
      clock_(settings.engines) {
  FAIRLEAD_ASSERT(prepared.engine_block_tokens() == settings.engine.block_size);
  FAIRLEAD_ASSERT(settings.engines > 0 && settings.routers > 0);
  engines_.reserve(settings.engines);
  for (std::uint32_t slot = 0; slot < settings.engines; ++slot) {
    model::Endpoint endpoint;
    endpoint.ref = {slot, 0};
    endpoint.name = fmt::format("engine-{}", slot);
    endpoint.health = model::Health::kHealthy;
    endpoint.models = {settings.engine.model};
    result_.records.endpoints.push_back(endpoint.name);
    pool_.endpoints.push_back(std::move(endpoint));
    const double speed =
        settings.speeds.empty() ? 1 : settings.speeds[slot % settings.speeds.size()];
    engines_.emplace_back(engine::at_speed(settings.engine, speed), mix64(settings.seed) + slot);
    if (settings.events) engines_.back().log_cache_to(&log_);
  }
  for (std::uint32_t router = 0; router < settings.routers; ++router) {
    routers_.push_back(
        std::make_unique<Replica>(prepared, policy, settings_, pool_, settings.seed + router));
  }
  next_scrape_ = Time{} + settings.scrape_interval;
  result_.records.requests.resize(prepared.workload().requests.size());
  flights_.resize(prepared.workload().requests.size());
}

WorldResult Run::go() {
  while (!pacer_.done()) {
    const auto [what, at] = next();
    now_ = at;
    handle(what);
  }
  return finish();
}

std::pair<Run::Next, Time> Run::next() const {
  Next what = Next::kAnswer;
  Time at = answers_.empty() ? Time::max() : answers_.front().at;
  const auto offer = [&](Next other, Time when) {
    if (when < at) {
      what = other;
      at = when;
    }
  };
  if (!scrapes_.empty()) offer(Next::kScraped, scrapes_.front().at);
  if (!batches_.empty()) offer(Next::kCacheBatch, batches_.front().at);
  if (!told_.empty()) offer(Next::kTold, told_.front().at);
  offer(Next::kEngine, clock_.at());
  offer(Next::kScrape, next_scrape_);
  offer(Next::kTurn, next_turn_);
  if (const auto due = pacer_.next_due()) offer(Next::kArrival, std::max(now_, *due));
  return {what, at};
}

void Run::handle(Next what) {
  switch (what) {
    case Next::kAnswer:
      return take_answer();
    case Next::kScraped:
      return take_scrape();
    case Next::kCacheBatch:
      return take_cache_batch();
    case Next::kTold:
      return take_told();
    case Next::kEngine:
      return act(clock_.engine());
    case Next::kScrape:
      return scrape();
    case Next::kTurn:
      return take_turns();
    case Next::kArrival:
      return arrive(pacer_.issue());
  }
}

void Run::arrive(const load::Pacer::Issue& issue) {
  const load::PlannedRequest& planned = prepared_.workload().requests[issue.request];
  const auto router =
      routers_.size() == 1 ? 0U : static_cast<std::uint32_t>(dealing_.below(routers_.size()));
  load::RequestRecord& record = result_.records.requests[issue.request];
  record.request = issue.request;
  record.stage = planned.stage;
  record.scheduled = issue.scheduled;
  record.sent = now_;
  record.prompt_tokens = planned.prompt_tokens;
  const picker::Action action = routers_[router]->send(issue.request, now_);
  flights_[issue.request] = {action.request, router};
  act_on(action, issue.request);
}

void Run::act_on(const picker::Action& action, std::uint32_t request) {
  if (action.kind == picker::Action::Kind::kWait) {
    if (next_turn_ == Time::max()) next_turn_ = now_ + picker::kTurnPeriod;
    return;
  }
  if (action.kind == picker::Action::Kind::kReply) {
    routers_[flights_[request].router]->end(action.request, model::Outcome::kRejected, now_);
    return fail(request, model::http_status(action.reason));
  }
  const std::uint32_t engine = action.endpoint.slot;
  result_.records.requests[request].endpoint = static_cast<std::uint16_t>(engine);
  if (settings_.exchange_delay && routers_.size() > 1) {
    told_.push_back({now_ + *settings_.exchange_delay, flights_[request].router, request, engine});
  }
  submit(request, engine);
}

void Run::take_turns() {
  std::size_t waiting = 0;
  for (const auto& router : routers_) {
    for (const auto& [request, action] : router->take_turns(now_)) act_on(action, request);
    waiting += router->waiting();
  }
  next_turn_ = waiting > 0 ? now_ + picker::kTurnPeriod : Time::max();
}

// The model knows by itself when the request comes to the scheduler, so it gets it at once.
void Run::submit(std::uint32_t request, std::uint32_t engine) {
  const load::PlannedRequest& planned = prepared_.workload().requests[request];
  const PromptKeys& keys = prepared_.keys(request);
  const Time there = now_ + settings_.network_delay;
  const auto submitted = engines_[engine].submit({.block_hashes = keys.engine,
                                                  .prompt_tokens = planned.prompt_tokens,
                                                  .output_tokens = planned.output_tokens,
                                                  .output_seed = request + 1ULL,
                                                  .logged_blocks = keys.engine->size(),
                                                  .tag = request},
                                                 there);
  if (!submitted) return answer(there + settings_.network_delay, request, Answer::Kind::kRefused);
  if (!engines_[engine].stepping()) clock_.set(engine, *engines_[engine].next_step_at(now_));
}

void Run::answer(Time at, std::uint32_t request, Answer::Kind kind) {
  // A refusal has both ways before it, and may be overtaken.
  auto place = answers_.end();
  while (place != answers_.begin() && std::prev(place)->at > at) --place;
  answers_.insert(place, {at, request, kind});
}

void Run::take_answer() {
  const Answer answer = answers_.front();
  answers_.pop_front();
  const Flight& flight = flights_[answer.request];
  Replica& router = *routers_[flight.router];
  load::RequestRecord& record = result_.records.requests[answer.request];
  if (answer.kind == Answer::Kind::kFirstToken) {
    record.first_token = now_;
    router.first_token(flight.id, record.cached_tokens, now_);
    return;
  }
  router.end(flight.id, model::Outcome::kCompleted, now_);
  if (answer.kind == Answer::Kind::kRefused) return fail(answer.request, 400);
  record.output_tokens = prepared_.workload().requests[answer.request].output_tokens;
  record.status = 200;
  record.finished = now_;
  pacer_.finish(now_);
}

void Run::fail(std::uint32_t request, int status) {
  load::RequestRecord& record = result_.records.requests[request];
  record.outcome = load::Outcome::kHttpError;
  record.status = static_cast<std::uint16_t>(status);
  record.finished = now_;
  pacer_.finish(now_);
}

// No request decided from now on reaches a scheduler earlier.
Time Run::horizon() const {
  const Time decision = std::max(now_, std::min(next_turn_, pacer_.next_due().value_or(now_)));
  return decision + settings_.network_delay + host_overhead_;
}

void Run::act(std::uint32_t engine) {
  engine::EngineModel& model = engines_[engine];
  if (model.stepping()) {
    tokens_.clear();
    model.finish_step(tokens_);
    for (const engine::TokenEvent& token : tokens_) take_token(token);
  }
  const std::optional<Time> at = model.next_step_at(now_);
  if (!at || *at > now_) return clock_.set(engine, at.value_or(Time::max()));
  const std::optional<engine::StepPlan> plan = model.begin_stretch(now_, horizon());
  FAIRLEAD_ASSERT(plan.has_value());
  clock_.set(engine, now_ + plan->duration);
  if (prepared_.workload().stages[pacer_.stage()].kind == load::StageKind::kMeasured) {
    const double seconds = to_seconds(plan->duration);
    result_.busy_s += seconds;
    result_.gaps.add(seconds / plan->steps, std::uint64_t{plan->decode_tokens} * plan->steps);
  }
  if (log_.empty()) return;
  batches_.push_back({now_ + settings_.event_delay, engine, std::move(log_)});
  log_.clear();
  if (spare_logs_.empty()) return;
  log_.swap(spare_logs_.back());
  spare_logs_.pop_back();
}

void Run::take_token(const engine::TokenEvent& token) {
  const auto request = static_cast<std::uint32_t>(token.tag);
  if (token.output_tokens == 1) {
    result_.records.requests[request].cached_tokens = token.cached_tokens;
    answer(now_ + settings_.network_delay, request, Answer::Kind::kFirstToken);
  }
  if (token.finished) answer(now_ + settings_.network_delay, request, Answer::Kind::kEnd);
}

// Each router asks once in an interval, one a share of it after the other.
void Run::scrape() {
  const auto router = static_cast<std::uint32_t>(scraped_++ % routers_.size());
  const auto share = static_cast<std::int64_t>(scraped_ % routers_.size());
  const auto rounds = static_cast<std::int64_t>(scraped_ / routers_.size()) + 1;
  next_scrape_ = Time{} + settings_.scrape_interval * rounds +
                 settings_.scrape_interval * share / static_cast<std::int64_t>(routers_.size());
  Scrape scrape{now_ + settings_.scrape_delay, router, {}};
  if (!spare_rows_.empty()) {
    scrape.rows.swap(spare_rows_.back());
    spare_rows_.pop_back();
  }
  for (std::uint32_t slot = 0; slot < engines_.size(); ++slot) {
    scrape.rows.push_back({figures_of(engines_[slot]), routers_[router]->own_load(slot)});
  }
  scrapes_.push_back(std::move(scrape));
  skip_idle_scrapes();
}

// While nothing happens figures stay as they are, so only those matter that are the last to come
// before the next arrival: each router has one on its way within an interval and the delay.
void Run::skip_idle_scrapes() {
  const std::optional<Time> due = pacer_.next_due();
  const bool idle = answers_.empty() && clock_.at() == Time::max() && next_turn_ == Time::max();
  if (!idle || !due || scraped_ % routers_.size() != 0) return;
  const Duration wait = *due - next_scrape_ - settings_.scrape_interval - settings_.scrape_delay;
  const std::int64_t rounds = wait / settings_.scrape_interval;
  if (rounds <= 0) return;
  scraped_ += static_cast<std::uint64_t>(rounds) * routers_.size();
  next_scrape_ += rounds * settings_.scrape_interval;
}

void Run::take_scrape() {
  Scrape& scrape = scrapes_.front();
  for (std::uint32_t slot = 0; slot < engines_.size(); ++slot) {
    routers_[scrape.router]->take_load(slot, scrape.rows[slot], now_);
  }
  scrape.rows.clear();
  spare_rows_.push_back(std::move(scrape.rows));
  scrapes_.pop_front();
}

void Run::take_cache_batch() {
  CacheBatch& batch = batches_.front();
  for (const auto& router : routers_) router->take_events(batch.engine, batch.log);
  batch.log.clear();
  spare_logs_.push_back(std::move(batch.log));
  batches_.pop_front();
}

void Run::take_told() {
  const Told told = told_.front();
  told_.pop_front();
  for (std::uint32_t router = 0; router < routers_.size(); ++router) {
    if (router != told.router) routers_[router]->take_placement(told.request, told.engine);
  }
}

WorldResult Run::finish() {
  result_.records.spans.assign(pacer_.spans().begin(), pacer_.spans().end());
  for (const engine::EngineModel& engine : engines_) {
    result_.steps += engine.counters().steps;
    result_.preemptions += engine.counters().preemptions;
  }
  for (const auto& router : routers_) {
    result_.routers.push_back(router->result());
    result_.inflight_left += result_.routers.back().inflight_left;
  }
  return std::move(result_);
}

}  // namespace

WorldResult run_world(const PreparedWorkload& prepared, const scheduling::Profile& policy,
                      const WorldSettings& settings) {
  return Run(prepared, policy, settings).go();
}

}  // namespace fairlead::world
