// SPDX-License-Identifier: Apache-2.0
#include "io/net/grpc_health_metrics.h"

namespace fairlead::net {

GrpcHealthMetrics::GrpcHealthMetrics(MetricRegistry& registry) {
  watchers_ = &registry.gauge("fairlead_grpc_health_watchers",
                              "Calls of grpc.health.v1.Health/Watch that run.");
  checks_ = &registry.counter("fairlead_grpc_health_checks_total",
                              "Calls of grpc.health.v1.Health/Check.");
  malformed_ = &registry.counter("fairlead_grpc_health_malformed_total",
                                 "Requests of grpc.health.v1.Health that are no such message.");
  watchers_refused_ = &registry.counter("fairlead_grpc_health_watchers_refused_total",
                                        "Watchers beyond the bound, refused.");
}

void GrpcHealthMetrics::set(const GrpcHealth& health) {
  watchers_->set(static_cast<double>(health.watchers()));
  checks_->raise_to(health.counters().checks);
  malformed_->raise_to(health.counters().malformed);
  watchers_refused_->raise_to(health.counters().watchers_refused);
}

}  // namespace fairlead::net
