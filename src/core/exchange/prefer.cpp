// SPDX-License-Identifier: Apache-2.0
#include "core/exchange/prefer.h"

#include <algorithm>
#include <string_view>

namespace fairlead::exchange {
namespace {

constexpr std::string_view kPreference = "if-available";
constexpr std::string_view kSpace = " \t";

// The length of the list's first item; commas inside quotes are part of it.
std::size_t item_bytes(std::string_view list) {
  bool quoted = false;
  for (std::size_t at = 0; at < list.size(); ++at) {
    if (quoted && list[at] == '\\') {
      ++at;
    } else if (list[at] == '"') {
      quoted = !quoted;
    } else if (list[at] == ',' && !quoted) {
      return at;
    }
  }
  return list.size();
}

std::string_view token_of(std::string_view item) {
  item.remove_prefix(std::min(item.find_first_not_of(kSpace), item.size()));
  return item.substr(0, item.find_first_of(" \t=;"));
}

bool lists_it(std::string_view list) {
  while (!list.empty()) {
    const std::size_t bytes = item_bytes(list);
    if (codec::equals_ignore_case(token_of(list.substr(0, bytes)), kPreference)) return true;
    list.remove_prefix(std::min(bytes + 1, list.size()));
  }
  return false;
}

}  // namespace

bool prefers_if_available(std::span<const codec::Http1Header> headers) {
  return std::ranges::any_of(headers, [](const codec::Http1Header& header) {
    return codec::equals_ignore_case(header.name, "prefer") && lists_it(header.value);
  });
}

}  // namespace fairlead::exchange
