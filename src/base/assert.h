// SPDX-License-Identifier: Apache-2.0
// Assertions for programmer errors only; they stay on in release builds. Never assert on what a
// peer, a file or an operator controls: that is a Result or a typed outcome.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace fairlead {

[[noreturn]] inline void assertion_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, condition);
  std::abort();
}

}  // namespace fairlead

#define FAIRLEAD_ASSERT(condition) \
  ((condition) ? void() : ::fairlead::assertion_failed(#condition, __FILE__, __LINE__))

#ifdef NDEBUG
#define FAIRLEAD_DEBUG_ASSERT(condition) void()
#else
#define FAIRLEAD_DEBUG_ASSERT(condition) FAIRLEAD_ASSERT(condition)
#endif
