// SPDX-License-Identifier: Apache-2.0
// Hand-made candidate tables for plugin tests. Values; thread-compatible.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/assert.h"
#include "core/scheduling/catalog.h"
#include "core/scheduling/profile.h"

namespace fairlead::scheduling::testing {

// A table of `rows` endpoints named e0, e1, ..., all columns 0, all equally fast.
struct Table {
  explicit Table(std::size_t rows) {
    candidates.resize(rows);
    candidates.slowness.assign(rows, 1);
    for (std::size_t row = 0; row < rows; ++row) {
      auto endpoint = std::make_unique<model::Endpoint>();
      endpoint->ref = {static_cast<std::uint32_t>(row), 0};
      endpoint->name = "e" + std::to_string(row);
      endpoint->health = model::Health::kHealthy;
      candidates.endpoint[row] = endpoint.get();
      endpoints.push_back(std::move(endpoint));
    }
  }

  Candidates candidates;
  std::vector<std::unique_ptr<model::Endpoint>> endpoints;
};

inline Rows all_rows(const Candidates& table) {
  Rows rows(table.size());
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<std::uint32_t>(i);
  return rows;
}

struct Chance {
  Random random{1};
  fleet::PlacementLedger ledger;
  DecisionContext context{random, ledger};
};

template <class Spec>
auto make(const Spec* spec, std::string_view parameters, config::Problems& problems) {
  FAIRLEAD_ASSERT(spec != nullptr);
  config::Section section = config::Section::parse(parameters, "test", problems);
  auto plugin = spec->create(section);
  section.finish();
  return plugin;
}

template <class Spec>
auto make(const Spec* spec, std::string_view parameters = "{}") {
  config::Problems problems;
  auto plugin = make(spec, parameters, problems);
  FAIRLEAD_ASSERT(!problems.has_errors());
  return plugin;
}

}  // namespace fairlead::scheduling::testing
