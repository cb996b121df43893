// SPDX-License-Identifier: Apache-2.0
// Replica: one router of the world: the production picker with tables, history or index of its own.
// It knows what it sent itself, what it was told of engines' load, and, when it listens, of their
// caches; of the other replicas what these figures tell, and, where they tell each other, what they
// sent where.
// Threads: thread-compatible.
#pragma once

#include <cstdint>
#include <memory>

#include "core/picker/picker.h"
#include "core/prefix/routed_history.h"
#include "lab/world/prepared_workload.h"
#include "lab/world/told_caches.h"
#include "lab/world/world.h"

namespace fairlead::world {

// An engine's figures on their way to a router.
struct EngineFigures {
  codec::EngineMetrics metrics;
  fleet::OwnLoad own;  // The router's, when it asked.
};

class Replica {
 public:
  // All must outlive it.
  Replica(const PreparedWorkload& prepared, const scheduling::Profile& policy,
          const WorldSettings& settings, const model::PoolSnapshot& pool, std::uint64_t seed);
  Replica(const Replica&) = delete;
  Replica& operator=(const Replica&) = delete;

  // Decides where the request goes, or whether it waits here. When it is forwarded, it has left.
  picker::Action send(std::uint32_t request, Time now);
  // Lets those who wait take their turns: who got a place, or a refusal, and what. Due every
  // picker::kTurnPeriod while any wait.
  struct Bound {
    std::uint32_t request;
    picker::Action action;
  };
  std::span<const Bound> take_turns(Time now);
  std::size_t waiting() const { return picker_.waiting(); }
  // `cached` are the prompt tokens that the engine had.
  void first_token(picker::RequestId id, std::uint64_t cached, Time now);
  void end(picker::RequestId id, model::Outcome outcome, Time now) {
    picker_.on_end(id, outcome, now);
  }
  // What it has there itself, when it asks for the engine's figures; and these when they come.
  fleet::OwnLoad own_load(std::uint32_t engine) const { return {inflight_, engine}; }
  void take_load(std::uint32_t engine, const EngineFigures& figures, Time now);
  // Only when it listens.
  void take_events(std::uint32_t engine, const engine::CacheLog& log) { told_->apply(engine, log); }

  // Another router sent this request to the engine.
  void take_placement(std::uint32_t request, std::uint32_t engine) {
    history_.record(engine, prepared_.keys(request).router);
  }

  RouterResult result() const;

 private:
  class Recorder final : public picker::DispatchRecorder {
   public:
    explicit Recorder(prefix::RoutedHistory& history) : history_(&history) {}
    void record(std::uint32_t slot, std::span<const std::uint64_t> keys) override {
      history_->record(slot, keys);
    }

   private:
    prefix::RoutedHistory* history_;
  };
  // Nothing fails in this world, so nobody needs to hear of it.
  class NoObservations final : public picker::ObservationSink {
   public:
    void observe(const model::Observation&) override {}
  };

  picker::Ports ports();
  model::InferenceRequest facts(std::uint32_t request) const;
  void dispatch(const picker::Action& action, const model::InferenceRequest& request, Time now);

  const PreparedWorkload& prepared_;
  const scheduling::Profile& policy_;
  const WorldSettings& settings_;
  const model::PoolSnapshot& pool_;
  fleet::InFlightTable inflight_;
  fleet::LoadTable load_;
  std::vector<fleet::OthersMeter> others_;  // An engine each.
  fleet::PlacementLedger ledger_;
  fleet::SpeedTable speeds_;
  fleet::SeenBlocks seen_;
  prefix::RoutedHistory history_;
  std::unique_ptr<ToldCaches> told_;  // Null: it does not listen.
  Recorder recorder_{history_};
  NoObservations observations_;
  picker::Picker picker_;
  picker::Outbox outbox_;
  std::vector<std::uint32_t> request_of_;  // By RequestId::index.
  std::vector<Bound> bound_;
  std::uint64_t predicted_tokens_ = 0;
  std::uint64_t misjudged_tokens_ = 0;
  float others_most_ = 0;
};

}  // namespace fairlead::world
