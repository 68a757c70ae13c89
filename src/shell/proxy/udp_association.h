// UdpAssociation: datagrams of one SOCKS5 client (RFC 1928 §7) through the tunnel.
//
//   program  <->  relay socket, on loopback  <->  sockets of the group inside, one for each family  <->
//   anybody
//
// The relay socket takes datagrams from the client's address alone.  The first port that sends is asked for
// its owner and kept; others are dropped, and the owner is asked again each second that brings datagrams,
// since somebody else may get the port later.  To the outside the association is endpoint-independent:
// whoever the exit lets through may answer.  Datagrams are dropped, never delayed, except while their name is
// looked up.
#pragma once
#include <deque>
#include <map>

#include "shell/proxy/name_lookup.h"
#include "shell/proxy/peer_owner.h"
#include "shell/proxy/socks_message.h"

namespace macrovpn::shell {

struct UdpCounters {
  uint64_t sent = 0, received = 0, strangers = 0, malformed = 0, dropped = 0;
};

class UdpAssociation {
 public:
  // `relay` is bound to loopback; `client` is the address of the program's TCP connection.
  UdpAssociation(const Outbound&, PeerOwner&, UdpCounters&, GroupSlot, Fd relay, const IpAddress& client);
  ~UdpAssociation();
  UdpAssociation(const UdpAssociation&) = delete;
  UdpAssociation& operator=(const UdpAssociation&) = delete;
  Endpoint relay_endpoint() const { return relay_at_; }

 private:
  static constexpr size_t kNames = 64, kHeld = 32;  // names known or being asked; datagrams that wait for one
  static constexpr Duration kNameKept = 60s;
  struct Name {
    std::unique_ptr<NameLookup> lookup;  // while it is asked for
    std::optional<IpAddress> address;
    Mono since;
    std::deque<std::pair<uint16_t, std::vector<uint8_t>>> held;  // port, data
  };
  void on_relay();
  bool is_from_client(const Endpoint& source);
  void take(Bytes datagram);
  void send_by_name(const Target&, Bytes data);
  Name* find_or_ask(const std::string& name);
  void ask(const std::string& name, IpFamily);
  void on_name(const std::string& name, IpFamily, NameAnswer);
  void send(const Endpoint& to, Bytes data);
  void on_outside(IpFamily);
  Fd& outside(IpFamily f) { return outside_[f == IpFamily::v4 ? 0 : 1]; }

  const Outbound& outbound_;
  PeerOwner& owner_;
  UdpCounters& counters_;
  GroupSlot slot_;
  Fd relay_, outside_[2];
  Endpoint relay_at_;
  IpAddress client_address_;
  std::optional<Endpoint> client_;
  Mono checked_ = kLongAgo;
  std::map<std::string, Name> names_;
  std::vector<uint8_t> buffer_;
};

}  // namespace macrovpn::shell
