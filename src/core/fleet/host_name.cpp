// SPDX-License-Identifier: Apache-2.0
#include "core/fleet/host_name.h"

#include <fmt/format.h>

#include <algorithm>

namespace fairlead::fleet {

void HostName::doubt(Time now) { next_ = std::min(next_, std::max(now, answered_ + kTtlMin)); }

void HostName::on_answer(const NameAnswer& answer, Time now) {
  asked_ = false;
  answered_ = now;
  const std::vector<std::string>& addresses = answer.addresses;
  const bool has_ours = std::ranges::find(addresses, address_) != addresses.end();
  if (!has_ours && (addresses.empty() || (answer.partial && !address_.empty()))) {
    next_ = now + kRetry;
    trouble_ =
        fmt::format("host {}: {}; {}", host_,
                    addresses.empty() ? answer.why : "only a part of its addresses came",
                    address_.empty() ? "it takes no traffic yet" : address_ + " stays in use");
    return;
  }
  next_ = now + std::clamp(answer.ttl, kTtlMin, kTtlMax);
  if (!has_ours) address_ = addresses.front();
  trouble_.clear();
  if (addresses.size() > 1) {
    trouble_ = fmt::format("host {} has {} addresses and {} is used; name each engine on its own",
                           host_, addresses.size(), address_);
  }
}

}  // namespace fairlead::fleet
