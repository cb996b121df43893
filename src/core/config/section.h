// SPDX-License-Identifier: Apache-2.0
// Section: one YAML mapping read strictly. Every getter names its key, default and range; a wrong
// type, an out-of-range value, a duplicate or an unread (unknown) key becomes a Problem with its
// path and line, and reading goes on, so that all problems of a document are reported at once.
//
//   Section root = Section::parse(text, "serve.yaml", problems);
//   settings.workers = root.integer("workers", 1, 1, 256);
//   root.finish();  // Reports what nobody asked for.
//
// Durations are written as Go writes them ("50ms", "1m30s"), sizes as bytes with an optional
// k/Ki/M/Mi/G/Gi suffix. A key whose value is null counts as absent. A copy shares the record of
// read keys with its original. Thread-compatible. yaml-cpp stays inside document.cpp.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/time.h"

namespace fairlead::config {

enum class Severity : std::uint8_t { kError, kWarning };

struct Problem {
  std::string file;
  int line = 0;      // From 1; 0 when the document has no such place.
  std::string path;  // As in plugins[2].parameters.weight.
  std::string message;
  Severity severity = Severity::kError;
};

class Problems {
 public:
  // Beyond this many only the count grows, so that a hostile document cannot fill memory.
  static constexpr std::size_t kMaxListed = 1000;

  void add(Problem problem);
  bool has_errors() const { return has_errors_; }
  const std::vector<Problem>& list() const { return list_; }
  // One line a problem, "file:line: path: message", sorted by file and line.
  std::string to_string() const;

 private:
  std::vector<Problem> list_;
  std::size_t unlisted_ = 0;
  bool has_errors_ = false;
};

class Section {
 public:
  // A document that is not YAML, or whose root is not a mapping, gives an empty section and a
  // problem; a blank document is an empty section. Bounds: document.h. `problems` outlives every
  // section made from it.
  static Section parse(std::string_view text, std::string_view file, Problems& problems);
  // A section with no keys, for parts of a document that are absent.
  static Section empty(Problems& problems, std::string_view path);

  bool has(std::string_view key) const;
  // In the order of the document, without those that are null.
  std::vector<std::string> keys() const;
  std::string text(std::string_view key, std::string_view fallback);
  // A missing key is an error.
  std::string required_text(std::string_view key);
  double number(std::string_view key, double fallback, double min, double max);
  std::int64_t integer(std::string_view key, std::int64_t fallback, std::int64_t min,
                       std::int64_t max);
  std::optional<bool> boolean(std::string_view key);
  Duration duration(std::string_view key, Duration fallback, Duration min, Duration max);
  std::int64_t bytes(std::string_view key, std::int64_t fallback, std::int64_t min,
                     std::int64_t max);
  // One of the given words.
  std::string choice(std::string_view key, std::string_view fallback,
                     const std::vector<std::string_view>& words);
  std::vector<std::string> texts(std::string_view key);
  // An empty list is an error.
  std::vector<std::string> required_texts(std::string_view key);
  // A mapping of scalars, sorted by key.
  std::vector<std::pair<std::string, std::string>> text_map(std::string_view key);
  // An absent child is an empty section.
  Section child(std::string_view key);
  std::vector<Section> children(std::string_view key);
  // Marks the key as known, whatever its value.
  void skip(std::string_view key);

  // An empty key means the section itself.
  void error(std::string_view key, std::string_view message) const;
  void warning(std::string_view key, std::string_view message) const;
  // Of the whole document so far, warnings too; grows no more once it is kMaxListed.
  std::size_t problem_count() const;
  const std::string& path() const;
  int line() const;
  // The section as written, in YAML's flow form on one line, without what is null: {a: "1", b:
  // [c]}.
  std::string flow_yaml() const;

  // Reports the keys that no getter asked for; children finish themselves.
  void finish() const;

 private:
  struct State;
  explicit Section(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace fairlead::config
