// SPDX-License-Identifier: Apache-2.0
#include "lab/load/model/workload_plan.h"

#include <numeric>
#include <utility>

#include "lab/load/model/unit_content.h"

namespace fairlead::load {
namespace {

void add_source(const Prompts& prompts, const ArrivalLaw& arrivals, double rate, Scope scope,
                const WorkloadSpec& spec, Draft& draft) {
  const std::unique_ptr<Units> units = make_units(prompts, scope);
  Random random(unit_content_id(scope.seed, UnitContent::kArrivalDraws, 0));
  std::uint64_t n = 0;
  const double unit_rate = rate / units->mean_requests();
  for (const double at :
       arrivals_between(arrivals, unit_rate, -spec.lead_s, spec.length_s, random)) {
    units->add(n++, at, draft);
  }
}

// Zipf's exponent with which the first of `count` has this share; 0 is an even share.
double zipf_exponent(std::uint32_t count, double share) {
  double low = 0;
  double high = 50;
  for (int i = 0; i < 60; ++i) {
    const double exponent = (low + high) / 2;
    double sum = 0;
    for (std::uint32_t n = 1; n <= count; ++n) sum += std::pow(n, -exponent);
    (1 / sum < share ? low : high) = exponent;
  }
  return low;
}

struct PlanTraffic {
  const WorkloadSpec& spec;
  std::uint64_t seed;
  const Trace* trace;

  Result<Workload> operator()(const TraceReplay& replay) const {
    if (trace == nullptr) {
      return fail(ErrorCode::kInvalidArgument, "trace {} is not at hand", replay.trace);
    }
    ReplaySettings settings = replay.settings;
    settings.seed = seed;
    auto workload = plan_replay(*trace, settings);
    if (workload) workload->name = spec.name;
    return workload;
  }

  Result<Workload> operator()(const Ladder& ladder) const {
    return plan_synthetic({spec.name, ladder.prompts, ladder.loop, seed});
  }

  Result<Workload> operator()(const Sources& sources) const {
    double shares = 0;
    for (const Source& source : sources) shares += source.share;
    Draft draft(spec.length_s);
    for (std::size_t i = 0; i < sources.size(); ++i) {
      const Source& source = sources[i];
      add_source(source.prompts, source.arrivals, spec.rate * source.share / shares,
                 {unit_content_id(seed, UnitContent::kSourceSeed, i), 1}, spec, draft);
    }
    return std::move(draft).finish(spec.name, spec.requests);
  }

  Result<Workload> operator()(const Clients& clients) const {
    const double exponent = zipf_exponent(clients.count, clients.top_share);
    double weights = 0;
    for (std::uint32_t n = 1; n <= clients.count; ++n) weights += std::pow(n, -exponent);
    Draft draft(spec.length_s);
    for (std::uint32_t i = 0; i < clients.count; ++i) {
      Random random(unit_content_id(seed, UnitContent::kClientDraws, i));
      ArrivalLaw law;
      law.kind = random.uniform() < clients.weibull ? ArrivalLaw::Kind::kWeibull
                                                    : ArrivalLaw::Kind::kGamma;
      law.cv = clients.cv.draw(random);
      const Scope scope{unit_content_id(seed, UnitContent::kSourceSeed, i),
                        clients.size.draw(random)};
      const double rate = spec.rate * std::pow(i + 1.0, -exponent) / weights;
      add_source(clients.prompts, law, rate, scope, spec, draft);
    }
    return std::move(draft).finish(spec.name, spec.requests);
  }
};

}  // namespace

std::string_view trace_of(const WorkloadSpec& spec) {
  const auto* replay = std::get_if<TraceReplay>(&spec.traffic);
  return replay == nullptr ? std::string_view{} : replay->trace;
}

Result<Workload> plan_workload(const WorkloadSpec& spec, std::uint64_t seed, const Trace* trace) {
  return std::visit(PlanTraffic{spec, seed, trace}, spec.traffic);
}

}  // namespace fairlead::load
