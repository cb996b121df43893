// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/plugins/filter/encode_filter.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace fairlead::scheduling {
namespace {

constexpr std::string_view kRoleLabel = "llm-d.ai/role";
constexpr std::array<std::string_view, 3> kRoles = {"encode", "encode-prefill",
                                                    "encode-prefill-decode"};

class RoleFilter final : public Filter {
 public:
  void narrow(const model::InferenceRequest&, const Candidates& table, Rows& rows,
              DecisionContext&) const override {
    std::erase_if(rows, [&](std::uint32_t row) {
      const std::string_view role = table.endpoint[row]->label(kRoleLabel);
      return std::ranges::find(kRoles, role) == kRoles.end();
    });
  }
};

std::unique_ptr<Filter> create(config::Section& /*parameters*/) {
  return std::make_unique<RoleFilter>();
}

}  // namespace

FilterSpec encode_filter_spec() {
  return {"encode-filter", Stability::kBeta, {Column::kLabels}, create};
}

}  // namespace fairlead::scheduling
