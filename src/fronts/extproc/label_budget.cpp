// SPDX-License-Identifier: Apache-2.0
#include "fronts/extproc/label_budget.h"

#include <algorithm>

#include "core/codec/json_text.h"

namespace fairlead::extproc {
namespace {

// Prometheus refuses a whole page for one value that is not UTF-8.
bool is_printable(std::string_view value) {
  const bool controls = std::ranges::any_of(
      value, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
  return !controls && codec::is_utf8(value);
}

}  // namespace

bool LabelBudget::admit(std::string_view value) {
  const std::lock_guard lock(mutex_);
  if (seen_.contains(value)) return true;
  if (seen_.size() >= values_max_) return false;
  seen_.emplace(value);
  if (seen_.size() == values_max_) spent_.store(true, std::memory_order_relaxed);
  return true;
}

std::string_view LabelValues::admit(std::string_view value) {
  if (value.empty() || value == kOtherLabel) return value;
  if (value.size() > kLabelBytesMax) return kOtherLabel;
  if (admitted_.contains(value)) return value;
  // Values that other workers had admitted before the budget was spent are others here.
  if (budget_.spent() || !is_printable(value) || !budget_.admit(value)) return kOtherLabel;
  admitted_.emplace(value);
  return value;
}

}  // namespace fairlead::extproc
