// SPDX-License-Identifier: Apache-2.0
// GrpcHealth: the service grpc.health.v1.Health (Check, Watch, List) over statuses that somebody
// else decides.
//
//   GrpcHealth health(statuses);
//   GrpcCallObserver* on_call(GrpcCall& call) {             // Of the handler of everything.
//     if (GrpcHealth::serves(call.path())) return health.on_call(call);
//
// Watchers are bounded; one beyond the bound is refused with RESOURCE_EXHAUSTED.
// Threads: the loop's thread. Source: grpc/health/v1/health.proto.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/codec/grpc_health.h"
#include "io/net/grpc_call.h"

namespace fairlead::net {

// The port to whoever knows.
class GrpcHealthStatuses {
 public:
  // kServiceUnknown for a name that is none: Check says NOT_FOUND, Watch says SERVICE_UNKNOWN.
  virtual codec::HealthStatus status_of(std::string_view service) const = 0;
  // What List shows; "" is the server as a whole.
  virtual std::span<const std::string> services() const = 0;

 protected:
  ~GrpcHealthStatuses() = default;
};

struct GrpcHealthCounters {
  std::uint64_t checks = 0;
  std::uint64_t malformed = 0;  // Requests that are no message of the service, or not one.
  std::uint64_t watchers_refused = 0;
};

class GrpcHealth final : public GrpcHandler {
 public:
  // `statuses` outlives this, and this outlives the server.
  explicit GrpcHealth(const GrpcHealthStatuses& statuses, std::size_t watchers_max = 1000);
  ~GrpcHealth();

  static bool serves(std::string_view path);
  GrpcCallObserver* on_call(GrpcCall& call) override;
  // Statuses may have changed: tells the watchers of those that did.
  void on_change();
  // Ends every watch with UNAVAILABLE: the server goes away.
  void end_watches();

  std::size_t watchers() const { return watchers_; }
  const GrpcHealthCounters& counters() const { return counters_; }

 private:
  class Call;
  void end(Call& call);

  const GrpcHealthStatuses& statuses_;
  std::size_t watchers_max_;
  std::size_t watchers_ = 0;
  GrpcHealthCounters counters_;
  std::string scratch_;
  std::vector<std::unique_ptr<Call>> calls_;
};

}  // namespace fairlead::net
