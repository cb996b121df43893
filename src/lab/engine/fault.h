// SPDX-License-Identifier: Apache-2.0
// Fault: one way in which a simulated engine misbehaves, as asked for by POST /admin/fault
//   {"kind": "error_500", "probability": 0.1, "count": 3}
// or by a start-up option ("kind=error_500,probability=0.1,engine=2").
//
//   kind               parameters (times in seconds of real time)
//   stall              [duration_s]: accepts and takes no step; without a duration until cleared
//   slow_start         duration_s: /health and all requests are answered 503
//   refuse             duration_s: listener and idle connections closed, running requests end well
//   crash              duration_s: all connections reset, all state forgotten, down that long
//   error_500          [probability] [count]: of completion requests
//   error_503          [probability] [count]
//   abort_mid_stream   [events] [probability] [count]: reset after that many events (1); an answer
//                      that is not streamed is reset when it would be sent
//   partial_write      [events] [probability] [count]: after that many events (1) half an event, or
//                      the head and half a body, then silence
//   delay_first_byte   duration_s [probability] [count]
//   lose_events        [probability] [count]: of batches of KV-cache events; replays have them
//   lying_metrics      waiting, running, kv_usage: at least one; reported instead of the truth
//
// probability is in [0, 1] and 1 when not given; after `count` hits the fault is over.
// An engine has at most one fault of each kind; a new one replaces it. Parsing is strict.
// Errors: Result. Threads: values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace fairlead::engine {

enum class FaultKind : std::uint8_t {
  kStall,
  kSlowStart,
  kRefuse,
  kCrash,
  kError500,
  kError503,
  kAbortMidStream,
  kPartialWrite,
  kDelayFirstByte,
  kLoseEvents,
  kLyingMetrics,
};
inline constexpr std::size_t kFaultKindCount = 11;
std::string_view to_string(FaultKind kind);

struct Fault {
  FaultKind kind = FaultKind::kStall;
  std::optional<double> duration_s;
  std::optional<double> probability;
  std::optional<std::uint64_t> count;  // Hits left.
  std::optional<std::uint64_t> events;
  std::optional<double> waiting;
  std::optional<double> running;
  std::optional<double> kv_usage;  // In [0, 1].
};

struct FaultOption {
  std::optional<std::size_t> engine;  // Its number from 0; all engines when not given.
  Fault fault;
};

[[nodiscard]] Result<Fault> parse_fault_json(std::string_view body);
[[nodiscard]] Result<FaultOption> parse_fault_option(std::string_view text);
// The name of a kind alone, as DELETE /admin/fault?kind= has it.
[[nodiscard]] Result<FaultKind> parse_fault_kind(std::string_view name);
// One indented line a kind: its name and its parameters, in brackets what may be left out.
std::string describe_fault_kinds();
// Appends what parse_fault_json() reads.
void append_fault_json(std::string& out, const Fault& fault);

}  // namespace fairlead::engine
