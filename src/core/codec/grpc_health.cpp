// SPDX-License-Identifier: Apache-2.0
#include "core/codec/grpc_health.h"

#include <array>
#include <cstddef>

namespace fairlead::codec {
namespace {

constexpr int kFieldBits = 3;
constexpr std::uint64_t kWireTypeMask = 7;
constexpr std::uint8_t kServiceTag = 1 << kFieldBits | 2;  // HealthCheckRequest.service = 1
constexpr std::uint8_t kStatusTag = 1 << kFieldBits | 0;   // HealthCheckResponse.status = 1
constexpr std::uint8_t kEntryTag = 1 << kFieldBits | 2;    // HealthListResponse.statuses = 1
constexpr std::uint8_t kKeyTag = 1 << kFieldBits | 2;
constexpr std::uint8_t kValueTag = 2 << kFieldBits | 2;

std::optional<std::uint64_t> take_varint(std::string_view& bytes) {
  std::uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    if (bytes.empty()) return std::nullopt;
    const auto byte = static_cast<unsigned char>(bytes.front());
    bytes.remove_prefix(1);
    value |= std::uint64_t{byte & 0x7FU} << shift;
    if (byte < 0x80) return value;
  }
  return std::nullopt;
}

void append_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>((value & 0x7F) | 0x80);
  out += static_cast<char>(value);
}

std::size_t varint_bytes(std::uint64_t value) {
  std::size_t count = 1;
  for (; value >= 0x80; value >>= 7) ++count;
  return count;
}

bool skip(std::string_view& bytes, std::uint64_t size) {
  if (size > bytes.size()) return false;
  bytes.remove_prefix(static_cast<std::size_t>(size));
  return true;
}

// Passes over a field's value; groups are no part of proto3.
bool skip_value(std::string_view& bytes, std::uint64_t tag) {
  switch (tag & kWireTypeMask) {
    case 0:
      return take_varint(bytes).has_value();
    case 1:
      return skip(bytes, 8);
    case 2: {
      const auto size = take_varint(bytes);
      return size && skip(bytes, *size);
    }
    case 5:
      return skip(bytes, 4);
    default:
      return false;
  }
}

}  // namespace

std::optional<std::string_view> parse_health_request(std::string_view message) {
  std::string_view service;
  while (!message.empty()) {
    const auto tag = take_varint(message);
    if (!tag || *tag >> kFieldBits == 0) return std::nullopt;
    if (*tag != kServiceTag) {
      if (!skip_value(message, *tag)) return std::nullopt;
      continue;
    }
    const auto size = take_varint(message);
    if (!size || *size > message.size()) return std::nullopt;
    service = message.substr(0, static_cast<std::size_t>(*size));
    message.remove_prefix(service.size());
  }
  return service;
}

void append_health_response(std::string& out, HealthStatus status) {
  if (status == HealthStatus::kUnknown) return;  // The default is not written.
  out += static_cast<char>(kStatusTag);
  out += static_cast<char>(status);
}

void append_health_entry(std::string& out, std::string_view service, HealthStatus status) {
  const std::size_t value_bytes = status == HealthStatus::kUnknown ? 0 : 2;
  const std::size_t key_bytes = 1 + varint_bytes(service.size()) + service.size();
  out += static_cast<char>(kEntryTag);
  append_varint(out, key_bytes + 2 + value_bytes);
  out += static_cast<char>(kKeyTag);
  append_varint(out, service.size());
  out += service;
  out += static_cast<char>(kValueTag);
  append_varint(out, value_bytes);
  append_health_response(out, status);
}

}  // namespace fairlead::codec
