// SPDX-License-Identifier: Apache-2.0
#include "router/router.h"

#include <utility>

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

Result<void> Router::open_tls() {
  const auto generation = generation_.load();
  const config::GatewaySettings& gateway = generation->settings.gateway;
  if (!gateway.tls.cert_file.empty()) {
    const auto http2 =
        gateway.http2.max_concurrent_streams > 0 ? net::Http2Offer::kYes : net::Http2Offer::kNo;
    auto clients =
        net::TlsServerContext::create({gateway.tls.cert_file, gateway.tls.key_file, http2});
    if (!clients) return with_context(clients.error(), "gateway.tls");
    tls_.clients = std::move(*clients);
  }
  const config::EngineTlsSettings& fleet = generation->settings.fleet.tls;
  auto engines = net::TlsClientContext::create({fleet.ca_file, fleet.insecure_skip_verify
                                                                   ? net::TlsVerify::kNobody
                                                                   : net::TlsVerify::kPeer});
  if (!engines) return with_context(engines.error(), "fleet.tls");
  tls_.engines = std::move(*engines);
  return {};
}

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
