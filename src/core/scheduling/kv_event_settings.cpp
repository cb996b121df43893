// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/kv_event_settings.h"

#include <chrono>

#include "core/config/units.h"

namespace fairlead::scheduling {
namespace {

constexpr std::int64_t kPortMax = 65'535;
constexpr std::int64_t kBlockTokensMax = 8192;
// What the index needs for its rows alone, and what it can name (core/prefix/kv_arena.h).
constexpr std::int64_t kBudgetMin = std::int64_t{16} << 20;
constexpr std::int64_t kBudgetMax = std::int64_t{64} << 30;

std::uint32_t read_block_tokens(config::Section processor) {
  const std::int64_t old = processor.integer("blockSize", 16, 1, kBlockTokensMax);
  return static_cast<std::uint32_t>(processor.integer("blockSizeTokens", old, 1, kBlockTokensMax));
}

void read_index(config::Section index, KvEventSettings& settings) {
  for (config::Section& tier : index.children("kvCacheBackendConfigs")) {
    const double weight = tier.number("weight", 1, 0, 1);
    if (tier.text("name", "") == "cpu") settings.host_weight = weight;
  }
  config::Section memory = index.child("kvBlockIndexConfig").child("costAwareMemoryConfig");
  std::string size = memory.text("size", "");
  if (size.empty()) return;
  if (size.ends_with('B')) size.pop_back();  // Go writes 2GiB.
  const auto bytes = config::parse_bytes(size);
  if (bytes && *bytes >= kBudgetMin && *bytes <= kBudgetMax) {
    settings.budget_bytes = static_cast<std::uint64_t>(*bytes);
  } else {
    memory.error("size", "is no size between 16MiB and 64GiB");
  }
}

void read_sockets(config::Section events, KvEventSettings& settings) {
  // Which of them it is, each event shows.
  static_cast<void>(events.choice("engineType", "vllm", {"vllm", "sglang"}));
  settings.topic_filter = events.text("topicFilter", settings.topic_filter);
  settings.bind = events.text("zmqEndpoint", "");
  config::Section pods = events.child("podDiscoveryConfig");
  settings.port =
      static_cast<std::uint16_t>(pods.integer("socketPort", settings.port, 1, kPortMax));
  settings.replay_port =
      static_cast<std::uint16_t>(pods.integer("replaySocketPort", 0, 0, kPortMax));
}

}  // namespace

KvEventSettings read_kv_event_settings(config::Section& parameters) {
  KvEventSettings settings;
  config::Section processor = parameters.child("tokenProcessorConfig");
  settings.block_tokens = read_block_tokens(processor);
  if (processor.has("hashSeed")) settings.hash_seed = processor.text("hashSeed", "");
  read_index(parameters.child("indexerConfig"), settings);
  read_sockets(parameters.child("kvEventsConfig"), settings);
  const Duration ttl = parameters.duration("speculativeTTL", std::chrono::seconds(2),
                                           std::chrono::milliseconds(1), std::chrono::hours(1));
  if (parameters.boolean("speculativeIndexing").value_or(false)) settings.expect_for = ttl;
  return settings;
}

}  // namespace fairlead::scheduling
