// SPDX-License-Identifier: Apache-2.0
// Charts as inline SVG for the HTML report: lines, grouped columns, ranked bars and
// scattered points. Colours come
// from the page's style sheet (class s0..s7) and every series has a dash pattern as well, so that
// no reading depends on colour alone. Each chart has a role, a title and a description; data points
// carry a title, which browsers show on hover. Texts are escaped here. Pure; thread-safe.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lab/load/model/number_text.h"

namespace fairlead::load {

inline constexpr std::size_t kSeriesStyles = 8;

enum class Scale { kLinear, kLog };

struct Axis {
  std::string label;
  Unit unit = Unit::kPlain;
  Scale scale = Scale::kLinear;
  double low = 0;  // Above 0 on a log scale.
  double high = 1;
};

struct ChartPoint {
  double x = 0;
  double y = 0;
};

struct ChartLine {
  std::string name;
  std::vector<std::vector<ChartPoint>> pieces;  // Drawn apart: between them nothing was measured.
};

struct LineChart {
  std::string id;       // Unique in the page.
  double height = 340;  // SVG units; the width is 640.
  std::string title;
  std::string description;
  Axis x;
  Axis y;
  std::vector<ChartLine> lines;  // Style by position.
};

struct ColumnGroup {
  std::string name;
  std::vector<double> values;  // One a series.
};

struct ColumnChart {
  std::string id;
  std::string title;
  std::string description;
  std::string x_label;
  Axis y;
  std::vector<std::string> series;
  std::vector<ColumnGroup> groups;
  std::optional<double> reference;  // A horizontal line.
};

struct RankedBar {
  std::string name;
  double value = 0;
};

struct BarChart {
  std::string id;
  std::string title;
  std::string description;
  Axis x;  // From 0.
  std::vector<RankedBar> bars;
};

struct ScatterPoint {
  std::string name;
  ChartPoint at;
  std::size_t series = 0;
};

struct ScatterChart {
  std::string id;
  std::string title;
  std::string description;
  Axis x;
  Axis y;
  std::vector<std::string> series;
  std::vector<ScatterPoint> points;  // Later ones lie on top.
};

std::string escape_html(std::string_view text);
// A short sample of a series' line, for legends.
std::string series_swatch(std::size_t series);
// The same of a series' points.
std::string point_swatch(std::size_t series);
// An axis that covers these values: from 0 (linear) or whole decades' fractions (log).
Axis axis_over(std::string label, Unit unit, Scale scale, std::span<const double> values);
// A linear one from just below the least to just above the greatest of them.
Axis axis_around(std::string label, Unit unit, std::span<const double> values);

std::string draw(const LineChart& chart);
std::string draw(const ColumnChart& chart);
std::string draw(const BarChart& chart);
std::string draw(const ScatterChart& chart);

}  // namespace fairlead::load
