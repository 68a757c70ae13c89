// netlab-shim: a wire between two interfaces, with delay, jitter, loss and rate, for kernels without netem.
//
//   netlab-shim SEED A B [COMMAND...]
//
// Carries every frame between interfaces A and B. Commands come as arguments, then as lines on standard input:
//   up KEY=VALUE...     settings of the direction A -> B        down ...    of B -> A        both ...    of both
//   stats               prints one JSON line
// Each line is answered by one line: "ok", the JSON, or "error: ...". "ready" is printed once frames flow. It ends when standard
// input ends, so a wire never outlives the program that drew it.
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <iostream>
#include <sstream>

#include "wire_end.h"

namespace netlab {
namespace {

Instant clock_now() { return std::chrono::steady_clock::now(); }

struct Line {
  Line(std::uint64_t seed, const std::string& a, const std::string& b) : up(seed), down(~seed), end_a(a), end_b(b) {}

  Wire up, down;
  WireEnd end_a, end_b;
};

std::string describe(const char* name, const Wire& wire, WireEnd& from, const WireEnd& to) {
  const WireCounts& counts = wire.counts();
  std::ostringstream out;
  out << '"' << name << "\":{\"frames\":" << counts.frames << ",\"bytes\":" << counts.bytes << ",\"lost\":" << counts.lost
      << ",\"queue_full\":" << counts.queue_full << ",\"oversized\":" << from.oversized()
      << ",\"kernel_drops\":" << from.dropped_by_kernel() << ",\"not_sent\":" << to.not_sent() << '}';
  return out.str();
}

std::string obey(Line& line, const std::string& command) {
  std::istringstream words(command);
  std::string verb, word;
  words >> verb;
  if (verb == "stats")
    return '{' + describe("up", line.up, line.end_a, line.end_b) + ',' +
           describe("down", line.down, line.end_b, line.end_a) + '}';
  const bool up = verb == "up" || verb == "both", down = verb == "down" || verb == "both";
  if (!up && !down) return "error: unknown command '" + verb + "'; say up, down, both or stats";
  while (words >> word) {
    auto wrong = up ? line.up.set(word) : std::nullopt;
    if (down && !wrong) wrong = line.down.set(word);
    if (wrong) return "error: " + *wrong;
  }
  return "ok";
}

// Reads what is there and obeys each whole line; false when standard input has ended.
bool obey_standard_input(Line& line, std::string& partial) {
  std::array<char, 4096> bytes;
  const ssize_t got = read(STDIN_FILENO, bytes.data(), bytes.size());
  if (got <= 0) return false;
  partial.append(bytes.data(), static_cast<std::size_t>(got));
  for (std::size_t end; (end = partial.find('\n')) != std::string::npos; partial.erase(0, end + 1))
    std::cout << obey(line, partial.substr(0, end)) << std::endl;
  return true;
}

// How long until a frame is due; nothing: until something arrives.
std::optional<timespec> time_to_sleep(const Line& line, Instant now) {
  auto due = line.up.next_due();
  const auto other = line.down.next_due();
  if (!due || (other && *other < *due)) due = other;
  if (!due) return std::nullopt;
  const Nanoseconds left = std::max(Nanoseconds(0), *due - now);
  return timespec{left.count() / 1'000'000'000, left.count() % 1'000'000'000};
}

void carry(Line& line) {
  std::array<pollfd, 3> watched{{{line.end_a.descriptor(), POLLIN, 0},
                                 {line.end_b.descriptor(), POLLIN, 0},
                                 {STDIN_FILENO, POLLIN, 0}}};
  std::string partial;
  for (;;) {
    const auto sleep = time_to_sleep(line, clock_now());
    ppoll(watched.data(), watched.size(), sleep ? &*sleep : nullptr, nullptr);
    if (watched[2].revents != 0 && !obey_standard_input(line, partial)) return;
    Instant now = clock_now();
    line.end_a.receive_into(line.up, now);
    line.end_b.receive_into(line.down, now);
    now = clock_now();
    line.end_b.send_from(line.up, now);
    line.end_a.send_from(line.down, now);
  }
}

// Wake-ups on time: no timer slack, and ahead of the programs under test where the machine allows it.
void ask_for_precision() {
  prctl(PR_SET_TIMERSLACK, 1UL);
  if (setpriority(PRIO_PROCESS, 0, -15) != 0) std::cerr << "netlab-shim: running at ordinary priority\n";
}

}  // namespace
}  // namespace netlab

int main(int argc, char** argv) {
  if (argc < 4) {
    std::cerr << "usage: netlab-shim SEED A B [\"up|down|both KEY=VALUE...\"]...\n";
    return 2;
  }
  netlab::ask_for_precision();
  netlab::Line line(std::strtoull(argv[1], nullptr, 10), argv[2], argv[3]);
  for (int i = 4; i < argc; ++i) {
    const std::string answer = netlab::obey(line, argv[i]);
    if (answer != "ok") {
      std::cerr << "netlab-shim: " << answer << '\n';
      return 2;
    }
  }
  std::cout << "ready" << std::endl;
  netlab::carry(line);
  return 0;
}
