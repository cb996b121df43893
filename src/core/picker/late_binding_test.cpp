// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "core/picker/picker.h"
#include "core/picker/testing/picker_fixture.h"

namespace fairlead::picker {
namespace {

using model::Outcome;

// Who waits, in what order they are placed, and what becomes of those who leave.
class LateBinding : public testing::PickerTest {
 protected:
  // Room is what a test says.
  class Door final : public scheduling::Admitter {
   public:
    explicit Door(const bool& open) : open_(open) {}
    scheduling::Admission admit(const model::InferenceRequest&, const scheduling::Candidates&,
                                Random&) const override {
      return open_ ? scheduling::Admission::kAdmitted : scheduling::Admission::kLater;
    }

   private:
    const bool& open_;
  };
  LateBinding() {
    profile.admitters.push_back({"door", std::make_unique<Door>(open)});
    Limits limits;
    limits.waiting = {2, std::chrono::seconds(10)};
    picker.set_limits(limits);
  }
  // Deals turns as a front does; whom it placed.
  std::vector<RequestId> deal() {
    outbox.clear();
    picker.on_tick(outbox);
    std::vector<RequestId> placed;
    for (std::size_t i = 0; i < outbox.size(); ++i) {
      const Action action = outbox[i];
      if (action.kind == Action::Kind::kTurn) {
        picker.on_turn(action.request, request, pool, profile, now, outbox);
      } else {
        EXPECT_EQ(action.kind, Action::Kind::kForward);
        placed.push_back(action.request);
      }
    }
    return placed;
  }
  bool open = false;
};

TEST_F(LateBinding, PlacesThoseWhoWaitInTheirOrderOnceThereIsRoom) {
  const RequestId first = start(Action::Kind::kWait);
  EXPECT_EQ(inflight.total().requests, 0);
  const RequestId second = start(Action::Kind::kWait);
  EXPECT_EQ(picker.waiting(), 2U);
  now += std::chrono::seconds(3);
  EXPECT_TRUE(deal().empty());
  open = true;
  EXPECT_EQ(deal(), (std::vector{first, second}));
  EXPECT_EQ(picker.waiting(), 0U);
  EXPECT_EQ(picker.decision(first).wait_end, WaitEnd::kRoom);
  EXPECT_EQ(picker.decision(first).waited, std::chrono::seconds(3));
  EXPECT_EQ(picker.decision(first).attempts, 1U);
  for (const RequestId id : {first, second}) picker.on_end(id, Outcome::kCompleted, now);
}

TEST_F(LateBinding, NewcomersStandBehindThoseWhoWait) {
  const RequestId first = start(Action::Kind::kWait);
  open = true;
  const RequestId second = start(Action::Kind::kWait);
  EXPECT_EQ(deal(), (std::vector{first, second}));
  const RequestId third = start();
  EXPECT_EQ(picker.decision(third).wait_end, WaitEnd::kNone);
  for (const RequestId id : {first, second, third}) picker.on_end(id, Outcome::kCompleted, now);
}

TEST_F(LateBinding, PatienceAndAFullBandPlaceWithoutRoom) {
  const RequestId first = start(Action::Kind::kWait);
  now += std::chrono::seconds(4);
  const RequestId second = start(Action::Kind::kWait);
  const RequestId third = start();
  EXPECT_EQ(picker.decision(third).wait_end, WaitEnd::kFull);
  now += std::chrono::seconds(6);
  EXPECT_EQ(deal(), (std::vector{first}));
  EXPECT_EQ(picker.decision(first).wait_end, WaitEnd::kPatience);
  EXPECT_TRUE(deal().empty());
  for (const RequestId id : {first, second, third}) picker.on_end(id, Outcome::kCompleted, now);
}

TEST_F(LateBinding, WhoLeavesIsForgotten) {
  const RequestId first = start(Action::Kind::kWait);
  const RequestId second = start(Action::Kind::kWait);
  picker.on_end(first, Outcome::kClientGone, now);
  EXPECT_EQ(picker.waiting(), 1U);
  open = true;
  EXPECT_EQ(deal(), (std::vector{second}));
  picker.on_end(second, Outcome::kCompleted, now);
  EXPECT_TRUE(deal().empty());
}

TEST_F(LateBinding, IsOffWhereNobodyMayWait) {
  picker.set_limits({});
  const RequestId id = start();
  EXPECT_EQ(picker.decision(id).wait_end, WaitEnd::kFull);
  picker.on_end(id, Outcome::kCompleted, now);
}

}  // namespace
}  // namespace fairlead::picker
