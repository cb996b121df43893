// SPDX-License-Identifier: Apache-2.0
#include "io/text/token_pool.h"

#include <gtest/gtest.h>

#include "io/net/testing/loop_fixture.h"

namespace fairlead::text {
namespace {

using net::testing::make_loop;
using net::testing::run_until;
using std::chrono::milliseconds;
using std::chrono::seconds;
using tokens::Prompt;
using tokens::RequestForm;
using tokens::TextFailure;
using Ids = std::vector<std::uint32_t>;

// A token a byte, plus the model's own number; a reader whose gate can be shut.
class ByteModel final : public tokens::Tokenizer, public tokens::PromptReader {
 public:
  explicit ByteModel(std::uint32_t first) : first_(first), around_{{first}, {first + 1}} {
    rule_.lines = true;
  }
  const tokens::CutRule& cuts() const override { return rule_; }
  const tokens::Around* around() const override { return &around_; }
  tl::expected<void, TextFailure> append(std::string_view text, Ids& out) const override {
    for (const char c : text) out.push_back(first_ + static_cast<unsigned char>(c));
    return {};
  }
  tl::expected<Prompt, TextFailure> read(RequestForm form, std::string_view body,
                                         double) const override {
    {
      std::unique_lock lock(mutex_);
      ++reading_;
      moved_.notify_all();
      moved_.wait(lock, [this] { return open_; });
    }
    if (body == "bad") return tl::unexpected(TextFailure::kInvalid);
    if (body == "no") return tl::unexpected(TextFailure::kRefused);
    Prompt prompt;
    prompt.text = body;
    if (form == RequestForm::kCompletion) prompt.specials = Prompt::Specials::kAround;
    if (body == "ids") {
      prompt.text.clear();
      prompt.ids = {4, 5};
      prompt.media = 2;
    }
    return prompt;
  }
  void shut() {
    const std::lock_guard lock(mutex_);
    open_ = false;
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    moved_.notify_all();
  }
  void wait_for_reader() const {
    std::unique_lock lock(mutex_);
    moved_.wait(lock, [this] { return reading_ > 0; });
  }

 private:
  std::uint32_t first_;
  tokens::CutRule rule_;
  tokens::Around around_;
  mutable std::mutex mutex_;
  mutable std::condition_variable moved_;
  mutable int reading_ = 0;  // Ever.
  bool open_ = true;
};

class TokenPoolTest : public testing::Test {
 protected:
  TokenPool& start(const TokenPoolOptions& options = {}) {
    pool_ = std::make_unique<TokenPool>(
        std::vector<TokenModel>{{&model_, &model_}, {&other_, &other_}}, options, 7, metrics_);
    desk_ = std::make_unique<TokenDesk>(*loop_, *pool_);
    return *pool_;
  }
  TokenDesk::Ticket submit(std::string body, Duration within = seconds(30), std::uint32_t model = 0,
                           RequestForm form = RequestForm::kChat) {
    return desk_->submit({model, form, std::move(body), net::SteadyClock().now() + within},
                         [this](TokenOutcome& outcome) { done_.push_back(std::move(outcome)); });
  }
  void wait_for(std::size_t count) {
    ASSERT_TRUE(run_until(*loop_, [this, count] { return done_.size() >= count; }));
  }
  std::string line(std::string_view end) const {
    return "fairlead_tokenizer_requests_total{end=\"" + std::string(end) + "\"} ";
  }
  bool exposes(const std::string& text) const {
    return metrics_.expose().find(text) != std::string::npos;
  }

  ByteModel model_{0};
  ByteModel other_{1000};
  MetricRegistry metrics_;
  std::unique_ptr<net::EventLoop> loop_ = make_loop();
  std::unique_ptr<TokenPool> pool_;
  std::unique_ptr<TokenDesk> desk_;  // Before the pool and the loop it goes.
  std::vector<TokenOutcome> done_;
};

TEST_F(TokenPoolTest, EachModelHasItsOwnTokensAndSpecialsGoAround) {
  start({.threads = 2});
  submit("ab");
  wait_for(1);
  submit("ab", seconds(30), 1);
  wait_for(2);
  submit("ab", seconds(30), 1, RequestForm::kCompletion);
  wait_for(3);
  submit("ids");
  wait_for(4);
  EXPECT_EQ(done_[0].tokens, (Ids{'a', 'b'}));
  EXPECT_EQ(done_[1].tokens, (Ids{1000 + 'a', 1000 + 'b'}));
  EXPECT_EQ(done_[2].tokens, (Ids{1000, 1000 + 'a', 1000 + 'b', 1001}));
  EXPECT_EQ(done_[3].tokens, (Ids{4, 5}));
  EXPECT_EQ(done_[3].media, 2U);
  EXPECT_EQ(desk_->active(), 0U);
  EXPECT_TRUE(exposes(line("done") + "4"));
  EXPECT_TRUE(exposes("fairlead_tokenizer_text_bytes_total 6"));
  EXPECT_TRUE(exposes("fairlead_tokenizer_cached_bytes_total 2"));
}

TEST_F(TokenPoolTest, FailuresAreToldAndCounted) {
  start();
  submit("bad");
  submit("no");
  wait_for(2);
  EXPECT_EQ(done_[0].end, TokenEnd::kInvalid);
  EXPECT_EQ(done_[1].end, TokenEnd::kRefused);
  EXPECT_TRUE(exposes(line("invalid") + "1"));
  EXPECT_TRUE(exposes(line("refused") + "1"));
}

TEST_F(TokenPoolTest, ADeadlineIsKeptThoughEveryThreadIsBusy) {
  start();
  model_.shut();
  submit("running", milliseconds(20));
  model_.wait_for_reader();
  submit("waiting", milliseconds(20));
  wait_for(2);
  EXPECT_EQ(done_[0].end, TokenEnd::kExpired);
  EXPECT_EQ(done_[1].end, TokenEnd::kExpired);
  EXPECT_TRUE(done_[0].tokens.empty());
  EXPECT_TRUE(exposes(line("expired") + "2"));
  EXPECT_TRUE(exposes("fairlead_tokenizer_wait_seconds_bucket{le=\"0.01\"} 0"));
  // What comes of the first now is nobody's; the pool goes on.
  model_.open();
  submit("next");
  wait_for(3);
  EXPECT_EQ(done_[2].end, TokenEnd::kDone);
  EXPECT_EQ(done_.size(), 3U);
}

TEST_F(TokenPoolTest, TooManyOrTooLargeAreSentAwayAtOnce) {
  start({.queue_max = 2, .queue_bytes_max = 100});
  model_.shut();
  submit("running");
  model_.wait_for_reader();
  submit("first");
  submit(std::string(200, 'x'));
  submit("second");
  submit("third");
  wait_for(2);
  EXPECT_EQ(done_[0].end, TokenEnd::kQueueFull);
  EXPECT_EQ(done_[1].end, TokenEnd::kQueueFull);
  EXPECT_TRUE(exposes("fairlead_tokenizer_queue_depth 2"));
  model_.open();
  wait_for(5);
  EXPECT_TRUE(exposes(line("done") + "3"));
  EXPECT_TRUE(exposes(line("queue_full") + "2"));
  EXPECT_TRUE(exposes("fairlead_tokenizer_queue_depth 0"));
  EXPECT_TRUE(exposes("fairlead_tokenizer_wait_seconds_count 5"));
}

TEST_F(TokenPoolTest, AHugeBodyIsNotRead) {
  start({.body_bytes_max = 100});
  submit(std::string(101, 'x'));
  submit(std::string(100, 'x'));
  wait_for(2);
  EXPECT_EQ(done_[0].end, TokenEnd::kLimit);
  EXPECT_EQ(done_[1].end, TokenEnd::kDone);
  EXPECT_TRUE(exposes(line("limit") + "1"));
}

TEST_F(TokenPoolTest, ACancelledRequestIsNotAnswered) {
  start();
  model_.shut();
  const TokenDesk::Ticket running = submit("running");
  model_.wait_for_reader();
  const TokenDesk::Ticket waiting = submit("waiting");
  submit("kept");
  desk_->cancel(running);
  desk_->cancel(waiting);
  desk_->cancel(waiting);
  model_.open();
  wait_for(1);
  loop_->run_turn(Duration(0));
  ASSERT_EQ(done_.size(), 1U);
  EXPECT_EQ(done_[0].tokens, (Ids{'k', 'e', 'p', 't'}));
}

TEST_F(TokenPoolTest, DesksAndPoolMayGoWithWorkOut) {
  start({.threads = 3});
  for (int round = 0; round < 50; ++round) {
    for (int i = 0; i < 8; ++i) submit("text of a prompt");
    if (round % 3 == 0) loop_->run_turn(Duration(0));
    desk_ = std::make_unique<TokenDesk>(*loop_, *pool_);
  }
  for (int i = 0; i < 8; ++i) submit("text of a prompt");
  desk_.reset();
  pool_.reset();
  loop_->run_turn(Duration(0));
}

}  // namespace
}  // namespace fairlead::text
