// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/candidates.h"

#include <string>
#include <string_view>

namespace fairlead::scheduling {

std::string_view to_string(Column column) {
  switch (column) {
    case Column::kWaiting:
      return "waiting";
    case Column::kRunning:
      return "running";
    case Column::kKvUsage:
      return "kv_usage";
    case Column::kInFlightRequests:
      return "inflight_requests";
    case Column::kInFlightTokens:
      return "inflight_tokens";
    case Column::kUnstarted:
      return "unstarted";
    case Column::kCachedTokens:
      return "cached_tokens";
    case Column::kOwnUncachedTokens:
      return "own_uncached_tokens";
    case Column::kColdOrder:
      return "cold_order";
    case Column::kHealth:
      return "health";
    case Column::kLabels:
      return "labels";
    case Column::kModels:
      return "models";
    case Column::kMetricsAge:
      return "metrics_age";
    case Column::kAdapter:
      return "adapter";
    case Column::kAdapterRoom:
      return "adapter_room";
    case Column::kMediaCached:
      return "media_cached";
    case Column::kCacheTrust:
      return "cache_trust";
    case Column::kInFlightContext:
      return "inflight_context";
    case Column::kPlacedTokens:
      return "placed_tokens";
    case Column::kReuse:
      return "reuse";
    case Column::kSlowness:
      return "slowness";
    case Column::kShortage:
      return "shortage";
    case Column::kColdTokens:
      return "cold_tokens";
    case Column::kOthersTokens:
      return "others_tokens";
    case Column::kOthersUnstarted:
      return "others_unstarted";
    case Column::kOthersDecoding:
      return "others_decoding";
    case Column::kKvTokens:
      return "kv_tokens";
    case Column::kHeaders:
      return "headers";
    case Column::kPriority:
      return "priority";
  }
  return "unknown";
}

std::string to_string(Columns columns) {
  std::string out;
  for (std::uint32_t bit = 1; bit != 0; bit <<= 1) {
    const auto column = static_cast<Column>(bit);
    if (!columns.has(column)) continue;
    if (!out.empty()) out += ", ";
    out += to_string(column);
  }
  return out;
}

void Candidates::resize(std::size_t rows) {
  endpoint.resize(rows);
  for (const Figure& figure : kFigures) (this->*figure.values).resize(rows);
  media_items.resize(rows);
}

}  // namespace fairlead::scheduling
