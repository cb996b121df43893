// SPDX-License-Identifier: Apache-2.0
// The three contracts a scheduling profile is made of: filters narrow the rows, scorers rate them,
// one picker chooses. Plugins are const after construction; what must survive a reload
// (round-robin position, cold placements) is reached through DecisionContext.
// Threads: called concurrently by all workers. A plugin must not block, allocate per row, log per
// row or read a clock.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "base/random.h"
#include "base/result.h"
#include "core/config/section.h"
#include "core/fleet/placement_ledger.h"
#include "core/scheduling/candidates.h"

namespace fairlead::scheduling {

struct DecisionContext {
  Random& random;
  fleet::PlacementLedger& ledger;
};

class Filter {
 public:
  virtual ~Filter() = default;
  // Erases rows from `rows`, keeping their order. An empty result ends the decision.
  virtual void narrow(const model::InferenceRequest& request, const Candidates& table, Rows& rows,
                      DecisionContext& context) const = 0;
};

class Scorer {
 public:
  virtual ~Scorer() = default;
  // Writes one value for each row, out[i] for rows[i]; preset to 0, "no opinion". A scorer of kind
  // kUnit writes values in [0, 1], higher is better; one of kind kTokens writes a cost in prompt
  // tokens, lower is better.
  virtual void score(const model::InferenceRequest& request, const Candidates& table,
                     std::span<const std::uint32_t> rows, std::span<float> out) const = 0;
};

class Picker {
 public:
  virtual ~Picker() = default;
  // Returns an index into `rows` (not empty). `totals[i]` is the weighted total of rows[i], higher
  // is better.
  virtual std::size_t pick(std::span<const std::uint32_t> rows, std::span<const float> totals,
                           const Candidates& table, DecisionContext& context) const = 0;
};

enum class Stability : std::uint8_t { kAlpha, kBeta };
// A profile uses scorers of one kind only; token costs are summed and negated.
enum class ScoreKind : std::uint8_t { kUnit, kTokens };

struct FilterSpec {
  std::string_view type;
  Stability stability;
  Columns reads;
  std::unique_ptr<Filter> (*create)(config::Section& parameters);
};

struct ScorerSpec {
  std::string_view type;
  Stability stability;
  Columns reads;
  ScoreKind kind;
  std::unique_ptr<Scorer> (*create)(config::Section& parameters);
};

struct PickerSpec {
  std::string_view type;
  Stability stability;
  Columns reads;
  std::unique_ptr<Picker> (*create)(config::Section& parameters);
};

}  // namespace fairlead::scheduling
