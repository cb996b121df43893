// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/plugins/filter/encode_filter.h"

#include <array>
#include <string_view>

#include "core/scheduling/plugins/filter/role_filter.h"

namespace fairlead::scheduling {
namespace {

constexpr std::array<std::string_view, 3> kEncodeRoles = {"encode", "encode-prefill",
                                                          "encode-prefill-decode"};

std::unique_ptr<Filter> create_encode_filter(config::Section& /*parameters*/) {
  return make_role_filter(kEncodeRoles, Roleless::kRemoved);
}

}  // namespace

FilterSpec encode_filter_spec() {
  return {"encode-filter", Stability::kBeta, {Column::kLabels}, create_encode_filter};
}

}  // namespace fairlead::scheduling
