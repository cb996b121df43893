// SPDX-License-Identifier: Apache-2.0
// Mutants: bugs that stand in production code on purpose, to show that the simulation's checkers
// see them (`make sim MUTANTS=1`, docs/testing.md).
//
//   if (!planted(Mutant::kLostRelease)) table_->add(...);
//
// Without FAIRLEAD_MUTANTS, which only the program sim_mutants sets for the files named in
// test/sim/CMakeLists.txt, planted() is the constant false and nothing of it is compiled in. Only
// .cpp files may ask: a header would mean different things to the two builds.
// Threads: the one in force is set before the worlds run.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace fairlead {

enum class Mutant : std::uint8_t {
  kNone,
  kLostRelease,       // A request's in-flight share is never given back.
  kDoubleRelease,     // It is given back twice.
  kReusedSlot,        // A slot gets another owner while requests of the last one run.
  kDepthPlusOne,      // The KV index tells one block too many.
  kDepthMinusOne,     // Or one too few.
  kRetryAfterByte,    // Another endpoint is asked though the client has part of an answer.
  kSwappedEvents,     // The KV events of one batch change places.
  kUncancelledTimer,  // A reconnected publisher's "forget all" is not called off.
  kLeakedGrant,       // A key's place among its concurrent requests is not given back.
  kMissedEjection,    // An endpoint that fails its probes keeps its traffic.
  kStaleGeneration,   // A slot's new owner is taken for the old one.
  kDroppedLastChunk,  // The answer's last piece loses its bytes.
  kSplitUsage,        // Usage that comes in two pieces is not seen.
  kForgottenTail,     // With a block in a chain's midst the KV index forgets those behind it.
  kUncheckedFile,     // A damaged file of a restart is read as if it were whole.
  kUnprovedTrust,     // What was saved is believed before its publisher was asked.
  kCountedAgain,      // What is in the saved index and told again counts as copies.
  kUnconfirmedLink,   // What was published before a subscription took effect is never asked for.
  kUnaskedGap,        // What was published while a connection was down is not asked for.
  kForgottenMarks,    // By what an engine's restart is noticed does not outlive the router's own.
  kKeptForever,       // What an engine told is kept however long it stays away.
  kNeverDropped,      // What was saved of an engine that is never found stays in the index.
  kHiddenFailures,    // Who answers its probes may fail all of its requests.
  kLateReturn,        // Who stays away waits longer for its return than it ever should.
};

// By Mutant; the first is none.
inline constexpr std::array<std::string_view, 25> kMutantNames = {"none",
                                                                  "lost_release",
                                                                  "double_release",
                                                                  "reused_slot",
                                                                  "depth_plus_one",
                                                                  "depth_minus_one",
                                                                  "retry_after_byte",
                                                                  "swapped_events",
                                                                  "uncancelled_timer",
                                                                  "leaked_grant",
                                                                  "missed_ejection",
                                                                  "stale_generation",
                                                                  "dropped_last_chunk",
                                                                  "split_usage",
                                                                  "forgotten_tail",
                                                                  "unchecked_file",
                                                                  "unproved_trust",
                                                                  "counted_again",
                                                                  "unconfirmed_link",
                                                                  "unasked_gap",
                                                                  "forgotten_marks",
                                                                  "kept_forever",
                                                                  "never_dropped",
                                                                  "hidden_failures",
                                                                  "late_return"};

#ifdef FAIRLEAD_MUTANTS
inline Mutant planted_mutant = Mutant::kNone;
inline bool planted(Mutant which) { return planted_mutant == which; }
#else
constexpr bool planted(Mutant) { return false; }
#endif

}  // namespace fairlead
