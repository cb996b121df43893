// SPDX-License-Identifier: Apache-2.0
// What a sweep tries: the values that each parameter may take, and the contenders chosen of them.
// All combinations where there are few enough (a grid), else samples of a Latin hypercube: with n
// contenders each parameter's range is cut into n parts, and each part is met once (McKay, Beckman
// and Conover, Technometrics 21, 1979). Samples that fall together are drawn again by chance.
// Pure; the same seed gives the same contenders. Errors say what to write.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "lab/plan/sweep_template.h"

namespace fairlead::plan {

enum class Spacing : std::uint8_t { kLinear, kLog };
enum class Numbers : std::uint8_t { kReal, kWhole };

struct Range {
  double low = 0;
  double high = 1;  // Above low; a whole one is among the values.
  Spacing spacing = Spacing::kLinear;
  Numbers numbers = Numbers::kReal;
};

struct Variation {
  std::string name;
  std::variant<std::vector<std::string>, Range> values;
};

// "name=v1,v2,...", "name=low..high" or "name=low..high:log". Ends without a point or exponent
// make whole numbers; others have four digits.
Result<Variation> parse_variation(std::string_view text);

enum class Search : std::uint8_t { kGrid, kSamples };

struct Contenders {
  Search search = Search::kGrid;
  std::size_t defaults = 0;  // 1: the first is what the template says without a sweep.
  std::vector<Parameters>
      list;  // Each with a value for every variation, in their order; all differ.
};

// At most `most` (at least 1), and one more where the template has defaults for everything that
// varies: these are a contender, too, the first.
Result<Contenders> choose_contenders(const PolicyTemplate& policy,
                                     std::span<const Variation> variations, std::size_t most,
                                     std::uint64_t seed);

// "a=1 b=2".
std::string name_of(const Parameters& parameters);

}  // namespace fairlead::plan
