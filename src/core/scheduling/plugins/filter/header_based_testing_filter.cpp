// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/plugins/filter/header_based_testing_filter.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

namespace fairlead::scheduling {
namespace {

constexpr std::string_view kHeader = "test-epp-endpoint-selection";

struct Wanted {
  std::string_view address;
  std::optional<std::uint16_t> port;

  bool is(const model::Endpoint& endpoint) const {
    return endpoint.dial() == address && (!port || endpoint.port == *port);
  }
};

std::string_view trim(std::string_view text) {
  while (text.starts_with(' ') || text.starts_with('\t')) text.remove_prefix(1);
  while (text.ends_with(' ') || text.ends_with('\t')) text.remove_suffix(1);
  return text;
}

// Nothing when the port is none. A bare IPv6 address has more than one colon.
std::optional<Wanted> parse(std::string_view entry) {
  Wanted wanted{entry, {}};
  const std::size_t bracket = entry.find(']');
  const bool bracketed = entry.starts_with('[') && bracket != std::string_view::npos;
  if (bracketed) wanted.address = entry.substr(1, bracket - 1);
  const std::size_t colon = bracketed                             ? bracket + 1
                            : std::ranges::count(entry, ':') == 1 ? entry.find(':')
                                                                  : entry.size();
  if (colon >= entry.size()) return wanted;
  if (!bracketed) wanted.address = entry.substr(0, colon);
  const std::string_view digits = entry.substr(colon + 1);
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (entry[colon] != ':' || error != std::errc{} || end != digits.data() + digits.size())
    return {};
  wanted.port = port;
  return wanted;
}

class HeaderBasedTestingFilter final : public Filter {
 public:
  // The wanted rows are moved to the front, in the order of the header; the rest falls off.
  void narrow(const model::InferenceRequest& request, const Candidates& table, Rows& rows,
              DecisionContext&) const override {
    auto kept = rows.begin();
    std::string_view list = request.header(kHeader);
    while (!list.empty()) {
      const std::size_t comma = std::min(list.find(','), list.size());
      const std::optional<Wanted> wanted = parse(trim(list.substr(0, comma)));
      list.remove_prefix(std::min(comma + 1, list.size()));
      if (!wanted) continue;
      for (auto row = kept; row != rows.end(); ++row) {
        if (!wanted->is(*table.endpoint[*row])) continue;
        std::rotate(kept, row, row + 1);
        ++kept;
      }
    }
    rows.erase(kept, rows.end());
  }
};

std::unique_ptr<Filter> create_header_based_testing_filter(config::Section& /*parameters*/) {
  return std::make_unique<HeaderBasedTestingFilter>();
}

}  // namespace

FilterSpec header_based_testing_filter_spec() {
  return {"header-based-testing-filter",
          Stability::kBeta,
          {Column::kHeaders},
          create_header_based_testing_filter};
}

}  // namespace fairlead::scheduling
