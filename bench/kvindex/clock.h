// SPDX-License-Identifier: Apache-2.0
// Clocks of the KV index benchmark: processor time of the calling thread, ticks for what is too
// short for it, and resident memory. Thread-safe.
#pragma once

#include <sched.h>
#include <time.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>
#ifdef __x86_64__
#include <x86intrin.h>
#endif

namespace fairlead::bench {

inline std::uint64_t cpu_ns() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec);
}

inline std::uint64_t wall_ns() {
  return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch() /
                                    std::chrono::nanoseconds(1));
}

inline std::uint64_t ticks() {
#ifdef __x86_64__
  _mm_lfence();  // Nothing that came before is still under way.
  return __rdtsc();
#else
  return wall_ns();
#endif
}

inline double ns_a_tick() {
  static const double scale = [] {
    const std::uint64_t began = wall_ns();
    const std::uint64_t first = ticks();
    while (wall_ns() - began < 50'000'000) {
    }
    return static_cast<double>(wall_ns() - began) / static_cast<double>(ticks() - first);
  }();
  return scale;
}

// Bytes of private memory that are resident.
inline std::uint64_t resident() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:")) return std::strtoull(line.c_str() + 8, nullptr, 10) * 1024;
  }
  return 0;
}

inline void pin(unsigned core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  sched_setaffinity(0, sizeof set, &set);  // Without that processor, anywhere.
}

}  // namespace fairlead::bench
