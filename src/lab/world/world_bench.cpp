// SPDX-License-Identifier: Apache-2.0
// What a run of the world costs, the workload prepared beforehand: an hour of the conversation
// trace and the published ladder on 8 engines, by history and by what engines tell, and a minute of
// 1,000 engines. The bounds, in CPU time on one core: 2 s by history, 3 s exact, 60 s for the large
// fleet.
#include <benchmark/benchmark.h>

#include <ctime>
#include <fstream>
#include <iterator>
#include <string>

#include "core/picker/candidate_builder.h"
#include "core/scheduling/catalog.h"
#include "core/scheduling/policy_config.h"
#include "lab/load/model/gzip.h"
#include "lab/load/model/synthetic.h"
#include "lab/load/model/trace.h"
#include "lab/world/world.h"

namespace fairlead::world {
namespace {

constexpr std::uint32_t kBlock = 64;
constexpr std::string_view kEngine = "qwen3-32b-2xh100.yaml";

std::string shipped_file(std::string_view name) {
  std::ifstream file(std::string(FAIRLEAD_SOURCE_DIR "/data/").append(name), std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

enum class Knowledge : std::uint8_t { kHistory, kExact };

scheduling::BuiltPolicy shipped(std::string_view name) {
  config::Problems problems;
  const scheduling::Registry registry = scheduling::builtin_registry();
  config::Section root = config::Section::parse(scheduling::shipped_policy(name), name, problems);
  return scheduling::build_policy(root, registry, {picker::filled_columns()}, problems);
}

void run(benchmark::State& state, const PreparedWorkload& prepared, Knowledge knowledge,
         std::uint32_t engines) {
  const auto policy = shipped(knowledge == Knowledge::kExact ? "fairlead-exact" : "fairlead");
  WorldSettings settings;
  settings.engines = engines;
  settings.engine =
      engine::parse_profile(shipped_file(std::string("engines/").append(kEngine)), kEngine).value();
  settings.events = policy.picker.events;
  double steps = 0;
  double runs = 0;
  double seconds = 0;  // Of CPU time.
  for (auto _ : state) {
    const std::clock_t begin = std::clock();
    const WorldResult result = run_world(prepared, *policy.profile, settings);
    seconds += static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
    steps += static_cast<double>(result.steps);
    ++runs;
    state.PauseTiming();
    const auto summary = load::summarize(prepared.workload(), result.records, {});
    state.counters["ttft_mean_s"] = summary.overall.ttft.mean;
    state.counters["hit_rate"] = summary.overall.hit_rate;
    state.ResumeTiming();
  }
  double blocks = 0;
  double tokens = 0;
  for (std::uint32_t i = 0; i < prepared.workload().requests.size(); ++i) {
    blocks += static_cast<double>(prepared.keys(i).engine->size());
    tokens += prepared.workload().requests[i].output_tokens;
  }
  const double ns = seconds * 1e9;
  const auto requests = static_cast<double>(prepared.workload().requests.size());
  state.counters["s_a_run"] = seconds / runs;
  state.counters["ns_a_request"] = ns / (runs * requests);
  state.counters["ns_a_step"] = ns / steps;
  state.counters["ns_a_block"] = ns / (runs * blocks);
  state.counters["ns_a_token"] = ns / (runs * tokens);
}

const PreparedWorkload& conversation(double compression) {
  const auto prepare = [](double times) {
    const auto trace = load::parse_mooncake(
        load::inflate_gzip(shipped_file("traces/mooncake_conversation.jsonl.gz"), 64 << 20)
            .value());
    load::ReplaySettings replay;
    replay.compression = times;
    return PreparedWorkload(load::plan_replay(*trace, replay).value(), kBlock, kBlock);
  };
  static const PreparedWorkload once = prepare(1);
  static const PreparedWorkload twice = prepare(2);
  return compression == 1 ? once : twice;
}

void mooncake_hour(benchmark::State& state, Knowledge knowledge, double compression) {
  run(state, conversation(compression), knowledge, 8);
}
BENCHMARK_CAPTURE(mooncake_hour, history, Knowledge::kHistory, 1)->Unit(benchmark::kSecond);
BENCHMARK_CAPTURE(mooncake_hour, exact, Knowledge::kExact, 1)->Unit(benchmark::kSecond);
BENCHMARK_CAPTURE(mooncake_hour, history_at_twice_the_rate, Knowledge::kHistory, 2)
    ->Unit(benchmark::kSecond);
BENCHMARK_CAPTURE(mooncake_hour, exact_at_twice_the_rate, Knowledge::kExact, 2)
    ->Unit(benchmark::kSecond);

void b2b_ladder(benchmark::State& state, Knowledge knowledge) {
  static const PreparedWorkload prepared(load::plan_synthetic(load::b2b_settings(1)).value(),
                                         kBlock, kBlock);
  run(state, prepared, knowledge, 8);
}
BENCHMARK_CAPTURE(b2b_ladder, history, Knowledge::kHistory)->Unit(benchmark::kSecond);
BENCHMARK_CAPTURE(b2b_ladder, exact, Knowledge::kExact)->Unit(benchmark::kSecond);

// 2,000 requests a second in total: two a second and engine, of the ladder's length.
void large_fleet(benchmark::State& state, Knowledge knowledge) {
  load::SyntheticSettings settings;
  settings.prompts = load::SharedPrefixPrompts{.groups = 5000,
                                               .prompts_per_group = 5,
                                               .system_tokens = 3000,
                                               .question_tokens = 600,
                                               .output_tokens = 300};
  settings.loop = load::OpenLoop{.arrivals = load::Arrivals::kPoisson,
                                 .stages = {{.rate = 2000, .length = std::chrono::seconds(60)}},
                                 .pause = {}};
  const PreparedWorkload prepared(load::plan_synthetic(settings).value(), kBlock, kBlock);
  run(state, prepared, knowledge, 1000);
}
BENCHMARK_CAPTURE(large_fleet, history, Knowledge::kHistory)
    ->Unit(benchmark::kSecond)
    ->Iterations(1);
BENCHMARK_CAPTURE(large_fleet, exact, Knowledge::kExact)->Unit(benchmark::kSecond)->Iterations(1);

}  // namespace
}  // namespace fairlead::world
