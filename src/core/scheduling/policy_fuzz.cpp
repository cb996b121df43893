// SPDX-License-Identifier: Apache-2.0
// Any bytes are an EndpointPickerConfig, for either front: no crash, no profile with an error, and
// what was read without one prints to a document that builds the same policy.
#include <string>
#include <string_view>

#include "base/assert.h"
#include "core/scheduling/catalog.h"
#include "core/scheduling/policy_config.h"

namespace {

using namespace fairlead;

constexpr std::size_t kMaxPrinted = 1 << 20;

constexpr scheduling::Columns kFilled = [] {
  scheduling::Columns all;
  for (std::uint32_t bit = 0; bit < 32; ++bit) {
    all = all | scheduling::Columns{static_cast<scheduling::Column>(1U << bit)};
  }
  return all;
}();

scheduling::BuiltPolicy build(std::string_view text, scheduling::Front front,
                              config::Problems& problems) {
  static const scheduling::Registry registry = scheduling::builtin_registry();
  config::Section root = config::Section::parse(text, "fuzz.yaml", problems);
  const scheduling::PolicyRules rules{kFilled, front, scheduling::Experimental::kAllowed};
  scheduling::BuiltPolicy built = scheduling::build_policy(root, registry, rules, problems);
  root.finish();
  return built;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  config::Problems gateway_problems;
  build(text, scheduling::Front::kGateway, gateway_problems);
  config::Problems problems;
  const auto built = build(text, scheduling::Front::kEnvoy, problems);
  if (problems.has_errors()) return 0;
  FAIRLEAD_ASSERT(built.profile != nullptr && built.profile->picker != nullptr);
  const std::string printed = effective_yaml(built);
  if (printed.size() > kMaxPrinted) return 0;  // Aliases written out.
  config::Problems printed_problems;
  const auto again = build(printed, scheduling::Front::kEnvoy, printed_problems);
  FAIRLEAD_ASSERT(!printed_problems.has_errors());
  FAIRLEAD_ASSERT(effective_yaml(again) == printed);
  FAIRLEAD_ASSERT(plugin_graph(again).size() == plugin_graph(built).size());
  return 0;
}
