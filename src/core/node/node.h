// Node: the six components wired into one state machine without I/O.  The same object is a client, a relay,
// an exit or all three; the shell and the simulator drive it with batches, commands and deadlines and carry
// out its Effects.
//
// Contract: `now.mono` never goes back; every public call leaves all consequences in `fx`; next_deadline()
// says when to call on_deadline() at the latest.  pool and rng must outlive the node and every packet in an
// Effects.
#pragma once
#include <memory>
#include <set>

#include "core/node/client_side.h"
#include "core/node/directory_side.h"
#include "core/node/exit_side.h"
#include "core/node/introduction_side.h"
#include "core/node/measure_side.h"
#include "core/node/phone_side.h"
#include "core/node/record_asker.h"
#include "core/node/record_holder.h"
#include "core/node/relay_links.h"
#include "core/node/relay_side.h"
#include "core/node/stun_side.h"
#include "core/node/verify_side.h"

namespace macrovpn::node {

// Datagrams that came, and why some went no further; encryption::Drop counts what happens to those that do.
struct NodeCounters {
  uint64_t datagrams = 0;
  uint64_t unknown = 0;           // nothing we can unmask
  uint64_t malformed = 0;         // unmasked, but cut off or overlong
  uint64_t unknown_relay = 0;     // forwarded, it says, by a relay that is not in our directory
  uint64_t bad_trailer = 0;       // forged
  uint64_t replayed_trailer = 0;  // seen before
  uint64_t too_deep = 0;          // more relays before us than a circuit has
  uint64_t bad_payload = 0;       // authenticated, but not a payload of ours
  uint64_t strays = 0;            // given to the shard whose they are
};

class Node {
 public:
  Node(const NodeConfig& config, PacketPool& pool, Rng& rng);

  void start(Now now, Effects& fx);  // once, first
  void on_datagrams(Now now, std::span<Datagram> batch, Effects& fx);
  void on_tun_packets(Now now, TunId tun, std::span<Packet> batch, Effects& fx);
  // From other shards of this node.
  void on_shard_messages(Now now, std::span<ShardMessage> batch, Effects& fx);
  // IP packets from the exit's network, for private lease addresses.
  void on_exit_packets(Now now, std::span<Packet> batch, Effects& fx);
  Mono next_deadline() const;
  void on_deadline(Now now, Effects& fx);

  // ---- commands of the user
  Result<void> attach(Now now, TunId tun, Slots slots, Effects& fx);
  void detach(Now now, TunId tun, Effects& fx);
  Result<void> hop(Now now, TunId tun, Effects& fx);

  // ---- phones (phone_side.h); the TunId is good for hop() too
  Result<TunId> add_phone(Now now, const Phone& phone, Effects& fx);
  void remove_phone(Now now, TunId tun, Effects& fx);

  // ---- the live directory (directory_side.h); nullptr: there is none.  The calls below take what it did to others.
  DirectorySide* live_directory() { return live_.get(); }
  const DirectorySide* live_directory() const { return live_.get(); }
  discovery::Inserted publish(Now now, const discovery::EntryPtr& entry, Effects& fx);
  void on_checked(Now now, uint64_t check, const Result<discovery::EntryPtr, discovery::CheckFailure>& result, Effects& fx);
  bool ask_about_us(Now now, const discovery::EntryPtr& own, Effects& fx);  // verify_side.h
  void accept_directory(Now now, Effects& fx);
  void add_contacts(Now now, std::vector<Contact> contacts, Effects& fx);
  // Another shard of this node has a live one, and this is what became of it (Effects::directory).
  void follow_directory(Now now, const discovery::SetChanges& changes, Effects& fx);

  // ---- records (records.h); they need a live directory here, and fail without one
  Result<RecordTicket> put_record(Now now, const RecordPut& put, Effects& fx);
  Result<RecordTicket> get_record(Now now, const RecordGet& get, Effects& fx);
  // Whoever asked does not want to know any more; a put stays.
  void forget_question(Now now, RecordTicket ticket, Effects& fx);
  const RecordAsker* records() const { return records_.get(); }            // nullptr: no live directory here
  const RecordHolder* records_kept() const { return records_kept_.get(); }  // for others; nullptr: no relay

  // ---- the directory: filled by the live one, else by whoever reads descriptors
  discovery::Directory& directory() { return directory_; }
  const discovery::Directory& directory() const { return directory_; }
  void directory_changed(Now now, Effects& fx);
  // Ascending.  A client with a live directory hears it by itself.
  void believe_dead(std::vector<PeerId> relays) {
    if (client_) client_->believe_dead(std::move(relays));
  }
  // Relays whose claim of a region is not believed: no exits where one is wanted.  A client's.
  void doubt_regions(std::set<PeerId> relays) {
    if (client_) client_->doubt_regions(std::move(relays));
  }

  // ---- a relay's operator.  Draining: nothing new is taken, and every caller is told to leave; closed: nothing is left.
  void set_service(Now now, peers::Service service, Effects& fx);
  peers::Resources& resources() { return resources_; }
  const peers::Resources& resources() const { return resources_; }
  // A relay behind a NAT: through whom it is reached, and what it could be in a guess.  None: it stands in the open.
  void set_introducers(Now now, const std::vector<PeerId>& introducers, const GuessPart& part, Effects& fx);
  // A client that ends: leases and circuits are given back, so that nobody keeps them for it.
  void say_goodbye(Now now, Effects& fx);
  // The system refused a datagram as too long for our own link.  What it says of links further on is not believed.
  void refused_as_too_long(Now now) {
    if (client_) client_->refused_as_too_long(now);
  }

  // For tests of other nodes: a control frame in a session of ours, whatever it says.
  void send_frame(Now now, PeerRef session, Bytes frame, Effects& fx);

  // While a flood lasts: where sessions that carry traffic come from on the listening socket, busiest first.  Empty
  // when there is none.
  std::vector<Endpoint> callers_to_shield(Now now, size_t most) const;

  controller::State state() const;
  const ClientSide* client() const { return client_.get(); }
  const RelaySide* relay() const { return relay_.get(); }
  const ExitSide* exit() const { return exit_.get(); }
  const StunSide* stun() const { return stun_.get(); }
  // A client: as relays say; a relay: as it found.  Unknown without a live directory.
  discovery::Liveness liveness(Now now, const PeerId&) const;
  const VerifySide* verify() const { return verify_.get(); }
  const MeasureSide* measure() const { return measure_.get(); }
  const IntroductionSide* introductions() const { return introductions_.get(); }
  const PhoneSide& phones() const { return phones_; }
  const encryption::Tunnels& tunnels() const { return tunnels_; }
  const MaskTable& masks() const { return masks_; }
  RelayLinks& links() { return links_; }
  const NodeCounters& counters() const { return counters_; }
  void check_invariants() const;

 private:
  struct Opening {
    Packet packet;
    Route from;
  };
  // from_wire.cpp: datagrams to messages
  void sort(Now now, Datagram& d, Effects& fx);
  void on_handshake(Now now, Datagram& d, MaskId mask, Effects& fx);
  void on_initiation(Now now, Datagram& d, MaskId mask, const encryption::HandshakeDatagram& h, Effects& fx);
  std::optional<Upstream> who_sent(Now now, const Endpoint& from, const encryption::HandshakeDatagram& h);
  void on_early(Now now, const encryption::Accepted& a, Effects& fx);
  enum class Handed : uint8_t { no, over };
  void answer(Now now, Datagram& d, MaskId mask, const encryption::HandshakeDatagram& h, const Upstream& from, Handed, Effects& fx);
  // from_shard.cpp: what belongs to another shard, and what came from one
  std::optional<ShardId> owner_elsewhere(const Datagram& d) const;
  void hand_over(ShardId to, ShardNote::Kind, Datagram& d, MaskId mask, const Upstream& from, Effects& fx);
  void on_stray(Now now, ShardMessage& m, Effects& fx);
  void on_shard_message(Now now, ShardMessage& m, Effects& fx);
  // from_session.cpp: payloads to components
  void open_all(Now now, Effects& fx);
  void on_payload(Now now, PeerRef peer, const Route& from, Packet&& packet, Effects& fx);
  void on_relayed_up(Now now, PeerRef carrier, Packet&& packet, Effects& fx);
  void on_request(Now now, PeerRef peer, const routing::Frame& f, Effects& fx);
  void answer_ping(Now now, PeerRef peer, const routing::PingFrame& p);
  void on_close(Now now, PeerRef peer, LegNumber leg, Effects& fx);
  void answer_bind(Now now, PeerRef peer, Bytes body);
  void on_measuring(Now now, PeerRef peer, const routing::Frame& f, Effects& fx);
  void on_tunnel_events(Now now, Effects& fx);
  // from_link.cpp: sessions of our own with relays
  void on_link_payload(Now now, PeerRef link, Bytes payload, Effects& fx);
  bool is_about_links(PeerRef carrier, Bytes payload);
  void on_link_events(Now now, Effects& fx);
  void on_question(Now now, PeerRef caller, Bytes body, Effects& fx);
  void on_dial(Now now, PeerRef caller, Bytes body, Effects& fx);
  void asked_from_elsewhere(Now now, const ShardNote&, Bytes body, Effects& fx);
  void on_record_request(Now now, PeerRef caller, const routing::Frame& f, Effects& fx);
  void watch_directory(Now now, Effects& fx);
  // from_introduction.cpp
  void on_introduction_frame(Now now, PeerRef link, const routing::Frame& f);
  bool is_spliced(PeerRef link) const { return relay_ && links_.use_of(link) == LinkUse::introduction; }
  // from_phone.cpp
  void on_phone_packet(Now now, PeerRef peer, Packet&& packet, Effects& fx);
  void give_to_phones(Effects& fx);  // packets for them, out of tun_packets
  // node.cpp
  Shared shared();
  void after_flush();
  void finish(Now now, Effects& fx);
  void take(encryption::Out& out);
  void report_state(Effects& fx);
  bool looks_after_prekeys() const { return relay_ && config_.place.shard == ShardId{0}; }
  void renew_prekey(Now now, Effects& fx);
  void sweep(Now now);
  bool is_idle() const;  // no session of a caller's, no circuit of ours
  void rest();

  NodeConfig config_;
  PacketPool& pool_;
  Rng& rng_;
  discovery::Directory directory_;
  encryption::Tunnels tunnels_;
  MaskTable masks_;
  Egress egress_;
  peers::Resources resources_;
  peers::Service service_ = peers::Service::open;
  RelayLinks links_;
  std::unique_ptr<DirectorySide> live_;
  std::unique_ptr<ClientSide> client_;
  std::unique_ptr<IntroductionSide> introductions_;
  std::unique_ptr<RelaySide> relay_;
  std::unique_ptr<ExitSide> exit_;
  std::unique_ptr<StunSide> stun_;
  std::unique_ptr<VerifySide> verify_;  // of a relay with a live directory
  std::unique_ptr<MeasureSide> measure_;  // of one that measures
  std::unique_ptr<RecordHolder> records_kept_;  // of a relay with a live directory
  std::unique_ptr<RecordAsker> records_;        // where there is one
  PhoneSide phones_;
  std::vector<Opening> opening_, opened_;
  std::vector<encryption::OpenJob> jobs_;
  std::vector<encryption::Event> events_;
  NodeCounters counters_;
  Mono next_prekey_ = kNever;
  Mono next_sweep_ = kNever;
  controller::State reported_ = controller::State::off;
  bool was_connected_ = false;
};

}  // namespace macrovpn::node
