// SPDX-License-Identifier: Apache-2.0
#include "embedded_data.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "io/fleet/file_watch.h"
#include "lab/load/model/gzip.h"
#include "lab/load/model/workload_plan.h"

namespace fairlead::app {
namespace {

constexpr std::string_view kYamlEnding = ".yaml";
constexpr std::string_view kTraceEndings[] = {".jsonl.gz", ".csv.gz"};
// As a file and inflated: an hour of requests is some megabytes, a week of a large service 1.2 GB.
// An id takes two bytes at least, so their number fits TraceRow::first_block.
constexpr std::size_t kTraceBytesMax = std::size_t{1} << 32;

std::string_view embedded(std::span<const EmbeddedFile> files, std::string_view name,
                          std::string_view ending) {
  for (const EmbeddedFile& file : files) {
    if (file.name.size() == name.size() + ending.size() && file.name.starts_with(name) &&
        file.name.ends_with(ending)) {
      return file.bytes;
    }
  }
  return {};
}

// Of the files with this ending, without it.
std::vector<std::string> names_of(std::span<const EmbeddedFile> files, std::string_view ending) {
  std::vector<std::string> names;
  for (const EmbeddedFile& file : files) {
    if (!file.name.ends_with(ending)) continue;
    names.emplace_back(file.name.substr(0, file.name.size() - ending.size()));
  }
  return names;
}

std::string_view embedded_trace(std::string_view name) {
  for (const std::string_view ending : kTraceEndings) {
    const std::string_view bytes = embedded(embedded_files(), name, ending);
    if (!bytes.empty()) return bytes;
  }
  return {};
}

Result<load::Trace> parse_trace(std::string_view text, std::string_view format) {
  if (format == "mooncake") return load::parse_mooncake(text);
  return format == "azure" ? load::parse_azure(text) : load::parse_trace(text);
}

}  // namespace

std::vector<std::string> engine_profile_names() { return names_of(embedded_files(), kYamlEnding); }

Result<engine::EngineProfile> find_engine_profile(const std::string& name_or_path) {
  const std::string_view shipped = embedded(embedded_files(), name_or_path, kYamlEnding);
  if (!shipped.empty()) return engine::parse_profile(shipped, name_or_path);
  const auto text = fleet::FileWatch::read_file(name_or_path);
  if (!text) {
    return fail(ErrorCode::kNotFound,
                "{} is neither a shipped engine profile ({}) nor a readable file: {}", name_or_path,
                fmt::join(engine_profile_names(), ", "), text.error().message);
  }
  return engine::parse_profile(*text, name_or_path);
}

std::vector<std::string> trace_names() {
  std::vector<std::string> names;
  for (const std::string_view ending : kTraceEndings) {
    for (std::string& name : names_of(embedded_files(), ending)) names.push_back(std::move(name));
  }
  return names;
}

Result<load::Trace> find_trace(const std::string& name_or_path, std::string_view format) {
  std::string_view bytes = embedded_trace(name_or_path);
  std::string read;
  if (bytes.empty()) {
    auto text = fleet::FileWatch::read_file(name_or_path, kTraceBytesMax);
    if (!text) {
      return fail(ErrorCode::kNotFound,
                  "{} is neither a shipped trace ({}) nor a readable file: {}", name_or_path,
                  fmt::join(trace_names(), ", "), text.error().message);
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
  auto trace = parse_trace(bytes, format);
  if (!trace) return with_context(trace.error(), name_or_path);
  return trace;
}

std::vector<std::string> workload_names() { return names_of(embedded_workloads(), kYamlEnding); }

Result<load::WorkloadSpec> find_workload(const std::string& name_or_path) {
  const std::string_view shipped = embedded(embedded_workloads(), name_or_path, kYamlEnding);
  if (!shipped.empty()) return load::parse_workload(shipped, name_or_path);
  const auto text = fleet::FileWatch::read_file(name_or_path);
  if (!text) {
    return fail(ErrorCode::kNotFound,
                "{} is neither a shipped workload ({}) nor a readable file: {}", name_or_path,
                fmt::join(workload_names(), ", "), text.error().message);
  }
  return load::parse_workload(*text, name_or_path);
}

Result<load::Workload> plan(const load::WorkloadSpec& spec, std::uint64_t seed) {
  const std::string trace_name(load::trace_of(spec));
  if (trace_name.empty()) return load::plan_workload(spec, seed, nullptr);
  const auto trace = find_trace(trace_name);
  if (!trace) return with_context(trace.error(), "trace");
  return load::plan_workload(spec, seed, &*trace);
}

}  // namespace fairlead::app
