#include "core/discovery/punch.h"

#include <algorithm>

namespace macrovpn::discovery {
namespace {

constexpr uint16_t kPunchType = 0x0013, kPunchAttribute = 0xc0f3;
constexpr uint16_t kAttributeSize = 40;
constexpr uint32_t kStunCookie = 0x2112a442;
// Quick at first: who answers does so within a round trip, and the first probe of the earlier side dies at the other's closed NAT.
constexpr Duration kQuick = 60ms, kSlow = 400ms;
constexpr size_t kQuickProbes = 12;

}  // namespace

std::optional<PunchMessage> read_punch(Bytes datagram) {
  Reader r(datagram);
  PunchMessage m;
  const bool head = r.be16() == kPunchType && r.be16() == kAttributeSize + 4 && r.be32() == kStunCookie;
  m.nonce = r.fixed<12>();
  const bool attribute = r.be16() == kPunchAttribute && r.be16() == kAttributeSize;
  const uint8_t kind = r.u8();
  const auto zeros = r.fixed<3>();
  m.from.bytes = r.fixed<20>();
  m.mac = r.fixed<16>();
  if (!r.ok() || !head || !attribute || kind > 1 || zeros != ByteArray<3>{}) return std::nullopt;
  m.kind = static_cast<PunchMessage::Kind>(kind);
  return m;
}

std::vector<uint8_t> write_punch(const PunchMessage& m) {
  std::vector<uint8_t> out;
  out.reserve(kPunchSize);
  Writer w(out);
  w.be16(kPunchType).be16(kAttributeSize + 4).be32(kStunCookie).bytes(m.nonce);
  w.be16(kPunchAttribute).be16(kAttributeSize).u8(static_cast<uint8_t>(m.kind)).zeros(3).bytes(m.from.bytes).bytes(m.mac);
  return out;
}

bool Punch::on_message(Mono now, const Endpoint& from, PunchMessage::Kind kind) {
  if (over(now)) return false;
  if (kind == PunchMessage::Kind::answer) {
    // Ours arrived, and what comes from there arrives here: both ways are open.  The first one stays.
    if (state_ == State::trying && std::find(targets_.begin(), targets_.end(), from) != targets_.end()) {
      state_ = State::through;
      path_ = from;
    }
    return false;
  }
  if (++answers_ > kMaxPunchAnswers) return false;
  const bool known = std::find(targets_.begin(), targets_.end(), from) != targets_.end();
  if (!known && targets_.size() < kMaxPunchTargets && state_ == State::trying) {
    targets_.push_back(from);
    next_ = now;
  }
  return true;
}

std::vector<Endpoint> Punch::on_deadline(Mono now) {
  if (state_ != State::trying) return {};
  if (over(now)) {
    state_ = State::failed;
    return {};
  }
  if (now < next_) return {};
  std::vector<Endpoint> out;
  for (const Endpoint& to : targets_) {
    if (probes_ == kMaxProbes) break;
    probes_++;
    out.push_back(to);
  }
  next_ = probes_ == kMaxProbes ? end_ : now + (probes_ < kQuickProbes ? kQuick : kSlow);
  return out;
}

Mono Punch::next_deadline() const {
  return state_ == State::trying ? std::min(next_, end_) : end_;
}

}  // namespace macrovpn::discovery
