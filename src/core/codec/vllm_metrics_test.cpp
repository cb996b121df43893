// SPDX-License-Identifier: Apache-2.0
#include "core/codec/vllm_metrics.h"

#include <gtest/gtest.h>

#include <string>

#include "core/codec/testing/test_data.h"

namespace fairlead::codec {
namespace {

using Names = std::vector<std::string>;

TEST(VllmMetrics, ReadsCapturedScrapes) {
  const EngineMetrics large = parse_engine_metrics(read_testdata("metrics_after_load.txt"));
  EXPECT_EQ(large.waiting, 0.0);
  EXPECT_EQ(large.running, 0.0);
  EXPECT_EQ(large.kv_usage, 0.0);
  EXPECT_EQ(large.prefix_queries, 232656.0);
  EXPECT_EQ(large.prefix_hits, 6016.0);
  EXPECT_EQ(large.block_size, 128U);
  EXPECT_EQ(large.num_gpu_blocks, 8192U);
  EXPECT_EQ(large.process_start_time, 1.79542329616e9);
  EXPECT_FALSE(large.lora);
  const EngineMetrics small = parse_engine_metrics(read_testdata("metrics_small_cache.txt"));
  EXPECT_EQ(small.block_size, 32U);
  EXPECT_EQ(small.num_gpu_blocks, 17U);
  EXPECT_EQ(small.prefix_queries, 3454.0);
  EXPECT_EQ(small.prefix_hits, 544.0);
}

TEST(VllmMetrics, PrefersNewNamesInAnyOrder) {
  EXPECT_EQ(parse_engine_metrics("vllm:gpu_cache_usage_perc 0.25\n").kv_usage, 0.25);
  EXPECT_EQ(parse_engine_metrics("vllm:gpu_cache_usage_perc 0.9\nvllm:kv_cache_usage_perc 0.5\n")
                .kv_usage,
            0.5);
  EXPECT_EQ(
      parse_engine_metrics("vllm:kv_cache_usage_perc 0.5\nvllm:gpu_cache_usage_perc 0.9").kv_usage,
      0.5);
  EXPECT_EQ(parse_engine_metrics("vllm:gpu_prefix_cache_queries_total{a=\"b\"} 7\n"
                                 "vllm:gpu_prefix_cache_hits 3\n")
                .prefix_queries,
            7.0);
}

TEST(VllmMetrics, SumsEnginesAndTakesTheFullestCache) {
  const EngineMetrics metrics = parse_engine_metrics(
      "vllm:num_requests_waiting{engine=\"0\"} 3\nvllm:num_requests_waiting{engine=\"1\"} 4\n"
      "vllm:num_requests_waiting_by_reason{engine=\"0\"} 100\n"
      "vllm:num_requests_running{engine=\"0\"} 1\nvllm:num_requests_running{engine=\"1\"} 2\n"
      "vllm:kv_cache_usage_perc{engine=\"0\"} 0.75\nvllm:kv_cache_usage_perc{engine=\"1\"} 0.5\n"
      "vllm:cache_config_info{engine=\"0\",block_size=\"16\",num_gpu_blocks=\"100\"} 1\n"
      "vllm:cache_config_info{engine=\"1\",block_size=\"16\",num_gpu_blocks=\"50\"} 1\n");
  EXPECT_EQ(metrics.waiting, 7.0);
  EXPECT_EQ(metrics.running, 3.0);
  EXPECT_EQ(metrics.kv_usage, 0.75);
  EXPECT_EQ(metrics.block_size, 16U);
  EXPECT_EQ(metrics.num_gpu_blocks, 150U);
}

TEST(VllmMetrics, LeavesUnusableFiguresAbsent) {
  const EngineMetrics metrics = parse_engine_metrics(
      "vllm:num_requests_waiting NaN\nvllm:num_requests_running +Inf\n"
      "vllm:kv_cache_usage_perc -1\nvllm:prefix_cache_queries_total 1x\n"
      "vllm:prefix_cache_hits_total{a=\"b\n"
      "vllm:cache_config_info{block_size=\"None\",num_gpu_blocks=\"\"} 1\n"
      "# HELP vllm:num_requests_waiting 5\nxvllm:num_requests_waiting 5\n");
  EXPECT_FALSE(metrics.any());
  EXPECT_FALSE(parse_engine_metrics("").any());
  EXPECT_FALSE(parse_engine_metrics("<html>not found</html>").any());
}

TEST(VllmMetrics, ReadsValuesBehindTroublesomeLabels) {
  const EngineMetrics metrics = parse_engine_metrics(
      "vllm:num_requests_waiting{model_name=\"a}\\\"} 9, b\", engine=\"0\"} 2 1712345678000\r\n"
      "vllm:kv_cache_usage_perc{} 1.0000001\n"
      "vllm:num_requests_running\t+4e0\n");
  EXPECT_EQ(metrics.waiting, 2.0);
  EXPECT_EQ(metrics.kv_usage, 1.0);
  EXPECT_EQ(metrics.running, 4.0);
}

TEST(VllmMetrics, TakesTheNewestLoraSeries) {
  const EngineMetrics metrics = parse_engine_metrics(
      "vllm:lora_requests_info{max_lora=\"4\",running_lora_adapters=\"a,b\","
      "waiting_lora_adapters=\"c\"} 1.7e9\n"
      "vllm:lora_requests_info{max_lora=\"4\",running_lora_adapters=\"\","
      "waiting_lora_adapters=\"\"} 1.6e9\n");
  ASSERT_TRUE(metrics.lora);
  EXPECT_EQ(metrics.lora->running, (Names{"a", "b"}));
  EXPECT_EQ(metrics.lora->waiting, Names{"c"});
  EXPECT_EQ(metrics.lora->max_lora, 4U);
}

}  // namespace
}  // namespace fairlead::codec
