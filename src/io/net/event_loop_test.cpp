// SPDX-License-Identifier: Apache-2.0
#include "io/net/event_loop.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "base/random.h"
#include "io/net/testing/loop_fixture.h"

namespace fairlead::net {
namespace {

using std::chrono::milliseconds;
using testing::make_loop;
using testing::run_until;

TEST(EventLoop, TimersFireInOrderAndNotWhenCancelled) {
  auto loop = make_loop();
  std::vector<int> fired;
  Timer late(*loop, [&fired] { fired.push_back(3); });
  Timer early(*loop, [&fired] { fired.push_back(1); });
  Timer middle(*loop, [&fired] { fired.push_back(2); });
  Timer cancelled(*loop, [&fired] { fired.push_back(9); });
  late.arm(milliseconds(12));
  early.arm(milliseconds(3));
  middle.arm(milliseconds(6));
  cancelled.arm(milliseconds(4));
  cancelled.cancel();
  ASSERT_TRUE(run_until(*loop, [&fired] { return fired.size() == 3; }));
  EXPECT_EQ(fired, (std::vector<int>{1, 2, 3}));
  EXPECT_FALSE(late.armed());
}

TEST(EventLoop, ATimerMovedLaterWaitsAndMovedEarlierHurries) {
  auto loop = make_loop();
  Time fired_at{};
  Timer timer(*loop, [&] { fired_at = loop->now(); });
  const Time start = loop->now();
  timer.arm(milliseconds(2));
  timer.arm(milliseconds(15));
  ASSERT_TRUE(run_until(*loop, [&] { return fired_at != Time{}; }));
  EXPECT_GE(fired_at - start, milliseconds(15));
  fired_at = {};
  timer.arm(std::chrono::hours(1));
  timer.arm(milliseconds(1));
  ASSERT_TRUE(run_until(*loop, [&] { return fired_at != Time{}; }, milliseconds(2000)));
}

TEST(EventLoop, ATimerThatArmsItselfForNowFiresOnceATurn) {
  auto loop = make_loop();
  int fires = 0;
  std::unique_ptr<Timer> again;
  again = std::make_unique<Timer>(*loop, [&] {
    ++fires;
    again->arm(Duration::zero());
  });
  // Others make the heap large, and one of them, armed for the past, is not late for it.
  std::vector<std::unique_ptr<Timer>> others;
  bool past = false;
  for (int i = 0; i < 20; ++i) {
    others.push_back(std::make_unique<Timer>(*loop, [&past] { past = true; }));
    others.back()->arm(std::chrono::hours(1));
  }
  again->arm(Duration::zero());
  for (int turn = 1; turn <= 3; ++turn) {
    loop->run_turn(std::chrono::seconds(5));
    EXPECT_EQ(fires, turn);
  }
  others.front()->arm_at(loop->now() - std::chrono::seconds(1));
  loop->run_turn(std::chrono::seconds(5));
  EXPECT_TRUE(past);
  EXPECT_EQ(fires, 4);
}

TEST(TimerHeap, AgreesWithASortedListUnderRandomMoves) {
  auto loop = make_loop();
  Random random(7);
  std::vector<std::unique_ptr<Timer>> timers;
  std::vector<Time> deadlines(64, Time::max());
  std::vector<int> fires(64, 0);
  for (std::size_t i = 0; i < 64; ++i) {
    timers.push_back(std::make_unique<Timer>(*loop, [&fires, i] { ++fires[i]; }));
  }
  Time now = loop->now();
  for (int step = 0; step < 20000; ++step) {
    const std::size_t i = random.below(64);
    const auto action = random.below(8);
    if (action == 0) {
      timers[i]->cancel();
      deadlines[i] = Time::max();
    } else if (action < 6) {
      deadlines[i] = now + Duration(static_cast<std::int64_t>(random.below(1000)));
      timers[i]->arm_at(deadlines[i]);
    } else {
      now += Duration(static_cast<std::int64_t>(random.below(50)));
      // Stale places are put right one a call; next() says when there is nothing left to do.
      while (loop->timers().next() <= now) loop->timers().fire(now);
      for (std::size_t k = 0; k < 64; ++k) {
        const bool due = deadlines[k] <= now;
        ASSERT_EQ(fires[k], due ? 1 : 0) << "step " << step;
        ASSERT_EQ(timers[k]->armed(), deadlines[k] != Time::max() && !due);
        if (due) deadlines[k] = Time::max();
        fires[k] = 0;
      }
    }
  }
}

TEST(EventLoop, TurnsThatPassManyStreamPiecesAreKeptApart) {
  auto loop = *EventLoop::create();
  constexpr Duration kPause = std::chrono::milliseconds(2);
  loop->pacer().set_pause(kPause);
  const auto turn = [&] {
    for (int i = 0; i < 100; ++i) loop->pacer().on_piece();
    loop->run_turn(Duration::zero());
  };
  while (loop->pacer().pauses() == 0) turn();
  turn();
  const Time began = loop->now();
  for (int i = 0; i < 5; ++i) turn();
  EXPECT_GE(loop->now() - began, 5 * kPause);
}

TEST(EventLoop, PostedWorkOfManyThreadsRunsInTheLoop) {
  auto loop = make_loop();
  constexpr int kThreads = 4;
  constexpr int kEach = 5000;
  int ran = 0;  // Written by the loop's thread only.
  std::vector<std::jthread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&loop, &ran] {
      for (int i = 0; i < kEach; ++i) {
        while (loop->post([&loop, &ran] {
          ++ran;
          if (ran == kThreads * kEach) loop->stop();
        }) == Posted::kFull) {
          std::this_thread::yield();
        }
      }
    });
  }
  loop->run();
  EXPECT_EQ(ran, kThreads * kEach);
  EXPECT_GT(loop->turns(), 0U);
}

TEST(EventLoop, PostRefusesBeyondItsBound) {
  auto loop = make_loop({.posted_max = 2});
  EXPECT_EQ(loop->post([] {}), Posted::kQueued);
  EXPECT_EQ(loop->post([] {}), Posted::kQueued);
  EXPECT_EQ(loop->post([] {}), Posted::kFull);
  loop->run_turn(Duration::zero());
  EXPECT_EQ(loop->post([] {}), Posted::kQueued);
}

TEST(EventLoop, StopBeforeRunReturnsAtOnceAndRunWorksAgain) {
  auto loop = make_loop();
  loop->stop();
  loop->run();
  Timer timer(*loop, [&loop] { loop->stop(); });
  timer.arm(milliseconds(1));
  loop->run();
  EXPECT_FALSE(timer.armed());
}

struct CountingTask final : TurnTask {
  explicit CountingTask(EventLoop& target) : loop(target) {}
  void on_turn_end() override {
    ++runs;
    if (again) loop.at_turn_end(*this);
  }
  EventLoop& loop;
  int runs = 0;
  bool again = false;
};

TEST(EventLoop, TurnEndTasksRunOnceATurnAndMayDieQueued) {
  auto loop = make_loop();
  CountingTask task(*loop);
  loop->at_turn_end(task);
  loop->at_turn_end(task);
  {
    CountingTask dead(*loop);
    loop->at_turn_end(dead);
  }
  loop->run_turn(Duration::zero());
  EXPECT_EQ(task.runs, 1);
  task.again = true;
  loop->at_turn_end(task);
  loop->run_turn(Duration::zero());
  EXPECT_LT(task.runs, 20) << "a task that asks for itself must not hold the loop";
}

TEST(EventLoop, DestroyLaterWaitsForTheEndOfTheTurn) {
  auto loop = make_loop();
  auto witness = std::make_shared<int>(0);
  std::weak_ptr<int> watch = witness;
  auto object = std::make_unique<std::shared_ptr<int>>(std::move(witness));
  loop->destroy_later(std::move(object));
  EXPECT_FALSE(watch.expired());
  loop->run_turn(Duration::max());  // Does not wait: there is something to do.
  EXPECT_TRUE(watch.expired());
}

TEST(BufferPool, ReusesMemoryWithinItsBound) {
  BufferPool pool(4096);
  const char* first = nullptr;
  {
    Buffer buffer = pool.take(1000);
    EXPECT_EQ(buffer.capacity(), 1024U);
    first = buffer.free_space().data();
    buffer.append("hello");
    buffer.consume(2);
    EXPECT_EQ(buffer.view(), "llo");
    pool.grow(buffer, 5000);
    EXPECT_EQ(buffer.view(), "llo");
    EXPECT_EQ(buffer.capacity(), 8192U);
    // The padding is readable.
    EXPECT_EQ(buffer.free_space().data()[buffer.free_space().size() + kBufferPadding - 1], 0);
    EXPECT_EQ(pool.lent_bytes(), 8192U);
  }
  EXPECT_EQ(pool.kept_bytes(), 1024U) << "the large one is beyond the bound";
  Buffer again = pool.take(1);
  EXPECT_EQ(again.free_space().data(), first);
  EXPECT_EQ(pool.allocations(), 2U);
}

TEST(SocketAddress, ParsesLiteralsAndRefusesTheRest) {
  EXPECT_EQ(SocketAddress::parse("127.0.0.1:80")->to_string(), "127.0.0.1:80");
  EXPECT_EQ(SocketAddress::parse("localhost:81")->to_string(), "127.0.0.1:81");
  EXPECT_EQ(SocketAddress::parse("[::1]:82")->to_string(), "[::1]:82");
  EXPECT_EQ(*SocketAddress::parse("10.0.0.1", 5), *SocketAddress::parse("10.0.0.1:5"));
  EXPECT_FALSE(*SocketAddress::parse("10.0.0.1", 5) == *SocketAddress::parse("10.0.0.1:6"));
  for (const char* bad : {"", "127.0.0.1", "::1:80", "a.example:80", "127.0.0.1:", "127.0.0.1:x",
                          "127.0.0.1:70000", "1.2.3:4"}) {
    EXPECT_FALSE(SocketAddress::parse(bad).has_value()) << bad;
  }
}

TEST(Socket, AnOccupiedPortIsAnErrorThatNamesTheAddress) {
  auto first = listen_tcp(SocketAddress::loopback(0), PortSharing::kExclusive);
  ASSERT_TRUE(first.has_value());
  const SocketAddress address = *local_address(first->get());
  auto second = listen_tcp(address, PortSharing::kExclusive);
  ASSERT_FALSE(second.has_value());
  EXPECT_NE(second.error().message.find(address.to_string()), std::string::npos);

  auto shared = listen_tcp(SocketAddress::loopback(0), PortSharing::kReusePort);
  ASSERT_TRUE(shared.has_value());
  EXPECT_TRUE(listen_tcp(*local_address(shared->get()), PortSharing::kReusePort).has_value());
}

}  // namespace
}  // namespace fairlead::net
