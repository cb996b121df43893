// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/bounded_ring.h"
#include "base/handoff.h"
#include "base/metrics.h"
#include "base/published.h"
#include "base/random.h"
#include "base/result.h"

namespace fairlead {
namespace {

TEST(Result, ContextIsPrefixed) {
  const Result<int> failed = fail(ErrorCode::kNotFound, "no file {}", 7);
  ASSERT_FALSE(failed);
  EXPECT_EQ(with_context(failed.error(), "loading").value().message, "loading: no file 7");
}

TEST(Random, SameSeedSameStream) {
  Random a(42), b(42), c(43);
  EXPECT_EQ(a.next(), b.next());
  EXPECT_NE(a.next(), c.next());
}

TEST(Random, MomentsOfDrawsAreRight) {
  Random random(7);
  double exponential = 0, normal = 0, square = 0;
  constexpr int kDraws = 100000;
  for (int i = 0; i < kDraws; ++i) {
    exponential += random.exponential(3.0);
    const double z = random.normal();
    normal += z;
    square += z * z;
    EXPECT_LT(random.below(10), 10U);
  }
  EXPECT_NEAR(exponential / kDraws, 3.0, 0.05);
  EXPECT_NEAR(normal / kDraws, 0.0, 0.02);
  EXPECT_NEAR(square / kDraws, 1.0, 0.03);
}

TEST(BoundedRing, FullRingDropsOldestAndCounts) {
  BoundedRing<int> ring(2);
  for (int i = 1; i <= 3; ++i) ring.push(i);
  EXPECT_EQ(ring.dropped(), 1U);
  EXPECT_EQ(ring.pop(), 2);
  EXPECT_EQ(ring.pop(), 3);
  EXPECT_EQ(ring.pop(), std::nullopt);
}

TEST(Handoff, NothingIsLostWithinTheBound) {
  Handoff<int> handoff(4000);
  std::vector<std::thread> writers;
  for (int w = 0; w < 4; ++w) {
    writers.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) handoff.push(i);
    });
  }
  for (auto& writer : writers) writer.join();
  std::vector<int> out;
  handoff.drain(out);
  EXPECT_EQ(out.size(), 4000U);
  EXPECT_EQ(handoff.dropped(), 0U);
}

TEST(Published, ReaderSeesTheNewestWholeValue) {
  struct Pair {
    int a, b;
  };
  Published<Pair> published(std::make_shared<const Pair>(0, 0));
  std::atomic<bool> stop{false};
  std::thread reader([&] {
    Published<Pair>::Reader mine(published);
    while (!stop.load()) {
      const Pair& pair = mine.get();
      ASSERT_EQ(pair.a, pair.b);
    }
  });
  for (int i = 1; i <= 1000; ++i) published.publish(std::make_shared<const Pair>(i, i));
  stop.store(true);
  reader.join();
  Published<Pair>::Reader late(published);
  EXPECT_EQ(late.get().a, 1000);
}

TEST(Metrics, ExpositionSumsCellsAndEscapesLabels) {
  MetricRegistry registry;
  registry.counter("fairlead_x_total", "X.", {{"model", "a\"b"}}).add(2);
  registry.counter("fairlead_x_total", "X.", {{"model", "a\"b"}}).add(3);
  const double bounds[] = {0.1, 1};
  Histogram& histogram = registry.histogram("fairlead_y_seconds", "Y.", bounds);
  histogram.observe(0.1);
  histogram.observe(5);
  const std::string text = registry.expose();
  EXPECT_NE(text.find("fairlead_x_total{model=\"a\\\"b\"} 5\n"), std::string::npos) << text;
  EXPECT_NE(text.find("fairlead_y_seconds_bucket{le=\"0.1\"} 1\n"), std::string::npos) << text;
  EXPECT_NE(text.find("fairlead_y_seconds_bucket{le=\"+Inf\"} 2\n"), std::string::npos) << text;
  EXPECT_NE(text.find("fairlead_y_seconds_count 2\n"), std::string::npos) << text;
}

TEST(Metrics, WorkersOwnGaugesAndHistogramsAreOneSeries) {
  MetricRegistry registry;
  registry.gauge("fairlead_open", "Open.").set(2);
  registry.gauge("fairlead_open", "Open.").set(5);
  const double bounds[] = {1};
  registry.histogram("fairlead_s", "S.", bounds).observe(0.5);
  registry.histogram("fairlead_s", "S.", bounds).observe(2);
  const std::string text = registry.expose();
  EXPECT_NE(text.find("fairlead_open 7\n"), std::string::npos) << text;
  EXPECT_EQ(text.find("fairlead_open 2\n"), std::string::npos) << text;
  EXPECT_NE(text.find("fairlead_s_bucket{le=\"1\"} 1\n"), std::string::npos) << text;
  EXPECT_NE(text.find("fairlead_s_count 2\n"), std::string::npos) << text;
  EXPECT_NE(text.find("fairlead_s_sum 2.5\n"), std::string::npos) << text;
}

TEST(Metrics, PagesAreWrittenWhileSeriesComeAndGo) {
  MetricRegistry registry;
  registry.counter("stays", "h").add(7);
  std::atomic<bool> over = false;
  std::jthread worker([&] {
    for (int i = 0; i < 2000; ++i) {
      registry.counter("comes", "h", {{"n", std::to_string(i)}}).add();
      if (i % 3 == 0) registry.retire("n", std::to_string(i));
    }
    over = true;
  });
  do {
    EXPECT_NE(registry.expose().find("# TYPE stays counter\nstays 7\n"), std::string::npos);
  } while (!over);
  const std::string page = registry.expose();
  EXPECT_NE(page.find("comes{n=\"1\"} 1\n"), std::string::npos);
  EXPECT_EQ(page.find("comes{n=\"3\"}"), std::string::npos);
}

TEST(Metrics, RetiredLabelsDisappear) {
  MetricRegistry registry;
  registry.gauge("fairlead_g", "G.", {{"endpoint", "e1"}}).set(1);
  registry.gauge("fairlead_g", "G.", {{"endpoint", "e2"}}).set(2);
  registry.retire("endpoint", "e1");
  EXPECT_EQ(registry.expose().find("e1"), std::string::npos);
  EXPECT_NE(registry.expose().find("e2"), std::string::npos);
}

TEST(Metrics, WhatComesAndGoesForEverTakesNoMoreMemory) {
  MetricRegistry registry;
  std::set<const Counter*> counters;
  std::set<const Gauge*> gauges;
  Counter& lasting = registry.counter("fairlead_c_total", "C.", {{"endpoint", "stays"}});
  lasting.add(7);
  Gauge* late = nullptr;
  for (int i = 0; i < 20'000; ++i) {
    const std::string name = "e" + std::to_string(i);
    Counter& counter = registry.counter("fairlead_c_total", "C.", {{"endpoint", name}});
    Gauge& gauge = registry.gauge("fairlead_g", "G.", {{"endpoint", name}});
    EXPECT_EQ(counter.value(), 0U);
    EXPECT_EQ(gauge.value(), 0);
    counter.add(5);
    gauge.set(5);
    counters.insert(&counter);
    gauges.insert(&gauge);
    if (late != nullptr) late->set(9);  // Its endpoint has just left.
    EXPECT_EQ(gauge.value(), 5);
    registry.retire("endpoint", name);
    late = &gauge;
  }
  EXPECT_LE(counters.size(), MetricRegistry::kCellsResting + 2);
  EXPECT_LE(gauges.size(), MetricRegistry::kCellsResting + 2);
  EXPECT_EQ(registry.expose(),
            "# HELP fairlead_c_total C.\n# TYPE fairlead_c_total counter\n"
            "fairlead_c_total{endpoint=\"stays\"} 7\n");
}

}  // namespace
}  // namespace fairlead
