// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/plugins/scorer/bounded_hash_scorer.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <vector>

namespace fairlead::scheduling {
namespace {

constexpr int kRingBits = 64;

// FNV-1a, mixed, because the names of endpoints differ in a byte or two.
std::uint64_t hash_of(std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return mix64(hash);
}

class BoundedHashScorer final : public Scorer {
 public:
  BoundedHashScorer(std::size_t leading_blocks, std::size_t replication, double load_factor)
      : leading_blocks_(leading_blocks), load_factor_(load_factor), points_(replication) {
    for (std::size_t i = 0; i < replication; ++i) points_[i] = mix64(i + 1);
    std::ranges::sort(points_);
  }

  void score(const model::InferenceRequest& request, const Candidates& table,
             std::span<const std::uint32_t> rows, std::span<float> out) const override {
    double sum = 0;
    for (const std::uint32_t row : rows) sum += static_cast<double>(table.inflight_requests[row]);
    const double bound = sum == 0 ? 1 : load_factor_ * (sum + 1) / static_cast<double>(rows.size());
    const std::size_t blocks = std::min(leading_blocks_, request.keys.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const double load = static_cast<double>(table.inflight_requests[rows[i]]) + 1;
      const double way =
          blocks == 0 ? 0 : way_to(table.endpoint[rows[i]]->name, request.keys[blocks - 1]);
      const double near = 0.5 / (1 + static_cast<double>(points_.size()) * way);
      out[i] = static_cast<float>(load <= bound ? 0.5 + near : near);
    }
  }

 private:
  double way_to(std::string_view name, std::uint64_t key) const {
    const std::uint64_t start = mix64(key) - hash_of(name);
    const auto next = std::ranges::lower_bound(points_, start);
    const std::uint64_t point = next == points_.end() ? points_.front() : *next;
    return std::ldexp(static_cast<double>(point - start), -kRingBits);
  }

  std::size_t leading_blocks_;
  double load_factor_;
  std::vector<std::uint64_t> points_;  // Ascending.
};

std::unique_ptr<Scorer> create_bounded_hash_scorer(config::Section& parameters) {
  const auto blocks = static_cast<std::size_t>(parameters.integer("leadingBlocks", 1, 1, 1'000));
  const auto points = static_cast<std::size_t>(parameters.integer("replication", 256, 1, 65'536));
  const double factor = parameters.number("meanLoadFactor", 1.25, 1, 1e6);
  return std::make_unique<BoundedHashScorer>(blocks, points, factor);
}

}  // namespace

ScorerSpec bounded_hash_scorer_spec() {
  return {"bounded-hash-scorer",
          Stability::kAlpha,
          {Column::kInFlightRequests},
          ScoreKind::kUnit,
          create_bounded_hash_scorer};
}

}  // namespace fairlead::scheduling
