// SPDX-License-Identifier: Apache-2.0
// For tests and benchmarks: messages framed and a call's headers, as a gRPC client on Http2Client
// sends them. Threads: pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/codec/grpc_frame.h"
#include "io/net/testing/http2_client.h"

namespace fairlead::net::testing {

inline std::string grpc_framed(std::string_view message) {
  const auto prefix = codec::grpc_prefix(static_cast<std::uint32_t>(message.size()));
  return std::string(prefix.data(), prefix.size()).append(message);
}

// The messages in the body of an answer.
inline std::vector<std::string> grpc_messages(std::string_view body) {
  std::vector<std::string> out;
  codec::GrpcFrameReader reader(std::size_t{1} << 30);
  while (!body.empty()) out.emplace_back(reader.next(body).bytes);
  return out;
}

inline HeaderList grpc_head(std::string_view path) {
  HeaderList headers = Http2Client::post(path);
  headers.push_back({"content-type", "application/grpc+proto"});
  headers.push_back({"te", "trailers"});
  return headers;
}

}  // namespace fairlead::net::testing
