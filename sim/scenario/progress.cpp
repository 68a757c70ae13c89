#include "sim/scenario/progress.h"

#include <unistd.h>

#include <cstdio>

#include "sim/world/world.h"

namespace macrovpn::sim {
namespace {

constexpr std::chrono::milliseconds kQuiet{3'000}, kAtATerminal{500}, kElsewhere{60'000};

// 75 s: "1:15".
std::string minutes(double seconds) {
  char text[32];
  const auto s = static_cast<unsigned long>(seconds);
  std::snprintf(text, sizeof text, "%lu:%02lu", s / 60, s % 60);
  return text;
}

}  // namespace

Progress::Progress(Duration lasts) : lasts_(lasts), terminal_(isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  if (line_) std::fputs("\r\033[K", stderr);
}

void Progress::each_second(World& w) {
  const Clock::time_point now = Clock::now();
  if (now - began_ < kQuiet || now - told_ < (terminal_ ? kAtATerminal : kElsewhere)) return;
  const double wall = std::chrono::duration<double>(now - began_).count();
  const double rate = static_cast<double>(w.counters().events - events_) / std::chrono::duration<double>(now - told_).count();
  const double done = std::chrono::duration<double>(w.elapsed()).count(), all = std::chrono::duration<double>(lasts_).count();
  std::fprintf(stderr, "%ssimulate: %s of %s of virtual time in %s, about %s left, %.0f events a second%s", terminal_ ? "\r\033[K" : "",
               minutes(done).c_str(), minutes(all).c_str(), minutes(wall).c_str(), minutes(wall * (all - done) / done).c_str(), rate,
               terminal_ ? "" : "\n");
  std::fflush(stderr);
  line_ = terminal_;
  told_ = now;
  events_ = w.counters().events;
}

}  // namespace macrovpn::sim
