// SPDX-License-Identifier: Apache-2.0
#include "lab/load/model/trace.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <map>
#include <unordered_set>

#include "lab/load/model/gzip.h"

namespace fairlead::load {
namespace {

std::string shipped(const std::string& name) {
  std::ifstream file(std::string(FAIRLEAD_SOURCE_DIR "/data/traces/") + name, std::ios::binary);
  EXPECT_TRUE(file.good()) << name;
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

const Trace& mooncake() {
  static const Trace trace =
      parse_mooncake(inflate_gzip(shipped("mooncake_conversation.jsonl.gz"), 64 << 20).value())
          .value();
  return trace;
}

const Trace& azure() {
  static const Trace trace =
      parse_azure(inflate_gzip(shipped("azure_llm_2023_code.csv.gz"), 64 << 20).value()).value();
  return trace;
}

struct CacheResult {
  double token_hit = 0;
  double block_hit = 0;
  std::size_t unique_blocks = 0;
  std::size_t references = 0;
};

// The hit ratio of a cache that never evicts, counting leading blocks only.
CacheResult infinite_cache(const Workload& workload) {
  std::unordered_set<std::uint64_t> seen;
  double tokens = 0, hit_tokens = 0, hit_blocks = 0;
  CacheResult result;
  for (const PlannedRequest& request : workload.requests) {
    bool leading = true;
    for (const PromptPart& part : workload.prompt(request)) {
      leading = leading && seen.contains(part.id);
      if (leading) {
        hit_tokens += part.tokens;
        ++hit_blocks;
      }
    }
    for (const PromptPart& part : workload.prompt(request)) seen.insert(part.id);
    tokens += request.prompt_tokens;
    result.references += request.part_count;
  }
  result.token_hit = hit_tokens / tokens;
  result.block_hit = hit_blocks / static_cast<double>(result.references);
  result.unique_blocks = seen.size();
  return result;
}

std::string error_of(const Result<Trace>& result) {
  return result ? "no error" : result.error().message;
}

TEST(MooncakeTrace, ShippedFileHasThePublishedStatistics) {
  const Trace& trace = mooncake();
  ASSERT_EQ(trace.rows.size(), 12031u);
  double input = 0, output = 0;
  std::uint32_t longest = 0;
  for (const TraceRow& row : trace.rows) {
    input += row.input_tokens;
    output += row.output_tokens;
    longest = std::max(longest, row.input_tokens);
  }
  EXPECT_NEAR(input / 12031, 12035.1, 0.05);
  EXPECT_NEAR(output / 12031, 342.6, 0.05);
  EXPECT_EQ(longest, 126195u);
  EXPECT_NEAR(to_seconds(trace.rows.back().at), 3537, 0.1);
  EXPECT_NEAR(to_seconds(trace.step), 3, 0.01);
}

TEST(MooncakeTrace, ReplayKeepsThePrefixStructure) {
  const Workload workload = plan_replay(mooncake(), {}).value();
  ASSERT_EQ(workload.requests.size(), 12031u);
  const CacheResult cache = infinite_cache(workload);
  EXPECT_EQ(cache.unique_blocks, 182790u);
  EXPECT_EQ(cache.references, 288500u);
  EXPECT_NEAR(cache.token_hit, 0.3736, 0.00005);
  EXPECT_NEAR(cache.block_hit, 0.3664, 0.00005);
  for (const PlannedRequest& request : workload.requests) {
    std::uint32_t tokens = 0;
    for (const PromptPart& part : workload.prompt(request)) tokens += part.tokens;
    ASSERT_EQ(tokens, request.prompt_tokens);
  }
}

TEST(MooncakeTrace, RoundedArrivalsAreSpreadWithinTheirStep) {
  const Trace& trace = mooncake();
  const Workload workload = plan_replay(trace, {}).value();
  std::map<std::int64_t, int> per_second;
  double place = 0;
  for (std::size_t i = 0; i < trace.rows.size(); ++i) {
    const Duration moved = workload.requests[i].at - trace.rows[i].at;
    ASSERT_GE(moved, Duration{});
    ASSERT_LT(moved, std::chrono::milliseconds(3004));
    ASSERT_GE(workload.requests[i].at, workload.requests[i > 0 ? i - 1 : 0].at);
    place += to_seconds(moved) / 3;
    ++per_second[workload.requests[i].at / std::chrono::seconds(1)];
  }
  // Uniform over the step: mean 0.5 with a standard error of 0.0026.
  EXPECT_NEAR(place / 12031, 0.5, 0.015);
  int peak = 0;
  for (const auto& [second, count] : per_second) peak = std::max(peak, count);
  EXPECT_LT(peak, 24);  // Unspread, bursts of 28 share one instant.
  EXPECT_GT(peak, 8);
}

TEST(MooncakeTrace, SameSeedSamePlanOtherSeedOtherArrivals) {
  ReplaySettings settings;
  const Workload first = plan_replay(mooncake(), settings).value();
  const Workload again = plan_replay(mooncake(), settings).value();
  settings.seed = 2;
  const Workload other = plan_replay(mooncake(), settings).value();
  EXPECT_EQ(first.parts, again.parts);
  EXPECT_EQ(first.requests[77].at, again.requests[77].at);
  EXPECT_NE(first.requests[77].at, other.requests[77].at);
  EXPECT_NE(first.parts[77], other.parts[77]);
}

TEST(MooncakeTrace, StretchAndCompressionAndLimit) {
  ReplaySettings settings;
  settings.from = std::chrono::seconds(600);
  settings.to = std::chrono::seconds(900);
  settings.compression = 2;
  const Workload workload = plan_replay(mooncake(), settings).value();
  std::size_t expected = 0;
  for (const TraceRow& row : mooncake().rows) {
    expected += row.at >= settings.from && row.at < settings.to ? 1 : 0;
  }
  EXPECT_EQ(workload.requests.size(), expected);
  EXPECT_GE(workload.requests.front().at, Duration{});
  // The last step may reach 1.5 s past the stretch.
  EXPECT_LT(workload.requests.back().at, std::chrono::milliseconds(151510));
  EXPECT_GT(workload.requests.back().at, std::chrono::seconds(140));
  settings.limit = 10;
  EXPECT_EQ(plan_replay(mooncake(), settings).value().requests.size(), 10u);
  settings.from = std::chrono::hours(2);
  settings.to = Duration::max();
  EXPECT_EQ(plan_replay(mooncake(), settings).error().message,
            "no request of the trace lies in the chosen stretch; the trace is 3537 s long");
  settings.compression = 0;
  EXPECT_EQ(plan_replay(mooncake(), settings).error().message,
            "time compression is 0; it must be above 0");
  EXPECT_EQ(plan_replay(mooncake(), {.compression = 1e-9}).error().message,
            "the replay would take more than 4000000000 s");
}

TEST(AzureTrace, ShippedFileHasThePublishedStatistics) {
  const Trace& trace = azure();
  ASSERT_EQ(trace.rows.size(), 8819u);
  double input = 0, output = 0;
  std::map<std::int64_t, int> per_second;
  for (const TraceRow& row : trace.rows) {
    input += row.input_tokens;
    output += row.output_tokens;
    ++per_second[row.at / std::chrono::seconds(1)];
  }
  EXPECT_NEAR(input / 8819, 2047.8, 0.05);
  EXPECT_NEAR(output / 8819, 27.9, 0.05);
  EXPECT_NEAR(to_seconds(trace.rows.back().at), 3435.9, 0.1);
  EXPECT_EQ(trace.step, Duration{});
  EXPECT_EQ(trace.block_tokens, 0u);
}

TEST(AzureTrace, EveryPromptIsUniqueAndArrivesWhenRecorded) {
  const Workload workload = plan_replay(azure(), {}).value();
  const CacheResult cache = infinite_cache(workload);
  EXPECT_EQ(cache.unique_blocks, 8819u);
  EXPECT_EQ(cache.token_hit, 0);
  // Second row of the file: 52 ms after the first.
  EXPECT_NEAR(to_seconds(workload.requests[1].at), 0.052, 1e-6);
}

TEST(AzureTrace, ColumnsMayBeInAnyOrderBesideOthersAndTimesHaveAZone) {
  const Trace trace = parse_azure(
                          "\xef\xbb\xbf\"generatedtokens\",Model,TIMESTAMP,ContextTokens\r\n"
                          "3,\"m\",2024-05-10 00:00:00.5+00:00,40\r\n"
                          "4,m,2024-05-10T02:00:02Z,50\r\n"
                          "5,m,2024-05-10 02:00:01.5+02:00,60\r\n")
                          .value();
  ASSERT_EQ(trace.rows.size(), 3U);
  EXPECT_EQ(trace.rows[0].input_tokens, 40U);
  EXPECT_EQ(trace.rows[1].at, std::chrono::seconds(1)) << "the third line";
  EXPECT_EQ(trace.rows[1].output_tokens, 5U);
  EXPECT_EQ(trace.rows[2].at, std::chrono::milliseconds(2 * 3600 * 1000 + 1500));
}

TEST(AnyTrace, IsToldByItsText) {
  constexpr const char* kRow =
      "{\"timestamp\": 5, \"input_length\": 3, \"output_length\": 2, \"hash_ids\": [1]}";
  EXPECT_EQ(parse_trace(std::string("\xef\xbb\xbf\n") + kRow).value().block_tokens, 512U);
  EXPECT_EQ(parse_trace("TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 00:00:00,1,1")
                .value()
                .rows.size(),
            1U);
  EXPECT_EQ(parse_trace(" \n").error().message, "the file is empty");
  EXPECT_EQ(parse_trace("[1]").error().message,
            "taken for Azure's CSV, because it does not begin with {: line 1: the header must name "
            "TIMESTAMP, ContextTokens and GeneratedTokens; TIMESTAMP is missing");
}

TEST(TraceErrors, NameTheLine) {
  const std::string good =
      R"({"timestamp": 0, "input_length": 600, "output_length": 5, "hash_ids": [0, 1]})"
      "\n";
  EXPECT_EQ(error_of(parse_mooncake("")), "the trace has no rows");
  EXPECT_EQ(error_of(parse_mooncake(good + "\n{nonsense")), "line 3: not a JSON object");
  EXPECT_EQ(error_of(parse_mooncake(good + R"({"timestamp": 1})")),
            "line 2: \"input_length\" must be a number");
  EXPECT_EQ(error_of(parse_mooncake(
                R"({"timestamp": 0, "input_length": -1, "output_length": 5, "hash_ids": [0]})")),
            "line 1: \"input_length\" is -1; it must lie in 0..268435456");
  EXPECT_EQ(error_of(parse_mooncake(
                R"({"timestamp": 0, "input_length": 1025, "output_length": 5, "hash_ids": [0]})")),
            "line 1: input_length 1025 needs 3 hash_ids of 512 tokens, the row has 1");
  EXPECT_EQ(error_of(parse_mooncake(
                R"({"timestamp": 0, "input_length": 5, "output_length": 5, "hash_ids": [-3]})")),
            "line 1: \"hash_ids\" must be an array of whole numbers");

  const std::string header = "TIMESTAMP,ContextTokens,GeneratedTokens\r\n";
  EXPECT_EQ(
      error_of(parse_azure("a,b\n")),
      "line 1: the header must name TIMESTAMP, ContextTokens and GeneratedTokens; TIMESTAMP is "
      "missing");
  EXPECT_EQ(error_of(parse_azure(header + "2023-11-16 18:17:03.97,12\r\n")),
            "line 2: the row has 2 fields, the header 3");
  EXPECT_EQ(error_of(parse_azure(header + "2023-13-16 18:17:03.97,12,1\r\n")),
            "line 2: \"2023-13-16 18:17:03.97\" is no timestamp of the form "
            "YYYY-MM-DD hh:mm:ss.fff, with Z or +hh:mm behind it or not");
  for (const char* stamp : {"2300-01-01 00:00:00", "2023-11-16 18:17:03+99:00"}) {
    EXPECT_FALSE(parse_azure(header + stamp + ",1,1\r\n")) << stamp;
  }
  EXPECT_EQ(error_of(parse_azure(header + "2023-11-16 18:17:03.97,-1,1\r\n")),
            "line 2: ContextTokens is \"-1\"; it must be a whole number in 0..268435456");
  EXPECT_EQ(error_of(parse_mooncake(
                R"({"timestamp": 0, "input_length": 9.5, "output_length": 5, "hash_ids": [0]})")),
            "line 1: \"input_length\" is 9.5; it must be a whole number");
}

TEST(Replay, ALastBlockWithoutAHashIsSharedByNobody) {
  const Trace trace =
      parse_mooncake(
          R"({"timestamp": 0, "input_length": 600, "output_length": 5, "hash_ids": [7]})"
          "\n"
          R"({"timestamp": 1, "input_length": 600, "output_length": 5, "hash_ids": [7]})")
          .value();
  const Workload workload = plan_replay(trace, {}).value();
  ASSERT_EQ(workload.parts.size(), 4U);
  EXPECT_EQ(workload.parts[0].id, workload.parts[2].id);
  EXPECT_EQ(workload.parts[0].tokens, 512U);
  EXPECT_NE(workload.parts[1].id, workload.parts[3].id);
  EXPECT_EQ(workload.parts[1].tokens, 88U);
}

// Recorders write them; an API takes neither.
TEST(Replay, NoTokensAreOne) {
  for (const auto& trace :
       {parse_mooncake(
            R"({"timestamp": 0, "input_length": 0, "output_length": 0, "hash_ids": []})"),
        parse_azure("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.97,0,0")}) {
    ASSERT_TRUE(trace.has_value()) << trace.error().message;
    const Workload workload = plan_replay(*trace, {}).value();
    EXPECT_EQ(workload.requests[0].prompt_tokens, 1U);
    EXPECT_EQ(workload.requests[0].output_tokens, 1U);
    ASSERT_EQ(workload.parts.size(), 1U);
    EXPECT_EQ(workload.parts[0].tokens, 1U);
  }
}

TEST(TraceErrors, RowsOutOfOrderAreSorted) {
  const std::string header = "TIMESTAMP,ContextTokens,GeneratedTokens\n";
  const Trace trace =
      parse_azure(header + "2023-11-17 00:00:01.5,7,1\n2023-11-16 23:59:59,9,1\n").value();
  EXPECT_EQ(trace.rows[0].input_tokens, 9u);
  EXPECT_EQ(trace.rows[1].at, std::chrono::milliseconds(2500));
}

TEST(Gzip, DamageIsAnError) {
  const std::string data = shipped("azure_llm_2023_code.csv.gz");
  EXPECT_EQ(inflate_gzip(data, 1 << 20).value().size(), 320117u);
  EXPECT_EQ(inflate_gzip(data, 320117).value().size(), 320117u);
  const auto above = inflate_gzip(data, 320116);
  ASSERT_FALSE(above.has_value());
  EXPECT_EQ(above.error().code, ErrorCode::kLimitExceeded);
  EXPECT_FALSE(inflate_gzip(data.substr(0, data.size() / 2), 1 << 20).has_value());
  std::string flipped = data;
  flipped[data.size() - 6] = static_cast<char>(flipped[data.size() - 6] ^ 1);  // The checksum.
  EXPECT_FALSE(inflate_gzip(flipped, 1 << 20).has_value());
  EXPECT_FALSE(inflate_gzip("plain text", 1 << 20).has_value());
}

}  // namespace
}  // namespace fairlead::load
