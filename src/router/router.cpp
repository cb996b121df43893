// SPDX-License-Identifier: Apache-2.0
#include "router/router.h"

#include "base/random.h"

namespace fairlead::router {

Router::Router(const std::shared_ptr<const Generation>& first, std::uint64_t process_seed, Log& log,
               MetricRegistry& metrics)
    : generation_(first),
      pool_(std::make_shared<const model::PoolSnapshot>()),
      access_(std::make_shared<const access::AccessRules>()),
      history_(first->settings.prefix.block_bytes,
               first->settings.prefix.bytes_per_endpoint.value_or(
                   first->settings.prefix.bytes_unreported)),
      process_seed_(process_seed),
      log_(log),
      metrics_(metrics) {}

picker::Limits Router::picker_limits(const config::ServeSettings& settings) {
  const config::RetrySettings& retry = settings.limits.retry;
  picker::Limits limits;
  limits.max_attempts = retry.max_attempts;
  limits.retry_ratio = retry.budget_ratio;
  limits.retries_per_second = retry.min_per_second;
  return limits;
}

picker::Picker Router::make_picker(std::uint32_t worker) {
  return picker::Picker({{inflight_, load_, ledger_, history_}, history_, *this},
                        picker_limits(generation_.load()->settings), mix64(process_seed_ + worker));
}

}  // namespace fairlead::router
