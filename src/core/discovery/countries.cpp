#include "core/discovery/countries.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numbers>
#include <string_view>

namespace macrovpn::discovery {
namespace {

struct Row {
  char code[3];
  int16_t latitude, longitude;
  uint16_t reach_km;
};

// By code.  Distances were estimated from an atlas's coordinates and rounded up; islands that share the code count.
constexpr Row kRows[] = {
    {"AD", 42, 2, 50}, {"AE", 24, 54, 350}, {"AF", 34, 66, 800}, {"AL", 41, 20, 200}, {"AM", 40, 45, 200},
    {"AO", -12, 18, 1000}, {"AR", -38, -64, 2100}, {"AT", 47, 14, 350}, {"AU", -25, 134, 2600}, {"AZ", 40, 48, 300},
    {"BA", 44, 18, 200}, {"BD", 24, 90, 450}, {"BE", 51, 5, 200}, {"BF", 12, -2, 500}, {"BG", 43, 25, 350},
    {"BH", 26, 51, 100}, {"BI", -3, 30, 200}, {"BJ", 9, 2, 450}, {"BN", 5, 115, 120}, {"BO", -17, -65, 950},
    {"BR", -11, -53, 2700}, {"BS", 24, -76, 550}, {"BT", 27, 90, 250}, {"BW", -22, 24, 600}, {"BY", 53, 28, 400},
    {"BZ", 17, -89, 200}, {"CA", 60, -96, 3400}, {"CD", -3, 24, 1300}, {"CF", 7, 21, 800}, {"CG", -1, 15, 650},
    {"CH", 47, 8, 250}, {"CI", 8, -6, 450}, {"CL", -36, -71, 4000}, {"CM", 6, 13, 800}, {"CN", 36, 104, 2900},
    {"CO", 4, -73, 1300}, {"CR", 10, -84, 700}, {"CU", 22, -79, 650}, {"CV", 16, -24, 250}, {"CY", 35, 33, 150},
    {"CZ", 50, 15, 350}, {"DE", 51, 10, 550}, {"DJ", 12, 43, 200}, {"DK", 56, 10, 450}, {"DO", 19, -71, 300},
    {"DZ", 28, 3, 1300}, {"EC", -2, -78, 1500}, {"EE", 59, 26, 300}, {"EG", 27, 30, 900}, {"ER", 15, 39, 500},
    {"ES", 40, -4, 2100}, {"ET", 9, 40, 900}, {"FI", 64, 26, 800}, {"FR", 46, 2, 700}, {"GA", -1, 12, 450},
    {"GB", 54, -3, 900}, {"GE", 42, 43, 350}, {"GH", 8, -1, 450}, {"GN", 10, -11, 500}, {"GR", 39, 23, 600},
    {"GT", 16, -90, 350}, {"GY", 5, -59, 450}, {"HK", 22, 114, 60}, {"HN", 15, -87, 400}, {"HR", 45, 16, 350},
    {"HT", 19, -73, 250}, {"HU", 47, 19, 350}, {"ID", -2, 118, 3000}, {"IE", 53, -8, 300}, {"IL", 31, 35, 350},
    {"IN", 22, 79, 2200}, {"IQ", 33, 44, 650}, {"IR", 32, 54, 1300}, {"IS", 65, -19, 350}, {"IT", 42, 12, 850},
    {"JM", 18, -77, 200}, {"JO", 31, 37, 350}, {"JP", 36, 138, 2300}, {"KE", 0, 38, 750}, {"KG", 41, 75, 600},
    {"KH", 13, 105, 400}, {"KP", 40, 127, 450}, {"KR", 36, 128, 450}, {"KW", 29, 48, 200}, {"KZ", 48, 67, 1700},
    {"LA", 18, 104, 700}, {"LB", 34, 36, 150}, {"LI", 47, 10, 50}, {"LK", 8, 81, 300}, {"LR", 6, -9, 350},
    {"LS", -30, 28, 200}, {"LT", 55, 24, 300}, {"LU", 50, 6, 100}, {"LV", 57, 25, 300}, {"LY", 27, 17, 1200},
    {"MA", 32, -6, 1400}, {"MC", 44, 7, 50}, {"MD", 47, 29, 250}, {"ME", 43, 19, 150}, {"MG", -19, 47, 950},
    {"MK", 42, 22, 150}, {"ML", 17, -4, 1200}, {"MM", 21, 96, 1400}, {"MN", 47, 104, 1400}, {"MO", 22, 114, 50},
    {"MR", 20, -10, 950}, {"MT", 36, 14, 60}, {"MU", -20, 58, 800}, {"MV", 3, 73, 550}, {"MW", -13, 34, 550},
    {"MX", 24, -102, 2200}, {"MY", 4, 109, 1200}, {"MZ", -17, 36, 1300}, {"NA", -22, 17, 950}, {"NE", 17, 9, 1000},
    {"NG", 9, 8, 850}, {"NI", 13, -85, 400}, {"NL", 52, 6, 250}, {"NO", 65, 14, 1300}, {"NP", 28, 84, 550},
    {"NZ", -41, 173, 1700}, {"OM", 21, 56, 700}, {"PA", 9, -80, 450}, {"PE", -10, -75, 1400}, {"PG", -6, 147, 1100},
    {"PH", 12, 123, 1200}, {"PK", 30, 70, 1100}, {"PL", 52, 19, 500}, {"PR", 18, -66, 150}, {"PS", 32, 35, 150},
    {"PT", 39, -8, 2200}, {"PY", -23, -58, 700}, {"QA", 25, 51, 150}, {"RO", 46, 25, 450}, {"RS", 44, 21, 350},
    {"RU", 62, 95, 4700}, {"RW", -2, 30, 200}, {"SA", 24, 45, 1400}, {"SD", 16, 30, 1200}, {"SE", 62, 16, 900},
    {"SG", 1, 104, 60}, {"SI", 46, 15, 200}, {"SK", 49, 19, 300}, {"SL", 8, -12, 300}, {"SM", 44, 12, 50},
    {"SN", 14, -14, 500}, {"SO", 6, 46, 1000}, {"SS", 7, 30, 800}, {"SV", 14, -89, 200}, {"SY", 35, 38, 500},
    {"TD", 15, 19, 1100}, {"TG", 9, 1, 400}, {"TH", 15, 101, 1100}, {"TJ", 39, 71, 500}, {"TM", 39, 59, 750},
    {"TN", 34, 10, 500}, {"TR", 39, 35, 1000}, {"TT", 11, -61, 150}, {"TW", 24, 121, 500}, {"TZ", -6, 35, 850},
    {"UA", 49, 31, 950}, {"UG", 1, 32, 450}, {"US", 40, -98, 6800}, {"UY", -33, -56, 400}, {"UZ", 42, 64, 950},
    {"VE", 7, -66, 1000}, {"VN", 16, 106, 1200}, {"XK", 43, 21, 150}, {"YE", 16, 48, 900}, {"ZA", -29, 25, 2400},
    {"ZM", -14, 28, 900}, {"ZW", -19, 30, 600},
};

constexpr double kEarthKm = 6371;
constexpr double kRounding = 80;  // of two centres to whole degrees

double radians(int degrees) { return degrees * std::numbers::pi / 180; }

// Great circle (haversine).
double km_between(const Country& a, const Country& b) {
  const double dy = radians(a.latitude - b.latitude) / 2, dx = radians(a.longitude - b.longitude) / 2;
  const double h = std::pow(std::sin(dy), 2) + std::cos(radians(a.latitude)) * std::cos(radians(b.latitude)) * std::pow(std::sin(dx), 2);
  return 2 * kEarthKm * std::asin(std::min(1.0, std::sqrt(h)));
}

}  // namespace

std::optional<Country> country_of(Region r) {
  const char code[3] = {static_cast<char>(r.code[0]), static_cast<char>(r.code[1]), 0};
  const std::string_view wanted(code);
  const auto at = std::lower_bound(std::begin(kRows), std::end(kRows), wanted, [](const Row& row, std::string_view c) { return row.code < c; });
  if (at == std::end(kRows) || wanted != at->code) return std::nullopt;
  return Country{r, at->latitude, at->longitude, at->reach_km};
}

double least_km_between(const Country& a, const Country& b) {
  if (a.code == b.code) return 0;
  return std::max(0.0, km_between(a, b) - a.reach_km - b.reach_km - kRounding);
}

}  // namespace macrovpn::discovery
