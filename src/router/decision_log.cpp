// SPDX-License-Identifier: Apache-2.0
#include "router/decision_log.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <thread>

namespace fairlead::router {
namespace {

using picker::Excluded;
using scheduling::kFigures;

constexpr std::size_t kRowBytes = sizeof(model::EndpointRef) + kFigures.size() * sizeof(float);
constexpr std::size_t kIdBytesKept = 128;
constexpr std::size_t kSessionBytesKept = 1024;
static_assert(model::kMaxEndpoints * (kRowBytes + sizeof(Excluded)) + kIdBytesKept +
                  kModelBytesKept + kSessionBytesKept <=
              kDecisionBytes);

std::byte* put(std::byte* to, const void* from, std::size_t bytes) {
  if (bytes > 0) std::memcpy(to, from, bytes);
  return to + bytes;
}

const std::byte* get(void* to, const std::byte* from, std::size_t bytes) {
  if (bytes > 0) std::memcpy(to, from, bytes);
  return from + bytes;
}

const std::byte* get(std::string& to, const std::byte* from, std::size_t bytes) {
  to.resize(bytes);
  return get(to.data(), from, bytes);
}

void sort_newest(std::vector<PastDecision>& decisions) {
  // Those of one turn of a worker's loop have one time.
  std::ranges::sort(decisions, [](const PastDecision& a, const PastDecision& b) {
    return a.at != b.at ? a.at > b.at : a.number > b.number;
  });
}

}  // namespace

// The right to touch the entries, for a moment.
class DecisionLog::Hold {
 public:
  explicit Hold(std::atomic<bool>& busy) : busy_(busy) {
    while (busy_.exchange(true, std::memory_order_acquire)) std::this_thread::yield();
  }
  ~Hold() { busy_.store(false, std::memory_order_release); }
  Hold(const Hold&) = delete;
  Hold& operator=(const Hold&) = delete;

 private:
  std::atomic<bool>& busy_;
};

DecisionLog::DecisionLog(std::uint32_t worker)
    : worker_(worker),
      entries_(kDecisionsKept),
      arena_(std::make_unique_for_overwrite<std::byte[]>(kDecisionBytes)) {}

std::size_t DecisionLog::Entry::bytes() const {
  return rows * kRowBytes + excluded * sizeof(Excluded) + id_bytes + model_bytes + session_bytes;
}

void DecisionLog::note(const picker::DecisionNote& note) {
  if (busy_.exchange(true, std::memory_order_acquire)) {
    not_kept_.store(not_kept() + 1, std::memory_order_relaxed);
    return;
  }
  const model::InferenceRequest& request = note.request;
  Entry& entry = entries_[last_ % kDecisionsKept];
  entry.number = ++last_;
  entry.prompt_tokens = request.prompt_tokens;
  entry.max_output_tokens = request.max_output_tokens;
  entry.profile = &note.profile;
  entry.chance = note.chance;
  entry.decision = note.decision;
  entry.at = note.at;
  entry.block_tokens = request.block_tokens;
  entry.rows = static_cast<std::uint32_t>(note.table.size());
  entry.excluded = static_cast<std::uint32_t>(note.excluded.size());
  entry.id_bytes = static_cast<std::uint16_t>(std::min(request.id.size(), kIdBytesKept));
  entry.model_bytes = static_cast<std::uint16_t>(std::min(request.model.size(), kModelBytesKept));
  entry.session_bytes =
      static_cast<std::uint16_t>(std::min(request.session.size(), kSessionBytesKept));
  entry.streaming = request.streaming;
  entry.reply = note.reply;

  const std::size_t bytes = entry.bytes();
  const std::size_t offset = written_ % kDecisionBytes;
  if (offset + bytes > kDecisionBytes) written_ += kDecisionBytes - offset;
  entry.begin = written_;
  std::byte* to = arena_.get() + written_ % kDecisionBytes;
  written_ += bytes;
  for (const model::Endpoint* endpoint : note.table.endpoint) {
    to = put(to, &endpoint->ref, sizeof endpoint->ref);
  }
  for (const scheduling::Figure& figure : kFigures) {
    to = put(to, (note.table.*figure.values).data(), entry.rows * sizeof(float));
  }
  to = put(to, note.excluded.data(), note.excluded.size_bytes());
  to = put(to, request.id.data(), entry.id_bytes);
  to = put(to, request.model.data(), entry.model_bytes);
  put(to, request.session.data(), entry.session_bytes);
  busy_.store(false, std::memory_order_release);
}

bool DecisionLog::copy(std::uint64_t number, const std::string_view* wanted_id, Entry& entry,
                       std::vector<std::byte>& bytes) const {
  const Hold hold(busy_);
  const Entry& kept = entries_[(number - 1) % kDecisionsKept];
  if (kept.number != number || !is_kept(kept)) return false;
  const std::byte* const from = arena_.get() + kept.begin % kDecisionBytes;
  if (wanted_id != nullptr) {
    const std::byte* const id = from + kept.rows * kRowBytes + kept.excluded * sizeof(Excluded);
    if (kept.id_bytes != wanted_id->size() ||
        std::memcmp(id, wanted_id->data(), wanted_id->size()) != 0) {
      return false;
    }
  }
  entry = kept;
  bytes.assign(from, from + kept.bytes());
  return true;
}

PastDecision DecisionLog::unpack(const Entry& entry, const std::byte* bytes) const {
  PastDecision past;
  past.worker = worker_;
  past.number = entry.number;
  past.prompt_tokens = entry.prompt_tokens;
  past.block_tokens = entry.block_tokens;
  past.max_output_tokens = entry.max_output_tokens;
  past.streaming = entry.streaming;
  past.profile = entry.profile;
  past.chance = entry.chance;
  past.decision = entry.decision;
  past.reply = entry.reply;
  past.at = entry.at;
  past.endpoints.resize(entry.rows);
  bytes = get(past.endpoints.data(), bytes, entry.rows * sizeof(model::EndpointRef));
  for (auto& values : past.figures) {
    values.resize(entry.rows);
    bytes = get(values.data(), bytes, entry.rows * sizeof(float));
  }
  past.excluded.resize(entry.excluded);
  bytes = get(past.excluded.data(), bytes, entry.excluded * sizeof(Excluded));
  bytes = get(past.request_id, bytes, entry.id_bytes);
  bytes = get(past.model, bytes, entry.model_bytes);
  get(past.session, bytes, entry.session_bytes);
  return past;
}

std::uint64_t DecisionLog::last_number() const {
  const Hold hold(busy_);
  return last_;
}

std::vector<PastDecision> DecisionLog::collect(const std::string_view* wanted_id,
                                               std::size_t count) const {
  std::vector<PastDecision> found;
  Entry entry;
  std::vector<std::byte> bytes;
  // The worker is kept out for a copy only, not for the allocation of its memory.
  bytes.reserve(kRowBytes * model::kMaxEndpoints * 2);
  const std::uint64_t last = last_number();
  const std::uint64_t first = last > kDecisionsKept ? last - kDecisionsKept + 1 : 1;
  for (std::uint64_t number = last; number >= first && found.size() < count; --number) {
    if (copy(number, wanted_id, entry, bytes)) found.push_back(unpack(entry, bytes.data()));
  }
  return found;
}

std::vector<PastDecision> DecisionLog::newest(std::size_t count) const {
  return collect(nullptr, count);
}

std::vector<PastDecision> DecisionLog::find(std::string_view request_id) const {
  return collect(&request_id, kDecisionsKept);
}

std::size_t DecisionLog::kept() const {
  const Hold hold(busy_);
  return static_cast<std::size_t>(
      std::ranges::count_if(entries_, [&](const Entry& entry) { return is_kept(entry); }));
}

DecisionLog& DecisionLogs::add() {
  const std::lock_guard lock(mutex_);
  const auto worker = static_cast<std::uint32_t>(logs_.size());
  return *logs_.emplace_back(std::make_unique<DecisionLog>(worker));
}

std::vector<PastDecision> DecisionLogs::newest(std::size_t count) const {
  const std::lock_guard lock(mutex_);
  std::vector<PastDecision> all;
  for (const auto& log : logs_) std::ranges::move(log->newest(count), std::back_inserter(all));
  sort_newest(all);
  if (all.size() > count) all.erase(all.begin() + static_cast<std::ptrdiff_t>(count), all.end());
  return all;
}

std::vector<PastDecision> DecisionLogs::find(std::string_view request_id) const {
  const std::lock_guard lock(mutex_);
  std::vector<PastDecision> all;
  for (const auto& log : logs_) std::ranges::move(log->find(request_id), std::back_inserter(all));
  sort_newest(all);
  return all;
}

std::uint64_t DecisionLogs::not_kept() const {
  const std::lock_guard lock(mutex_);
  std::uint64_t sum = 0;
  for (const auto& log : logs_) sum += log->not_kept();
  return sum;
}

std::size_t DecisionLogs::kept() const {
  const std::lock_guard lock(mutex_);
  std::size_t sum = 0;
  for (const auto& log : logs_) sum += log->kept();
  return sum;
}

}  // namespace fairlead::router
