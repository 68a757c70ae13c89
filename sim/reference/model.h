// Model: what the users of two clients may expect of their tunnels, and what must never happen; as little as can be written down.
// It knows nothing of circuits, sessions or keys: packets go in, and come out or not.
//
//   told     what was done (turned on, hopped, moved ...) and how the network around is
//   shown    each packet of a program, where it came out, what came back, and what the node says of itself
//   answers  nothing, or a sentence about what is wrong
//
// Two kinds of promises.  What must never happen holds always, whatever is wrong around.  What must happen is promised only where
// a way exists, and has a deadline, which begins again when anything changes.
#pragma once
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/time.h"
#include "model/ip.h"
#include "model/keys.h"
#include "model/relay.h"
#include "sim/reference/operation.h"

namespace macrovpn::sim {

struct ModelLimits {
  Duration recovery = 30s;     // whoever asks each second has an answer that long after the last thing that went wrong
  Duration unused = 50s;       // who asks nothing is told by then that there is a way again: silence is noticed after 26 s, then builds to a dead exit, and a dead middle
  Duration in_flight = 1s;     // what was sent before a device was turned off may still come out
  Duration steady = 45s;       // a network in which nothing has happened for so long loses nothing
  Duration warm = 60s;         // ... on a tunnel that had an answer within that time
  Duration at_once = 1s;       // then an answer takes so long at most
  Duration noticed = 10s;      // who asks each second learns by then that there is no way
  Duration address_kept = 100s;  // an exit keeps a lease for longer than that after its last session
  Duration hopped = 20s;  // a guard that started again while it was not used costs a build
  Duration rebuilt = 5s;  // an idle circuit lapses; when it is used again, the client may say so for that long
};

using Wrong = std::optional<std::string>;  // what, as a sentence

class Model {
 public:
  explicit Model(const ModelLimits& limits = {});

  // ---- what is done
  void turned(Mono, size_t device, bool on);
  void client_runs(Mono, size_t client, bool);
  void client_awake(Mono, size_t client, bool);
  void udp_blocked(Mono, size_t client, bool);
  void disturbed(Mono, size_t client, bool);
  void moved(Mono, size_t client);  // to another network, or its NAT forgot
  void settings(Mono, size_t client, size_t hops, std::optional<Region> exits);
  void relay_serves(Mono, size_t relay, bool);
  void relay_changed(Mono);  // its calendar

  // ---- packets.  `number` is in the packet; nobody uses one twice.
  struct Sent {
    size_t device = 0;
    Endpoint target;
    bool allowed = true;  // false: it must not come out
    bool has_repeats = false;  // one of a question that is asked again
  };
  void sent(Mono, uint64_t number, const Sent&);
  struct Exit {
    size_t relay = 0;
    Region region{};
    uint64_t life = 0;  // how often it has started
    IpAddress address;  // that the server saw
  };
  Wrong came_out(Mono, uint64_t number, const Endpoint& target, const Exit&);
  Wrong came_back(Mono, uint64_t number, size_t device, const Endpoint& from);
  Wrong connection_opened(size_t device) const;  // somebody outside opens one to a program: never
  Wrong entered_by(size_t client, const PeerId& relay);  // a relay that its host sends datagrams to

  // ---- questions: one at a time for each device
  void asks(Mono, size_t device);
  bool is_asking(size_t device) const { return devices_[device].asked_at != kNever; }

  // ---- what the node says of itself
  struct Said {
    bool connected = false;
    // Of each device's circuit in use, first hop first; empty: none.
    std::array<std::vector<PeerId>, kDevices> paths;
  };
  void hopped(Mono, size_t device, const Said&);
  Wrong judge(Mono, size_t client, const Said&);

  bool is_on(size_t device) const { return devices_[device].on; }
  bool serves(size_t relay) const { return serves_[relay]; }
  size_t answered() const { return answered_; }
  size_t promised() const { return promised_; }  // deadlines that were judged

 private:
  struct Device {
    bool on = false;
    Mono changed = kLongAgo;  // turned on or off
    uint64_t life = 0;        // how often it was turned on, or its client was started
    Mono asked_at = kNever;   // the question that has no answer yet
    std::optional<IpAddress> address;
    size_t exit = 0;          // that the address is at
    bool address_may_change = true;
    Mono answered_at = kLongAgo;
    Mono hopped_at = kNever;
    std::vector<PeerId> before_hop;
  };
  struct Client {
    bool runs = true, awake = true, blocked = false, disturbed = false;
    size_t hops = 3;
    std::optional<Region> exits;
    Mono changed = kLongAgo;    // anything that may cost it packets
    Mono no_way_since = kNever;
    Mono not_connected_since = kNever;
    std::set<PeerId> entries;
    bool worked = false;        // since it was started
    bool had_trouble_at_first = false;
  };
  struct Packet {
    Sent sent;
    Mono at;
    uint64_t life = 0;
    bool was_on = false;
    int out = 0, back = 0;
    bool must_be_answered = false;
  };
  struct Holder {
    size_t device = 0;
    uint64_t life = 0;
    bool operator==(const Holder&) const = default;
  };

  void happened(Mono, size_t client);
  void happened_to_all(Mono);
  void update(Mono);
  bool has_way(size_t client) const;
  bool has_no_way(size_t client) const;
  bool is_steady(Mono, size_t client) const;
  bool is_in_trouble(const Client&) const;
  std::string name(size_t device) const;
  Wrong wrong_address(Mono, size_t device, uint64_t life, const Exit&);  // life: the sender's, when it sent
  Wrong late_answers(Mono, size_t client);
  Wrong wrong_state(Mono, size_t client, const Said&);
  Wrong wrong_path(Mono, size_t device, const std::vector<PeerId>& path);

  ModelLimits limits_;
  std::array<Device, kDevices> devices_;
  std::array<Client, kClients> clients_;
  std::array<bool, kRelays> serves_;
  std::map<uint64_t, Packet> packets_;
  std::set<uint64_t> unanswered_;  // of packets_: those that must be answered
  std::map<std::tuple<size_t, uint64_t, IpAddress>, Holder> holders_;  // of addresses, in one life of an exit
  size_t answered_ = 0, promised_ = 0;
};

}  // namespace macrovpn::sim
