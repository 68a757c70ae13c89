// Punch: opening the way between two relays of which each, or one, is behind a NAT.  Both send at once to where an introducer saw the other
// (RFC 8445's checks, without its lists): the own datagrams open the own NAT, the other's come in.  Pure: what to send, and whether the
// way is there, as a function of what came and the time.
//
//   0  1  2  3   4 .. 7        8 .. 19   20 .. 23      24     25 .. 27   28 .. 47    48 .. 63
//   0013  44     21 12 A4 42   nonce     C0F3  40      kind   zeros      relay id    MAC             then random padding; numbers big endian
//
// It looks like STUN and goes under the header mask of the called side, as STUN does.  The nonce is of this introduction; the MAC, under the
// trailer key of the two relays, covers every byte before itself.  kind: 0 probe, 1 answer to one (never larger than it).
//
// A probe from elsewhere than expected (the other's NAT shows another port to us) is answered there, and probes go there from then on: so a relay
// that stands in the open finds one behind any NAT.  A hard NAT and a cone do not meet so (port_guess.h), and two hard ones stay spliced.
//
// Bounds: kMaxProbes, kPunchTime.  Who has no key of the two relays cannot make either send anything.
#pragma once
#include <optional>
#include <vector>

#include "base/time.h"
#include "crypto/hash.h"
#include "model/ip.h"
#include "model/keys.h"

namespace macrovpn::discovery {

inline constexpr size_t kPunchSize = 64;
inline constexpr size_t kPunchSigned = 48;
inline constexpr size_t kLargestPunch = 128;  // with its padding
inline constexpr Duration kPunchTime = 5s;
inline constexpr Duration kPunchBeforeGuess = 1500ms;  // where a guess follows (port_guess.h)
inline constexpr size_t kMaxProbes = 32, kMaxPunchAnswers = 64;
inline constexpr size_t kMaxPunchTargets = 3;

using PunchNonce = ByteArray<12>;

struct PunchMessage {
  enum class Kind : uint8_t { probe = 0, answer = 1 } kind = Kind::probe;
  PunchNonce nonce{};
  PeerId from;
  crypto::Mac16 mac{};
};
std::optional<PunchMessage> read_punch(Bytes datagram);  // padding may follow
std::vector<uint8_t> write_punch(const PunchMessage&);
// What the MAC covers: the first kPunchSigned bytes.
inline Bytes signed_punch(Bytes message) { return message.first(kPunchSigned); }

class Punch {
 public:
  enum class State : uint8_t { trying, through, failed };
  // `told`: where the introducer saw the other.
  Punch(Mono now, const Endpoint& told, Duration time = kPunchTime) : targets_{told}, next_(now), end_(now + time) {}

  State state() const { return state_; }
  // Where the other is; once through.
  const Endpoint& path() const { return path_; }
  // Authenticated messages of the other's.  True: a probe that is to be answered, there.
  bool on_message(Mono now, const Endpoint& from, PunchMessage::Kind kind);
  // Probes to send now; at next_deadline() or later.
  std::vector<Endpoint> on_deadline(Mono now);
  Mono next_deadline() const;
  bool over(Mono now) const { return now >= end_; }

 private:
  State state_ = State::trying;
  std::vector<Endpoint> targets_;
  Endpoint path_;
  Mono next_, end_;
  size_t probes_ = 0, answers_ = 0;
};

}  // namespace macrovpn::discovery
