// SPDX-License-Identifier: Apache-2.0
// Any text is an expression: it is refused with a column, or evaluates, to the same each time.
#include "base/assert.h"
#include "core/scheduling/usage_expression.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace fairlead::scheduling;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const Usage usages[] = {{}, {100, 40, 140, 64}, {0, 0, 0, 0}, {~0ULL, 1, {}, 1ULL << 62}};
  for (const auto kind : {UsageExpression::Kind::kNumber, UsageExpression::Kind::kTruth}) {
    const auto parsed = UsageExpression::parse(text, kind);
    if (!parsed) {
      FAIRLEAD_ASSERT(!parsed.error().message.empty());
      continue;
    }
    for (const Usage& usage : usages) {
      FAIRLEAD_ASSERT(parsed->whole(usage) == parsed->whole(usage));
      FAIRLEAD_ASSERT(parsed->truth(usage) == parsed->truth(usage));
    }
  }
  return 0;
}
