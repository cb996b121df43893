// SPDX-License-Identifier: Apache-2.0
#include "router/kv_listener_cells.h"

namespace fairlead::router {
namespace {

constexpr const char* kStreamsHelp =
    "Saved streams of KV events: gone on where they were, or learnt anew.";
constexpr const char* kToldBlocks = "fairlead_kv_event_blocks_total";
constexpr const char* kToldBlocksHelp = "Blocks in KV-cache events, by what was told of them.";
constexpr const char* kPassedOver = "fairlead_kv_event_passed_over_total";
constexpr const char* kPassedOverHelp = "KV-cache events that were not indexed, by why.";

}  // namespace

KvListenerCells::KvListenerCells(MetricRegistry& registry)
    : bytes(registry.gauge("fairlead_kv_index_bytes", "Memory of the KV index.")),
      blocks(registry.gauge("fairlead_kv_index_blocks", "Distinct blocks in the KV index.")),
      runs(registry.gauge("fairlead_kv_index_runs",
                          "Unbranched stretches of blocks in the KV index.")),
      orphans(registry.gauge("fairlead_kv_index_orphan_blocks",
                             "Stored blocks that wait for the one before them.")),
      stored(registry.counter("fairlead_kv_index_stored_blocks_total",
                              "Blocks that engines told they hold, each where it is held.")),
      removed(registry.counter("fairlead_kv_index_removed_blocks_total",
                               "Blocks that engines told they hold no more.")),
      forgotten(registry.counter("fairlead_kv_index_forgotten_blocks_total",
                                 "Held blocks given up for the index's budget.")),
      refused(registry.counter("fairlead_kv_index_refused_blocks_total",
                               "Blocks not taken for want of room.")),
      conflicts(registry.counter("fairlead_kv_index_conflicts_total",
                                 "Blocks whose hash stands for other content elsewhere.")),
      orphans_dropped(registry.counter("fairlead_kv_index_dropped_orphan_blocks_total",
                                       "Stored blocks whose wait for the one before them was given "
                                       "up, for want of room or because their cache is gone.")),
      unknown_placeholders(registry.counter("fairlead_kv_index_unknown_placeholder_blocks_total",
                                            "Blocks told by hash alone that nobody has stored.")),
      uncounted_copies(registry.counter("fairlead_kv_index_uncounted_copies_total",
                                        "Further copies of held blocks that were not counted.")),
      lookups_cut(registry.counter("fairlead_kv_lookups_cut_total",
                                   "Look-ups that gave up on a part of the index while it was "
                                   "being written.")),
      expected_dropped(registry.counter("fairlead_kv_expected_dropped_total",
                                        "Dispatches that were not counted as held before the "
                                        "engine told, for want of room.")),
      continued(registry.counter("fairlead_restart_streams_total", kStreamsHelp,
                                 {{"result", "continued"}})),
      not_continued(
          registry.counter("fairlead_restart_streams_total", kStreamsHelp, {{"result", "absent"}})),
      save_pause(registry.gauge("fairlead_restart_save_pause_seconds",
                                "Longest time that the last save kept KV events waiting at once.")),
      told_stored(registry.counter(kToldBlocks, kToldBlocksHelp, {{"kind", "stored"}})),
      told_removed(registry.counter(kToldBlocks, kToldBlocksHelp, {{"kind", "removed"}})),
      told_placeholders(registry.counter(kToldBlocks, kToldBlocksHelp, {{"kind", "placeholder"}})),
      told_again(registry.counter(kToldBlocks, kToldBlocksHelp, {{"kind", "announced_again"}})),
      clears(registry.counter("fairlead_kv_event_clears_total",
                              "Times that engines told that they cleared a cache.")),
      remote(registry.counter(kPassedOver, kPassedOverHelp, {{"reason", "remote"}})),
      other_group(registry.counter(kPassedOver, kPassedOverHelp, {{"reason", "other_group"}})),
      unknown_group(registry.counter(kPassedOver, kPassedOverHelp, {{"reason", "unknown_group"}})),
      unknown_medium(
          registry.counter(kPassedOver, kPassedOverHelp, {{"reason", "unknown_medium"}})),
      not_dense(registry.counter(kPassedOver, kPassedOverHelp, {{"reason", "not_dense"}})),
      salted(registry.counter(kPassedOver, kPassedOverHelp, {{"reason", "salted"}})),
      no_slot(registry.counter(kPassedOver, kPassedOverHelp, {{"reason", "no_slot"}})),
      unknown_kind(registry.counter(kPassedOver, kPassedOverHelp, {{"reason", "unknown_kind"}})) {}

void KvListenerCells::set(const prefix::KvFeedFigures& told) {
  told_stored.raise_to(told.stored_blocks);
  told_removed.raise_to(told.removed_blocks);
  told_placeholders.raise_to(told.placeholder_blocks);
  told_again.raise_to(told.announced_again);
  clears.raise_to(told.cleared);
  remote.raise_to(told.remote);
  other_group.raise_to(told.other_group);
  unknown_group.raise_to(told.unknown_group);
  unknown_medium.raise_to(told.unknown_medium);
  not_dense.raise_to(told.not_dense);
  salted.raise_to(told.salted);
  no_slot.raise_to(told.no_slot);
  unknown_kind.raise_to(told.unknown_events);
}

void KvListenerCells::set(const prefix::KvFigures& index) {
  blocks.set(static_cast<double>(index.blocks));
  runs.set(static_cast<double>(index.runs));
  orphans.set(static_cast<double>(index.orphan_blocks));
  stored.raise_to(index.stored);
  removed.raise_to(index.removed);
  forgotten.raise_to(index.forgotten);
  refused.raise_to(index.refused);
  conflicts.raise_to(index.conflicts);
  orphans_dropped.raise_to(index.orphans_dropped);
  unknown_placeholders.raise_to(index.unknown_holds);
  uncounted_copies.raise_to(index.copies_capped);
}

}  // namespace fairlead::router
