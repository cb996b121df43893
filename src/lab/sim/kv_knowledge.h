// SPDX-License-Identifier: Apache-2.0
// KvKnowledge: what one router process knows of engines' caches from their events: the production
// index, streams and feeds (core/prefix), over the simulated wire. What joins them in production,
// router::KvListener and fleet::KvSubscriber, stands on sockets and threads; the few lines of it
// that matter are written again here, in the same order.
//
// Checked: a stream that is trusted and has applied all that its engine published tells of every
// prompt exactly what the engine's cache holds, and holds the same blocks, those that no prompt
// leads to included; it is so again no later than kHealsIn after whatever disturbed it, and what
// that lasted; nothing that an engine told is forgotten unless the engine, its wire or its events
// were disturbed; held batches and replays stay within their bounds; what an engine told is
// forgotten once it was away for longer than that is kept, and what was saved, once it was not
// found for so long after a restart. What was known before a restart is not believed before the
// publisher has shown that it is the same one, and then tells of no block that is gone; it may miss
// blocks of which the engine had copies, which are not saved. Threads: thread-compatible.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "core/model/endpoint.h"
#include "core/picker/picker.h"
#include "core/prefix/event_stream.h"
#include "core/prefix/kv_expected.h"
#include "core/prefix/kv_feed.h"
#include "core/prefix/kv_index.h"
#include "core/prefix/kv_lane.h"
#include "core/prefix/kv_saved.h"
#include "core/prefix/told_rows.h"
#include "lab/sim/disk.h"
#include "lab/sim/engine_host.h"
#include "lab/sim/ledger.h"
#include "lab/sim/router_loop.h"

namespace fairlead::sim {

// From the end of what disturbs a stream until the index equals the cache again. What could not be
// had is asked for again at intervals that double, so the time that it took already comes on top.
inline constexpr Duration kHealsIn = std::chrono::seconds(2);

class KvFollower;

// What another process knew of an engine that is not found yet.
struct Resumable {
  std::uint32_t engine = 0;
  prefix::KvSavedPublisher known;
  std::uint32_t life = 0;  // Of the engine, which told it.
};

class KvKnowledge final : public picker::ExpectedBlocks {
 public:
  // All but the engines are the world's, and outlive this.
  KvKnowledge(WireId wire, RouterLoop& loop, const Agenda& agenda, Ledger& ledger,
              const PromptBlocks& blocks);
  ~KvKnowledge() override;
  KvKnowledge(const KvKnowledge&) = delete;
  KvKnowledge& operator=(const KvKnowledge&) = delete;

  // Follows the endpoints of the pool; `engine_of` finds whose they are.
  void set_pool(const model::PoolSnapshot& pool,
                const std::function<EngineHost&(const model::Endpoint&)>& engine_of);
  void expect(model::EndpointRef endpoint, std::span<const std::uint64_t> keys, Time now) override;
  // Before anything else. Who is not found by `until` is forgotten.
  void restore(const codec::RestartImage& image, const SavedLives& lives, Time until);
  // A save, in slices until one returns false. The index's domains, for the file's head.
  prefix::KvDomain begin_save();
  bool save_slice(codec::RestartWriter& writer);
  SavedLives finish_save(codec::RestartWriter& writer);
  void break_off_save();

  // Every so often: what was sent and is told by now, and what was retired.
  void tick();

  const prefix::ToldKnowledge& rows() const { return rows_; }
  void check(const Prompt& prompt);
  // Every endpoint is trusted and equal to its engine's cache again.
  void check_healed(std::span<const Prompt> prompts);

 private:
  friend class KvFollower;
  using Held = std::pair<prefix::KvSlot, std::uint64_t>;  // A block, by its key.
  static constexpr std::uint32_t kEndpointsMax = 64;

  // Where a stream was when a save began.
  struct SavedPlace {
    model::EndpointRef ref;
    std::uint64_t slots_version = 0;
    prefix::SavedStream stream;
    std::uint32_t life = 0;
  };

  std::optional<Resumable> take_resumable(const EngineHost& engine);
  void drop_resumable();
  void replay_ended();
  void wake_waiting();
  // kv_blocks.cpp
  void list_held();
  void check_blocks();
  void check_blocks(const KvFollower& follower);
  void check_depth(const KvFollower& follower, const Prompt& prompt, std::size_t told);
  bool may_miss(const KvFollower& follower, const PromptBlocks::Block& block) const;
  bool is_somebodys(prefix::KvSlot slot) const;

  Caller caller() const {
    return {wire_, [&loop = loop_](Task task) { return loop.wrap(std::move(task)); }};
  }

  WireId wire_;
  RouterLoop& loop_;
  const Agenda& agenda_;
  Ledger& ledger_;
  const PromptBlocks& blocks_;
  prefix::TokenKeys keys_;
  prefix::KvLane lane_;
  prefix::KvFeedContext context_;
  const prefix::KvLane* lanes_[1];
  prefix::KvIndex index_;
  prefix::ToldRows rows_;
  prefix::KvExpected expected_;
  prefix::ReplayLimit replays_left_;
  std::deque<std::uint32_t> waiting_;  // Slots of endpoints whose replay waits for another's end.
  std::map<std::uint32_t, std::unique_ptr<KvFollower>> followers_;  // By the endpoint's slot.
  std::vector<prefix::KvDepth> depths_;
  std::vector<Held> held_;
  bool to_check_ = false;  // Somebody has healed.
  std::vector<Resumable> resumable_;
  Time resumable_until_{};
  bool saving_ = false;
  prefix::KvDomain saved_domains_ = 0;
  std::vector<SavedPlace> places_;
};

}  // namespace fairlead::sim
