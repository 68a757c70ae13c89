#include "sim/net/geography.h"

#include <gtest/gtest.h>

#include <map>

#include "sim/net/access.h"

namespace macrovpn::sim {
namespace {

Place place(size_t i) {
  return static_cast<Place>(i);
}

// Great circles between the table's coordinates on a sphere of 6371 km, worked out apart from this code.
TEST(Geography, KnowsGreatCircles) {
  struct Row {
    Place a, b;
    int kilometres;
  };
  for (const Row& row : {Row{Place::london, Place::new_york, 5570}, Row{Place::frankfurt, Place::singapore, 10258},
                         Row{Place::sydney, Place::san_francisco, 11947}, Row{Place::lagos, Place::sao_paulo, 6374},
                         Row{Place::frankfurt, Place::london, 638}, Row{Place::tokyo, Place::johannesburg, 13539}})
    EXPECT_NEAR(static_cast<int>(kilometres(row.a, row.b)), row.kilometres, 1);
}

TEST(Geography, TimesAreThoseOfLightInGlassOnALongerWay) {
  // 5570 km · 1.5 · 5.003 µs + 300 µs
  EXPECT_NEAR(static_cast<int>(latency(Place::london, Place::new_york) / 1us), 42'100, 50);
  EXPECT_EQ(latency(Place::tokyo, Place::tokyo), kAtTheEnds);
}

TEST(Geography, IsTheSameBothWaysAndADetourIsNeverShorter) {
  for (size_t i = 0; i < kPlaces; i++)
    for (size_t j = 0; j < kPlaces; j++) {
      EXPECT_EQ(latency(place(i), place(j)), latency(place(j), place(i)));
      for (size_t k = 0; k < kPlaces; k++)
        EXPECT_LE(latency(place(i), place(j)), latency(place(i), place(k)) + latency(place(k), place(j)));
    }
}

TEST(Geography, DrawsPlacesByTheirWeight) {
  SeededRng random(1);
  std::map<Place, int> drawn;
  uint32_t total = 0;
  for (int i = 0; i < 100'000; i++) drawn[draw_place(random)]++;
  for (size_t i = 0; i < kPlaces; i++) {
    total += facts(place(i)).weight;
    EXPECT_NEAR(drawn[place(i)], static_cast<int>(facts(place(i)).weight) * 100, 600);
  }
  EXPECT_EQ(total, 1000u);
}

TEST(Geography, FindsPlacesAndLinesByName) {
  for (size_t i = 0; i < kPlaces; i++) EXPECT_EQ(place_named(facts(place(i)).name), place(i));
  EXPECT_FALSE(place_named("atlantis"));
  for (size_t i = 0; i < static_cast<size_t>(Access::kCount); i++)
    EXPECT_EQ(access_named(to_string(static_cast<Access>(i))), static_cast<Access>(i));
  EXPECT_FALSE(access_named("pigeon"));
}

TEST(Access, ALineHoldsTheQueueThatItSays) {
  const LinkModel up = uplink(Access::cable);
  EXPECT_EQ(up.rate, megabits(15));
  EXPECT_EQ(up.queue, 375'000u);  // 200 ms
  EXPECT_GT(downlink(Access::cable).rate, up.rate);
  EXPECT_GT(uplink(Access::satellite).latency, 239ms);  // light alone needs that
}

}  // namespace
}  // namespace macrovpn::sim
