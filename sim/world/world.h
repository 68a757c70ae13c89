// World: hosts with the shipped core/node, the wires between them, and time.  It stands in for src/shell alone: cryptography,
// packets and timers are the real ones.  Everything follows from the seed.
//
//   program ─ TUN ─ node ═ up link ═ NATs ═ map ═ NATs ═ down link ═ node …  exit ─ policy ─ Internet ─ server
//
// One event heap: a node is in it once (its next deadline), a packet in flight once, a program's timer once.  Datagrams that
// reach a host at the same instant are one batch.  Nodes share what is equal: buffers, verified descriptors, one directory.
//
// What is simplified: an exit has an Internet address for each lease, so that its port numbers do not matter (outlets.h); DNS through
// the exit is not there; nodes speak IPv4 with each other, programs both; processing takes no time.
//
// Files: world.cpp (hosts, the loop), world_wire.cpp (datagrams), world_internet.cpp (exits, servers, programs),
// world_faults.cpp (what goes wrong), world_directory.cpp (descriptors).
#pragma once
#include <deque>
#include <functional>
#include <map>
#include <unordered_map>
#include <unordered_set>

#include "sim/engine/streams.h"
#include "sim/engine/trace_hash.h"
#include "sim/net/nat.h"
#include "sim/world/failure.h"
#include "sim/world/host.h"
#include "sim/world/mischief.h"
#include "sim/world/outlets.h"
#include "sim/world/watcher.h"

namespace macrovpn::sim {

inline constexpr uint16_t kListenPort = 51820, kEgressPort = 51821;

struct WorldConfig {
  uint64_t seed = 1;
  Network network;
  std::optional<Duration> flat;  // one way between any two hosts, without their access; none: geography
  // One way between any exit and any server, on a wire of their own that loses nothing; none: over the map and their links, as all do.
  std::optional<Duration> beyond;
  Duration news = 10s;  // at most so long after a relay published, all know
};

struct HostSpec {
  HostKind kind = HostKind::client;
  std::string name;
  Place place{};
  RealmId realm = kInternet;
  IpAddress address{};  // in that realm; unspecified: the next one behind its box
  IpAddress address6{};  // servers: another one, for IPv6; unspecified: none
  uint32_t as_number = 0;
  LinkModel up, down;
  std::optional<node::ClientConfig> client;
  Bandwidth bandwidth{1'000'000};  // that a relay claims
  bool takes_guard = true;         // a relay that is no exit
  bool exit_v6 = true;             // an exit: it carries IPv6 too
};

struct WorldCounters {
  uint64_t events = 0, datagrams = 0, delivered = 0, bytes = 0, lost_on_links = 0, nowhere = 0, at_nats = 0, to_the_dead = 0;
  uint64_t internet = 0, refused_by_policy = 0, to_ended_leases = 0, too_big = 0, mischief = 0, batches = 0, blocked = 0;
};

class World {
 public:
  explicit World(const WorldConfig&);
  ~World();
  World(const World&) = delete;

  // ---- making it
  HostId add_host(const HostSpec&);
  BoxId add_nat(const NatModel&, RealmId outside, const IpAddress& address, Place);
  RealmId inside_of(BoxId) const;
  // Nothing gets through that is UDP, either way.
  void block_udp(BoxId, bool blocked);
  void add_program(HostId, std::unique_ptr<Program>);  // in a world that runs it starts at once
  void watch(Watcher& w) { watchers_.push_back(&w); }  // outlives the world's running
  void start();  // nodes start, relays publish, clients attach

  // ---- time
  Now now() const { return now_; }
  Mono began() const { return began_; }
  Duration elapsed() const { return now_.mono - began_; }
  void run_for(Duration);  // ends early on a failure
  // Called once, then.
  void at(Mono, std::function<void()>);

  // ---- what goes wrong (world_faults.cpp)
  void crash(HostId);
  void stop(HostId);     // as its user would: what it saw is written down
  void restart(HostId);  // with its disk
  void sleep(HostId);
  void wake(HostId);
  void move(HostId, RealmId, const IpAddress&, Place);  // another network; unspecified: the next address behind its box
  void set_skew(HostId, Duration);
  void set_links(HostId, const LinkModel& up, const LinkModel& down, const std::string& why);
  void reboot_nat(BoxId);
  void hop(HostId);
  // Whatever else its user commands; nothing if its node does not run.
  void command(HostId, const std::function<void(node::Node&, Now, node::Effects&)>&);
  // IP packets of a program on that device of a client.
  void send_as_program(HostId, TunId, std::span<Packet>);
  void set_service(HostId, peers::Service);
  void set_mischief(HostId, std::unique_ptr<Mischief>);
  // A datagram that the host's node did not make.  From another endpoint than the host's own: forged.
  void inject(HostId from, const Endpoint& source, const Endpoint& target, Bytes, Duration delay);
  // Until then something is wrong with everybody's way: who promises recovery begins to count afterwards.
  void trouble_until(Mono t) { trouble_until_ = std::max(trouble_until_, t); }
  Mono trouble_until() const { return trouble_until_; }

  // ---- looking
  Host& host(HostId id) { return *hosts_[id.value]; }
  const Host& host(HostId id) const { return *hosts_[id.value]; }
  const std::vector<std::unique_ptr<Host>>& hosts() const { return hosts_; }
  const Host* host_at(const IpAddress&) const;  // on the Internet, NATs not counted
  const Host* relay_of(const PeerId&) const;
  const Host* behind(const Endpoint& source) const;  // who sent from there last, through NATs or not
  const discovery::Directory& catalogue() const { return catalogue_; }
  const Network& network() const { return config_.network; }
  const WorldCounters& counters() const { return counters_; }
  const Streams& streams() const { return streams_; }
  uint64_t trace_hash() const { return trace_.value(); }
  PacketPool& pool() { return pool_; }
  const Nat& nat(BoxId id) const { return boxes_[id.value].nat; }
  // Whether it ever was one: what still flies to an old address is no stranger's.
  bool was_relay_endpoint(const Endpoint& e) const { return relay_endpoints_.contains(e); }
  bool is_server_address(const IpAddress& a) const { return servers_.contains(a); }

  // ---- failing
  void fail(Failure);
  const std::optional<Failure>& failure() const { return failure_; }

 private:
  enum Kind : uint8_t { kNodeDeadline, kFlight, kProgramTimer, kOnce, kSecond, kNews };
  enum class Stage : uint8_t { held, far, near };
  struct Flight {
    Packet packet;
    Endpoint source, target;
    HostId from{}, to{};
    SocketId socket;  // that it left by
    Stage stage = Stage::far;
    bool internet = false;  // an IP packet between an exit and a server, not a datagram
    bool forged = false, made_up = false;
    EventId event;
  };
  struct Box {
    Nat nat;
    RealmId inside, outside;
    std::unique_ptr<SeededRng> rng;
    Place place{};
    bool udp_blocked = false;
  };
  struct Attached {  // to an address of a realm
    HostId host{UINT32_MAX};
    BoxId box{UINT32_MAX};
  };
  struct Realm {
    std::unordered_map<IpAddress, Attached> at;  // looked up only
    std::optional<BoxId> box;                    // that leads out
    uint32_t next_address = 0;
  };
  class Port;
  // Told by the nodes' own code; whose node it is follows from who is being called.
  struct Witness : encryption::SealWitness {
    explicit Witness(World& w) : world(w) {}
    void seals(const Secret<32>& key, uint64_t counter) override;
    void seals_once(const Secret<32>& key) override;
    template <class F>
    void tell(F f);
    World& world;
  };

  // world.cpp
  void step();
  void second();
  void call(Host&, const std::function<void(node::Node&, node::Effects&)>&);
  int64_t held_by_nodes(const node::Effects&) const;
  void run_deadline(Host&);
  void apply(Host&, node::Effects&);
  void reschedule(Host&);
  void attach(Host&);
  Now now_of(const Host& h) const { return {now_.mono, now_.wall + h.skew}; }
  void give_address(Host&, RealmId, const IpAddress&);
  Duration distance(Place a, Place b) const { return config_.flat ? *config_.flat : latency(a, b); }
  template <class F>
  void tell(F f) {
    for (Watcher* w : watchers_) f(*w);
  }
  void say(const Host& h, const std::string& what) {
    tell([&](Watcher& w) { w.fault(*this, h, what); });
  }
  void note(Host& h, Happened::What what, HostId other, size_t size) {
    h.history.add({what, now_.mono, other, static_cast<uint32_t>(size)});
  }

  // world_wire.cpp
  uint32_t new_flight();
  void end_flight(uint32_t);
  void send(Host& from, node::Datagram);
  void launch(Host& from, uint32_t flight);
  void out_through_boxes(Host& from, uint32_t flight);
  void on_flight(uint32_t);
  void reach_far(uint32_t);
  bool in_through_boxes(Flight&);
  void deliver(uint32_t first);
  void offer_down(Host& to, uint32_t flight);

  // world_internet.cpp
  void from_exit(Host& exit, Packet);
  void serve(Host& server, Flight&);
  void to_exit(Host& exit, Flight&);
  void run_programs(Host&, const std::function<void(Program&, ProgramPort&)>&, size_t index);
  void send_outbox(Host&);
  void fly_over_internet(Host& from, HostId to, Packet);

  // world_directory.cpp
  void publish(Host&);
  void spread_news();

  // world_faults.cpp
  void boot(Host&);

  WorldConfig config_;
  Streams streams_;
  Now now_;
  Mono began_;
  PacketPool pool_;  // before everything that holds packets
  crypto::AeadBatch aead_;
  EventHeap heap_;
  TraceHash trace_;
  std::vector<std::unique_ptr<Host>> hosts_;
  std::deque<Box> boxes_;
  std::vector<Realm> realms_;
  std::vector<Flight> flights_;
  std::vector<uint32_t> free_flights_;
  std::vector<Watcher*> watchers_;
  std::vector<std::function<void()>> onces_;
  std::unordered_map<IpAddress, HostId> servers_;
  std::map<PeerId, HostId> relays_;
  std::unordered_set<Endpoint> relay_endpoints_;
  std::unordered_map<Endpoint, HostId> senders_;  // outside endpoints, as last used
  Outlets outlets_;
  discovery::Directory catalogue_;
  bool news_waits_ = false;
  Mono trouble_until_ = kLongAgo;
  // Reused from event to event.
  std::vector<node::Effects> spare_effects_;
  std::vector<node::Datagram> batch_;
  std::vector<Packet> outbox_;
  bool started_ = false;
  EventId second_, news_;
  int64_t slot_bytes_ = 0;
  int64_t held_by_watchers_ = 0;  // taken while a node ran
  Witness witness_{*this};
  std::vector<const Host*> called_;  // innermost last
  WorldCounters counters_;
  std::optional<Failure> failure_;
};

}  // namespace macrovpn::sim
