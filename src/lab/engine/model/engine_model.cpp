// SPDX-License-Identifier: Apache-2.0
#include "lab/engine/model/engine_model.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/assert.h"

namespace fairlead::engine {
namespace {

std::uint32_t block_count(const EngineProfile& profile) {
  FAIRLEAD_ASSERT(validate(profile).has_value());
  return static_cast<std::uint32_t>(profile.kv_tokens / profile.block_size);
}

}  // namespace

EngineModel::EngineModel(EngineProfile profile, std::uint64_t seed)
    : profile_(std::move(profile)), seed_(seed), random_(seed), pool_(block_count(profile_)) {}

Result<SequenceId> EngineModel::submit(Submission submission, Time now) {
  if (submission.prompt_tokens < 1 || submission.output_tokens < 1) {
    return fail(ErrorCode::kInvalidArgument,
                "a request needs at least 1 prompt token and 1 output token, not {} and {}",
                submission.prompt_tokens, submission.output_tokens);
  }
  const std::int64_t room = profile_.max_model_len - submission.prompt_tokens;
  if (submission.output_tokens > room) {
    return fail(ErrorCode::kInvalidArgument,
                "{} prompt tokens and {} output tokens exceed the model's context of {} tokens",
                submission.prompt_tokens, submission.output_tokens, profile_.max_model_len);
  }
  if (dead_slots_.empty()) {
    dead_slots_.push_back(static_cast<std::uint32_t>(sequences_.size()));
    sequences_.emplace_back().generation = 1;
  }
  const std::uint32_t slot = dead_slots_.back();
  dead_slots_.pop_back();
  Sequence& sequence = sequences_[slot];
  sequence.known = submission.prompt_tokens;
  sequence.last = submission.prompt_tokens + submission.output_tokens;
  const BlockHashes* hashes = submission.block_hashes.get();
  const std::uint64_t parent = hashes == nullptr || hashes->empty() ? 0 : hashes->back();
  sequence.output_anchor = mix64(parent ^ mix64(submission.output_seed));
  sequence.ready = now + from_seconds(profile_.host_overhead_s);
  FAIRLEAD_ASSERT(!stepping_ || !stretched_ || sequence.ready > last_begin_);
  sequence.cached_tokens = 0;
  sequence.admitted_before = false;
  if (adapters_.size() <= submission.adapter) adapters_.resize(submission.adapter + 1);
  sequence.submission = std::move(submission);
  sequence.stage = Stage::kArriving;
  arriving_.push_back(slot);
  return id_of(slot);
}

void EngineModel::abort(SequenceId id) {
  Sequence* sequence = find(id);
  if (sequence == nullptr) return;
  const std::uint32_t slot = slot_of(id);
  switch (sequence->stage) {
    case Stage::kArriving:
      arriving_.erase(std::find(arriving_.begin(), arriving_.end(), slot));
      break;
    case Stage::kWaiting:
      waiting_.erase(std::find(waiting_.begin(), waiting_.end(), slot));
      break;
    case Stage::kRunning:
      if (stepping_) {
        move_to(*sequence, Stage::kAborted);
        return;
      }
      running_.erase(std::find(running_.begin(), running_.end(), slot));
      break;
    case Stage::kAborted:
    case Stage::kDead:
      return;
  }
  bury(slot);
}

std::optional<Time> EngineModel::next_step_at(Time now) const {
  if (!running_.empty() || !waiting_.empty()) return now;
  if (arriving_.empty()) return std::nullopt;
  return std::max(now, sequences_[arriving_.front()].ready);
}

std::optional<StepPlan> EngineModel::begin_step(Time now) {
  FAIRLEAD_ASSERT(!stepping_);
  admit_arrivals(now);
  if (running_.empty() && waiting_.empty()) return std::nullopt;
  StepPlan plan;
  alike_ = std::numeric_limits<std::int64_t>::max();
  attention_work_ = 0;
  decode_context_ = 0;
  std::int64_t budget = profile_.max_batched_tokens;
  schedule_running(plan, budget);
  if (plan.preempted == 0) schedule_waiting(plan, budget, now);
  FAIRLEAD_ASSERT(plan.sequences > 0);
  plan.duration = step_duration(plan);
  last_begin_ = now;
  stretched_ = false;
  stepping_ = true;
  ++counters_.steps;
  return plan;
}

std::optional<StepPlan> EngineModel::begin_stretch(Time now, Time horizon) {
  std::optional<StepPlan> plan = begin_step(now);
  if (!plan || alike_ <= 1 || !waiting_.empty() || plan->decode_tokens != running_.size()) {
    return plan;
  }
  if (!arriving_.empty()) horizon = std::min(horizon, sequences_[arriving_.front()].ready);
  std::int64_t steps = 1;
  for (; steps < alike_ && now + plan->duration < horizon; ++steps) {
    decode_context_ += static_cast<double>(plan->sequences);
    last_begin_ = now + plan->duration;
    plan->duration += step_duration(*plan);
  }
  if (steps == 1) return plan;
  for (const std::uint32_t slot : running_) {
    sequences_[slot].known += steps - 1;
    sequences_[slot].scheduled = steps;
  }
  stretched_ = true;
  counters_.steps += static_cast<std::uint64_t>(steps - 1);
  counters_.generation_tokens += static_cast<std::uint64_t>(steps - 1) * running_.size();
  plan->steps = static_cast<std::uint32_t>(steps);
  return plan;
}

void EngineModel::finish_step(std::vector<TokenEvent>& events) {
  FAIRLEAD_ASSERT(stepping_);
  stepping_ = false;
  std::size_t kept = 0;
  for (const std::uint32_t slot : running_) {
    Sequence& sequence = sequences_[slot];
    if (sequence.stage == Stage::kAborted) {
      bury(slot);
      continue;
    }
    sequence.computed += sequence.scheduled;
    const bool sampled = sequence.scheduled > 0 && sequence.computed == sequence.known;
    sequence.scheduled = 0;
    if (sampled) {
      ++sequence.known;
      const std::int64_t prompt = sequence.submission.prompt_tokens;
      const std::int64_t emitted = sequence.known - prompt;
      const bool finished = sequence.known == sequence.last;
      if (emitted == 1) {
        ++counters_.first_tokens;
        counters_.prompt_tokens += static_cast<std::uint64_t>(prompt);
      }
      ++counters_.generation_tokens;
      events.push_back({.id = id_of(slot),
                        .tag = sequence.submission.tag,
                        .first_scheduled = sequence.first_scheduled,
                        .output_tokens = static_cast<std::uint32_t>(emitted),
                        .cached_tokens = sequence.cached_tokens,
                        .finished = finished});
      if (finished) {
        ++counters_.finished;
        bury(slot);
        continue;
      }
    }
    running_[kept++] = slot;
  }
  running_.resize(kept);
}

bool EngineModel::idle() const {
  return !stepping_ && running_.empty() && waiting_.empty() && arriving_.empty();
}

EngineLoad EngineModel::load() const {
  return {.running = static_cast<std::uint32_t>(running_.size()),
          .waiting = static_cast<std::uint32_t>(waiting_.size()),
          .kv_usage = static_cast<double>(pool_.size() - pool_.free()) / pool_.size()};
}

std::size_t EngineModel::cached_blocks(std::span<const std::uint64_t> block_hashes) const {
  std::size_t count = 0;
  while (count < block_hashes.size() && pool_.find(block_hashes[count]) != BlockPool::kNone) {
    ++count;
  }
  return count;
}

void EngineModel::reset() {
  for (std::uint32_t slot = 0; slot < sequences_.size(); ++slot) {
    if (sequences_[slot].stage != Stage::kDead) bury(slot);
  }
  arriving_.clear();
  waiting_.clear();
  running_.clear();
  adapters_.clear();
  pool_ = BlockPool(pool_.size());
  pool_.log_to(log_);
  random_ = Random(seed_);
  counters_ = {};
  stepping_ = false;
}

bool EngineModel::reset_prefix_cache() {
  if (pool_.free() != pool_.size()) return false;
  pool_.forget_all();
  return true;
}

void EngineModel::log_cache_to(CacheLog* log) {
  log_ = log;
  pool_.log_to(log);
}

EngineModel::Sequence* EngineModel::find(SequenceId id) {
  const std::uint32_t slot = slot_of(id);
  if (slot >= sequences_.size() || id != id_of(slot)) return nullptr;
  return &sequences_[slot];
}

SequenceId EngineModel::id_of(std::uint32_t slot) const {
  return SequenceId{(std::uint64_t{sequences_[slot].generation} << 32) | slot};
}

// Keeps the adapters' counts; every change of stage goes through here, but for the first.
void EngineModel::move_to(Sequence& sequence, Stage stage) {
  AdapterLoad& adapter = adapters_[sequence.submission.adapter];
  const bool base = sequence.submission.adapter == 0;
  if (sequence.stage == Stage::kWaiting) --adapter.waiting;
  if (sequence.stage == Stage::kRunning && --adapter.running == 0 && !base) --running_adapters_;
  if (stage == Stage::kWaiting) ++adapter.waiting;
  if (stage == Stage::kRunning && adapter.running++ == 0 && !base) ++running_adapters_;
  sequence.stage = stage;
}

std::uint64_t EngineModel::block_hash(const Sequence& sequence, std::size_t index) const {
  const BlockHashes* hashes = sequence.submission.block_hashes.get();
  if (hashes != nullptr && index < hashes->size()) return (*hashes)[index];
  // Chained in effect: the anchor stands for everything before, the index for the position.
  return mix64(sequence.output_anchor + index);
}

void EngineModel::admit_arrivals(Time now) {
  const bool planned = profile_.async_scheduling && !(running_.empty() && waiting_.empty());
  const Time until = planned ? last_begin_ : now;
  while (!arriving_.empty() && sequences_[arriving_.front()].ready <= until) {
    move_to(sequences_[arriving_.front()], Stage::kWaiting);
    waiting_.push_back(arriving_.front());
    arriving_.pop_front();
  }
}

void EngineModel::schedule_running(StepPlan& plan, std::int64_t& budget) {
  for (std::size_t at = 0; at < running_.size() && budget > 0; ++at) {
    Sequence& sequence = sequences_[running_[at]];
    const std::int64_t chunk = std::min(sequence.known - sequence.computed, budget);
    while (!extend(sequence, sequence.computed + chunk)) {
      ++plan.preempted;
      preempt(running_.back());
      if (at == running_.size()) return;  // It was its own victim.
    }
    schedule(sequence, chunk, plan);
    budget -= chunk;
  }
}

void EngineModel::schedule_waiting(StepPlan& plan, std::int64_t& budget, Time now) {
  const auto limit = static_cast<std::size_t>(profile_.max_num_seqs);
  std::size_t at = 0;
  while (at < waiting_.size() && budget > 0 && running_.size() < limit) {
    const std::uint32_t slot = waiting_[at];
    Sequence& sequence = sequences_[slot];
    if (!adapter_fits(sequence)) {
      ++at;
      continue;
    }
    const std::int64_t chunk = admit(sequence, budget);
    if (chunk == 0) return;
    if (!sequence.admitted_before) {
      sequence.admitted_before = true;
      sequence.first_scheduled = now;
      sequence.cached_tokens = static_cast<std::uint32_t>(sequence.computed);
      counters_.prefix_queries += static_cast<std::uint64_t>(sequence.known);
      counters_.prefix_hits += static_cast<std::uint64_t>(sequence.computed);
    }
    waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(at));
    running_.push_back(slot);
    move_to(sequence, Stage::kRunning);
    schedule(sequence, chunk, plan);
    budget -= chunk;
  }
}

bool EngineModel::adapter_fits(const Sequence& sequence) const {
  const std::uint32_t adapter = sequence.submission.adapter;
  return adapter == 0 || adapters_[adapter].running > 0 || running_adapters_ < profile_.max_loras;
}

// Takes the cached prefix and the blocks of the first chunk, and returns the chunk; 0 when there
// are too few free blocks. Only the first chunk must fit, as in vLLM.
std::int64_t EngineModel::admit(Sequence& sequence, std::int64_t budget) {
  if (pool_.free() == 0) return 0;  // The last token is always recomputed: one block at least.
  const auto block_size = static_cast<std::size_t>(profile_.block_size);
  const std::size_t whole = static_cast<std::size_t>(sequence.known - 1) / block_size;
  std::uint32_t revived = 0;
  sequence.blocks.clear();
  while (sequence.blocks.size() < whole) {
    const std::uint32_t block = pool_.find(block_hash(sequence, sequence.blocks.size()));
    if (block == BlockPool::kNone) break;
    if (!pool_.held(block)) ++revived;
    sequence.blocks.push_back(block);
  }
  const auto cached = static_cast<std::int64_t>(sequence.blocks.size() * block_size);
  const std::int64_t chunk = std::min(sequence.known - cached, budget);
  const std::int64_t fresh = (chunk + profile_.block_size - 1) / profile_.block_size;
  if (fresh + revived > pool_.free()) {
    sequence.blocks.clear();
    return 0;
  }
  for (const std::uint32_t block : sequence.blocks) pool_.hold(block);
  sequence.computed = cached;
  sequence.allocated = cached;
  sequence.hashed = cached;
  extend(sequence, cached + chunk);
  return chunk;
}

// Gives the sequence blocks for this many tokens; all of them or none, with false.
bool EngineModel::extend(Sequence& sequence, std::int64_t tokens) {
  if (tokens <= sequence.allocated) return true;
  const std::int64_t missing =
      (tokens - sequence.allocated + profile_.block_size - 1) / profile_.block_size;
  if (missing > pool_.free()) return false;
  for (std::int64_t i = 0; i < missing; ++i) sequence.blocks.push_back(pool_.allocate());
  sequence.allocated += missing * profile_.block_size;
  return true;
}

void EngineModel::schedule(Sequence& sequence, std::int64_t chunk, StepPlan& plan) {
  sequence.scheduled = chunk;
  ++plan.sequences;
  const auto context = static_cast<double>(sequence.computed);
  if (chunk == 1 && sequence.known > sequence.submission.prompt_tokens) {
    ++plan.decode_tokens;
    decode_context_ += context + 1;
    const std::int64_t room =
        std::min(sequence.allocated, sequence.hashed + profile_.block_size - 1);
    alike_ = std::min({alike_, sequence.last - sequence.known, room - sequence.computed});
  } else {
    plan.prefill_tokens += static_cast<std::uint32_t>(chunk);
    const auto tokens = static_cast<double>(chunk);
    attention_work_ += tokens * (context + tokens / 2);
  }
  // A block can be hit from the moment it is scheduled to be filled, as in vLLM: whoever hits it
  // is computed in the same step or later.
  const auto first = static_cast<std::size_t>(sequence.hashed / profile_.block_size);
  while (sequence.hashed + profile_.block_size <= sequence.computed + chunk) {
    const auto index = static_cast<std::size_t>(sequence.hashed / profile_.block_size);
    pool_.publish(sequence.blocks[index], block_hash(sequence, index));
    sequence.hashed += profile_.block_size;
  }
  announce(sequence, first, static_cast<std::size_t>(sequence.hashed / profile_.block_size));
}

// Blocks [first, end) of the sequence, as far as they are to be written to the log.
void EngineModel::announce(const Sequence& sequence, std::size_t first, std::size_t end) {
  end = std::min(end, sequence.submission.logged_blocks);
  if (log_ == nullptr || first >= end) return;
  CacheChange change{.kind = CacheChange::Kind::kStored,
                     .content = sequence.submission.content,
                     .first_block = first};
  if (first > 0) change.parent = block_hash(sequence, first - 1);
  for (std::size_t i = first; i < end; ++i) {
    change.hashes.push_back(block_hash(sequence, i));
    pool_.announce(sequence.blocks[i]);
  }
  log_->push_back(std::move(change));
}

void EngineModel::preempt(std::uint32_t slot) {
  Sequence& sequence = sequences_[slot];
  release(sequence);
  running_.pop_back();
  move_to(sequence, Stage::kWaiting);
  waiting_.push_front(slot);
  ++counters_.preemptions;
}

void EngineModel::release(Sequence& sequence) {
  pool_.release_tail_first(sequence.blocks);
  sequence.blocks.clear();
  sequence.computed = 0;
  sequence.scheduled = 0;
  sequence.allocated = 0;
  sequence.hashed = 0;
}

void EngineModel::bury(std::uint32_t slot) {
  Sequence& sequence = sequences_[slot];
  release(sequence);
  move_to(sequence, Stage::kDead);
  sequence.submission.block_hashes.reset();
  sequence.submission.content.reset();
  ++sequence.generation;
  dead_slots_.push_back(slot);
}

Duration EngineModel::step_duration(const StepPlan& plan) {
  const double tokens = static_cast<double>(plan.prefill_tokens) + plan.decode_tokens;
  double seconds = std::max(profile_.step_floor_s, profile_.per_token_s * tokens) +
                   profile_.attention_s * attention_work_ + profile_.kv_read_s * decode_context_ +
                   profile_.per_sequence_s * plan.sequences;
  if (profile_.noise_sigma > 0) {
    const double sigma = profile_.noise_sigma;
    seconds *= std::exp(sigma * random_.normal() - sigma * sigma / 2);
  }
  return from_seconds(seconds);
}

}  // namespace fairlead::engine
