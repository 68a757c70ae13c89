// SOCKS5 as bytes: RFC 1928, and user/password of RFC 1929.  Pure functions.
//
//   greeting      05 ‖ count 1 ‖ methods                       ->  05 ‖ method
//   credentials   01 ‖ length 1 ‖ user ‖ length 1 ‖ password   ->  01 ‖ 00
//   request       05 ‖ command 1 ‖ 00 ‖ host ‖ port BE         ->  05 ‖ code ‖ 00 ‖ host ‖ port BE
//   datagram      00 00 ‖ fragment 1 ‖ host ‖ port BE ‖ data
//   host          01 ‖ 4   |   04 ‖ 16   |   03 ‖ length 1 ‖ name
//
// Readers take all that has come so far and say how much of it they used; they never need to be called with
// less than before.
#pragma once
#include <string>
#include <vector>

#include "base/bytes.h"
#include "shell/proxy/outcome.h"
#include "shell/proxy/target.h"

namespace macrovpn::shell {

enum class Parse : uint8_t { more, bad, done };

// The longest of the three messages: 4 + 1 + 255 + 2 bytes, or 3 + 255 + 255.
inline constexpr size_t kMaxSocksMessage = 3 + 255 + 255;

struct SocksGreeting {
  Parse parse = Parse::more;
  size_t used = 0;
  bool open = false, password = false;  // the methods 00 and 02 are offered
};
SocksGreeting read_socks_greeting(Bytes in);

struct SocksCredentials {
  Parse parse = Parse::more;
  size_t used = 0;
  std::string user;  // any bytes; the password is not looked at
};
SocksCredentials read_socks_credentials(Bytes in);

enum class SocksCommand : uint8_t { connect = 1, bind = 2, udp_associate = 3 };

struct SocksRequest {
  Parse parse = Parse::more;
  SocksCode refusal{};  // if bad: what to answer; succeeded: nothing, it is no SOCKS
  size_t used = 0;
  SocksCommand command{};
  // Of an association the host and port are where its datagrams will come from; they are not used.
  Target target;
};
SocksRequest read_socks_request(Bytes in);

struct SocksDatagram {
  Target target;
  size_t header = 0;  // bytes before the data
};
// None: malformed, or a fragment (which nobody sends).
std::optional<SocksDatagram> read_socks_datagram(Bytes in);

std::vector<uint8_t> socks_reply(SocksCode, const Endpoint& bound);
void write_socks_datagram_header(const Endpoint& from, std::vector<uint8_t>& out);

}  // namespace macrovpn::shell
