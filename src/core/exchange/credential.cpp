// SPDX-License-Identifier: Apache-2.0
#include "core/exchange/credential.h"

namespace fairlead::exchange {
namespace {

constexpr std::string_view kAuthorization = "authorization";
constexpr std::string_view kApiKeys[] = {"x-api-key", "api-key"};
constexpr std::string_view kBearer = "bearer ";

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

}  // namespace

std::string_view client_key(std::span<const codec::Http1Header> headers) {
  const std::string_view value = codec::header_value(headers, kAuthorization);
  if (codec::equals_ignore_case(value.substr(0, kBearer.size()), kBearer)) {
    const std::string_view key = trimmed(value.substr(kBearer.size()));
    if (!key.empty()) return key;
  }
  for (const std::string_view name : kApiKeys) {
    const std::string_view key = trimmed(codec::header_value(headers, name));
    if (!key.empty()) return key;
  }
  return {};
}

bool is_key_header(std::string_view name) {
  if (codec::equals_ignore_case(name, kAuthorization)) return true;
  for (const std::string_view known : kApiKeys) {
    if (codec::equals_ignore_case(name, known)) return true;
  }
  return false;
}

}  // namespace fairlead::exchange
