// ReachCheck: which relays' addresses answer, and who may come into a relay's copy of the directory before that is known.
//
// An address in a descriptor is a claim until somebody called it, and quotas count relays by address: whoever works for two identities per /24
// could name addresses of others there and so keep them out (docs/decisions/0033).  Hence, of what a relay's Exchange has verified:
//
//   it says so itself    a relay that is new here and tells us of itself is held until its endpoint took a handshake with its keys: from us,
//                        and from two of up to five relays in other prefixes that we asked (DIAL), before three said no
//   others say so        taken at once where its prefixes have room: nobody is hurt by it
//   a place is contested its prefix is full: it is held, and it and all that live there are called, by us alone.  What answers may compete by
//                        rank, what does not has no place
//
// Who does not answer us is not reached, whatever others say; so friends of a squatter gain him nothing.  Who answers us is doubted by
// strangers only at its first introduction, since a NAT may have let in nobody but us.
//
// Membership stays one for all: it is the function of rank and prefix that RelaySet is, over the relays that answer.  That they answer is no
// order of arrival and no opinion, and every relay finds it out for itself; where two see it differently, the next call settles it.  Somebody who
// was called lately (kReachedFor) is not called again for a contest, and one who lives there already is given up only after half an
// hour of silence: a short outage costs nobody his place.
//
// Bounds: kMaxHeld waiting, kMaxCalls in flight, each subject called kOwnTries times and asked of kMostStrangers; kMaxRemembered verdicts.
#pragma once
#include <map>

#include "base/rng.h"
#include "core/discovery/relay_set.h"

namespace macrovpn::discovery {

inline constexpr size_t kMaxHeld = 512, kMaxCalls = 16, kMaxRemembered = 8192;
inline constexpr unsigned kEnoughYes = 2, kEnoughNo = 3, kMostStrangers = 8;
inline constexpr Duration kReachedFor = std::chrono::hours(6), kUnreachedFor = std::chrono::minutes(15);
inline constexpr Duration kCallTime = 10s;  // without an answer: silent

enum class Dialed : uint8_t { yes, no, silent };
enum class Heard : uint8_t { from_itself, from_others };

struct DialWish {
  uint64_t number = 0;
  std::optional<PeerId> by;  // whom to ask; nothing: we call ourselves
  EntryPtr subject;
};
struct ReachOut {
  std::vector<DialWish> dials;
  std::vector<EntryPtr> admit;  // may go into the set now
  std::vector<EntryPtr> drop;   // leave it: they do not answer, and somebody wants their place
};

class ReachCheck {
 public:
  ReachCheck(const Network& network, const PeerId& self, const IpAddress& own, Rng& rng) : network_(network), self_(self), own_(own), rng_(rng) {}

  // A verified entry that the set does not have in this place yet.  Held ones come out in ReachOut::admit, or never.
  enum class Gate : uint8_t { open, held, refused };
  Gate on_entry(const Now&, const EntryPtr&, Heard, const RelaySet&, ReachOut&);
  void on_dialed(const Now&, uint64_t number, Dialed, const RelaySet&, ReachOut&);
  void on_deadline(const Now&, const RelaySet&, ReachOut&);
  Mono next_deadline() const;
  size_t held() const { return held_.size(); }
  size_t calls() const { return calls_.size(); }
  void check_invariants() const;

 private:
  enum class Verdict : uint8_t { open, reached, unreached };
  struct Case {  // somebody who is being called
    EntryPtr subject;
    bool lives_here = false;       // in the set: has more time
    bool strangers_too = false;
    bool we_reached = false;
    unsigned own_tries = 0, yes = 0, no = 0;
    std::vector<PeerId> asked;
    size_t in_flight = 0;
    Mono next_try = kLongAgo;
  };
  struct Held {
    EntryPtr entry;
    std::vector<ShortId> rivals;  // whose cases must be over first
  };
  struct Known {
    IpAddress home;
    bool reached = false;
    Mono until;
  };
  struct Call {
    ShortId subject;
    std::optional<PeerId> by;
    Mono due;
  };
  std::optional<bool> known(Mono now, const RelayEntry&) const;
  void open_case(const EntryPtr&, bool lives_here, bool strangers_too);
  void call(Mono now, Case&, const std::optional<PeerId>& by, ReachOut&);
  void pursue(const Now&, Case&, const RelaySet&, ReachOut&);
  Verdict judge(const Case&, const RelaySet&) const;
  std::optional<PeerId> stranger(const Case&, const RelaySet&, bool draw) const;
  bool suits(const RelayEntry&, const Case&) const;
  void settle(const Now&, const RelaySet&, ReachOut&);
  void remember(Mono now, const RelayEntry&, bool reached);
  void release(const Now&, const RelaySet&, ReachOut&);

  Network network_;
  PeerId self_;
  IpAddress own_;
  Rng& rng_;
  std::map<ShortId, Case> cases_;
  std::map<ShortId, Held> held_;
  std::map<ShortId, Known> known_;
  std::map<uint64_t, Call> calls_;
  uint64_t next_number_ = 1;
};

}  // namespace macrovpn::discovery
