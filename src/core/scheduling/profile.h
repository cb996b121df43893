// SPDX-License-Identifier: Apache-2.0
// Profile: an ordered set of configured plugins, and the runner that makes one decision with it:
// filters in order, then every scorer, then one picker. The same code decides in production, in
// the laboratory and in `explain`.
// Threads: a Profile is immutable and shared; a Runner holds scratch arrays, one per worker.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/scheduling/plugin.h"
#include "core/scheduling/plugin_watch.h"

namespace fairlead::scheduling {

struct Profile {
  struct NamedFilter {
    std::string name;
    std::unique_ptr<Filter> filter;
  };
  struct WeightedScorer {
    std::string name;
    std::unique_ptr<Scorer> scorer;
    float weight = 1;
  };

  std::string name;
  ScoreKind kind = ScoreKind::kUnit;
  std::vector<NamedFilter> filters;
  std::vector<WeightedScorer> scorers;
  std::string picker_name;
  std::unique_ptr<Picker> picker;
  // Around the three: asked before the filters, and at the end of an answer.
  struct NamedAdmitter {
    std::string name;
    std::unique_ptr<Admitter> admitter;
  };
  struct NamedReporter {
    std::string name;
    std::unique_ptr<Reporter> reporter;
  };
  std::vector<NamedAdmitter> admitters;
  std::vector<NamedReporter> reporters;
  Columns reads;  // The union over its plugins.

  // The first admitter that refuses decides. `watch` may be null.
  Admission admit(const model::InferenceRequest& request, const Candidates& table, Random& random,
                  PluginWatch* watch = nullptr) const;
};

// Why the chosen row won, in one word, for access log and metrics.
enum class Reason : std::uint8_t {
  kOnlyCandidate,  // One row was left.
  kPrefix,         // Won, and holds at least half of the prompt.
  kScore,          // Won on the total.
  kTie,            // The best total was shared.
  kNoScorer,       // The profile does not score.
  kHolder,         // It holds state that the request names.
};
inline constexpr std::size_t kReasonCount = 6;

std::string_view to_string(Reason reason);

struct Choice {
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);
  std::size_t row = kNone;  // In the candidate table; kNone when filters removed every row.
  Reason reason = Reason::kOnlyCandidate;
  float total = 0;                          // Of the winner; a cost is negative.
  float runner_up = 0;                      // The best other total.
  Ranking ranking;                          // Rows of the table, `row` first, then the fallbacks.
  std::size_t rows_left = 0;                // After the filters.
  const std::string* emptied_by = nullptr;  // The filter that removed the last row.
};

// Every term of one decision. The names belong to the profile.
struct Explanation {
  struct Removal {
    std::uint32_t row;
    const std::string* filter;
  };
  struct Term {
    const std::string* scorer;
    float weight;
    std::vector<float> values;  // Parallel to `rows`; as the scorer wrote them, clamped.
  };
  std::vector<Removal> removed;  // In the order of the filters.
  Rows rows;                     // That were left.
  std::vector<Term> terms;
  std::vector<float> totals;  // Parallel to `rows`; higher is better, a cost is negative.
};

class Runner {
 public:
  // `watch` may be null.
  explicit Runner(PluginWatch* watch = nullptr) : watch_(watch) {}

  // `table` has every row that may be chosen; `context` supplies chance and memory. `told`, which
  // may be null, is replaced by the terms; asking for them allocates.
  Choice decide(const Profile& profile, const model::InferenceRequest& request,
                const Candidates& table, DecisionContext& context, Explanation* told = nullptr);

  // The rows that survived the last decision's filters, and their totals.
  const Rows& rows() const { return rows_; }
  const std::vector<float>& totals() const { return totals_; }
  // Values outside their range, clamped; a plugin that causes them is broken.
  std::uint64_t out_of_range() const { return out_of_range_; }

 private:
  void add_scores(const Profile& profile, const model::InferenceRequest& request,
                  const Candidates& table, Explanation* told);
  static Reason reason_for(const Profile& profile, const model::InferenceRequest& request,
                           const Candidates& table, const Choice& choice);

  void done(PluginPoint point, std::size_t index, const std::string& name) const {
    if (watch_ != nullptr) watch_->done(point, index, name);
  }

  PluginWatch* watch_;
  Rows rows_;
  std::vector<float> column_;
  std::vector<float> totals_;
  std::uint64_t out_of_range_ = 0;
};

}  // namespace fairlead::scheduling
