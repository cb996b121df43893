// SPDX-License-Identifier: Apache-2.0
#include "core/config/document.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <exception>
#include <map>
#include <sstream>
#include <unordered_set>

#include "core/config/wording.h"

namespace fairlead::config {
namespace {

using Kind = Node::Kind;

// Builds the tree from the parser's events. After the first failure it ignores the rest, since
// the parser offers no way to stop but throwing.
class TreeBuilder final : public YAML::EventHandler {
 public:
  std::shared_ptr<const Node> root() const { return root_; }
  bool failed() const { return !failure_.empty(); }
  const std::string& failure() const { return failure_; }
  int failure_line() const { return failure_line_; }
  int start() const { return start_; }  // Of the last document, in characters.
  int start_line() const { return start_line_; }

  void OnDocumentStart(const YAML::Mark& mark) override {
    start_ = mark.pos;
    start_line_ = line_of(mark);
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    leaf(make(Kind::kNull, mark), anchor);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    auto node = make(Kind::kScalar, mark);
    node->plain = tag.empty() || tag == "?";
    node->text = value;
    leaf(std::move(node), anchor);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (failed()) return;
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) return fail(line_of(mark), "an alias inside its own anchor");
    place(found->second, line_of(mark));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(make(Kind::kSequence, mark), anchor);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(make(Kind::kMapping, mark), anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapEnd() override { close(); }

 private:
  struct Open {
    std::shared_ptr<Node> node;
    YAML::anchor_t anchor;
    bool has_key = false;  // Of a mapping: the next node is the value of `key`.
    std::string key;
    int key_line = 0;
  };

  static int line_of(const YAML::Mark& mark) { return mark.line + 1; }
  static std::shared_ptr<Node> make(Kind kind, const YAML::Mark& mark) {
    auto node = std::make_shared<Node>();
    node->kind = kind;
    node->line = line_of(mark);
    return node;
  }

  void fail(int line, std::string message) {
    failure_ = std::move(message);
    failure_line_ = line;
  }

  void leaf(std::shared_ptr<Node> node, YAML::anchor_t anchor) {
    if (failed()) return;
    if (anchor != 0) anchors_[anchor] = node;
    const int line = node->line;
    place(std::move(node), line);
  }

  void open(std::shared_ptr<Node> node, YAML::anchor_t anchor) {
    if (failed()) return;
    if (open_.size() >= kMaxNesting) {
      return fail(node->line, fmt::format("nested deeper than {} levels", kMaxNesting));
    }
    open_.push_back({std::move(node), anchor, false, {}, 0});
  }

  void close() {
    if (failed()) return;
    const Open done = std::move(open_.back());
    open_.pop_back();
    if (done.anchor != 0) anchors_[done.anchor] = done.node;
    place(done.node, done.node->line);
  }

  // `line` is where the node stands, which for an alias is not where it was written.
  void place(std::shared_ptr<const Node> node, int line) {
    if (open_.size() + node->height > kMaxNesting) {
      return fail(line, fmt::format("nested deeper than {} levels", kMaxNesting));
    }
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    Open& parent = open_.back();
    parent.node->nodes += node->nodes;
    if (parent.node->nodes > kMaxNodes) {
      return fail(line, fmt::format("more than {} values, aliases counted each time", kMaxNodes));
    }
    parent.node->height = std::max(parent.node->height, node->height + 1);
    if (parent.node->kind == Kind::kSequence) {
      parent.node->items.push_back(std::move(node));
    } else if (parent.has_key) {
      parent.node->entries.push_back({std::move(parent.key), parent.key_line, std::move(node)});
      parent.has_key = false;
    } else if (node->kind == Kind::kScalar && node->text.size() > kMaxKeyBytes) {
      fail(line, fmt::format("a key longer than {} bytes", kMaxKeyBytes));
    } else if (node->kind == Kind::kScalar) {
      parent.key = node->text;
      parent.key_line = line;
      parent.has_key = true;
    } else {
      fail(line, "a key must be text");
    }
  }

  std::shared_ptr<const Node> root_;
  std::vector<Open> open_;
  std::map<YAML::anchor_t, std::shared_ptr<const Node>> anchors_;
  std::string failure_;
  int failure_line_ = 0;
  int start_ = -1;
  int start_line_ = 0;
};

void report_duplicates(const Node& node, const std::string& path, std::string_view file,
                       Problems& problems) {
  std::unordered_set<std::string_view> seen;
  for (const Node::Entry& entry : node.entries) {
    const std::string inner = path.empty() ? entry.key : path + "." + entry.key;
    if (!seen.insert(entry.key).second) {
      problems.add({std::string(file), entry.line, path,
                    fmt::format("the key {} is given twice", in_quotes(entry.key)),
                    Severity::kError});
    }
    report_duplicates(*entry.value, inner, file, problems);
  }
  for (std::size_t i = 0; i < node.items.size(); ++i) {
    report_duplicates(*node.items[i], fmt::format("{}[{}]", path, i), file, problems);
  }
}

}  // namespace

std::shared_ptr<const Node> parse_document(std::string_view text, std::string_view file,
                                           Problems& problems) {
  const auto refuse = [&](int line, std::string message) {
    problems.add({std::string(file), line, "", std::move(message), Severity::kError});
    return nullptr;
  };
  if (text.size() > kMaxDocumentBytes) {
    return refuse(0, fmt::format("the document has {} bytes, more than the {} allowed", text.size(),
                                 kMaxDocumentBytes));
  }
  TreeBuilder first;
  TreeBuilder second;
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    parser.HandleNextDocument(first);
    const auto is_blank = [&] { return !second.root() || second.root()->kind == Kind::kNull; };
    int start = first.start();
    while (!first.failed() && is_blank() && parser.HandleNextDocument(second)) {
      // yaml-cpp 0.7 answers a stray flow sign, as in ", a: 1", with blank documents for ever.
      if (second.start() == start) {
        return refuse(second.start_line(), "not valid YAML: unexpected sign");
      }
      start = second.start();
    }
  } catch (const YAML::Exception& error) {
    if (!first.failed()) {
      return refuse(error.mark.is_null() ? 0 : error.mark.line + 1,
                    fmt::format("not valid YAML: {}", error.msg));
    }
  } catch (const std::exception& error) {
    return refuse(0, fmt::format("not valid YAML: {}", error.what()));
  }
  if (first.failed()) return refuse(first.failure_line(), first.failure());
  if (second.failed() || (second.root() && second.root()->kind != Kind::kNull)) {
    return refuse(second.failed() ? second.failure_line() : second.root()->line,
                  "a second document; only one is allowed");
  }
  if (!first.root()) return std::make_shared<Node>();
  report_duplicates(*first.root(), "", file, problems);
  return first.root();
}

}  // namespace fairlead::config
