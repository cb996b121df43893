// SPDX-License-Identifier: Apache-2.0
#include "io/net/tls_metrics.h"

#include <string>

namespace fairlead::net {

TlsMetrics::TlsMetrics(MetricRegistry& registry, std::string_view peer)
    : done_(&registry.counter("fairlead_tls_handshakes_total",
                              "TLS handshakes done, by whom they were with.",
                              {{"peer", std::string(peer)}})) {
  for (std::size_t i = 0; i < failed_.size(); ++i) {
    failed_[i] =
        &registry.counter("fairlead_tls_handshake_failures_total",
                          "TLS handshakes that failed, by whom they were with and why.",
                          {{"peer", std::string(peer)},
                           {"reason", std::string(to_string(static_cast<TlsFailure>(i)))}});
  }
}

void TlsMetrics::set(const TlsFigures& now) {
  done_->add(now.done - seen_.done);
  for (std::size_t i = 0; i < failed_.size(); ++i) failed_[i]->add(now.failed[i] - seen_.failed[i]);
  seen_ = now;
}

}  // namespace fairlead::net
