// SPDX-License-Identifier: Apache-2.0
// Endpoints as configured: how an address is written, the list under `fleet.endpoints`, and the
// watched endpoints file, which has the same form so that a list can be moved between the two:
//
//   endpoints:
//     - name: gpu-0              # Default: the address.
//       address: 10.0.0.7:8000   # Or [v6]:port, name:port, http:// or https:// and these.
//       labels: {llm-d.ai/role: decode}
//
// `url` is an alias of `address`. The file of llm-d's file-discovery is read too. Pure functions
// over values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "core/config/section.h"

namespace fairlead::config {

struct HostPort {
  // A literal IPv4 or IPv6 address (no brackets), "localhost", or an endpoint's name in lower case.
  std::string host;
  std::uint16_t port = 0;  // 0 in a listener: any free port.
  friend bool operator==(const HostPort&, const HostPort&) = default;
};

struct EndpointSetting {
  std::string name;  // Unique; host:port when not given.
  HostPort address;
  std::vector<std::pair<std::string, std::string>> labels;  // Sorted by key.
  bool tls = false;                                         // https://
  friend bool operator==(const EndpointSetting&, const EndpointSetting&) = default;
};

// A listener's "host:port" or "[v6]:port"; the error says what is wrong and what to write. The host
// is an address or "localhost".
Result<HostPort> parse_host_port(std::string_view text);
// Whether a host, as parsed here, has to be resolved: "localhost" has not.
bool is_host_name(std::string_view host);
// The host may be a name (RFC 1123, with underscores as in DNS). Also "http://host:port" and
// "https://host:port", without a path; port 0 is an error. The endpoint is named after its host and
// port.
Result<EndpointSetting> parse_endpoint_address(std::string_view text);
std::string to_string(const HostPort& address);  // IPv6 in brackets.

// The list under `key`. Entries with errors are left out; names and addresses are unique.
std::vector<EndpointSetting> read_endpoints(Section& section, std::string_view key);
// One list entry in YAML's flow form.
std::string to_yaml(const EndpointSetting& endpoint);

// The endpoints file. An empty list is allowed; a missing key is not, so that a half-written file
// never empties the pool. nullopt when the file has any error: keep the old endpoints.
std::optional<std::vector<EndpointSetting>> parse_endpoints_file(std::string_view text,
                                                                 std::string_view file,
                                                                 Problems& problems);

// The file of llm-d's file-discovery, by the same rules. An endpoint is named namespace/name, as in
// session tokens; the address may be an IPv4 or IPv6 address or a host name.
//
//   endpoints:
//     - {name: gpu-0, namespace: default, address: 10.0.0.7, port: "8000", labels: {a: b}}
std::optional<std::vector<EndpointSetting>> parse_discovery_file(std::string_view text,
                                                                 std::string_view file,
                                                                 Problems& problems);

enum class EndpointsFormat : std::uint8_t {
  kFairlead,   // parse_endpoints_file()
  kDiscovery,  // parse_discovery_file()
};
std::optional<std::vector<EndpointSetting>> parse_members(EndpointsFormat format,
                                                          std::string_view text,
                                                          std::string_view file,
                                                          Problems& problems);

}  // namespace fairlead::config
