// SPDX-License-Identifier: Apache-2.0
// GrpcHealthMetrics: GrpcHealthCounters as metrics; several services add up. Threads: one.
#pragma once

#include "base/metrics.h"
#include "io/net/grpc_health.h"

namespace fairlead::net {

class GrpcHealthMetrics {
 public:
  explicit GrpcHealthMetrics(MetricRegistry& registry);
  // Brings the metrics up to what `health` has counted.
  void set(const GrpcHealth& health);

 private:
  Gauge* watchers_;
  Counter* checks_;
  Counter* malformed_;
  Counter* watchers_refused_;
};

}  // namespace fairlead::net
