// SPDX-License-Identifier: Apache-2.0
// DecisionReport: one decision told term by term, and Explainer, which makes it: of a decision that
// was kept, by deciding again over what it saw with the very scheduling code; or of a request that
// nobody sent. Reports hold names and figures only, never a prompt.
// Threads: the control loop's thread.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "router/control.h"
#include "router/decision_log.h"
#include "router/router.h"

namespace fairlead::admin {

struct ReportRow {
  std::string endpoint;
  std::array<float, scheduling::kFigures.size()> figures{};
  std::vector<float> terms;  // Value times weight; none when a filter removed the row.
  float total = 0;
  std::string removed_by;  // The filter's name.
};

struct DecisionReport {
  std::string request_id;  // Empty: of a request that was not sent.
  std::uint32_t worker = 0;
  std::uint64_t number = 0;  // Of the worker's decisions; 0: not one of them.
  std::string model;
  std::string policy;
  double unix_seconds = 0;
  double age_seconds = 0;
  std::uint32_t attempt = 1;
  std::uint64_t prompt_tokens = 0;
  std::uint64_t cached_tokens = 0;  // Expected at the chosen endpoint.
  std::string chosen;               // Empty: nobody, for `reply`.
  scheduling::Reason reason = scheduling::Reason::kOnlyCandidate;
  model::ReplyReason reply = model::ReplyReason::kNone;
  scheduling::ScoreKind kind = scheduling::ScoreKind::kUnit;  // Totals of kTokens: lower is better.
  std::string picker;
  struct Term {
    std::string name;
    float weight;
  };
  std::vector<Term> terms;
  std::vector<ReportRow> rows;  // The chosen one, then the best first, then those removed.
  std::size_t rows_left_out = 0;
  struct Absent {
    std::string endpoint;
    std::string_view why;
  };
  std::vector<Absent> absent;  // No rows of the table.
  std::size_t absent_left_out = 0;
  std::string doubt;  // Why terms are missing or not those of the decision; empty: they are.
};

class Explainer {
 public:
  Explainer(router::Router& router, const router::Control& control);

  // At most `rows_max` rows and absent endpoints.
  DecisionReport explain(const router::PastDecision& past, std::size_t rows_max);
  // Where a request with this body would go now, if it came to a worker that saw no failure lately.
  // `body` has the padding of a ServerExchange's.
  Result<DecisionReport> dry_run(std::string_view path, std::string_view body,
                                 std::size_t rows_max);

 private:
  struct Table;
  void tell_policy(const router::Generation& generation, DecisionReport& report) const;
  Table restore(const router::PastDecision& past) const;

  router::Router& router_;
  const router::Control& control_;
  scheduling::Runner runner_;
  std::uint64_t dry_runs_ = 0;
};

}  // namespace fairlead::admin
