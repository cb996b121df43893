// SPDX-License-Identifier: Apache-2.0
// What keeping a decision costs the worker that made it.
#include <benchmark/benchmark.h>

#include <memory>
#include <vector>

#include "router/decision_log.h"

namespace fairlead::router {
namespace {

void note_decision(benchmark::State& state) {
  const auto rows = static_cast<std::size_t>(state.range(0));
  std::vector<model::Endpoint> endpoints(rows);
  scheduling::Candidates table;
  table.resize(rows);
  for (std::size_t row = 0; row < rows; ++row) table.endpoint[row] = &endpoints[row];
  const scheduling::Profile profile;
  const Random chance(1);
  const picker::Decision decision;
  model::InferenceRequest request;
  request.id = "0b0d1c1e-9d6c-4a1f-8f0b-6d1f0a3f7c55";
  request.model = "some-organisation/some-model";
  DecisionLog log(0);
  for (auto _ : state) {
    log.note({request, profile, table, {}, chance, decision, model::ReplyReason::kNone, Time{}});
  }
}
BENCHMARK(note_decision)->Arg(8)->Arg(64)->Arg(512);

}  // namespace
}  // namespace fairlead::router
