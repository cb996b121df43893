// SPDX-License-Identifier: Apache-2.0
// TlsMetrics: TlsFigures as metrics, by whom the handshakes were with: "client" or "engine".
// Threads: one.
#pragma once

#include <array>
#include <string_view>

#include "base/metrics.h"
#include "io/net/tls_session.h"

namespace fairlead::net {

class TlsMetrics {
 public:
  TlsMetrics(MetricRegistry& registry, std::string_view peer);
  // Brings the metrics up to `now`.
  void set(const TlsFigures& now);

 private:
  TlsFigures seen_;
  Counter* done_;
  std::array<Counter*, kTlsFailureCount> failed_{};
};

}  // namespace fairlead::net
