// SPDX-License-Identifier: Apache-2.0
// The messages of grpc.health.v1: HealthCheckRequest, HealthCheckResponse, HealthListResponse.
// Threads: free functions. Source: grpc/health/v1/health.proto; the protobuf wire format.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace fairlead::codec {

// By their numbers on the wire.
enum class HealthStatus : std::uint8_t { kUnknown, kServing, kNotServing, kServiceUnknown };

// The service's name, in `message`; fields that we do not know are passed over. Nothing when it is
// no such message.
std::optional<std::string_view> parse_health_request(std::string_view message);

void append_health_response(std::string& out, HealthStatus status);
// One entry of a HealthListResponse, which is all its entries.
void append_health_entry(std::string& out, std::string_view service, HealthStatus status);

}  // namespace fairlead::codec
