// SmallNet: the world in which the model and real nodes are compared: seven relays, four exits in two countries, two clients with
// four networks each, two servers that answer, and servers at addresses where no packet of a program may ever arrive.
// All are 20 ms apart, so that times follow from round trips alone.
#pragma once
#include "core/routing/ip_packet.h"
#include "sim/net/topology.h"
#include "sim/reference/operation.h"
#include "sim/world/world.h"

namespace macrovpn::sim {

inline constexpr uint16_t kAskPort = 7000;
inline constexpr size_t kAskHeader = 16;  // of a packet's payload: its number 8, flags 1, zeros
inline constexpr uint8_t kCallBack = 1;   // flag: the server tries to open a connection, too

class SmallNet {
 public:
  explicit SmallNet(uint64_t seed);

  World& world() { return world_; }
  const World& world() const { return world_; }
  HostId relay(size_t i) const { return relays_[i]; }
  HostId client(size_t i) const { return clients_[i]; }
  TunId tun(size_t device) const { return {device == 1 ? 2u : 1u}; }
  Endpoint server(size_t i) const { return {sites_[i], kAskPort}; }
  std::optional<size_t> relay_number(HostId) const;
  std::optional<size_t> client_number(HostId) const;
  std::optional<size_t> device_of(HostId, TunId) const;
  Region home() const;  // the country that a user may ask for
  // Moves a client to one of its networks.
  void roam(size_t client, size_t network);
  std::optional<BoxId> nat_of(size_t client) const { return at_[client]; }
  // A packet of a program, with a number in it; as TCP, one that opens a connection.
  struct Question {
    uint64_t number = 0;
    uint8_t flags = 0;
    size_t size = kAskHeader;
    routing::IpProtocol protocol = routing::IpProtocol::udp;
  };
  Packet packet(const IpAddress& from, const Endpoint& to, const Question&);
  static std::optional<uint64_t> number_of(Bytes ip);  // nothing: it is no such packet

 private:
  void add_relays();
  void add_clients();
  void add_servers();
  static WorldConfig config_of(uint64_t seed);

  SeededRng rng_;
  Topology topology_;
  World world_;
  std::vector<HostId> relays_, clients_;
  std::vector<IpAddress> sites_;
  std::vector<std::array<std::optional<BoxId>, kNetworks>> networks_;
  std::vector<std::optional<BoxId>> at_;
  std::vector<IpAddress> open_;  // each client's address where it is on the Internet itself
};

}  // namespace macrovpn::sim
