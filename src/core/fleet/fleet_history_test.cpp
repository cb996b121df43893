// SPDX-License-Identifier: Apache-2.0
// Random histories of a fleet, against what must hold after every step.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "core/fleet/fleet.h"

namespace fairlead::fleet {
namespace {

using model::EndpointRef;
using model::Health;
using std::chrono::milliseconds;
using Key = std::pair<std::uint32_t, std::uint32_t>;

Key key_of(EndpointRef ref) { return {ref.slot, ref.generation}; }

std::string text_of(const model::PoolSnapshot& pool) {
  std::string text;
  for (const model::Endpoint& e : pool.endpoints) {
    text += fmt::format("{}/{} {} {}:{} {} {}", e.ref.slot, e.ref.generation, e.name, e.host,
                        e.port, model::to_string(e.health), e.admit_share);
    for (const auto& [key, value] : e.labels) text += fmt::format(" {}={}", key, value);
    for (const std::string& model : e.models) text += " " + model;
    text += "\n";
  }
  return text;
}

// One fleet, its random driver and the checker's own picture of it.
class History {
 public:
  explicit History(std::uint64_t seed) : random_(seed) {}

  void step() {
    now_ += milliseconds(random_.below(400));
    switch (random_.below(8)) {
      case 0:
        change_members();
        break;
      case 1:
        start_or_end_request();
        break;
      case 2:
        observe();
        break;
      case 3:
        answer_models();
        break;
      case 4:
        answer_scrape();
        break;
      default:
        probe();
        break;
    }
    due_.clear();
    fleet_.tick(now_, due_);
    check();
  }

 private:
  // Mostly one that is in the pool, sometimes one that left.
  EndpointRef any_ref() {
    const auto pool = fleet_.snapshot();
    if (pool.endpoints.empty() || random_.below(8) == 0) {
      return {static_cast<std::uint32_t>(random_.below(12)),
              static_cast<std::uint32_t>(random_.below(3))};
    }
    return pool.endpoints[random_.below(pool.endpoints.size())].ref;
  }
  void change_members() {
    wanted_.clear();
    for (std::uint16_t i = 0; i < 8; ++i) {
      if (random_.below(2) == 0) continue;
      // Sometimes another port: a new endpoint under the old name.
      const auto port = static_cast<std::uint16_t>(1 + i + 100 * random_.below(2));
      config::EndpointSetting setting{"e" + std::to_string(i), {"127.0.0.1", port}, {}};
      if (random_.below(3) == 0) setting.labels = {{"zone", std::to_string(random_.below(3))}};
      wanted_.push_back(setting);
    }
    ASSERT_TRUE(fleet_.set_members(wanted_, now_).has_value());
  }
  void start_or_end_request() {
    if (!shares_.empty() && random_.below(2) == 0) {
      shares_.erase(shares_.begin() + static_cast<std::ptrdiff_t>(random_.below(shares_.size())));
      return;
    }
    const auto pool = fleet_.snapshot();
    if (pool.endpoints.empty()) return;
    shares_.emplace_back(inflight_, pool.endpoints[random_.below(pool.endpoints.size())].ref, 10);
  }
  void observe() {
    const auto kind = random_.below(3) == 0 ? model::Observation::Kind::kSuccess
                                            : model::Observation::Kind::kFailure;
    fleet_.observe({any_ref(), kind, model::UpstreamFailure::kConnectRefused, now_}, now_);
  }
  void answer_models() {
    fleet_.on_models(any_ref(), {{"m" + std::to_string(random_.below(2)), "", 0, 0, ""}});
  }
  void answer_scrape() {
    codec::EngineMetrics metrics;
    metrics.waiting = static_cast<double>(random_.below(10));
    metrics.process_start_time = static_cast<double>(random_.below(3));
    fleet_.on_scrape(any_ref(), metrics, load_, now_);
  }
  void probe() {
    const auto result = random_.below(4) == 0 ? ProbeResult::kBad : ProbeResult::kGood;
    fleet_.on_probe(any_ref(), result, now_);
  }

  void check() {
    const auto pool = fleet_.snapshot();
    check_membership(pool);
    check_effects(pool);
    for (const model::Endpoint& e : pool.endpoints) {
      EXPECT_GT(e.admit_share, 0);
      EXPECT_LE(e.admit_share, 1);
      if (e.health != Health::kReturning) {
        EXPECT_EQ(e.admit_share, 1) << e.name;
      }
    }
    for (const Work& work : due_) {
      const model::Endpoint* e = pool.find(work.endpoint.slot);
      ASSERT_TRUE(e != nullptr && e->ref == work.endpoint);
      if (work.kind == WorkKind::kProbe) continue;
      EXPECT_TRUE(e->health == Health::kHealthy || e->health == Health::kReturning);
    }
    EXPECT_GT(fleet_.next_tick(), now_) << "everything that was due was given out";
    const std::string text = text_of(pool);
    if (!fleet_.take_changed()) {
      EXPECT_EQ(text, published_) << "a change went unannounced";
    }
    published_ = text;
  }
  void check_membership(const model::PoolSnapshot& pool) {
    std::set<std::string> names;
    for (const model::Endpoint& e : pool.endpoints) names.insert(e.name);
    EXPECT_EQ(names.size(), wanted_.size());
    for (const auto& setting : wanted_) EXPECT_TRUE(names.contains(setting.name)) << setting.name;
    EXPECT_TRUE(std::ranges::is_sorted(pool.endpoints, std::ranges::less_equal{},
                                       [](const auto& e) { return e.ref.slot; }) ||
                pool.endpoints.size() < 2);
    for (const model::Endpoint& e : pool.endpoints) {
      const std::string identity = fmt::format("{} {}", e.name, e.port);
      const auto [owner, fresh] = owners_.emplace(key_of(e.ref), identity);
      EXPECT_EQ(owner->second, identity) << "a (slot, generation) never changes hands";
    }
  }
  void check_effects(const model::PoolSnapshot& pool) {
    std::vector<Effect> effects;
    fleet_.take_effects(effects);
    for (const Effect& effect : effects) {
      const Key key = key_of(effect.endpoint);
      if (effect.kind == Effect::Kind::kJoin) {
        EXPECT_TRUE(live_.insert(key).second);
        EXPECT_EQ(inflight_.read(key.first).requests, 0) << "a slot in use was given away";
        const auto left = left_at_.find(key.first);
        if (left != left_at_.end()) {
          EXPECT_GE(now_ - left->second, Fleet::kSlotRest);
        }
        EXPECT_EQ(key.second, generations_[key.first]++);
      } else {
        EXPECT_TRUE(live_.contains(key)) << "an effect on one that is not in the pool";
      }
      if (effect.kind == Effect::Kind::kRetire) {
        live_.erase(key);
        left_at_[key.first] = now_;
      }
    }
    std::set<Key> members;
    for (const model::Endpoint& e : pool.endpoints) members.insert(key_of(e.ref));
    EXPECT_EQ(live_, members);
  }

  Random random_;
  config::FleetSettings settings_;
  config::PrefixSettings prefix_;
  InFlightTable inflight_;
  LoadTable load_;
  Fleet fleet_{settings_, prefix_, inflight_, Random(1)};
  Time now_{std::chrono::seconds(1)};
  std::vector<config::EndpointSetting> wanted_;
  std::vector<InFlightShare> shares_;
  std::vector<Work> due_;
  std::string published_;
  std::map<Key, std::string> owners_;
  std::set<Key> live_;
  std::map<std::uint32_t, Time> left_at_;
  std::map<std::uint32_t, std::uint32_t> generations_;
};

TEST(FleetHistory, RandomHistoriesKeepTheInvariants) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    History history(seed);
    for (int i = 0; i < 1500; ++i) {
      history.step();
      if (::testing::Test::HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace fairlead::fleet
