// SPDX-License-Identifier: Apache-2.0
// The client's preference `if-available`: it wants an answer only where its prompt is cached, as a
// prefill/decode coordinator does that would otherwise have the prompt computed elsewhere.
// Source: RFC 7240; llm-d's endpoint picker. Threads: a pure function.
#pragma once

#include <span>

#include "core/codec/http1.h"

namespace fairlead::exchange {

// Whether a Prefer header has that token. Case and parameters do not count.
bool prefers_if_available(std::span<const codec::Http1Header> headers);

}  // namespace fairlead::exchange
