// netlab-capture: records interfaces into pcap files.
//
//   netlab-capture SNAP_LENGTH RING_MIB INTERFACE=FILE...
//
// tcpdump gives up its user id and so fails in a namespace that has only one; this does not. Prints "ready" once every
// interface is recorded. On SIGTERM or SIGINT it writes what is left and prints a JSON line a file:
//   {"interface":"eth0","frames":12,"drops":0}
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <charconv>
#include <iostream>
#include <string_view>
#include <vector>

#include "tap.h"

namespace netlab {
namespace {

// A descriptor that becomes readable when we are asked to end.
int watch_for_the_end() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  return signalfd(-1, &signals, SFD_CLOEXEC);
}

void record(std::vector<Tap>& taps, int end) {
  std::vector<pollfd> watched{{end, POLLIN, 0}};
  for (const Tap& tap : taps) watched.push_back({tap.descriptor(), POLLIN, 0});
  while (watched[0].revents == 0) {
    poll(watched.data(), watched.size(), -1);
    for (Tap& tap : taps) tap.drain();
  }
  // Frames seen before the signal may sit in blocks that the kernel hands over only when their time is up.
  for (int turn = 0; turn < 3; ++turn) {
    usleep(Tap::kHandoverMilliseconds * 1000);
    for (Tap& tap : taps) tap.drain();
  }
}

void report(std::vector<Tap>& taps) {
  for (Tap& tap : taps) {
    const Tap::Totals totals = tap.totals();
    std::cout << "{\"interface\":\"" << tap.interface() << "\",\"frames\":" << totals.frames
              << ",\"drops\":" << totals.drops << "}" << std::endl;
  }
}

int usage() {
  std::cerr << "usage: netlab-capture SNAP_LENGTH RING_MIB INTERFACE=FILE...\n";
  return 2;
}

bool parse(std::string_view text, std::uint32_t& number) {
  return std::from_chars(text.data(), text.data() + text.size(), number).ec == std::errc{} && number > 0;
}

int run(const std::vector<std::string>& arguments) {
  Tap::Options options{};
  if (arguments.size() < 3 || !parse(arguments[0], options.snap_length) || !parse(arguments[1], options.ring_mib))
    return usage();
  const int end = watch_for_the_end();
  std::vector<Tap> taps;
  for (std::size_t i = 2; i < arguments.size(); ++i) {
    const auto equals = arguments[i].find('=');
    if (equals == std::string::npos) return usage();
    taps.emplace_back(arguments[i].substr(0, equals), arguments[i].substr(equals + 1), options);
  }
  std::cout << "ready" << std::endl;
  record(taps, end);
  report(taps);
  return 0;
}

}  // namespace
}  // namespace netlab

int main(int argc, char** argv) {
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  return netlab::run({argv + 1, argv + argc});
}
