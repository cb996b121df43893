// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/plugins/filter/prefill_filter.h"

#include <array>
#include <string_view>

#include "core/scheduling/plugins/filter/role_filter.h"

namespace fairlead::scheduling {
namespace {

constexpr std::array<std::string_view, 5> kPrefillRoles = {
    "prefill", "encode-prefill", "prefill-decode", "both", "encode-prefill-decode"};

std::unique_ptr<Filter> create_prefill_filter(config::Section& /*parameters*/) {
  return make_role_filter(kPrefillRoles, Roleless::kRemoved);
}

}  // namespace

FilterSpec prefill_filter_spec() {
  return {"prefill-filter", Stability::kBeta, {Column::kLabels}, create_prefill_filter};
}

}  // namespace fairlead::scheduling
