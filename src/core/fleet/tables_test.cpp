// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "core/fleet/inflight_table.h"
#include "core/fleet/load_table.h"
#include "core/fleet/placement_ledger.h"
#include "core/fleet/traffic_table.h"

namespace fairlead::fleet {
namespace {

using model::EndpointRef;

TEST(InFlightTable, ThePartsOfAShareEndAtTheirOwnMoments) {
  InFlightTable table;
  InFlightShare share(table, EndpointRef{3, 1}, 500);
  EXPECT_EQ(table.read(3).requests, 1);
  EXPECT_EQ(table.read(3).uncached_tokens, 500);
  EXPECT_EQ(table.read(3).unstarted, 1);
  share.first_token();
  share.first_token();
  EXPECT_EQ(table.read(3).requests, 1);
  EXPECT_EQ(table.read(3).uncached_tokens, 0);
  EXPECT_EQ(table.read(3).unstarted, 0);
  EXPECT_TRUE(table.in_use(3));
  share.release();
  share.release();
  share.first_token();
  EXPECT_FALSE(table.in_use(3));
  EXPECT_FALSE(share.held());
}

TEST(InFlightTable, ContextLastsAsLongAsTheRequestAndGoesWhereItGoes) {
  InFlightTable table;
  EXPECT_EQ(InFlightShare(table, EndpointRef{1, 0}, 500).endpoint().slot, 1U);
  InFlightShare share(table, EndpointRef{3, 0}, 500, 900);
  EXPECT_EQ(table.read(3).context_tokens, 900);
  share.first_token();
  EXPECT_EQ(table.read(3).context_tokens, 900);
  share.rebind(EndpointRef{4, 0});
  EXPECT_EQ(table.read(3).context_tokens, 0);
  EXPECT_EQ(table.read(4).context_tokens, 900);
  EXPECT_EQ(table.total().context_tokens, 900);
  InFlightShare moved(std::move(share));
  moved.release();
  moved.release();
  EXPECT_EQ(table.total().context_tokens, 0);
}

TEST(InFlightTable, WhatWasSentOnlyGrows) {
  InFlightTable table;
  {
    InFlightShare share(table, EndpointRef{3, 0}, 500);
    EXPECT_EQ(table.sent(3).requests, 1U);
    EXPECT_EQ(table.sent(3).uncached_tokens, 500U);
    share.first_token();
    share.rebind(EndpointRef{4, 0});
    InFlightShare moved(std::move(share));
  }
  EXPECT_EQ(table.sent(3).requests, 1U);
  EXPECT_EQ(table.sent(3).uncached_tokens, 500U);
  EXPECT_EQ(table.sent(4).requests, 1U);
  EXPECT_EQ(table.sent(4).uncached_tokens, 0U);
}

TEST(InFlightTable, MovesAndDestructionKeepItExact) {
  InFlightTable table;
  {
    InFlightShare one(table, EndpointRef{0, 0}, 10);
    InFlightShare two(table, EndpointRef{1, 0}, 20);
    InFlightShare moved(std::move(one));
    EXPECT_FALSE(one.held());  // NOLINT(bugprone-use-after-move): moved-from holds nothing.
    EXPECT_EQ(table.total().requests, 2);
    moved = std::move(two);
    EXPECT_EQ(table.read(0).requests, 0) << "what it held before is released";
    EXPECT_EQ(table.read(1).uncached_tokens, 20);
    moved = InFlightShare(table, EndpointRef{2, 0}, 30);
    EXPECT_EQ(table.total().uncached_tokens, 30);
    InFlightShare& self = moved;
    moved = std::move(self);
    EXPECT_EQ(table.total().requests, 1);
  }
  EXPECT_EQ(table.total().requests, 0);
  EXPECT_EQ(table.total().uncached_tokens, 0);
  EXPECT_EQ(table.total().unstarted, 0);
}

TEST(LoadTable, ARowReadsBackAsWritten) {
  LoadTable table;
  EXPECT_EQ(table.read(model::kMaxEndpoints - 1).scraped_at, Time{});
  const Time now{std::chrono::seconds(7)};
  table.mark_stale(model::kMaxEndpoints - 1);
  table.write(model::kMaxEndpoints - 1, {1.5F, 2.0F, 0.75F, now});
  LoadRow row = table.read(model::kMaxEndpoints - 1);
  EXPECT_FALSE(row.stale);
  EXPECT_EQ(row.waiting, 1.5F);
  EXPECT_EQ(row.running, 2.0F);
  EXPECT_EQ(row.kv_usage, 0.75F);
  EXPECT_EQ(row.scraped_at, now);
  table.mark_stale(model::kMaxEndpoints - 1);
  row = table.read(model::kMaxEndpoints - 1);
  EXPECT_TRUE(row.stale);
  EXPECT_EQ(row.waiting, 1.5F) << "still what was said last";
  EXPECT_EQ(table.read(model::kMaxEndpoints - 2).waiting, 0.0F);
}

TEST(LoadTable, AdaptersAreKnownByHashAndCountedBeyondWhatIsKept) {
  using Where = AdapterFit::Where;
  LoadTable table;
  EXPECT_EQ(table.fit(3, adapter_hash("a")).where, Where::kNowhere);
  EXPECT_EQ(table.fit(3, adapter_hash("a")).room, 0.0F);
  AdapterRow row;
  row.active[0] = adapter_hash("a");
  row.active_count = 1;
  row.waiting[0] = adapter_hash("b");
  row.waiting_count = 1;
  row.max = 4;
  table.write(3, {}, row);
  EXPECT_EQ(table.fit(3, adapter_hash("a")).where, Where::kActive);
  EXPECT_EQ(table.fit(3, adapter_hash("b")).where, Where::kWaiting);
  EXPECT_EQ(table.fit(3, adapter_hash("c")).where, Where::kNowhere);
  EXPECT_EQ(table.fit(3, adapter_hash("c")).room, 2.0F);
  row.waiting_count = 40;
  table.write(3, {}, row);
  EXPECT_EQ(table.fit(3, adapter_hash("b")).room, -37.0F);
  table.write(3, {});
  EXPECT_EQ(table.fit(3, adapter_hash("a")).where, Where::kNowhere) << "a new row has none";
  EXPECT_EQ(table.fit(4, adapter_hash("a")).room, 0.0F);
}

TEST(PlacementLedger, ColdStampsAscendAndForgettingIsNever) {
  PlacementLedger ledger;
  EXPECT_EQ(ledger.last_cold(4), 0U);
  ledger.note_cold(4);
  ledger.note_cold(2);
  EXPECT_LT(ledger.last_cold(4), ledger.last_cold(2));
  ledger.forget(2);
  EXPECT_EQ(ledger.last_cold(2), 0U);
  EXPECT_EQ(ledger.placed(4), 0U);
  ledger.note_placed(4, 100);
  ledger.note_placed(4, 20);
  EXPECT_EQ(ledger.placed(4), 120U);
  EXPECT_EQ(ledger.placed(2), 0U);
  ledger.forget(4);
  EXPECT_EQ(ledger.placed(4), 0U);
  const auto first = ledger.next_turn();
  EXPECT_EQ(ledger.next_turn(), first + 1);
}

TEST(TrafficTable, SumsGrowASlotAndEndWithItsOwner) {
  TrafficTable table;
  table.on_decision(3, 100, 40);
  table.on_decision(3, 50, 0);
  table.on_usage(3, 90, 30, 7);
  table.on_usage(4, 1, 0, 0);
  const Traffic seen = table.read(3);
  EXPECT_EQ(seen.decisions, 2U);
  EXPECT_EQ(seen.prompt_tokens, 150U);
  EXPECT_EQ(seen.expected_cached_tokens, 40U);
  EXPECT_EQ(seen.reported_prompt_tokens, 90U);
  EXPECT_EQ(seen.reported_cached_tokens, 30U);
  EXPECT_EQ(seen.reported_output_tokens, 7U);
  table.reset(3);
  EXPECT_EQ(table.read(3).decisions + table.read(3).reported_output_tokens, 0U);
  EXPECT_EQ(table.read(4).reported_prompt_tokens, 1U);
}

}  // namespace
}  // namespace fairlead::fleet
