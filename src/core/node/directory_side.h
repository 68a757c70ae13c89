// DirectorySide: the live directory of one node.  A relay's is gossip with its neighbours, and it serves whoever asks; a client's is a
// copy that it fetches now and then.  Both speak in control frames inside sessions (relay_links.h, callers'), so nobody who has
// not proved its address is ever answered.
//
//   relay    neighbours are called directly; a newcomer begins with its contacts
//   client   three relays, drawn from its copy by the weights of paths (else a flood of false ones would be two of the three), called through
//            a circuit and asked one after the other; at the very first start, when it has no circuit, and when none comes for
//            kWayPatience, its contacts, directly: they learn its address, and that it joins
//
// What was verified and belongs to the network goes into the node's Directory, from which paths are drawn: of a client only what several
// sources know (client_copy.h).  Checking signatures is the driver's (Effects::checks, on_checked()), and so is keeping (Effects::directory).
//
// With each comparison a client also asks its three sources which relays answer them (core/discovery/liveness_map.h): in the same sessions, when the
// comparison is over, in frames of the same type.
//
// Of several shards only the first has one; frames of callers at other shards are handed over.
#pragma once
#include <map>
#include <set>

#include "core/discovery/client_copy.h"
#include "core/discovery/dht_record.h"
#include "core/discovery/first_seen.h"
#include "core/discovery/gossip.h"
#include "core/discovery/liveness_map.h"
#include "core/encryption/rate_limit.h"
#include "core/node/bandwidths.h"
#include "core/node/client_side.h"
#include "core/node/relay_links.h"

namespace macrovpn::node {

struct DirectoryStatus {
  enum class Phase : uint8_t { waiting, calling, syncing } phase = Phase::waiting;
  std::vector<PeerId> sources;  // a client: of the sync that runs, or ran last
  size_t neighbours = 0;    // a relay
  size_t up = 0;            // whose session is up
  size_t known = 0;         // relays in the copy
  size_t checking = 0;      // being verified
  bool ever_synced = false; // in this run
  std::optional<discovery::SyncVerdict> last;
};

// Kinds of frames beside those of discovery::SyncKind.
inline constexpr uint8_t kMapAsk = 0x40, kMap = 0x41;

class DirectorySide {
 public:
  static constexpr Duration kCallerIdle = std::chrono::minutes(4);
  static constexpr size_t kMaxCallers = 768;
  static constexpr Duration kSyncEvery = std::chrono::hours(1), kSyncIdle = std::chrono::hours(6);  // each ± half
  static constexpr size_t kThin = 12;  // fewer relays than that: more may just be coming, so it asks again soon, then ever later
  static constexpr Duration kSoonest = 2s, kLatest = std::chrono::minutes(10);  // again, when nobody answered
  static constexpr Duration kMapTime = 10s;     // for all answers about who is alive
  static constexpr unsigned kMapsOfOne = 300;   // questions of one session
  static constexpr encryption::Rate kMapsInAll{50, 400};
  static constexpr unsigned kStruckOut = 3;  // strikes: then it is asked only where there are too few others
  static constexpr Duration kWayPatience = 20s;  // a client that has relays waits so long for a circuit before it asks directly

  DirectorySide(Shared s, RelayLinks& links);

  // ---- before start(), from the store: verified entries, and whether they could be chosen
  void restore(const discovery::EntryPtr&, bool could_be_chosen);
  void restore_count(size_t chosen);
  void restore_first_seen(discovery::ShortId id, Wall when) { first_seen_.restore(id, when); }
  // A client: how often this relay kept something back that others had.
  void restore_strikes(const PeerId& id, unsigned strikes) { strikes_[id] = strikes; }
  void start(Now now, Effects& fx);
  // A relay's own descriptor, or one that somebody brought in a file.
  discovery::Inserted publish(Now now, const discovery::EntryPtr&, Effects& fx);
  void add_contacts(Now now, std::vector<Contact>);
  // A client: the user's word after a refusal; and a sync at once.
  void accept_anyway(Now now, Effects& fx);
  void sync_now(Now now) { sync_at_ = std::min(sync_at_, now.mono); }

  // Who may come in (verify_side.h); a relay's.  Outlives this.
  void set_gate(discovery::Gatekeeper* gate) { exchange().set_gate(gate); }
  // Who knows what relays answer; a relay's.  Outlives this.
  void set_prober(const discovery::LivenessProber* prober) { prober_ = prober; }
  void drop(Now now, discovery::ShortId, Effects& fx);
  // From which address a caller spoke last, at whichever shard; unspecified: we called, or it came through others.
  IpAddress caller_address(discovery::SyncSession) const;

  struct Speaker {
    PeerRef session;
    IpAddress address;  // a caller's
  };
  void on_frame(Now now, const Speaker&, Bytes body, bool is_link, Effects& fx);
  void on_link(Now now, const LinkEvent&, Effects& fx);
  void caller_gone(Now now, PeerRef, Effects& fx);
  void on_checked(Now now, uint64_t check, const Result<discovery::EntryPtr, discovery::CheckFailure>&, Effects& fx);
  Mono next_deadline() const;
  struct Client {  // as it is just now
    std::optional<Way> way;      // one of its circuits, if one is ready
    std::vector<PeerId> guards;  // which know its address anyway
    bool is_used = false;        // by programs
  };
  void on_deadline(Now now, const Client&, Effects& fx);
  // A client: who is believed dead, ascending, where that was heard anew since this was last asked.
  std::optional<std::vector<PeerId>> take_dead();
  discovery::Liveness liveness(discovery::ShortId id) const { return liveness_.of(id); }
  std::vector<uint8_t> saved_liveness() const { return liveness_.save(); }
  // The Directory has changed since this was last asked.
  bool take_changed() { return std::exchange(changed_, false); }

  // What relays measured of each other, judged anew when something has changed, 168 times a week at most.
  void judge(Now now);
  const Bandwidths& bandwidths() const { return bandwidths_; }

  bool is_relay() const { return gossip_ != nullptr; }
  const discovery::RelaySet& set() const { return gossip_ ? gossip_->set() : copy_->set(); }
  bool may_choose(discovery::ShortId id) const { return gossip_ || copy_->may_choose(id); }
  // Where records are kept (core/discovery/dht_record.h): a relay goes by all that it knows, a client by what may be chosen, so by nobody
  // whom one source alone named.
  const discovery::DhtPlaces& places();
  DirectoryStatus status() const;
  const discovery::SyncCounts& counts() const;
  void check_invariants() const;

 private:
  struct Talk {
    PeerRef peer;
    bool is_link;
    discovery::SyncRole role;  // the other side's
    Mono heard;
    unsigned maps = 0;  // questions about who is alive
    IpAddress address{};  // a caller's, as it spoke last
  };
  discovery::Exchange& exchange() { return gossip_ ? gossip_->exchange() : copy_->exchange(); }
  discovery::SyncSession begin_talk(Now now, PeerRef, bool is_link, discovery::SyncRole);
  void end_talk(discovery::SyncSession);
  void closed(Now now, PeerRef, Effects& fx);
  void perform(Now now, discovery::SyncOut&, Effects& fx);
  void send(Now now, const discovery::SyncMessage&, Effects& fx);
  void say(Now now, const Talk&, uint8_t kind, Bytes what, Effects& fx);
  void follow(Now now, Effects& fx);  // what the set did
  RelayInfo believed(const discovery::RelayEntry&, Wall now);
  void drop_idle_callers(Now now, Effects& fx);
  // ---- relays
  void call_neighbour(Now now, const PeerId&);
  void call_contacts(Now now);
  bool has_neighbours() const;
  // ---- clients (directory_client.cpp)
  void begin_sync(Now now, const Client&);
  std::vector<Contact> draw_sources(Now now, const Client&) const;
  void maybe_compare(Now now, Effects& fx);
  void take_verdict(Now now, Effects& fx);
  void choose(Now now);
  // ---- who is alive (directory_liveness.cpp)
  void answer_map(Now now, discovery::SyncSession, Talk&, Bytes ask, Effects& fx);
  void begin_mapping(Now now, std::vector<PeerRef> links);
  void ask_map(Now now, PeerRef link, const discovery::IdRange&);
  void on_map(Now now, PeerRef link, Bytes body);
  void mapping_link_gone(Now, PeerRef);
  void end_mapping(Now);
  std::vector<const RelayInfo*> possible_sources(Now now, const Client&) const;

  Shared s_;
  RelayLinks& links_;
  std::vector<Contact> contacts_;
  std::unique_ptr<discovery::Gossip> gossip_;     // one of both
  std::unique_ptr<discovery::ClientCopy> copy_;
  std::map<discovery::SyncSession, Talk> talks_;
  std::map<PeerRef, discovery::SyncSession> talk_of_;
  uint32_t next_talk_ = 1;
  bool changed_ = false;
  discovery::DhtPlaces places_;
  bool places_stale_ = false;
  discovery::FirstSeen first_seen_;
  Bandwidths bandwidths_;
  bool unjudged_ = true;
  Mono judge_at_ = kLongAgo;
  Mono idle_check_ = kNever;

  std::vector<PeerId> failed_calls_;  // told at the next deadline, since who is told calls another
  Mono failed_at_ = kNever;
  Mono contacts_at_ = kNever;
  unsigned contact_tries_ = 0;

  struct Sync {
    std::vector<PeerRef> called;  // links that are not up yet
    std::vector<std::pair<PeerRef, PeerId>> up;
    std::map<discovery::SyncSession, PeerId> compared;
    bool comparing = false;
  };
  std::optional<Sync> sync_;
  std::vector<PeerId> asked_;           // in the last one
  struct Mapping {
    std::map<PeerRef, std::pair<size_t, std::vector<discovery::IdRange>>> sources;  // which, and what it was asked and has not answered
    discovery::LivenessMap map;
    Mono until;
  };
  std::optional<Mapping> mapping_;
  discovery::LivenessMemory liveness_;
  bool liveness_changed_ = false;
  const discovery::LivenessProber* prober_ = nullptr;
  encryption::TokenBucket maps_;
  std::map<PeerId, unsigned> strikes_;  // of relays that were known
  Mono sync_at_ = kNever, no_way_since_ = kNever;
  unsigned sync_failures_ = 0, thin_syncs_ = 0;
  bool is_used_ = false, ever_synced_ = false;
  std::optional<discovery::SyncVerdict> last_;
};

}  // namespace macrovpn::node
