// SPDX-License-Identifier: Apache-2.0
#include "lab/engine/fault_set.h"

namespace fairlead::engine {

const Fault* FaultSet::find(FaultKind kind) const {
  const auto& fault = faults_[static_cast<std::size_t>(kind)];
  return fault ? &*fault : nullptr;
}

std::optional<Fault> FaultSet::hit(FaultKind kind) {
  auto& fault = faults_[static_cast<std::size_t>(kind)];
  if (!fault) return std::nullopt;
  const double probability = fault->probability.value_or(1);
  if (probability < 1 && random_.uniform() >= probability) return std::nullopt;
  std::optional<Fault> hit = fault;
  if (fault->count && --*fault->count == 0) fault.reset();
  return hit;
}

bool FaultSet::any_of_answers() const {
  return find(FaultKind::kAbortMidStream) != nullptr || find(FaultKind::kPartialWrite) != nullptr ||
         find(FaultKind::kDelayFirstByte) != nullptr || find(FaultKind::kStall) != nullptr;
}

std::string FaultSet::json() const {
  std::string out = R"({"faults":[)";
  bool first = true;
  for (const auto& fault : faults_) {
    if (!fault) continue;
    if (!first) out += ',';
    first = false;
    append_fault_json(out, *fault);
  }
  out += "]}";
  return out;
}

}  // namespace fairlead::engine
