// SPDX-License-Identifier: Apache-2.0
// TextTable: a table for the console, columns as wide as their widest cell and two spaces apart;
// the first is flush left, the others right. The same as an HTML table for reports, escaped, the
// first row its head. Values; thread-compatible. Failure: none.
#pragma once

#include <string>
#include <vector>

namespace fairlead::load {

class TextTable {
 public:
  void row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  void rule() { rows_.emplace_back(); }
  std::string text() const;
  std::string html() const;

 private:
  std::vector<std::vector<std::string>> rows_;  // An empty row is a rule.
};

}  // namespace fairlead::load
