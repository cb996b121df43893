// SPDX-License-Identifier: Apache-2.0
// EngineAudits: what engines' events and answers show of a set-up that routing by their word cannot
// work with: hashes of another seed, blocks of another size, another tokenizer or chat template, no
// events at all. In plain words, by endpoint, for the status page, the log and
// fairlead_engine_misconfigurations.
// Errors: none. Bounded by the pool. Threads: note() and set() from any thread; review() from
// control's.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/metrics.h"
#include "core/model/endpoint.h"
#include "core/prefix/kv_hash_audit.h"

namespace fairlead::router {

enum class EngineCheck : std::uint8_t { kHashes, kBlockSize, kTokens, kEvents };
inline constexpr std::size_t kEngineChecks = 4;
std::string_view to_string(EngineCheck check);  // snake_case, a metric label.

struct Misconfiguration {
  std::string endpoint;
  EngineCheck check = EngineCheck::kHashes;
  std::string text;  // What is wrong, and what to change.
};

class EngineAudits {
 public:
  explicit EngineAudits(MetricRegistry& metrics);

  // What a check says of an endpoint from now on; empty: nothing.
  void set(model::EndpointRef endpoint, EngineCheck check, std::string text);
  // Of an answered request: its prompt's tokens by our count and by the engine's.
  void note_prompt(model::EndpointRef endpoint, std::uint64_t ours, std::uint64_t engines);
  // Of one whose engine is trusted: whole blocks of its prompt, and how many it has told of.
  void note_blocks(model::EndpointRef endpoint, std::uint64_t blocks, std::uint64_t told);

  // What is new since the last call; forgets endpoints that are not in the pool.
  std::vector<Misconfiguration> review(const model::PoolSnapshot& pool);
  std::vector<Misconfiguration> found(const model::PoolSnapshot& pool) const;

 private:
  struct Row {
    model::EndpointRef endpoint;
    std::array<std::string, kEngineChecks> says;
    std::array<bool, kEngineChecks> reviewed{};
    prefix::TokenAudit tokens;
  };
  Row& row_of(model::EndpointRef endpoint);
  static void tell_tokens(Row& row);

  mutable std::mutex mutex_;
  std::map<std::uint32_t, Row> rows_;  // By slot.
  std::array<Gauge*, kEngineChecks> found_;
};

}  // namespace fairlead::router
