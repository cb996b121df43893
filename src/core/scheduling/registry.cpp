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

}  // namespace

Result<void> Registry::check_free(std::string_view type) const {
  if (filter(type) != nullptr || scorer(type) != nullptr || picker(type) != nullptr) {
    return fail(ErrorCode::kInvalidArgument, "plugin type {} is registered twice", type);
  }
  return {};
}

Result<void> Registry::add(const FilterSpec& spec) {
  return check_free(spec.type).map([&] { filters_.push_back(spec); });
}

Result<void> Registry::add(const ScorerSpec& spec) {
  return check_free(spec.type).map([&] { scorers_.push_back(spec); });
}

Result<void> Registry::add(const PickerSpec& spec) {
  return check_free(spec.type).map([&] { pickers_.push_back(spec); });
}

const FilterSpec* Registry::filter(std::string_view type) const { return find(filters_, type); }
const ScorerSpec* Registry::scorer(std::string_view type) const { return find(scorers_, type); }
const PickerSpec* Registry::picker(std::string_view type) const { return find(pickers_, type); }

}  // namespace fairlead::scheduling
