// SPDX-License-Identifier: Apache-2.0
// OthersMeter: what one engine has of others, read off its figures: of requests that this router
// did not send, as other routers and clients of the engine's own do.
//
// An engine counts all its requests, and this router knows its own, so the rest is others'. Figures
// are as old as their way, so all that was in flight when they were asked for, and all that was
// sent since, counts as the router's own: of one that is alone with its engines nothing is left,
// however late the figures come. Of others' prompts
//   waiting      requests in the engine's queue beyond those of ours that may be there;
//   prefilling   uncached tokens of prompts that were looked up in its cache and have no first
//                token (queries less prompt tokens, less the hits' share), less ours among them;
//   decoding     the rest, averaged over kDecodingMemory: answers last, and routers that all see
//   one
//                end at once would all send there.
// The least difference of the counters in kFloorWindow counts as nothing in prefill, because a
// prompt that is given up there, or looked up again, stays in it for good. Without the counters
// (SGLang, TensorRT-LLM) prefilling is 0, and without figures of the queue all is. Source: vLLM's
// scheduler counts queries when a request is first admitted and prompt tokens at its first token.
// Units: requests, tokens. Threads: thread-compatible.
#pragma once

#include <optional>

#include "base/time.h"
#include "core/codec/vllm_metrics.h"
#include "core/fleet/inflight_table.h"

namespace fairlead::fleet {

struct OthersLoad {
  float waiting = 0;     // Requests.
  float prefilling = 0;  // Uncached prompt tokens.
  float decoding = 0;    // Requests.
  friend bool operator==(const OthersLoad&, const OthersLoad&) = default;

  bool any() const { return waiting > 0 || prefilling > 0 || decoding > 0; }
  // Requests without a first token, at least.
  float unstarted() const { return waiting + (prefilling > 0 ? 1.0F : 0.0F); }
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
  static constexpr Duration kShareMemory = std::chrono::seconds(60);

  // Figures came that were asked for when `asked` was this router's own; `sent` is as of now.
  OthersLoad told(const codec::EngineMetrics& metrics, const OwnLoad& asked, Sent sent, Time now);

 private:
  // The least of a series in the last one or two windows.
  class Floor {
   public:
    double take(double value, Time now);

   private:
    double before_ = 0;
    double least_ = 0;
    std::optional<Time> began_;
  };

  double prefilling(const codec::EngineMetrics& metrics, double elapsed_s, Time now);

  std::optional<Time> told_at_;
  Floor floor_;
  double queries_ = 0;      // As last told.
  double hits_ = 0;         // As last told.
  double new_queries_ = 0;  // Fading.
  double new_hits_ = 0;     // Fading.
  double decoding_ = 0;
};

}  // namespace fairlead::fleet
