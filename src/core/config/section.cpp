// SPDX-License-Identifier: Apache-2.0
#include "core/config/section.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>
#include <tuple>

#include "core/config/document.h"
#include "core/config/units.h"
#include "core/config/wording.h"

namespace fairlead::config {
namespace {

using Kind = Node::Kind;

// A reader who misspelt a key is helped by the list of right ones, unless it is endless.
constexpr std::size_t kMaxKeysNamed = 16;
// A number out of range is shown as it was written, if anybody would write it.
constexpr std::size_t kMaxNumberShown = 40;

// Whether YAML reads the text without quotes as the same text, in a flow collection too.
bool is_plain_word(std::string_view text) {
  constexpr std::string_view kBytes =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/-";
  return !text.empty() && text != "-" && text != "null" && text != "Null" && text != "NULL" &&
         text.find_first_not_of(kBytes) == std::string_view::npos;
}

std::string describe(const Node& node) {
  switch (node.kind) {
    case Kind::kNull:
      return "nothing";
    case Kind::kSequence:
      return "a list";
    case Kind::kMapping:
      return "a mapping";
    case Kind::kScalar:
      break;
  }
  return node.plain ? in_quotes(node.text) : fmt::format("the text {}", in_quotes(node.text));
}

std::string flow_text(const Node& node) {
  std::string out;
  switch (node.kind) {
    case Kind::kNull:
      return "~";
    case Kind::kScalar:
      return node.plain && is_plain_word(node.text) ? node.text : yaml_quoted(node.text);
    case Kind::kSequence:
      for (const auto& item : node.items) out += (out.empty() ? "" : ", ") + flow_text(*item);
      return "[" + out + "]";
    case Kind::kMapping:
      break;
  }
  for (const Node::Entry& entry : node.entries) {
    if (entry.value->kind == Kind::kNull) continue;
    const std::string key = is_plain_word(entry.key) ? entry.key : yaml_quoted(entry.key);
    out += fmt::format("{}{}: {}", out.empty() ? "" : ", ", key, flow_text(*entry.value));
  }
  return "{" + out + "}";
}

template <class Number>
std::optional<Number> parse_number(const Node& node) {
  if (!node.plain) return std::nullopt;
  const char* const end = node.text.data() + node.text.size();
  Number value{};
  const auto [stop, error] = std::from_chars(node.text.data(), end, value);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return value;
}

}  // namespace

void Problems::add(Problem problem) {
  has_errors_ = has_errors_ || problem.severity == Severity::kError;
  if (list_.size() < kMaxListed) {
    list_.push_back(std::move(problem));
  } else {
    ++unlisted_;
  }
}

std::string Problems::to_string() const {
  std::vector<const Problem*> sorted;
  for (const Problem& problem : list_) sorted.push_back(&problem);
  // The address, which is the order of finding, decides between problems of one line.
  std::ranges::sort(sorted, [](const Problem* a, const Problem* b) {
    return std::tie(a->file, a->line, a) < std::tie(b->file, b->line, b);
  });
  std::string out;
  for (const Problem* problem : sorted) {
    if (!problem->file.empty()) out += problem->file + ":";
    if (problem->line > 0) out += fmt::format("{}:", problem->line);
    if (!out.empty() && out.back() == ':') out += ' ';
    if (problem->severity == Severity::kWarning) out += "warning: ";
    if (!problem->path.empty()) out += problem->path + ": ";
    out += problem->message + "\n";
  }
  if (unlisted_ > 0) out += fmt::format("and {} more problems\n", unlisted_);
  return out;
}

struct Section::State {
  std::shared_ptr<const Node> node;  // Null, or a mapping.
  std::string file;
  std::string path;
  int line = 0;
  Problems* problems = nullptr;
  std::set<std::string, std::less<>> asked;

  const Node::Entry* find(std::string_view key) const {
    if (!node) return nullptr;
    const auto found = std::ranges::find(node->entries, key, &Node::Entry::key);
    return found == node->entries.end() || found->value->kind == Kind::kNull ? nullptr : &*found;
  }
  std::string path_of(std::string_view key) const {
    if (key.empty() || path.empty()) return key.empty() ? path : std::string(key);
    return fmt::format("{}.{}", path, key);
  }
  int line_of(std::string_view key) const {
    const Node::Entry* entry = key.empty() ? nullptr : find(key);
    return entry == nullptr ? line : entry->line;
  }
  void report(std::string_view key, std::string_view message, Severity severity) const {
    problems->add({file, line_of(key), path_of(key), std::string(message), severity});
  }
  void wrong_type(std::string_view key, std::string_view expected, const Node& found) const {
    report(key, fmt::format("expected {}, found {}", expected, describe(found)), Severity::kError);
  }
  // The value of the key if it has this kind; another kind is reported.
  const Node* ask(std::string_view key, Kind kind, std::string_view expected) {
    asked.emplace(key);
    const Node::Entry* entry = find(key);
    if (entry == nullptr) return nullptr;
    if (entry->value->kind == kind) return entry->value.get();
    wrong_type(key, expected, *entry->value);
    return nullptr;
  }
  template <class Value>
  Value in_range(std::string_view key, const Node& found, Value value, Value fallback, Value min,
                 Value max, std::string (*print)(Value)) const {
    if (value >= min && value <= max) return value;
    report(key,
           fmt::format("must be from {} to {}, is {}", print(min), print(max),
                       std::string_view(found.text).substr(0, kMaxNumberShown)),
           Severity::kError);
    return fallback;
  }
};

Section::Section(std::shared_ptr<State> state) : state_(std::move(state)) {}

Section Section::parse(std::string_view text, std::string_view file, Problems& problems) {
  auto state = std::make_shared<State>();
  state->file = file;
  state->line = 1;
  state->problems = &problems;
  const auto root = parse_document(text, file, problems);
  if (root && root->kind == Kind::kMapping) {
    state->node = root;
  } else if (root && root->kind != Kind::kNull) {
    state->line = root->line;
    state->wrong_type("", "a mapping", *root);
  }
  return Section(std::move(state));
}

Section Section::empty(Problems& problems, std::string_view path) {
  auto state = std::make_shared<State>();
  state->path = path;
  state->problems = &problems;
  return Section(std::move(state));
}

bool Section::has(std::string_view key) const { return state_->find(key) != nullptr; }

std::vector<std::string> Section::keys() const {
  std::vector<std::string> keys;
  if (!state_->node) return keys;
  for (const Node::Entry& entry : state_->node->entries) {
    if (entry.value->kind != Kind::kNull) keys.push_back(entry.key);
  }
  return keys;
}

std::string Section::text(std::string_view key, std::string_view fallback) {
  const Node* node = state_->ask(key, Kind::kScalar, "text");
  return node == nullptr ? std::string(fallback) : node->text;
}

std::string Section::required_text(std::string_view key) {
  if (!has(key)) {
    state_->asked.emplace(key);
    error("", fmt::format("{} is missing", in_quotes(key)));
    return "";
  }
  const Node* node = state_->ask(key, Kind::kScalar, "text");
  if (node != nullptr && node->text.empty()) error(key, "must not be empty");
  return node == nullptr ? "" : node->text;
}

double Section::number(std::string_view key, double fallback, double min, double max) {
  const Node* node = state_->ask(key, Kind::kScalar, "a number");
  if (node == nullptr) return fallback;
  const auto value = parse_number<double>(*node);
  if (!value || !std::isfinite(*value)) {
    state_->wrong_type(key, "a number", *node);
    return fallback;
  }
  return state_->in_range(
      key, *node, *value, fallback, min, max,
      +[](double shown) { return fmt::format("{}", shown); });
}

std::int64_t Section::integer(std::string_view key, std::int64_t fallback, std::int64_t min,
                              std::int64_t max) {
  const Node* node = state_->ask(key, Kind::kScalar, "a whole number");
  if (node == nullptr) return fallback;
  const auto value = parse_number<std::int64_t>(*node);
  if (!value) {
    state_->wrong_type(key, "a whole number", *node);
    return fallback;
  }
  return state_->in_range(
      key, *node, *value, fallback, min, max,
      +[](std::int64_t shown) { return fmt::format("{}", shown); });
}

std::optional<bool> Section::boolean(std::string_view key) {
  const Node* node = state_->ask(key, Kind::kScalar, "true or false");
  if (node == nullptr) return std::nullopt;
  if (node->plain && node->text == "true") return true;
  if (node->plain && node->text == "false") return false;
  state_->wrong_type(key, "true or false", *node);
  return std::nullopt;
}

Duration Section::duration(std::string_view key, Duration fallback, Duration min, Duration max) {
  constexpr std::string_view kExpected = "a duration with its unit, such as 50ms or 1m30s";
  const Node* node = state_->ask(key, Kind::kScalar, kExpected);
  if (node == nullptr) return fallback;
  const auto value = parse_duration(node->text);
  if (!value) {
    state_->wrong_type(key, kExpected, *node);
    return fallback;
  }
  return state_->in_range(key, *node, *value, fallback, min, max, duration_text);
}

std::int64_t Section::bytes(std::string_view key, std::int64_t fallback, std::int64_t min,
                            std::int64_t max) {
  constexpr std::string_view kExpected = "a size in bytes, such as 65536, 64Ki or 1Gi";
  const Node* node = state_->ask(key, Kind::kScalar, kExpected);
  if (node == nullptr) return fallback;
  const auto value = parse_bytes(node->text);
  if (!value) {
    state_->wrong_type(key, kExpected, *node);
    return fallback;
  }
  return state_->in_range(key, *node, *value, fallback, min, max, bytes_text);
}

std::string Section::choice(std::string_view key, std::string_view fallback,
                            const std::vector<std::string_view>& words) {
  const Node* node = state_->ask(key, Kind::kScalar, "a word");
  if (node == nullptr || std::ranges::find(words, node->text) != words.end()) {
    return node == nullptr ? std::string(fallback) : node->text;
  }
  error(key,
        fmt::format("must be one of {}, is {}", fmt::join(words, ", "), in_quotes(node->text)));
  return std::string(fallback);
}

std::vector<std::string> Section::texts(std::string_view key) {
  std::vector<std::string> out;
  const Node* node = state_->ask(key, Kind::kSequence, "a list of texts");
  if (node == nullptr) return out;
  for (std::size_t i = 0; i < node->items.size(); ++i) {
    const Node& item = *node->items[i];
    if (item.kind == Kind::kScalar) {
      out.push_back(item.text);
    } else {
      state_->problems->add({state_->file, item.line,
                             fmt::format("{}[{}]", state_->path_of(key), i),
                             "expected text, found " + describe(item), Severity::kError});
    }
  }
  return out;
}

std::vector<std::string> Section::required_texts(std::string_view key) {
  const Node* node = state_->ask(key, Kind::kSequence, "a list of texts");
  if (node != nullptr && node->items.empty()) error(key, "must not be an empty list");
  return node == nullptr ? std::vector<std::string>{} : texts(key);
}

std::vector<std::pair<std::string, std::string>> Section::text_map(std::string_view key) {
  std::vector<std::pair<std::string, std::string>> out;
  const Node* node = state_->ask(key, Kind::kMapping, "a mapping of texts");
  if (node == nullptr) return out;
  for (const Node::Entry& entry : node->entries) {
    if (entry.value->kind == Kind::kScalar) {
      out.emplace_back(entry.key, entry.value->text);
    } else {
      state_->problems->add({state_->file, entry.line, state_->path_of(key) + "." + entry.key,
                             "expected text, found " + describe(*entry.value), Severity::kError});
    }
  }
  std::ranges::sort(out);
  return out;
}

Section Section::child(std::string_view key) {
  auto state = std::make_shared<State>(*state_);
  state->asked.clear();
  state->node = nullptr;
  state->path = state_->path_of(key);
  state->line = state_->line_of(key);
  if (state_->ask(key, Kind::kMapping, "a mapping") != nullptr) {
    state->node = state_->find(key)->value;
  }
  return Section(std::move(state));
}

std::vector<Section> Section::children(std::string_view key) {
  std::vector<Section> out;
  const Node* node = state_->ask(key, Kind::kSequence, "a list of mappings");
  if (node == nullptr) return out;
  for (std::size_t i = 0; i < node->items.size(); ++i) {
    auto state = std::make_shared<State>();
    state->file = state_->file;
    state->path = fmt::format("{}[{}]", state_->path_of(key), i);
    state->line = node->items[i]->line;
    state->problems = state_->problems;
    if (node->items[i]->kind == Kind::kMapping) {
      state->node = node->items[i];
      out.push_back(Section(std::move(state)));
    } else {
      state->wrong_type("", "a mapping", *node->items[i]);
    }
  }
  return out;
}

void Section::skip(std::string_view key) { state_->asked.emplace(key); }

void Section::error(std::string_view key, std::string_view message) const {
  state_->report(key, message, Severity::kError);
}

void Section::warning(std::string_view key, std::string_view message) const {
  state_->report(key, message, Severity::kWarning);
}

std::size_t Section::problem_count() const { return state_->problems->list().size(); }

const std::string& Section::path() const { return state_->path; }

int Section::line() const { return state_->line; }

std::string Section::flow_yaml() const {
  return state_->node ? flow_text(*state_->node) : std::string("{}");
}

void Section::finish() const {
  if (!state_->node) return;
  const std::vector<std::string_view> known(state_->asked.begin(), state_->asked.end());
  for (const Node::Entry& entry : state_->node->entries) {
    if (state_->asked.contains(entry.key)) continue;
    // The search for a hint is the dear part, and unlisted problems do not show it.
    if (state_->problems->list().size() >= Problems::kMaxListed) {
      state_->problems->add({state_->file, entry.line, "", "unknown key", Severity::kError});
      continue;
    }
    std::string hint = did_you_mean(entry.key, known);
    if (hint.empty() && !known.empty() && known.size() <= kMaxKeysNamed) {
      hint = fmt::format("; known here: {}", fmt::join(known, ", "));
    }
    state_->problems->add({state_->file, entry.line, state_->path_of(entry.key),
                           "unknown key" + hint, Severity::kError});
  }
}

}  // namespace fairlead::config
