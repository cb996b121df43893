// SPDX-License-Identifier: Apache-2.0
// EngineModel: one simulated vLLM V1 engine, driven step by step; it knows no clock.
//
//   model.submit(submission, now);
//   while (auto at = model.next_step_at(now)) {   // Wait until *at, in virtual or real time.
//     auto plan = model.begin_step(*at);          // Then wait for plan->duration.
//     model.finish_step(events);                  // One event a token.
//   }
// A submission reaches the scheduler host_overhead_s after submit(): the overhead is inside the
// model, so a driver adds nothing to TTFT. Until then it is not counted as waiting, as in vLLM,
// where such a request is still with the API server.
//
// Scheduler: running sequences first, in order of admission, one token each or the next chunk of
// their prompt; when blocks run out the newest is preempted by recompute and goes to the front of
// the queue; then first come, first served admission within tokens, sequences and free blocks, but
// none in a step that preempted. With async_scheduling a step takes only those who had arrived when
// the step before it began, unless that left nothing to do; that its blocks and tokens are planned
// earlier, too, is left out. Step time: see profile.h. The same profile, seed and calls give the
// same steps. Thread-compatible. Source: vLLM V1's scheduler, KV cache manager and engine core.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/random.h"
#include "base/result.h"
#include "base/time.h"
#include "lab/engine/model/block_pool.h"
#include "lab/engine/model/profile.h"

namespace fairlead::engine {

// Names a submitted sequence; never reused. slot_of() is small and dense among living sequences,
// for a driver that keeps its own state in a vector.
enum class SequenceId : std::uint64_t {};
constexpr std::uint32_t slot_of(SequenceId id) { return static_cast<std::uint32_t>(id); }

using BlockHashes = std::vector<std::uint64_t>;

struct Submission {
  // Chained hashes of the leading full blocks (core/tokens): at least the prompt's; they may go on
  // into the output when its text is known beforehand, so that a next turn that repeats it hits.
  // Output blocks past the end get hashes from output_seed.
  std::shared_ptr<const BlockHashes> block_hashes{};
  std::int64_t prompt_tokens = 0;  // At least 1.
  std::int64_t output_tokens = 0;  // At least 1.
  std::uint64_t output_seed = 0;   // Identity of the output; give each sequence its own.
  // Leading blocks that are written to the log, and what its reader is to know of them.
  std::size_t logged_blocks = 0;
  std::shared_ptr<const SequenceContent> content{};
  std::uint32_t adapter = 0;  // LoRA adapter by the driver's numbering; 0 is the base model.
  std::uint64_t tag = 0;      // Returned in every event of the sequence.
};

// One output token.
struct TokenEvent {
  SequenceId id{};
  std::uint64_t tag = 0;
  Time first_scheduled{};           // When the sequence first entered a step.
  std::uint32_t output_tokens = 0;  // Emitted so far, this one included; 1 at the first.
  std::uint32_t cached_tokens = 0;  // Prompt tokens found in the cache at first admission.
  bool finished = false;            // The last token; the id is dead from here on.
};

struct StepPlan {
  Duration duration{};               // Of all steps together.
  std::uint32_t steps = 1;           // More from begin_stretch() alone.
  std::uint32_t sequences = 0;       // In the step, at least 1.
  std::uint32_t prefill_tokens = 0;  // Recomputed ones included.
  std::uint32_t decode_tokens = 0;
  std::uint32_t preempted = 0;
};

struct EngineLoad {
  std::uint32_t running = 0;
  std::uint32_t waiting = 0;
  double kv_usage = 0;  // Fraction of blocks that sequences hold.
};

// Since construction or reset().
struct EngineCounters {
  std::uint64_t first_tokens = 0;
  std::uint64_t prompt_tokens = 0;  // Counted at the first token.
  std::uint64_t generation_tokens = 0;
  std::uint64_t prefix_queries = 0;  // Tokens looked up at first admission.
  std::uint64_t prefix_hits = 0;     // Tokens found of those.
  std::uint64_t preemptions = 0;
  std::uint64_t finished = 0;
  std::uint64_t steps = 0;
};

struct AdapterLoad {
  std::uint32_t running = 0;
  std::uint32_t waiting = 0;
};

class EngineModel {
 public:
  // `profile` must pass validate(). `seed` drives the step noise only.
  EngineModel(EngineProfile profile, std::uint64_t seed);

  // Refuses what can never run: an empty prompt or output, or more tokens than max_model_len.
  [[nodiscard]] Result<SequenceId> submit(Submission submission, Time now);
  // Ends a sequence without further events; a dead id is ignored. During a step its blocks stay
  // held until finish_step().
  void abort(SequenceId id);

  // When begin_step() will find work: `now`, later, or never without another submit().
  // Not to be asked during a step.
  std::optional<Time> next_step_at(Time now) const;
  // Nothing when no sequence has reached the scheduler yet.
  std::optional<StepPlan> begin_step(Time now);
  // As begin_step(), and takes the steps after it with it that are sure to be like it: each gives
  // every running sequence one more token, neither first nor last, but for the last step, within
  // blocks that it has. They begin before `horizon`, and the caller submits nothing in between that
  // would reach the scheduler earlier. Steps, load() and the cache are those of single steps;
  // finish_step() ends them all, and only the last one's tokens are told.
  std::optional<StepPlan> begin_stretch(Time now, Time horizon);
  // Appends the step's tokens, in scheduling order.
  void finish_step(std::vector<TokenEvent>& events);

  bool stepping() const { return stepping_; }
  // No living sequence, and no step under way.
  bool idle() const;

  EngineLoad load() const;
  const EngineCounters& counters() const { return counters_; }
  // By adapter number, as far as seen.
  std::span<const AdapterLoad> adapters() const { return adapters_; }
  const EngineProfile& profile() const { return profile_; }

  // Where changes of the cache are written from here on, over resets too; null: nowhere.
  void log_cache_to(CacheLog* log);

  // How many leading blocks of a prompt the cache holds now.
  std::size_t cached_blocks(std::span<const std::uint64_t> block_hashes) const;
  // Appends the hashes of all blocks that whoever reads the log believes to be there; one that is
  // there twice is told twice.
  void list_logged(std::vector<std::uint64_t>& hashes) const { pool_.list_announced(hashes); }

  // As a restart: every sequence, block and counter is gone, a step under way too.
  void reset();
  // vLLM's rule: refused, with false, while any sequence holds blocks.
  bool reset_prefix_cache();

 private:
  enum class Stage : std::uint8_t { kDead, kArriving, kWaiting, kRunning, kAborted };

  struct Sequence {
    std::int64_t known = 0;      // Prompt and emitted output.
    std::int64_t computed = 0;   // With KV in the cache.
    std::int64_t scheduled = 0;  // To be computed in this step.
    std::int64_t allocated = 0;  // Tokens that its blocks can hold.
    std::int64_t hashed = 0;     // Tokens in blocks that others may hit.
    std::int64_t last = 0;       // `known` when finished.
    std::vector<std::uint32_t> blocks;
    Submission submission;
    std::uint64_t output_anchor = 0;
    Time ready{};
    Time first_scheduled{};
    std::uint32_t generation = 0;
    std::uint32_t cached_tokens = 0;
    Stage stage = Stage::kDead;
    bool admitted_before = false;
  };

  Sequence* find(SequenceId id);
  SequenceId id_of(std::uint32_t slot) const;
  void move_to(Sequence& sequence, Stage stage);
  std::uint64_t block_hash(const Sequence& sequence, std::size_t index) const;
  void admit_arrivals(Time now);
  void schedule_running(StepPlan& plan, std::int64_t& budget);
  void schedule_waiting(StepPlan& plan, std::int64_t& budget, Time now);
  bool adapter_fits(const Sequence& sequence) const;
  std::int64_t admit(Sequence& sequence, std::int64_t budget);
  bool extend(Sequence& sequence, std::int64_t tokens);
  void schedule(Sequence& sequence, std::int64_t chunk, StepPlan& plan);
  void announce(const Sequence& sequence, std::size_t first, std::size_t end);
  void preempt(std::uint32_t slot);
  void release(Sequence& sequence);
  void bury(std::uint32_t slot);
  Duration step_duration(const StepPlan& plan);

  EngineProfile profile_;
  std::uint64_t seed_;
  Random random_;
  BlockPool pool_;
  std::vector<Sequence> sequences_;
  std::vector<std::uint32_t> dead_slots_;
  std::deque<std::uint32_t> arriving_;  // Ascending in `ready`.
  std::deque<std::uint32_t> waiting_;
  std::vector<std::uint32_t> running_;
  std::vector<AdapterLoad> adapters_;
  std::int64_t running_adapters_ = 0;  // Different ones, the base model not counted.
  EngineCounters counters_;
  std::int64_t alike_ = 0;     // Steps that could be like the one planned, if it only decodes.
  double attention_work_ = 0;  // Of the step being planned: token x context token.
  double decode_context_ = 0;  // Context tokens read by its decodes.
  bool stepping_ = false;
  Time last_begin_ = Time::min();  // Of the last step.
  bool stretched_ = false;         // The last step is one of several.
  CacheLog* log_ = nullptr;
};

}  // namespace fairlead::engine
