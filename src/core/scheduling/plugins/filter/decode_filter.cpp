// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/plugins/filter/decode_filter.h"

#include <array>
#include <string_view>

#include "core/scheduling/plugins/filter/role_filter.h"

namespace fairlead::scheduling {
namespace {

constexpr std::array<std::string_view, 4> kDecodeRoles = {"decode", "prefill-decode", "both",
                                                          "encode-prefill-decode"};

std::unique_ptr<Filter> create_decode_filter(config::Section& /*parameters*/) {
  return make_role_filter(kDecodeRoles, Roleless::kKept);
}

}  // namespace

FilterSpec decode_filter_spec() {
  return {"decode-filter", Stability::kBeta, {Column::kLabels}, create_decode_filter};
}

}  // namespace fairlead::scheduling
