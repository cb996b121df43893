// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/kv_event_settings.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "core/scheduling/catalog.h"
#include "core/scheduling/policy_config.h"

namespace fairlead::scheduling {
namespace {

struct Read {
  std::optional<KvEventSettings> events;
  std::string problems;
};

Read read_plugins(std::string_view plugins) {
  config::Problems problems;
  const std::string text = fmt::format("plugins: [{}, {{type: prefix-cache-scorer}}]\n", plugins);
  config::Section root = config::Section::parse(text, "f", problems);
  const BuiltPolicy built = build_policy(root, builtin_registry(), {kAllColumns}, problems);
  root.finish();
  return {built.picker.events, problems.to_string()};
}

TEST(KvEventSettings, DefaultsAreLlmds) {
  EXPECT_EQ(read_plugins("{type: queue-scorer}").events, std::nullopt);
  const Read read = read_plugins("{type: precise-prefix-cache-producer}");
  EXPECT_EQ(read.problems, "");
  EXPECT_EQ(read.events, KvEventSettings{});
}

TEST(KvEventSettings, EveryParameterIsTaken) {
  const Read read = read_plugins(
      "{type: precise-prefix-cache-producer, parameters: {tokenProcessorConfig: {blockSizeTokens: "
      "64, hashSeed: \"0\"}, indexerConfig: {kvCacheBackendConfigs: [{name: gpu, weight: 1}, "
      "{name: cpu, weight: "
      "0.5}], kvBlockIndexConfig: {costAwareMemoryConfig: {size: 1GiB}}}, kvEventsConfig: "
      "{zmqEndpoint: 'tcp://*:5557', topicFilter: '', engineType: sglang, podDiscoveryConfig: "
      "{socketPort: 6000, replaySocketPort: 6001}}, speculativeIndexing: true, speculativeTTL: "
      "3s}}");
  EXPECT_EQ(read.problems, "");
  ASSERT_TRUE(read.events);
  const KvEventSettings expected{.block_tokens = 64,
                                 .hash_seed = "0",
                                 .bind = "tcp://*:5557",
                                 .topic_filter = "",
                                 .port = 6000,
                                 .replay_port = 6001,
                                 .host_weight = 0.5,
                                 .budget_bytes = std::uint64_t{1} << 30,
                                 .expect_for = std::chrono::seconds(3)};
  EXPECT_EQ(*read.events, expected);
}

TEST(KvEventSettings, TheScorerOfItsOwnKindCountsWhereThereIsNoProducer) {
  const std::string scorer =
      "{type: precise-prefix-cache-scorer, parameters: {tokenProcessorConfig: {blockSize: 32}}}";
  EXPECT_EQ(read_plugins(scorer).events->block_tokens, 32U);
  EXPECT_EQ(read_plugins(scorer + ", {type: precise-prefix-cache-producer}").events->block_tokens,
            16U);
}

TEST(KvEventSettings, AHashOfKeysThatIsNotTheOneHereIsWarnedOf) {
  const auto problem = [](std::string_view algorithm) {
    return read_plugins(fmt::format("{{type: precise-prefix-cache-producer, parameters: "
                                    "{{tokenProcessorConfig: {{hashAlgorithm: {}}}}}}}",
                                    algorithm))
        .problems;
  };
  EXPECT_EQ(problem("xxh64"), "");
  EXPECT_NE(problem("sha256_cbor").find("tokenProcessorConfig.hashAlgorithm: has no effect"),
            std::string::npos);
}

TEST(KvEventSettings, WhatIsOutOfRangeIsNamed) {
  const auto problem = [](std::string_view parameters) {
    return read_plugins(fmt::format("{{type: precise-prefix-cache-producer, parameters: {{{}}}}}",
                                    parameters))
        .problems;
  };
  EXPECT_NE(problem("tokenProcessorConfig: {blockSizeTokens: 0}").find("blockSizeTokens"),
            std::string::npos);
  EXPECT_NE(problem("kvEventsConfig: {podDiscoveryConfig: {socketPort: 70000}}").find("socketPort"),
            std::string::npos);
  EXPECT_NE(problem("kvEventsConfig: {engineType: trt}").find("engineType"), std::string::npos);
  EXPECT_NE(problem("indexerConfig: {kvBlockIndexConfig: {costAwareMemoryConfig: {size: huge}}}")
                .find("no size between"),
            std::string::npos);
  EXPECT_NE(problem("indexerConfig: {kvBlockIndexConfig: {costAwareMemoryConfig: {size: 8MiB}}}")
                .find("no size between"),
            std::string::npos);
}

}  // namespace
}  // namespace fairlead::scheduling
