// SPDX-License-Identifier: Apache-2.0
// FaultSet: the faults that one engine has now, at most one of each kind. Thread-compatible.
#pragma once

#include <array>
#include <optional>
#include <string>

#include "base/random.h"
#include "lab/engine/fault.h"

namespace fairlead::engine {

class FaultSet {
 public:
  explicit FaultSet(std::uint64_t seed) : random_(seed) {}

  void set(const Fault& fault) { faults_[static_cast<std::size_t>(fault.kind)] = fault; }
  void clear(FaultKind kind) { faults_[static_cast<std::size_t>(kind)].reset(); }
  const Fault* find(FaultKind kind) const;

  // Draws whether the fault hits now; a hit counts, and the last one ends the fault.
  std::optional<Fault> hit(FaultKind kind);
  // Whether an answer under way could be hit by one of the faults that cut it up.
  bool any_of_answers() const;

  // {"faults":[...]}
  std::string json() const;

 private:
  Random random_;
  std::array<std::optional<Fault>, kFaultKindCount> faults_;
};

}  // namespace fairlead::engine
