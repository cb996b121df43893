// SPDX-License-Identifier: Apache-2.0
// The session token: an endpoint's name in base64 (RFC 4648 §4), which a client gets in the
// x-session-token response header and sends back to reach the same endpoint again. It is a wish,
// not a right: the picker weighs it, and a name that is no endpoint's means nothing.
// Threads: pure functions.
#pragma once

#include <string>
#include <string_view>

namespace fairlead::exchange {

inline constexpr std::string_view kSessionTokenHeader = "x-session-token";

// Replaces `out`.
void encode_session_token(std::string_view endpoint_name, std::string& out);
// Replaces `out` by the name; empty when `token` is not base64 or too long for a name.
void decode_session_token(std::string_view token, std::string& out);

}  // namespace fairlead::exchange
