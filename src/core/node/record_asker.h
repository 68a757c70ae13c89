// RecordAsker: a node's own questions about records (records.h): one link to each holder, closed when the question has ended; and what the
// node keeps with holders for its owner (core/discovery/dht_lookup.h).
//
// Every question has sessions and keys of its own, so that a holder does not see which of them come from one node.  A client calls
// through the relay before the exit of a ready circuit, never directly and never a relay of that circuit: those count as silent.
//
// Bounds: kMaxRunning questions under way (each at most kLinksOfOne links), kMaxWaiting behind them, kMaxOwners keys with kMaxDhtKept records each.
// What the node keeps is told again when nobody waits.
#pragma once
#include <deque>
#include <map>
#include <variant>

#include "core/discovery/dht_lookup.h"
#include "core/node/client_side.h"
#include "core/node/record_holder.h"
#include "core/node/records.h"
#include "core/node/relay_links.h"

namespace macrovpn::node {

class RecordAsker {
 public:
  static constexpr size_t kMaxRunning = 2, kMaxWaiting = 32, kMaxOwners = 8;
  static constexpr size_t kLinksOfOne = 3 * discovery::kHolders;  // today's first and second twelve, yesterday's first
  static_assert(kMaxRunning * kLinksOfOne <= kMaxLinksOfUse, "or holders would count as silent that nobody asked");

  // `client`, `holder`: nullptr if the node is none.  All outlive this.
  RecordAsker(Shared s, RelayLinks& links, DirectorySide& directory, const ClientSide* client, RecordHolder* holder);

  // Fails, with a sentence for a person, if the words are wrong or too many wait.
  Result<RecordTicket> put(Now now, const RecordPut&, Effects& fx);
  Result<RecordTicket> get(Now now, const RecordGet&, Effects& fx);
  // Nobody waits for it any more: no event.
  void forget(RecordTicket);
  std::optional<RecordProgress> progress(RecordTicket) const;  // nothing: it has ended

  void on_link(Now now, const LinkEvent&, Effects& fx);
  void on_link_frame(Now now, PeerRef link, const routing::Frame&, Effects& fx);
  Mono next_deadline() const;
  void on_deadline(Now now, Effects& fx);
  size_t kept() const;  // records
  void check_invariants() const;

 private:
  using Question = std::variant<discovery::DhtGet, discovery::DhtPutOperation>;
  struct Operation {
    Question question;
    bool own = false;  // of a keeper: nobody is told
    IdentityKey owner;
    discovery::DhtService service{};  // of a put
    discovery::DhtName name{};
    Mono gives_up = kNever;  // while it waits for a circuit
    std::map<PeerId, PeerRef> links{};
  };
  using Operations = std::map<RecordTicket, Operation>;

  RecordTicket next_ticket();
  discovery::DhtKeeper* keeper_of(const crypto::SigningKey& owner);
  void queue_tellings(discovery::DhtKeeper&, std::vector<discovery::DhtKeeper::Due>&&);
  void look_after_kept(Now now);
  void start_some(Now now, Effects& fx);
  Mono next_look() const;
  void carry_out(Now now, Operations::iterator, discovery::DhtOut&, Effects& fx);
  bool ask(Now now, Operation&, const discovery::DhtAsk&, discovery::DhtOut& more);
  std::optional<PeerRef> link_to(Now now, const PeerId&);
  void end(Now now, Operations::iterator, const RecordOutcome&, Effects& fx);
  void settle(Operation&, const RecordOutcome&);
  static RecordOutcome outcome_of(const Question&);

  Shared s_;
  RelayLinks& links_;
  DirectorySide& directory_;
  const ClientSide* client_;
  RecordHolder* holder_;
  uint32_t next_number_ = 0;  // 0: not drawn yet
  Mono look_again_ = kNever;   // whether there is a circuit
  Operations running_;
  std::map<PeerRef, RecordTicket> whose_;  // links
  std::deque<std::pair<RecordTicket, Operation>> waiting_, tellings_;
  std::map<IdentityKey, discovery::DhtKeeper> keepers_;
};

}  // namespace macrovpn::node
