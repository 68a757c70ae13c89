// What became of an attempt to reach a target, and how it is said to a program: by SOCKS5 as a reply code
// (RFC 1928 §6), by HTTP as a status with a sentence.
//
//   SOCKS   01 general failure     HTTP  502, 503
//           02 not allowed               403
//           03 network unreachable       502, 503
//           04 host unreachable          502          also: the name does not exist
//           05 connection refused        502
//           06 TTL expired               504          also: nobody answered, as Tor and Dante say it
//           07 command, 08 address type not supported
#pragma once
#include <cstdint>

namespace macrovpn::shell {

enum class SocksCode : uint8_t {
  succeeded = 0,
  general_failure = 1,
  not_allowed = 2,
  network_unreachable = 3,
  host_unreachable = 4,
  refused = 5,
  ttl_expired = 6,
  command_not_supported = 7,
  address_type_not_supported = 8
};

// In the order of what tells a person more: of several addresses that failed, the highest is told.
enum class Outcome : uint8_t {
  connected,
  failed,               // something else
  no_daemon,            // the tunnel is down, and known to be
  too_many,             // groups or connections
  network_unreachable,  // no way there by this IP version
  host_unreachable,     // the network there gave up
  name_failed,          // the resolver could not find out
  no_such_name,         // or it has no address
  timed_out,
  forbidden,  // by the exit's policy, or by us: it is a place inside of the proxy itself
  refused,    // nothing listens there
  kCount
};

SocksCode socks_code_of(Outcome);
struct HttpAnswer {
  int status;
  const char* reason;
  const char* sentence;
};
HttpAnswer http_answer_of(Outcome);

// Of connect(2): an errno, and what the kernel told with it (SO_EE_ORIGIN_ICMP...), 0 if nothing.
struct IcmpReport {
  uint8_t origin = 0, type = 0, code = 0;
};
Outcome outcome_of(int error, const IcmpReport&);

}  // namespace macrovpn::shell
