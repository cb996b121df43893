// SPDX-License-Identifier: Apache-2.0
#include "lab/load/model/text_table.h"

#include <fmt/format.h>

#include <algorithm>

#include "lab/load/model/chart.h"

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

std::string TextTable::html() const {
  std::string out = "<table>";
  for (std::size_t row = 0; row < rows_.size(); ++row) {
    if (rows_[row].empty()) continue;
    out += row == 0 ? "<thead><tr>" : "<tr>";
    for (std::size_t i = 0; i < rows_[row].size(); ++i) {
      const std::string cell = escape_html(rows_[row][i]);
      if (row == 0) {
        out += fmt::format("<th scope=\"col\">{}</th>", cell);
      } else {
        out += i == 0 ? fmt::format("<th scope=\"row\">{}</th>", cell)
                      : fmt::format("<td>{}</td>", cell);
      }
    }
    out += row == 0 ? "</tr></thead><tbody>" : "</tr>";
  }
  return out + "</tbody></table>";
}

}  // namespace fairlead::load
