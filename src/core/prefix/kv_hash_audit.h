// SPDX-License-Identifier: Apache-2.0
// KvHashAudit: makes an engine's block hashes anew from what its events say was hashed, and says in
// plain words how the engine is set up otherwise than the router was told: another seed. What the
// hashes cannot show, TokenAudit does: a chat template or a tokenizer that makes other tokens than
// the router's.
//
// It also names the hash domain: engines with one algorithm and one seed give equal hashes to equal
// blocks, so that one map can serve them all.
// Errors: none. Threads: one owner. Cost: some microseconds a check; events that continue a chain
// cost nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/codec/kv_events.h"
#include "core/prefix/vllm_hash.h"

namespace fairlead::prefix {

enum class KvHashVerdict : std::uint8_t {
  kUnchecked,  // No event that could be checked has come.
  kAgrees,
  kOtherSeed,
  kPrivate,  // No known algorithm and seed: a random seed, or an algorithm that is not known.
};

struct KvHashDomain {
  VllmHashAlgorithm algorithm = VllmHashAlgorithm::kSha256;
  std::string seed;

  friend bool operator==(const KvHashDomain&, const KvHashDomain&) = default;
};

class KvHashAudit {
 public:
  // The seed that engines are said to have; none: any will do.
  explicit KvHashAudit(std::optional<std::string> seed);

  // Checks the first block of an event that begins a chain; all others are passed over, and those
  // of which something was hashed that is not told: adapters' paths, extras of an unknown form.
  void check(const codec::KvEvent& event);
  // The publisher restarted: it may have another seed now.
  void reset();

  KvHashVerdict verdict() const { return verdict_; }
  const std::optional<KvHashDomain>& domain() const { return domain_; }
  std::uint64_t checked() const { return checked_; }
  std::uint64_t mismatched() const { return mismatched_; }
  // A sentence for the operator, with what to change; empty while there is nothing to say.
  std::string describe() const;

 private:
  struct Candidate {
    KvHashDomain domain;
    VllmHasher hasher;
  };
  const Candidate* find(const codec::KvEvent& event) const;
  KvHashVerdict judge() const;

  std::optional<std::string> seed_;
  std::vector<Candidate> candidates_;
  KvHashVerdict verdict_ = KvHashVerdict::kUnchecked;
  std::optional<KvHashDomain> domain_;
  std::uint64_t checked_ = 0;
  std::uint64_t mismatched_ = 0;
};

// The hash that vLLM gives the first block of an event, in the way of newer versions (tagged
// extras) or of older ones. None where something was hashed that the event does not tell.
enum class ExtrasForm : std::uint8_t { kTagged, kPlain };
std::optional<std::uint64_t> vllm_first_hash(const VllmHasher& hasher, const codec::KvEvent& event,
                                             ExtrasForm form);

// Compares what the router made of prompts with what the engine says of the same requests, the last
// kWindow / 2 and more of them.
class TokenAudit {
 public:
  // Of a finished request: its prompt's tokens as the router and as the engine counted them.
  void note_prompt(std::uint64_t router_tokens, std::uint64_t engine_tokens);
  // Of a finished request whose engine is trusted: whole blocks of its prompt, and how many of them
  // the index knows there.
  void note_blocks(std::uint64_t prompt_blocks, std::uint64_t known_blocks);

  std::uint64_t checked() const { return checked_; }
  std::uint64_t other_length() const { return other_length_; }
  std::uint64_t other_blocks() const { return other_blocks_; }
  // A sentence for the operator once more than every tenth of at least kEnough requests differs.
  std::string describe() const;

 private:
  static constexpr std::uint64_t kEnough = 10;
  static constexpr std::uint64_t kWindow = 200;

  std::uint64_t checked_ = 0;
  std::uint64_t other_length_ = 0;
  std::uint64_t blocks_checked_ = 0;
  std::uint64_t other_blocks_ = 0;
};

}  // namespace fairlead::prefix
