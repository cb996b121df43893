// SPDX-License-Identifier: Apache-2.0
// LabelBudget: how many values a metric label may take, over all workers, because clients choose
// them. A value beyond the budget is reported as kOtherLabel. Thread-safe; asked only when a worker
// meets a value for the first time.
#pragma once

#include <cstddef>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <string_view>

namespace fairlead::extproc {

inline constexpr std::string_view kOtherLabel = "other";

class LabelBudget {
 public:
  explicit LabelBudget(std::size_t values_max) : values_max_(values_max) {}

  // The value, or kOtherLabel. An empty value costs nothing.
  std::string_view admit(std::string_view value) {
    if (value.empty()) return value;
    const std::lock_guard lock(mutex_);
    if (seen_.contains(value)) return value;
    if (seen_.size() >= values_max_) return kOtherLabel;
    seen_.emplace(value);
    return value;
  }

 private:
  std::mutex mutex_;
  std::size_t values_max_;
  std::set<std::string, std::less<>> seen_;
};

}  // namespace fairlead::extproc
