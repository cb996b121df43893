// SPDX-License-Identifier: Apache-2.0
#include "core/model/endpoint.h"

#include <algorithm>

namespace fairlead::model {

std::string_view to_string(Health health) {
  switch (health) {
    case Health::kUnknown:
      return "unknown";
    case Health::kHealthy:
      return "healthy";
    case Health::kReturning:
      return "returning";
    case Health::kEjected:
      return "ejected";
  }
  return "unknown";
}

std::string_view Endpoint::label(std::string_view key) const {
  const auto found = std::ranges::lower_bound(
      labels, key, {}, [](const auto& pair) -> std::string_view { return pair.first; });
  return found != labels.end() && found->first == key ? std::string_view(found->second)
                                                      : std::string_view();
}

bool Endpoint::serves(std::string_view model) const {
  return std::ranges::find(models, model) != models.end();
}

const Endpoint* PoolSnapshot::find(std::uint32_t slot) const {
  const auto found = std::ranges::lower_bound(
      endpoints, slot, {}, [](const Endpoint& endpoint) { return endpoint.ref.slot; });
  return found != endpoints.end() && found->ref.slot == slot ? &*found : nullptr;
}

bool PoolSnapshot::is_adapter(std::string_view model) const {
  return std::ranges::binary_search(adapters, model);
}

bool PoolSnapshot::knows_model(std::string_view model) const {
  return std::ranges::any_of(endpoints, [&](const Endpoint& e) { return e.serves(model); });
}

bool PoolSnapshot::any_model_known() const {
  return std::ranges::any_of(endpoints, [](const Endpoint& e) { return !e.models.empty(); });
}

}  // namespace fairlead::model
