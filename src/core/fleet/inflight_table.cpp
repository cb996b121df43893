// SPDX-License-Identifier: Apache-2.0
#include "core/fleet/inflight_table.h"

namespace fairlead::fleet {

InFlightShare::InFlightShare(InFlightTable& table, model::EndpointRef endpoint,
                             std::int64_t uncached_tokens)
    : table_(&table), endpoint_(endpoint), uncached_tokens_(uncached_tokens), unstarted_(1) {
  table_->add(endpoint_.slot, 1, uncached_tokens_, unstarted_);
}

void InFlightShare::first_token() {
  if (table_ == nullptr) return;
  table_->add(endpoint_.slot, 0, -uncached_tokens_, -unstarted_);
  uncached_tokens_ = 0;
  unstarted_ = 0;
}

void InFlightShare::rebind(model::EndpointRef endpoint) {
  if (table_ == nullptr) return;
  table_->add(endpoint_.slot, -1, -uncached_tokens_, -unstarted_);
  endpoint_ = endpoint;
  table_->add(endpoint_.slot, 1, uncached_tokens_, unstarted_);
}

void InFlightShare::release() {
  if (table_ == nullptr) return;
  table_->add(endpoint_.slot, -1, -uncached_tokens_, -unstarted_);
  table_ = nullptr;
  uncached_tokens_ = 0;
  unstarted_ = 0;
}

InFlight InFlightTable::total() const {
  InFlight sum;
  for (std::uint32_t slot = 0; slot < model::kMaxEndpoints; ++slot) {
    const InFlight row = read(slot);
    sum.requests += row.requests;
    sum.uncached_tokens += row.uncached_tokens;
    sum.unstarted += row.unstarted;
  }
  return sum;
}

}  // namespace fairlead::fleet
