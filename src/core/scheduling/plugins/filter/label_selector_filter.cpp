// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/plugins/filter/label_selector_filter.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace fairlead::scheduling {
namespace {

enum class Operator { kIn, kNotIn, kExists, kDoesNotExist };

struct Requirement {
  std::string key;
  Operator op = Operator::kIn;
  std::vector<std::string> values;

  bool holds(const model::Endpoint& endpoint) const {
    const auto found =
        std::ranges::find(endpoint.labels, key, &std::pair<std::string, std::string>::first);
    const bool exists = found != endpoint.labels.end();
    const bool listed = exists && std::ranges::find(values, found->second) != values.end();
    switch (op) {
      case Operator::kIn:
        return listed;
      case Operator::kNotIn:
        return !listed;
      case Operator::kExists:
        return exists;
      case Operator::kDoesNotExist:
        return !exists;
    }
    return false;
  }
};

class LabelSelectorFilter final : public Filter {
 public:
  explicit LabelSelectorFilter(std::vector<Requirement> requirements)
      : requirements_(std::move(requirements)) {}

  void narrow(const model::InferenceRequest&, const Candidates& table, Rows& rows,
              DecisionContext&) const override {
    std::erase_if(rows, [&](std::uint32_t row) {
      return !std::ranges::all_of(
          requirements_, [&](const Requirement& r) { return r.holds(*table.endpoint[row]); });
    });
  }

 private:
  std::vector<Requirement> requirements_;
};

Requirement read_expression(config::Section& section) {
  Requirement requirement;
  requirement.key = section.required_text("key");
  const std::string op =
      section.choice("operator", "In", {"In", "NotIn", "Exists", "DoesNotExist"});
  requirement.values = section.texts("values");
  requirement.op = op == "In"       ? Operator::kIn
                   : op == "NotIn"  ? Operator::kNotIn
                   : op == "Exists" ? Operator::kExists
                                    : Operator::kDoesNotExist;
  const bool takes_values = requirement.op == Operator::kIn || requirement.op == Operator::kNotIn;
  if (takes_values == requirement.values.empty()) {
    section.error("values", takes_values ? "In and NotIn need at least one value"
                                         : "Exists and DoesNotExist take no values");
  }
  section.finish();
  return requirement;
}

std::unique_ptr<Filter> create_label_selector_filter(config::Section& parameters) {
  std::vector<Requirement> requirements;
  for (auto& [key, value] : parameters.text_map("matchLabels")) {
    requirements.push_back({key, Operator::kIn, {value}});
  }
  for (config::Section& expression : parameters.children("matchExpressions")) {
    requirements.push_back(read_expression(expression));
  }
  return std::make_unique<LabelSelectorFilter>(std::move(requirements));
}

}  // namespace

FilterSpec label_selector_filter_spec() {
  return {
      "label-selector-filter", Stability::kBeta, {Column::kLabels}, create_label_selector_filter};
}

FilterSpec by_label_selector_spec() {
  return {"by-label-selector", Stability::kBeta, {Column::kLabels}, create_label_selector_filter};
}

}  // namespace fairlead::scheduling
