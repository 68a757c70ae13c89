// PortGuess: the way between a relay behind a hard NAT, which shows another outside port to each that it sends to, and one behind a cone, once
// punching has failed.  Nobody can know the hard one's port.  But from many sockets it has many, and then any of them will do:
//
//   hard   opens kGuessSockets and sends from each to the easy one's address: a port of its NAT stands open for each, for the easy one alone
//   easy   sends to ports of the hard one's address, each once, in random order, kGuessesPerSecond, kMaxGuesses at most
//
// Messages are punches (punch.h), under the same nonce, key and mask.  The first that arrives at the hard side decides: that socket is kept, and only it
// sends answers; with one of them the easy side knows the port.  With 192 sockets of 64,512 ports half of the guesses hit by the 233rd probe,
// and 1 - (1 - 2048/64512)^192 = 99.8 % by the last; with 256 it were 99.97 %, but numbers of sockets have a byte.  Two hard ones would need 170,000 probes.
//
// Bounds: kGuessTime; hard: two datagrams from each socket, kChosenRepeats more; easy: kMaxGuesses.  Only to the one address that it is told.
#pragma once
#include <optional>
#include <vector>

#include "base/rng.h"
#include "core/discovery/punch.h"
#include "model/guess_side.h"

namespace macrovpn::discovery {

inline constexpr size_t kGuessSockets = 192, kFewestGuessSockets = 32;
inline constexpr size_t kMaxGuesses = 2'048, kGuessesPerSecond = 300;
inline constexpr uint16_t kLowestGuess = 1'024;
inline constexpr Duration kGuessTime = 8s;
inline constexpr size_t kChosenRepeats = 6;

class PortGuess {
 public:
  enum class State : uint8_t { trying, through, failed };
  struct Shot {
    size_t socket;  // of the extra ones, hard; the easy side has none, and 0 stands for its own
    Endpoint to;
    PunchMessage::Kind kind;
  };
  // `other`: where the introducer saw it; of a hard one only the address counts.  `sockets`: how many a hard side has.
  PortGuess(Mono now, GuessSide side, const Endpoint& other, size_t sockets, Rng& rng);

  GuessSide side() const { return side_; }
  State state() const { return state_; }
  // Once through: where the other is, and by which socket.
  const Endpoint& path() const { return path_; }
  size_t socket() const { return socket_; }
  // An authenticated message of the other's.  True: it is to be answered, there, from that socket.
  bool on_message(Mono now, size_t socket, const Endpoint& from, PunchMessage::Kind kind);
  // To be sent now; at next_deadline() or later.
  std::vector<Shot> on_deadline(Mono now);
  Mono next_deadline() const;
  bool over(Mono now) const { return now >= end_; }

 private:
  uint16_t next_port();
  void shoot_hard(Mono now, std::vector<Shot>& out);
  void shoot_easy(Mono now, std::vector<Shot>& out);

  GuessSide side_;
  Endpoint other_;
  size_t sockets_;
  Rng& rng_;
  State state_ = State::trying;
  Endpoint path_;
  size_t socket_ = 0;
  std::vector<uint16_t> ports_;  // shuffled as far as shot_
  Mono began_, next_, end_;
  size_t shots_ = 0, repeats_ = 0, answers_ = 0;
};

}  // namespace macrovpn::discovery
