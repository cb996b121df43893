// SPDX-License-Identifier: Apache-2.0
// kv-room-admitter: late binding. A request for which no endpoint has room waits in the router, and
// is bound to the one that has room first, instead of standing in the queue of one that was chosen
// before anybody knew which would be free. An endpoint has room when
//   inflight_tokens <= queueTokens  and
//   kv_usage * kv_tokens + inflight_tokens + own + growthTokens * (inflight + 1)
//       <= kvShare * kv_tokens
// or when nothing is in flight there. inflight_tokens: uncached prompt tokens sent there, up to
// their first token; own: this prompt's uncached tokens there; growthTokens: what a running
// request's answer will still add. Units: tokens; kv_usage and kv_tokens are scraped. Absence: of
// an engine that never told its capacity only the queue counts. Where nobody may wait
// (limits.waiting.requestsMax 0, and behind Envoy) every request is bound at once. Parameters:
// kvShare 0.95; queueTokens 16384; growthTokens 0.
#pragma once

#include <string_view>

#include "core/scheduling/plugin.h"

namespace fairlead::scheduling {

inline constexpr std::string_view kKvRoomAdmitter = "kv-room-admitter";
AdmitterSpec kv_room_admitter_spec();

}  // namespace fairlead::scheduling
