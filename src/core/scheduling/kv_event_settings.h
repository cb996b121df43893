// SPDX-License-Identifier: Apache-2.0
// KvEventSettings: how engines are listened to, from the parameters of
// precise-prefix-cache-producer. Defaults are llm-d's.
// Source: github.com/llm-d/llm-d-router, pkg/kvcache. Values; pure function.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/time.h"
#include "core/config/section.h"

namespace fairlead::scheduling {

struct KvEventSettings {
  std::uint32_t block_tokens = 16;
  std::optional<std::string> hash_seed;  // Engines' PYTHONHASHSEED; those of another are told of.
  // Engines connect to this address of ours, and topics name them; empty: we connect to them.
  std::string bind;
  std::string topic_filter = "kv@";  // What topics begin with.
  // Of each endpoint, plus its data-parallel rank; an endpoint's labels say otherwise.
  std::uint16_t port = 5557;
  std::uint16_t replay_port = 0;  // 0: what was missed cannot be asked for.
  // What a cached block counts in host memory, where one on the device counts 1.
  double host_weight = 0.8;
  std::uint64_t budget_bytes = std::uint64_t{2} << 30;
  // Count a prompt as held where it was sent to, until the engine tells, at most this long.
  std::optional<Duration> expect_for;
  friend bool operator==(const KvEventSettings&, const KvEventSettings&) = default;
};

// `parameters` have their forms already; ranges are checked here.
KvEventSettings read_kv_event_settings(config::Section& parameters);

}  // namespace fairlead::scheduling
