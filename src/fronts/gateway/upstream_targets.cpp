// SPDX-License-Identifier: Apache-2.0
#include "fronts/gateway/upstream_targets.h"

#include "core/exchange/session_token.h"

namespace fairlead::gateway {

std::shared_ptr<const UpstreamTarget> UpstreamTargets::find(model::EndpointRef ref,
                                                            const model::PoolSnapshot& pool) {
  if (ref.slot >= by_slot_.size()) by_slot_.resize(ref.slot + 1);
  std::shared_ptr<const UpstreamTarget>& known = by_slot_[ref.slot];
  if (known && known->ref == ref) return known;
  const model::Endpoint* endpoint = pool.find(ref.slot);
  if (endpoint == nullptr || !(endpoint->ref == ref)) return nullptr;
  const auto address = net::SocketAddress::parse(endpoint->dial(), endpoint->port);
  if (!address) return nullptr;
  auto target = std::make_shared<UpstreamTarget>();
  target->ref = ref;
  target->address = *address;
  if (endpoint->tls) {
    target->tls_name = tls_server_name_.empty() ? endpoint->host : tls_server_name_;
  }
  target->name = endpoint->name;
  target->authority = endpoint->address.empty()
                          ? address->to_string()
                          : fmt::format("{}:{}", endpoint->host, endpoint->port);
  exchange::encode_session_token(endpoint->name, target->session_token);
  known = std::move(target);
  return known;
}

}  // namespace fairlead::gateway
