// SPDX-License-Identifier: Apache-2.0
// CandidateBuilder: fills the candidate table for one decision. A row is an endpoint that may be
// chosen: healthy or returning, serving the model, not masked by a recent failure seen here, not
// already tried for this request.
// Thread-compatible: one per worker; reads the shared tables with relaxed loads.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/random.h"
#include "base/time.h"
#include "core/fleet/inflight_table.h"
#include "core/fleet/load_table.h"
#include "core/fleet/placement_ledger.h"
#include "core/fleet/seen_blocks.h"
#include "core/fleet/speed_table.h"
#include "core/model/request.h"
#include "core/picker/reuse_meter.h"
#include "core/picker/shortage_meter.h"
#include "core/prefix/prefix_knowledge.h"
#include "core/scheduling/candidates.h"

namespace fairlead::picker {

// The state shared by all workers that decisions read; it outlives every picker.
struct SharedState {
  fleet::InFlightTable& inflight;
  const fleet::LoadTable& load;
  fleet::PlacementLedger& ledger;
  const prefix::PrefixKnowledge& knowledge;
  // Which media were sent where: each item is a prompt of one key. Null: nobody remembers.
  const prefix::PrefixKnowledge* media = nullptr;
  // What engines tell of their caches. Null: nobody listens.
  const prefix::ToldKnowledge* told = nullptr;
  // How fast endpoints turned out to be. Null: nobody measures.
  fleet::SpeedTable* speeds = nullptr;
  // What was asked for lately. Null: nobody remembers.
  fleet::SeenBlocks* seen = nullptr;
};

// Why an endpoint of the pool is no row of the table.
enum class Exclusion : std::uint8_t {
  kTakesNoTraffic,  // Ejected, or not known to be healthy yet.
  kOtherModel,
  kOutsideSubset,  // The proxy wants another.
  kTried,          // For this request.
  kMasked,         // It just failed a request of this worker.
  kReturning,      // This decision is not of the share it takes after an ejection.
};
std::string_view to_string(Exclusion why);

struct Excluded {
  model::EndpointRef endpoint;
  Exclusion why = Exclusion::kTakesNoTraffic;
};

// The columns CandidateBuilder fills: all but those that are facts of the request, which a front
// adds that has them.
scheduling::Columns filled_columns();

class CandidateBuilder {
 public:
  explicit CandidateBuilder(SharedState shared);

  // `masked_until` is indexed by slot and may be shorter than the pool; `tried` are slots.
  // Masks are ignored when they would leave nothing, and then endpoints never asked count, too. A
  // request's holder that takes traffic and was not tried is the only row. Columns that few
  // policies read are 0 unless `wanted`.
  const scheduling::Candidates& build(const model::InferenceRequest& request,
                                      const model::PoolSnapshot& pool,
                                      std::span<const Time> masked_until,
                                      std::span<const std::uint32_t> tried, Time now,
                                      Random& random,
                                      scheduling::Columns wanted = scheduling::kAllColumns);

  const scheduling::Candidates& table() const { return table_; }
  // The endpoints of the last pool that did not get into the table.
  std::span<const Excluded> excluded() const { return excluded_; }
  // Whether no row holds more than a tenth of the prompt: a new prefix, to be placed evenly.
  bool cold() const { return cold_; }

  // The request was placed at this row of the table, the last built.
  void learn(const model::InferenceRequest& request, std::size_t row, scheduling::Columns wanted);

 private:
  ReuseMeter reuse_;
  ShortageMeter shortage_;
  enum class Masks : std::uint8_t { kHonoured, kIgnored };
  void select(const model::InferenceRequest& request, const model::PoolSnapshot& pool,
              std::span<const Time> masked_until, std::span<const std::uint32_t> tried, Time now,
              Random& random, Masks masks);
  bool select_holder(const model::InferenceRequest& request, const model::PoolSnapshot& pool,
                     std::span<const std::uint32_t> tried);
  void fill(const model::InferenceRequest& request);
  void match(const model::InferenceRequest& request);
  void fill_wanted(const model::InferenceRequest& request, Time now, scheduling::Columns wanted);
  void fill_adapters(std::string_view model);
  void raise_stale_load();
  void fill_media(std::span<const model::MediaItem> media);
  void fill_placed();
  void fill_slowness(Time now);
  double lost_tokens(const model::InferenceRequest& request);
  void rank_cold_placements();

  SharedState shared_;
  scheduling::Candidates table_;
  std::vector<const model::Endpoint*> chosen_;
  std::vector<Excluded> excluded_;
  std::vector<prefix::MatchedBlocks> matched_;
  std::vector<prefix::ToldBlocks> told_;
  prefix::ToldScratch told_scratch_;
  std::vector<std::pair<std::uint64_t, std::uint32_t>> by_stamp_;  // Last cold placement, row.
  std::vector<std::uint64_t> placed_;                              // A row each.
  std::vector<float> others_unstarted_;                            // A row each.
  bool cold_ = false;
  double best_cached_ = 0;  // Tokens.
};

}  // namespace fairlead::picker
