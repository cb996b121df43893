// SPDX-License-Identifier: Apache-2.0
// TokenPool: request bodies to token ids, on threads of its own, off the loops that serve requests.
//
//   TokenDesk desk(loop, pool);       // One a worker, a member.
//   desk.submit({...}, [this](TokenOutcome& outcome) { ... });  // Once, from the loop, later.
//
// Bounds: queue_max jobs and queue_bytes_max of their bodies wait; a job that finds no room, or is
// not done at its deadline, ends as such and the caller keys by bytes. So does one with a body of
// more than body_bytes_max: JSON of small values takes some 100 times its size when it is read. A
// deadline or cancel() also stops a job that runs, between two chunks of its text (TextCuts).
// Tokens of chunks are remembered for all models together in cache_bytes_max. Errors: TokenEnd.
// Threads: a pool is thread-safe and outlives its desks; a desk belongs to its loop's thread.
#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/metrics.h"
#include "base/time.h"
#include "core/tokens/token_cache.h"
#include "io/net/event_loop.h"
#include "io/net/timer.h"

namespace fairlead::text {

enum class TokenEnd : std::uint8_t {
  kDone,
  kExpired,    // Not done at its deadline.
  kQueueFull,  // Too many wait, or too many bytes of theirs.
  kInvalid,    // From here on: as TextFailure.
  kLimit,      // The body is too large, too.
  kRefused,
  kInternal,
};
inline constexpr std::size_t kTokenEnds = 7;
std::string_view to_string(TokenEnd end);

struct TokenOutcome {
  TokenEnd end = TokenEnd::kInternal;
  std::vector<std::uint32_t> tokens;
  std::uint32_t media = 0;  // As in tokens::Prompt.
};

// A model whose tokenizer and templates outlive the pool.
struct TokenModel {
  const tokens::Tokenizer* tokenizer;
  const tokens::PromptReader* reader;
};

struct TokenRequest {
  std::uint32_t model = 0;  // Index into the pool's models.
  tokens::RequestForm form = tokens::RequestForm::kChat;
  std::string body;
  Time deadline;  // By the machine's monotonic clock.
};

struct TokenPoolOptions {
  std::size_t threads = 1;
  std::size_t queue_max = 256;
  std::size_t queue_bytes_max = std::size_t{64} << 20;
  std::size_t body_bytes_max = std::size_t{8} << 20;
  std::size_t cache_bytes_max = std::size_t{64} << 20;
};

class TokenPool {
 public:
  // `seed` is for the cache's keys. Metrics: fairlead_tokenizer_*.
  TokenPool(std::vector<TokenModel> models, const TokenPoolOptions& options, std::uint64_t seed,
            MetricRegistry& metrics);
  ~TokenPool();  // Drops what waits.
  TokenPool(const TokenPool&) = delete;
  TokenPool& operator=(const TokenPool&) = delete;

 private:
  friend class TokenDesk;
  struct Job;
  class Mailbox;
  class SharedCache;
  class JobPatience;

  enum class Queued : std::uint8_t { kYes, kFull, kTooLarge };
  Queued push(const std::shared_ptr<Job>& job);
  void run();
  void work_on(Job& job);
  TokenEnd tokenise(Job& job, TokenOutcome& outcome);
  void count(TokenEnd end, Duration waited);

  std::vector<TokenModel> models_;
  std::vector<tokens::TextCuts> cuts_;  // By model.
  TokenPoolOptions options_;
  std::unique_ptr<SharedCache> cache_;
  std::array<Counter*, kTokenEnds> ends_;
  Counter& text_bytes_;
  Counter& cached_bytes_;
  Gauge& waiting_;
  Histogram& wait_;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::shared_ptr<Job>> queue_;  // These three are guarded by mutex_.
  std::size_t queue_bytes_ = 0;
  bool closing_ = false;
  std::vector<std::thread> threads_;
};

class TokenDesk {
 public:
  using Callback = std::function<void(TokenOutcome&)>;
  using Ticket = std::uint64_t;

  TokenDesk(net::EventLoop& loop, TokenPool& pool);
  ~TokenDesk();  // Cancels what is out, without calling back.
  TokenDesk(const TokenDesk&) = delete;
  TokenDesk& operator=(const TokenDesk&) = delete;

  // `done` is called once, from the loop and never inside submit(), unless cancel() comes first.
  Ticket submit(TokenRequest request, Callback done);
  // Unknown tickets are ignored: the answer may have been quicker.
  void cancel(Ticket ticket);
  std::size_t active() const { return pending_.size(); }

 private:
  friend class TokenPool::Mailbox;
  struct Pending;
  void finish(Ticket ticket, TokenOutcome& outcome);
  void expire(Ticket ticket);

  net::EventLoop& loop_;
  TokenPool& pool_;
  std::shared_ptr<TokenPool::Mailbox> mailbox_;
  Ticket next_ = 1;
  std::unordered_map<Ticket, std::unique_ptr<Pending>> pending_;
};

}  // namespace fairlead::text
