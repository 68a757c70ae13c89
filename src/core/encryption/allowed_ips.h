// AllowedIps: which configured peer an inner address belongs to (whitepaper §2, "cryptokey routing").
// Outgoing: longest prefix.  Incoming: the source must belong to exactly the peer that sent it.  A prefix has
// one owner; naming it for another peer moves it.
//
// One ordered map per prefix length in use, longest first: a device has two or three lengths, so a look-up is
// two or three searches, and there is no trie to get wrong.  Beside them each peer's own list, in the order in which it
// was given, for those who ask what they configured.  Packets come in runs of one address, so the last answers are kept.
#pragma once
#include <array>
#include <map>
#include <vector>

#include "model/ids.h"
#include "model/ip.h"

namespace macrovpn::encryption {

class AllowedIps {
 public:
  static constexpr size_t kMaxPrefixes = 262'144;
  bool insert(const IpPrefix&, PeerRef);     // false: full
  void remove(PeerRef);                      // all that it owns
  void remove_one(const IpPrefix&, PeerRef);  // if it is its own
  PeerRef find(const IpAddress&) const;      // nobody: PeerRef{0}
  std::vector<IpPrefix> of(PeerRef) const;   // the one named last comes last
  size_t size() const { return size_; }

 private:
  struct Entry {
    PeerRef owner;
    uint64_t named;  // a count: when
  };
  using ByLength = std::map<uint8_t, std::map<IpAddress, Entry>, std::greater<>>;
  ByLength& family(IpFamily f) { return f == IpFamily::v4 ? v4_ : v6_; }
  const ByLength& family(IpFamily f) const { return f == IpFamily::v4 ? v4_ : v6_; }
  void forget(const IpPrefix&);
  void disown(const Entry&);
  PeerRef look_up(const IpAddress&) const;
  struct Last {
    IpAddress address;
    PeerRef peer;
    bool valid = false;
  };
  ByLength v4_, v6_;
  std::map<PeerRef, std::map<uint64_t, IpPrefix>> owned_;
  uint64_t named_ = 0;
  size_t size_ = 0;
  mutable std::array<Last, 2> last_;  // by the lowest bit of the address: the two ends of a flow mostly differ in it
};

// The addresses and the length that an IP packet states; nothing if it is none or is shorter than it says.
struct InnerPacket {
  IpAddress source, destination;
  size_t length = 0;
};
std::optional<InnerPacket> parse_inner_packet(Bytes);

}  // namespace macrovpn::encryption
