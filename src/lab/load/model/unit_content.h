// SPDX-License-Identifier: Apache-2.0
// What the makers of units share: prefix sets, and texts and lengths of one unit. Pure.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "lab/load/model/units.h"

namespace fairlead::load {

// Of one text, whatever a client's size makes of it.
inline constexpr double kMaxTextTokens = 1'000'000;

// Kinds of content_id(), distinct from those of traces and plan_synthetic().
enum class UnitContent : std::uint64_t {
  kPrefix = 41,
  kDocument = 42,
  kUnitText = 43,
  kUnitDraws = 44,
  kPrefixDraws = 45,
  kSourceSeed = 46,
  kArrivalDraws = 47,
  kClientDraws = 48,
};

inline std::uint64_t unit_content_id(std::uint64_t seed, UnitContent kind, std::uint64_t n) {
  return content_id(seed, static_cast<std::uint64_t>(kind), n);
}

// The prefixes of a set, with their lengths and popularity.
class Prefixes {
 public:
  Prefixes(const PrefixSet& set, const Scope& scope, UnitContent kind);

  std::uint32_t pick(Random& random) const;
  PromptPart at(std::uint32_t index) const { return parts_[index]; }

 private:
  std::vector<PromptPart> parts_;
  std::vector<double> up_to_;  // Weights, summed.
};

// Draws and fresh texts of one unit.
class UnitDice {
 public:
  UnitDice(const Scope& scope, std::uint64_t unit)
      : size_(scope.size),
        text_seed_(unit_content_id(scope.seed, UnitContent::kUnitText, unit)),
        random_(unit_content_id(scope.seed, UnitContent::kUnitDraws, unit)) {}

  Random& random() { return random_; }
  std::uint32_t whole(const Quantity& quantity) { return quantity.draw_whole(random_); }
  double seconds(const Quantity& quantity) { return quantity.draw(random_); }
  // At least 1 unless the quantity itself is 0.
  std::uint32_t tokens(const Quantity& quantity) {
    const double drawn = whole(quantity);
    if (drawn == 0) return 0;
    return static_cast<std::uint32_t>(std::clamp(std::round(drawn * size_), 1.0, kMaxTextTokens));
  }
  // A text that nothing else contains.
  PromptPart text(std::uint32_t tokens) { return {content_id(text_seed_, 0, texts_++), tokens}; }

 private:
  double size_;
  std::uint64_t text_seed_;
  Random random_;
  std::uint64_t texts_ = 0;
};

}  // namespace fairlead::load
