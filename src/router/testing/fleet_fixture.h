// SPDX-License-Identifier: Apache-2.0
// FleetFixture: for tests of this room and of those above: a router and its control over fake
// engines on loopback, quick health settings, and both loops turned by the test's own thread, so
// that a test decides what happens next and waits for effects with a deadline.
// Errors: gtest failures. Threads: one, unless a test starts the control thread.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/fleet/testing/fake_engine.h"
#include "io/fleet/testing/scratch_folder.h"
#include "io/net/testing/loop_fixture.h"
#include "router/build.h"
#include "router/control.h"
#include "router/testing/captured_log.h"

namespace fairlead::router::testing {

inline constexpr std::string_view kQuickHealth =
    "    {interval: 20ms, timeout: 1s, eject: 100ms, ejectMax: 1s, returnRamp: 200ms}\n";

class FleetFixture : public ::testing::Test {
 protected:
  fleet::testing::FakeEngine& add_engine() { return engines_.emplace_back(*engine_loop_); }

  // `fleet` are further lines under the key of that name, `rest` is any other top-level YAML.
  void build(std::string_view fleet, std::string_view rest = "") {
    const std::string yaml =
        fmt::format("fleet:\n  scrapeInterval: 10ms\n  modelsInterval: 100ms\n  health:\n{}{}{}",
                    kQuickHealth, fleet, rest);
    config::Problems problems;
    auto generation = build_generation(yaml, "test.yaml", "", problems);
    ASSERT_NE(generation, nullptr) << problems.to_string() << yaml;
    router_ = std::make_unique<Router>(std::move(generation), 42, log_, registry_);
  }
  Result<void> open_control() {
    auto control = Control::create(*router_, resolver_);
    if (!control) return tl::unexpected(control.error());
    control_ = std::move(*control);
    return {};
  }
  void start(std::string_view fleet, std::string_view rest = "") {
    ASSERT_NO_FATAL_FAILURE(build(fleet, rest));
    const auto opened = open_control();
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
  }
  // A list for the configuration or the endpoints file.
  static std::string endpoints(
      const std::vector<std::pair<std::string, const fleet::testing::FakeEngine*>>& named,
      std::string_view indent = "") {
    std::string text = fmt::format("{}endpoints:{}\n", indent, named.empty() ? " []" : "");
    for (const auto& [name, engine] : named) {
      text += fmt::format("{}  - {{name: {}, address: \"127.0.0.1:{}\"}}\n", indent, name,
                          engine->port());
    }
    return text;
  }

  bool until(const std::function<bool()>& effect, Duration deadline = std::chrono::seconds(10)) {
    const net::SteadyClock clock;
    const Time end = clock.now() + deadline;
    while (!effect()) {
      if (clock.now() > end) return false;
      engine_loop_->run_turn(Duration{});
      control_->loop().run_turn(std::chrono::milliseconds(1));
    }
    return true;
  }
  model::Endpoint endpoint(std::string_view name) const {
    const auto pool = router_->pool().load();
    for (const model::Endpoint& endpoint : pool->endpoints) {
      if (endpoint.name == name) return endpoint;
    }
    return {};
  }
  bool until_health(std::string_view name, model::Health health) {
    return until([&] { return endpoint(name).health == health; });
  }
  bool until_names(const std::vector<std::string>& names) {
    return until([&] {
      std::vector<std::string> seen;
      for (const auto& endpoint : router_->pool().load()->endpoints) seen.push_back(endpoint.name);
      return seen == names;
    });
  }
  std::string exposition() {
    control_->refresh_metrics();
    return registry_.expose();
  }
  bool exposed(std::string_view line) { return exposition().find(line) != std::string::npos; }

  CapturedLog sink_;
  Log log_{sink_};
  MetricRegistry registry_;
  fleet::testing::ScratchFolder folder_;
  std::unique_ptr<net::EventLoop> engine_loop_ = net::testing::make_loop();
  std::deque<fleet::testing::FakeEngine> engines_;
  net::ResolverOptions resolver_;
  std::unique_ptr<Router> router_;
  std::unique_ptr<Control> control_;
};

}  // namespace fairlead::router::testing
