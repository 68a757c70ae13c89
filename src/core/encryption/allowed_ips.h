// AllowedIps: which configured peer an inner address belongs to (whitepaper §2, "cryptokey routing").
// Outgoing: longest prefix.  Incoming: the source must belong to exactly the peer that sent it.  A prefix has
// one owner; naming it for another peer moves it.
//
// One ordered map per prefix length in use, longest first: a device has two or three lengths, so a look-up is
// two or three searches, and there is no trie to get wrong.
#pragma once
#include <array>
#include <map>

#include "model/ids.h"
#include "model/ip.h"

namespace macrovpn::encryption {

class AllowedIps {
 public:
  static constexpr size_t kMaxPrefixes = 65'536;
  bool insert(const IpPrefix&, PeerRef);  // false: full
  void remove(PeerRef);                   // all that it owns
  PeerRef find(const IpAddress&) const;   // nobody: PeerRef{0}
  size_t size() const { return size_; }

 private:
  using ByLength = std::map<uint8_t, std::map<IpAddress, PeerRef>, std::greater<>>;
  ByLength& of(IpFamily f) { return f == IpFamily::v4 ? v4_ : v6_; }
  const ByLength& of(IpFamily f) const { return f == IpFamily::v4 ? v4_ : v6_; }
  ByLength v4_, v6_;
  size_t size_ = 0;
};

// The addresses and the length that an IP packet states; nothing if it is none or is shorter than it says.
struct InnerPacket {
  IpAddress source, destination;
  size_t length = 0;
};
std::optional<InnerPacket> parse_inner_packet(Bytes);

}  // namespace macrovpn::encryption
