// SPDX-License-Identifier: Apache-2.0
#include "report_text.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/utsname.h>

#include <cerrno>
#include <cstring>
#include <ctime>
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

Result<void> write_file(const std::string& path, std::string_view content) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  file.flush();
  if (!file) return fail(ErrorCode::kIo, "cannot write {}: {}", path, std::strerror(errno));
  return {};
}

}  // namespace fairlead::app
