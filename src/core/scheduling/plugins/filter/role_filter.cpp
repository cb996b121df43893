// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/plugins/filter/role_filter.h"

#include <algorithm>

namespace fairlead::scheduling {
namespace {

constexpr std::string_view kRoleLabel = "llm-d.ai/role";

class RoleFilter final : public Filter {
 public:
  RoleFilter(std::span<const std::string_view> roles, Roleless roleless)
      : roles_(roles), roleless_(roleless) {}

  void narrow(const model::InferenceRequest&, const Candidates& table, Rows& rows,
              DecisionContext&) const override {
    std::erase_if(rows, [&](std::uint32_t row) {
      const std::string_view role = table.endpoint[row]->label(kRoleLabel);
      if (role.empty()) return roleless_ == Roleless::kRemoved;
      return std::ranges::find(roles_, role) == roles_.end();
    });
  }

 private:
  std::span<const std::string_view> roles_;
  Roleless roleless_;
};

}  // namespace

std::unique_ptr<Filter> make_role_filter(std::span<const std::string_view> roles,
                                         Roleless roleless) {
  return std::make_unique<RoleFilter>(roles, roleless);
}

}  // namespace fairlead::scheduling
