// SPDX-License-Identifier: Apache-2.0
// Accounting: what is recorded about each request, and the summary of a run.
//
// Definitions (those of inference-perf):
//   TTFT            first non-empty token - send
//   request latency last byte - send
//   TPOT            (request latency - TTFT) / (output tokens - 1)
//   NTPOT           request latency / output tokens
//   ITL             gap between consecutive tokens; tokens of one chunk share a time stamp, so with
//                   several tokens a chunk the median is 0. `token_interval` is the same with each
//                   chunk's gap spread evenly over its tokens.
//   throughput      per second of benchmark time: the sum over measured stages of their begin to
//                   their drain, pauses and warm-up left out
//   hit rate        sum of cached tokens / sum of prompt tokens
//   schedule delay  send - scheduled send; the generator's own lag, so always in wall time
//   goodput         successful requests that meet every limit, a second
// Latencies cover successful requests; records are in wall time, summaries in seconds of model time
// (TimeScale). Values; thread-compatible. Failure: none.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/time.h"
#include "lab/load/model/distribution.h"
#include "lab/load/model/pacer.h"
#include "lab/load/model/time_scale.h"
#include "lab/load/model/workload.h"

namespace fairlead::load {

enum class Outcome : std::uint8_t {
  kOk,
  kConnectFailed,
  kHttpError,     // An answer with an error status.
  kErrorEvent,    // An error in the middle of the stream.
  kStreamBroken,  // The answer ended early.
  kMalformed,     // The answer was not what the API promises.
  kTimedOut,
  kCancelled,  // The run ended first.
};

inline constexpr std::uint16_t kNoEndpoint = std::numeric_limits<std::uint16_t>::max();

// A chunk of the answer: its tokens and the time since the chunk before it (0 for the first).
struct ChunkGap {
  std::uint32_t gap_us = 0;
  std::uint32_t tokens = 0;
};

struct RequestRecord {
  std::uint32_t request = 0;  // Index in Workload::requests.
  std::uint32_t stage = 0;
  Time scheduled{};
  Time sent{};
  Time first_token{};  // Meaningful when output_tokens > 0.
  Time finished{};     // Last byte, or the failure.
  std::uint32_t prompt_tokens = 0;
  std::uint32_t cached_tokens = 0;
  std::uint32_t output_tokens = 0;
  std::uint16_t endpoint = kNoEndpoint;  // Index in RunRecords::endpoints.
  std::uint16_t status = 0;              // HTTP status; 0 when there was none.
  Outcome outcome = Outcome::kOk;
  std::vector<ChunkGap> chunks;  // May be left empty: then the request adds nothing to ITL.
};

struct RunRecords {
  TimeScale scale;
  std::vector<std::string> endpoints;  // Names, in a fixed order.
  std::vector<StageSpan> spans;        // One a stage of the workload.
  std::vector<RequestRecord> requests;
};

// Seconds of model time; an absent limit is always met. `itl` applies to a request's mean gap.
struct SloLimits {
  std::optional<double> ttft;
  std::optional<double> tpot;
  std::optional<double> itl;
  std::optional<double> ntpot;
  std::optional<double> request_latency;
};

struct Goodput {
  double requests_per_s = 0;
  double tokens_per_s = 0;  // Input and output.
  double share = 0;         // Of successful requests.
  // Share of successful requests that meet each limit that was set.
  std::vector<std::pair<std::string, double>> attainment;
};

struct EndpointShare {
  std::string name;
  std::uint64_t requests = 0;
  std::uint64_t prompt_tokens = 0;
  std::uint64_t cached_tokens = 0;
  std::uint64_t output_tokens = 0;
};

// One stage, or the whole run.
struct Section {
  std::string name;
  StageKind kind = StageKind::kMeasured;
  double benchmark_s = 0;         // Model time.
  double requested_rate = 0;      // Per second of model time.
  double achieved_rate = 0;       // Sent, per second from the first send to the last.
  double send_s = 0;              // First send to last send, model time.
  std::uint32_t concurrency = 0;  // Closed loop.
  std::uint64_t sent = 0;
  std::uint64_t succeeded = 0;
  std::uint64_t failed = 0;
  std::vector<std::pair<std::string, std::uint64_t>> failures;  // By label, most frequent first.

  Distribution schedule_delay;  // Wall time, over all requests.
  Distribution ttft;
  Distribution request_latency;
  Distribution tpot;
  Distribution ntpot;
  Distribution itl;
  Distribution token_interval;
  Distribution prompt_tokens;
  Distribution output_tokens;
  Distribution failed_latency;

  double input_tokens_per_s = 0;
  double output_tokens_per_s = 0;
  double requests_per_s = 0;
  double hit_rate = 0;
  std::optional<Goodput> goodput;  // Present when a limit was given.
};

struct Summary {
  Section overall;
  std::vector<Section> stages;  // Warm-up stages too, marked as such.
  std::vector<EndpointShare> endpoints;
  // The mean of the measured stages' own rates, as ladders are usually quoted.
  double stage_mean_output_tokens_per_s = 0;
};

// Adds a chunk that arrived at `now` to the record: first token, gaps and output tokens.
class TokenClock {
 public:
  void add(RequestRecord& record, Time now, std::uint32_t tokens);

 private:
  Time last_{};
};

// A read from the network that held new text: its time, and the stream events in it.
struct ChunkArrival {
  Time at{};
  std::uint32_t events = 0;
};

// Fills the record's first token, chunks and output tokens from what arrived. The API tells only
// the total of tokens (usage), so they are dealt out evenly over the events, at least one to the
// first.
void settle_tokens(RequestRecord& record, std::span<const ChunkArrival> arrivals,
                   std::uint32_t tokens);

std::string failure_label(const RequestRecord& record);
bool has_limits(const SloLimits& limits);
Summary summarize(const Workload& workload, const RunRecords& records, const SloLimits& limits);

}  // namespace fairlead::load
