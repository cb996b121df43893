// SPDX-License-Identifier: Apache-2.0
#include "router/overload_monitor.h"

#include <dirent.h>
#include <fmt/format.h>
#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <string_view>
#include <utility>

#include "io/fleet/file_watch.h"

namespace fairlead::router {
namespace {

using admission::OverloadAction;
using admission::Resource;

// The first number of a text; 0 for none, such as "max".
std::uint64_t first_number(std::string_view text) {
  const std::size_t at = text.find_first_of("0123456789");
  std::uint64_t value = 0;
  if (at != 0) return 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::string text_of(const std::string& path) {
  return fleet::FileWatch::read_file(path).value_or(std::string());
}

std::uint64_t resident_bytes() {
  const std::string text = text_of("/proc/self/statm");
  const std::size_t second = text.find(' ');
  if (second == std::string::npos) return 0;
  return first_number(std::string_view(text).substr(second + 1)) *
         static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

std::uint64_t open_descriptors() {
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir("/proc/self/fd"), ::closedir);
  if (!folder) return 0;
  std::uint64_t entries = 0;
  while (::readdir(folder.get()) != nullptr) ++entries;
  return entries - std::min<std::uint64_t>(entries, 3);  // ".", "..", and the folder's own.
}

std::uint64_t memory_of_process() {
  const auto machine = static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
                       static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  const std::uint64_t group = control_group_memory(text_of);
  return group == 0 ? machine : std::min(group, machine);
}

std::string amount(Resource resource, const admission::Use& use) {
  switch (resource) {
    case Resource::kBufferedBytes:
    case Resource::kMemory:
      return fmt::format("{} of {} MiB", use.used >> 20, use.limit >> 20);
    case Resource::kLoopLag:
      return fmt::format("{} of {} ms", use.used / 1'000'000, use.limit / 1'000'000);
    default:
      return fmt::format("{} of {}", use.used, use.limit);
  }
}

}  // namespace

std::uint64_t control_group_memory(ReadText read) {
  std::uint64_t lowest = 0;
  const auto take = [&lowest](std::uint64_t limit) {
    if (limit > 0 && (lowest == 0 || limit < lowest)) lowest = limit;
  };
  const std::string groups = read("/proc/self/cgroup");
  for (std::string_view rest = groups; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    const bool unified = line.starts_with("0::");
    if (!unified && line.find(":memory:") == std::string_view::npos) continue;
    std::string path(line.substr(line.rfind(':') + 1));
    if (path == "/") path.clear();
    // A container sees its own group as the root, so that both are looked for. The limit of a
    // group holds for those within it.
    for (;;) {
      take(unified ? first_number(read("/sys/fs/cgroup" + path + "/memory.max"))
                   : first_number(read("/sys/fs/cgroup/memory" + path + "/memory.limit_in_bytes")));
      if (path.empty()) break;
      path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
    }
  }
  return lowest;
}

OverloadMonitor::OverloadMonitor(net::EventLoop& loop, Router& router)
    : loop_(loop),
      router_(router),
      memory_auto_(memory_of_process() / 10 * 9),
      recount_at_(loop.now()),
      trim_at_(loop.now()),
      timer_(loop, [this] { sample(); }) {
  MetricRegistry& metrics = router.metrics();
  for (std::size_t i = 0; i < admission::kResourceCount; ++i) {
    pressure_[i] =
        &metrics.gauge("fairlead_overload_pressure", "Used share of a resource's limit, 0 to 1.",
                       {{"resource", std::string(to_string(static_cast<Resource>(i)))}});
  }
  for (std::size_t i = 0; i < admission::kOverloadActionCount; ++i) {
    active_[i] =
        &metrics.gauge("fairlead_overload_active", "1 while an overloaded router does this.",
                       {{"action", std::string(to_string(static_cast<OverloadAction>(i)))}});
  }
  sample();
}

std::uint64_t OverloadMonitor::read_lag() {
  std::int64_t worst = 0;
  for (std::size_t i = 0; i < kWorkersMax; ++i) {
    const std::int64_t beat = router_.overload().cell(i).beat.load(std::memory_order_relaxed);
    if (beat == 0) continue;
    const Duration late = loop_.now() - Time(Duration(beat)) - kBeatInterval;
    worst = std::max<std::int64_t>(worst, late.count());
  }
  const auto lag = static_cast<std::uint64_t>(worst);
  return std::min(lag, std::exchange(lag_before_, lag));
}

admission::Use OverloadMonitor::read_descriptors() {
  std::uint64_t sockets = router_.overload().budget().connections.load(std::memory_order_relaxed);
  for (std::size_t i = 0; i < kWorkersMax; ++i) {
    sockets += router_.overload().cell(i).engine_connections.load(std::memory_order_relaxed);
  }
  if (loop_.now() >= recount_at_) {
    recount_at_ = loop_.now() + kRecountInterval;
    const std::uint64_t all = open_descriptors();
    other_descriptors_ = all - std::min(all, sockets);
  }
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  return {sockets + other_descriptors_, limit.rlim_cur == RLIM_INFINITY ? 0 : limit.rlim_cur};
}

admission::Readings OverloadMonitor::read(const config::LimitSettings& limits) {
  const net::ServerBudget& budget = router_.overload().budget();
  const auto use = [](std::uint64_t used, std::uint64_t limit) {
    return admission::Use{used, limit};
  };
  return {use(budget.connections.load(std::memory_order_relaxed), limits.connections),
          read_descriptors(),
          use(budget.buffered_bytes.load(std::memory_order_relaxed),
              std::max<std::uint64_t>(limits.buffered_bytes, 2 * limits.body_bytes)),
          use(resident_bytes(), limits.overload.memory_bytes.value_or(memory_auto_)),
          use(read_lag(), static_cast<std::uint64_t>(limits.overload.loop_lag.count()))};
}

void OverloadMonitor::sample() {
  timer_.arm(kSampleInterval);
  const auto generation = router_.generation().load();
  const config::LimitSettings& limits = generation->settings.limits;
  const admission::Readings readings = read(limits);
  const admission::Pressures pressures = admission::pressures_of(readings);
  const admission::OverloadActions next =
      admission::next_actions(router_.overload().actions(), pressures, limits.overload);
  tell(next, pressures, readings);
  router_.overload().set_actions(next);
  trim(pressures, limits.overload);
}

void OverloadMonitor::tell(admission::OverloadActions next, const admission::Pressures& pressures,
                           const admission::Readings& readings) {
  for (std::size_t i = 0; i < admission::kResourceCount; ++i) {
    pressure_[i]->set(std::min(pressures[i], 1.0));
  }
  for (std::size_t i = 0; i < admission::kOverloadActionCount; ++i) {
    const auto action = static_cast<OverloadAction>(i);
    if (next.has(action) == router_.overload().actions().has(action)) continue;
    active_[i]->set(next.has(action) ? 1 : 0);
    if (next.has(action)) {
      began_[i] = loop_.now();
      const Resource cause = cause_of(action, pressures);
      router_.log().warning("overload: {} begins: {} {}", to_string(action), to_string(cause),
                            amount(cause, readings[static_cast<std::size_t>(cause)]));
    } else {
      router_.log().info("overload: {} ends after {:.1f} s", to_string(action),
                         to_seconds(loop_.now() - began_[i]));
    }
  }
}

// The allocator keeps what was freed, which would be taken for use for ever.
void OverloadMonitor::trim(const admission::Pressures& pressures,
                           const config::OverloadSettings& settings) {
  const double memory = pressures[static_cast<std::size_t>(Resource::kMemory)];
  const double mildest = std::min(settings.tighten_buffers, settings.drop_idle);
  if (memory < mildest - settings.hysteresis || loop_.now() < trim_at_) return;
  trim_at_ = loop_.now() + kTrimInterval;
  ::malloc_trim(0);
}

}  // namespace fairlead::router
