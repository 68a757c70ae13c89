// IntroductionSide's guesses (core/discovery/port_guess.h).  Both sides have said to the introducer that they are free for one, REGISTER and CONNECT say
// it, INTRODUCE tells the other: a popular relay behind a hard NAT is in one guess, not shot at by all who want it.  Free is who has none now, had none
// for a minute, and none with that relay for an hour.  Until then, and if nothing comes of it, the legs stay spliced.
#include <algorithm>

#include "core/node/introduction_side.h"

namespace macrovpn::node {

using discovery::PortGuess;
using discovery::PunchMessage;

bool IntroductionSide::is_guessing() const {
  return std::any_of(punches_.begin(), punches_.end(), [](const auto& p) { return p.second.plan != GuessSide::none; });
}

GuessSide IntroductionSide::free_part(Now now) const {
  const bool has_room = part_.side != GuessSide::hard || std::min(part_.sockets, sockets_.room()) >= discovery::kFewestGuessSockets;
  return is_guessing() || now.mono < next_guess_ || !has_room || guessed_.size() >= kMaxGuessedPairs ? GuessSide::none : part_.side;
}

GuessSide IntroductionSide::part_with(Now now, const PeerId& other) const {
  const auto it = guessed_.find(other);
  return it != guessed_.end() && now.mono < it->second + kGuessAgain ? GuessSide::none : free_part(now);
}

// Introducers of ours tell others.
void IntroductionSide::say_part_anew(Now now) {
  for (Home& h : homes_) {
    if (h.registered && h.until == kNever) h.again_at = now.mono;
  }
}

void IntroductionSide::start_guess(Now now, const discovery::PunchNonce& nonce, Active& a) {
  next_guess_ = now.mono + kGuessPause;
  guessed_[a.other] = now.mono;
  if (a.plan == GuessSide::hard) a.sockets = sockets_.open(now.mono, a.other, a.told, std::min(part_.sockets, discovery::kGuessSockets));
  if (a.plan == GuessSide::hard && a.sockets.empty()) return;
  counters_.guesses++;
  a.guess.emplace(now.mono, a.plan, a.told, a.sockets.size(), s_.rng);
  advance_guess(now, nonce, a);
}

void IntroductionSide::advance_guess(Now now, const discovery::PunchNonce& nonce, Active& a) {
  for (const PortGuess::Shot& s : a.guess->on_deadline(now.mono)) {
    const SocketId by = a.plan == GuessSide::hard ? a.sockets[s.socket] : kListenSocket;
    send_punch(now, a, nonce, {by, s.to, s.kind, s.kind == PunchMessage::Kind::probe ? discovery::kLargestPunch : discovery::kPunchSize});
  }
  if (a.guess->state() != PortGuess::State::failed) return;
  counters_.guess_failed++;
  close_but(a, std::nullopt);
}

void IntroductionSide::on_guess(Now now, const discovery::PunchNonce& nonce, Active& a, const Datagram& d, PunchMessage::Kind kind) {
  size_t socket = 0;
  if (a.plan == GuessSide::hard) {
    const auto at = std::find(a.sockets.begin(), a.sockets.end(), d.socket);
    if (at == a.sockets.end()) return;
    socket = static_cast<size_t>(at - a.sockets.begin());
  } else if (d.socket != kListenSocket) {
    return;
  }
  const auto before = a.guess->state();
  if (a.guess->on_message(now.mono, socket, d.remote, kind)) send_punch(now, a, nonce, {d.socket, d.remote, PunchMessage::Kind::answer, d.packet.size()});
  if (before != PortGuess::State::trying || a.guess->state() != PortGuess::State::through) return;
  const auto winner = a.plan == GuessSide::hard ? std::optional(d.socket) : std::nullopt;
  close_but(a, winner);
  opened(now, a, {d.remote, winner, kGuessedLife});
}

void IntroductionSide::close_but(Active& a, std::optional<SocketId> winner) {
  for (const SocketId s : a.sockets) {
    if (s != winner) sockets_.close(s);
  }
}

}  // namespace macrovpn::node
