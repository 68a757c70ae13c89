// Distances are haversines in fixed point.  Sine is its series in numbers of 2^-30; its inverse is found by halving an interval, 31
// times for each pair, which the compiler does.
#include "sim/net/geography.h"


namespace macrovpn::sim {
namespace {

constexpr std::array<PlaceFacts, kPlaces> kFacts{{
    {"frankfurt", {'D', 'E'}, 5011, 868, 160},
    {"london", {'G', 'B'}, 5151, -13, 120},
    {"warsaw", {'P', 'L'}, 5223, 2101, 70},
    {"new-york", {'U', 'S'}, 4071, -7401, 130},
    {"dallas", {'U', 'S'}, 3278, -9680, 80},
    {"san-francisco", {'U', 'S'}, 3777, -12242, 90},
    {"sao-paulo", {'B', 'R'}, -2355, -4663, 70},
    {"johannesburg", {'Z', 'A'}, -2620, 2805, 30},
    {"lagos", {'N', 'G'}, 652, 338, 30},
    {"mumbai", {'I', 'N'}, 1908, 7288, 80},
    {"singapore", {'S', 'G'}, 135, 10382, 50},
    {"tokyo", {'J', 'P'}, 3568, 13969, 60},
    {"sydney", {'A', 'U'}, -3387, 15121, 30},
}};

constexpr int64_t kOne = int64_t{1} << 30;
constexpr int64_t kQuarterTurn = 1'686'629'713;      // pi / 2
constexpr int64_t kHundredthOfDegree = 187'403'301;  // times 1000
constexpr int64_t kEarthRadius = 6'371'000;          // metres
constexpr int64_t kPicosecondsPerMetre = 5'003;      // in glass

constexpr int64_t times(int64_t a, int64_t b) {
  return a * b / kOne;
}
constexpr int64_t radians(int32_t hundredths) {
  return hundredths * kHundredthOfDegree / 1000;
}
// For |x| <= pi.
constexpr int64_t sine(int64_t x) {
  if (x > kQuarterTurn) x = 2 * kQuarterTurn - x;
  if (x < -kQuarterTurn) x = -2 * kQuarterTurn - x;
  const int64_t square = times(x, x);
  int64_t sum = 0, term = x;
  for (int64_t k = 2; term != 0 && k < 24; k += 2) {
    sum += term;
    term = -times(term, square) / (k * (k + 1));
  }
  return sum;
}
constexpr int64_t cosine(int64_t x) {
  return sine(kQuarterTurn - (x < 0 ? -x : x));
}
// Of the half angle between two places.
constexpr int64_t haversine(const PlaceFacts& a, const PlaceFacts& b) {
  const int64_t north = sine(radians(a.latitude - b.latitude) / 2), east = sine(radians(a.longitude - b.longitude) / 2);
  return times(north, north) + times(times(cosine(radians(a.latitude)), cosine(radians(b.latitude))), times(east, east));
}
constexpr int64_t metres_between(const PlaceFacts& a, const PlaceFacts& b) {
  const int64_t wanted = haversine(a, b);
  int64_t low = 0, high = kQuarterTurn;
  while (low < high) {
    const int64_t middle = (low + high) / 2, s = sine(middle);
    if (times(s, s) < wanted) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return times(2 * low, kEarthRadius);
}

using Matrix = std::array<std::array<int64_t, kPlaces>, kPlaces>;
constexpr Matrix matrix_of_metres() {
  Matrix out{};
  for (size_t i = 0; i < kPlaces; i++)
    for (size_t j = 0; j < i; j++) out[i][j] = out[j][i] = metres_between(kFacts[i], kFacts[j]);
  return out;
}
constexpr Matrix kMetres = matrix_of_metres();

constexpr Matrix matrix_of_microseconds() {
  Matrix out{};
  for (size_t i = 0; i < kPlaces; i++)
    for (size_t j = 0; j < kPlaces; j++)
      out[i][j] = kAtTheEnds / 1us + kMetres[i][j] * kPicosecondsPerMetre / 1'000'000 * kRouteFactor / 1000;
  return out;
}
constexpr Matrix kMicroseconds = matrix_of_microseconds();

constexpr size_t index(Place p) {
  return static_cast<size_t>(p);
}

}  // namespace

const PlaceFacts& facts(Place p) {
  MV_ASSERT(p < Place::kCount);
  return kFacts[index(p)];
}

std::optional<Place> place_named(std::string_view name) {
  for (size_t i = 0; i < kPlaces; i++)
    if (kFacts[i].name == name) return static_cast<Place>(i);
  return std::nullopt;
}

Region region_of(Place p) {
  return {facts(p).country};
}

Place draw_place(Rng& random) {
  uint64_t total = 0;
  for (const PlaceFacts& f : kFacts) total += f.weight;
  uint64_t drawn = random.below(total);
  for (size_t i = 0; i < kPlaces; i++) {
    if (drawn < kFacts[i].weight) return static_cast<Place>(i);
    drawn -= kFacts[i].weight;
  }
  return Place::frankfurt;
}

uint32_t kilometres(Place a, Place b) {
  return static_cast<uint32_t>((kMetres[index(a)][index(b)] + 500) / 1000);
}

Duration latency(Place a, Place b) {
  return std::chrono::microseconds(kMicroseconds[index(a)][index(b)]);
}

}  // namespace macrovpn::sim
