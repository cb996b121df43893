// SPDX-License-Identifier: Apache-2.0
// decision_us: one decision of the default policy, from the request's facts to the chosen endpoint
// and its in-flight share, for a prompt of 32 kB whose start engines hold at various depths. The
// bounds are 20 us at 100 endpoints and 150 us at 1,000.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/random.h"
#include "core/picker/picker.h"
#include "core/picker/testing/pool.h"
#include "core/prefix/routed_history.h"
#include "core/scheduling/catalog.h"
#include "core/scheduling/policy_config.h"

namespace fairlead::picker {
namespace {

constexpr std::size_t kBlock = 1024;
constexpr std::size_t kPromptBlocks = 32;
constexpr std::uint64_t kBudgetBytes = 1'200'000;  // 307k tokens of 4 bytes.
constexpr std::size_t kPrompts = 512;

using Keys = std::vector<std::uint64_t>;

class Recorder final : public DispatchRecorder {
 public:
  void record(std::uint32_t, std::span<const std::uint64_t>) override {}
};

class Sink final : public ObservationSink {
 public:
  void observe(const model::Observation&) override {}
};

// Conversations under eight system prompts of 8 kB.
std::vector<Keys> prompts(Random& random) {
  std::vector<Keys> all(kPrompts);
  for (std::size_t i = 0; i < kPrompts; ++i) {
    std::uint64_t key = i % 8 + 1;
    for (std::size_t block = 0; block < kPromptBlocks; ++block) {
      key = mix64(key ^ (block < 8 ? block : random.next()));
      all[i].push_back(key);
    }
  }
  return all;
}

scheduling::Profile default_profile() {
  config::Problems problems;
  const scheduling::Registry registry = scheduling::builtin_registry();
  config::Section root =
      config::Section::parse(scheduling::shipped_policy("fairlead"), "fairlead", problems);
  return std::move(*scheduling::build_policy(root, registry, {filled_columns()}, problems).profile);
}

void decision_us(benchmark::State& state) {
  const auto endpoints = static_cast<std::uint32_t>(state.range(0));
  Random random(1);
  const std::vector<Keys> all = prompts(random);
  const model::PoolSnapshot pool = testing::healthy_pool(endpoints);
  fleet::InFlightTable inflight;
  fleet::LoadTable load;
  fleet::PlacementLedger ledger;
  prefix::RoutedHistory history(kBlock, kBudgetBytes);
  const Time now{std::chrono::seconds(100)};
  for (std::uint32_t slot = 0; slot < endpoints; ++slot) {
    load.write(slot, {static_cast<float>(random.below(4)), static_cast<float>(random.below(64)),
                      static_cast<float>(random.uniform()), now});
    for (int i = 0; i < 40; ++i) history.record(slot, all[random.below(kPrompts)]);
  }
  Recorder recorder;
  Sink sink;
  const scheduling::Profile profile = default_profile();
  Picker picker({{inflight, load, ledger, history}, recorder, sink}, {}, 1);
  Outbox outbox;
  model::InferenceRequest request;
  request.model = "m";
  request.prompt_tokens = kPromptBlocks * kBlock / 4;
  request.block_tokens = kBlock / 4;
  std::size_t next = 0;
  for (auto _ : state) {
    request.keys = all[next++ % kPrompts];
    outbox.clear();
    const RequestId id = picker.on_request(request, pool, profile, now, outbox);
    picker.on_end(id, model::Outcome::kCompleted, now);
  }
}
BENCHMARK(decision_us)->Arg(8)->Arg(100)->Arg(1000)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace fairlead::picker
