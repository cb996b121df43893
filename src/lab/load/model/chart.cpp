// SPDX-License-Identifier: Apache-2.0
#include "lab/load/model/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace fairlead::load {
namespace {

// The drawing area, in SVG units.
constexpr double kWidth = 640;
constexpr double kColumnsWidth = 1120;  // Column charts take a row of the page.
constexpr double kColumnsHeight = 320;
constexpr double kLeft = 78;
constexpr double kRight = 18;
constexpr double kTop = 14;
constexpr double kBottom = 56;

struct Frame {
  double left = kLeft;
  double top = kTop;
  double right = kWidth - kRight;
  double bottom = 0;
};

double place(const Axis& axis, double value) {
  const double bounded = std::clamp(value, axis.low, axis.high);
  if (axis.scale == Scale::kLog)
    return std::log(bounded / axis.low) / std::log(axis.high / axis.low);
  return (bounded - axis.low) / (axis.high - axis.low);
}

double x_at(const Frame& frame, const Axis& axis, double value) {
  return frame.left + place(axis, value) * (frame.right - frame.left);
}

double y_at(const Frame& frame, const Axis& axis, double value) {
  return frame.bottom - place(axis, value) * (frame.bottom - frame.top);
}

std::vector<double> linear_ticks(const Axis& axis) {
  const double rough = (axis.high - axis.low) / 5;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  const double lead = rough / power;
  const double step = power * (lead <= 1 ? 1 : lead <= 2 ? 2 : lead <= 5 ? 5 : 10);
  std::vector<double> ticks;
  for (double i = std::ceil(axis.low / step - 1e-9); i * step <= axis.high * (1 + 1e-9); ++i) {
    ticks.push_back(i * step + 0.0);  // Never minus zero.
  }
  return ticks;
}

std::vector<double> log_ticks(const Axis& axis) {
  const double decades = std::log10(axis.high / axis.low);
  std::vector<double> ticks;
  const double first = std::floor(std::log10(axis.low));
  for (double power = first; power <= std::log10(axis.high) + 1e-9; ++power) {
    for (const double lead : {1.0, 2.0, 5.0}) {
      if (lead > 1 && decades > 2.5) continue;
      const double tick = lead * std::pow(10, power);
      if (tick >= axis.low * 0.999 && tick <= axis.high * 1.001) ticks.push_back(tick);
    }
  }
  return ticks;
}

std::vector<double> ticks_of(const Axis& axis) {
  return axis.scale == Scale::kLog ? log_ticks(axis) : linear_ticks(axis);
}

std::string open_svg(const std::string& id, const std::string& title,
                     const std::string& description, double width, double height) {
  return fmt::format(
      "<svg role=\"img\" aria-labelledby=\"{0}-t {0}-d\" viewBox=\"0 0 {1:g} {2:g}\">"
      "<title id=\"{0}-t\">{3}</title><desc id=\"{0}-d\">{4}</desc>",
      id, width, height, escape_html(title), escape_html(description));
}

void draw_y_axis(std::string& out, const Frame& frame, const Axis& axis) {
  for (const double tick : ticks_of(axis)) {
    const double y = y_at(frame, axis, tick);
    out += fmt::format(
        "<line class=\"grid\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>"
        "<text class=\"tick\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>",
        frame.left, frame.right, y, y, frame.left - 8, y + 4, format_value(tick, axis.unit));
  }
  const double middle = (frame.top + frame.bottom) / 2;
  out += fmt::format(
      "<text class=\"axis\" transform=\"translate(13 {:.1f}) rotate(-90)\" "
      "text-anchor=\"middle\">{}</text>",
      middle, escape_html(axis.label));
}

void draw_x_label(std::string& out, const Frame& frame, const std::string& label) {
  out += fmt::format(
      "<line class=\"base\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>"
      "<text class=\"axis\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>",
      frame.left, frame.right, frame.bottom, frame.bottom, (frame.left + frame.right) / 2,
      frame.bottom + 44, escape_html(label));
}

enum class Grid { kYes, kNo };

void draw_x_axis(std::string& out, const Frame& frame, const Axis& axis, Grid grid) {
  for (const double tick : ticks_of(axis)) {
    const double x = x_at(frame, axis, tick);
    if (grid == Grid::kYes) {
      out += fmt::format(
          "<line class=\"grid\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>", x, x,
          frame.top, frame.bottom);
    }
    out += fmt::format(
        "<text class=\"tick\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>", x,
        frame.bottom + 20, format_value(tick, axis.unit));
  }
  draw_x_label(out, frame, axis.label);
}

// Discs and squares by turns, so that series differ without colour.
std::string marker(std::size_t series, double x, double y, const std::string& title) {
  constexpr double kRadius = 5;
  const std::size_t style = series % kSeriesStyles;
  if (series % 2 == 0) {
    return fmt::format(
        "<circle class=\"dot s{}\" r=\"{:g}\" cx=\"{:.1f}\" cy=\"{:.1f}\">{}</circle>", style,
        kRadius, x, y, title);
  }
  return fmt::format(
      "<rect class=\"fill s{}\" width=\"{:g}\" height=\"{:g}\" x=\"{:.1f}\" y=\"{:.1f}\">{}</rect>",
      style, 2 * kRadius, 2 * kRadius, x - kRadius, y - kRadius, title);
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string series_swatch(std::size_t series) {
  return fmt::format(
      "<svg class=\"swatch\" aria-hidden=\"true\" viewBox=\"0 0 28 10\">"
      "<line class=\"line s{}\" x1=\"1\" x2=\"27\" y1=\"5\" y2=\"5\"/></svg>",
      series % kSeriesStyles);
}

std::string point_swatch(std::size_t series) {
  return fmt::format("<svg class=\"swatch\" aria-hidden=\"true\" viewBox=\"0 0 28 10\">{}</svg>",
                     marker(series, 14, 5, {}));
}

Axis axis_over(std::string label, Unit unit, Scale scale, std::span<const double> values) {
  Axis axis{std::move(label), unit, scale, 0, 1};
  double low = 0, high = 0;
  bool any = false;
  for (const double value : values) {
    if (scale == Scale::kLog && !(value > 0)) continue;
    low = any ? std::min(low, value) : value;
    high = any ? std::max(high, value) : value;
    any = true;
  }
  if (scale == Scale::kLinear) {
    axis.high = high > 0 ? high * 1.05 : 1;
    return axis;
  }
  if (!any) low = high = 1;
  axis.low = low / 1.15;
  axis.high = std::max(high * 1.15, axis.low * 10);
  return axis;
}

Axis axis_around(std::string label, Unit unit, std::span<const double> values) {
  Axis axis{std::move(label), unit, Scale::kLinear, 0, 1};
  if (values.empty()) return axis;
  const auto [low, high] = std::ranges::minmax(values);
  const double margin = std::max((high - low) * 0.08, std::abs(high) * 0.01 + 1e-9);
  axis.low = low - margin;
  axis.high = high + margin;
  return axis;
}

std::string draw(const LineChart& chart) {
  Frame frame;
  frame.bottom = chart.height - kBottom;
  std::string out = open_svg(chart.id, chart.title, chart.description, kWidth, chart.height);
  draw_y_axis(out, frame, chart.y);
  draw_x_axis(out, frame, chart.x, Grid::kYes);
  for (std::size_t i = 0; i < chart.lines.size(); ++i) {
    const ChartLine& line = chart.lines[i];
    out += fmt::format("<g><title>{}</title>", escape_html(line.name));
    for (const std::vector<ChartPoint>& piece : line.pieces) {
      if (piece.size() == 1) {
        out += fmt::format("<circle class=\"dot s{}\" r=\"3\" cx=\"{:.1f}\" cy=\"{:.1f}\"/>",
                           i % kSeriesStyles, x_at(frame, chart.x, piece[0].x),
                           y_at(frame, chart.y, piece[0].y));
        continue;
      }
      out += fmt::format("<polyline class=\"line s{}\" points=\"", i % kSeriesStyles);
      for (const ChartPoint& point : piece) {
        out += fmt::format("{:.1f},{:.1f} ", x_at(frame, chart.x, point.x),
                           y_at(frame, chart.y, point.y));
      }
      out += "\"/>";
    }
    out += "</g>";
  }
  return out + "</svg>";
}

std::string draw(const ColumnChart& chart) {
  Frame frame;
  frame.right = kColumnsWidth - kRight;
  frame.bottom = kColumnsHeight - kBottom;
  std::string out =
      open_svg(chart.id, chart.title, chart.description, kColumnsWidth, kColumnsHeight);
  draw_y_axis(out, frame, chart.y);
  draw_x_label(out, frame, chart.x_label);
  const double slot = (frame.right - frame.left) /
                      static_cast<double>(std::max<std::size_t>(chart.groups.size(), 1));
  const double column =
      slot * 0.8 / static_cast<double>(std::max<std::size_t>(chart.series.size(), 1));
  // Group names are dropped evenly where they would run into each other.
  std::size_t longest = 1;
  for (const ColumnGroup& group : chart.groups) longest = std::max(longest, group.name.size());
  const auto every = static_cast<std::size_t>(std::ceil(static_cast<double>(longest) * 7.5 / slot));
  for (std::size_t g = 0; g < chart.groups.size(); ++g) {
    const ColumnGroup& group = chart.groups[g];
    const double start = frame.left + slot * (static_cast<double>(g) + 0.1);
    for (std::size_t s = 0; s < group.values.size(); ++s) {
      const double top = y_at(frame, chart.y, group.values[s]);
      out += fmt::format(
          "<rect class=\"fill s{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" "
          "rx=\"1.5\"><title>{}, {}: {}</title></rect>",
          s % kSeriesStyles, start + column * static_cast<double>(s), top,
          std::max(column - 1.5, 0.5), frame.bottom - top, escape_html(chart.series[s]),
          escape_html(group.name), format_value(group.values[s], chart.y.unit));
    }
    if (g % every != 0) continue;
    out += fmt::format(
        "<text class=\"tick\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>",
        start + slot * 0.4, frame.bottom + 20, escape_html(group.name));
  }
  if (chart.reference) {
    const double y = y_at(frame, chart.y, *chart.reference);
    out += fmt::format(
        "<line class=\"reference\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>",
        frame.left, frame.right, y, y);
  }
  return out + "</svg>";
}

std::string draw(const BarChart& chart) {
  constexpr double kRow = 38;
  std::size_t longest = 1;
  for (const RankedBar& bar : chart.bars) longest = std::max(longest, bar.name.size());
  Frame frame;
  frame.left = std::min(200.0, 20 + static_cast<double>(longest) * 7.6);
  frame.right = kWidth - 80;  // Room for the value behind the bar.
  frame.bottom = frame.top + kRow * static_cast<double>(chart.bars.size());
  std::string out =
      open_svg(chart.id, chart.title, chart.description, kWidth, frame.bottom + kBottom);
  draw_x_axis(out, frame, chart.x, Grid::kYes);
  for (std::size_t i = 0; i < chart.bars.size(); ++i) {
    const RankedBar& bar = chart.bars[i];
    const double top = frame.top + kRow * static_cast<double>(i) + 6;
    const double end = x_at(frame, chart.x, bar.value);
    const std::string value = format_value(bar.value, chart.x.unit);
    out += fmt::format(
        "<text class=\"name\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>"
        "<rect class=\"fill s{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" "
        "rx=\"2\"><title>{}: {}</title></rect>"
        "<text class=\"value\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>",
        frame.left - 10, top + 18, escape_html(bar.name), i % kSeriesStyles, frame.left, top,
        std::max(end - frame.left, 1.0), kRow - 12, escape_html(bar.name), value, end + 8, top + 18,
        value);
  }
  return out + "</svg>";
}

std::string draw(const ScatterChart& chart) {
  constexpr double kHeight = 420;
  Frame frame;
  frame.bottom = kHeight - kBottom;
  std::string out = open_svg(chart.id, chart.title, chart.description, kWidth, kHeight);
  draw_y_axis(out, frame, chart.y);
  draw_x_axis(out, frame, chart.x, Grid::kYes);
  for (const ScatterPoint& point : chart.points) {
    const double x = x_at(frame, chart.x, point.at.x);
    const double y = y_at(frame, chart.y, point.at.y);
    const std::string title =
        fmt::format("<title>{} ({}): {}, {}</title>", escape_html(point.name),
                    escape_html(chart.series[point.series]), format_value(point.at.x, chart.x.unit),
                    format_value(point.at.y, chart.y.unit));
    out += marker(point.series, x, y, title);
  }
  return out + "</svg>";
}

}  // namespace fairlead::load
