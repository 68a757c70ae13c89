// The cross-platform configuration protocol of WireGuard, as text: what `wg` says to a device in user space.
// Pure: this file knows no socket and no device.  https://www.wireguard.com/xplatform/#configuration-protocol
//
//   get=1 ↵ ↵                                  →  key=value ↵ …  errno=0 ↵ ↵
//   set=1 ↵ key=value ↵ … ↵                    →  errno=N ↵ ↵
//   counters=1 ↵ ↵                             →  counts of ours: an addition that no stock client asks for
//
// Lines of the device come first; `public_key` begins those of a peer.  Numbers are decimal, keys
// hexadecimal.  As with stock devices errors are negative numbers of errno(3), and what stands before a line
// that is refused has taken effect.
//
// An answer to `get` holds the private key and preshared keys: it goes to who may open the socket, and
// nowhere else.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/time.h"
#include "model/ip.h"
#include "model/keys.h"

namespace macrovpn::shell::uapi {

// ---- framing

enum class Operation : uint8_t {
  incomplete,  // more has to come
  get,
  set,
  counters,
  bad_get,  // something stands behind get=1
  unknown   // hang up
};
struct Request {
  Operation operation = Operation::incomplete;
  std::string_view body;  // of set: its lines
  size_t size = 0;        // of the whole request
};
// The request at the front of `text`.  `searched`: so much of it was looked at by an earlier call.  Without
// blank line a set is whole once its sender has stopped sending.
enum class More : uint8_t { may_come, none };
Request next_request(std::string_view text, size_t searched, More);

// ---- set

struct SetPrivateKey {
  PrivateKey key;  // zero: none
};
struct SetListenPort {
  uint16_t port;  // 0: any
};
struct SetFwmark {
  uint32_t mark;  // 0: none
};
struct ReplacePeers {};
// All that follow are about this peer; it is made if it is not there.
struct SelectPeer {
  PublicKey key;
};
struct UpdateOnly {};  // not if it had to be made
struct RemovePeer {};
struct SetPresharedKey {
  Secret<32> key;  // zero: none
};
struct SetEndpoint {
  Endpoint endpoint;
};
struct SetKeepalive {
  std::chrono::seconds interval;  // zero: off
};
struct ReplaceAllowedIps {};
struct AllowIp {
  IpPrefix prefix;
};
struct DisallowIp {
  IpPrefix prefix;
};
using Change =
    std::variant<SetPrivateKey, SetListenPort, SetFwmark, ReplacePeers, SelectPeer, UpdateOnly, RemovePeer,
                 SetPresharedKey, SetEndpoint, SetKeepalive, ReplaceAllowedIps, AllowIp, DisallowIp>;

struct Refusal {
  int number = 0;   // of errno(3), positive; 0: none
  std::string why;  // a sentence without any value of the request
};
struct SetRequest {
  std::vector<Change> changes;  // up to the line that was refused
  Refusal refusal;
};
SetRequest parse_set(std::string_view body);

// ---- get

struct PeerState {
  PublicKey key;
  Secret<32> preshared;
  std::optional<Endpoint> endpoint;
  std::optional<Wall> last_handshake;
  uint64_t rx_bytes = 0, tx_bytes = 0;
  std::chrono::seconds persistent_keepalive{};
  std::vector<IpPrefix> allowed_ips;
};
struct DeviceState {
  PrivateKey private_key;  // zero: none
  uint16_t listen_port = 0;
  uint32_t fwmark = 0;
  std::vector<PeerState> peers;
};
std::string print(const DeviceState&);

using Counters = std::vector<std::pair<std::string, uint64_t>>;
std::string print(const Counters&);
// The end of every answer.
std::string print_errno(int number);

}  // namespace macrovpn::shell::uapi
