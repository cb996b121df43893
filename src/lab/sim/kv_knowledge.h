// SPDX-License-Identifier: Apache-2.0
// KvKnowledge: what one router process knows of engines' caches from their events: the production
// index, streams and feeds (core/prefix), over the simulated wire. What joins them in production,
// router::KvListener and fleet::KvSubscriber, stands on sockets and threads; the few lines of it
// that matter are written again here, in the same order.
//
// Checked: a stream that is trusted and has applied all that its engine published tells of every
// prompt exactly what the engine's cache holds; nothing that an engine told is forgotten unless the
// engine, its wire or its events were disturbed; held batches and replays stay within their bounds.
// Threads: thread-compatible.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "core/model/endpoint.h"
#include "core/picker/picker.h"
#include "core/prefix/event_stream.h"
#include "core/prefix/kv_expected.h"
#include "core/prefix/kv_feed.h"
#include "core/prefix/kv_index.h"
#include "core/prefix/kv_lane.h"
#include "core/prefix/told_rows.h"
#include "lab/sim/engine_host.h"
#include "lab/sim/ledger.h"
#include "lab/sim/router_loop.h"

namespace fairlead::sim {

class KvFollower;

class KvKnowledge final : public picker::ExpectedBlocks {
 public:
  // All but the engines are the world's, and outlive this.
  KvKnowledge(RouterLoop& loop, const Agenda& agenda, Ledger& ledger);
  ~KvKnowledge() override;
  KvKnowledge(const KvKnowledge&) = delete;
  KvKnowledge& operator=(const KvKnowledge&) = delete;

  // Follows the endpoints of the pool; `engine_of` finds whose they are.
  void set_pool(const model::PoolSnapshot& pool,
                const std::function<EngineHost&(const model::Endpoint&)>& engine_of);
  void expect(model::EndpointRef endpoint, std::span<const std::uint64_t> keys, Time now) override;
  // Every so often: what was sent and is told by now, and what was retired.
  void tick();

  const prefix::ToldKnowledge& rows() const { return rows_; }
  void check(const Prompt& prompt);
  // Every endpoint is trusted and equal to its engine's cache again.
  void check_healed(std::span<const Prompt> prompts);

 private:
  friend class KvFollower;

  void replay_ended();
  void wake_waiting();

  RouterLoop& loop_;
  const Agenda& agenda_;
  Ledger& ledger_;
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
};

}  // namespace fairlead::sim
