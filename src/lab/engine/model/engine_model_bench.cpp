// SPDX-License-Identifier: Apache-2.0
// What the model costs: a decode step by batch size, and a whole fleet under the b2b ladder
// (17 stages of shared-prefix requests on 8 engines), which virtual-time runs are made of.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <queue>

#include "lab/engine/model/engine_model.h"

namespace fairlead::engine {
namespace {

EngineProfile qwen3() {
  return {.name = "qwen3-32b-2xh100",
          .model = "Qwen/Qwen3-32B",
          .kv_tokens = 307328,
          .max_model_len = 131072,
          .step_floor_s = 10.5e-3,
          .per_token_s = 43e-6,
          .attention_s = 1.5e-9,
          .kv_read_s = 46e-9,
          .per_sequence_s = 20e-6,
          .host_overhead_s = 30e-3};
}

void decode_step(benchmark::State& state) {
  EngineProfile profile = qwen3();
  profile.kv_tokens = 64'000'000;
  EngineModel model(profile, 1);
  std::vector<TokenEvent> events;
  Time now{};
  for (std::int64_t i = 0; i < state.range(0); ++i) {
    const auto seed = static_cast<std::uint64_t>(i);
    (void)model.submit({.prompt_tokens = 100, .output_tokens = 130'000, .output_seed = seed}, now);
  }
  std::int64_t tokens = 0;
  for (auto _ : state) {
    events.clear();
    const auto at = model.next_step_at(now);
    if (!at) {
      state.SkipWithError("the sequences ended before the benchmark did");
      break;
    }
    now = *at + model.begin_step(*at)->duration;
    model.finish_step(events);
    tokens += static_cast<std::int64_t>(events.size());
  }
  state.SetItemsProcessed(tokens);
}
BENCHMARK(decode_step)->Arg(1)->Arg(16)->Arg(90)->Arg(256)->Iterations(20000);

constexpr int kEngines = 8;
constexpr int kGroups = 150;
constexpr int kPromptsPerGroup = 5;

struct Stage {
  double rate;
  double seconds;
};
constexpr std::array<Stage, 17> kLadder{{{15, 50},
                                         {3, 20},
                                         {10, 20},
                                         {15, 20},
                                         {20, 38},
                                         {22, 34},
                                         {25, 30},
                                         {30, 25},
                                         {35, 21},
                                         {40, 38},
                                         {43, 36},
                                         {46, 33},
                                         {49, 30},
                                         {52, 29},
                                         {55, 27},
                                         {57, 26},
                                         {60, 25}}};

enum class Placement { kRoundRobin, kPartition };

class Fleet {
 public:
  Fleet(Placement placement, std::uint64_t seed) : placement_(placement), random_(seed) {
    for (int i = 0; i < kEngines; ++i) engines_.emplace_back(qwen3(), seed);
    for (int i = 0; i < kGroups * kPromptsPerGroup; ++i) {
      const auto group = static_cast<std::uint64_t>(i / kPromptsPerGroup);
      auto hashes = std::make_shared<BlockHashes>();
      // 7,200 tokens are 112 full blocks; the first 93 lie in the group's 6,000.
      for (std::uint64_t block = 0; block < 112; ++block) {
        const std::uint64_t owner = block < 93 ? group : 1000 + static_cast<std::uint64_t>(i);
        hashes->push_back(mix64(owner * 1000 + block));
      }
      prompts_.push_back({std::move(hashes), static_cast<int>(group) % kEngines});
    }
    for (std::size_t i = prompts_.size(); i > 1; --i) {
      std::swap(prompts_[i - 1], prompts_[random_.below(i)]);
    }
  }

  void run() {
    Time now{};
    for (std::size_t stage = 0; stage < kLadder.size(); ++stage) {
      const Time end = run_stage(kLadder[stage], now);
      if (stage > 0) {
        output_tokens_ += requests_ * 1000.0;
        makespan_s_ += to_seconds(end - now);
      }
      now = end + std::chrono::seconds(30);
    }
  }

  double output_rate() const { return output_tokens_ / makespan_s_; }
  std::int64_t total_tokens() const { return total_tokens_; }
  double hit_rate() const {
    double hits = 0;
    double queries = 0;
    for (const EngineModel& engine : engines_) {
      hits += static_cast<double>(engine.counters().prefix_hits);
      queries += static_cast<double>(engine.counters().prefix_queries);
    }
    return hits / queries;
  }
  double ttft_mean() const { return ttft_sum_ / ttft_count_; }

 private:
  struct Prompt {
    std::shared_ptr<const BlockHashes> hashes;
    int home;
  };
  // The end of an engine's step, or kEngines for the next arrival.
  using Event = std::pair<Time, int>;

  Time run_stage(Stage stage, Time start) {
    std::vector<Time> arrivals;
    for (double at = random_.exponential(1 / stage.rate); at < stage.seconds;
         at += random_.exponential(1 / stage.rate)) {
      arrivals.push_back(start + from_seconds(at));
    }
    requests_ = static_cast<double>(arrivals.size());
    std::priority_queue<Event, std::vector<Event>, std::greater<>> queue;
    for (const Time at : arrivals) queue.emplace(at, kEngines);
    Time last = start;
    while (!queue.empty()) {
      const auto [now, who] = queue.top();
      queue.pop();
      if (who == kEngines) {
        const int engine = place();
        EngineModel& model = engines_[static_cast<std::size_t>(engine)];
        if (model.idle()) queue.emplace(now + from_seconds(30e-3), engine);
        const Prompt& prompt = prompts_[count_ % prompts_.size()];
        (void)model.submit({.block_hashes = prompt.hashes,
                            .prompt_tokens = 7200,
                            .output_tokens = 1000,
                            .output_seed = ++count_,
                            .tag = static_cast<std::uint64_t>(now.time_since_epoch().count())},
                           now);
        continue;
      }
      last = std::max(last, step(queue, now, who));
    }
    return last;
  }

  template <class Queue>
  Time step(Queue& queue, Time now, int who) {
    EngineModel& engine = engines_[static_cast<std::size_t>(who)];
    if (engine.stepping()) {
      events_.clear();
      engine.finish_step(events_);
      total_tokens_ += static_cast<std::int64_t>(events_.size());
      for (const TokenEvent& event : events_) {
        if (event.output_tokens != 1) continue;
        ttft_sum_ += to_seconds(now) - static_cast<double>(event.tag) * 1e-9;
        ++ttft_count_;
      }
    }
    const auto at = engine.next_step_at(now);
    if (!at) return now;
    if (*at > now) {
      queue.emplace(*at, who);
    } else {
      queue.emplace(now + engine.begin_step(now)->duration, who);
    }
    return now;
  }

  int place() {
    if (placement_ == Placement::kPartition) return prompts_[count_ % prompts_.size()].home;
    return static_cast<int>(count_ % kEngines);
  }

  Placement placement_;
  Random random_;
  std::vector<EngineModel> engines_;
  std::vector<Prompt> prompts_;
  std::vector<TokenEvent> events_;
  std::uint64_t count_ = 0;
  std::int64_t total_tokens_ = 0;
  double requests_ = 0;
  double output_tokens_ = 0;
  double makespan_s_ = 0;
  double ttft_sum_ = 0;
  double ttft_count_ = 0;
};

void ladder(benchmark::State& state, Placement placement) {
  std::int64_t tokens = 0;
  for (auto _ : state) {
    Fleet fleet(placement, 1);
    fleet.run();
    tokens += fleet.total_tokens();
    state.counters["output_tokens_per_s"] = fleet.output_rate();
    state.counters["hit_rate"] = fleet.hit_rate();
    state.counters["ttft_mean_s"] = fleet.ttft_mean();
  }
  state.SetItemsProcessed(tokens);
}
BENCHMARK_CAPTURE(ladder, round_robin, Placement::kRoundRobin)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(ladder, partition, Placement::kPartition)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace fairlead::engine
