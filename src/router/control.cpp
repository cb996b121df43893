// SPDX-License-Identifier: Apache-2.0
#include "router/control.h"

#include <algorithm>
#include <utility>

#include "base/random.h"

namespace fairlead::router {
namespace {

constexpr std::string_view kFileLoadsHelp =
    "Changes of the endpoints file, by whether the pool took them over.";

// Of the process seed: the fleet's own.
constexpr std::uint64_t kFleetStream = 0x666c656574;

constexpr std::string_view kReloadsHelp =
    "Configurations that replaced a running one, or were refused.";

}  // namespace

Result<std::unique_ptr<Control>> Control::create(Router& router,
                                                 const net::ResolverOptions& resolver) {
  auto loop = net::EventLoop::create();
  if (!loop) return tl::unexpected(loop.error());
  if (auto opened = router.open_tls(); !opened) return tl::unexpected(opened.error());
  if (auto opened = router.open_replicas(resolver); !opened) return tl::unexpected(opened.error());
  if (auto opened = router.open_restart(); !opened) return tl::unexpected(opened.error());
  if (auto opened = router.open_listener(); !opened) return tl::unexpected(opened.error());
  std::unique_ptr<Control> control(new Control(router, std::move(*loop), resolver));
  auto tls_reload = TlsReload::create(*control->loop_, router);
  if (!tls_reload) return tl::unexpected(tls_reload.error());
  control->tls_reload_ = std::move(*tls_reload);
  const config::FleetSettings& fleet = control->generation_->settings.fleet;
  auto file = control->open_endpoints_file(fleet);
  if (!file) return tl::unexpected(file.error());
  control->endpoints_file_ = std::move(*file);
  if (auto set = control->set_members(fleet, control->endpoints_file_.get()); !set) {
    return tl::unexpected(set.error());
  }
  control->access_ = std::make_unique<AccessFiles>(
      router, *control->loop_, [worker = &control->worker_](const std::string& authorization) {
        worker->set_authorization(authorization);
      });
  auto access = control->access_->read(control->generation_->settings);
  if (!access) return tl::unexpected(access.error());
  control->access_->adopt(std::move(*access));
  control->open_saves();
  control->tick();
  return control;
}

Control::Control(Router& router, std::unique_ptr<net::EventLoop> loop,
                 const net::ResolverOptions& resolver)
    : router_(router),
      loop_(std::move(loop)),
      generation_(router.generation().load()),
      generations_{generation_},
      fleet_(generation_->settings.fleet, generation_->settings.prefix, router.inflight(),
             Random(mix64(router.process_seed() ^ kFleetStream))),
      worker_(*loop_, fleet_, router.load(), generation_->settings.fleet, router.metrics(),
              router.tls().engines, resolver),
      timer_(*loop_, [this] { tick(); }),
      save_timer_(*loop_, [this] { save(); }),
      overload_(*loop_, router),
      pool_(std::make_shared<model::PoolSnapshot>()),
      dropped_(router.metrics().counter("fairlead_observations_dropped_total",
                                        "Observations of workers lost to a full inbox.")),
      decisions_not_kept_(
          router.metrics().counter("fairlead_decisions_not_kept_total",
                                   "Decisions that explain does not know, because somebody was "
                                   "reading when they were made.")),
      history_bytes_(
          router.metrics().gauge("fairlead_history_bytes", "Memory held by the prefix history.")),
      history_blocks_(router.metrics().gauge("fairlead_history_blocks",
                                             "Prompt blocks remembered, summed over endpoints.")),
      history_runs_(router.metrics().gauge("fairlead_history_runs",
                                           "Unbranched stretches in the prefix history.")),
      history_evicted_(
          router.metrics().counter("fairlead_history_evicted_blocks_total",
                                   "Blocks pushed out of the prefix history by a budget.")),
      responses_held_(router.metrics().gauge("fairlead_response_holders",
                                             "Answers whose endpoint is remembered.")),
      responses_evicted_(
          router.metrics().counter("fairlead_response_holders_evicted_total",
                                   "Answers whose endpoint was forgotten for want of room.")),
      file_taken_(router.metrics().counter("fairlead_endpoints_file_loads_total", kFileLoadsHelp,
                                           {{"result", "ok"}})),
      file_refused_(router.metrics().counter("fairlead_endpoints_file_loads_total", kFileLoadsHelp,
                                             {{"result", "failed"}})),
      reloads_(router.metrics().counter("fairlead_config_reloads_total", kReloadsHelp,
                                        {{"result", "ok"}})),
      reloads_refused_(router.metrics().counter("fairlead_config_reloads_total", kReloadsHelp,
                                                {{"result", "failed"}})),
      configured_at_(router.metrics().gauge("fairlead_config_loaded_timestamp_seconds",
                                            "When the configuration in force was taken over.")) {
  configured_at_.set(loop_->unix_seconds());
}

Control::~Control() { stop(); }

void Control::start() {
  if (KvListener* const listener = router_.listener()) listener->start();
  if (ReplicaExchange* const replicas = router_.replicas()) replicas->start();
  if (Restart* const restart = router_.restart()) {
    const auto& events = generation_->picker.events;
    restart->start({router_.key_seed(), &router_.history(), &router_.media(), router_.listener(),
                    events ? events->block_tokens : 0});
    save_timer_.arm(generation_->settings.restart.interval);
  }
  thread_ = std::thread([this] { loop_->run(); });
}

void Control::stop() {
  if (!thread_.joinable()) return;
  loop_->stop();
  thread_.join();
  if (Restart* const restart = router_.restart()) restart->finish(to_save());
  if (KvListener* const listener = router_.listener()) listener->stop();
  if (ReplicaExchange* const replicas = router_.replicas()) replicas->stop();
}

Result<std::unique_ptr<fleet::WatchedFiles>> Control::open_endpoints_file(
    const config::FleetSettings& settings) {
  if (settings.endpoints_file.empty()) return nullptr;
  auto file = fleet::WatchedFiles::open(*loop_, {settings.endpoints_file},
                                        [this, watched = settings.endpoints_file_is_watched] {
                                          if (watched) on_endpoints_file();
                                        });
  if (!file) return file;
  if (const auto& text = (*file)->text(0); !text) return tl::unexpected(text.error());
  return file;
}

// The configured endpoints and those of the endpoints file, null without one.
Result<void> Control::set_members(const config::FleetSettings& settings,
                                  const fleet::WatchedFiles* file) {
  std::vector<config::EndpointSetting> members = settings.endpoints;
  if (file != nullptr) {
    const Result<std::string>& text = file->text(0);
    if (!text) return tl::unexpected(text.error());
    config::Problems problems;
    const auto from_file =
        config::parse_members(settings.endpoints_format, *text, file->path(0), problems);
    if (!from_file) return fail(ErrorCode::kInvalidArgument, "{}", problems.to_string());
    members.insert(members.end(), from_file->begin(), from_file->end());
  }
  if (auto set = fleet_.set_members(members, loop_->now()); !set) {
    return file == nullptr ? tl::unexpected(set.error()) : with_context(set.error(), file->path(0));
  }
  router_.tell(LogLevel::kInfo, "{} endpoint{} configured", members.size(),
               members.size() == 1 ? "" : "s");
  return {};
}

void Control::on_endpoints_file() {
  const auto taken = set_members(generation_->settings.fleet, endpoints_file_.get());
  (taken ? file_taken_ : file_refused_).add();
  if (!taken && taken.error().code == ErrorCode::kLimitExceeded) {
    router_.tell(LogLevel::kError, "{}", taken.error().message);
  } else if (!taken) {
    router_.tell(LogLevel::kError, "keeping the old endpoints: {}", taken.error().message);
  }
  tick();
}

void Control::drain_observations() {
  observations_.clear();
  router_.inbox().drain(observations_);
  for (const model::Observation& seen : observations_) fleet_.observe(seen, loop_->now());
}

void Control::tick() {
  const Time now = loop_->now();
  drain_observations();
  due_.clear();
  fleet_.tick(now, due_);
  effects_.clear();
  fleet_.take_effects(effects_);
  for (const fleet::Effect& effect : effects_) apply(effect);
  if (fleet_.take_changed()) publish();
  for (const fleet::Work& work : due_) {
    const model::Endpoint* endpoint = pool_->find(work.endpoint.slot);
    if (endpoint != nullptr && endpoint->ref == work.endpoint) worker_.start(work, *endpoint);
  }
  for (const Misconfiguration& found : router_.audits().review(*pool_)) {
    router_.tell(LogLevel::kWarning, "endpoint {}: {}", found.endpoint, found.text);
  }
  timer_.arm_at(std::clamp(fleet_.next_tick(), now + kTickMin, now + kTickMax));
}

void Control::reset_slot(std::uint32_t slot) {
  const config::PrefixSettings& prefix = generation_->settings.prefix;
  router_.history().forget(slot);
  router_.media().forget(slot);
  router_.history().set_budget(slot, prefix.bytes_per_endpoint.value_or(prefix.bytes_unreported));
  router_.ledger().forget(slot);
  router_.load().write(slot, {});
  router_.traffic().reset(slot);
  router_.speeds().forget(slot);
}

void Control::apply(const fleet::Effect& effect) {
  const std::uint32_t slot = effect.endpoint.slot;
  switch (effect.kind) {
    case fleet::Effect::Kind::kJoin:
      // Requests that were in flight when the slot's last owner left may have written since.
      reset_slot(slot);
      break;
    case fleet::Effect::Kind::kSetBudget:
      router_.history().set_budget(slot, effect.bytes);
      break;
    case fleet::Effect::Kind::kForget:
      router_.history().forget(slot);
      router_.media().forget(slot);
      router_.ledger().forget(slot);
      router_.tell(LogLevel::kWarning, "endpoint {}: {}; its prefix history is forgotten",
                   effect.name, effect.why);
      break;
    case fleet::Effect::Kind::kTrouble:
      router_.tell(LogLevel::kWarning, "endpoint {}: {}", effect.name, effect.why);
      break;
    case fleet::Effect::Kind::kStaleLoad:
      router_.load().mark_stale(slot);
      router_.tell(LogLevel::kWarning, "endpoint {}: {}", effect.name, effect.why);
      break;
    case fleet::Effect::Kind::kRetire:
      reset_slot(slot);
      router_.metrics().retire("endpoint", effect.name);
      endpoint_metrics_.erase(effect.name);
      worker_.forget(effect.endpoint);
      router_.tell(LogLevel::kInfo, "endpoint {}: {}", effect.name, effect.why);
      break;
  }
}

void Control::publish() {
  auto next = std::make_shared<const model::PoolSnapshot>(fleet_.snapshot());
  for (const model::Endpoint& endpoint : next->endpoints) {
    const model::Endpoint* before = pool_->find(endpoint.ref.slot);
    const bool known = before != nullptr && before->ref == endpoint.ref;
    if (!known || before->address != endpoint.address) resume(endpoint);
    if (known ? before->health != endpoint.health : true) {
      router_.tell(LogLevel::kInfo, "endpoint {}: {}", endpoint.name,
                   model::to_string(endpoint.health));
    }
  }
  pool_ = next;
  // Before workers may send there.
  if (ReplicaExchange* const replicas = router_.replicas()) replicas->set_pool(*next);
  router_.pool().publish(next);
  if (KvListener* const listener = router_.listener()) listener->set_pool(next);
  ready_.store(std::ranges::any_of(pool_->endpoints,
                                   [](const model::Endpoint& endpoint) {
                                     return endpoint.takes_traffic() && !endpoint.models.empty();
                                   }),
               std::memory_order_relaxed);
}

Control::EndpointMetrics& Control::metrics_of(const model::Endpoint& endpoint) {
  const auto found = endpoint_metrics_.find(endpoint.name);
  if (found != endpoint_metrics_.end()) return found->second;
  MetricRegistry& metrics = router_.metrics();
  const Labels labels = {{"endpoint", endpoint.name}};
  EndpointMetrics cells{
      &metrics.gauge("fairlead_endpoint_up",
                     "1 when the endpoint takes traffic, its share while returning, else 0.",
                     labels),
      &metrics.gauge("fairlead_endpoint_inflight_requests",
                     "Requests sent there by this router and not ended.", labels),
      &metrics.gauge("fairlead_endpoint_inflight_uncached_tokens",
                     "Uncached prompt tokens among them, up to their first token.", labels),
      &metrics.gauge("fairlead_endpoint_waiting", "Requests in the engine's queue, scraped.",
                     labels),
      &metrics.gauge("fairlead_endpoint_running", "Requests in the engine's batch, scraped.",
                     labels),
      &metrics.gauge("fairlead_endpoint_kv_usage",
                     "Share of the engine's KV blocks in use, scraped.", labels),
      &metrics.gauge("fairlead_endpoint_slowness",
                     "Times as long as the others it takes for a prompt, by its first tokens.",
                     labels),
      &metrics.gauge("fairlead_endpoint_others_uncached_tokens",
                     "Uncached prompt tokens there that this router did not send, up to their "
                     "first token, by the engine's figures.",
                     labels),
      &metrics.gauge("fairlead_endpoint_others_decoding",
                     "Requests there that this router did not send, past their first token.",
                     labels),
      &metrics.counter("fairlead_ejections_total",
                       "How often the endpoint was ejected after repeated failures.", labels),
      &metrics.counter("fairlead_endpoint_failures_total",
                       "Requests that failed at the endpoint, or on the way there.", labels),
      &metrics.counter("fairlead_endpoint_decisions_total", "Decisions for the endpoint.", labels),
      &metrics.counter("fairlead_endpoint_prompt_tokens_total",
                       "Prompt tokens of these decisions, by our estimate.", labels),
      &metrics.counter("fairlead_endpoint_expected_cached_tokens_total",
                       "Those of them that the endpoint was expected to have cached.", labels),
      &metrics.counter("fairlead_endpoint_reported_prompt_tokens_total",
                       "Prompt tokens in the endpoint's usage objects.", labels),
      &metrics.counter("fairlead_endpoint_reported_cached_tokens_total",
                       "Those of them that it says it had cached.", labels),
      &metrics.counter("fairlead_endpoint_reported_output_tokens_total",
                       "Output tokens in the endpoint's usage objects.", labels)};
  return endpoint_metrics_.emplace(endpoint.name, cells).first->second;
}

void Control::refresh_metrics() {
  access_->refresh_metrics();
  for (const fleet::Fleet::Status& status : fleet_.status()) {
    const model::Endpoint& endpoint = *status.endpoint;
    EndpointMetrics& cells = metrics_of(endpoint);
    cells.up->set(endpoint.takes_traffic() ? endpoint.admit_share : 0);
    const fleet::InFlight inflight = router_.inflight().read(endpoint.ref.slot);
    cells.inflight_requests->set(static_cast<double>(inflight.requests));
    cells.inflight_tokens->set(static_cast<double>(inflight.uncached_tokens));
    const fleet::LoadRow load = router_.load().read(endpoint.ref.slot);
    cells.waiting->set(load.stale ? 0 : static_cast<double>(load.waiting));
    cells.running->set(load.stale ? 0 : static_cast<double>(load.running));
    cells.kv_usage->set(load.stale ? 0 : static_cast<double>(load.kv_usage));
    cells.slowness->set(
        static_cast<double>(router_.speeds().slowness(endpoint.ref.slot, loop_->now())));
    cells.others_tokens->set(load.stale ? 0 : static_cast<double>(load.others.tokens));
    cells.others_decoding->set(load.stale ? 0 : static_cast<double>(load.others.decoding));
    cells.ejections->raise_to(status.ejections);
    cells.failed_requests->raise_to(status.failed_requests);
    const fleet::Traffic traffic = router_.traffic().read(endpoint.ref.slot);
    cells.decisions->raise_to(traffic.decisions);
    cells.prompt_tokens->raise_to(traffic.prompt_tokens);
    cells.expected_cached_tokens->raise_to(traffic.expected_cached_tokens);
    cells.reported_prompt_tokens->raise_to(traffic.reported_prompt_tokens);
    cells.reported_cached_tokens->raise_to(traffic.reported_cached_tokens);
    cells.reported_output_tokens->raise_to(traffic.reported_output_tokens);
  }
  const prefix::RoutedHistory::Figures figures = router_.history().figures();
  history_bytes_.set(static_cast<double>(router_.history().memory_bytes()));
  history_blocks_.set(static_cast<double>(figures.held_blocks));
  history_runs_.set(static_cast<double>(figures.runs));
  history_evicted_.raise_to(figures.evicted_blocks);
  const fleet::ResponseHolders::Figures responses = router_.responses().figures();
  responses_held_.set(static_cast<double>(responses.held));
  responses_evicted_.raise_to(responses.evicted);
  dropped_.raise_to(router_.inbox().dropped());
  decisions_not_kept_.raise_to(router_.decisions().not_kept());
  if (more_metrics_) more_metrics_();
}

}  // namespace fairlead::router
