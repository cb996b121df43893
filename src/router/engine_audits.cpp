// SPDX-License-Identifier: Apache-2.0
#include "router/engine_audits.h"

#include <utility>

namespace fairlead::router {

std::string_view to_string(EngineCheck check) {
  static constexpr std::array<std::string_view, kEngineChecks> kNames = {"hashes", "block_size",
                                                                         "tokens", "events"};
  return kNames[static_cast<std::size_t>(check)];
}

namespace {

// An engine that is down publishes nothing either, and is known to be down.
bool applies(EngineCheck check, const model::Endpoint& endpoint) {
  return check != EngineCheck::kEvents || endpoint.takes_traffic();
}

}  // namespace

EngineAudits::EngineAudits(MetricRegistry& metrics) {
  for (std::size_t i = 0; i < kEngineChecks; ++i) {
    found_[i] =
        &metrics.gauge("fairlead_engine_misconfigurations",
                       "Endpoints whose set-up keeps the router from knowing what they hold.",
                       {{"check", std::string(to_string(static_cast<EngineCheck>(i)))}});
  }
}

EngineAudits::Row& EngineAudits::row_of(model::EndpointRef endpoint) {
  Row& row = rows_[endpoint.slot];
  if (!(row.endpoint == endpoint)) row = {.endpoint = endpoint, .says = {}, .tokens = {}};
  return row;
}

void EngineAudits::set(model::EndpointRef endpoint, EngineCheck check, std::string text) {
  const std::lock_guard lock(mutex_);
  Row& row = row_of(endpoint);
  const auto at = static_cast<std::size_t>(check);
  if (text.empty()) row.reviewed[at] = false;
  row.says[at] = std::move(text);
}

void EngineAudits::note_prompt(model::EndpointRef endpoint, std::uint64_t ours,
                               std::uint64_t engines) {
  const std::lock_guard lock(mutex_);
  Row& row = row_of(endpoint);
  row.tokens.note_prompt(ours, engines);
  tell_tokens(row);
}

void EngineAudits::note_blocks(model::EndpointRef endpoint, std::uint64_t blocks,
                               std::uint64_t told) {
  const std::lock_guard lock(mutex_);
  Row& row = row_of(endpoint);
  row.tokens.note_blocks(blocks, told);
  tell_tokens(row);
}

void EngineAudits::tell_tokens(Row& row) {
  const auto at = static_cast<std::size_t>(EngineCheck::kTokens);
  row.says[at] = row.tokens.describe();
  if (row.says[at].empty()) row.reviewed[at] = false;
}

std::vector<Misconfiguration> EngineAudits::review(const model::PoolSnapshot& pool) {
  const std::lock_guard lock(mutex_);
  std::vector<Misconfiguration> news;
  std::array<std::uint64_t, kEngineChecks> counts{};
  std::erase_if(rows_, [&pool](const auto& entry) {
    const model::Endpoint* const endpoint = pool.find(entry.first);
    return endpoint == nullptr || !(endpoint->ref == entry.second.endpoint);
  });
  for (auto& [slot, row] : rows_) {
    const model::Endpoint& endpoint = *pool.find(slot);
    for (std::size_t i = 0; i < kEngineChecks; ++i) {
      const auto check = static_cast<EngineCheck>(i);
      if (row.says[i].empty() || !applies(check, endpoint)) continue;
      ++counts[i];
      if (std::exchange(row.reviewed[i], true)) continue;
      news.push_back({endpoint.name, check, row.says[i]});
    }
  }
  for (std::size_t i = 0; i < kEngineChecks; ++i) found_[i]->set(static_cast<double>(counts[i]));
  return news;
}

std::vector<Misconfiguration> EngineAudits::found(const model::PoolSnapshot& pool) const {
  const std::lock_guard lock(mutex_);
  std::vector<Misconfiguration> all;
  for (const auto& [slot, row] : rows_) {
    const model::Endpoint* const endpoint = pool.find(slot);
    if (endpoint == nullptr || !(endpoint->ref == row.endpoint)) continue;
    for (std::size_t i = 0; i < kEngineChecks; ++i) {
      const auto check = static_cast<EngineCheck>(i);
      if (row.says[i].empty() || !applies(check, *endpoint)) continue;
      all.push_back({endpoint->name, check, row.says[i]});
    }
  }
  return all;
}

}  // namespace fairlead::router
