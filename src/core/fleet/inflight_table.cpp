// SPDX-License-Identifier: Apache-2.0
#include "core/fleet/inflight_table.h"

#include "base/mutant.h"

namespace fairlead::fleet {

InFlightShare::InFlightShare(InFlightTable& table, model::EndpointRef endpoint,
                             std::int64_t uncached_tokens, std::int64_t context_tokens)
    : table_(&table), endpoint_(endpoint), held_{1, uncached_tokens, 1, context_tokens} {
  table_->add(endpoint_.slot, held_, 1);
  table_->note_sent(endpoint_.slot, held_);
}

void InFlightShare::first_token() {
  if (table_ == nullptr) return;
  const InFlight prefill{0, held_.uncached_tokens, held_.unstarted, 0};
  table_->add(endpoint_.slot, prefill, -1);
  held_.uncached_tokens = 0;
  held_.unstarted = 0;
}

void InFlightShare::rebind(model::EndpointRef endpoint) {
  if (table_ == nullptr) return;
  table_->add(endpoint_.slot, held_, -1);
  endpoint_ = endpoint;
  table_->add(endpoint_.slot, held_, 1);
  table_->note_sent(endpoint_.slot, held_);
}

void InFlightShare::release() {
  if (table_ == nullptr) return;
  if (!planted(Mutant::kLostRelease)) table_->add(endpoint_.slot, held_, -1);
  if (planted(Mutant::kDoubleRelease)) table_->add(endpoint_.slot, held_, -1);
  table_ = nullptr;
  held_ = {};
}

InFlight InFlightTable::total() const {
  InFlight sum;
  for (std::uint32_t slot = 0; slot < model::kMaxEndpoints; ++slot) {
    const InFlight row = read(slot);
    sum.requests += row.requests;
    sum.uncached_tokens += row.uncached_tokens;
    sum.unstarted += row.unstarted;
    sum.context_tokens += row.context_tokens;
  }
  return sum;
}

}  // namespace fairlead::fleet
