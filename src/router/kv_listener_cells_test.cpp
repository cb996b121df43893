// SPDX-License-Identifier: Apache-2.0
#include "router/kv_listener_cells.h"

#include <gtest/gtest.h>

#include <string>

namespace fairlead::router {
namespace {

class KvListenerCellsTest : public ::testing::Test {
 protected:
  bool shows(const std::string& line) const {
    return registry_.expose().find("\nfairlead_kv_" + line + "\n") != std::string::npos;
  }

  MetricRegistry registry_;
  KvListenerCells cells_{registry_};
};

TEST_F(KvListenerCellsTest, WhatWasToldIsShownByKindAndReason) {
  cells_.set(prefix::KvFeedFigures{.stored_blocks = 1,
                                   .removed_blocks = 2,
                                   .placeholder_blocks = 3,
                                   .announced_again = 4,
                                   .cleared = 5,
                                   .unknown_events = 6,
                                   .remote = 7,
                                   .other_group = 8,
                                   .unknown_group = 9,
                                   .unknown_medium = 10,
                                   .not_dense = 11,
                                   .salted = 12,
                                   .no_slot = 13});
  for (const char* line :
       {"event_blocks_total{kind=\"stored\"} 1", "event_blocks_total{kind=\"removed\"} 2",
        "event_blocks_total{kind=\"placeholder\"} 3",
        "event_blocks_total{kind=\"announced_again\"} 4", "event_clears_total 5",
        "event_passed_over_total{reason=\"unknown_kind\"} 6",
        "event_passed_over_total{reason=\"remote\"} 7",
        "event_passed_over_total{reason=\"other_group\"} 8",
        "event_passed_over_total{reason=\"unknown_group\"} 9",
        "event_passed_over_total{reason=\"unknown_medium\"} 10",
        "event_passed_over_total{reason=\"not_dense\"} 11",
        "event_passed_over_total{reason=\"salted\"} 12",
        "event_passed_over_total{reason=\"no_slot\"} 13"}) {
    EXPECT_TRUE(shows(line)) << line;
  }
}

TEST_F(KvListenerCellsTest, WhatTheIndexCouldNotKeepIsShown) {
  prefix::KvFigures figures;
  figures.orphans_dropped = 1;
  figures.unknown_holds = 2;
  figures.copies_capped = 3;
  cells_.set(figures);
  EXPECT_TRUE(shows("index_dropped_orphan_blocks_total 1"));
  EXPECT_TRUE(shows("index_unknown_placeholder_blocks_total 2"));
  EXPECT_TRUE(shows("index_uncounted_copies_total 3"));
}

}  // namespace
}  // namespace fairlead::router
