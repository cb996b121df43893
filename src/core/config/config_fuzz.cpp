// SPDX-License-Identifier: Apache-2.0
// Any bytes are a configuration file and an endpoints file: no crash, every problem has a message,
// and settings that were read without an error print to a text that reads back equal.
#include "base/assert.h"
#include "core/config/section.h"
#include "core/config/settings.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace fairlead::config;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  Problems problems;
  Section root = Section::parse(text, "fuzz.yaml", problems);
  const ServeSettings settings = parse_settings(root);
  root.finish();
  for (const Problem& problem : problems.list()) FAIRLEAD_ASSERT(!problem.message.empty());
  FAIRLEAD_ASSERT(problems.to_string().empty() == problems.list().empty());

  Problems printed_problems;
  Section printed = Section::parse(effective_yaml(settings), "printed.yaml", printed_problems);
  const ServeSettings reread = parse_settings(printed);
  if (!problems.has_errors()) {
    FAIRLEAD_ASSERT(!printed_problems.has_errors());
    FAIRLEAD_ASSERT(reread == settings);
  }
  Problems file_problems;
  const auto endpoints = parse_endpoints_file(text, "fuzz.yaml", file_problems);
  FAIRLEAD_ASSERT(endpoints.has_value() != file_problems.has_errors());
  return 0;
}
