// PCP (RFC 6887) and NAT-PMP (RFC 6886): what a computer and its router say to each other about opening a UDP port.  Reading and
// writing messages; pure bytes, big endian.
//
//   NAT-PMP  ask     00 01 | 0 2 | inside port 2 | wanted port 2 | lifetime 4             12
//            told    00 81 | result 2 | epoch 4 | inside port 2 | outside port 2 | lifetime 4     16
//            ask     00 00                                      what is the outside address?       2
//            told    00 80 | result 2 | epoch 4 | address 4                               12
//   PCP      ask     02 01 | 0 2 | lifetime 4 | our address 16 | nonce 12 | 17 | 0 3 | inside port 2 | wanted port 2 | wanted address 16   60
//            told    02 81 | 0 | result 1 | lifetime 4 | epoch 4 | 0 12 | nonce 12 | 17 | 0 3 | inside port 2 | outside port 2 | address 16   60 or more
//            ask     02 00 | 0 2 | 0 4 | our address 16                                     what is your epoch?      24
//            told    02 80 | 0 | result 1 | 0 4 | epoch 4 | 0 12                            24; also by itself after a restart
//
// The router learns which port we listen on.  It knows our traffic anyway.
#pragma once
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "model/ip.h"

namespace macrovpn::discovery::port_control {

inline constexpr uint16_t kRouterPort = 5351, kAnnouncePort = 5350;  // announcements go to 224.0.0.1 there
inline constexpr size_t kMaxMessage = 1100;  // RFC 6887 §7

using Nonce = ByteArray<12>;
enum class Protocol : uint8_t { nat_pmp = 0, pcp = 2 };

struct Wish {
  Nonce nonce{};  // PCP
  IpAddress inside_address;
  uint16_t inside_port = 0, wanted_port = 0;
  uint32_t lifetime = 0;  // seconds; 0 takes the mapping away
};
std::vector<uint8_t> write_pcp_map(const Wish&);
std::vector<uint8_t> write_pcp_announce(const IpAddress& inside_address);
std::vector<uint8_t> write_nat_pmp_map(const Wish&);
std::vector<uint8_t> write_nat_pmp_address();

struct Told {
  enum class What : uint8_t { mapping, address, announce, refusal } what = What::refusal;
  Protocol protocol = Protocol::pcp;
  unsigned result = 0;  // 0: success; of the protocol
  uint32_t epoch = 0;   // seconds that the router has known its mappings
  uint32_t lifetime = 0;
  bool of_mapping = false;        // a refusal: of a mapping, not of an announcement or an address
  Nonce nonce{};                  // PCP mapping, and a refusal of one
  uint16_t inside_port = 0, outside_port = 0;
  std::optional<IpAddress> outside;
};
// A refusal is an answer with a result other than success.  Nothing: not from a router, cut off, or of another protocol than UDP.
std::optional<Told> read(Bytes);
// PCP's and NAT-PMP's "I do not speak that version".
inline constexpr unsigned kUnsupportedVersion = 1;

}  // namespace macrovpn::discovery::port_control
