// ClientSide: circuits for the user's programs.  One group per isolation key (a `run`, a name given to the proxy;
// group_id.h); each group has a circuit and a lease; a spare circuit is kept ready so that nobody waits for a handshake.
//
// Files: client_build.cpp (paths, one-round-trip and hop-by-hop builds), client_circuit.cpp (coming up, frames, pings, watching),
// client_mtu.cpp (what size a circuit carries), client_failure.cpp (failure, replacement, hop), client_packets.cpp (packets in and out).
#pragma once
#include <map>
#include <set>

#include "core/node/circuit.h"
#include "core/node/shared.h"
#include "core/peers/guard_set.h"
#include "core/peers/middle_set.h"
#include "core/peers/observations.h"
#include "core/routing/build_timeout.h"
#include "core/routing/path.h"

namespace macrovpn::node {

// A way through one of our circuits to a further relay.
struct Way {
  PeerRef carrier;           // the session with the relay that is asked to call
  std::vector<PeerId> hops;  // of the circuit: not to be called over it
};

inline constexpr size_t kMaxGroups = 256;
inline constexpr size_t kMaxSlotGroups = 192;  // so that a proxy leaves room for programs
inline constexpr Duration kSlotForgotten = 10min;  // without packets and open connections
inline constexpr Duration kDrain = 3s;  // an old circuit still receives for that long after a hop
inline constexpr Duration kLeaseRetry = 1s;
inline constexpr Duration kBindingTimeout = 2s;
inline constexpr size_t kUnheardBehindGuard = 3;  // different relays
inline constexpr int kUnheardInAll = 6;           // where there are only two
inline constexpr Duration kUnheardTime = 60s;
inline constexpr int kAtOnce = 8;  // builds one after the other, while the exit alone is silent
inline constexpr int kBuildsBeforeNewExit = 4;  // with a lease: an exit's failures until it is given up
inline constexpr size_t kMaxAvoided = 32;
inline constexpr Duration kSilentRest = 60s;  // a relay that was silent behind one that answered is not asked for so long
inline constexpr uint64_t kPingPadding = 320;
inline constexpr Duration kBrokenRest = 30s;  // circuits that carry small packets alone are given up no more often
inline constexpr int kMtuTellings = 5;
inline constexpr Duration kRateWindow = 1s;            // over which a circuit's throughput is taken
inline constexpr uint64_t kRateWorthNoting = 64 * 1024;  // bytes in that time; less says nothing of the relays
inline constexpr Duration kLeaving = 10min;  // a relay that said goodbye is not used for so long, or until it renews

class ClientSide {
 public:
  explicit ClientSide(Shared s);

  // ---- the user
  // A device's own group appears; those of its slots, and of a phone, appear with their first packets.
  Result<void> attach(Now now, TunId tun, Slots slots, Effects& fx);
  void detach(Now now, TunId tun);
  Result<void> hop(Now now, TunId tun, Effects& fx);  // same exits, new middles, of a device's groups; tun 0: of all
  void end_all(Now now);  // every lease and circuit is given back

  // ---- packets
  void on_tun_packets(Now now, TunId tun, std::span<Packet> packets, Effects& fx);
  // What came out of the session with a hop peer of ours.
  void on_ip(Now now, PeerRef peer, Packet&& packet, Effects& fx);
  void on_control(Now now, PeerRef peer, Bytes payload, Effects& fx);

  // ---- from tunnels
  void session_up(Now now, PeerRef peer, Effects& fx);
  void heard_somebody();  // a relay answered a handshake, whatever it was for
  void handshake_failed(Now now, PeerRef peer, Effects& fx);

  Mono next_deadline() const;
  void on_deadline(Now now, Effects& fx);
  // The directory changed: what waited for relays may go on.
  void directory_changed(Now now, Effects& fx);

  void doubt_regions(std::set<PeerId> relays) { doubted_ = std::move(relays); }
  // Ascending.  They are not drawn as long as there are others; but what worked for us since yesterday is alive, whatever is said, and
  // guards that we have are left by own experience alone.
  void believe_dead(std::vector<PeerId> relays) { dead_ = std::move(relays); }

  const std::map<CircuitId, Circuit>& circuits() const { return circuits_; }
  const std::map<GroupId, Group>& groups() const { return groups_; }
  const peers::GuardSet& guards() const { return guards_; }
  // What was seen of relays; for the user and for find_peers alone.
  const peers::Observations& observations() const { return seen_; }
  // Why there is no circuit, as far as is known: words for a person; empty: nothing went wrong lately.
  const std::string& trouble() const { return trouble_; }
  // Every program has a circuit that carries its packets; without programs: one is ready.
  bool protects() const;
  void cookie_came(Now now, const Route& from);
  // A way to ask relays something without telling them who asks: from the relay before the exit of a ready circuit, or from its only one.
  std::optional<Way> way_to_relays() const;
  std::vector<PeerId> guard_ids() const;
  // A datagram was too long for our own link.
  void refused_as_too_long(Now now);
  // Peers of destroyed circuits go only after their last frames were sealed.
  void after_flush();
  void check_invariants() const;

 private:
  struct GuardLink {  // the one session with a guard that carries all circuits
    PeerRef peer;
    PublicKey our_key;
    bool up = false;
    CircuitId building;  // whose build carries the guard's handshake
    bool is_renewed = false;  // its handshake is asked for anew, as it said nothing
    int lost_builds = 0;
    // Within kUnheardTime: how often nobody was heard from behind it, and over which relays; at most kUnheardBehindGuard.
    int unheard = 0;
    std::vector<PeerId> unheard_over{};
    Mono first_unheard = kLongAgo;
    uint16_t mtu = UINT16_MAX;  // that its newest measured circuit has, if that is less than it could
  };

  // client_build.cpp
  Result<std::vector<const RelayInfo*>> pick_path(Now now, const Group* group);
  Result<std::vector<const RelayInfo*>> pinned_path(Now now) const;
  class Usable;  // relays, for paths
  bool is_banned(const RelayInfo& r) const { return banned_.contains(r.id); }
  size_t usable_guards(Now now, bool that_may_work) const;
  void refill_guards(Now now, Effects& fx);
  void refill_middles(Now now, Effects& fx);
  Result<CircuitId> start_circuit(Now now, Group* group, Effects& fx);
  Result<void> add_peers(Now now, Circuit& c);
  void begin_build(Now now, Circuit& c);
  void build_in_one_round_trip(Now now, Circuit& c);
  uint8_t number_of_way(Now now, const Circuit& c, size_t at);
  void extend_next(Now now, Circuit& c, size_t next);
  std::vector<uint8_t> lease_frame(const Circuit& c, const crypto::Hash32& h1) const;
  void try_again(Now now, Circuit& c);
  void renew_link(Now now, Circuit& c);
  void ask_behind_guard(Now now, Circuit& c);
  Duration time_for(const Circuit& c) const;
  static Duration over_its_links(const Circuit& c, Duration one_round_trip);
  Duration time_for_rest(const Circuit& c) const;
  static bool has_answer(const Circuit& c);
  bool guard_was_heard(const Circuit& c) const;  // in this build
  static bool lacks_only_its_exit(const Circuit& c);
  void send_build(Circuit& c, const encryption::Initiation& first, Bytes early);

  // client_circuit.cpp
  void network_is_there(Now now);
  void hop_up(Now now, Circuit& c, size_t index, Effects& fx);
  void ready(Now now, Circuit& c, Effects& fx);
  void give_to_group(Now now, Circuit& c, Group& g);
  void on_frame(Now now, Circuit& c, size_t hop, const routing::Frame& f, Effects& fx);
  void on_error(Now now, Circuit& c, size_t hop, const routing::ErrorFrame& e, Effects& fx);
  void on_granted(Now now, Circuit& c, const routing::GrantedFrame& f, Effects& fx);
  void on_moved(Now now, Circuit& c, const routing::LeaseId& lease, Effects& fx);
  void on_pong(Now now, Circuit& c, uint64_t id);
  void on_bound(Now now, Circuit& c, size_t hop, const routing::BoundFrame& f, Effects& fx);
  void ping(Now now, Circuit& c, size_t hop, uint16_t size);
  void ping_on_the_way(Now now, Circuit& c);
  // client_mtu.cpp
  void remember_mtu(Now now, const Circuit& c);
  uint16_t known_mtu(const PeerId& guard, uint16_t most) const;
  void check_mtu(Now now, Circuit& c, Effects& fx, std::vector<CircuitId>& failed);
  void mtu_changed(Now now, Circuit& c, Effects& fx);
  void tell_mtu(Now now, Circuit& c);
  void ask_lease_again(Now now, Circuit& c);
  Mono lease_retry(const Circuit& c) const;

  void ask_binding(Now now, Circuit& c);
  void circuit_failed(Now now, CircuitId id, Effects& fx);
  void blame_guard(Now now, const Circuit& c, Effects& fx);
  void find_the_silent(Now now, Circuit& c, Effects& fx);
  static bool drops_what_it_carries(Now now, GuardLink& link, const PeerId& unheard);
  void note_silent(Now now, const PeerId& id);
  void note_worked(Now now, const Circuit& c);
  void note_silent_of(Now now, const Circuit& c);
  void note_answered(const PeerId& id);
  void drop_link(const PeerId& guard, CircuitId but);
  static bool is_avoided(const Group& g, const PeerId& id);
  static void avoid(Group& g, const PeerId& id);
  void relay_leaves(Now now, Circuit& c, size_t hop, Effects& fx);
  bool is_leaving(Now now, const RelayInfo& relay) const;
  void release_lease(const Circuit& c);
  void drain(Now now, CircuitId id);
  void destroy(CircuitId id);
  void rebuild(Now now, Group& g, Effects& fx);
  void keep_spares(Now now, Effects& fx);
  routing::Liveness::Connections connections_of(const Circuit& c) const;
  void check(Now now, Circuit& c, Effects& fx, std::vector<CircuitId>& failed);
  void save_guards(Effects& fx);
  Mono deadline_of(const Circuit& c) const;
  static Mono forgotten_at(const Group& g);

  // client_packets.cpp
  size_t slots_of(TunId tun) const;
  bool may_appear(const GroupId& id) const;
  Group* group_of_packet(Now now, TunId tun, Bytes packet, Effects& fx);
  Circuit* usable_circuit(Now now, Group& g, Effects& fx);
  void forget_group(const GroupId& id);
  void send_packet(Now now, Circuit& c, Packet&& packet);
  void flush_waiting(Now now, Group& g, Circuit& c);
  void note_rate(Now now, Circuit& c);
  static bool no_way_for(const Circuit& c, Bytes packet);
  bool refuse(const Group& g, const Circuit& c, Bytes packet, size_t size, Effects& fx);
  void unreachable(const Group& g, Bytes packet, Effects& fx);
  void too_big(const Group& g, const Circuit& c, Bytes packet, Effects& fx);

  Circuit* find(CircuitId id);
  Group* find_group(const GroupId& id);

  Shared s_;
  const ClientConfig& config_;
  peers::GuardSet guards_;
  peers::MiddleSet middles_;
  peers::Observations seen_;
  routing::BuildTimeout build_timeout_;
  std::map<CircuitId, Circuit> circuits_;
  std::map<TunId, Slots> devices_;
  size_t slots_in_use_ = 0;  // groups that are not a device's own
  std::map<GroupId, Group> groups_;
  std::map<PeerId, GuardLink> links_;
  std::map<PeerRef, std::pair<CircuitId, size_t>> hop_of_;  // not of shared guards
  std::set<std::pair<PeerId, PublicKey>> bound_;            // bindings proved in this run
  std::set<PeerId> doubted_;                                // their region is not believed
  std::vector<PeerId> dead_;                                // as is said
  std::set<PeerId> banned_;                                 // failed to prove theirs
  struct Leaving {
    Wall signed_at;  // of the descriptor that we had: a newer one says that it is back
    Mono until;
  };
  std::map<PeerId, Leaving> leaving_;  // relays of our circuits that said goodbye
  struct Silent {
    PeerId id;
    Mono since;
  };
  std::vector<Silent> silent_;  // behind a relay that answered; oldest first, at most kMaxAvoided
  uint64_t next_circuit_ = 1;
  std::string trouble_;
  std::vector<PeerRef> doomed_;
  Mono retry_spares_ = kNever;
  int spare_failures_ = 0;
  Mono leave_broken_at_ = kLongAgo;
  bool warned_v4_only_ = false;
  Mono warn_of_guards_at_ = kLongAgo;
  bool heard_anybody_ = false;  // in this run
};

}  // namespace macrovpn::node
