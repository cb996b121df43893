// SPDX-License-Identifier: Apache-2.0
#include "lab/load/model/cache_bound.h"

#include <gtest/gtest.h>

namespace fairlead::load {
namespace {

Workload of(std::initializer_list<std::uint64_t> contents, std::uint32_t output_tokens) {
  Workload workload;
  for (const std::uint64_t id : contents) {
    PlannedRequest request;
    request.prompt_tokens = 65;
    request.output_tokens = output_tokens;
    request.first_part = static_cast<std::uint32_t>(workload.parts.size());
    request.part_count = 1;
    workload.parts.push_back({id, 65});
    workload.requests.push_back(request);
  }
  return workload;
}

// Prompts of four blocks of 16 tokens, and one token more.
TEST(PooledHitRate, ByHand) {
  EXPECT_EQ(pooled_hit_rate({}, 16, 1024), 0);
  EXPECT_EQ(pooled_hit_rate(of({1, 2}, 0), 16, 1024), 0);
  EXPECT_DOUBLE_EQ(pooled_hit_rate(of({1, 1}, 0), 16, 1024), 64.0 / 130);
  EXPECT_DOUBLE_EQ(pooled_hit_rate(of({1, 2, 1}, 0), 16, 128), 64.0 / 195) << "room for both";
  // Room for seven: of the first prompt its tail went, block by block.
  EXPECT_DOUBLE_EQ(pooled_hit_rate(of({1, 2, 1}, 0), 16, 112), 48.0 / 195);
  EXPECT_EQ(pooled_hit_rate(of({1, 2, 1}, 64), 16, 128), 64.0 / 195) << "answers take no room";
}

double belady(const Workload& workload, std::uint64_t capacity_tokens) {
  std::vector<std::uint64_t> keys;
  const NumberedBlocks blocks(workload, [&](std::size_t request) {
    keys.clear();
    append_block_hashes(workload.prompt(workload.requests[request]), 16, keys);
    return std::span<const std::uint64_t>(keys);
  });
  return belady_hit_rate(workload, blocks, 16, capacity_tokens);
}

TEST(BeladyHitRate, ByHand) {
  EXPECT_EQ(belady({}, 1024), 0);
  EXPECT_DOUBLE_EQ(belady(of({1, 1}, 64), 64), 64.0 / 130);
  EXPECT_DOUBLE_EQ(belady(of({1, 2, 1}, 0), 64), 64.0 / 195) << "nobody asks for 2 again";
  EXPECT_DOUBLE_EQ(belady(of({1, 2, 1}, 0), 48), 48.0 / 195);
  // Room for one: 1 is needed before 2 is.
  EXPECT_DOUBLE_EQ(belady(of({1, 2, 1, 2}, 0), 64), 64.0 / 260);
  EXPECT_DOUBLE_EQ(belady(of({1, 2, 1, 2}, 0), 96), 96.0 / 260);
  EXPECT_DOUBLE_EQ(belady(of({1, 2, 1, 2}, 0), 128), 128.0 / 260);
}

}  // namespace
}  // namespace fairlead::load
