// SPDX-License-Identifier: Apache-2.0
#include "lab/load/trace_file.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "lab/load/model/gzip.h"

namespace fairlead::load {
namespace {

constexpr std::size_t kMaxBytes = std::size_t{1} << 30;

Result<std::string> read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return fail(ErrorCode::kIo, "cannot be opened: {}", std::strerror(errno));
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  if (!error && size > kMaxBytes) {
    return fail(ErrorCode::kLimitExceeded, "is larger than {} bytes", kMaxBytes);
  }
  std::string bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (file.bad()) return fail(ErrorCode::kIo, "cannot be read: {}", std::strerror(errno));
  if (is_gzip(bytes)) return inflate_gzip(bytes, kMaxBytes);
  return bytes;
}

// "data/traces/mooncake_conversation.jsonl.gz" is "mooncake_conversation".
std::string name_of(const std::string& path) {
  const std::string file = std::filesystem::path(path).filename().string();
  return file.substr(0, file.find('.'));
}

}  // namespace

Result<Trace> read_trace(const std::string& path) {
  auto text = read_text(path);
  if (!text) return with_context(std::move(text.error()), path);
  const std::size_t first = text->find_first_not_of(" \r\n\t");
  const bool json = first != text->npos && (*text)[first] == '{';
  auto trace = json ? parse_mooncake(*text) : parse_azure(*text);
  if (!trace) return with_context(std::move(trace.error()), path);
  trace->name = name_of(path);
  return trace;
}

}  // namespace fairlead::load
