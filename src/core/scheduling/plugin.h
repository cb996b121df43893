// SPDX-License-Identifier: Apache-2.0
// The contracts of plugins. A scheduling profile is made of three: filters narrow the rows, scorers
// rate them, one picker chooses. Two stand around it: admitters may refuse a request before it, and
// reporters tell a proxy in front what an answer used. Plugins are const after construction; what
// must survive a reload (round-robin position, cold placements) is reached through DecisionContext.
// Threads: called concurrently by all workers. A plugin must not block, allocate per row, log per
// row or read a clock.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "base/random.h"
#include "base/result.h"
#include "core/config/section.h"
#include "core/fleet/placement_ledger.h"
#include "core/scheduling/candidates.h"
#include "core/scheduling/ranking.h"
#include "core/scheduling/usage.h"

namespace fairlead::scheduling {

struct DecisionContext {
  Random& random;
  fleet::PlacementLedger& ledger;
};

class Filter {
 public:
  virtual ~Filter() = default;
  // Erases rows from `rows`, keeping their order unless it is the filter's purpose to set one. An
  // empty result ends the decision.
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
  // Returns indices into `rows` (not empty), at least one: the choice, and in what order a proxy
  // should turn to others when that one fails. `totals[i]` is the weighted total of rows[i], higher
  // is better.
  virtual Ranking pick(std::span<const std::uint32_t> rows, std::span<const float> totals,
                       const Candidates& table, DecisionContext& context) const = 0;
};

enum class Admission : std::uint8_t {
  kAdmitted,
  kSaturated,  // The pool is too busy for a request of this priority.
  kLater,      // No endpoint has room: ask again, in the order in which requests came.
};

class Admitter {
 public:
  virtual ~Admitter() = default;
  // Asked before the filters, over every candidate: once a request, and again whenever it is its
  // turn among those who were told kLater. The table is not empty.
  virtual Admission admit(const model::InferenceRequest& request, const Candidates& table,
                          Random& random) const = 0;
};

// A number that travels with the end of an answer, as dynamic metadata of the proxy.
struct ReportedAttribute {
  std::string_view name_space;  // Both live as long as the reporter.
  std::string_view name;
  std::int64_t value = 0;
};

class Reporter {
 public:
  virtual ~Reporter() = default;
  // Asked once an answer, at its end; nothing when there is nothing to tell.
  virtual std::optional<ReportedAttribute> report(const Usage& usage) const = 0;
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

// When an admitter of this type stands before the profile.
enum class AdmitsWhen : std::uint8_t {
  kDeclared,       // It is in the list of plugins.
  kNamedDetector,  // It is named as the saturation detector.
};

struct AdmitterSpec {
  std::string_view type;
  Stability stability;
  Columns reads;
  AdmitsWhen when;
  std::unique_ptr<Admitter> (*create)(config::Section& parameters);
};

// A reporter works when it is in the list of plugins.
struct ReporterSpec {
  std::string_view type;
  Stability stability;
  std::unique_ptr<Reporter> (*create)(config::Section& parameters);
};

}  // namespace fairlead::scheduling
