// SPDX-License-Identifier: Apache-2.0
#include "fronts/admin/explanation.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <utility>

#include "core/exchange/request_facts.h"
#include "core/exchange/route.h"

namespace fairlead::admin {
namespace {

using scheduling::kFigures;

std::string name_of(model::EndpointRef ref, const model::PoolSnapshot& pool) {
  const model::Endpoint* endpoint = pool.find(ref.slot);
  if (endpoint != nullptr && endpoint->ref == ref) return endpoint->name;
  return fmt::format("(left the pool, slot {})", ref.slot);
}

// Costs are told as costs: positive, and the lowest wins.
float shown(scheduling::ScoreKind kind, float total) {
  return kind == scheduling::ScoreKind::kTokens && total != 0 ? -total : total;
}

void add_rows(const scheduling::Explanation& told, const scheduling::Candidates& table,
              DecisionReport& report) {
  report.rows.resize(table.size());
  for (std::size_t row = 0; row < table.size(); ++row) {
    report.rows[row].endpoint = table.endpoint[row]->name;
    for (std::size_t i = 0; i < kFigures.size(); ++i) {
      report.rows[row].figures[i] = (table.*kFigures[i].values)[row];
    }
  }
  for (const auto& removal : told.removed) report.rows[removal.row].removed_by = *removal.filter;
  for (std::size_t i = 0; i < told.rows.size(); ++i) {
    ReportRow& row = report.rows[told.rows[i]];
    for (const auto& term : told.terms) row.terms.push_back(term.weight * term.values[i]);
    row.total = shown(report.kind, told.totals[i]);
  }
}

// The chosen row first, then the best, then those removed; and no more than are wanted.
void arrange(std::size_t chosen, std::size_t rows_max, DecisionReport& report) {
  const bool costs = report.kind == scheduling::ScoreKind::kTokens;
  auto first = report.rows.begin();
  if (chosen < report.rows.size()) {
    std::rotate(first, first + static_cast<std::ptrdiff_t>(chosen),
                first + static_cast<std::ptrdiff_t>(chosen) + 1);
    ++first;
  }
  std::sort(first, report.rows.end(), [&](const ReportRow& a, const ReportRow& b) {
    if (a.removed_by.empty() != b.removed_by.empty()) return a.removed_by.empty();
    if (a.total == b.total) return a.endpoint < b.endpoint;
    return costs ? a.total < b.total : a.total > b.total;
  });
  if (report.rows.size() > rows_max) {
    report.rows_left_out = report.rows.size() - rows_max;
    report.rows.resize(rows_max);
  }
}

void add_absent(std::span<const picker::Excluded> excluded, const model::PoolSnapshot& pool,
                std::size_t rows_max, DecisionReport& report) {
  for (const picker::Excluded& endpoint : excluded.first(std::min(rows_max, excluded.size()))) {
    report.absent.push_back({name_of(endpoint.endpoint, pool), picker::to_string(endpoint.why)});
  }
  report.absent_left_out = excluded.size() - report.absent.size();
}

}  // namespace

// The candidate table of a past decision; endpoints that left stand in it by their slot.
struct Explainer::Table {
  std::shared_ptr<const model::PoolSnapshot> pool;
  std::deque<model::Endpoint> left;
  scheduling::Candidates candidates;
};

Explainer::Explainer(router::Router& router, const router::Control& control)
    : router_(router), control_(control) {}

void Explainer::tell_policy(const router::Generation& generation, DecisionReport& report) const {
  report.policy = generation.policy;
  report.kind = generation.profile.kind;
  report.picker = generation.profile.picker_name;
  for (const auto& entry : generation.profile.scorers) {
    report.terms.push_back({entry.name, entry.weight});
  }
}

Explainer::Table Explainer::restore(const router::PastDecision& past) const {
  Table table{router_.pool().load(), {}, {}};
  table.candidates.resize(past.endpoints.size());
  for (std::size_t row = 0; row < past.endpoints.size(); ++row) {
    const model::EndpointRef ref = past.endpoints[row];
    const model::Endpoint* endpoint = table.pool->find(ref.slot);
    if (endpoint == nullptr || endpoint->ref != ref) {
      model::Endpoint& gone = table.left.emplace_back();
      gone.ref = ref;
      gone.name = name_of(ref, *table.pool);
      endpoint = &gone;
    }
    table.candidates.endpoint[row] = endpoint;
  }
  for (std::size_t i = 0; i < kFigures.size(); ++i) {
    table.candidates.*kFigures[i].values = past.figures[i];
  }
  return table;
}

DecisionReport Explainer::explain(const router::PastDecision& past, std::size_t rows_max) {
  const Table table = restore(past);
  DecisionReport report;
  report.request_id = past.request_id;
  report.worker = past.worker;
  report.number = past.number;
  report.model = past.model;
  report.age_seconds = std::max(0.0, to_seconds(control_.now() - past.at));
  report.unix_seconds = control_.unix_seconds() - report.age_seconds;
  report.attempt = past.decision.attempts;
  report.prompt_tokens = past.prompt_tokens;
  report.cached_tokens = past.decision.cached_tokens;
  report.reason = past.decision.reason;
  report.reply = past.reply;
  const bool placed = past.reply == model::ReplyReason::kNone;
  if (placed) report.chosen = name_of(past.decision.endpoint, *table.pool);
  const std::size_t chosen = static_cast<std::size_t>(
      placed ? std::ranges::find(past.endpoints, past.decision.endpoint) - past.endpoints.begin()
             : std::ssize(past.endpoints));

  scheduling::Explanation told;
  const auto& known = control_.generations();
  const auto generation = std::ranges::find_if(
      known, [&](const auto& candidate) { return &candidate->profile == past.profile; });
  if (generation == known.end()) {
    report.doubt = "its policy was replaced since: only what the decision saw is known";
  } else {
    tell_policy(**generation, report);
    const model::InferenceRequest request{.model = past.model,
                                          .session = past.session,
                                          .keys = {},
                                          .prompt_tokens = past.prompt_tokens,
                                          .block_tokens = past.block_tokens,
                                          .max_output_tokens = past.max_output_tokens,
                                          .streaming = past.streaming,
                                          .id = past.request_id};
    Random chance = past.chance;
    fleet::PlacementLedger ledger;
    scheduling::DecisionContext context{chance, ledger};
    if (table.candidates.size() > 0) {
      runner_.decide((*generation)->profile, request, table.candidates, context, &told);
    }
    const auto left = std::ranges::find(told.rows, chosen);
    const bool same =
        !placed ||
        (left != told.rows.end() && told.rows.size() == past.decision.candidates &&
         told.totals[static_cast<std::size_t>(left - told.rows.begin())] == past.decision.total);
    if (!same) report.doubt = "endpoints changed since: the terms may not be those of the decision";
  }
  add_rows(told, table.candidates, report);
  arrange(chosen, rows_max, report);
  add_absent(past.excluded, *table.pool, rows_max, report);
  return report;
}

Result<DecisionReport> Explainer::dry_run(std::string_view path, std::string_view body,
                                          std::size_t rows_max) {
  const exchange::RouteMatch match = exchange::match_route("POST", path);
  if (match.handling != exchange::Handling::kScan) {
    return fail(ErrorCode::kInvalidArgument, "{} is not a route that is read and forwarded", path);
  }
  const auto generation = router_.generation().load();
  const auto pool = router_.pool().load();
  exchange::ReadingDesk desk(generation->settings.limits.body_bytes);
  exchange::RequestFacts facts;
  const codec::ScanStatus status = facts.read(
      match.route, {}, body,
      {router_.key_seed(), generation->settings.prefix.block_bytes, exchange::MediaItems::kHashed},
      desk);
  if (!status.ok()) {
    return fail(ErrorCode::kInvalidArgument, "the body is refused: {}", status.message());
  }
  const model::InferenceRequest request = facts.request();
  DecisionReport report;
  report.model = request.model.substr(0, router::kModelBytesKept);
  report.unix_seconds = control_.unix_seconds();
  report.prompt_tokens = request.prompt_tokens;
  tell_policy(*generation, report);
  if (!request.model.empty() && pool->any_model_known() && !pool->knows_model(request.model)) {
    report.reply = model::ReplyReason::kUnknownModel;
    return report;
  }
  Random chance(mix64(router_.process_seed() ^ ++dry_runs_));
  fleet::PlacementLedger ledger(router_.ledger().turn());
  picker::CandidateBuilder builder(
      {router_.inflight(), router_.load(), router_.ledger(), router_.history(), &router_.media()});
  const auto& table = builder.build(request, *pool, {}, {}, control_.now(), chance);
  scheduling::DecisionContext context{chance, ledger};
  scheduling::Explanation told;
  scheduling::Choice choice;
  report.reply = model::ReplyReason::kNoEndpoint;
  if (table.size() > 0) {
    choice = runner_.decide(generation->profile, request, table, context, &told);
    report.reply = model::ReplyReason::kFilteredOut;
  }
  if (choice.row != scheduling::Choice::kNone) {
    report.reply = model::ReplyReason::kNone;
    report.reason = choice.reason;
    report.chosen = table.endpoint[choice.row]->name;
    report.cached_tokens = static_cast<std::uint64_t>(table.cached_tokens[choice.row]);
  }
  add_rows(told, table, report);
  arrange(choice.row, rows_max, report);
  add_absent(builder.excluded(), *pool, rows_max, report);
  return report;
}

}  // namespace fairlead::admin
