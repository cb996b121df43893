// SPDX-License-Identifier: Apache-2.0
// LabelBudget: how many values a metric label may take, over all workers, because clients choose
// them. LabelValues: one worker's view of it, which asks the budget, behind a lock, only for a
// value that it meets for the first time, and not at all once the budget is spent. What is too
// long, not printable UTF-8, or beyond the budget is kOtherLabel. Threads: LabelBudget any;
// LabelValues the worker's.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <string_view>

namespace fairlead::extproc {

inline constexpr std::string_view kOtherLabel = "other";
inline constexpr std::size_t kLabelBytesMax = 128;

class LabelBudget {
 public:
  explicit LabelBudget(std::size_t values_max) : values_max_(values_max) {}

  bool spent() const { return spent_.load(std::memory_order_relaxed); }
  // Whether the value may be a label.
  bool admit(std::string_view value);

 private:
  std::atomic<bool> spent_{false};
  std::mutex mutex_;
  std::size_t values_max_;
  std::set<std::string, std::less<>> seen_;
};

class LabelValues {
 public:
  explicit LabelValues(LabelBudget& budget) : budget_(budget) {}

  // The value, or kOtherLabel. An empty value costs nothing.
  std::string_view admit(std::string_view value);

 private:
  LabelBudget& budget_;
  std::set<std::string, std::less<>> admitted_;
};

}  // namespace fairlead::extproc
