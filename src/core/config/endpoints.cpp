// SPDX-License-Identifier: Apache-2.0
#include "core/config/endpoints.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "core/config/wording.h"

namespace fairlead::config {
namespace {

constexpr std::size_t kMaxHostBytes = 253;  // RFC 1035 section 2.3.4, without the root's dot.
constexpr std::string_view kHttp = "http://";
constexpr std::string_view kHttps = "https://";
constexpr std::string_view kLettersDigits =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

constexpr std::size_t kMaxLabelBytes = 63;

bool has_name_bytes(std::string_view host) {
  const std::string allowed = std::string(kLettersDigits) + ".-_";
  return !host.empty() && host.size() <= kMaxHostBytes &&
         host.find_first_not_of(allowed) == std::string_view::npos;
}

// Calls `visit` with each part of a text between separators; false as soon as a call says so.
template <class Visit>
bool all_parts(std::string_view text, char separator, Visit visit) {
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(separator, at), text.size());
    if (!visit(text.substr(at, end - at))) return false;
    at = end + 1;
  }
  return true;
}

// Addresses are read as inet_pton() reads them, because that is what the sockets use.
bool is_v4(std::string_view host) {
  int parts = 0;
  return all_parts(host, '.',
                   [&](std::string_view part) {
                     std::uint8_t value = 0;
                     const char* const end = part.data() + part.size();
                     const auto [stop, error] = std::from_chars(part.data(), end, value);
                     ++parts;
                     return error == std::errc{} && stop == end &&
                            (part.size() == 1 || value >= 10) && part.size() <= 3;
                   }) &&
         parts == 4;
}

// How many of an IPv6 address's eight groups a piece of it holds; nothing when it is no such piece.
// The last piece may end in an IPv4 address, which stands for two.
std::optional<int> v6_groups(std::string_view piece, bool is_last) {
  int groups = 0;
  if (piece.empty()) return groups;
  const std::size_t tail = piece.rfind(':') + 1;  // 0 when there is no colon.
  if (is_last && is_v4(piece.substr(tail))) {
    groups = 2;
    if (tail == 0) return groups;
    piece = piece.substr(0, tail - 1);
  }
  const bool is_whole = all_parts(piece, ':', [&](std::string_view group) {
    ++groups;
    return !group.empty() && group.size() <= 4 &&
           group.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos;
  });
  return is_whole ? std::optional(groups) : std::nullopt;
}

bool is_v6(std::string_view host) {
  const std::size_t gap = host.find("::");
  if (gap == std::string_view::npos) return v6_groups(host, true) == 8;
  const auto head = v6_groups(host.substr(0, gap), false);
  const auto tail = v6_groups(host.substr(gap + 2), true);
  return head && tail && *head + *tail <= 7;
}

// Labels as in RFC 1123 section 2.1. A last label of digits alone is a mistyped address.
bool is_name(std::string_view host) {
  const bool are_labels = all_parts(host, '.', [](std::string_view label) {
    return !label.empty() && label.size() <= kMaxLabelBytes && !label.starts_with('-') &&
           !label.ends_with('-');
  });
  const std::string_view last = host.substr(host.rfind('.') + 1);
  return are_labels && last.find_first_not_of("0123456789") != std::string_view::npos;
}

bool is_visible(std::string_view text) {
  return std::ranges::all_of(
      text, [](char c) { return static_cast<unsigned char>(c) > 0x20 && c != 0x7F; });
}

// Reports a value that an earlier entry has, and remembers it otherwise.
bool taken(std::map<std::string, std::string>& seen, const std::string& value, const Section& entry,
           std::string_view key) {
  const auto [other, is_new] = seen.emplace(value, entry.path());
  if (is_new) return false;
  entry.error(key, fmt::format("{} is already used by {}", in_quotes(value), other->second));
  return true;
}

enum class Names { kRefused, kAllowed };

Result<HostPort> read_host_port(std::string_view text, Names names) {
  const auto invalid = [&](std::string_view reason) {
    return fail(ErrorCode::kInvalidArgument, "{} {}", in_quotes(text), reason);
  };
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || text.ends_with(']')) {
    return invalid("has no port; write host:port");
  }
  std::string_view host = text.substr(0, colon);
  if (host.empty()) return invalid("has no host; write 0.0.0.0 or [::] for every address");
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
    if (!is_v6(host)) return invalid("has no IPv6 address in the brackets");
  } else if (host.find(':') != std::string_view::npos) {
    return invalid("is not host:port; write an IPv6 address in brackets, as in [::1]:8000");
  } else if (!has_name_bytes(host)) {
    return invalid("has a host with characters that no host name has; write host:port");
  } else if (host != "localhost" && !is_v4(host)) {
    if (names == Names::kRefused) {
      return invalid("names a host; write an IP address of this machine or localhost");
    }
    if (!is_name(host)) return invalid("has a host that is neither an IPv4 address nor a name");
  }
  const std::string_view digits = text.substr(colon + 1);
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (error != std::errc{} || end != digits.data() + digits.size()) {
    return invalid("has no port from 0 to 65535 after the colon");
  }
  std::string lower(host);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return HostPort{std::move(lower), port};
}

}  // namespace

Result<HostPort> parse_host_port(std::string_view text) {
  return read_host_port(text, Names::kRefused);
}

bool is_host_name(std::string_view host) {
  return host != "localhost" && !is_v4(host) && !is_v6(host);
}

Result<EndpointSetting> parse_endpoint_address(std::string_view text) {
  std::string_view rest = text;
  const bool is_tls = rest.starts_with(kHttps);
  const bool is_url = is_tls || rest.starts_with(kHttp);
  if (is_url) rest.remove_prefix(is_tls ? kHttps.size() : kHttp.size());
  if (is_url && rest.ends_with('/')) rest.remove_suffix(1);
  if (rest.find('/') != std::string_view::npos) {
    return fail(ErrorCode::kInvalidArgument,
                "{}: write host:port, http://host:port or https://host:port, no path",
                in_quotes(text));
  }
  auto address = read_host_port(rest, Names::kAllowed);
  if (address && address->port == 0) {
    return fail(ErrorCode::kInvalidArgument, "{}: the port must be from 1 to 65535",
                in_quotes(text));
  }
  if (!address) return tl::unexpected<Error>(std::move(address.error()));
  return EndpointSetting{to_string(*address), *address, {}, is_tls};
}

std::string to_string(const HostPort& address) {
  const bool is_literal_v6 = address.host.find(':') != std::string::npos;
  return is_literal_v6 ? fmt::format("[{}]:{}", address.host, address.port)
                       : fmt::format("{}:{}", address.host, address.port);
}

std::vector<EndpointSetting> read_endpoints(Section& section, std::string_view key) {
  std::vector<EndpointSetting> endpoints;
  std::map<std::string, std::string> names;
  std::map<std::string, std::string> addresses;
  for (Section& entry : section.children(key)) {
    if (entry.has("address") && entry.has("url")) {
      entry.error("url", "is the same as address; give only one of them");
    }
    const std::string_view address_key =
        entry.has("url") && !entry.has("address") ? "url" : "address";
    entry.skip("url");
    const std::string text = entry.required_text(address_key);
    EndpointSetting endpoint;
    endpoint.labels = entry.text_map("labels");
    endpoint.name = entry.has("name") ? entry.required_text("name") : "";
    entry.finish();
    if (text.empty()) continue;

    const auto address = parse_endpoint_address(text);
    if (!address) {
      entry.error(address_key, address.error().message);
      continue;
    }
    endpoint.address = address->address;
    endpoint.tls = address->tls;
    if (endpoint.name.empty()) endpoint.name = address->name;
    if (endpoint.name.size() > kMaxHostBytes || !is_visible(endpoint.name)) {
      entry.error("name", "must be at most 253 bytes without white space or control characters");
      continue;
    }
    const bool has_twin = taken(addresses, to_string(endpoint.address), entry, address_key);
    if (taken(names, endpoint.name, entry, "name") || has_twin) continue;
    endpoints.push_back(std::move(endpoint));
  }
  return endpoints;
}

namespace {

// A host without a port; an IPv6 address may stand in brackets.
std::optional<std::string> read_host(std::string_view text) {
  if (text.starts_with('[') && text.ends_with(']')) text = text.substr(1, text.size() - 2);
  const bool is_v6_text = text.find(':') != std::string_view::npos;
  const auto read = read_host_port(
      is_v6_text ? fmt::format("[{}]:1", text) : fmt::format("{}:1", text), Names::kAllowed);
  return read ? std::optional(read->host) : std::nullopt;
}

std::vector<EndpointSetting> read_discovered(Section& section, std::string_view key) {
  std::vector<EndpointSetting> endpoints;
  std::map<std::string, std::string> names;
  std::map<std::string, std::string> addresses;
  for (Section& entry : section.children(key)) {
    const std::string name = entry.required_text("name");
    const std::string name_space = entry.text("namespace", "default");
    const std::string host_text = entry.required_text("address");
    const std::string port_text = entry.required_text("port");
    EndpointSetting endpoint;
    endpoint.labels = entry.text_map("labels");
    entry.finish();
    if (name.empty() || host_text.empty() || port_text.empty()) continue;

    endpoint.name = fmt::format("{}/{}", name_space, name);
    if (endpoint.name.size() > kMaxHostBytes || !is_visible(endpoint.name)) {
      entry.error("name",
                  "must be at most 253 bytes, with its namespace, without white space or "
                  "control characters");
      continue;
    }
    const auto host = read_host(host_text);
    if (!host) {
      entry.error("address",
                  fmt::format("{} is no address and no host name", in_quotes(host_text)));
    }
    std::uint16_t port = 0;
    const char* const end = port_text.data() + port_text.size();
    const auto [stop, error] = std::from_chars(port_text.data(), end, port);
    if (error != std::errc{} || stop != end || port == 0) {
      entry.error("port", fmt::format("must be from 1 to 65535, is {}", in_quotes(port_text)));
    }
    if (!host || error != std::errc{} || stop != end || port == 0) continue;
    endpoint.address = {*host, port};
    const bool has_twin = taken(addresses, to_string(endpoint.address), entry, "address");
    if (taken(names, endpoint.name, entry, "name") || has_twin) continue;
    endpoints.push_back(std::move(endpoint));
  }
  return endpoints;
}

// A whole file of endpoints, or nothing when something in it is wrong.
std::optional<std::vector<EndpointSetting>> parse_file(
    std::string_view text, std::string_view file, Problems& problems,
    std::vector<EndpointSetting> (*read)(Section&, std::string_view)) {
  Problems own;
  Section root = Section::parse(text, file, own);
  if (!own.has_errors() && !root.has("endpoints")) {
    root.error("", "\"endpoints\" is missing; write `endpoints: []` for an empty pool");
  }
  auto endpoints = read(root, "endpoints");
  root.finish();
  for (const Problem& problem : own.list()) problems.add(problem);
  if (own.has_errors()) return std::nullopt;
  return endpoints;
}

}  // namespace

std::string to_yaml(const EndpointSetting& endpoint) {
  std::string labels;
  for (const auto& [key, value] : endpoint.labels) {
    labels +=
        fmt::format("{}{}: {}", labels.empty() ? "" : ", ", yaml_quoted(key), yaml_quoted(value));
  }
  return fmt::format("{{name: {}, address: {}, labels: {{{}}}}}", yaml_quoted(endpoint.name),
                     yaml_quoted((endpoint.tls ? std::string(kHttps) : std::string()) +
                                 to_string(endpoint.address)),
                     labels);
}

std::optional<std::vector<EndpointSetting>> parse_endpoints_file(std::string_view text,
                                                                 std::string_view file,
                                                                 Problems& problems) {
  return parse_file(text, file, problems, read_endpoints);
}

std::optional<std::vector<EndpointSetting>> parse_discovery_file(std::string_view text,
                                                                 std::string_view file,
                                                                 Problems& problems) {
  return parse_file(text, file, problems, read_discovered);
}

std::optional<std::vector<EndpointSetting>> parse_members(EndpointsFormat format,
                                                          std::string_view text,
                                                          std::string_view file,
                                                          Problems& problems) {
  return format == EndpointsFormat::kDiscovery ? parse_discovery_file(text, file, problems)
                                               : parse_endpoints_file(text, file, problems);
}

}  // namespace fairlead::config
