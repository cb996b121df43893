// SPDX-License-Identifier: Apache-2.0
// Metric cells and their Prometheus exposition.
//
// A family is registered once, at start-up; a cell is resolved per label set then, never per
// request. A cell is written by relaxed atomic adds, so any thread may write; give each worker a
// cell of its own where the rate is high: expose() sums the cells of one label set, gauges too.
// Exposition format: Prometheus text 0.0.4, checked with promtool.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fairlead {

class Counter {
 public:
  void add(std::uint64_t by = 1) { value_.fetch_add(by, std::memory_order_relaxed); }
  std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }
  // Follows a figure that only grows and is kept elsewhere. One writer.
  void raise_to(std::uint64_t figure) { add(figure - value()); }

 private:
  friend class MetricRegistry;
  alignas(64) std::atomic<std::uint64_t> value_{0};
};

class Gauge {
 public:
  void set(double value) { value_.store(value, std::memory_order_relaxed); }
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  friend class MetricRegistry;
  std::atomic<double> value_{0};
};

// Cumulative buckets with fixed upper bounds, ascending; +Inf is implied.
class Histogram {
 public:
  explicit Histogram(std::span<const double> bounds);
  void observe(double value);
  std::span<const double> bounds() const { return bounds_; }
  // Per-bucket counts, not cumulative; the last is the +Inf bucket.
  std::vector<std::uint64_t> counts() const;
  double sum() const { return sum_.load(std::memory_order_relaxed); }

 private:
  std::vector<double> bounds_;
  std::vector<std::atomic<std::uint64_t>> counts_;
  std::atomic<double> sum_{0};
};

using Labels = std::vector<std::pair<std::string, std::string>>;

// Owns every family and cell. Registration and expose() lock; cells never do. Thread-safe.
class MetricRegistry {
 public:
  // Retired cells of a kind that wait before the oldest is used again.
  static constexpr std::size_t kCellsResting = 1024;

  Counter& counter(std::string_view name, std::string_view help, Labels labels = {});
  Gauge& gauge(std::string_view name, std::string_view help, Labels labels = {});
  Histogram& histogram(std::string_view name, std::string_view help, std::span<const double> bounds,
                       Labels labels = {});
  // Drops every cell whose labels contain this pair, as when an endpoint leaves the pool. A late
  // writer is harmless: counters and gauges rest until kCellsResting others have been retired, and
  // then serve new series, so that what comes and goes for ever takes no more memory. Histograms
  // are not used again.
  void retire(std::string_view label, std::string_view value);

  std::string expose() const;

 private:
  enum class Kind { kCounter, kGauge, kHistogram };
  struct Cell {
    Labels labels;
    Counter* counter = nullptr;
    Gauge* gauge = nullptr;
    Histogram* histogram = nullptr;
  };
  struct Family {
    std::string name;
    std::string help;
    Kind kind;
    std::vector<Cell> cells;
  };
  Family& family(std::string_view name, std::string_view help, Kind kind);
  template <class Value>
  static Value& take(std::deque<Value>& all, std::deque<Value*>& resting);
  static void expose_family(std::string& out, const Family& family);
  static void expose_histogram(std::string& out, const Family& family, const Labels& labels,
                               const std::vector<const Cell*>& cells);

  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<Family>> families_;
  std::deque<Counter> counters_;
  std::deque<Gauge> gauges_;
  std::deque<Histogram> histograms_;
  std::deque<Counter*> resting_counters_;  // The oldest first.
  std::deque<Gauge*> resting_gauges_;
};

}  // namespace fairlead
