// SPDX-License-Identifier: Apache-2.0
#include "lab/load/load_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "io/net/http_fetch.h"
#include "lab/load/model/number_text.h"

namespace fairlead::load {
namespace {

net::UpstreamPoolOptions pool_options(const LoadSettings& settings) {
  net::UpstreamPoolOptions options;
  // Every request in flight has a connection; a few more may still be closing.
  options.connections_max = settings.connections_max + 16;
  options.idle_per_endpoint_max = settings.connections_max;
  return options;
}

std::string milliseconds(double seconds) { return fmt::format("{:.1f} ms", seconds * 1000); }

std::optional<std::string> spoilt_by(const GeneratorLag& lag, Duration limit) {
  const double limit_s = to_seconds(limit);
  const bool late = lag.schedule_p50_s > limit_s;
  if (!late && lag.receive_mean_s <= limit_s) return std::nullopt;
  return fmt::format(
      "the load generator lagged: {} {} of wall time, above {}. The figures are not those of the "
      "server; lower the speed or the rate, allow more connections, or give it more processor",
      late ? "half of the requests left late by more than" : "answers waited on average for",
      milliseconds(late ? lag.schedule_p50_s : lag.receive_mean_s), milliseconds(limit_s));
}

// The first model of a /v1/models answer.
Result<std::string> first_model(const net::FetchReply& reply) {
  if (reply.status != 200) {
    return fail(ErrorCode::kUnavailable, "GET /v1/models answered {}; name the model yourself",
                reply.status);
  }
  const nlohmann::json json = nlohmann::json::parse(reply.body, nullptr, false);
  const auto data = json.is_object() ? json.find("data") : json.end();
  if (data == json.end() || !data->is_array() || data->empty() || !data->front().is_object()) {
    return fail(ErrorCode::kUnavailable, "GET /v1/models lists no model; name the model yourself");
  }
  const auto id = data->front().find("id");
  if (id == data->front().end() || !id->is_string()) {
    return fail(ErrorCode::kUnavailable, "GET /v1/models lists a model without an id");
  }
  return id->get<std::string>();
}

// Tells that somebody listens, and which model to ask for.
Result<std::string> probe(net::EventLoop& loop, const LoadSettings& settings) {
  net::UpstreamPool pool(loop, {});
  net::HttpFetch fetch(pool);
  const std::string bearer = "Bearer " + settings.api_key;
  net::FetchOptions options;
  options.timeout = settings.connect_timeout;
  if (!settings.api_key.empty()) options.headers.push_back({"authorization", bearer});
  std::optional<Result<std::string>> model;
  fetch.get(settings.target.address, settings.target.prefix + "/v1/models", options,
            [&model, &settings](const Result<net::FetchReply>& reply) {
              if (!reply) {
                model = tl::unexpected(reply.error());
              } else if (!settings.model.empty()) {
                model = settings.model;
              } else {
                model = first_model(*reply);
              }
            });
  while (!model) loop.run_turn(std::chrono::milliseconds(100));
  return std::move(*model);
}

Result<void> check(const LoadSettings& settings) {
  if (!(settings.speed > 0)) {
    return fail(ErrorCode::kInvalidArgument, "speed is {}; it must be above 0", settings.speed);
  }
  if (settings.connections_max == 0) {
    return fail(ErrorCode::kInvalidArgument, "at least one connection is needed");
  }
  return {};
}

}  // namespace

std::string progress_line(const LoadProgress& progress) {
  const auto count = [](std::uint64_t value) { return group_digits(static_cast<double>(value)); };
  std::string line = fmt::format(
      "{:5.0f} s  {}  {} of {} sent, {} running, {} failed", progress.elapsed_s, progress.stage,
      count(progress.sent), count(progress.planned), progress.in_flight, count(progress.failed));
  if (progress.ttft_p50) line += fmt::format("  TTFT p50 {:.3f} s", *progress.ttft_p50);
  return line + fmt::format("  {} tokens/s", group_digits(progress.output_tokens_per_s));
}

LoadRun::LoadRun(net::EventLoop& loop, const Workload& workload, const LoadSettings& settings)
    : loop_(loop),
      workload_(workload),
      settings_(settings),
      scale_{settings.speed},
      flight_settings_{settings.target.address, settings.connect_timeout, settings.request_timeout},
      writer_(settings.target, settings.api, settings.model, settings.api_key),
      pool_(loop, pool_options(settings)),
      due_(loop, [this] { pump(); }),
      tick_(loop, [this] { report_progress(); }) {
  records_.scale = scale_;
  records_.requests.reserve(workload.requests.size());
  progress_.planned = workload.requests.size();
}

LoadRun::~LoadRun() = default;

void LoadRun::start(ProgressSink on_progress, std::function<void()> on_done) {
  on_progress_ = std::move(on_progress);
  on_done_ = std::move(on_done);
  started_ = last_progress_ = clock_.now();
  pacer_.emplace(workload_, scale_, started_);
  if (on_progress_) tick_.arm(settings_.progress_interval);
  due_.arm_at(started_);
}

void LoadRun::pump() {
  // A flight that fails at once would come back here through on_flight_end().
  if (pumping_ || interrupted_) return;
  pumping_ = true;
  std::optional<Time> due = pacer_->next_due();
  while (due && *due <= clock_.now() && pacer_->in_flight() < settings_.connections_max) {
    launch(pacer_->issue());
    due = pacer_->next_due();
  }
  pumping_ = false;
  // With every connection in use, the end of a request calls again.
  if (due && pacer_->in_flight() < settings_.connections_max) due_.arm_at(*due);
  if (!pacer_->done() || !on_done_) return;
  tick_.cancel();
  report_progress();
  std::exchange(on_done_, nullptr)();
}

void LoadRun::launch(const Pacer::Issue& issue) {
  if (idle_.empty()) {
    FlightOwner& owner = *this;
    flights_.push_back(std::make_unique<Flight>(pool_, owner, flight_settings_));
    idle_.push_back(flights_.back().get());
  }
  Flight& flight = *idle_.back();
  idle_.pop_back();
  const PlannedRequest& planned = workload_.requests[issue.request];
  RequestRecord record;
  record.request = issue.request;
  record.stage = planned.stage;
  record.scheduled = issue.scheduled;
  record.prompt_tokens = planned.prompt_tokens;
  flight.begin(writer_, workload_.prompt(planned), planned.output_tokens, std::move(record));
  ++progress_.sent;
}

void LoadRun::on_text(Duration lag) {
  receive_lag_ += lag;
  receive_lag_max_ = std::max(receive_lag_max_, lag);
  ++receives_;
}

void LoadRun::on_flight_end(Flight& flight) {
  record(flight);
  idle_.push_back(&flight);
  pacer_->finish(records_.requests.back().finished);
  pump();
}

void LoadRun::record(Flight& flight) {
  RequestRecord record = flight.take_record();
  if (record.status != 0) {
    record.endpoint =
        endpoint_index(flight.endpoint().empty() ? settings_.target.host : flight.endpoint());
  }
  if (record.outcome == Outcome::kOk) {
    ++progress_.succeeded;
    fresh_tokens_ += record.output_tokens;
    fresh_ttfts_.push_back(scale_.model_seconds(record.first_token - record.sent));
  } else {
    ++progress_.failed;
  }
  records_.requests.push_back(std::move(record));
}

std::uint16_t LoadRun::endpoint_index(const std::string& name) {
  const auto found = endpoints_.find(name);
  if (found != endpoints_.end()) return found->second;
  if (records_.endpoints.size() >= kNoEndpoint) return kNoEndpoint;
  const auto index = static_cast<std::uint16_t>(records_.endpoints.size());
  records_.endpoints.push_back(name);
  endpoints_.emplace(name, index);
  return index;
}

// By name, shorter ones first, so that engine-2 stands before engine-10 whoever answered first.
void LoadRun::sort_endpoints() {
  const std::vector<std::string> seen = records_.endpoints;
  std::sort(records_.endpoints.begin(), records_.endpoints.end(),
            [](const std::string& a, const std::string& b) {
              return a.size() != b.size() ? a.size() < b.size() : a < b;
            });
  for (std::size_t i = 0; i < records_.endpoints.size(); ++i) {
    endpoints_[records_.endpoints[i]] = static_cast<std::uint16_t>(i);
  }
  for (RequestRecord& record : records_.requests) {
    if (record.endpoint != kNoEndpoint) record.endpoint = endpoints_[seen[record.endpoint]];
  }
}

void LoadRun::report_progress() {
  if (!on_progress_) return;
  const Time now = clock_.now();
  const double passed = std::max(scale_.model_seconds(now - last_progress_), 1e-9);
  last_progress_ = now;
  progress_.elapsed_s = scale_.model_seconds(now - started_);
  const std::size_t last_stage = workload_.stages.size() - 1;
  progress_.stage = workload_.stages[std::min<std::size_t>(pacer_->stage(), last_stage)].name;
  progress_.in_flight = pacer_->in_flight();
  progress_.output_tokens_per_s = static_cast<double>(fresh_tokens_) / passed;
  progress_.ttft_p50.reset();
  if (!fresh_ttfts_.empty()) progress_.ttft_p50 = describe(fresh_ttfts_).p50();
  fresh_ttfts_.clear();
  fresh_tokens_ = 0;
  on_progress_(progress_);
  if (!pacer_->done()) tick_.arm(settings_.progress_interval);
}

void LoadRun::interrupt() {
  interrupted_ = true;
  due_.cancel();
  tick_.cancel();
  for (const std::unique_ptr<Flight>& flight : flights_) {
    if (!flight->active()) continue;
    flight->cancel();
    record(*flight);
  }
}

GeneratorLag LoadRun::lag(const Summary& summary) const {
  GeneratorLag lag;
  lag.schedule_p50_s = summary.overall.schedule_delay.p50();
  lag.receive_max_s = to_seconds(receive_lag_max_);
  if (receives_ > 0) {
    lag.receive_mean_s = to_seconds(receive_lag_) / static_cast<double>(receives_);
  }
  return lag;
}

LoadResult LoadRun::take_result() {
  LoadResult result;
  sort_endpoints();
  records_.spans.assign(pacer_->spans().begin(), pacer_->spans().end());
  // The stage that was interrupted ended now.
  if (interrupted_ && !pacer_->done()) records_.spans.back().end = clock_.now();
  result.records = std::move(records_);
  result.summary = summarize(workload_, result.records, settings_.limits);
  result.lag = lag(result.summary);
  result.interrupted = interrupted_;
  result.spoilt = spoilt_by(result.lag, settings_.lag_max);
  return result;
}

Result<LoadResult> run_load(net::EventLoop& loop, const Workload& workload,
                            const LoadSettings& settings, const ProgressSink& on_progress) {
  if (auto good = check(settings); !good) return tl::unexpected(std::move(good.error()));
  if (workload.requests.empty()) {
    return fail(ErrorCode::kInvalidArgument, "the workload has no requests");
  }
  auto model = probe(loop, settings);
  if (!model) {
    return with_context(std::move(model.error()),
                        fmt::format("cannot put {} under load", settings.target.host));
  }
  LoadSettings complete = settings;
  complete.model = std::move(*model);
  LoadRun run(loop, workload, complete);
  bool done = false;
  run.start(on_progress, [&loop, &done] {
    done = true;
    loop.stop();
  });
  loop.run();
  if (!done) run.interrupt();
  return run.take_result();
}

}  // namespace fairlead::load
