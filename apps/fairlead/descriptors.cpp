// SPDX-License-Identifier: Apache-2.0
#include "descriptors.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>

namespace fairlead::app {
namespace {

constexpr std::uint64_t kKeptBack = 512;

}  // namespace

std::uint64_t raise_descriptor_limit() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  const rlimit raised{limit.rlim_max, limit.rlim_max};
  return setrlimit(RLIMIT_NOFILE, &raised) == 0 ? raised.rlim_cur : limit.rlim_cur;
}

std::uint32_t connections_for(std::uint64_t descriptors) {
  const std::uint64_t free = descriptors - std::min(descriptors / 2, kKeptBack);
  return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(free, 1, 1'000'000));
}

std::uint64_t hard_descriptor_limit() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_max;
}

std::string descriptor_doubt(std::uint32_t connections, std::uint64_t descriptors) {
  const std::uint64_t needed = std::uint64_t{2} * connections + kKeptBack;
  if (needed <= descriptors) return {};
  return fmt::format(
      "{} connections with a request each need {} descriptors, and a process may have {}; beyond "
      "that requests are shed (raise the hard limit, ulimit -Hn)",
      connections, needed, descriptors);
}

}  // namespace fairlead::app
