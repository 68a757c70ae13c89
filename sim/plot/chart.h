// Chart: pictures of what a simulation did, as SVG text (https://www.w3.org/TR/SVG11/): lines over an axis, cumulative shares, bars.
//
// Pure: the same numbers give the same bytes. Values are whole numbers in a unit of the caller's; an axis says by how much they are divided
// when they are written ({"Mbit/s", 1000} for kilobits). Every series is drawn in a colour of its own, and in dashes when colours are used up or it wants to be, so that black and white
// prints can be read, and named at its end in the legend.
//
//   plot::Chart chart{.title = "Rate over time", .x = {"s", 1'000'000}, .y = {"Mbit/s", 1000}};
//   chart.series.push_back({"three hops", {{0, 0}, {1'000'000, 8300}}});
//   std::string svg = plot::to_svg(chart);
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace macrovpn::sim::plot {

struct Axis {
  std::string name;
  int64_t unit = 1;            // so many of the values are one of the name
  std::optional<int64_t> from, to;  // else what the values need; a y axis of lines and bars begins at zero
};

using Point = std::pair<int64_t, int64_t>;

struct Series {
  std::string name;
  std::vector<Point> points;
  bool dashed = false;  // what lies below is seen through it
};

// A straight line across the frame, with its name beside it: a bound that what is drawn is held against.
struct Mark {
  enum class Across : uint8_t { x, y };  // the axis that it stands on
  Across axis = Across::x;
  std::string name;
  int64_t at = 0;
};

enum class Kind : uint8_t {
  lines,        // points in the order given, joined
  cumulative,   // x values of points (y does not matter): the share that is at most x
  bars,         // one bar for each point of each series, grouped by x; x is a place in `labels`
};

struct Chart {
  std::string title;
  Kind kind = Kind::lines;
  Axis x, y;
  std::vector<Series> series;
  std::vector<Mark> marks;          // on an axis of numbers
  std::vector<std::string> labels;  // bars only: what stands below the groups
  int width = 760, height = 420;    // pixels

  static constexpr size_t kMostSeries = 12, kMostMarks = 12;
  static constexpr size_t kMostPoints = 20'000;  // of a series; of more every n-th is drawn
};

struct Picture {
  std::string name;  // of a file
  std::string svg;
};

// Asserts kMostSeries and kMostMarks.
std::string to_svg(const Chart&);

}  // namespace macrovpn::sim::plot
