// SPDX-License-Identifier: Apache-2.0
#include "io/text/token_pool.h"

#include <atomic>
#include <utility>

#include "base/assert.h"
#include "io/net/steady_clock.h"

namespace fairlead::text {
namespace {

// Seconds: a prompt whose tokens are remembered, up to the longest deadlines.
constexpr double kWaitBounds[] = {0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01,
                                  0.02,   0.05,   0.1,   0.2,   0.5,   1};

TokenEnd end_of(tokens::TextFailure failure) {
  switch (failure) {
    case tokens::TextFailure::kInvalid:
      return TokenEnd::kInvalid;
    case tokens::TextFailure::kLimit:
      return TokenEnd::kLimit;
    case tokens::TextFailure::kRefused:
      return TokenEnd::kRefused;
    case tokens::TextFailure::kStopped:
      return TokenEnd::kExpired;
    case tokens::TextFailure::kInternal:
      break;
  }
  return TokenEnd::kInternal;
}

}  // namespace

std::string_view to_string(TokenEnd end) {
  static constexpr std::array<std::string_view, kTokenEnds> kNames = {
      "done", "expired", "queue_full", "invalid", "limit", "refused", "internal"};
  return kNames[static_cast<std::size_t>(end)];
}

// What a desk and the pool share, and what outlives either: the desk's loop is posted to only while
// the desk is there.
class TokenPool::Mailbox {
 public:
  Mailbox(net::EventLoop& loop, TokenDesk& desk) : loop_(loop), desk_(&desk) {}

  void deliver(const std::shared_ptr<Mailbox>& self, TokenDesk::Ticket ticket,
               TokenOutcome outcome) {
    const std::lock_guard lock(mutex_);
    if (desk_ == nullptr) return;
    // A loop that takes no work leaves the request to its deadline.
    (void)loop_.post([self, ticket, held = std::move(outcome)]() mutable {
      if (self->desk_ != nullptr) self->desk_->finish(ticket, held);
    });
  }
  void close() {
    const std::lock_guard lock(mutex_);
    desk_ = nullptr;
  }

 private:
  net::EventLoop& loop_;
  std::mutex mutex_;
  TokenDesk* desk_;  // Written by the loop's thread under mutex_; read by it without.
};

struct TokenPool::Job {
  TokenRequest request;
  TokenDesk::Ticket ticket;
  std::shared_ptr<Mailbox> mailbox;
  std::atomic<bool> unwanted{false};
};

class TokenPool::SharedCache final : public tokens::ChunkCache {
 public:
  SharedCache(std::size_t bytes_max, std::uint64_t seed) : cache_(bytes_max, seed) {}
  tokens::Cached append(std::uint32_t model, std::string_view chunk,
                        std::vector<std::uint32_t>& out) override {
    const std::lock_guard lock(mutex_);
    return cache_.append(model, chunk, out);
  }
  void insert(std::uint32_t model, std::string_view chunk,
              std::span<const std::uint32_t> tokens) override {
    const std::lock_guard lock(mutex_);
    cache_.insert(model, chunk, tokens);
  }

 private:
  std::mutex mutex_;
  tokens::TokenCache cache_;
};

class TokenPool::JobPatience final : public tokens::Patience {
 public:
  explicit JobPatience(const Job& job) : job_(job) {}
  Answer ask() override {
    const bool over =
        job_.unwanted.load(std::memory_order_relaxed) || clock_.now() >= job_.request.deadline;
    return over ? Answer::kStop : Answer::kGoOn;
  }

 private:
  const Job& job_;
  net::SteadyClock clock_;
};

TokenPool::TokenPool(std::vector<TokenModel> models, const TokenPoolOptions& options,
                     std::uint64_t seed, MetricRegistry& metrics)
    : models_(std::move(models)),
      options_(options),
      cache_(std::make_unique<SharedCache>(options.cache_bytes_max, seed)),
      text_bytes_(metrics.counter("fairlead_tokenizer_text_bytes_total",
                                  "Bytes of prompts that became tokens.")),
      cached_bytes_(metrics.counter("fairlead_tokenizer_cached_bytes_total",
                                    "Of them, bytes whose tokens were remembered.")),
      waiting_(metrics.gauge("fairlead_tokenizer_queue_depth", "Requests that wait for tokens.")),
      wait_(metrics.histogram("fairlead_tokenizer_wait_seconds",
                              "How long requests waited for the tokenizer, whatever came of it.",
                              kWaitBounds, {})) {
  for (std::size_t i = 0; i < kTokenEnds; ++i) {
    ends_[i] = &metrics.counter(
        "fairlead_tokenizer_requests_total",
        "Requests to the tokenizer by how they ended; all but done are keyed by bytes.",
        {{"end", std::string(to_string(static_cast<TokenEnd>(i)))}});
  }
  for (const TokenModel& model : models_) cuts_.emplace_back(model.tokenizer->cuts());
  for (std::size_t i = 0; i < options_.threads; ++i) threads_.emplace_back([this] { run(); });
}

TokenPool::~TokenPool() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
    for (const auto& job : queue_) job->unwanted.store(true, std::memory_order_relaxed);
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void TokenPool::count(TokenEnd end, Duration waited) {
  ends_[static_cast<std::size_t>(end)]->add();
  wait_.observe(to_seconds(waited));
}

TokenPool::Queued TokenPool::push(const std::shared_ptr<Job>& job) {
  const std::size_t bytes = job->request.body.size();
  if (bytes > options_.body_bytes_max) return Queued::kTooLarge;
  {
    const std::lock_guard lock(mutex_);
    if (queue_.size() >= options_.queue_max || bytes > options_.queue_bytes_max - queue_bytes_) {
      return Queued::kFull;
    }
    queue_bytes_ += bytes;
    queue_.push_back(job);
    waiting_.set(static_cast<double>(queue_.size()));
  }
  wake_.notify_one();
  return Queued::kYes;
}

void TokenPool::run() {
  for (;;) {
    std::shared_ptr<Job> job;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return closing_ || !queue_.empty(); });
      if (closing_) return;
      job = std::move(queue_.front());
      queue_.pop_front();
      queue_bytes_ -= job->request.body.size();
      waiting_.set(static_cast<double>(queue_.size()));
    }
    work_on(*job);
  }
}

void TokenPool::work_on(Job& job) {
  // Its desk has counted and answered it.
  if (job.unwanted.load(std::memory_order_relaxed)) return;
  TokenOutcome outcome;
  outcome.end = tokenise(job, outcome);
  if (outcome.end != TokenEnd::kDone) outcome.tokens.clear();
  job.mailbox->deliver(job.mailbox, job.ticket, std::move(outcome));
}

TokenEnd TokenPool::tokenise(Job& job, TokenOutcome& outcome) {
  JobPatience patience(job);
  if (patience.ask() == tokens::Patience::Answer::kStop) return TokenEnd::kExpired;
  const TokenRequest& request = job.request;
  const TokenModel& model = models_[request.model];
  auto prompt = model.reader->read(request.form, request.body, net::SteadyClock().unix_seconds());
  if (!prompt) return end_of(prompt.error());
  outcome.media = prompt->media;
  if (!prompt->ids.empty()) {
    outcome.tokens = std::move(prompt->ids);
    return TokenEnd::kDone;
  }
  const tokens::Around* around = nullptr;
  if (prompt->specials == tokens::Prompt::Specials::kAround) {
    around = model.tokenizer->around();
    if (around == nullptr) return TokenEnd::kRefused;
    outcome.tokens = around->before;
  }
  const auto cost = tokens::append_tokens(*model.tokenizer, cuts_[request.model], request.model,
                                          prompt->text, *cache_, patience, outcome.tokens);
  if (!cost) return end_of(cost.error());
  if (around != nullptr) {
    outcome.tokens.insert(outcome.tokens.end(), around->after.begin(), around->after.end());
  }
  text_bytes_.add(cost->bytes);
  cached_bytes_.add(cost->cached_bytes);
  return TokenEnd::kDone;
}

struct TokenDesk::Pending {
  Pending(net::EventLoop& loop, std::function<void()> on_deadline)
      : deadline(loop, std::move(on_deadline)) {}
  Callback done;
  Time since;
  std::shared_ptr<TokenPool::Job> job;
  net::Timer deadline;
  TokenEnd at_timer = TokenEnd::kExpired;
};

TokenDesk::TokenDesk(net::EventLoop& loop, TokenPool& pool)
    : loop_(loop), pool_(pool), mailbox_(std::make_shared<TokenPool::Mailbox>(loop, *this)) {}

TokenDesk::~TokenDesk() {
  mailbox_->close();
  for (auto& [ticket, pending] : pending_) {
    pending->job->unwanted.store(true, std::memory_order_relaxed);
  }
}

TokenDesk::Ticket TokenDesk::submit(TokenRequest request, Callback done) {
  FAIRLEAD_ASSERT(request.model < pool_.models_.size());
  const Ticket ticket = next_++;
  auto pending = std::make_unique<Pending>(loop_, [this, ticket] { expire(ticket); });
  pending->done = std::move(done);
  pending->since = loop_.now();
  pending->job = std::make_shared<TokenPool::Job>();
  pending->job->request = std::move(request);
  pending->job->ticket = ticket;
  pending->job->mailbox = mailbox_;
  pending->deadline.arm_at(pending->job->request.deadline);
  const TokenPool::Queued queued = pool_.push(pending->job);
  if (queued != TokenPool::Queued::kYes) {
    const bool full = queued == TokenPool::Queued::kFull;
    pending->at_timer = full ? TokenEnd::kQueueFull : TokenEnd::kLimit;
    pending->deadline.arm(Duration(0));
  }
  pending_.emplace(ticket, std::move(pending));
  return ticket;
}

void TokenDesk::expire(Ticket ticket) {
  const auto found = pending_.find(ticket);
  if (found == pending_.end()) return;
  TokenOutcome outcome;
  outcome.end = found->second->at_timer;
  finish(ticket, outcome);
}

void TokenDesk::finish(Ticket ticket, TokenOutcome& outcome) {
  const auto found = pending_.find(ticket);
  if (found == pending_.end()) return;  // Expired or cancelled meanwhile.
  std::unique_ptr<Pending> pending = std::move(found->second);
  pending_.erase(found);
  pending->job->unwanted.store(true, std::memory_order_relaxed);
  pending->deadline.cancel();
  pool_.count(outcome.end, loop_.now() - pending->since);
  Callback done = std::move(pending->done);
  // It may be its own timer that brought us here.
  loop_.destroy_later(std::move(pending));
  done(outcome);
}

void TokenDesk::cancel(Ticket ticket) {
  const auto found = pending_.find(ticket);
  if (found == pending_.end()) return;
  found->second->job->unwanted.store(true, std::memory_order_relaxed);
  std::unique_ptr<Pending> pending = std::move(found->second);
  pending_.erase(found);
  loop_.destroy_later(std::move(pending));
}

}  // namespace fairlead::text
