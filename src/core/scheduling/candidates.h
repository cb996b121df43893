// SPDX-License-Identifier: Apache-2.0
// Candidates: the table a decision is made over. One row an endpoint, one array a column, built
// once a decision from the pool snapshot, the load table, the in-flight table and the prefix
// knowledge. Filters narrow a list of rows; scorers read columns; nothing allocates once the
// arrays have grown to the pool's size.
// Units: requests, tokens, fractions in [0, 1]. Thread-compatible: one table per worker.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/model/endpoint.h"
#include "core/model/request.h"

namespace fairlead::scheduling {

// What a plugin may read. A column that nothing fills is a start-up error naming the plugin.
enum class Column : std::uint32_t {
  kWaiting = 1U << 0,            // Requests in the engine's queue, scraped.
  kRunning = 1U << 1,            // Requests in the engine's batch, scraped.
  kKvUsage = 1U << 2,            // Fraction of KV blocks in use, scraped.
  kInFlightRequests = 1U << 3,   // Sent by this router and not ended.
  kInFlightTokens = 1U << 4,     // Uncached prompt tokens among them, up to their first token.
  kUnstarted = 1U << 5,          // Those among them without a first token.
  kCachedTokens = 1U << 6,       // Leading prompt tokens of this request held there.
  kOwnUncachedTokens = 1U << 7,  // Prompt tokens this request would have to compute there.
  kColdOrder = 1U << 8,          // Rank by last cold placement: 0 is the least recent.
  kHealth = 1U << 9,
  kLabels = 1U << 10,
  kModels = 1U << 11,
  kMetricsAge = 1U << 12,   // Seconds since the endpoint's last scrape.
  kAdapter = 1U << 13,      // What its engine has of the adapter this request names.
  kAdapterRoom = 1U << 14,  // Adapters that its engine can still take into a batch.
  kMediaCached = 1U << 15,  // Share of this request's media, by bytes, that were sent there before.
  // Facts of the request that some fronts have only.
  kHeaders = 1U << 16,
  kPriority = 1U << 17,
  // 1: cached_tokens are what the engine told; 0.5: and some of what it told was missed; 0: they
  // are guessed from what was sent there.
  kCacheTrust = 1U << 18,
  kInFlightContext = 1U << 19,  // Prompt tokens in flight, cached or not, up to the requests' ends.
  // Uncached prompt tokens ever placed there, above the least of the rows.
  kPlacedTokens = 1U << 20,
  kKvTokens = 1U << 21,  // What all KV blocks of the engine hold, scraped; 0: it never said.
  // Share of the prompt tokens lately placed anywhere that were cached there: one for all rows.
  kReuse = 1U << 22,
  kSlowness = 1U << 23,  // Times as long as others it takes for a prompt, learnt; 1: like them.
  // Share of the tokens lately computed that twice the memory would still have held: one for all.
  kShortage = 1U << 24,
  // Uncached tokens of a prompt that no row holds, the mean of those lately placed: one for all.
  kColdTokens = 1U << 25,
  // Of requests there that this router did not send, as far as figures tell (fleet::OthersMeter).
  kOthersTokens = 1U << 26,  // Uncached prompt tokens up to their first token.
  // Requests without a first token: the mean, in which no endpoint counts far more than the one in
  // the middle. One for all rows, so that an engine that tells nonsense distorts no other's.
  kOthersUnstarted = 1U << 27,
  kOthersDecoding = 1U << 28,  // The others, an average.
};

class Columns {
 public:
  constexpr Columns() = default;
  constexpr Columns(std::initializer_list<Column> columns) {
    for (const Column column : columns) bits_ |= static_cast<std::uint32_t>(column);
  }
  constexpr Columns operator|(Columns other) const { return Columns(bits_ | other.bits_); }
  constexpr Columns missing_from(Columns filled) const { return Columns(bits_ & ~filled.bits_); }
  constexpr bool none() const { return bits_ == 0; }
  constexpr bool has(Column column) const {
    return (bits_ & static_cast<std::uint32_t>(column)) != 0;
  }

 private:
  constexpr explicit Columns(std::uint32_t bits) : bits_(bits) {}
  std::uint32_t bits_ = 0;
};

inline constexpr Columns kAllColumns{
    Column::kWaiting,        Column::kRunning,    Column::kKvUsage,      Column::kInFlightRequests,
    Column::kInFlightTokens, Column::kUnstarted,  Column::kCachedTokens, Column::kOwnUncachedTokens,
    Column::kColdOrder,      Column::kHealth,     Column::kLabels,       Column::kModels,
    Column::kMetricsAge,     Column::kAdapter,    Column::kAdapterRoom,  Column::kMediaCached,
    Column::kHeaders,        Column::kPriority,   Column::kCacheTrust,   Column::kInFlightContext,
    Column::kPlacedTokens,   Column::kKvTokens,   Column::kReuse,        Column::kSlowness,
    Column::kShortage,       Column::kColdTokens, Column::kOthersTokens, Column::kOthersUnstarted,
    Column::kOthersDecoding};

// Values of the column `adapter`.
inline constexpr float kAdapterNowhere = 0;
inline constexpr float kAdapterWaiting = 1;
inline constexpr float kAdapterActive = 2;
// The age of metrics that were never scraped, and the most that is told: 30 years.
inline constexpr float kMetricsAgeMax = 1e9F;

std::string_view to_string(Column column);
// The names of all columns in the set, comma separated.
std::string to_string(Columns columns);

// Row numbers, ascending unless a filter gave them an order of its own.
using Rows = std::vector<std::uint32_t>;

struct Candidates {
  std::vector<const model::Endpoint*> endpoint;
  std::vector<float> waiting;
  std::vector<float> running;
  std::vector<float> kv_usage;
  std::vector<float> inflight_requests;
  std::vector<float> inflight_tokens;
  std::vector<float> unstarted;
  std::vector<float> cached_tokens;
  std::vector<float> own_uncached_tokens;
  std::vector<float> cold_order;
  std::vector<float> metrics_age;
  std::vector<float> adapter;
  std::vector<float> adapter_room;
  std::vector<float> media_cached;
  std::vector<float> cache_trust;
  std::vector<float> inflight_context;
  std::vector<float> placed_tokens;
  std::vector<float> kv_tokens;
  std::vector<float> reuse;
  std::vector<float> slowness;
  std::vector<float> shortage;
  std::vector<float> cold_tokens;
  std::vector<float> others_tokens;
  std::vector<float> others_unstarted;
  std::vector<float> others_decoding;
  std::vector<float> media_items;  // Of the request's media, those cached; for metrics.

  std::size_t size() const { return endpoint.size(); }
  // New rows are 0; others keep their values until they are filled.
  void resize(std::size_t rows);
};

// A column of numbers, for whoever treats them all alike.
struct Figure {
  std::string_view name;  // As to_string(Column) has it.
  std::vector<float> Candidates::* values;
};

inline constexpr std::array kFigures = {
    Figure{"waiting", &Candidates::waiting},
    Figure{"running", &Candidates::running},
    Figure{"kv_usage", &Candidates::kv_usage},
    Figure{"inflight_requests", &Candidates::inflight_requests},
    Figure{"inflight_tokens", &Candidates::inflight_tokens},
    Figure{"unstarted", &Candidates::unstarted},
    Figure{"cached_tokens", &Candidates::cached_tokens},
    Figure{"own_uncached_tokens", &Candidates::own_uncached_tokens},
    Figure{"cold_order", &Candidates::cold_order},
    Figure{"metrics_age", &Candidates::metrics_age},
    Figure{"adapter", &Candidates::adapter},
    Figure{"adapter_room", &Candidates::adapter_room},
    Figure{"media_cached", &Candidates::media_cached},
    Figure{"cache_trust", &Candidates::cache_trust},
    Figure{"inflight_context", &Candidates::inflight_context},
    Figure{"placed_tokens", &Candidates::placed_tokens},
    Figure{"kv_tokens", &Candidates::kv_tokens},
    Figure{"reuse", &Candidates::reuse},
    Figure{"slowness", &Candidates::slowness},
    Figure{"shortage", &Candidates::shortage},
    Figure{"cold_tokens", &Candidates::cold_tokens},
    Figure{"others_tokens", &Candidates::others_tokens},
    Figure{"others_unstarted", &Candidates::others_unstarted},
    Figure{"others_decoding", &Candidates::others_decoding},
};

}  // namespace fairlead::scheduling
