#include "core/discovery/port_guess.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace macrovpn::discovery {
namespace {

constexpr Duration kStep = 10ms;
constexpr size_t kMostAtOnce = 12;  // after a pause of the caller's, no burst makes up for it
// The hard side: 8 of its sockets each 20 ms, all within half a second; once more later, since datagrams are lost.
constexpr size_t kSocketsAtOnce = 8;
constexpr Duration kSocketsStep = 20ms, kSecondWave = 3s;
constexpr Duration kRepeat = 120ms;

}  // namespace

PortGuess::PortGuess(Mono now, GuessSide side, const Endpoint& other, size_t sockets, Rng& rng)
    : side_(side), other_(other), sockets_(sockets), rng_(rng), began_(now), next_(now), end_(now + kGuessTime) {
  MV_ASSERT(side != GuessSide::none && (side == GuessSide::easy || sockets > 0));
}

bool PortGuess::on_message(Mono now, size_t socket, const Endpoint& from, PunchMessage::Kind kind) {
  const bool is_its = side_ == GuessSide::hard ? from == other_ : from.address == other_.address;
  if (over(now) || !is_its || state_ == State::failed) return false;
  const bool probe = kind == PunchMessage::Kind::probe;
  if (state_ == State::through) return probe && socket == socket_ && from == path_ && ++answers_ <= kMaxPunchAnswers;
  if (side_ == GuessSide::easy && probe) return ++answers_ <= kMaxPunchAnswers;  // of a socket that may not be the one: it will say
  state_ = State::through;
  path_ = from;
  socket_ = socket;
  ports_ = {};
  next_ = now + kRepeat;
  return side_ == GuessSide::hard;
}

std::vector<PortGuess::Shot> PortGuess::on_deadline(Mono now) {
  std::vector<Shot> out;
  if (state_ == State::trying && over(now)) state_ = State::failed;
  if (state_ == State::failed || over(now) || now < next_) return out;
  side_ == GuessSide::hard ? shoot_hard(now, out) : shoot_easy(now, out);
  return out;
}

void PortGuess::shoot_hard(Mono now, std::vector<Shot>& out) {
  if (state_ == State::through) {
    if (repeats_ == kChosenRepeats) return;
    repeats_++;
    next_ = now + kRepeat;
    out.push_back({socket_, path_, PunchMessage::Kind::answer});
    return;
  }
  const size_t wave = shots_ / sockets_, wave_end = (wave + 1) * sockets_;
  for (size_t i = 0; i < kSocketsAtOnce && shots_ < wave_end; i++) out.push_back({shots_++ % sockets_, other_, PunchMessage::Kind::probe});
  next_ = shots_ < wave_end ? now + kSocketsStep : wave == 0 ? began_ + kSecondWave : end_;  // two of them
}

void PortGuess::shoot_easy(Mono now, std::vector<Shot>& out) {
  if (state_ == State::through) return;
  const auto due = std::min(static_cast<size_t>((now - began_) / 1us) * kGuessesPerSecond / 1'000'000 + 1, kMaxGuesses);
  for (size_t i = 0; i < kMostAtOnce && shots_ < due; i++, shots_++) out.push_back({0, {other_.address, next_port()}, PunchMessage::Kind::probe});
  next_ = shots_ == kMaxGuesses ? end_ : now + kStep;
}

uint16_t PortGuess::next_port() {
  if (ports_.empty()) {
    for (uint32_t p = kLowestGuess; p <= 65'535; p++) ports_.push_back(static_cast<uint16_t>(p));
  }
  std::swap(ports_[shots_], ports_[shots_ + rng_.below(ports_.size() - shots_)]);
  return ports_[shots_];
}

Mono PortGuess::next_deadline() const {
  const bool quiet = state_ == State::failed || (state_ == State::through && (side_ == GuessSide::easy || repeats_ == kChosenRepeats));
  return quiet ? end_ : std::min(next_, end_);
}

}  // namespace macrovpn::discovery
