// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/registry.h"

#include <algorithm>

namespace fairlead::scheduling {
namespace {

template <class Spec>
const Spec* find(const std::vector<Spec>& specs, std::string_view type) {
  const auto found = std::ranges::find(specs, type, &Spec::type);
  return found == specs.end() ? nullptr : &*found;
}

template <class Spec>
Result<void> add_to(std::vector<Spec>& specs, const Spec& spec) {
  if (find(specs, spec.type) != nullptr) {
    return fail(ErrorCode::kInvalidArgument, "plugin type {} is registered twice", spec.type);
  }
  specs.push_back(spec);
  return {};
}

}  // namespace

Result<void> Registry::add(const FilterSpec& spec) { return add_to(filters_, spec); }
Result<void> Registry::add(const ScorerSpec& spec) { return add_to(scorers_, spec); }
Result<void> Registry::add(const PickerSpec& spec) { return add_to(pickers_, spec); }
Result<void> Registry::add(const AdmitterSpec& spec) { return add_to(admitters_, spec); }
Result<void> Registry::add(const ReporterSpec& spec) { return add_to(reporters_, spec); }

const FilterSpec* Registry::filter(std::string_view type) const { return find(filters_, type); }
const ScorerSpec* Registry::scorer(std::string_view type) const { return find(scorers_, type); }
const PickerSpec* Registry::picker(std::string_view type) const { return find(pickers_, type); }
const AdmitterSpec* Registry::admitter(std::string_view type) const {
  return find(admitters_, type);
}
const ReporterSpec* Registry::reporter(std::string_view type) const {
  return find(reporters_, type);
}

}  // namespace fairlead::scheduling
