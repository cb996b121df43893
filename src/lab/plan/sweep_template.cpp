// SPDX-License-Identifier: Apache-2.0
#include "lab/plan/sweep_template.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace fairlead::plan {
namespace {

constexpr std::string_view kNameLetters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";

int lines_in(std::string_view text) { return static_cast<int>(std::ranges::count(text, '\n')); }

}  // namespace

Result<PolicyTemplate> PolicyTemplate::parse(std::string_view text, std::string_view file) {
  PolicyTemplate parsed;
  parsed.file_ = file;
  int line = 1;
  for (;;) {
    const std::size_t open = text.find("${");
    if (open == std::string_view::npos) break;
    line += lines_in(text.substr(0, open));
    const std::size_t close = text.find_first_of("}\n", open);
    if (close == std::string_view::npos || text[close] == '\n') {
      return fail(ErrorCode::kInvalidArgument, "{}:{}: ${{ has no }} on its line", file, line);
    }
    const std::string_view inside = text.substr(open + 2, close - open - 2);
    if (auto done = parsed.add_hole(inside, line, std::string(text.substr(0, open))); !done) {
      return tl::unexpected(done.error());
    }
    text.remove_prefix(close + 1);
  }
  parsed.pieces_.push_back({std::string(text), std::nullopt});
  return parsed;
}

Result<void> PolicyTemplate::add_hole(std::string_view inside, int line, std::string text_before) {
  const std::size_t colon = inside.find(':');
  const std::string_view name = inside.substr(0, colon);
  if (name.empty() || name.find_first_not_of(kNameLetters) != std::string_view::npos) {
    return fail(ErrorCode::kInvalidArgument,
                "{}:{}: ${{{}}} is no hole: write ${{name}} or ${{name:default}}, the name of "
                "letters, digits and _",
                file_, line, inside);
  }
  auto found = std::ranges::find(holes_, name, &Hole::name);
  if (found == holes_.end()) {
    holes_.push_back({std::string(name), std::nullopt, line});
    found = holes_.end() - 1;
  }
  if (colon != std::string_view::npos) {
    const std::string fallback(inside.substr(colon + 1));
    if (fallback.empty()) {
      return fail(ErrorCode::kInvalidArgument, "{}:{}: ${{{}}} has an empty default", file_, line,
                  inside);
    }
    if (found->fallback && *found->fallback != fallback) {
      return fail(ErrorCode::kInvalidArgument, "{}:{}: ${{{}}} has another default than before, {}",
                  file_, line, inside, *found->fallback);
    }
    found->fallback = fallback;
  }
  pieces_.push_back({std::move(text_before), static_cast<std::size_t>(found - holes_.begin())});
  return {};
}

const Hole* PolicyTemplate::find(std::string_view name) const {
  const auto found = std::ranges::find(holes_, name, &Hole::name);
  return found == holes_.end() ? nullptr : &*found;
}

Result<std::string> PolicyTemplate::fill(const Parameters& parameters) const {
  std::vector<const std::string*> values;
  for (const Hole& hole : holes_) values.push_back(hole.fallback ? &*hole.fallback : nullptr);
  for (const auto& [name, value] : parameters) {
    const Hole* hole = find(name);
    if (hole == nullptr) {
      std::vector<std::string> names;
      for (const Hole& other : holes_) names.push_back("${" + other.name + "}");
      return fail(ErrorCode::kInvalidArgument,
                  "{} is varied, but {} has no hole ${{{}}}; it has {}", name, file_, name,
                  names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", ")));
    }
    values[static_cast<std::size_t>(hole - holes_.data())] = &value;
  }
  std::string text;
  for (const Piece& piece : pieces_) {
    text += piece.text;
    if (!piece.hole) continue;
    const Hole& hole = holes_[*piece.hole];
    if (values[*piece.hole] == nullptr) {
      return fail(ErrorCode::kInvalidArgument,
                  "{}:{}: ${{{}}} has no value: vary it, or write ${{{}:default}}", file_,
                  hole.line, hole.name, hole.name);
    }
    text += *values[*piece.hole];
  }
  return text;
}

}  // namespace fairlead::plan
