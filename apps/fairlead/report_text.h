// SPDX-License-Identifier: Apache-2.0
// What a report says around its figures (the machine, the date and the command, as this program
// finds them), and the file it goes to. Threads: main only.
#pragma once

#include <CLI/App.hpp>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "lab/load/model/report.h"

namespace fairlead::app {

// Fills `generated` and `machine`; the rest is the caller's.
void describe_machine(load::ReportText& text);

// The command as it was given, fit for a shell, without the flags in `left_out`. A key is shown as
// the variable that may hold it, never as its value.
std::string command_text(const CLI::App& command, std::initializer_list<std::string_view> left_out);

// A file to be written at the end of a long run, found to be writable before it. What is in it
// stays until then; a file that was not there is removed again when nothing is written.
class ReportFile {
 public:
  // Null for an empty path.
  static Result<std::unique_ptr<ReportFile>> open(const std::string& path);
  ~ReportFile();
  ReportFile(const ReportFile&) = delete;
  ReportFile& operator=(const ReportFile&) = delete;

  Result<void> write(std::string_view content);
  const std::string& path() const { return path_; }

 private:
  explicit ReportFile(std::string path) : path_(std::move(path)) {}

  std::string path_;
  bool is_litter_ = false;  // Made here and still empty.
};

}  // namespace fairlead::app
