// SPDX-License-Identifier: Apache-2.0
// KvListener: listens to the KV-cache events of all endpoints and keeps the index of what each of
// them holds, on a thread and an event loop of its own; workers ask it beside that thread.
//
//   pool ──▶ set_pool() ──▶ a subscription for each endpoint and data-parallel rank
//                             └▶ EventStream ▶ KvFeed ▶ KvLane      (this thread alone writes)
//   workers ──▶ expect()  ──▶ what was sent a moment ago, until it is told or its time is over
//   workers ◀── knowledge() ◀── KvIndex, ToldRows
//
// Where an endpoint publishes follows from the settings; its labels say otherwise:
//   fairlead/kv-events: tcp://10.0.0.1:5557    fairlead/kv-replay: tcp://10.0.0.1:5558
//   fairlead/kv-ranks: "2"                     so many ports, one after the other
// Errors: an endpoint that cannot be subscribed to is told of in the log and has no trust; every
// other fault of a publisher is counted (fairlead_kv_*). Bounds: settings.budget_bytes, rows,
// streams, and what is expected.
// Threads: as each member says; start() and stop() from the creator's thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/handoff.h"
#include "base/log.h"
#include "base/metrics.h"
#include "core/model/endpoint.h"
#include "core/picker/picker.h"
#include "core/prefix/kv_expected.h"
#include "core/prefix/kv_feed.h"
#include "core/prefix/kv_index.h"
#include "core/prefix/kv_lane.h"
#include "core/prefix/kv_saved.h"
#include "core/prefix/token_keys.h"
#include "core/prefix/told_rows.h"
#include "core/scheduling/kv_event_settings.h"
#include "io/fleet/kv_subscriber.h"
#include "io/net/event_loop.h"
#include "io/net/steady_clock.h"
#include "router/engine_audits.h"
#include "router/kv_listener_cells.h"
#include "router/kv_save.h"

namespace fairlead::router {

class KvListener final : public picker::ExpectedBlocks {
 public:
  // Fails when the loop or ZeroMQ cannot be had, or the address to listen on is taken.
  static Result<std::unique_ptr<KvListener>> create(const scheduling::KvEventSettings& settings,
                                                    std::uint64_t seed, Log& log,
                                                    MetricRegistry& metrics, EngineAudits& audits);
  ~KvListener() override;
  KvListener(const KvListener&) = delete;
  KvListener& operator=(const KvListener&) = delete;

  void start();
  void stop();

  // Goes on from another process's index, before start(): its streams are resumed where the same
  // publishers are found in the pool, and are believed once these have shown that their numbering
  // goes on. The bytes behind `image` are not used afterwards. Its key seed must be this one's.
  void restore(const codec::RestartImage& image);
  // Any thread: writes the index and the places of its streams, in slices between events.
  void save(const std::shared_ptr<KvSave>& save);

  // Any thread. It is taken over at the next tick.
  void set_pool(std::shared_ptr<const model::PoolSnapshot> pool);
  // Any worker. Nothing unless the settings ask for it.
  void expect(model::EndpointRef endpoint, std::span<const std::uint64_t> keys, Time now) override;
  const prefix::ToldKnowledge& knowledge() const { return rows_; }
  prefix::Trust trust(std::uint32_t slot) const { return rows_.trust(slot); }
  const prefix::TokenKeys& keys() const { return keys_; }
  // Of the blocks that prompts are cut into: as configured until engines tell, then as most of
  // those have it that told; among equals, as the one that told first. Engines whose blocks differ
  // from it are not believed.
  const std::atomic<std::uint32_t>& block_tokens() const { return block_tokens_; }

  // For tests, before start() or after stop().
  net::EventLoop& loop() { return *loop_; }
  void take_pool(const model::PoolSnapshot& pool);
  // Tells of publishers at whose address nobody has answered for long.
  void check_links(Time now);
  // Gives up what was saved of publishers that did not come back in time.
  void check_resumable(Time now);

 private:
  class Publisher;
  struct Source;
  // A publisher of another process's index, until it is found in the pool.
  struct Resumable {
    std::string endpoint;
    fleet::KvPublisherAddress address;
    prefix::KvSavedPublisher known;
  };
  // Where a publisher was when a save began.
  struct SavedPlace {
    std::uint32_t source = 0;
    fleet::KvStreamId id{};
    std::uint64_t slots_version = 0;
    prefix::SavedStream stream;
  };
  struct Expected {
    model::EndpointRef endpoint;
    std::vector<std::uint64_t> keys;
    Time until{};
  };

  KvListener(const scheduling::KvEventSettings& settings, std::uint64_t seed, Log& log,
             MetricRegistry& metrics, EngineAudits& audits, std::unique_ptr<net::EventLoop> loop);
  std::size_t row_of(prefix::KvSlot slot) const { return index_.first_row(0) + slot; }
  std::vector<fleet::KvPublisherAddress> addresses_of(const model::Endpoint& endpoint) const;
  void add(const model::Endpoint& endpoint,
           const std::vector<fleet::KvPublisherAddress>& addresses);
  void remove(Source& source);
  void sync(Source& source);
  void set_trust(Source& source);
  void tick();
  void take_expected();
  void sweep();
  void publish_metrics();
  // kv_listener_checks.cpp
  // Whether it is another now.
  bool decide_block_size();
  void tell_block_size(const Source& source);
  void log_block_size();
  void tell_hashes(Source& source);
  // kv_listener_saved.cpp
  std::optional<Resumable> take_resumable(const std::string& endpoint,
                                          const fleet::KvPublisherAddress& address);
  void drop_resumable();
  void begin_save(std::shared_ptr<KvSave> save);
  void save_slice();
  void finish_save(KvSave::End end);
  void save_publisher(const SavedPlace& place);
  static codec::RestartPublisher to_save(const Resumable& one);

  scheduling::KvEventSettings settings_;
  Log& log_;
  EngineAudits& audits_;
  KvListenerCells cells_;
  prefix::TokenKeys keys_;
  prefix::KvLane lane_;
  prefix::KvFeedContext context_;
  const prefix::KvLane* lanes_[1];
  prefix::KvIndex index_;
  prefix::ToldRows rows_;
  prefix::KvExpected expected_;
  std::atomic<std::uint32_t> block_tokens_;
  std::uint32_t logged_block_tokens_;
  std::string block_size_of_;   // The endpoint that told of it first.
  std::uint64_t tellings_ = 0;  // Of sizes of blocks, so far.

  std::unique_ptr<net::EventLoop> loop_;
  std::unique_ptr<fleet::KvSubscriber> subscriber_;
  prefix::KvFeedFigures told_before_;                          // By publishers that are gone.
  std::map<std::uint32_t, std::unique_ptr<Source>> sources_;   // By endpoint slot.
  Handoff<std::shared_ptr<const model::PoolSnapshot>> pools_;  // The newest.
  std::vector<std::shared_ptr<const model::PoolSnapshot>> arrived_pools_;
  Handoff<Expected> inbox_;
  std::vector<Expected> arrived_;
  std::vector<prefix::KvSlot> device_slots_;  // Of an endpoint's ranks; scratch.
  std::vector<Resumable> resumable_;
  std::optional<Time> resumable_until_;
  std::shared_ptr<KvSave> save_;
  std::vector<SavedPlace> saved_places_;
  std::uint32_t saved_domains_ = 0;
  codec::RestartRun saved_run_;
  net::SteadyClock clock_;  // The loop's own stands still within a turn.
  double longest_pause_ = 0;
  net::Timer tick_;
  net::Timer publish_;
  std::thread thread_;
};

}  // namespace fairlead::router
