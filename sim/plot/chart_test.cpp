#include "sim/plot/chart.h"

#include <gtest/gtest.h>

#include "sim/plot/ticks.h"

namespace macrovpn::sim::plot {
namespace {

size_t count(const std::string& text, const std::string& what) {
  size_t n = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) n++;
  return n;
}

Chart two_lines() {
  Chart c{.title = "Rate & <time>", .x = {"s", 1000}, .y = {"Mbit/s", 1000}, .width = 400, .height = 200};
  c.series.push_back({"one hop", {{0, 0}, {1000, 4000}, {2000, 3500}}});
  c.series.push_back({"three hops", {{0, 0}, {2000, 2000}}});
  return c;
}

TEST(Ticks, AreRound) {
  EXPECT_EQ(round_step(10, 5), 2);
  EXPECT_EQ(round_step(1, 8), 1);
  EXPECT_EQ(round_step(7301, 6), 2000);
  EXPECT_EQ(ticks(0, 4000, 6), (std::vector<int64_t>{0, 1000, 2000, 3000, 4000}));
  EXPECT_EQ(ticks(-25, 30, 6), (std::vector<int64_t>{-20, -10, 0, 10, 20, 30}));
  EXPECT_LE(ticks(0, INT64_MAX / 4, 8).size(), 10u);
}

TEST(Ticks, DecimalsHaveThePlacesThatAStepNeeds) {
  EXPECT_EQ(decimal(1500, 1000, 500), "1.5");
  EXPECT_EQ(decimal(2000, 1000, 1000), "2");
  EXPECT_EQ(decimal(2000, 1000, 250), "2.00");
  EXPECT_EQ(decimal(-250, 1000, 250), "-0.25");
  EXPECT_EQ(decimal(1'049'999, 1'000'000, 50'000), "1.05");
  EXPECT_EQ(decimal(7, 3, 1), "2.333333");
}

TEST(Chart, ALineChartIsTheseBytes) {
  EXPECT_EQ(to_svg(two_lines()), R"svg(<svg xmlns="http://www.w3.org/2000/svg" width="400" height="200" viewBox="0 0 400 200" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="white"/>
<text x="200" y="22" text-anchor="middle" font-size="15">Rate &amp; &lt;time&gt;</text>
<line x1="70" y1="150" x2="230" y2="150" stroke="#dddddd"/>
<text x="64" y="154" text-anchor="end">0</text>
<line x1="70" y1="122.5" x2="230" y2="122.5" stroke="#dddddd"/>
<text x="64" y="126.5" text-anchor="end">1</text>
<line x1="70" y1="95" x2="230" y2="95" stroke="#dddddd"/>
<text x="64" y="99" text-anchor="end">2</text>
<line x1="70" y1="67.5" x2="230" y2="67.5" stroke="#dddddd"/>
<text x="64" y="71.5" text-anchor="end">3</text>
<line x1="70" y1="40" x2="230" y2="40" stroke="#dddddd"/>
<text x="64" y="44" text-anchor="end">4</text>
<line x1="70" y1="40" x2="70" y2="150" stroke="black"/>
<text x="16" y="95" text-anchor="middle" transform="rotate(-90 16 95)">Mbit/s</text>
<line x1="70" y1="150" x2="230" y2="150" stroke="black"/>
<text x="150" y="190" text-anchor="middle">s</text>
<line x1="70" y1="150" x2="70" y2="155" stroke="black"/>
<text x="70" y="168" text-anchor="middle">0.0</text>
<line x1="110" y1="150" x2="110" y2="155" stroke="black"/>
<text x="110" y="168" text-anchor="middle">0.5</text>
<line x1="150" y1="150" x2="150" y2="155" stroke="black"/>
<text x="150" y="168" text-anchor="middle">1.0</text>
<line x1="190" y1="150" x2="190" y2="155" stroke="black"/>
<text x="190" y="168" text-anchor="middle">1.5</text>
<line x1="230" y1="150" x2="230" y2="155" stroke="black"/>
<text x="230" y="168" text-anchor="middle">2.0</text>
<polyline fill="none" stroke="#0072b2" stroke-width="2" points="70,150 150,40 230,53.8"/>
<polyline fill="none" stroke="#d55e00" stroke-width="2" points="70,150 230,95"/>
<polyline fill="none" stroke="#0072b2" stroke-width="2" points="245,52 270,52"/>
<text x="277" y="56" text-anchor="start">one hop</text>
<polyline fill="none" stroke="#d55e00" stroke-width="2" points="245,72 270,72"/>
<text x="277" y="76" text-anchor="start">three hops</text>
</svg>
)svg");
}

TEST(Chart, ACumulativeChartRisesToAHundred) {
  Chart c{.title = "Latency", .kind = Kind::cumulative, .x = {"ms", 1000}};
  c.series.push_back({"pages", {{300'000, 0}, {100'000, 0}, {200'000, 0}, {900'000, 0}}});
  const std::string svg = to_svg(c);
  EXPECT_NE(svg.find("% at most"), std::string::npos);
  EXPECT_NE(svg.find(">100</text>"), std::string::npos);
  // Sorted, from nothing, a quarter each: the last one is at the top right corner of the frame.
  EXPECT_NE(svg.find("points=\"70,370 70,287.5 153.7,205 237.5,122.5 740,40\""), std::string::npos) << svg;
}

TEST(Chart, ACumulativeLineEndsWhereTheAxisDoes) {
  Chart c{.title = "Latency", .kind = Kind::cumulative, .x = {.name = "ms", .from = 0, .to = 100}};
  c.series.push_back({"a", {{50, 0}, {500, 0}}});
  EXPECT_NE(to_svg(c).find("points=\"405,370 405,205\""), std::string::npos) << to_svg(c);
}

TEST(Chart, BarsStandInTheirGroups) {
  Chart c{.title = "Paths", .kind = Kind::bars, .x = {"exit"}, .y = {"circuits"}, .labels = {"DE", "US", "JP"}};
  c.series.push_back({"first", {{0, 10}, {1, 20}, {2, 5}}});
  c.series.push_back({"second", {{0, 1}, {1, 2}, {2, 3}}});
  const std::string svg = to_svg(c);
  EXPECT_EQ(count(svg, "<rect"), 1u + 6u);
  EXPECT_EQ(count(svg, ">JP</text>"), 1u);
}

TEST(Chart, DrawsWhatThereIsEvenIfThatIsNothing) {
  for (const Kind kind : {Kind::lines, Kind::cumulative, Kind::bars}) {
    Chart empty{.title = "Nothing", .kind = kind};
    EXPECT_NE(to_svg(empty).find("Nothing"), std::string::npos);
    empty.series.push_back({"one", {}});
    empty.series.push_back({"same", {{5, 5}}});
    EXPECT_EQ(count(to_svg(empty), "</svg>"), 1u);
  }
}

TEST(Chart, HugeValuesStayInTheFrame) {
  Chart c{.title = "Huge"};
  c.series.push_back({"a", {{0, 0}, {INT64_MAX / 2, INT64_MAX / 2}}});
  EXPECT_NE(to_svg(c).find("740,40\""), std::string::npos) << to_svg(c);
}

TEST(Chart, TooManyPointsAreThinnedAndTheLastIsKept) {
  Chart c{.title = "Long"};
  c.series.push_back({"a", {}});
  for (int64_t i = 0; i <= 100'000; i++) c.series[0].points.push_back({i, i % 7});
  const std::string svg = to_svg(c);
  EXPECT_LE(count(svg, ","), Chart::kMostPoints + 2);
  EXPECT_EQ(count(svg, " 740,"), 1u);
}

TEST(Chart, MarksStandWhereTheirValueIsAndInTheFrame) {
  Chart c{.title = "Marked", .x = {.name = "ms", .from = 0}};
  c.series.push_back({"a", {{0, 0}, {50, 10}}});
  c.marks = {{Mark::Across::x, "bound", 100}, {Mark::Across::y, "most", 20}};
  const std::string svg = to_svg(c);
  // The frame is 70 to 740 by 370 to 40, and holds the marks: the line ends in its middle.
  EXPECT_NE(svg.find("points=\"70,370 405,205\""), std::string::npos) << svg;
  EXPECT_NE(svg.find("<line x1=\"740\" y1=\"40\" x2=\"740\" y2=\"370\" stroke=\"#555555\""), std::string::npos) << svg;
  EXPECT_NE(svg.find("<line x1=\"70\" y1=\"40\" x2=\"740\" y2=\"40\" stroke=\"#555555\""), std::string::npos) << svg;
  EXPECT_EQ(count(svg, ">bound</text>") + count(svg, ">most</text>"), 2u);
}

TEST(Chart, ADashedSeriesIsDashedInTheLegendToo) {
  Chart c{.title = "Dashes"};
  c.series = {{"a", {{0, 0}, {1, 1}}}, {"b", {{0, 0}, {1, 1}}, true}};
  EXPECT_EQ(count(to_svg(c), "stroke=\"#d55e00\" stroke-width=\"2\" stroke-dasharray"), 2u);
  EXPECT_EQ(count(to_svg(c), "stroke-dasharray"), 2u);
}

TEST(Chart, ALegendHasRoomForItsNames) {
  Chart c{.title = "Names"};
  c.series = {{"a", {{0, 0}, {1, 1}}}, {std::string(40, 'n'), {{0, 0}, {1, 1}}}};
  EXPECT_NE(to_svg(c).find("<text x=\"460\""), std::string::npos) << to_svg(c);  // the frame ends at 760 - 20 - 47 - 40 * 7 = 413, and a line of 32 follows
}

TEST(Chart, MoreSeriesThanColoursHaveDashes) {
  Chart c{.title = "Many"};
  for (size_t i = 0; i < Chart::kMostSeries; i++) c.series.push_back({"s", {{0, 0}, {1, static_cast<int64_t>(i)}}});
  EXPECT_GT(count(to_svg(c), "stroke-dasharray"), 0u);
  c.series.push_back({"one too many", {}});
  EXPECT_DEATH((void)to_svg(c), "kMostSeries");
}

}  // namespace
}  // namespace macrovpn::sim::plot
