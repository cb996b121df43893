// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/plugins/reporter/request_attribute_reporter.h"

#include <string>
#include <utility>

#include "core/scheduling/usage_expression.h"

namespace fairlead::scheduling {
namespace {

struct Attribute {
  std::string name_space;
  std::string name;
  UsageExpression value;
  std::optional<UsageExpression> condition;
};

class RequestAttributeReporter final : public Reporter {
 public:
  explicit RequestAttributeReporter(Attribute attribute) : attribute_(std::move(attribute)) {}

  std::optional<ReportedAttribute> report(const Usage& usage) const override {
    if (attribute_.condition && attribute_.condition->truth(usage) != Truth::kTrue) return {};
    const std::optional<std::int64_t> value = attribute_.value.whole(usage);
    if (!value || *value == 0) return {};
    return ReportedAttribute{attribute_.name_space, attribute_.name, *value};
  }

 private:
  Attribute attribute_;
};

std::optional<UsageExpression> read(config::Section& section, std::string_view key,
                                    UsageExpression::Kind kind) {
  const std::string text = section.text(key, "");
  if (text.empty()) return {};
  auto parsed = UsageExpression::parse(text, kind);
  if (parsed) return std::move(*parsed);
  section.error(key, parsed.error().message);
  return {};
}

std::unique_ptr<Reporter> create_request_attribute_reporter(config::Section& parameters) {
  std::vector<config::Section> sections = parameters.children("attributes");
  if (sections.size() != 1) {
    parameters.error("attributes", "needs exactly one attribute");
    return std::make_unique<RequestAttributeReporter>(Attribute{});
  }
  config::Section& section = sections.front();
  config::Section key = section.child("key");
  Attribute attribute;
  attribute.name_space = key.text("namespace", "envoy.lb");
  attribute.name = key.required_text("name");
  key.finish();
  section.required_text("expression");
  auto value = read(section, "expression", UsageExpression::Kind::kNumber);
  if (value) attribute.value = std::move(*value);
  attribute.condition = read(section, "condition", UsageExpression::Kind::kTruth);
  section.finish();
  return std::make_unique<RequestAttributeReporter>(std::move(attribute));
}

}  // namespace

ReporterSpec request_attribute_reporter_spec() {
  return {"request-attribute-reporter", Stability::kBeta, create_request_attribute_reporter};
}

}  // namespace fairlead::scheduling
