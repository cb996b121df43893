// SPDX-License-Identifier: Apache-2.0
#include "lab/load/model/text_table.h"

#include <fmt/format.h>

#include <algorithm>

namespace fairlead::load {

std::string TextTable::text() const {
  std::vector<std::size_t> widths;
  for (const auto& cells : rows_) {
    widths.resize(std::max(widths.size(), cells.size()), 0);
    for (std::size_t i = 0; i < cells.size(); ++i) {
      widths[i] = std::max(widths[i], cells[i].size());
    }
  }
  std::size_t total = widths.empty() ? 0 : 2 * (widths.size() - 1);
  for (const std::size_t width : widths) total += width;
  std::string out;
  for (const auto& cells : rows_) {
    std::string line = cells.empty() ? std::string(total, '-') : std::string();
    for (std::size_t i = 0; i < cells.size(); ++i) {
      if (i == 0) {
        line += fmt::format("{:<{}}", cells[i], widths[i]);
      } else {
        line += fmt::format("  {:>{}}", cells[i], widths[i]);
      }
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

}  // namespace fairlead::load
