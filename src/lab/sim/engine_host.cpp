// SPDX-License-Identifier: Apache-2.0
// The engine's faults, door and steps. engine_events.cpp has its KV events.
#include "lab/sim/engine_host.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/assert.h"

namespace fairlead::sim {
namespace {

constexpr std::size_t kCutsMax = 3;  // Of one text, so that it comes in one to four pieces.
constexpr double kFailingShare = 0.6;
constexpr double kBreakingShare = 0.6;
constexpr std::uint64_t kStranger = ~std::uint64_t{0};  // No flow's number.
// What a metric of a lying engine may reach.
constexpr double kLieMax = 500;
constexpr double kFirstStart = 1e9;  // As a process tells it, in seconds; the next one's is later.

// Of its cache. The smaller ones hold little more than one prompt: blocks go and come again in one
// step, and sequences are preempted.
constexpr std::int64_t kCacheBlocks[] = {40, 64, 128, 320};

engine::EngineProfile small_engine(std::uint64_t seed) {
  engine::EngineProfile profile;
  profile.name = "small";
  profile.model = "m";
  profile.kv_tokens = kBlockTokens * kCacheBlocks[seed % std::size(kCacheBlocks)];
  profile.block_size = kBlockTokens;
  profile.max_batched_tokens = 1024;
  profile.max_num_seqs = 16;
  profile.max_model_len = kBlockTokens * kCacheBlocks[0];
  profile.step_floor_s = 0.010;
  profile.per_token_s = 43e-6;
  profile.kv_read_s = 46e-9;
  profile.per_sequence_s = 20e-6;
  profile.host_overhead_s = 0.004;
  return profile;
}

}  // namespace

EngineHost::EngineHost(Agenda& agenda, Ledger& ledger, std::uint32_t number, std::uint32_t routers,
                       std::uint64_t seed)
    : agenda_(agenda),
      ledger_(ledger),
      number_(number),
      random_(mix64(seed + number)),
      model_(small_engine(seed), seed),
      wires_(2 * std::size_t{routers}) {
  model_.log_cache_to(&log_);
}

void EngineHost::begin(const Fault& fault) {
  const Time until = agenda_.now() + fault.lasts;
  switch (fault.kind) {
    case FaultKind::kCrash:
      return crash(fault.lasts);
    case FaultKind::kStall:
      return stand_still(fault.lasts);
    case FaultKind::kPartition:
      for (WireId wire = 0; wire < wires_.size(); ++wire) {
        cut_wire(wire, fault.lasts);
      }
      return;
    case FaultKind::kCutWire:
      if (fault.cut != CutWires::kProxys) cut_wire(wire_of_router(fault.router), fault.lasts);
      if (fault.cut != CutWires::kRouters) cut_wire(wire_of_proxy(fault.router), fault.lasts);
      return;
    case FaultKind::kSlowMetrics:
      slow_until_ = std::max(slow_until_, until);
      slow_by_ = from_seconds(0.05 + 3 * random_.uniform());
      return;
    case FaultKind::kLyingMetrics:
      lying_until_ = std::max(lying_until_, until);
      return;
    case FaultKind::kFailing:
      failing_until_ = std::max(failing_until_, until);
      return;
    case FaultKind::kBreaking:
      breaking_until_ = std::max(breaking_until_, until);
      return;
    case FaultKind::kClearedCache:
      return clear_cache();
    case FaultKind::kLostEvents:
      losing_until_ = std::max(losing_until_, until);
      return;
    case FaultKind::kReorderedEvents:
      reordering_until_ = std::max(reordering_until_, until);
      disturbed_until_ = std::max(disturbed_until_, until);
      return;
    default:
      return;  // The router's.
  }
}

void EngineHost::note_unreachable(WireId wire) {
  if (reachable(wire)) wires_[wire].unreachable_since = agenda_.now();
}

void EngineHost::note_unreachable() {
  for (WireId wire = 0; wire < wires_.size(); ++wire) note_unreachable(wire);
}

Time EngineHost::serves_since(WireId wire) const {
  if (!reachable(wire)) return Time::max();
  const Wire& mine = wires_[wire];
  return std::max({started_at_, stalled_until_, mine.cut_until, mine.failed_at});
}

void EngineHost::crash(Duration length) {
  if (down_) return;
  note_unreachable();
  down_ = true;
  ++lives_;
  stalled_until_ = agenda_.now();
  asleep_.clear();
  acting_ = false;
  model_.reset();
  log_.clear();
  kept_.clear();
  copies_.clear();
  for (auto& [id, flow] : flows_) {
    flow.submitted = false;  // The model has forgotten it.
    reset_flow(id);
  }
  disturbed_until_ = std::max(disturbed_until_, agenda_.now() + length);
  for (Subscriber& subscriber : subscribers_) unlink(subscriber);
  agenda_.after(length, [this] { start(); });
}

void EngineHost::start() {
  down_ = false;
  started_at_ = agenda_.now();
  for (Subscriber& subscriber : subscribers_) link_later(subscriber);
}

void EngineHost::stand_still(Duration length) {
  if (down_) return;
  note_unreachable();
  stalled_until_ = std::max(stalled_until_, agenda_.now() + length);
  disturbed_until_ = std::max(disturbed_until_, stalled_until_);
  agenda_.at(stalled_until_, [this] { wake(); });
}

void EngineHost::wake() {
  if (stalled()) return;
  std::deque<Task> asleep = std::exchange(asleep_, {});
  for (const Task& task : asleep) task();
}

void EngineHost::cut_wire(WireId wire, Duration length) {
  Wire& mine = wires_[wire];
  note_unreachable(wire);
  mine.cut_until = std::max(mine.cut_until, agenda_.now() + length);
  for (Subscriber& subscriber : subscribers_) {
    if (subscriber.caller.wire == wire) unlink(subscriber);
  }
  agenda_.at(mine.cut_until, [this, wire] { heal_wire(wire); });
}

void EngineHost::heal_wire(WireId wire) {
  if (is_cut(wire)) return;
  for (Task& task : std::exchange(wires_[wire].held_back, {})) {
    agenda_.after(kWire, std::move(task));
  }
  for (Subscriber& subscriber : subscribers_) {
    if (subscriber.caller.wire == wire) link_later(subscriber);
  }
}

void EngineHost::open(FlowId id, const Prompt& prompt, FlowSink& sink, const Caller& caller) {
  flows_[id] = {.sink = &sink, .caller = caller, .prompt = &prompt};
  agenda_.after(kWire, [this, id] { arrive(id); });
}

void EngineHost::arrive(FlowId id) {
  const auto found = flows_.find(id);
  if (found == flows_.end()) return;
  if (is_cut(found->second.caller.wire)) return;  // A lost SYN: whoever waits gives up.
  if (down_) return refuse(id);
  deliver(id, [](FlowSink& sink) { sink.on_connected(); });
  if (!stalled()) return submit(id);
  asleep_.push_back([this, id] { submit(id); });
}

void EngineHost::refuse(FlowId id) {
  finish_flow(id, [](FlowSink& sink) { sink.on_flow_failed(FlowSink::Failure::kRefused); });
}

void EngineHost::submit(FlowId id) {
  const auto found = flows_.find(id);
  if (found == flows_.end()) return;
  Flow& flow = found->second;
  if (lasts(failing_until_) && random_.uniform() < kFailingShare) {
    return answer_error(id, random_.below(4) == 0 ? 500 : 503);
  }
  if (lasts(breaking_until_) && random_.uniform() < kBreakingShare) {
    flow.breaks_after = 1 + static_cast<std::uint32_t>(random_.below(flow.prompt->output_tokens));
  }
  flow.sequence = compute(*flow.prompt, id);
  flow.submitted = true;
}

engine::SequenceId EngineHost::compute(const Prompt& prompt, std::uint64_t tag) {
  engine::Submission submission;
  submission.block_hashes = prompt.hashes;
  submission.prompt_tokens = prompt.prompt_tokens;
  submission.output_tokens = prompt.output_tokens;
  submission.output_seed = mix64(tag);
  submission.logged_blocks = prompt.token_keys.size();
  submission.content = prompt.content;
  submission.tag = tag;
  const auto sequence = model_.submit(std::move(submission), agenda_.now());
  FAIRLEAD_ASSERT(sequence.has_value());  // Prompts are drawn to fit.
  plan_step();
  return *sequence;
}

void EngineHost::serve_stranger(const Prompt& prompt) { compute(prompt, kStranger); }

void EngineHost::answer_error(FlowId id, int status) {
  wires_[flows_[id].caller.wire].failed_at = agenda_.now();
  SentAnswer& sent = ledger_.sent(id);
  sent.bytes = R"({"error":{"message":"no","code":)" + std::to_string(status) + "}}";
  sent.whole = true;
  deliver(id, [status](FlowSink& sink) { sink.on_head(status); });
  deliver(id, [bytes = sent.bytes](FlowSink& sink) { sink.on_piece(bytes); });
  finish_flow(id, [](FlowSink& sink) { sink.on_complete(); });
}

void EngineHost::close(FlowId id) {
  const auto found = flows_.find(id);
  if (found == flows_.end()) return;
  if (found->second.submitted) model_.abort(found->second.sequence);
  flows_.erase(found);
}

void EngineHost::give_up(FlowId id) {
  const auto found = flows_.find(id);
  if (found == flows_.end()) return;
  wires_[found->second.caller.wire].failed_at = agenda_.now();
  close(id);
}

void EngineHost::ask(WireId wire, Duration extra, Task answer, Task refused) {
  agenda_.after(kWire,
                [this, wire, extra, answer = std::move(answer), refused = std::move(refused)] {
                  if (is_cut(wire)) return;
                  if (down_) return agenda_.after(kWire, refused);
                  if (stalled()) {
                    asleep_.push_back([this, wire, extra, answer] { send(wire, extra, answer); });
                  } else {
                    send(wire, extra, answer);
                  }
                });
}

void EngineHost::send(WireId wire, Duration extra, Task task) {
  if (is_cut(wire)) {
    wires_[wire].held_back.push_back(std::move(task));
  } else {
    agenda_.after(kWire + extra, std::move(task));
  }
}

codec::EngineMetrics EngineHost::metrics() {
  codec::EngineMetrics metrics;
  const engine::EngineLoad load = model_.load();
  metrics.waiting = load.waiting;
  metrics.running = load.running;
  metrics.kv_usage = load.kv_usage;
  metrics.prefix_queries = static_cast<double>(model_.counters().prefix_queries);
  metrics.process_start_time = kFirstStart + lives_;
  if (lasts(lying_until_)) {
    metrics.waiting = kLieMax * random_.uniform();
    metrics.running = kLieMax * random_.uniform();
    metrics.kv_usage = random_.uniform();
  }
  return metrics;
}

std::uint32_t EngineHost::life_of(double started_at) {
  return static_cast<std::uint32_t>(started_at - kFirstStart);
}

Duration EngineHost::metrics_delay() const { return lasts(slow_until_) ? slow_by_ : Duration{}; }

void EngineHost::deliver(FlowId id, std::function<void(FlowSink&)> call) {
  const auto found = flows_.find(id);
  if (found == flows_.end()) return;
  const Caller& caller = found->second.caller;
  send(caller.wire, {}, caller.wrap([this, id, call = std::move(call)] {
    const auto open = flows_.find(id);
    if (open != flows_.end()) call(*open->second.sink);
  }));
}

// The flow is over once the opener has heard it.
void EngineHost::finish_flow(FlowId id, std::function<void(FlowSink&)> call) {
  const auto found = flows_.find(id);
  if (found == flows_.end()) return;
  Flow& flow = found->second;
  if (flow.submitted) model_.abort(flow.sequence);
  flow.submitted = false;
  send(flow.caller.wire, {}, flow.caller.wrap([this, id, call = std::move(call)] {
    const auto open = flows_.find(id);
    if (open == flows_.end()) return;
    FlowSink& sink = *open->second.sink;
    flows_.erase(open);
    call(sink);
  }));
}

void EngineHost::plan_step() {
  if (acting_ || down_ || model_.stepping()) return;
  const auto at = model_.next_step_at(agenda_.now());
  if (!at) return;
  acting_ = true;
  agenda_.at(*at, [this, life = lives_] {
    if (life == lives_) begin_step();
  });
}

void EngineHost::begin_step() {
  if (stalled()) {
    asleep_.push_back([this] { begin_step(); });
    return;
  }
  const auto plan = model_.begin_step(agenda_.now());
  publish();
  if (!plan) {
    acting_ = false;
    return plan_step();
  }
  agenda_.after(plan->duration, [this, life = lives_] {
    if (life == lives_) finish_step();
  });
}

void EngineHost::finish_step() {
  if (stalled()) {
    asleep_.push_back([this] { finish_step(); });
    return;
  }
  tokens_.clear();
  model_.finish_step(tokens_);
  acting_ = false;
  for (const engine::TokenEvent& token : std::exchange(tokens_, {})) emit(token);
  plan_step();
}

void EngineHost::emit(const engine::TokenEvent& token) {
  if (token.tag == kStranger) return;
  const auto id = static_cast<FlowId>(token.tag);
  const auto found = flows_.find(id);
  if (found == flows_.end() || !found->second.submitted) return;
  if (token.finished) found->second.submitted = false;
  SentAnswer& sent = ledger_.sent(id);
  if (token.output_tokens == 1) {
    sent.cached_tokens = token.cached_tokens;
    deliver(id, [](FlowSink& sink) { sink.on_head(200); });
  }
  const std::uint32_t breaks = found->second.breaks_after;
  if (breaks != 0 && token.output_tokens >= breaks) return reset_flow(id);
  std::string text = fmt::format(
      "data: {{\"id\":\"cmpl-{}\",\"object\":\"text_completion\",\"choices\":[{{\"index\":0,"
      "\"text\":\"t{}\",\"finish_reason\":{}}}]}}\n\n",
      id, token.output_tokens, token.finished ? "\"length\"" : "null");
  if (token.finished) {
    text += fmt::format(
        "data: {{\"id\":\"cmpl-{}\",\"object\":\"text_completion\",\"choices\":[],\"usage\":{{"
        "\"prompt_tokens\":{},\"completion_tokens\":{},\"prompt_tokens_details\":"
        "{{\"cached_tokens\":{}}}}}}}\n\ndata: [DONE]\n\n",
        id, found->second.prompt->prompt_tokens, token.output_tokens, sent.cached_tokens);
    sent.output_tokens = token.output_tokens;
    sent.whole = true;
  }
  send_text(id, text);
  if (token.finished) finish_flow(id, [](FlowSink& sink) { sink.on_complete(); });
}

// In pieces cut anywhere.
void EngineHost::send_text(FlowId id, const std::string& text) {
  ledger_.sent(id).bytes += text;
  std::vector<std::size_t> cuts(random_.below(kCutsMax + 1));
  for (std::size_t& cut : cuts) cut = random_.below(text.size());
  cuts.push_back(text.size());
  std::ranges::sort(cuts);
  std::size_t from = 0;
  for (const std::size_t cut : cuts) {
    if (cut == from) continue;
    deliver(id, [piece = text.substr(from, cut - from)](FlowSink& sink) { sink.on_piece(piece); });
    from = cut;
  }
}

void EngineHost::reset_flow(FlowId id) {
  wires_[flows_[id].caller.wire].failed_at = agenda_.now();
  finish_flow(id, [](FlowSink& sink) { sink.on_flow_failed(FlowSink::Failure::kReset); });
}

}  // namespace fairlead::sim
