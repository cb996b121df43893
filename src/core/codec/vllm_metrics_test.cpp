// SPDX-License-Identifier: Apache-2.0
#include "core/codec/vllm_metrics.h"

#include <gtest/gtest.h>

#include <string>

#include "base/random.h"
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
  // Nothing is in prefill, so what was looked up is what had a first token.
  EXPECT_EQ(large.prompt_tokens, large.prefix_queries);
  EXPECT_EQ(large.first_tokens, 1052.0);
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

TEST(VllmMetrics, KnowsTheNamesOfTensorRtAndTriton) {
  const EngineMetrics trt = parse_engine_metrics(
      "trtllm_num_requests_waiting 3\ntrtllm_num_requests_running{model_name=\"m\"} 4\n"
      "trtllm_kv_cache_utilization 0.5\ntrtllm_kv_cache_tokens_per_block 32\n"
      "trtllm_kv_cache_max_blocks 1000\n");
  EXPECT_EQ(trt.waiting, 3.0);
  EXPECT_EQ(trt.running, 4.0);
  EXPECT_EQ(trt.kv_usage, 0.5);
  EXPECT_EQ(trt.block_size, 32U);
  EXPECT_EQ(trt.num_gpu_blocks, 1000U);
  const std::string text =
      "nv_trt_llm_request_metrics{model=\"m\",request_type=\"waiting\",version=\"1\"} 5\n"
      "nv_trt_llm_request_metrics{request_type=\"scheduled\"} 6\n"
      "nv_trt_llm_request_metrics{request_type=\"max\"} 99\n"
      "nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=\"fraction\"} 0.25\n"
      "nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=\"tokens_per\"} 64\n"
      "nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=\"max\"} 10\n"
      "nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=\"used\"} 3\n";
  EngineMetricsReader reader;
  for (int i = 0; i < 3; ++i) {
    const EngineMetrics triton = reader.read(text);
    EXPECT_EQ(triton.waiting, 5.0);
    EXPECT_EQ(triton.running, 6.0);
    EXPECT_EQ(triton.kv_usage, 0.25);
    EXPECT_EQ(triton.block_size, 64U);
    EXPECT_EQ(triton.num_gpu_blocks, 10U);
  }
  EXPECT_EQ(reader.whole_reads(), 1U);
  EXPECT_EQ(parse_engine_metrics("nv_inference_pending_request_count{model=\"m\"} 2\n").waiting,
            2.0);
}

TEST(VllmMetrics, KnowsTheNamesOfSglang) {
  const EngineMetrics metrics = parse_engine_metrics(
      "sglang:num_queue_reqs{model_name=\"m\",dp_rank=\"0\"} 3\n"
      "sglang:num_queue_reqs{model_name=\"m\",dp_rank=\"1\"} 1\n"
      "sglang:num_queue_reqs_total{model_name=\"m\"} 99\n"
      "sglang:num_running_reqs{model_name=\"m\"} 7.0\n"
      "sglang:token_usage{model_name=\"m\"} 0.28\n"
      "sglang:cache_config_info{page_size=\"64\",num_pages=\"2000\"} 1\n");
  EXPECT_EQ(metrics.waiting, 4.0);
  EXPECT_EQ(metrics.running, 7.0);
  EXPECT_EQ(metrics.kv_usage, 0.28);
  EXPECT_EQ(metrics.block_size, 64U);
  EXPECT_EQ(metrics.num_gpu_blocks, 2000U);
}

void expect_same(const EngineMetrics& a, const EngineMetrics& b) {
  EXPECT_EQ(a.waiting, b.waiting);
  EXPECT_EQ(a.running, b.running);
  EXPECT_EQ(a.kv_usage, b.kv_usage);
  EXPECT_EQ(a.prefix_queries, b.prefix_queries);
  EXPECT_EQ(a.prefix_hits, b.prefix_hits);
  EXPECT_EQ(a.prompt_tokens, b.prompt_tokens);
  EXPECT_EQ(a.first_tokens, b.first_tokens);
  EXPECT_EQ(a.block_size, b.block_size);
  EXPECT_EQ(a.num_gpu_blocks, b.num_gpu_blocks);
  EXPECT_EQ(a.process_start_time, b.process_start_time);
  ASSERT_EQ(a.lora.has_value(), b.lora.has_value());
  if (a.lora) {
    EXPECT_EQ(a.lora->running, b.lora->running);
  }
}

// A text whose figures, and so its offsets, change from one to the next, with `engines` series.
std::string changing_text(Random& random, int engines) {
  std::string text = "process_start_time_seconds 1.5e9\n";
  const auto family = [&](const std::string& name) {
    text += "# HELP " + name + " what it is\n# TYPE " + name + " gauge\n";
    for (int engine = 0; engine < engines; ++engine) {
      text += name + "{engine=\"" + std::to_string(engine) + "\"} " +
              std::to_string(random.below(std::uint64_t{1} << random.below(40))) + "\n";
    }
  };
  for (const char* name :
       {"vllm:num_requests_running", "vllm:num_requests_waiting",
        "vllm:num_requests_waiting_by_reason", "vllm:e2e_seconds_bucket", "vllm:e2e_seconds_sum",
        "vllm:prefix_cache_queries_total", "vllm:prefix_cache_hits_total"}) {
    family(name);
  }
  return text;
}

TEST(EngineMetricsReader, ReadsAsOneWithoutMemoryWhileFiguresAndSeriesChange) {
  Random random(11);
  EngineMetricsReader reader;
  for (int i = 0; i < 4000; ++i) {
    const std::string text = changing_text(random, 1 + i / 64 % 3);
    expect_same(reader.read(text), parse_engine_metrics(text));
    if (HasFailure()) FAIL() << i << ": " << text;
  }
  EXPECT_LT(reader.whole_reads(), 600U) << "nearly all of them were read by places";
}

TEST(EngineMetricsReader, AnotherTextIsReadWhole) {
  EngineMetricsReader reader;
  const std::string large = read_testdata("metrics_after_load.txt");
  const std::string moved = std::string(2000, '\n') + large;
  for (const std::string& text : {large, moved, large, std::string("vllm:num_requests_waiting 3"),
                                  std::string(), std::string("x"), large}) {
    expect_same(reader.read(text), parse_engine_metrics(text));
  }
  EXPECT_EQ(reader.whole_reads(), 7U);
  expect_same(reader.read(large), parse_engine_metrics(large));
  EXPECT_EQ(reader.whole_reads(), 7U);
}

TEST(EngineMetricsReader, ASeriesInFrontOfAKnownOneIsSeenThoughTheOldPlaceHoldsOne) {
  const std::string first = "vllm:num_requests_waiting{engine=\"0\"} 2\n";
  const std::string second = "vllm:num_requests_waiting{engine=\"1\"} 5\n";
  const std::string comment = "#" + std::string(first.size() - 2, 'x') + "\n";
  EngineMetricsReader reader;
  EXPECT_EQ(reader.read(comment + second).waiting, 5.0);
  EXPECT_EQ(reader.read(first + second).waiting, 7.0);
}

TEST(EngineMetricsReader, ANewFamilyIsSeenWithinItsBound) {
  EngineMetricsReader reader;
  EXPECT_EQ(reader.read("vllm:num_requests_waiting 1\n").waiting, 1.0);
  const std::string more =
      "vllm:num_requests_waiting 2\nvllm:lora_requests_info{running_lora_adapters=\"a\"} 5\n";
  unsigned reads = 1;
  while (!reader.read(more).lora) ++reads;
  EXPECT_EQ(reads, EngineMetricsReader::kByPlaceMax + 1);
  const std::string series =
      "vllm:num_requests_waiting{engine=\"0\"} 2\n"
      "vllm:num_requests_waiting{engine=\"1\"} 5\n";
  EXPECT_EQ(reader.read(series).waiting, 7.0) << "a new series at once";
}

TEST(EngineMetricsReader, ACacheSizeBetweenTwoRunsOfAFamilyHidesNeither) {
  const std::string text =
      "vllm:num_requests_waiting{engine=\"0\"} 2\n"
      "vllm:cache_config_info{block_size=\"16\",num_gpu_blocks=\"9\"} 1\n"
      "vllm:num_requests_waiting{engine=\"1\"} 2\n";
  EngineMetricsReader reader;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(reader.read(text).waiting, 4.0) << i;
}

}  // namespace
}  // namespace fairlead::codec
