// SPDX-License-Identifier: Apache-2.0
#include "report_text.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <thread>

namespace fairlead::app {
namespace {

std::string processor() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("model name")) continue;
    const std::size_t colon = line.find(": ");
    if (colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

tl::unexpected<Error> cannot_write(const std::string& path) {
  return fail(ErrorCode::kIo, "cannot write {}: {}", path, std::strerror(errno));
}

// Quoted where a shell would read it as anything but itself.
std::string shell_word(const std::string& text) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=,@%+";
  if (!text.empty() && text.find_first_not_of(kPlain) == std::string::npos) return text;
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

}  // namespace

void describe_machine(load::ReportText& text) {
  text.generated = fmt::format("{:%Y-%m-%d %H:%M} UTC", fmt::gmtime(std::time(nullptr)));
  utsname system{};
  if (::uname(&system) == 0) {
    text.machine.emplace_back(
        "System", fmt::format("{} {} {}", system.sysname, system.release, system.machine));
  }
  text.machine.emplace_back("Processor", processor());
  text.machine.emplace_back("Cores", std::to_string(std::thread::hardware_concurrency()));
  text.machine.emplace_back("Program", "fairlead " FAIRLEAD_VERSION);
}

std::string command_text(const CLI::App& command,
                         std::initializer_list<std::string_view> left_out) {
  std::string text = command.get_name();
  for (const CLI::App* above = command.get_parent(); above != nullptr;
       above = above->get_parent()) {
    text.insert(0, above->get_name() + " ");
  }
  for (const CLI::Option* option : command.get_options()) {
    if (option->count() == 0 || option->get_lnames().empty()) continue;
    const std::string flag = "--" + option->get_lnames().front();
    if (std::ranges::find(left_out, flag) != left_out.end()) continue;
    const auto& values = option->results();
    if (option->get_items_expected_max() == 0) {
      text += " " + flag;
    } else if (flag == "--api-key") {
      text += " --api-key \"$FAIRLEAD_API_KEY\"";
    } else if (option->get_delimiter() != '\0') {
      text += fmt::format(" {} {}", flag, shell_word(fmt::format("{}", fmt::join(values, ","))));
    } else {
      for (const std::string& value : values)
        text += fmt::format(" {} {}", flag, shell_word(value));
    }
  }
  return text;
}

Result<std::unique_ptr<ReportFile>> ReportFile::open(const std::string& path) {
  if (path.empty()) return nullptr;
  std::error_code ignored;
  const bool existed = std::filesystem::exists(path, ignored);
  const std::ofstream file(path, std::ios::binary | std::ios::app);
  if (!file) return cannot_write(path);
  std::unique_ptr<ReportFile> report(new ReportFile(path));
  report->is_litter_ = !existed;
  return report;
}

ReportFile::~ReportFile() {
  if (is_litter_) std::remove(path_.c_str());
}

Result<void> ReportFile::write(std::string_view content) {
  std::ofstream file(path_, std::ios::binary | std::ios::trunc);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  file.flush();
  if (!file) return cannot_write(path_);
  is_litter_ = false;
  return {};
}

}  // namespace fairlead::app
