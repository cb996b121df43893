// SPDX-License-Identifier: Apache-2.0
// Any bytes are a configuration file and an endpoints file: no crash, every problem has a message,
// and settings that were read without an error print to a text that reads back equal. The same
// bytes are the file, flags and endpoints of an endpoint picker.
#include <algorithm>
#include <string_view>
#include <vector>

#include "base/assert.h"
#include "core/config/epp_settings.h"
#include "core/config/section.h"
#include "core/config/settings.h"

namespace {

using namespace fairlead::config;

// One word a line.
std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    words.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

void read_picker_settings(std::string_view text) {
  Problems problems;
  const auto names = epp_flag_names();
  const std::vector<std::string_view> words = words_of(text);
  const GivenFlags flags = parse_go_flags(words, names, problems);
  FAIRLEAD_ASSERT(flags.all().size() <= words.size());
  Section root = Section::parse(text, "fuzz.yaml", problems);
  const EppSettings settings = read_epp_settings(root, flags, {"a-b-c"}, problems);
  for (const Problem& problem : problems.list()) FAIRLEAD_ASSERT(!problem.message.empty());

  // Without an error the key `epp` is printed so that it reads back.
  GivenFlags named;
  named.add("pool-name", "p");
  Problems section_problems;
  Section again = Section::parse(text, "fuzz.yaml", section_problems);
  const EppSettings own = read_epp_settings(again, named, {}, section_problems);
  Problems printed_problems;
  Section printed = Section::parse(effective_yaml(own), "printed.yaml", printed_problems);
  const EppSettings reread = read_epp_settings(printed, named, {}, printed_problems);
  if (!section_problems.has_errors()) {
    FAIRLEAD_ASSERT(!printed_problems.has_errors());
    FAIRLEAD_ASSERT(reread == own);
  }
  FAIRLEAD_ASSERT(settings.listen.size() == own.listen.size());

  Problems file_problems;
  const auto endpoints = parse_discovery_file(text, "fuzz.yaml", file_problems);
  FAIRLEAD_ASSERT(endpoints.has_value() != file_problems.has_errors());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
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
  read_picker_settings(text);
  return 0;
}
