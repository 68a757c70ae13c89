// Relays that do not keep to the protocol.  Each runs the shipped node and ill-treats the datagrams between it and the wire, which
// is all that a relay without other people's keys can do.
//
//   drops     a share of what it should send
//   delays    a share of it, by up to a time
//   tampers   one bit of a share of it
//   replays   sends a share of it again within half a minute, half of that with a forged source
//   trims     the end of a handshake datagram, which is padding that nobody authenticates: its answers must then be shorter
//   echoes    each answer to a handshake twenty times, which the relay before it would send on to a caller who proved nothing yet
//   refuses   sends handshakes only to its fellows, so that circuits which it does not own on both sides fail
#pragma once
#include <set>

#include "base/rng.h"
#include "sim/net/link.h"
#include "sim/world/mischief.h"
#include "sim/world/world.h"

namespace macrovpn::sim {

std::unique_ptr<Mischief> make_dropper(Ppm share, SeededRng rng);
std::unique_ptr<Mischief> make_delayer(Ppm share, Duration most, SeededRng rng);
std::unique_ptr<Mischief> make_tamperer(Ppm share, SeededRng rng);
std::unique_ptr<Mischief> make_replayer(Ppm share, SeededRng rng);
std::unique_ptr<Mischief> make_trimmer();
std::unique_ptr<Mischief> make_echoer();

// Those who hold together; one for a world, outlives its members.
struct Coalition {
  std::set<HostId> members;
};
std::unique_ptr<Mischief> make_refuser(const Coalition&);

// What a coalition could join: measured each virtual second over the circuits that serve a program.
class CollusionMeter : public Watcher {
 public:
  explicit CollusionMeter(const Coalition& c) : coalition_(c) {}
  void each_second(World&) override;
  uint64_t looked_at() const { return circuits_; }
  uint64_t both_ends() const { return both_; }      // its members are first and last: timing joins who and where
  uint64_t one_end() const { return one_; }

 private:
  const Coalition& coalition_;
  uint64_t circuits_ = 0, both_ = 0, one_ = 0;
};

}  // namespace macrovpn::sim
