#include "shell/config/quantities.h"

#include <charconv>
#include <cstdio>
#include <utility>

namespace macrovpn::shell {
namespace {

using Unit = std::pair<std::string_view, uint64_t>;

// The number in front, times the unit behind it, divided by `part`.
template <size_t N>
std::optional<uint64_t> parse_with_unit(std::string_view s, const Unit (&units)[N], uint64_t part, uint64_t most) {
  uint64_t n = 0;
  const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), n);
  if (error != std::errc{} || n == 0) return std::nullopt;
  std::string_view unit = s.substr(static_cast<size_t>(end - s.data()));
  while (!unit.empty() && unit.front() == ' ') unit.remove_prefix(1);
  for (const auto& [name, size] : units) {
    if (unit == name && n <= most / size) return n * size / part;
  }
  return std::nullopt;
}

std::optional<uint16_t> parse_time(std::string_view s) {
  if (s.size() != 5 || s[2] != ':') return std::nullopt;
  for (const size_t i : {0, 1, 3, 4}) {
    if (s[i] < '0' || s[i] > '9') return std::nullopt;
  }
  const int hour = (s[0] - '0') * 10 + s[1] - '0', minute = (s[3] - '0') * 10 + s[4] - '0';
  if (hour > 23 || minute > 59) return std::nullopt;
  return static_cast<uint16_t>(hour * 60 + minute);
}

}  // namespace

std::optional<Bandwidth> parse_bandwidth(std::string_view s) {
  constexpr Unit kUnits[] = {{"", 8},
                             {"B/s", 8},
                             {"kB/s", 8'000},
                             {"MB/s", 8'000'000},
                             {"GB/s", 8'000'000'000},
                             {"kbit/s", 1'000},
                             {"Mbit/s", 1'000'000},
                             {"Gbit/s", 1'000'000'000}};
  const auto bytes = parse_with_unit(s, kUnits, 8, 8'000'000'000'000);
  return bytes && *bytes != 0 ? std::optional(Bandwidth{*bytes}) : std::nullopt;
}

std::optional<Duration> parse_duration(std::string_view s) {
  constexpr Unit kUnits[] = {{"", 1}, {"s", 1}, {"min", 60}, {"m", 60}, {"h", 3600}, {"d", 86'400}};
  const auto seconds = parse_with_unit(s, kUnits, 1, 366 * 86'400);
  return seconds ? std::optional<Duration>(std::chrono::seconds(*seconds)) : std::nullopt;
}

std::optional<uint64_t> parse_amount(std::string_view s) {
  constexpr Unit kUnits[] = {{"", 1},
                             {"B", 1},
                             {"kB", 1'000},
                             {"MB", 1'000'000},
                             {"GB", 1'000'000'000},
                             {"TB", 1'000'000'000'000},
                             {"KiB", 1 << 10},
                             {"MiB", 1 << 20},
                             {"GiB", 1 << 30},
                             {"TiB", uint64_t{1} << 40}};
  return parse_with_unit(s, kUnits, 1, 1'000'000'000'000'000'000);
}

std::optional<peers::Hours> parse_hours(std::string_view s) {
  if (s.size() != 11 || s[5] != '-') return std::nullopt;
  const auto from = parse_time(s.substr(0, 5)), until = parse_time(s.substr(6));
  if (!from || !until || *from == *until) return std::nullopt;
  return peers::Hours{*from, *until};
}

std::string amount_text(uint64_t bytes) {
  constexpr const char* kNames[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  double n = static_cast<double>(bytes);
  size_t unit = 0;
  for (; n >= 1000 && unit + 1 < std::size(kNames); unit++) n /= 1000;
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.1f %s", n, kNames[unit]);
  return text;
}

}  // namespace macrovpn::shell
