// PathMtu: the largest packet that a circuit carries in both directions.  Says when to ask, with pings of which sizes, and
// what follows from the answers.
//
// It is packetization layer path MTU discovery for datagrams (RFC 8899), and believes nothing but answered pings: no ICMP
// of anybody.  Relays drop what does not fit, so a ping and its answer of one size prove that size for every link, there
// and back.
//
//   - A circuit starts with the size that fits a usual link and asks for it at once.
//   - Doubt: a packet left and nothing came for a while (Liveness), our own link refused a datagram or turned out narrow for
//     another circuit, or packets pass and the last proof is some seconds old: beside small packets that pass a hole makes
//     no silence, and who waits for a large answer sends nothing.  Then the present size is asked for again; where only
//     small ones pass, ever more rarely.
//   - It counts as lost when a small ping sent with it has been answered for some time, so that neither an outage, nor a
//     queue that grew, nor a long way looks like a size that does not fit.  (RFC 8899 §5.1.1 has a timer of at least 1 s
//     instead, for want of such a companion.)
//   - After one loss all sizes of a ladder are asked for at once, after the second those that were not answered; after the
//     third (MAX_PROBES there) the largest answered one is the size.
//   - A circuit below what is possible asks for more after kFirstRaise, and then ever more rarely, up to kLastRaise.
//
// What others learn: the sizes are the same for every client, multiples of 16, and few, so that what the exit is told does
// not single out a client's line.  A circuit that carries nothing is not probed again.  An observer of a link can see a
// ladder being asked for: a dozen packets of falling sizes, where a path began to lose large ones, and hardly else.
#pragma once
#include <array>
#include <vector>

#include "base/rng.h"
#include "base/time.h"

namespace macrovpn::routing {

class PathMtu {
 public:
  // Below it a circuit could not even be built.
  static constexpr uint16_t kLeast = 576;
  static constexpr std::array<uint16_t, 13> kLadder = {1408, 1376, 1344, 1312, 1280, 1216, 1152,
                                                       1088, 1024, 896,  768,  672,  kLeast};
  static constexpr int kRounds = 3;
  static constexpr Duration kMargin = 100ms;   // at least, after the small ping's answer
  static constexpr Duration kOutage = 3s;      // without any answer: the round says nothing
  static constexpr Duration kDoubt = 1s;       // from one asking to one because of silence, while large packets pass
  static constexpr Duration kMostDoubt = 16s;  // the longest between two, while none do
  static constexpr Duration kConfirmFrom = 3s, kConfirmTo = 5s;
  static constexpr Duration kFirstRaise = 15s, kLastRaise = 10min;

  enum class Verdict : uint8_t {
    nothing,
    probe,    // send the sizes asked for, with small pings
    changed,  // mtu() has
    broken,   // not even the least size passes, and small pings do; mtu() is the least
  };

  PathMtu() = default;
  // `known`: what another circuit by the same first link found; else `most`.
  PathMtu(uint16_t most, uint16_t known);
  void started(Mono now);  // the circuit is ready
  uint16_t mtu() const { return mtu_; }
  bool is_whole() const { return mtu_ == most_; }
  // Every packet of the user's, either way.
  void carried(size_t bytes) {
    used_ = true;
    large_ |= bytes > kLeast;
  }
  void silent(Mono now);   // something was sent, and nothing came back
  // The first link does not carry some datagram, as the kernel or another circuit says: the next packet asks.
  void suspect(Mono now);
  // An answer to a ping to the exit that was sent then.  size 0: a small one, of whatever size.
  void pong(Mono now, size_t size, Mono sent);
  // At next_check() or later.  probe: `ask` holds the sizes, in the order in which they are to leave.
  Verdict check(Mono now, Rng& rng, std::vector<uint16_t>& ask);
  Mono next_check() const;

 private:
  enum class Round : uint8_t { none, proving, raising };
  Verdict ask_for(Mono now, Rng& rng, Round round, uint16_t above, std::vector<uint16_t>& ask);
  Verdict end_round(Mono now, Rng& rng, std::vector<uint16_t>& ask);
  Verdict settle(Mono now, uint16_t mtu);
  Mono round_ends() const;
  Mono proof_due() const;
  Mono raise_due() const;

  uint16_t most_ = 0, mtu_ = 0;
  bool used_ = false;   // packets passed since the last asking,
  bool large_ = false;  // and some that a small ping says nothing about
  bool started_ = false;
  bool proven_ = false;  // mtu_ was answered
  Round round_ = Round::none;
  int lost_ = 0;                // rounds, one after the other
  uint16_t best_ = 0;           // answered since the search began
  uint16_t asked_ = 0;          // the largest of this round
  Mono sent_ = kLongAgo;        // this round, or the last one
  Mono search_sent_ = kLongAgo; // its first round
  Mono companion_ = kNever;     // when something smaller was answered
  Mono doubt_ = kNever;         // ask then
  Mono suspect_ = kNever;       // ask then if packets pass
  Duration small_wait_ = kDoubt, confirm_wait_ = kConfirmFrom;
  Mono raise_at_ = kNever;
  Duration raise_wait_ = kFirstRaise;
};

}  // namespace macrovpn::routing
