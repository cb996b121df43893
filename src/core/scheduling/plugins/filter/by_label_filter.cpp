// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/plugins/filter/by_label_filter.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace fairlead::scheduling {
namespace {

enum class Unlabelled { kRemoved, kKept };

struct Rule {
  std::string label;
  std::vector<std::string> valid;
  Unlabelled unlabelled = Unlabelled::kRemoved;

  bool keeps(const model::Endpoint& endpoint) const {
    const auto found =
        std::ranges::find(endpoint.labels, label, &std::pair<std::string, std::string>::first);
    if (found == endpoint.labels.end()) return unlabelled == Unlabelled::kKept;
    return std::ranges::find(valid, found->second) != valid.end();
  }
};

class ByLabelFilter final : public Filter {
 public:
  explicit ByLabelFilter(Rule rule) : rule_(std::move(rule)) {}

  void narrow(const model::InferenceRequest&, const Candidates& table, Rows& rows,
              DecisionContext&) const override {
    std::erase_if(rows, [&](std::uint32_t row) { return !rule_.keeps(*table.endpoint[row]); });
  }

 private:
  Rule rule_;
};

std::unique_ptr<Filter> create_by_label_filter(config::Section& parameters) {
  Rule rule;
  rule.label = parameters.required_text("label");
  rule.valid = parameters.texts("validValues");
  if (parameters.boolean("allowsNoLabel").value_or(false)) rule.unlabelled = Unlabelled::kKept;
  if (rule.valid.empty() && rule.unlabelled == Unlabelled::kRemoved) {
    parameters.error("validValues", "needs a value, or allowsNoLabel: true");
  }
  return std::make_unique<ByLabelFilter>(std::move(rule));
}

}  // namespace

FilterSpec by_label_filter_spec() {
  return {"by-label", Stability::kBeta, {Column::kLabels}, create_by_label_filter};
}

}  // namespace fairlead::scheduling
