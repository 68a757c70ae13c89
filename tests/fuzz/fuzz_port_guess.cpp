// Both sides of a guess under any messages from anywhere at any time: it stays within its bounds, sends to the one address alone, and ends.
#include <map>

#include "core/discovery/port_guess.h"

using namespace macrovpn;
using namespace macrovpn::discovery;

namespace {

const Endpoint kOther = *Endpoint::parse("203.0.113.1:51820");

void check(const PortGuess& g, size_t sockets, const std::vector<PortGuess::Shot>& shots, size_t& sent) {
  for (const auto& s : shots) {
    MV_ASSERT(s.to.address == kOther.address && (g.side() == GuessSide::hard ? s.to == kOther && s.socket < sockets : s.to.port >= kLowestGuess));
  }
  sent += shots.size();
  MV_ASSERT(sent <= (g.side() == GuessSide::hard ? 2 * sockets + kChosenRepeats : kMaxGuesses));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Reader r(Bytes(data, size));
  const GuessSide side = r.u8() % 2 == 0 ? GuessSide::hard : GuessSide::easy;
  const size_t sockets = 1 + r.u8() % kGuessSockets;
  SeededRng rng(1);
  Mono now{100s};
  const Mono end = now + kGuessTime;
  PortGuess g(now, side, kOther, sockets, rng);
  size_t sent = 0, answered = 0;
  while (r.left() >= 5) {
    now += std::chrono::milliseconds(r.u8());
    const uint8_t what = r.u8();
    const uint16_t port = r.le16();
    const size_t socket = r.u8() % sockets;
    if (what % 4 == 0) {
      check(g, sockets, g.on_deadline(now), sent);
    } else {
      const IpAddress from = what & 4 ? kOther.address : IpAddress::v4({192, 0, 2, 1});
      const Endpoint at{from, what & 8 ? kOther.port : port};
      const auto before = g.state();
      answered += g.on_message(now, socket, at, what & 16 ? PunchMessage::Kind::probe : PunchMessage::Kind::answer);
      if (before != g.state()) MV_ASSERT(g.state() == PortGuess::State::through && g.path().address == kOther.address && now < end);
    }
    MV_ASSERT(answered <= kMaxPunchAnswers + 1 && g.next_deadline() <= end);
  }
  check(g, sockets, g.on_deadline(end), sent);
  MV_ASSERT(g.state() != PortGuess::State::trying && g.on_deadline(end + 1s).empty() && !g.on_message(end, 0, kOther, PunchMessage::Kind::probe));
  return 0;
}
