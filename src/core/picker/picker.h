// SPDX-License-Identifier: Apache-2.0
// Picker: the lifecycle of requests over facts. Every front drives the same one: it reports what
// happened, the picker answers with actions in an outbox, addressed by request id because one
// request's end may wake another.
//
//   on_request ─▶ Forward ─▶ on_dispatched ─▶ on_first_token ─▶ on_end
//              │          └▶ on_upstream_failed ─▶ Forward to another, or Reply ─▶ on_end
//              ├▶ Reply ─▶ on_end
//              └▶ Wait ─ on_tick ─▶ Turn ─▶ on_turn ─▶ Forward, Reply, or it waits on
//
// Who waits is bound late: requests for which no endpoint has room stand in one band, first come,
// first served, until one has, or until their patience ends; then they are placed as if there were
// no band. Newcomers stand behind those who wait.
// Every on_request is answered by exactly one on_end, whatever happens. The picker keeps no pointer
// into the caller's values after a call returns. It holds the request's in-flight share, so the
// accounting is exact after any failure.
// Thread-compatible: one per worker. Time is an argument; chance comes from its seed.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/random.h"
#include "base/time.h"
#include "core/admission/waiting_band.h"
#include "core/fleet/inflight_table.h"
#include "core/model/endpoint.h"
#include "core/model/request.h"
#include "core/picker/candidate_builder.h"
#include "core/picker/retry_budget.h"
#include "core/scheduling/profile.h"

namespace fairlead::picker {

struct Limits {
  std::uint32_t max_attempts = 3;  // The first try included; at most kMaxAttempts.
  double retry_ratio = 0.2;        // Retries per request.
  double retries_per_second = 10;  // On top of the ratio, per worker.
  // How long this worker avoids an endpoint that just failed it, before control has spoken.
  Duration failure_mask = std::chrono::seconds(1);
  admission::BandLimits waiting{};  // Of this worker; by default nobody waits.
};

inline constexpr std::uint32_t kMaxAttempts = 8;
// How often on_tick() is due while requests wait: a fraction of an engine's step.
inline constexpr Duration kTurnPeriod = std::chrono::milliseconds(5);

struct RequestId {
  std::uint32_t index = 0;
  std::uint32_t generation = 0;
  friend bool operator==(const RequestId&, const RequestId&) = default;
};

struct Action {
  enum class Kind : std::uint8_t {
    kForward,  // Send the request to `endpoint`.
    kReply,    // Answer the client for `reason`; Retry-After where it is above zero.
    kWait,     // Keep the request; its turn comes.
    kTurn,     // Call on_turn().
  };
  RequestId request;
  Kind kind = Kind::kReply;
  model::EndpointRef endpoint;
  model::ReplyReason reason = model::ReplyReason::kNone;
  Duration retry_after{};
};

using Outbox = std::vector<Action>;

// Why a request that waited was placed.
enum class WaitEnd : std::uint8_t {
  kNone,  // It did not wait.
  kRoom,
  kPatience,
  kFull,  // It did not wait because too many did.
};
inline constexpr std::size_t kWaitEndCount = 4;
std::string_view to_string(WaitEnd end);

// The last decision made for a request, for the access log and explain.
struct Decision {
  model::EndpointRef endpoint;
  scheduling::Reason reason = scheduling::Reason::kOnlyCandidate;
  float total = 0;
  float runner_up = 0;
  std::uint32_t candidates = 0;
  std::uint64_t prompt_tokens = 0;
  std::uint64_t cached_tokens = 0;  // Predicted.
  std::uint32_t attempts = 0;
  Duration waited{};  // For an endpoint with room.
  WaitEnd wait_end = WaitEnd::kNone;
  // Where a proxy should turn when the endpoint fails it, in this order; the picker itself decides
  // anew when it is told of a failure.
  std::array<model::EndpointRef, scheduling::kMaxFallbacks> fallbacks{};
  std::uint32_t fallback_count = 0;
  // Images and the like, where the policy asks who has them: all, and those expected to be cached.
  std::uint32_t media = 0;
  std::uint32_t media_cached = 0;
};

// Whether a failed try left the client untouched, so that another endpoint may be asked.
enum class Replay : std::uint8_t { kPossible, kImpossible };

class ObservationSink {
 public:
  virtual ~ObservationSink() = default;
  virtual void observe(const model::Observation& observation) = 0;
};

// Where dispatched prompts are written down, after the request has left.
class DispatchRecorder {
 public:
  virtual ~DispatchRecorder() = default;
  virtual void record(std::uint32_t slot, std::span<const std::uint64_t> keys) = 0;
};

// What one decision saw and what came of it; valid during the call.
struct DecisionNote {
  const model::InferenceRequest& request;
  const scheduling::Profile& profile;
  const scheduling::Candidates& table;  // No rows when the pool had no candidate.
  std::span<const Excluded> excluded;
  const Random& chance;  // As it was before the filters.
  const Decision& decision;
  model::ReplyReason reply;  // Why nobody was chosen; kNone: somebody was.
  Time at;
};

// Where decisions are kept for whoever asks why.
class DecisionSink {
 public:
  virtual ~DecisionSink() = default;
  virtual void note(const DecisionNote& note) = 0;
};

// Told of every dispatch of a tokenized prompt, by its token keys: the endpoint will hold it soon,
// and say so later.
class ExpectedBlocks {
 public:
  virtual ~ExpectedBlocks() = default;
  virtual void expect(model::EndpointRef endpoint, std::span<const std::uint64_t> keys,
                      Time now) = 0;
};

// The endpoints that one decision rated: rows of `table` that the filters left, and the totals of
// each, higher is better. Views, valid until the next decision.
struct Rated {
  const scheduling::Candidates& table;
  std::span<const std::uint32_t> rows;
  std::span<const float> totals;
};

struct Ports {
  SharedState shared;
  DispatchRecorder& recorder;
  ObservationSink& observations;
  DecisionSink* decisions = nullptr;  // Null: nobody asks.
  // Where media are written down, each as a prompt of one key, when they are placed and the profile
  // asks where they are. Null: nowhere.
  DispatchRecorder* media = nullptr;
  ExpectedBlocks* expected = nullptr;        // Null: nobody wants to know.
  scheduling::PluginWatch* watch = nullptr;  // Null: nobody measures plugins.
};

struct Counters {
  std::uint64_t requests = 0;
  std::uint64_t retries = 0;
  std::uint64_t retry_budget_exhausted = 0;
};

class Picker {
 public:
  Picker(Ports ports, Limits limits, std::uint64_t seed);

  RequestId on_request(const model::InferenceRequest& request, const model::PoolSnapshot& pool,
                       const scheduling::Profile& profile, Time now, Outbox& outbox);
  // Asks the one that has waited longest; due every kTurnPeriod while waiting() is not 0.
  void on_tick(Outbox& outbox) const;
  // The answer to Turn: decides like on_request(), and where that gives a place, the next one has
  // its turn. No action: it waits on.
  void on_turn(RequestId id, const model::InferenceRequest& request,
               const model::PoolSnapshot& pool, const scheduling::Profile& profile, Time now,
               Outbox& outbox);
  std::size_t waiting() const { return band_.size(); }
  // The request's last byte was handed to the endpoint's connection.
  void on_dispatched(RequestId id, const model::InferenceRequest& request, Time now);
  // A proxy brought it to one of its fall-backs: the in-flight share and the prompt's history are
  // there from here on, and those asked before it have failed.
  void on_served(RequestId id, model::EndpointRef endpoint, const model::InferenceRequest& request,
                 Time now);
  // `generated`: when an answer's first token came; nothing: prefill is over without one, as where
  // the answer is an error.
  void on_first_token(RequestId id, std::optional<Time> generated);
  void on_upstream_failed(RequestId id, model::UpstreamFailure failure, Replay replay,
                          const model::InferenceRequest& request, const model::PoolSnapshot& pool,
                          const scheduling::Profile& profile, Time now, Outbox& outbox);
  // The id is dead from here on.
  void on_end(RequestId id, model::Outcome outcome, Time now);

  // For the decisions from here on.
  void set_limits(const Limits& limits);
  const Decision& decision(RequestId id) const;
  // Of the request that was decided last, which must be this one.
  Rated rated(RequestId id) const;
  const Counters& counters() const { return counters_; }
  std::size_t live() const { return states_.size() - free_.size(); }

 private:
  struct State {
    std::uint32_t generation = 0;
    bool live = false;
    fleet::InFlightShare share;
    Decision decision;
    std::uint32_t tried[kMaxAttempts] = {};
    // Of the present try: when it was sent, where a first token would tell how fast the endpoint
    // is, and the prompt tokens that it had to compute.
    std::optional<Time> sent;
    float computed = 0;
  };

  State& state(RequestId id);
  const State& state(RequestId id) const;
  RequestId allocate();
  void decide(RequestId id, const model::InferenceRequest& request, const model::PoolSnapshot& pool,
              const scheduling::Profile& profile, Time now, Outbox& outbox);
  WaitEnd wait(RequestId id, Time now, Outbox& outbox);
  bool stand_in_line(RequestId id, Time now, Outbox& outbox);
  void take_share(State& mine, model::EndpointRef endpoint, float uncached_tokens,
                  const model::InferenceRequest& request, const scheduling::Profile& profile);
  void refuse(RequestId id, const model::InferenceRequest& request,
              const scheduling::Profile& profile, const Random& chance, model::ReplyReason reason,
              Time now, Outbox& outbox);
  void reply(RequestId id, model::ReplyReason reason, Outbox& outbox) const;
  void note(const model::InferenceRequest& request, const scheduling::Profile& profile,
            const Random& chance, const Decision& decision, model::ReplyReason reply, Time now);
  void record(model::EndpointRef endpoint, const model::InferenceRequest& request, Time now);
  void blame(model::EndpointRef endpoint, model::UpstreamFailure failure, Time now);
  void mask(std::uint32_t slot, Time until);

  Ports ports_;
  Limits limits_;
  RetryBudget budget_;
  admission::WaitingBand band_;
  Random random_;
  CandidateBuilder builder_;
  scheduling::Runner runner_;
  std::vector<State> states_;
  std::vector<std::uint32_t> free_;
  std::vector<Time> masked_until_;  // By slot.
  Counters counters_;
  RequestId decided_;  // The last one.
};

}  // namespace fairlead::picker
