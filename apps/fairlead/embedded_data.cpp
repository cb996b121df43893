// SPDX-License-Identifier: Apache-2.0
#include "embedded_data.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "io/fleet/file_watch.h"
#include "lab/load/model/gzip.h"

namespace fairlead::app {
namespace {

constexpr std::string_view kProfileEnding = ".yaml";
// Far above the shipped traces, below what would exhaust a small machine.
constexpr std::size_t kTraceBytesMax = std::size_t{1} << 30;

std::string_view embedded(std::string_view name) {
  for (const EmbeddedFile& file : embedded_files()) {
    if (file.name == name) return file.bytes;
  }
  return {};
}

Result<load::Trace> parse_trace(std::string_view text) {
  // Mooncake's lines are JSON objects, Azure's begin with a header.
  return text.substr(0, 1) == "{" ? load::parse_mooncake(text) : load::parse_azure(text);
}

}  // namespace

std::vector<std::string> engine_profile_names() {
  std::vector<std::string> names;
  for (const EmbeddedFile& file : embedded_files()) {
    if (!file.name.ends_with(kProfileEnding)) continue;
    names.emplace_back(file.name.substr(0, file.name.size() - kProfileEnding.size()));
  }
  return names;
}

Result<engine::EngineProfile> find_engine_profile(const std::string& name_or_path) {
  const std::string_view shipped = embedded(name_or_path + std::string(kProfileEnding));
  if (!shipped.empty()) return engine::parse_profile(shipped, name_or_path);
  const auto text = fleet::FileWatch::read_file(name_or_path);
  if (!text) {
    return fail(ErrorCode::kNotFound,
                "{} is neither a shipped engine profile ({}) nor a readable file: {}", name_or_path,
                fmt::join(engine_profile_names(), ", "), text.error().message);
  }
  return engine::parse_profile(*text, name_or_path);
}

Result<load::Trace> find_trace(const std::string& name_or_path) {
  std::string_view bytes = embedded(name_or_path + ".jsonl.gz");
  if (bytes.empty()) bytes = embedded(name_or_path + ".csv.gz");
  std::string read;
  if (bytes.empty()) {
    auto text = fleet::FileWatch::read_file(name_or_path);
    if (!text) {
      return fail(ErrorCode::kNotFound,
                  "{} is neither a shipped trace (mooncake_conversation, azure_llm_2023_code) nor "
                  "a readable file: {}",
                  name_or_path, text.error().message);
    }
    read = std::move(*text);
    bytes = read;
  }
  std::string inflated;
  if (load::is_gzip(bytes)) {
    auto plain = load::inflate_gzip(bytes, kTraceBytesMax);
    if (!plain) return with_context(plain.error(), name_or_path);
    inflated = std::move(*plain);
    bytes = inflated;
  }
  auto trace = parse_trace(bytes);
  if (!trace) return with_context(trace.error(), name_or_path);
  return trace;
}

}  // namespace fairlead::app
