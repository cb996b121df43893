// SPDX-License-Identifier: Apache-2.0
// OthersMeter: what one engine has of others, read off its figures: of requests that this router
// did not send, as those of other routers and of clients that go round it.
//
// An engine counts all its requests, and this router knows its own, so the rest is others'. Figures
// are as old as their way, so all that was in flight when they were asked for, and all that was
// sent since, counts as the router's own. Of others' requests
//   tokens     uncached prompt tokens up to their first token: of each in the queue, beyond ours
//              that may be there, a mean prompt of this engine; and what is in prefill: tokens
//              looked up in its cache (queries) less those of prompts with a first token, less the
//              share of hits, less ours among them as we estimate them;
//   unstarted  requests without a first token, at least: all in prefill count as one;
//   decoding   the rest, an average that fades over kDecodingMemory: answers last, and routers
//              that all see one end at once would all send there.
// An engine makes several requests of one with several choices or prompts, and has what was given
// up for a step longer than the router: both count as others', the former with what it costs.
// Bounds: no more is in prefill than the KV cache holds. The least that is in prefill in the last
// one or two kFloorWindows counts as nothing, because a prompt that is given up there stays in the
// difference of the counters for good; so of an engine that prefills without a pause for so long
// too little is told. Figures that stood still for kStill while requests are there are those of an
// engine that stopped updating them, and tell nothing. Nor do engines without these counters
// (SGLang, TensorRT-LLM), and nothing is told of others until two scrapes came.
// Source: vLLM 0.32, v1/core/sched/scheduler.py (queries and hits are counted when a request is
// first admitted; versions before count each try) and v1/metrics/stats.py (prompt tokens at the
// first token).
// Units: requests, tokens. Threads: thread-compatible.
#pragma once

#include <optional>

#include "base/time.h"
#include "core/codec/vllm_metrics.h"
#include "core/fleet/inflight_table.h"

namespace fairlead::fleet {

struct OthersLoad {
  float tokens = 0;
  float unstarted = 0;
  float decoding = 0;
  friend bool operator==(const OthersLoad&, const OthersLoad&) = default;
};

// This router's own at one endpoint when its figures were asked for. What is sent meanwhile may be
// counted in both, never in neither.
struct OwnLoad {
  OwnLoad(const InFlightTable& table, std::uint32_t slot)
      : sent(table.sent(slot)), inflight(table.read(slot)) {}
  Sent sent;
  InFlight inflight;
};

class OthersMeter {
 public:
  static constexpr Duration kDecodingMemory = std::chrono::seconds(1);
  static constexpr Duration kFloorWindow = std::chrono::seconds(30);
  static constexpr Duration kPromptMemory = std::chrono::seconds(60);  // Of means of prompts.
  static constexpr Duration kStill = std::chrono::seconds(3);

  // Figures came that were asked for when `asked` was this router's own; `sent` is as of now.
  OthersLoad told(const codec::EngineMetrics& metrics, const OwnLoad& asked, Sent sent, Time now);

 private:
  // What an engine tells that has all that is needed.
  struct Figures {
    double waiting = 0;
    double running = 0;
    double kv_usage = 0;
    double queries = 0;
    double hits = 0;
    double prompt_tokens = 0;
    double first_tokens = 0;
    double kv_tokens = 0;  // 0: not told.
    bool went_back_from(const Figures& last) const;
    friend bool operator==(const Figures&, const Figures&) = default;
  };
  // The least of a series in the last one or two windows.
  class Floor {
   public:
    double take(double value, Time now);

   private:
    double before_ = 0;
    double least_ = 0;
    std::optional<Time> began_;
  };
  // Growth of the counters, fading.
  struct Prompts {
    double queries = 0;
    double hits = 0;
    double tokens = 0;
    double first_tokens = 0;
    double uncached_share() const;
    double mean_uncached() const;
  };

  static std::optional<Figures> figures_of(const codec::EngineMetrics& metrics);
  void grow(const Figures& figures, double elapsed_s);
  bool stands_still(const Figures& figures, Time now);
  double prefilling(const Figures& figures, Time now);

  std::optional<Figures> last_;
  Time told_at_{};
  Time changed_at_{};
  Floor floor_;
  Prompts prompts_;
  double decoding_ = 0;
};

}  // namespace fairlead::fleet
