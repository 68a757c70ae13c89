// RelayLinks: sessions that a node opens to relays for control frames alone, both ways: the directory, introductions, records, checks.
// No circuit, lease or packet of a user's is in them.
//
//   direct    as a client calls its guard, from our listening socket, or of several shards from the first one's own: relays, whose address is
//             public, and a client that knows no way yet
//   through   a leg beyond a relay of one of the client's circuits: who is called learns that relay's address, not the client's
//
// A link is named by its PeerRef.  Its fate comes by take_events(): up once, or failed (nobody answered within kLinkTimeout, asked twice);
// later ended: nothing was heard for kLinkSilence although something was said (then also PINGs were), or the circuit under it went.  Who
// closes one says so: CLOSE of leg 0.  A session that lapsed for want of traffic is made again when there is something to say; that waits
// meanwhile, kMaxLinkWaiting frames at most, the oldest lost: whoever uses a link repeats what matters.
//
// A direct one leaves from the socket that is named, if one is: a way of that relay alone (way_sockets.h).  At most kMaxLinks, and of one use kMaxLinksOfUse.
#pragma once
#include <deque>
#include <map>

#include "core/node/shared.h"
#include "core/routing/frames.h"
#include "model/contact.h"

namespace macrovpn::node {

// Whose link it is: its events and frames go there.
enum class LinkUse : uint8_t { directory, introduction, records, verification, measurement };

inline constexpr size_t kMaxLinks = 256, kMaxLinksOfUse = 72;
inline constexpr size_t kMaxLinkWaiting = 32;
inline constexpr Duration kLinkAgain = 1500ms, kLinkTimeout = 5s;
inline constexpr Duration kLinkPing = 10s, kLinkSilence = 25s;

struct LinkEvent {
  enum class Kind : uint8_t { up, failed, ended } kind;
  LinkUse use;
  PeerRef link;
  PeerId relay;
};

class RelayLinks {
 public:
  explicit RelayLinks(Shared s) : s_(s) {}

  // nullopt: too many, or the contact cannot be called (no endpoint, a key that is none, our own).  `endpoint`: which of the contact's.
  std::optional<PeerRef> open(Now now, const Contact& to, LinkUse use, uint8_t endpoint = 0, std::optional<SocketId> from = {});
  // Through the relay at the other end of `carrier`, a session of ours that is up; it must know the relay that is called.
  std::optional<PeerRef> open_through(Now now, PeerRef carrier, const Contact& to, LinkUse use, uint8_t endpoint = 0);
  // Says nothing more to it.  No event.
  void close(PeerRef link);

  bool is_up(PeerRef link) const;
  std::optional<LinkUse> use_of(PeerRef link) const;
  std::optional<PeerId> relay_of(PeerRef link) const;
  void send(Now now, PeerRef link, Bytes frame);
  std::vector<LinkEvent> take_events() { return std::exchange(events_, {}); }

  // ---- from the node
  bool session_up(Now now, PeerRef peer);  // false: no link
  bool handshake_failed(PeerRef peer);
  void cookie_came(Now now, const Route& from);
  // An ERROR in the session of a carrier: true if it is about a leg of ours.
  bool on_carrier_error(PeerRef carrier, const routing::ErrorFrame& e);
  Mono next_deadline() const;
  void on_deadline(Now now);
  void after_flush();  // peers of closed links go only after their last frames were sealed
  size_t size() const { return links_.size(); }
  void check_invariants() const;

 private:
  struct Link {
    Contact to;
    LinkUse use;
    uint8_t endpoint = 0;
    SocketId socket;
    PeerRef carrier;  // nobody: direct
    LegNumber leg;
    bool calling = true;      // a handshake is under way
    bool was_up = false;
    bool sent_cookie = false;
    Mono again_at = kNever, gives_up = kNever;
    Mono unheard_since = kNever;  // the first that was said after something was heard
    Mono ping_at = kNever;
    std::deque<std::vector<uint8_t>> waiting{};
  };
  using Links = std::map<PeerRef, Link>;
  std::optional<PeerRef> add(Now now, Link&& link, const Route& route);
  void call(Now now, PeerRef peer, Link& link);
  void call_anew(Now now, PeerRef peer, Link& link);
  void send_initiation(Now now, const Link& link, const encryption::Initiation& init);
  void watch(Now now, PeerRef peer, Link& link);
  Links::iterator end(Links::iterator, LinkEvent::Kind);
  Links::iterator forget(Links::iterator);
  static Mono deadline_of(const Link& link);
  SocketId socket() const;

  Shared s_;
  Links links_;
  std::vector<LinkEvent> events_;
  std::vector<PeerRef> doomed_;
};

}  // namespace macrovpn::node
