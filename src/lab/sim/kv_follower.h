// SPDX-License-Identifier: Apache-2.0
// KvFollower: one engine's stream of KV events within a KvKnowledge.
// Threads: thread-compatible.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "lab/sim/kv_knowledge.h"

namespace fairlead::sim {

class KvFollower final : public prefix::EventStreamSink, private KvListenerPort {
 public:
  KvFollower(KvKnowledge& owner, model::EndpointRef ref, EngineHost& engine,
             std::optional<Resumable> saved);
  ~KvFollower();
  KvFollower(const KvFollower&) = delete;
  KvFollower& operator=(const KvFollower&) = delete;

  prefix::BatchEffect apply(std::uint64_t sequence, std::string_view payload) override;
  void forget() override;
  void on_settled() override { sync_trust(); }

  model::EndpointRef ref() const { return ref_; }
  const EngineHost& engine() const { return engine_; }
  const prefix::EventStream& stream() const { return stream_; }
  std::uint64_t slots_version() const { return feed_.slots_version(); }
  std::uint32_t life() const { return life_; }
  prefix::KvSavedPublisher save(const prefix::SavedStream& begun) const {
    return prefix::save_publisher(feed_, begun, stream_.next_sequence());
  }
  // Whether some of what it knows is another process's, which did not keep copies.
  bool resumed() const { return resumed_; }
  // Whether all that the engine published is in the index, and believed.
  bool is_caught_up() const;
  // The device's slot; none before anything is stored.
  std::optional<prefix::KvSlot> slot() const { return feed_.slot(prefix::KvTier::kDevice); }
  // Every so often. True when it has caught up again after a while.
  bool note_healing();
  // Blocks of the prompt that the engine says it holds.
  std::size_t told(const Prompt& prompt);
  void check_away();
  void stop_waiting() { waiting_ = false; }
  void look();

 private:
  void on_linked() override;
  void on_unlinked() override;
  void on_batch(std::uint64_t sequence, std::string_view payload) override;
  void ask(std::uint64_t from);
  void end_replay();
  void sync_rows();
  void sync_trust();
  void check_bounds();

  KvKnowledge& owner_;
  model::EndpointRef ref_;
  EngineHost& engine_;
  prefix::KvFeed feed_;
  prefix::KvFeed::Slots slots_{};  // Whose rows are assigned.
  std::uint64_t slots_version_ = 0;
  prefix::EventStream stream_;
  bool connected_ = false;  // It was, once.
  // What the connection found: whose it is, and how much it had published.
  std::uint32_t link_life_ = 0;
  std::uint64_t before_link_ = 0;
  std::optional<Time> away_since_;  // Since when it knows of no connection.
  bool waiting_ = false;            // For a replay of others to end.
  std::uint64_t replays_ = 0;
  std::optional<std::uint64_t> replay_;  // The one under way, by its number.
  std::uint64_t looks_ = 0;              // Only the last timer counts.
  std::uint32_t life_;                   // Of the engine, when the first of what is known was told.
  bool told_any_ = false;
  bool resumed_ = false;
  bool unproved_ = false;  // Resumed, and no replay was answered since.
  Time born_;
  Time caught_up_;  // When it was seen so last; when it began.
};

}  // namespace fairlead::sim
