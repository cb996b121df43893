// SPDX-License-Identifier: Apache-2.0
// KvListenerCells: the metrics of a KvListener (docs/metrics-fleet.md). Errors: none. Threads: the
// listener's writes.
#pragma once

#include "base/metrics.h"
#include "core/prefix/kv_feed.h"
#include "core/prefix/kv_lane.h"

namespace fairlead::router {

struct KvListenerCells {
  explicit KvListenerCells(MetricRegistry& registry);

  // What engines told, all of them together.
  void set(const prefix::KvFeedFigures& told);
  // What the index made of it.
  void set(const prefix::KvFigures& index);

  Gauge& bytes;
  Gauge& blocks;
  Gauge& runs;
  Gauge& orphans;
  Counter& stored;
  Counter& removed;
  Counter& forgotten;
  Counter& refused;
  Counter& conflicts;
  Counter& orphans_dropped;
  Counter& unknown_placeholders;
  Counter& uncounted_copies;
  Counter& lookups_cut;
  Counter& expected_dropped;
  Counter& continued;
  Counter& not_continued;
  Gauge& save_pause;

  Counter& told_stored;
  Counter& told_removed;
  Counter& told_placeholders;
  Counter& told_again;
  Counter& clears;
  Counter& remote;
  Counter& other_group;
  Counter& unknown_group;
  Counter& unknown_medium;
  Counter& not_dense;
  Counter& salted;
  Counter& no_slot;
  Counter& unknown_kind;
};

}  // namespace fairlead::router
