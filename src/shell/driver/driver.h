// Driver: one Node, its sockets and devices in a Reactor.  It carries out Effects and nothing else.
//
// A wake-up reads everything that is ready, in batches, and lets the node work on each; what comes of a batch leaves before
// the next is read, grouped by socket.  Timers and events follow at its end (Reactor::after_round).
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "core/node/node.h"
#include "shell/driver/shield.h"
#include "shell/driver/verifier.h"
#include "shell/packet_device.h"
#include "shell/reactor.h"

namespace macrovpn::shell {

class Driver {
 public:
  // pool and rng outlive it; the reactor too.
  Driver(Reactor& reactor, const node::NodeConfig& config, PacketPool& pool, Rng& rng);
  ~Driver();
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;

  // Sockets first, then start(); that of phones may come later.
  void add_socket(SocketId id, UdpSocket socket);
  void remove_socket(SocketId id);  // of phones: harmless if there is none
  // How sockets are made that the node wants beside those (core/node/way_sockets.h).  One that cannot be made is counted and missing.
  void set_socket_maker(std::function<Result<UdpSocket>()> make) { make_socket_ = std::move(make); }
  uint64_t sockets_not_made() const { return sockets_not_made_; }
  // What an exit's packets go into.  Packets from there come back by on_exit_packets().
  void set_exit(std::function<void(std::span<Packet>)> inject,
                std::function<void(const node::ExitLease&)> on_lease) {
    exit_inject_ = std::move(inject);
    exit_lease_ = std::move(on_lease);
  }
  void on_exit_packets(std::span<Packet> packets);
  // Where messages for other shards of this node go; theirs come by on_shard_messages().
  void set_shards(std::function<void(std::span<node::ShardMessage>)> send) { to_shards_ = std::move(send); }
  void on_shard_messages(std::span<node::ShardMessage> messages);
  // Datagrams for sockets that are none of these, and those that come some other way (shell/https/server.h).
  void set_other_sockets(std::function<void(std::span<node::Datagram>)> send) { to_others_ = std::move(send); }
  void on_datagrams(std::span<node::Datagram> datagrams);
  // A client's other way to its entry relays (shell/https/detour.h): sees, and takes from, what is about to leave and what came.
  using Look = std::function<void(std::vector<node::Datagram>&)>;
  void set_detour(Look outgoing, Look incoming) {
    look_at_outgoing_ = std::move(outgoing);
    look_at_incoming_ = std::move(incoming);
  }
  void send_by_udp(node::Datagram datagram);
  void start();

  // A program's device: a new group, or with slots many.
  Result<TunId> attach(PacketDevice device, node::Slots slots);
  void detach(TunId tun);
  Result<void> hop(TunId tun);
  Result<TunId> add_phone(const node::Phone& phone);
  void remove_phone(TunId tun);
  void directory_changed();
  // ---- the live directory (core/node/directory_side.h), where the node has one
  discovery::Inserted publish(const discovery::EntryPtr& entry);
  bool ask_about_us(const discovery::EntryPtr& own);
  void accept_directory();
  void add_contacts(std::vector<Contact> contacts);
  // What became of it, after each batch: for the store and for other shards, which are told by follow_directory().
  void on_directory(std::function<void(const discovery::SetChanges&)> f) { on_directory_ = std::move(f); }
  void follow_directory(const discovery::SetChanges& changes);
  // ---- records (core/node/records.h); that they have ended is an event
  Result<node::RecordTicket> put_record(const node::RecordPut& put);
  Result<node::RecordTicket> get_record(const node::RecordGet& get);
  void forget_question(node::RecordTicket ticket);
  void set_service(peers::Service service);
  void set_introducers(const std::vector<PeerId>& introducers, const node::GuessPart& part);
  // The last thing that a client sends; at once.
  void say_goodbye();

  // Called for each event of the node, after its packets were sent.
  void on_event(std::function<void(const node::NodeEvent&)> f) { on_event_ = std::move(f); }
  // A program's device is gone: its namespace ended.
  void on_device_gone(std::function<void(TunId)> f) { on_gone_ = std::move(f); }

  const PacketDevice* device(TunId) const;  // nullptr: there is none
  UdpSocket::Offloads datagram_offloads() const;

  node::Node& node() { return node_; }
  const node::Node& node() const { return node_; }

 private:
  void read_socket(SocketId id, UdpSocket& socket);
  void read_listening(UdpSocket& socket);
  void refresh_shield(Mono now);
  void read_device(TunId tun);
  void flush();
  void carry_out();
  void write_devices();
  void change_sockets();
  void send_datagrams();
  void send_by(SocketId id, std::vector<node::Datagram>& batch);

  Reactor& reactor_;
  PacketPool& pool_;
  node::Effects effects_;
  node::Node node_;
  std::map<SocketId, UdpSocket> sockets_;
  std::function<Result<UdpSocket>()> make_socket_;
  std::vector<SocketId> closing_;  // at the end of the round: one of them may be being read
  uint64_t sockets_not_made_ = 0;
  Shield shield_;
  Mono next_shield_check_ = kLongAgo, shielded_until_ = kLongAgo;
  std::optional<Reactor::TimerId> listening_rests_;
  std::map<TunId, PacketDevice> devices_;
  std::vector<node::Datagram> incoming_;
  std::vector<Packet> packets_;
  std::vector<node::Datagram> outgoing_;
  std::function<void(std::span<Packet>)> exit_inject_;
  std::function<void(const node::ExitLease&)> exit_lease_;
  std::function<void(std::span<node::ShardMessage>)> to_shards_;
  std::function<void(std::span<node::Datagram>)> to_others_;
  Look look_at_outgoing_, look_at_incoming_;
  std::unique_ptr<Verifier> verifier_;
  std::function<void(const discovery::SetChanges&)> on_directory_;
  std::function<void(const node::NodeEvent&)> on_event_;
  std::function<void(TunId)> on_gone_;
  uint32_t next_tun_ = 1;
};

}  // namespace macrovpn::shell
