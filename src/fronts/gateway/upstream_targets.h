// SPDX-License-Identifier: Apache-2.0
// UpstreamTargets: what a relay needs of an endpoint, made once for each (slot, generation) rather
// than for each request: its parsed address, its name, its Host value and its session token.
// Threads: the worker's thread; a target is immutable and outlives its endpoint's membership.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/model/endpoint.h"
#include "io/net/socket.h"

namespace fairlead::gateway {

struct UpstreamTarget {
  model::EndpointRef ref;
  net::SocketAddress address;
  std::string tls_name;  // Asked for (SNI) and expected of its certificate; empty for plain TCP.
  std::string name;
  std::string authority;  // host:port, the Host header towards the endpoint.
  std::string session_token;
};

class UpstreamTargets {
 public:
  // `tls_server_name`: what TLS endpoints' certificates say; empty for each one's own host.
  explicit UpstreamTargets(std::string tls_server_name)
      : tls_server_name_(std::move(tls_server_name)) {}

  // nullptr when the endpoint left the pool, or when its host has no address yet.
  std::shared_ptr<const UpstreamTarget> find(model::EndpointRef ref,
                                             const model::PoolSnapshot& pool);

 private:
  std::string tls_server_name_;
  std::vector<std::shared_ptr<const UpstreamTarget>> by_slot_;
};

}  // namespace fairlead::gateway
