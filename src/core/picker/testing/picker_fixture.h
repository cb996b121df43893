// SPDX-License-Identifier: Apache-2.0
// A picker with everything around it, for its tests: four healthy endpoints, one request of 1,024
// tokens, and a check that every in-flight count is zero in the end.
#pragma once

#include <gtest/gtest.h>

#include <vector>

#include "core/picker/picker.h"
#include "core/picker/testing/pool.h"
#include "core/prefix/routed_history.h"
#include "core/scheduling/testing/table.h"

namespace fairlead::picker::testing {

class Recorder final : public DispatchRecorder {
 public:
  explicit Recorder(prefix::RoutedHistory& history) : history_(history) {}
  void record(std::uint32_t slot, std::span<const std::uint64_t> keys) override {
    history_.record(slot, keys);
  }

 private:
  prefix::RoutedHistory& history_;
};

class Sink final : public ObservationSink {
 public:
  void observe(const model::Observation& observation) override { seen.push_back(observation); }
  std::vector<model::Observation> seen;
};

class PickerTest : public ::testing::Test {
 protected:
  PickerTest() {
    const scheduling::Registry registry = scheduling::builtin_registry();
    profile.kind = scheduling::ScoreKind::kTokens;
    profile.scorers.push_back(
        {"cost", scheduling::testing::make(registry.scorer("externality-cost-scorer")), 1});
    profile.picker = scheduling::testing::make(registry.picker("max-score-picker"));
    request.model = "m";
    request.prompt_tokens = 1024;
    request.block_tokens = 256;
    request.keys = keys;
  }

  // Every part of every in-flight count is zero once all requests have ended.
  void TearDown() override {
    const fleet::InFlight left = inflight.total();
    EXPECT_EQ(left.requests, 0);
    EXPECT_EQ(left.uncached_tokens, 0);
    EXPECT_EQ(left.unstarted, 0);
    EXPECT_EQ(left.context_tokens, 0);
    EXPECT_EQ(picker.live(), 0U);
  }

  RequestId start(Action::Kind expected = Action::Kind::kForward) {
    outbox.clear();
    const RequestId id = picker.on_request(request, pool, profile, now, outbox);
    EXPECT_EQ(outbox.size(), 1U);
    EXPECT_EQ(outbox[0].kind, expected);
    return id;
  }

  const Action& fail(RequestId id, model::UpstreamFailure failure,
                     Replay replay = Replay::kPossible) {
    outbox.clear();
    picker.on_upstream_failed(id, failure, replay, request, pool, profile, now, outbox);
    EXPECT_EQ(outbox.size(), 1U);
    return outbox[0];
  }

  std::vector<std::uint64_t> keys = {11, 22, 33, 44};
  model::PoolSnapshot pool = healthy_pool(4);
  fleet::InFlightTable inflight;
  fleet::LoadTable load;
  fleet::PlacementLedger ledger;
  prefix::RoutedHistory history{1024, 1 << 20};
  Recorder recorder{history};
  Sink sink;
  scheduling::Profile profile;
  model::InferenceRequest request;
  Outbox outbox;
  Time now{std::chrono::seconds(100)};
  Picker picker{{{inflight, load, ledger, history}, recorder, sink}, {}, 1};
};

}  // namespace fairlead::picker::testing
