// SPDX-License-Identifier: Apache-2.0
// PrefixKnowledge: the port through which scheduling asks how much of a prompt each endpoint holds,
// for all endpoints at once. RoutedHistory answers from what was routed; an index fed by the
// engines' own events can stand behind the same port.
//
// Keys are chained: key i commits to the whole prompt up to the end of block i (byte_keys.h), so
// equal keys at one position mean equal prompts up to there. Threads: match() is const and may run
// beside other match() calls; whoever owns the knowledge orders it against writers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace fairlead::prefix {

// Leading blocks of a prompt that an endpoint is believed to hold.
using MatchedBlocks = std::uint32_t;

class PrefixKnowledge {
 public:
  virtual ~PrefixKnowledge() = default;

  // `out` is indexed by endpoint slot and preset to 0; only rows of endpoints that hold at least
  // the first block are written, and slots beyond `out` are skipped. Never allocates.
  virtual void match(std::span<const std::uint64_t> keys, std::span<MatchedBlocks> out) const = 0;

  // Prompt bytes that one key stands for.
  virtual std::size_t block_bytes() const = 0;
};

// How far an engine's own word of what its cache holds can be relied on.
enum class Trust : std::uint8_t {
  kAbsent,   // It says nothing, or what it said is of no use any more.
  kSuspect,  // Something was missed, and is being caught up with.
  kTrusted,  // Nothing was missed.
};

struct ToldBlocks {
  MatchedBlocks blocks = 0;
  Trust trust = Trust::kAbsent;
};

// Memory that an answer needs; each caller's own, reused.
struct ToldScratch {
  std::vector<std::uint16_t> depths;
  std::vector<std::uint64_t> owners;
};

// The port through which scheduling asks what the engines themselves have told, by keys of token
// blocks (token_keys.h). Threads: as PrefixKnowledge.
class ToldKnowledge {
 public:
  virtual ~ToldKnowledge() = default;

  // `out` is indexed by endpoint slot and preset; rows of endpoints that told nothing are left
  // alone, the others are all written, also those that hold nothing. Allocates only to grow
  // `scratch`.
  virtual void told(std::span<const std::uint64_t> keys, std::span<ToldBlocks> out,
                    ToldScratch& scratch) const = 0;
};

}  // namespace fairlead::prefix
