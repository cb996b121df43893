// SPDX-License-Identifier: Apache-2.0
#include "base/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>

#include "base/assert.h"

namespace fairlead {
namespace {

void append_escaped(std::string& out, std::string_view value) {
  for (const char c : value) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '"') {
      out += "\\\"";
    } else if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
}

void append_labels(std::string& out, const Labels& labels, std::string_view extra = {}) {
  if (labels.empty() && extra.empty()) return;
  out += '{';
  bool first = true;
  for (const auto& [name, value] : labels) {
    if (!first) out += ',';
    first = false;
    out += name;
    out += "=\"";
    append_escaped(out, value);
    out += '"';
  }
  if (!extra.empty()) {
    if (!first) out += ',';
    out += extra;
  }
  out += '}';
}

}  // namespace

Histogram::Histogram(std::span<const double> bounds)
    : bounds_(bounds.begin(), bounds.end()), counts_(bounds.size() + 1) {
  FAIRLEAD_ASSERT(std::is_sorted(bounds_.begin(), bounds_.end()));
}

void Histogram::observe(double value) {
  const auto bucket = std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin();
  counts_[static_cast<std::size_t>(bucket)].fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(value, std::memory_order_relaxed);
}

std::vector<std::uint64_t> Histogram::counts() const {
  std::vector<std::uint64_t> out;
  out.reserve(counts_.size());
  for (const auto& count : counts_) out.push_back(count.load(std::memory_order_relaxed));
  return out;
}

MetricRegistry::Family& MetricRegistry::family(std::string_view name, std::string_view help,
                                               Kind kind) {
  for (const auto& known : families_) {
    if (known->name == name) {
      FAIRLEAD_ASSERT(known->kind == kind);
      return *known;
    }
  }
  families_.push_back(
      std::make_unique<Family>(Family{std::string(name), std::string(help), kind, {}}));
  return *families_.back();
}

template <class Value>
Value& MetricRegistry::take(std::deque<Value>& all, std::deque<Value*>& resting) {
  if (resting.size() <= kCellsResting) return all.emplace_back();
  Value& cell = *resting.front();
  resting.pop_front();
  cell.value_.store(0, std::memory_order_relaxed);
  return cell;
}

Counter& MetricRegistry::counter(std::string_view name, std::string_view help, Labels labels) {
  const std::lock_guard lock(mutex_);
  Counter& cell = take(counters_, resting_counters_);
  family(name, help, Kind::kCounter).cells.push_back({std::move(labels), &cell, nullptr, nullptr});
  return cell;
}

Gauge& MetricRegistry::gauge(std::string_view name, std::string_view help, Labels labels) {
  const std::lock_guard lock(mutex_);
  Gauge& cell = take(gauges_, resting_gauges_);
  family(name, help, Kind::kGauge).cells.push_back({std::move(labels), nullptr, &cell, nullptr});
  return cell;
}

Histogram& MetricRegistry::histogram(std::string_view name, std::string_view help,
                                     std::span<const double> bounds, Labels labels) {
  const std::lock_guard lock(mutex_);
  histograms_.emplace_back(bounds);
  family(name, help, Kind::kHistogram)
      .cells.push_back({std::move(labels), nullptr, nullptr, &histograms_.back()});
  return histograms_.back();
}

void MetricRegistry::retire(std::string_view label, std::string_view value) {
  const std::lock_guard lock(mutex_);
  for (const auto& known : families_) {
    std::erase_if(known->cells, [&](const Cell& cell) {
      const bool retired = std::ranges::any_of(cell.labels, [&](const auto& pair) {
        return pair.first == label && pair.second == value;
      });
      if (retired && cell.counter != nullptr) resting_counters_.push_back(cell.counter);
      if (retired && cell.gauge != nullptr) resting_gauges_.push_back(cell.gauge);
      return retired;
    });
  }
}

void MetricRegistry::expose_histogram(std::string& out, const Family& family, const Labels& labels,
                                      const std::vector<const Cell*>& cells) {
  const auto bounds = cells.front()->histogram->bounds();
  std::vector<std::uint64_t> counts(bounds.size() + 1);
  double sum = 0;
  for (const Cell* cell : cells) {
    FAIRLEAD_ASSERT(std::ranges::equal(cell->histogram->bounds(), bounds));
    const auto own = cell->histogram->counts();
    for (std::size_t i = 0; i < own.size(); ++i) counts[i] += own[i];
    sum += cell->histogram->sum();
  }
  std::uint64_t cumulative = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    cumulative += counts[i];
    const std::string le =
        i < bounds.size() ? fmt::format("le=\"{}\"", bounds[i]) : std::string("le=\"+Inf\"");
    out += family.name;
    out += "_bucket";
    append_labels(out, labels, le);
    fmt::format_to(std::back_inserter(out), " {}\n", cumulative);
  }
  out += family.name;
  out += "_sum";
  append_labels(out, labels);
  fmt::format_to(std::back_inserter(out), " {}\n", sum);
  out += family.name;
  out += "_count";
  append_labels(out, labels);
  fmt::format_to(std::back_inserter(out), " {}\n", cumulative);
}

// Cells of equal labels are one series: workers may each hold a cell of their own.
void MetricRegistry::expose_family(std::string& out, const Family& family) {
  std::map<Labels, std::vector<const Cell*>> series;
  for (const Cell& cell : family.cells) series[cell.labels].push_back(&cell);
  for (const auto& [labels, cells] : series) {
    if (family.kind == Kind::kHistogram) {
      expose_histogram(out, family, labels, cells);
      continue;
    }
    out += family.name;
    append_labels(out, labels);
    if (family.kind == Kind::kCounter) {
      std::uint64_t sum = 0;
      for (const Cell* cell : cells) sum += cell->counter->value();
      fmt::format_to(std::back_inserter(out), " {}\n", sum);
    } else {
      double sum = 0;
      for (const Cell* cell : cells) sum += cell->gauge->value();
      fmt::format_to(std::back_inserter(out), " {}\n", sum);
    }
  }
}

std::string MetricRegistry::expose() const {
  static constexpr std::string_view kTypes[] = {"counter", "gauge", "histogram"};
  std::string out;
  // The lock is held to see what there is, one family at a time, and not to write it down: a page
  // of a megabyte takes milliseconds, and a worker may be waiting to register a label.
  for (std::size_t i = 0;; ++i) {
    std::optional<Family> family;
    {
      const std::lock_guard lock(mutex_);
      if (i == families_.size()) return out;
      family = *families_[i];
    }
    if (family->cells.empty()) continue;
    fmt::format_to(std::back_inserter(out), "# HELP {0} {1}\n# TYPE {0} {2}\n", family->name,
                   family->help, kTypes[static_cast<int>(family->kind)]);
    expose_family(out, *family);
  }
}

}  // namespace fairlead
