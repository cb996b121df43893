// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/plugins/scorer/context_length_aware.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <utility>

namespace fairlead::scheduling {
namespace {

struct Range {
  enum class Kind { kNone, kBad, kGood };
  Kind kind = Kind::kNone;
  double min = 0;
  double max = 0;

  bool holds(double tokens) const { return tokens >= min && tokens <= max; }
};

bool parse_count(std::string_view text, double& out) {
  std::uint64_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  out = static_cast<double>(count);
  return !text.empty() && error == std::errc{} && end == text.data() + text.size();
}

// An empty label is one that is no range.
Range range_of(const model::Endpoint& endpoint, const std::string& label) {
  const auto found =
      std::ranges::find(endpoint.labels, label, &std::pair<std::string, std::string>::first);
  if (found == endpoint.labels.end()) return {};
  const std::string_view text = found->second;
  const std::size_t dash = text.find('-');
  Range range{Range::Kind::kBad, 0, 0};
  if (dash != std::string_view::npos && parse_count(text.substr(0, dash), range.min) &&
      parse_count(text.substr(dash + 1), range.max) && range.min <= range.max) {
    range.kind = Range::Kind::kGood;
  }
  return range;
}

double score_of(const Range& range, double tokens) {
  if (range.kind == Range::Kind::kNone) return 0.5;
  if (range.kind == Range::Kind::kBad) return 0;
  const double width = range.max - range.min;
  if (!range.holds(tokens)) {
    const double distance = tokens < range.min ? range.min - tokens : tokens - range.max;
    return 0.3 / (1 + distance / 1000);
  }
  if (width == 0) return 1;
  return 0.3 + 0.7 * (0.7 / (1 + width / 10000) + 0.3 * (range.max - tokens) / width);
}

class ContextLengthScorer final : public Scorer {
 public:
  explicit ContextLengthScorer(std::string label) : label_(std::move(label)) {}

  void score(const model::InferenceRequest& request, const Candidates& table,
             std::span<const std::uint32_t> rows, std::span<float> out) const override {
    const auto tokens = static_cast<double>(request.prompt_tokens);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      out[i] = static_cast<float>(score_of(range_of(*table.endpoint[rows[i]], label_), tokens));
    }
  }

 private:
  std::string label_;
};

enum class Filtering { kOff, kOn };

class ContextLengthFilter final : public Filter {
 public:
  ContextLengthFilter(std::string label, Filtering filtering)
      : label_(std::move(label)), filtering_(filtering) {}

  void narrow(const model::InferenceRequest& request, const Candidates& table, Rows& rows,
              DecisionContext&) const override {
    if (filtering_ == Filtering::kOff) return;
    const auto tokens = static_cast<double>(request.prompt_tokens);
    std::erase_if(rows, [&](std::uint32_t row) {
      const Range range = range_of(*table.endpoint[row], label_);
      return range.kind == Range::Kind::kBad ||
             (range.kind == Range::Kind::kGood && !range.holds(tokens));
    });
  }

 private:
  std::string label_;
  Filtering filtering_;
};

struct Parameters {
  std::string label;
  Filtering filtering;
};

Parameters read(config::Section& parameters) {
  return {parameters.text("label", "llm-d.ai/context-length-range"),
          parameters.boolean("enableFiltering").value_or(false) ? Filtering::kOn : Filtering::kOff};
}

std::unique_ptr<Filter> create_filter(config::Section& parameters) {
  Parameters given = read(parameters);
  return std::make_unique<ContextLengthFilter>(std::move(given.label), given.filtering);
}

std::unique_ptr<Scorer> create_scorer(config::Section& parameters) {
  return std::make_unique<ContextLengthScorer>(read(parameters).label);
}

constexpr std::string_view kType = "context-length-aware";

}  // namespace

FilterSpec context_length_aware_filter_spec() {
  return {kType, Stability::kBeta, {Column::kLabels}, create_filter};
}

ScorerSpec context_length_aware_scorer_spec() {
  return {kType, Stability::kBeta, {Column::kLabels}, ScoreKind::kUnit, create_scorer};
}

}  // namespace fairlead::scheduling
