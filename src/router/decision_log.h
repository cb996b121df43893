// SPDX-License-Identifier: Apache-2.0
// DecisionLog: the last decisions of one worker, as what they saw: the columns of the candidate
// table, who was left out of it, the state of chance. The terms are computed by scheduling::Runner
// when somebody asks. Everything is preallocated: kDecisionsKept decisions, or fewer when their
// tables do not fit into kDecisionBytes (a row takes 104 bytes). No prompt and no key is kept.
// DecisionLogs: those of all workers.
// Threads: note() from the worker's, the rest from any. A worker never waits: while a reader copies
// one decision, for less than a microsecond, a decision is not kept and counted instead.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "core/picker/picker.h"

namespace fairlead::router {

inline constexpr std::size_t kDecisionsKept = 256;
inline constexpr std::size_t kDecisionBytes = std::size_t{7} << 18;

// One decision, copied out.
struct PastDecision {
  std::string request_id;
  std::string model;  // Cut to kModelBytesKept.
  std::string session;
  std::uint32_t worker = 0;
  std::uint64_t number = 0;  // Of its worker's, from 1, ascending.
  std::uint64_t prompt_tokens = 0;
  std::uint32_t block_tokens = 1;
  std::uint64_t max_output_tokens = 0;
  model::Streaming streaming = model::Streaming::kWhole;
  const scheduling::Profile* profile = nullptr;  // To be compared, as it may be gone.
  Random chance{0};                              // As the filters found it.
  picker::Decision decision;
  model::ReplyReason reply = model::ReplyReason::kNone;
  Time at{};
  std::vector<model::EndpointRef> endpoints;  // A row each.
  std::array<std::vector<float>, scheduling::kFigures.size()> figures;
  std::vector<picker::Excluded> excluded;
};

inline constexpr std::size_t kModelBytesKept = 256;

class DecisionLog final : public picker::DecisionSink {
 public:
  explicit DecisionLog(std::uint32_t worker);

  void note(const picker::DecisionNote& note) override;

  // The newest first.
  std::vector<PastDecision> newest(std::size_t count) const;
  // All tries of one request that are kept, the newest first.
  std::vector<PastDecision> find(std::string_view request_id) const;
  std::size_t kept() const;
  // Decisions that came while a reader copied.
  std::uint64_t not_kept() const { return not_kept_.load(std::memory_order_relaxed); }

 private:
  struct Entry {
    std::uint64_t number = 0;  // 0: none yet.
    std::uint64_t begin = 0;   // Where its bytes are, counted from the first byte ever written.
    std::uint64_t prompt_tokens = 0;
    std::uint64_t max_output_tokens = 0;
    const scheduling::Profile* profile = nullptr;
    Random chance{0};
    picker::Decision decision;
    Time at{};
    std::uint32_t block_tokens = 1;
    std::uint32_t rows = 0;
    std::uint32_t excluded = 0;
    std::uint16_t id_bytes = 0;
    std::uint16_t model_bytes = 0;
    std::uint16_t session_bytes = 0;
    model::Streaming streaming = model::Streaming::kWhole;
    model::ReplyReason reply = model::ReplyReason::kNone;

    std::size_t bytes() const;
  };
  class Hold;

  // Its bytes are still there.
  bool is_kept(const Entry& entry) const {
    return entry.number > 0 && entry.begin + kDecisionBytes >= written_;
  }
  // Its entry and bytes; false when it was overwritten, or its id is another.
  bool copy(std::uint64_t number, const std::string_view* wanted_id, Entry& entry,
            std::vector<std::byte>& bytes) const;
  PastDecision unpack(const Entry& entry, const std::byte* bytes) const;
  std::uint64_t last_number() const;
  std::vector<PastDecision> collect(const std::string_view* wanted_id, std::size_t count) const;

  std::uint32_t worker_;
  mutable std::atomic<bool> busy_{false};
  std::atomic<std::uint64_t> not_kept_{0};
  std::uint64_t last_ = 0;     // Number of the newest.
  std::uint64_t written_ = 0;  // Bytes so far, with the gaps at the end of the arena.
  std::vector<Entry> entries_;
  std::unique_ptr<std::byte[]> arena_;
};

class DecisionLogs {
 public:
  // One more, for a new worker; it lives as long as this object.
  DecisionLog& add();

  // Of all workers, the newest first.
  std::vector<PastDecision> newest(std::size_t count) const;
  std::vector<PastDecision> find(std::string_view request_id) const;
  std::uint64_t not_kept() const;
  // How many decisions there are to ask for.
  std::size_t kept() const;

 private:
  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<DecisionLog>> logs_;
};

}  // namespace fairlead::router
