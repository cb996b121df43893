// SPDX-License-Identifier: Apache-2.0
#include "lab/load/model/accounting.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <span>
#include <string_view>

namespace fairlead::load {
namespace {

std::string_view outcome_name(Outcome outcome) {
  switch (outcome) {
    case Outcome::kOk:
      return "ok";
    case Outcome::kConnectFailed:
      return "connect_failed";
    case Outcome::kHttpError:
      return "http_error";
    case Outcome::kErrorEvent:
      return "error_event";
    case Outcome::kStreamBroken:
      return "stream_broken";
    case Outcome::kMalformed:
      return "malformed";
    case Outcome::kTimedOut:
      return "timed_out";
    case Outcome::kCancelled:
      return "cancelled";
  }
  return "unknown";
}

// What one successful request contributes, in seconds of model time.
struct Figures {
  double ttft = 0;
  double latency = 0;
  std::optional<double> tpot;  // Absent for answers of one token.
  std::optional<double> ntpot;
  std::optional<double> itl;  // Mean gap.
};

Figures figures_of(const RequestRecord& record, TimeScale scale) {
  Figures figures;
  figures.latency = scale.model_seconds(record.finished - record.sent);
  if (record.output_tokens == 0) {
    figures.ttft = figures.latency;
    return figures;
  }
  figures.ttft = scale.model_seconds(record.first_token - record.sent);
  figures.ntpot = figures.latency / record.output_tokens;
  if (record.output_tokens < 2) return figures;
  const double gaps = record.output_tokens - 1.0;
  figures.tpot = (figures.latency - figures.ttft) / gaps;
  if (!record.chunks.empty()) {
    std::uint64_t total_us = 0;
    for (const ChunkGap& chunk : record.chunks) total_us += chunk.gap_us;
    figures.itl = static_cast<double>(total_us) * 1e-6 * scale.speed / gaps;
  }
  return figures;
}

bool within(std::optional<double> limit, std::optional<double> value) {
  return !limit || !value || *value <= *limit;
}

// Gathers the records of one section, then turns them into figures once.
class SectionBuilder {
 public:
  SectionBuilder(TimeScale scale, const SloLimits& limits) : scale_(scale), limits_(limits) {}

  void add(const RequestRecord& record) {
    ++section.sent;
    first_send_ = std::min(first_send_, record.sent);
    last_send_ = std::max(last_send_, record.sent);
    delays_.push_back(to_seconds(record.sent - record.scheduled));
    if (record.outcome != Outcome::kOk) {
      ++failures_[failure_label(record)];
      failed_latencies_.push_back(scale_.model_seconds(record.finished - record.sent));
      return;
    }
    ++section.succeeded;
    prompt_total_ += record.prompt_tokens;
    cached_total_ += record.cached_tokens;
    output_total_ += record.output_tokens;
    prompts_.push_back(record.prompt_tokens);
    outputs_.push_back(record.output_tokens);
    const Figures figures = figures_of(record, scale_);
    ttfts_.push_back(figures.ttft);
    latencies_.push_back(figures.latency);
    if (figures.tpot) tpots_.push_back(*figures.tpot);
    if (figures.ntpot) ntpots_.push_back(*figures.ntpot);
    add_gaps(record);
    add_goodput(record, figures);
  }

  Section build() {
    section.failed = section.sent - section.succeeded;
    section.failures.assign(failures_.begin(), failures_.end());
    std::sort(section.failures.begin(), section.failures.end(), [](const auto& a, const auto& b) {
      return a.second != b.second ? a.second > b.second : a.first < b.first;
    });
    if (section.sent > 0) section.send_s = scale_.model_seconds(last_send_ - first_send_);
    if (section.send_s > 0) {
      section.achieved_rate = static_cast<double>(section.sent) / section.send_s;
    }
    section.schedule_delay = describe(delays_);
    section.ttft = describe(ttfts_);
    section.request_latency = describe(latencies_);
    section.tpot = describe(tpots_);
    section.ntpot = describe(ntpots_);
    section.itl = describe(gaps_);
    section.token_interval = describe(intervals_);
    section.prompt_tokens = describe(prompts_);
    section.output_tokens = describe(outputs_);
    section.failed_latency = describe(failed_latencies_);
    section.input_tokens_per_s = per_second(prompt_total_);
    section.output_tokens_per_s = per_second(output_total_);
    section.requests_per_s = per_second(section.succeeded);
    if (prompt_total_ > 0) {
      section.hit_rate = static_cast<double>(cached_total_) / static_cast<double>(prompt_total_);
    }
    if (has_limits(limits_)) section.goodput = goodput();
    return std::move(section);
  }

  Section section;

 private:
  double per_second(std::uint64_t count) const {
    return section.benchmark_s > 0 ? static_cast<double>(count) / section.benchmark_s : 0;
  }

  double of_succeeded(std::uint64_t count) const {
    return section.succeeded > 0
               ? static_cast<double>(count) / static_cast<double>(section.succeeded)
               : 0;
  }

  void add_gaps(const RequestRecord& record) {
    std::uint64_t same_stamp = 0;
    for (std::size_t i = 0; i < record.chunks.size(); ++i) {
      const ChunkGap& chunk = record.chunks[i];
      if (chunk.tokens == 0) continue;
      same_stamp += chunk.tokens - 1;
      if (i == 0) continue;
      const double gap = chunk.gap_us * 1e-6 * scale_.speed;
      gaps_.push_back({gap, 1});
      intervals_.push_back({gap / chunk.tokens, chunk.tokens});
    }
    if (same_stamp > 0) gaps_.push_back({0, same_stamp});
  }

  void add_goodput(const RequestRecord& record, const Figures& figures) {
    const bool met[] = {within(limits_.ttft, figures.ttft), within(limits_.tpot, figures.tpot),
                        within(limits_.itl, figures.itl), within(limits_.ntpot, figures.ntpot),
                        within(limits_.request_latency, figures.latency)};
    bool all = true;
    for (std::size_t i = 0; i < met_.size(); ++i) {
      met_[i] += met[i] ? 1 : 0;
      all = all && met[i];
    }
    if (!all) return;
    ++good_;
    good_tokens_ += record.prompt_tokens + record.output_tokens;
  }

  Goodput goodput() const {
    Goodput result;
    result.requests_per_s = per_second(good_);
    result.tokens_per_s = per_second(good_tokens_);
    result.share = of_succeeded(good_);
    const std::pair<const char*, std::optional<double>> limits[] = {
        {"ttft", limits_.ttft},
        {"tpot", limits_.tpot},
        {"itl", limits_.itl},
        {"ntpot", limits_.ntpot},
        {"request_latency", limits_.request_latency}};
    for (std::size_t i = 0; i < met_.size(); ++i) {
      if (limits[i].second) result.attainment.emplace_back(limits[i].first, of_succeeded(met_[i]));
    }
    return result;
  }

  TimeScale scale_;
  const SloLimits& limits_;
  Time first_send_ = Time::max();
  Time last_send_ = Time::min();
  std::uint64_t prompt_total_ = 0;
  std::uint64_t cached_total_ = 0;
  std::uint64_t output_total_ = 0;
  std::uint64_t good_ = 0;
  std::uint64_t good_tokens_ = 0;
  std::array<std::uint64_t, 5> met_{};
  std::map<std::string, std::uint64_t> failures_;
  std::vector<double> delays_, ttfts_, latencies_, tpots_, ntpots_, prompts_, outputs_,
      failed_latencies_;
  std::vector<WeightedValue> gaps_, intervals_;
};

std::vector<EndpointShare> endpoint_shares(const Workload& workload, const RunRecords& records) {
  std::vector<EndpointShare> shares;
  for (const std::string& name : records.endpoints) shares.push_back({name, 0, 0, 0, 0});
  for (const RequestRecord& record : records.requests) {
    const bool counts = workload.stages[record.stage].kind == StageKind::kMeasured;
    if (!counts || record.endpoint >= shares.size()) continue;
    EndpointShare& share = shares[record.endpoint];
    ++share.requests;
    share.prompt_tokens += record.prompt_tokens;
    share.cached_tokens += record.cached_tokens;
    share.output_tokens += record.output_tokens;
  }
  return shares;
}

}  // namespace

void TokenClock::add(RequestRecord& record, Time now, std::uint32_t tokens) {
  if (tokens == 0) return;
  std::uint32_t gap_us = 0;
  if (record.output_tokens == 0) {
    record.first_token = now;
  } else {
    const auto gap = std::chrono::duration_cast<std::chrono::microseconds>(now - last_).count();
    gap_us = static_cast<std::uint32_t>(
        std::clamp<std::int64_t>(gap, 0, std::numeric_limits<std::uint32_t>::max()));
  }
  // Rounding each stamp down to a microsecond, not each gap, keeps the sum of the gaps exact.
  last_ = record.output_tokens == 0 ? now : last_ + std::chrono::microseconds(gap_us);
  record.output_tokens += tokens;
  record.chunks.push_back({gap_us, tokens});
}

void settle_tokens(RequestRecord& record, std::span<const ChunkArrival> arrivals,
                   std::uint32_t tokens) {
  std::uint64_t events = 0;
  for (const ChunkArrival& arrival : arrivals) events += arrival.events;
  if (events == 0 || tokens == 0) return;
  TokenClock clock;
  std::uint64_t seen = 0;
  for (const ChunkArrival& arrival : arrivals) {
    seen += arrival.events;
    const auto due = static_cast<std::uint32_t>(tokens * seen / events);
    clock.add(record, arrival.at, std::max(due, 1u) - record.output_tokens);
  }
}

std::string failure_label(const RequestRecord& record) {
  if (record.outcome == Outcome::kHttpError) return fmt::format("http_{}", record.status);
  return std::string(outcome_name(record.outcome));
}

bool has_limits(const SloLimits& limits) {
  return limits.ttft || limits.tpot || limits.itl || limits.ntpot || limits.request_latency;
}

Summary summarize(const Workload& workload, const RunRecords& records, const SloLimits& limits) {
  std::vector<SectionBuilder> stages;
  SectionBuilder overall(records.scale, limits);
  overall.section.name = workload.name;
  double planned = 0;
  double planned_s = 0;
  for (std::size_t i = 0; i < workload.stages.size(); ++i) {
    const Stage& stage = workload.stages[i];
    SectionBuilder& builder = stages.emplace_back(records.scale, limits);
    builder.section.name = stage.name;
    builder.section.kind = stage.kind;
    builder.section.requested_rate = stage.rate;
    builder.section.concurrency = stage.concurrency;
    if (i < records.spans.size()) {
      const StageSpan& span = records.spans[i];
      builder.section.benchmark_s = records.scale.model_seconds(span.end - span.begin);
    }
    if (stage.kind != StageKind::kMeasured) continue;
    overall.section.benchmark_s += builder.section.benchmark_s;
    overall.section.concurrency = std::max(overall.section.concurrency, stage.concurrency);
    if (stage.rate > 0) {
      planned += stage.request_count;
      planned_s += to_seconds(stage.length);
    }
  }
  if (planned_s > 0) overall.section.requested_rate = planned / planned_s;
  for (const RequestRecord& record : records.requests) {
    stages[record.stage].add(record);
    if (workload.stages[record.stage].kind == StageKind::kMeasured) overall.add(record);
  }
  Summary summary;
  double measured = 0;
  double send_s = 0;
  for (SectionBuilder& builder : stages) {
    summary.stages.push_back(builder.build());
    if (summary.stages.back().kind != StageKind::kMeasured) continue;
    summary.stage_mean_output_tokens_per_s += summary.stages.back().output_tokens_per_s;
    send_s += summary.stages.back().send_s;
    ++measured;
  }
  if (measured > 0) summary.stage_mean_output_tokens_per_s /= measured;
  summary.overall = overall.build();
  // Pauses and drains between stages are no time of sending.
  summary.overall.send_s = send_s;
  summary.overall.achieved_rate =
      send_s > 0 ? static_cast<double>(summary.overall.sent) / send_s : 0;
  summary.endpoints = endpoint_shares(workload, records);
  return summary;
}

}  // namespace fairlead::load
