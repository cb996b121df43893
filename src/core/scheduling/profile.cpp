// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/profile.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "base/assert.h"

namespace fairlead::scheduling {
namespace {

// `told.rows` are those before the filter, `left` those after it, in its own order.
void note_removals(const std::string& filter, const Rows& left, Explanation& told) {
  Rows sorted = left;
  std::ranges::sort(sorted);
  for (const std::uint32_t row : told.rows) {
    if (!std::ranges::binary_search(sorted, row)) told.removed.push_back({row, &filter});
  }
  told.rows = left;
}

}  // namespace

std::string_view to_string(Reason reason) {
  switch (reason) {
    case Reason::kOnlyCandidate:
      return "only_candidate";
    case Reason::kPrefix:
      return "prefix";
    case Reason::kScore:
      return "score";
    case Reason::kTie:
      return "tie";
    case Reason::kNoScorer:
      return "no_scorer";
    case Reason::kHolder:
      return "holder";
  }
  return "unknown";
}

Admission Profile::admit(const model::InferenceRequest& request, const Candidates& table,
                         Random& random, PluginWatch* watch) const {
  if (watch != nullptr) watch->begin();
  for (std::size_t i = 0; i < admitters.size(); ++i) {
    const Admission admission = admitters[i].admitter->admit(request, table, random);
    if (watch != nullptr) watch->done(PluginPoint::kAdmission, i, admitters[i].name);
    if (admission != Admission::kAdmitted) return admission;
  }
  return Admission::kAdmitted;
}

void Runner::add_scores(const Profile& profile, const model::InferenceRequest& request,
                        const Candidates& table, Explanation* told) {
  const bool costs = profile.kind == ScoreKind::kTokens;
  const float top = costs ? std::numeric_limits<float>::max() : 1.0F;
  for (std::size_t number = 0; number < profile.scorers.size(); ++number) {
    const auto& entry = profile.scorers[number];
    column_.assign(rows_.size(), 0.0F);
    entry.scorer->score(request, table, rows_, column_);
    const float weight = costs ? -entry.weight : entry.weight;
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      // The negated form also catches NaN.
      if (!(column_[i] >= 0.0F && column_[i] <= top)) {
        ++out_of_range_;
        column_[i] = column_[i] > top ? top : 0.0F;
      }
      totals_[i] += weight * column_[i];
    }
    done(PluginPoint::kScorer, number, entry.name);
    if (told != nullptr) told->terms.push_back({&entry.name, entry.weight, column_});
  }
}

Reason Runner::reason_for(const Profile& profile, const model::InferenceRequest& request,
                          const Candidates& table, const Choice& choice) {
  if (choice.rows_left == 1) return Reason::kOnlyCandidate;
  const float cached = table.cached_tokens[choice.row];
  if (cached > 0 && 2 * static_cast<double>(cached) >= static_cast<double>(request.prompt_tokens)) {
    return Reason::kPrefix;
  }
  if (profile.scorers.empty()) return Reason::kNoScorer;
  return choice.total == choice.runner_up ? Reason::kTie : Reason::kScore;
}

Choice Runner::decide(const Profile& profile, const model::InferenceRequest& request,
                      const Candidates& table, DecisionContext& context, Explanation* told) {
  Choice choice;
  if (told != nullptr) *told = {};
  rows_.resize(table.size());
  std::iota(rows_.begin(), rows_.end(), 0U);
  if (watch_ != nullptr) watch_->begin();
  for (std::size_t i = 0; i < profile.filters.size() && !rows_.empty(); ++i) {
    const auto& entry = profile.filters[i];
    if (told != nullptr) told->rows = rows_;
    entry.filter->narrow(request, table, rows_, context);
    done(PluginPoint::kFilter, i, entry.name);
    if (told != nullptr) note_removals(entry.name, rows_, *told);
    if (rows_.empty()) choice.emptied_by = &entry.name;
  }
  totals_.assign(rows_.size(), 0.0F);
  choice.rows_left = rows_.size();
  if (rows_.empty()) return choice;

  add_scores(profile, request, table, told);
  if (told != nullptr) {
    told->rows = rows_;
    told->totals = totals_;
  }
  const Ranking ranking = profile.picker->pick(rows_, totals_, table, context);
  done(PluginPoint::kPicker, 0, profile.picker_name);
  FAIRLEAD_ASSERT(ranking.size() > 0);
  for (const std::uint32_t index : ranking.all()) {
    FAIRLEAD_ASSERT(index < rows_.size());
    choice.ranking.push(rows_[index]);
  }
  const std::size_t picked = ranking.choice();
  choice.row = rows_[picked];
  choice.total = totals_[picked];
  choice.runner_up = std::numeric_limits<float>::lowest();
  for (std::size_t i = 0; i < totals_.size(); ++i) {
    if (i != picked) choice.runner_up = std::max(choice.runner_up, totals_[i]);
  }
  choice.reason = reason_for(profile, request, table, choice);
  return choice;
}

}  // namespace fairlead::scheduling
