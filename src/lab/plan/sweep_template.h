// SPDX-License-Identifier: Apache-2.0
// PolicyTemplate: a policy file with holes, `${name}` or `${name:default}`, that a sweep fills.
// Holes may stand anywhere, in comments too; a name that stands in several places is one hole, with
// one default. Names are of letters, digits and _; defaults have no `}` and no line end.
// Errors name file and line. Immutable once made; pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace fairlead::plan {

// What fills holes, by name; the order is the reader's.
using Parameters = std::vector<std::pair<std::string, std::string>>;

struct Hole {
  std::string name;
  std::optional<std::string> fallback;
  int line = 0;  // Where it stands first, from 1.
};

class PolicyTemplate {
 public:
  static Result<PolicyTemplate> parse(std::string_view text, std::string_view file);

  const std::vector<Hole>& holes() const { return holes_; }  // By first place.
  const Hole* find(std::string_view name) const;
  const std::string& file() const { return file_; }
  // The text with every hole filled: by `parameters`, or else by its default. A hole without
  // either, and a parameter without a hole, is an error.
  Result<std::string> fill(const Parameters& parameters) const;

 private:
  struct Piece {
    std::string text;  // Before the hole.
    std::optional<std::size_t> hole;
  };

  Result<void> add_hole(std::string_view inside, int line, std::string text_before);

  std::string file_;
  std::vector<Piece> pieces_;
  std::vector<Hole> holes_;
};

}  // namespace fairlead::plan
