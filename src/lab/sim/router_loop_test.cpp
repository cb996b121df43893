// SPDX-License-Identifier: Apache-2.0
#include "lab/sim/router_loop.h"

#include <gtest/gtest.h>

#include <string>

namespace fairlead::sim {
namespace {

using std::chrono::milliseconds;

class RouterLoopTest : public ::testing::Test {
 protected:
  void note(Duration delay, char letter) {
    loop_.after(delay, [this, letter] { done_ += letter; });
  }
  void run_until(Duration time) {
    while (agenda_.step(Time{time})) {
    }
  }

  Agenda agenda_;
  RouterLoop loop_{agenda_};
  std::string done_;
};

TEST_F(RouterLoopTest, EqualTimesKeepTheirOrder) {
  for (const char letter : {'a', 'b', 'c', 'd'}) note(milliseconds(5), letter);
  note(milliseconds(1), 'z');
  run_until(milliseconds(6));
  EXPECT_EQ(done_, "zabcd");
}

TEST_F(RouterLoopTest, APausedProcessDoesAllLateAndInOrder) {
  note(milliseconds(1), 'a');
  note(milliseconds(2), 'b');
  note(milliseconds(3), 'c');
  note(milliseconds(20), 'd');
  constexpr Duration kStop = std::chrono::microseconds(1'500);
  agenda_.at(Time{kStop}, [this] { loop_.pause(milliseconds(10)); });
  run_until(milliseconds(10));
  EXPECT_EQ(done_, "a");
  EXPECT_TRUE(loop_.paused());
  run_until(milliseconds(15));
  EXPECT_EQ(done_, "abc");
  EXPECT_EQ(loop_.running_since(), Time{kStop + milliseconds(10)});
  run_until(milliseconds(30));
  EXPECT_EQ(done_, "abcd");
}

TEST_F(RouterLoopTest, WhatAnEndedProcessWasToDoIsNeverDone) {
  note(milliseconds(1), 'a');
  note(milliseconds(3), 'b');
  agenda_.at(Time{milliseconds(2)}, [this] {
    loop_.pause(milliseconds(5));
    loop_.restart();
  });
  run_until(milliseconds(2) + Duration(1));
  note(milliseconds(4), 'c');
  run_until(milliseconds(20));
  EXPECT_EQ(done_, "ac");
}

}  // namespace
}  // namespace fairlead::sim
