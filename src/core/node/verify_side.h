// VerifySide: calls relays, for ourselves and for others who ask, to find out whether they are where they say (core/discovery/reach_check.h).
//
// A call is a WireGuard handshake to an endpoint of a signed descriptor, then BIND: only who holds both of its keys answers that.  So nobody
// can name somebody else's address, nor somebody else's WireGuard key at its address.
//
//   DIAL      a relay asks another: call this one, whose descriptor comes with it.  The answer, DIALED, is yes, no or busy, and nothing else
//             A call for another leaves from the socket of calls: a NAT may have let in our listening one, if the called relay has spoken to us
//   bounds    kMaxDials under way; of one caller kOfCaller, to one address kOfAddress, in all kInAll; an address that relays may not send to
//             (private, our own networks) is never called
//
// Of several shards only the first has one; DIALs of callers at other shards are handed over.
//
// What the called one learns: our address, which is in the directory.  What the asked one learns: that a relay with that descriptor is new to us.
#pragma once
#include <map>
#include <set>

#include "core/discovery/liveness_map.h"
#include "core/discovery/reach_check.h"
#include "core/encryption/rate_limit.h"
#include "core/node/directory_side.h"
#include "core/node/relay_links.h"

namespace macrovpn::node {

struct VerifyCounters {
  uint64_t called = 0, reached = 0, asked = 0;     // by ourselves, of others
  uint64_t served = 0, refused = 0;                // for others
  uint64_t probed = 0, silent = 0;                 // whether they are there
  uint64_t held = 0, admitted = 0, dropped = 0;    // entries of the directory
};

class VerifySide final : public discovery::Gatekeeper {
 public:
  static constexpr size_t kMaxDials = 32;
  static constexpr encryption::Rate kOfCaller{1, 12};   // DIALs
  static constexpr encryption::Rate kOfAddress{1, 4};   // calls, whoever wants them
  static constexpr encryption::Rate kInAll{20, 64};     // calls for others
  static constexpr Duration kBindTime = 3s;
  static constexpr size_t kAskedAboutUs = 3;
  static constexpr Duration kAboutUsTime = 20s;

  VerifySide(Shared s, RelayLinks& links, DirectorySide& directory);

  bool may_enter(const Now&, const discovery::EntryPtr&, discovery::SyncSession from) override;
  // Our own descriptor found no room in our own copy: those who live there are called.
  void contest(Now now, const discovery::EntryPtr& own);
  // Has some relays call us where this descriptor of ours says, which nobody else gets; OwnReach tells what came of it.  False: there is nobody to
  // ask, or they are being asked.
  bool ask_about_us(Now now, const discovery::EntryPtr& own);
  void on_dial(Now now, PeerRef caller, const CallerKey& budget, Bytes body);
  void on_link(Now now, const LinkEvent&);
  void on_link_frame(Now now, PeerRef link, const routing::Frame&);
  void caller_gone(PeerRef caller);
  Mono next_deadline() const;
  void on_deadline(Now now);
  // What was found out goes into the directory: not in the middle of what it does.
  void carry_out(Now now, Effects& fx);

  const VerifyCounters& counters() const { return counters_; }
  const discovery::LivenessProber& prober() const { return prober_; }
  const discovery::ReachCheck& check() const { return check_; }
  void check_invariants() const;

 private:
  struct Dial {  // a call of ours
    Contact to;
    IdentityKey identity;
    ByteArray<32> challenge{};
    uint64_t number = 0;           // ReachCheck's, or the asker's
    std::optional<PeerRef> asker;  // nothing: for ourselves
    bool in_vain = false;          // the asker has gone
    std::optional<discovery::ShortId> probe;  // only whether it answers (core/discovery/liveness_map.h)
    Mono until = kNever;           // once BIND was said
  };
  enum class For : uint8_t { check, us };
  struct Asking {
    uint64_t number = 0;
    discovery::EntryPtr subject;
    For whom = For::check;
  };
  struct AboutUs {
    size_t open = 0;  // of those asked
    OwnReach found;
    Mono until = kNever;
  };
  void perform(Now now, discovery::ReachOut& out);
  void start(Now now, const discovery::DialWish&);
  std::optional<PeerRef> call(Now now, const RelayInfo&, Dial dial);
  void answered(Now now, std::map<PeerRef, Dial>::iterator, discovery::Dialed);
  void tell(Now now, uint64_t number, discovery::Dialed);
  void told(Now now, const Asking&, discovery::Dialed);
  std::vector<RelayInfo> whom_to_ask(Now now, const IpAddress& ours);
  void probe(Now now);
  void give_back_mask(Now now, const Dial&);
  void say(PeerRef caller, const routing::DialedFrame&);
  const discovery::RelaySet& set() const { return directory_.set(); }

  Shared s_;
  RelayLinks& links_;
  DirectorySide& directory_;
  discovery::ReachCheck check_;
  discovery::LivenessProber prober_;
  std::map<PeerRef, Dial> dials_;
  std::map<PeerRef, Asking> asking_;
  std::optional<AboutUs> about_us_;
  std::vector<discovery::EntryPtr> admit_, drop_;
  std::vector<std::pair<uint64_t, discovery::Dialed>> failed_;  // told at the next turn
  std::vector<std::pair<PeerRef, std::vector<uint8_t>>> elsewhere_;  // frames for callers of other shards: leave at the next turn
  encryption::RateLimit callers_{4096}, addresses_{4096};
  encryption::TokenBucket all_;
  VerifyCounters counters_;
};

}  // namespace macrovpn::node
