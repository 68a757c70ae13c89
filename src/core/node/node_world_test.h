// A world of nodes for tests: datagrams between them take a fixed time on a virtual clock.  The simulator
// proper comes later; this is the smallest thing that lets whole circuits be tested without I/O.
#pragma once
#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <set>

#include "core/node/node.h"

namespace macrovpn::node {

class TestWorld {
 public:
  struct Host {
    std::string name;
    NodeConfig config;
    std::unique_ptr<PlainCommons> commons;
    std::unique_ptr<Node> node;                   // shard 0
    std::vector<std::unique_ptr<Node>> others{};  // shards 1 ...
    size_t shards = 1;
    Node& shard(size_t i) { return i == 0 ? *node : *others[i - 1]; }
    IpAddress address;
    std::vector<std::vector<uint8_t>> tun, exit;  // what came out there
    std::vector<NodeEvent> events;
    size_t checks = 0;
    std::vector<ExitLease> leases;
    uint64_t datagrams_in = 0, bytes_in = 0, bytes_out = 0;
    bool dead = false;
    PublicKey prekey;
    // Its NAT: nothing comes in from where nothing went, and a hard one shows everybody another port.
    enum class Nat : uint8_t { none, cone, hard } nat = Nat::none;
    std::map<std::pair<SocketId, Endpoint>, uint16_t> mapped{};  // what went out, and by which port
    bool port_open = false;                                      // its NAT sends on whatever comes to the listening port
    std::set<SocketId> sockets{};                                // beside the two that every shard has
    std::vector<std::string> introducers{};                      // published
    uint32_t as_number = 0;                                      // as well
    Bandwidth claim{1'000'000};                                  // as well
    std::optional<MeasuredRelays> measured{};                    // as well: what its node found
  };
  struct Flight {
    Host* from;
    Host* to;
    SocketId socket;             // at which it arrives
    std::vector<uint8_t> bytes;  // the last one is the socket that it left by, and above that its shard
    std::optional<Endpoint> source;  // forged
    size_t shard = 0;                // to which it comes, at the egress socket
    uint16_t port = 0;               // to which it was sent
  };

  explicit TestWorld(uint64_t seed = 1);
  ~TestWorld();

  Host& add_relay(const std::string& name, const std::string& address, bool exit, size_t shards = 1);
  Host& add_client(const std::string& name, const std::string& address, const ClientConfig& client);
  void restart(Host& h);     // the process dies and comes again with the same keys and files, and a new prekey
  void move(Host& h, const std::string& address);  // to another network
  void publish();            // every node learns every relay
  void announce(Host& relay);  // signs its descriptor and gives it to its live directory
  Contact contact(const Host& relay) const;
  // Nodes that are added from now on have a live directory and know these relays.
  std::optional<DirectoryConfig> live;
  void run_for(Duration d);  // until then, in order of time
  bool run_until(const std::function<bool()>& done, Duration at_most);
  void send_from_program(Host& client, TunId tun, Bytes packet);
  void send_from_exit(Host& exit, Bytes packet);
  void send_frame(Host& from, PeerRef session, Bytes frame);  // a control frame of the test's own making
  void send_datagram(Host& from, Host& to, Bytes datagram);  // forged: as if `from` had sent it
  void send_forged(const Endpoint& source, Host& to, SocketId socket, Bytes datagram);
  template <class Event>
  size_t count(const Host& h) const {
    return static_cast<size_t>(std::count_if(h.events.begin(), h.events.end(),
                                             [](auto& e) { return std::holds_alternative<Event>(e); }));
  }
  const Circuit* active(const Host& client, TunId tun, uint16_t slot = 0) const;
  void attach(Host& client, TunId tun, Slots slots = Slots::only_own);
  void detach(Host& client, TunId tun);
  void hop(Host& client);  // every group
  void command(Host& h, const std::function<void(Node&, Effects&)>& f);  // to each shard
  // At which shard the listening socket gets what a neighbour sends; by itself a hash.
  std::function<size_t(const Host&, const Endpoint& from)> steer;
  std::function<bool(const ShardMessage&)> lose_crossing;
  std::map<ShardNote::Kind, size_t> crossed;  // between shards, of all hosts

  Now now;
  Duration link = 20ms;                     // one way
  std::function<bool(const Flight&)> drop;  // the wire loses it
  std::function<void(const Flight&)> tap;   // everybody's wire
  std::function<void(const Host&, const Datagram&)> sends;  // every datagram that leaves, wherever it goes
  std::map<std::string, std::unique_ptr<Host>> hosts;
  Network network;

 private:
  void apply(Host& h, Effects& fx, size_t shard = 0);
  size_t shard_for(Host& h, const Flight& f, const Endpoint& source) const;
  std::optional<Endpoint> leave_nat(Host& h, SocketId socket, const Endpoint& to);
  static void change_sockets(Host& h, const Effects& fx, SocketChange::Kind kind);
  static bool enter_nat(const Host& h, const Endpoint& source, Flight& f);
  void start(Host& h);
  SeededRng rng_, nat_ports_{77};
  PacketPool pool_;
  RelayInfo describe(const Host& relay) const;
  std::multimap<Mono, Flight> wire_;
  std::map<IpAddress, Host*> by_address_;
};

// What most tests want: relays r0, r1 …, exits e0, e1 …, and one client.
struct SmallNet : TestWorld {
  struct Size {
    int relays = 4, exits = 2;
  };
  explicit SmallNet(const ClientConfig& client, uint64_t seed = 1, Size size = {4, 2});
  Host& client() { return *hosts["client"]; }
  Host& host_of(const PublicKey& wireguard);
  Host& host_of(const Hop& hop) { return host_of(hop.relay.wireguard); }
  // Attaches; a circuit with its lease, or what there is after 20 s.
  const Circuit* connect(Host& who, TunId tun);
  void check_all() const;
};

// An IPv4 UDP packet between inside and outside addresses, as a program's kernel would make it.
std::vector<uint8_t> udp_packet(const std::string& from, const std::string& to, size_t payload);

}  // namespace macrovpn::node
