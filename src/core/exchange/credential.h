// SPDX-License-Identifier: Apache-2.0
// The key with which a client shows who it is: `Authorization: Bearer KEY` as OpenAI's clients
// send it, `x-api-key` as Anthropic's, `api-key` as Azure's; the first of these that is there.
// Threads: pure functions. Source: RFC 6750 §2.1, the providers' API references.
#pragma once

#include <span>
#include <string_view>

#include "core/codec/http1.h"

namespace fairlead::exchange {

// Empty when there is none. A view into the header.
std::string_view client_key(std::span<const codec::Http1Header> headers);

// Whether this header may carry a key: not forwarded where the router keeps keys to itself.
bool is_key_header(std::string_view name);

}  // namespace fairlead::exchange
