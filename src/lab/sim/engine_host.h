// SPDX-License-Identifier: Apache-2.0
// EngineHost: one simulated engine with its front door, its wire and its publisher of KV events,
// and all that can go wrong with them. The engine is the laboratory's model (lab/engine/model); the
// bytes of its answers and of its batches of events are those that engines write.
//
//   opener ─ kWire ─▶ open()  ─▶ model ─ tokens ─ kWire ─▶ FlowSink, through the opener's own loop
//   ask()  ─ kWire ─▶ probe, scrape, models, replay ─ kWire ─▶ answer
//   model's cache log ─▶ batches ─ kWire ─▶ KvListenerPort
//
// Each router has a wire of its own, and the proxy beside it another one. While it is cut, what was
// on its way waits, as TCP has it, but for KV events, whose connection is found dead. Threads:
// thread-compatible.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "core/codec/kv_events_writer.h"
#include "core/codec/vllm_metrics.h"
#include "lab/engine/model/engine_model.h"
#include "lab/sim/agenda.h"
#include "lab/sim/fault.h"
#include "lab/sim/ledger.h"
#include "lab/sim/prompts.h"

namespace fairlead::sim {

inline constexpr Duration kWire = std::chrono::microseconds(250);  // One way.

// Whoever opened a flow. None is called within open() or close(), nor behind the flow's end.
class FlowSink {
 public:
  virtual void on_connected() = 0;
  virtual void on_head(int status) = 0;
  virtual void on_piece(std::string_view bytes) = 0;
  virtual void on_complete() = 0;
  enum class Failure : std::uint8_t { kRefused, kReset };
  virtual void on_flow_failed(Failure failure) = 0;

 protected:
  ~FlowSink() = default;
};

class KvListenerPort {
 public:
  virtual void on_linked() = 0;
  virtual void on_unlinked() = 0;
  virtual void on_batch(std::uint64_t sequence, std::string_view payload) = 0;

 protected:
  ~KvListenerPort() = default;
};

using WireId = std::uint32_t;
constexpr WireId wire_of_router(std::uint32_t router) { return 2 * router; }
constexpr WireId wire_of_proxy(std::uint32_t router) { return 2 * router + 1; }

// Who asks something of an engine.
struct Caller {
  WireId wire = 0;
  // How tasks reach its loop, and are dropped when they are nobody's any more.
  std::function<Task(Task)> wrap;
};

class EngineHost {
 public:
  EngineHost(Agenda& agenda, Ledger& ledger, std::uint32_t number, std::uint32_t routers,
             std::uint64_t seed);

  void begin(const Fault& fault);

  // `sink` lives until the flow's end or close(); its calls go through the caller's `wrap`.
  void open(FlowId flow, const Prompt& prompt, FlowSink& sink, const Caller& caller);
  void close(FlowId flow);
  // Closes one that the caller has waited for too long.
  void give_up(FlowId flow);
  // A request that came past the router.
  void serve_stranger(const Prompt& prompt);

  // Exactly one of the two, or neither where nothing gets through.
  void ask(WireId wire, Duration extra, Task answer, Task refused);
  codec::EngineMetrics metrics();
  Duration metrics_delay() const;

  // `port` hears its batches from here on, until it stops.
  void listen(KvListenerPort& port, const Caller& caller);
  void stop_listening(const KvListenerPort& port);
  // All that is kept from `from` on: `each` for every batch, then `end`.
  void replay(std::uint64_t from, std::function<void(std::uint64_t, std::string_view)> each,
              Task end, const Caller& caller);

  std::uint32_t number() const { return number_; }
  bool reachable(WireId wire) const { return !down_ && !stalled() && !is_cut(wire); }
  // Since when, while it is not.
  Time unreachable_since(WireId wire) const { return wires_[wire].unreachable_since; }
  // Since when it gives all that is asked over the wire, in time; in the future while it does not.
  Time serves_since(WireId wire) const;
  // When the last fault that KV events can feel there was over; in the future while one lasts.
  Time disturbed_until(WireId wire) const {
    return std::max(disturbed_until_, wires_[wire].cut_until);
  }
  // Since when nothing hinders the listener from knowing all: what got lost is missed when the next
  // batch comes, before which this is in the future.
  Time can_tell_since(const KvListenerPort& port) const;
  // How much was published when the connection last stood; 0: it never did.
  std::uint64_t published_before(const KvListenerPort& port) const;
  std::uint64_t published() const { return kept_.size(); }
  std::uint32_t lives() const { return lives_; }
  // In which it was that told of such a start.
  static std::uint32_t life_of(double started_at);
  std::size_t cached_blocks(const Prompt& prompt) const {
    return model_.cached_blocks(std::span(*prompt.hashes).first(prompt.token_keys.size()));
  }
  // Of every block of prompts that it holds.
  void list_cached(std::vector<std::uint64_t>& hashes) const { model_.list_logged(hashes); }
  // How often it held a block at the same time, at most, since its cache was empty.
  std::uint32_t copies_of(std::uint64_t hash) const;

 private:
  struct Flow {
    FlowSink* sink = nullptr;
    Caller caller;
    const Prompt* prompt = nullptr;
    engine::SequenceId sequence{};
    bool submitted = false;
    std::uint32_t breaks_after = 0;  // Tokens; 0: it does not.
  };

  struct Subscriber {
    KvListenerPort* port = nullptr;
    Caller caller;
    std::uint64_t number = 0;
    std::uint64_t link = 0;  // Its connection, or the next one.
    bool linked = false;
    bool hears = false;
    std::uint64_t published_before = 0;
    bool misses = false;  // A batch got lost, and none came since.
    Time can_tell_since{};
  };
  struct Wire {
    Time cut_until{};
    Time unreachable_since{};
    Time failed_at{};            // When a request of it last did.
    std::deque<Task> held_back;  // What waits for the end of a cut.
  };
  struct Copies {
    std::uint32_t now = 0;
    std::uint32_t most = 0;
  };

  bool stalled() const { return agenda_.now() < stalled_until_; }
  bool is_cut(WireId wire) const { return agenda_.now() < wires_[wire].cut_until; }
  bool lasts(Time until) const { return agenda_.now() < until; }
  void note_unreachable(WireId wire);
  void note_unreachable();
  void crash(Duration length);
  void start();
  void stand_still(Duration length);
  void wake();
  void cut_wire(WireId wire, Duration length);
  void heal_wire(WireId wire);
  void clear_cache();

  void arrive(FlowId id);
  void refuse(FlowId id);
  void submit(FlowId id);
  engine::SequenceId compute(const Prompt& prompt, std::uint64_t tag);
  void answer_error(FlowId id, int status);
  void emit(const engine::TokenEvent& token);
  void send_text(FlowId id, const std::string& text);
  void reset_flow(FlowId id);
  void send(WireId wire, Duration extra, Task task);
  // To the flow's sink, as long as the flow is open.
  void deliver(FlowId id, std::function<void(FlowSink&)> call);
  void finish_flow(FlowId id, std::function<void(FlowSink&)> call);

  void plan_step();
  void begin_step();
  void finish_step();
  void publish();
  void add_event(const engine::CacheChange& change);
  void count_copies(const engine::CacheChange& change);
  void send(Subscriber& subscriber, std::uint64_t sequence);
  void send_batch(const Subscriber& subscriber, std::uint64_t sequence, Duration extra);
  Subscriber* linked(std::uint64_t link);
  void tell_link(const Subscriber& subscriber, void (KvListenerPort::*what)());
  void link_later(Subscriber& subscriber);
  void unlink(Subscriber& subscriber);

  Agenda& agenda_;
  Ledger& ledger_;
  std::uint32_t number_;
  Random random_;
  engine::EngineModel model_;
  engine::CacheLog log_;
  std::map<FlowId, Flow> flows_;
  std::uint32_t lives_ = 0;  // Processes before this one.
  bool down_ = false;
  bool acting_ = false;  // A step is planned or under way.
  Time stalled_until_{};
  Time started_at_{};
  Time slow_until_{};
  Duration slow_by_{};
  Time lying_until_{};
  Time failing_until_{};
  Time breaking_until_{};
  Time losing_until_{};
  Time reordering_until_{};
  Time disturbed_until_{};
  std::vector<Wire> wires_;  // By WireId.
  std::deque<Task> asleep_;  // What waits for the end of a stall.
  std::vector<engine::TokenEvent> tokens_;

  codec::KvEventsWriter writer_{codec::KvEncoding::kMaps};
  std::vector<std::string> kept_;           // All batches of this process.
  std::map<std::uint64_t, Copies> copies_;  // By hash.
  std::vector<Subscriber> subscribers_;
  // So far: they tell one from the next.
  std::uint64_t subscriptions_ = 0;
  std::uint64_t links_ = 0;
};

}  // namespace fairlead::sim
