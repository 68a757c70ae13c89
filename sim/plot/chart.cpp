// A chart is a frame (title, axes, grid, legend) and marks in it. Positions are in tenths of a pixel, so that lines look smooth and numbers
// stay whole.
#include "sim/plot/chart.h"

#include <algorithm>
#include <array>

#include "base/assert.h"
#include "sim/plot/ticks.h"

namespace macrovpn::sim::plot {
namespace {

constexpr int kLeft = 70, kTop = 40, kBottom = 50, kRight = 20, kLegend = 150;
constexpr int kLegendMarks = 47, kLetter = 7;  // pixels beside a series' name, and for each letter of it
constexpr int64_t kShares = 1000;  // the y axis of cumulative charts, in thousandths
// Okabe and Ito's colours, which the colour-blind can tell apart.
constexpr std::array<const char*, 6> kColours{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#7a6a00"};
constexpr std::array<const char*, 2> kDashes{"", "6 3"};
constexpr const char* kOwnDash = "4 4";

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) switch (c) {
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
        out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  return out;
}

std::string pixels(int64_t tenths) {
  return decimal(tenths, 10, tenths % 10 == 0 ? 10 : 1);
}

struct Range {
  int64_t from = 0, to = 1;
  int64_t span() const { return std::max<int64_t>(to - from, 1); }
};

int legend_width(const Chart& c) {
  if (c.series.size() < 2) return 0;
  size_t longest = 0;
  for (const Series& s : c.series) longest = std::max(longest, s.name.size());
  return std::max(kLegend, kLegendMarks + kLetter * static_cast<int>(longest));
}

class Drawing {
 public:
  explicit Drawing(const Chart& chart) : c_(chart) {
    right_ = c_.width - kRight - legend_width(c_);
    bottom_ = c_.height - kBottom;
    find_ranges();
  }

  std::string draw() {
    out_ = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" + std::to_string(c_.width) + "\" height=\"" + std::to_string(c_.height) +
           "\" viewBox=\"0 0 " + std::to_string(c_.width) + " " + std::to_string(c_.height) +
           "\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n";
    text(c_.width / 2 * 10, 220, c_.title, "middle", "font-size=\"15\"");
    draw_y_axis();
    draw_x_axis();
    for (const Mark& m : c_.marks) draw_mark(m);
    for (size_t i = 0; i < c_.series.size(); i++) draw_series(i);
    if (c_.series.size() > 1) draw_legend();
    return out_ + "</svg>\n";
  }

 private:
  void find_ranges() {
    bool first = true;
    for (const Series& s : c_.series)
      for (const auto& [x, y] : s.points) {
        x_ = first ? Range{x, x} : Range{std::min(x_.from, x), std::max(x_.to, x)};
        y_ = first ? Range{std::min<int64_t>(y, 0), y} : Range{std::min(y_.from, y), std::max(y_.to, y)};
        first = false;
      }
    for (const Mark& m : c_.marks) {
      Range& r = m.axis == Mark::Across::x ? x_ : y_;
      r = {std::min(r.from, m.at), std::max(r.to, m.at)};
    }
    if (c_.kind == Kind::cumulative) y_ = {0, kShares};
    if (c_.kind == Kind::bars) x_ = {0, static_cast<int64_t>(std::max<size_t>(c_.labels.size(), 1))};
    if (c_.x.from) x_.from = *c_.x.from;
    if (c_.x.to) x_.to = *c_.x.to;
    if (c_.y.from) y_.from = *c_.y.from;
    if (c_.y.to) y_.to = *c_.y.to;
    y_.to = std::max(y_.to, y_.from + 1);
    x_.to = std::max(x_.to, x_.from + 1);
  }

  int64_t x_at(int64_t x) const { return kLeft * 10 + scaled(x - x_.from, x_.span(), (right_ - kLeft) * 10); }
  int64_t y_at(int64_t y) const { return bottom_ * 10 - scaled(y - y_.from, y_.span(), (bottom_ - kTop) * 10); }
  // value · length / span without overflow, within the frame.
  static int64_t scaled(int64_t value, int64_t span, int64_t length) {
    value = std::clamp<int64_t>(value, 0, span);
    while (span > int64_t{1} << 40) span >>= 8, value >>= 8;
    return value * length / span;
  }

  void line(int64_t x1, int64_t y1, int64_t x2, int64_t y2, const char* style) {
    out_ += "<line x1=\"" + pixels(x1) + "\" y1=\"" + pixels(y1) + "\" x2=\"" + pixels(x2) + "\" y2=\"" + pixels(y2) + "\" " + style + "/>\n";
  }
  void text(int64_t x, int64_t y, const std::string& words, const char* anchor, const std::string& more = "") {
    out_ += "<text x=\"" + pixels(x) + "\" y=\"" + pixels(y) + "\" text-anchor=\"" + anchor + "\"" + (more.empty() ? "" : " " + more) + ">" +
            escaped(words) + "</text>\n";
  }

  void draw_y_axis() {
    const int64_t unit = c_.kind == Kind::cumulative ? kShares / 100 : c_.y.unit;
    const auto marks = ticks(y_.from, y_.to, 6);
    const int64_t step = marks.size() > 1 ? marks[1] - marks[0] : unit;
    for (const int64_t y : marks) {
      line(kLeft * 10, y_at(y), right_ * 10, y_at(y), "stroke=\"#dddddd\"");
      text(kLeft * 10 - 60, y_at(y) + 40, decimal(y, unit, step), "end");
    }
    line(kLeft * 10, kTop * 10, kLeft * 10, bottom_ * 10, "stroke=\"black\"");
    const std::string name = c_.kind == Kind::cumulative ? "% at most" : c_.y.name;
    const std::string middle = std::to_string((kTop + bottom_) / 2);
    text(160, (kTop + bottom_) / 2 * 10, name, "middle", "transform=\"rotate(-90 16 " + middle + ")\"");
  }

  void draw_x_axis() {
    line(kLeft * 10, bottom_ * 10, right_ * 10, bottom_ * 10, "stroke=\"black\"");
    text((kLeft + right_) / 2 * 10, (c_.height - 10) * 10, c_.x.name, "middle");
    if (c_.kind == Kind::bars) {
      for (size_t i = 0; i < c_.labels.size(); i++) {
        const auto at = static_cast<int64_t>(i);
        text((x_at(at) + x_at(at + 1)) / 2, bottom_ * 10 + 180, c_.labels[i], "middle");
      }
      return;
    }
    const auto marks = ticks(x_.from, x_.to, 8);
    const int64_t step = marks.size() > 1 ? marks[1] - marks[0] : c_.x.unit;
    for (const int64_t x : marks) {
      line(x_at(x), bottom_ * 10, x_at(x), bottom_ * 10 + 50, "stroke=\"black\"");
      text(x_at(x), bottom_ * 10 + 180, decimal(x, c_.x.unit, step), "middle");
    }
  }

  void draw_mark(const Mark& m) {
    const char* const style = "stroke=\"#555555\" stroke-dasharray=\"2 3\"";
    const std::string words = "fill=\"#555555\" font-size=\"11\"";
    if (m.axis == Mark::Across::x) {
      line(x_at(m.at), kTop * 10, x_at(m.at), bottom_ * 10, style);
      text(x_at(m.at), kTop * 10 - 40, m.name, "middle", words);
    } else {
      line(kLeft * 10, y_at(m.at), right_ * 10, y_at(m.at), style);
      text(right_ * 10 - 40, y_at(m.at) - 40, m.name, "end", words);
    }
  }

  static const char* colour(size_t i) { return kColours[i % kColours.size()]; }
  std::string stroke(size_t i) const {
    const char* const dash = c_.series[i].dashed ? kOwnDash : kDashes[i / kColours.size() % kDashes.size()];
    return "fill=\"none\" stroke=\"" + std::string(colour(i)) + "\" stroke-width=\"2\"" +
           (*dash == 0 ? "" : " stroke-dasharray=\"" + std::string(dash) + "\"");
  }

  void draw_series(size_t i) {
    const std::vector<Point>& points = c_.series[i].points;
    switch (c_.kind) {
      case Kind::lines:
        return draw_line(i, points);
      case Kind::cumulative:
        return draw_line(i, shares_of(points));
      case Kind::bars:
        return draw_bars(i, points);
    }
  }

  std::vector<Point> shares_of(const std::vector<Point>& points) const {
    std::vector<Point> out = points;
    std::sort(out.begin(), out.end());
    for (size_t i = 0; i < out.size(); i++) out[i].second = static_cast<int64_t>(i + 1) * kShares / static_cast<int64_t>(out.size());
    if (!out.empty()) out.insert(out.begin(), {out.front().first, 0});
    std::erase_if(out, [&](const Point& p) { return p.first > x_.to; });  // the frame's edge is no value
    return out;
  }

  void draw_line(size_t i, const std::vector<Point>& points) {
    if (points.empty()) return;
    const size_t every = points.size() / Chart::kMostPoints + 1;
    std::string path;
    for (size_t k = 0; k < points.size(); k += every)
      path += (path.empty() ? "" : " ") + pixels(x_at(points[k].first)) + "," + pixels(y_at(points[k].second));
    if ((points.size() - 1) % every != 0) path += " " + pixels(x_at(points.back().first)) + "," + pixels(y_at(points.back().second));
    out_ += "<polyline " + stroke(i) + " points=\"" + path + "\"/>\n";
  }

  void draw_bars(size_t i, const std::vector<Point>& points) {
    const auto count = static_cast<int64_t>(c_.series.size());
    for (const auto& [group, value] : points) {
      const int64_t left = x_at(group), room = x_at(group + 1) - left, width = room * 8 / 10 / count;
      const int64_t x = left + room / 10 + width * static_cast<int64_t>(i), top = y_at(std::max<int64_t>(value, 0)), low = y_at(std::min<int64_t>(value, 0));
      out_ += "<rect x=\"" + pixels(x) + "\" y=\"" + pixels(top) + "\" width=\"" + pixels(width) + "\" height=\"" + pixels(low - top) +
              "\" fill=\"" + colour(i) + "\"/>\n";
    }
  }

  void draw_legend() {
    for (size_t i = 0; i < c_.series.size(); i++) {
      const int64_t x = (right_ + 15) * 10, y = (kTop + 12) * 10 + static_cast<int64_t>(i) * 200;
      out_ += "<polyline " + stroke(i) + " points=\"" + pixels(x) + "," + pixels(y) + " " + pixels(x + 250) + "," + pixels(y) + "\"/>\n";
      text(x + 320, y + 40, c_.series[i].name, "start");
    }
  }

  const Chart& c_;
  int right_ = 0, bottom_ = 0;
  Range x_, y_;
  std::string out_;
};

}  // namespace

std::string to_svg(const Chart& chart) {
  MV_ASSERT(chart.series.size() <= Chart::kMostSeries);
  MV_ASSERT(chart.marks.size() <= Chart::kMostMarks);
  MV_ASSERT(chart.width > kLeft + kRight + legend_width(chart) + 100 && chart.height > kTop + kBottom);
  return Drawing(chart).draw();
}

}  // namespace macrovpn::sim::plot
