// Detour: a client's datagrams to its entry relays go by HTTPS where UDP does not pass (link_choice.h says when).
//
// The node does not know: it sends to, and hears from, the relay's UDP endpoint.  While the relay is silent by UDP, the newest of what
// was sent is kept, and goes by HTTPS again as soon as that is ready: the first message of a circuit must not wait to be repeated.  What
// arrives twice is dropped by the relay's replay windows.
#pragma once
#include <deque>
#include <map>

#include "core/node/effects.h"
#include "shell/https/client.h"
#include "shell/https/link_choice.h"
#include "shell/https/network_memory.h"
#include "shell/https/udp_probe.h"

namespace macrovpn::shell::https {

class Detour {
 public:
  static constexpr size_t kMostEntries = 32, kMostKept = 16;
  static constexpr Duration kKept = 2s;         // datagrams, until HTTPS is there
  static constexpr Duration kLookAgain = 30s;   // for an address, or another network

  struct Uses {
    std::function<std::optional<Address>(const Endpoint& entry)> find;  // nothing: not a relay, or one without HTTPS
    std::function<void(std::span<node::Datagram>)> came;                // for the node
    std::function<void(node::Datagram&&)> send_by_udp;
    std::function<void(const char*)> say;  // a sentence for a person
    std::function<std::optional<std::string>()> network = read_network_name;
  };

  // What is passed by reference outlives it.  mark: as for UdpSocket.
  Detour(Reactor& reactor, PacketPool& pool, Rng& rng, tls::Context context, const NetworkId& network, uint32_t mark,
         NetworkMemory memory, Uses uses);
  ~Detour();
  Detour(const Detour&) = delete;
  Detour& operator=(const Detour&) = delete;

  // What is about to leave by the listening socket: what goes another way is taken out.
  void outgoing(std::vector<node::Datagram>& datagrams);
  // What came by it, likewise.
  void incoming(std::vector<node::Datagram>& datagrams);

  enum class Trouble : uint8_t { none, unreachable, wrong_certificate, not_admitted };
  struct Report {
    size_t by_udp = 0, by_https = 0;  // entry relays that were heard lately
    Trouble trouble = Trouble::none;  // of the last connection that could not be had
  };
  Report report() const;

 private:
  struct Entry;
  Entry* entry_of(const Endpoint& to);
  void look_up(const Endpoint& to, Entry& e);
  void keep(Entry& e, Bytes datagram);
  void act(const Endpoint& to, Entry& e);
  void connect(const Endpoint& to, Entry& e);
  void ready(const Endpoint& to, uint64_t number);
  void came(const Endpoint& to, uint64_t number, std::span<Packet> packets);
  void over(const Endpoint& to, uint64_t number, Client::Why why);
  void bury(Entry& e);
  void remember(Entry& e);
  void set_timer();
  Entry* current(const Endpoint& to, uint64_t number);

  Reactor& reactor_;
  PacketPool& pool_;
  Rng& rng_;
  tls::Context context_;
  NetworkId network_;
  uint32_t mark_;
  NetworkMemory memory_;
  Uses uses_;
  std::map<Endpoint, std::unique_ptr<Entry>> entries_;
  std::vector<std::unique_ptr<Client>> buried_;  // may be running still, further up
  std::optional<Reactor::TimerId> timer_, burial_;
  Mono timer_at_ = kNever;
  uint64_t next_number_ = 1;
  Trouble trouble_ = Trouble::none;
};

}  // namespace macrovpn::shell::https
