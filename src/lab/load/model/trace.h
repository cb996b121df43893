// SPDX-License-Identifier: Apache-2.0
// Public request traces and their replay: text in, a workload out.
//
// Formats: Mooncake JSON lines {timestamp ms, input_length, output_length, hash_ids}, where a hash
// id names 512 tokens of prompt and the last block may be partial, or have no id then
// (kvcache-ai/Mooncake); Azure CSV with the columns TIMESTAMP, ContextTokens and GeneratedTokens,
// in any order and beside others (Azure/AzurePublicDataset), without prefix information, so that
// every prompt is unique. Errors name the line. Pure; thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "lab/load/model/workload.h"

namespace fairlead::load {

struct TraceRow {
  Duration at{};  // After the first row.
  std::uint32_t input_tokens = 0;
  std::uint32_t output_tokens = 0;
  std::uint32_t first_block = 0;  // In Trace::blocks.
  std::uint32_t block_count = 0;
};

struct Trace {
  std::string name;
  std::uint32_t block_tokens = 0;  // 0: the trace says nothing about shared prefixes.
  // Above zero when the recorder rounded the arrival times down to steps of about this length.
  Duration step{};
  std::vector<std::uint64_t> blocks;
  std::vector<TraceRow> rows;  // By time.

  std::span<const std::uint64_t> row_blocks(const TraceRow& row) const {
    return std::span(blocks).subspan(row.first_block, row.block_count);
  }
};

Result<Trace> parse_mooncake(std::string_view text);
Result<Trace> parse_azure(std::string_view text);
// Whichever of them it looks like.
Result<Trace> parse_trace(std::string_view text);

struct ReplaySettings {
  Duration from{};  // Rows in [from, to) of the trace's own time are replayed.
  Duration to = Duration::max();
  std::size_t limit = std::numeric_limits<std::size_t>::max();  // At most so many rows.
  double compression = 1;                                       // 2: arrivals twice as dense.
  std::uint64_t seed = 1;                                       // Of arrival spreading and content.
};

// One stage. Arrivals that were rounded to steps are spread uniformly within their step, order
// kept, because a raw replay would send each step as one burst.
Result<Workload> plan_replay(const Trace& trace, const ReplaySettings& settings);

}  // namespace fairlead::load
