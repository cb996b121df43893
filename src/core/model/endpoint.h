// SPDX-License-Identifier: Apache-2.0
// Endpoint and PoolSnapshot: who can serve, as one immutable value.
//
// A slot is a small dense index, the row of every per-endpoint table; a generation tells two
// endpoints that had the same slot apart. The snapshot carries membership, labels, models and
// health; load figures change faster and live in fleet::LoadTable and fleet::InFlightTable.
// Threads: immutable once published (base/published.h).
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace fairlead::model {

// The bound of every per-endpoint table; membership beyond it is refused by name.
inline constexpr std::uint32_t kMaxEndpoints = 4096;

struct EndpointRef {
  std::uint32_t slot = 0;
  std::uint32_t generation = 0;
  friend bool operator==(const EndpointRef&, const EndpointRef&) = default;
};

enum class Health : std::uint8_t {
  kUnknown,    // Not probed yet; takes no traffic.
  kHealthy,    // Takes its full share.
  kReturning,  // Was ejected; takes admit_share of what it would get.
  kEjected,    // Failed too often; takes nothing until a probe succeeds.
};

std::string_view to_string(Health health);

struct Endpoint {
  EndpointRef ref;
  std::string name;     // As configured, or host:port.
  std::string host;     // As configured: an address, localhost, or a name. TLS and Host say it.
  std::string address;  // What a name stands for; empty while that is not known, and otherwise.
  std::uint16_t port = 0;
  bool tls = false;
  std::vector<std::pair<std::string, std::string>> labels;  // Sorted by key.
  std::vector<std::string> models;                          // Model and adapter ids it serves.
  std::vector<std::string> adapters;                        // Those of them that are adapters.
  Health health = Health::kUnknown;
  bool asked = false;        // A probe has been answered, or has failed.
  double admit_share = 1.0;  // In (0, 1]; below 1 only while returning.

  std::string_view label(std::string_view key) const;
  bool serves(std::string_view model) const;
  // What to connect to; a name here cannot be connected to yet.
  const std::string& dial() const { return address.empty() ? host : address; }
  bool takes_traffic() const { return health == Health::kHealthy || health == Health::kReturning; }
};

struct PoolSnapshot {
  std::uint64_t version = 0;
  std::vector<Endpoint> endpoints;  // Ascending by slot; slots may have gaps.

  const Endpoint* find(std::uint32_t slot) const;
  std::vector<std::string> adapters;  // Names that most engines have as one; sorted, each once.

  // Whether more engines call it an adapter of another model than a model of their own.
  bool is_adapter(std::string_view model) const;
  // Whether any endpoint, healthy or not, has reported this model.
  bool knows_model(std::string_view model) const;
  bool any_model_known() const;
};

}  // namespace fairlead::model
