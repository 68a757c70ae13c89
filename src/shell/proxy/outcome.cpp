#include "shell/proxy/outcome.h"

#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>

#include <cerrno>
#include <ctime>

#include <linux/errqueue.h>  // uses timespec without defining it

namespace macrovpn::shell {

SocksCode socks_code_of(Outcome o) {
  switch (o) {
    case Outcome::connected:
      return SocksCode::succeeded;
    case Outcome::forbidden:
      return SocksCode::not_allowed;
    case Outcome::no_daemon:
    case Outcome::network_unreachable:
      return SocksCode::network_unreachable;
    case Outcome::host_unreachable:
    case Outcome::no_such_name:
      return SocksCode::host_unreachable;
    case Outcome::refused:
      return SocksCode::refused;
    case Outcome::timed_out:
      return SocksCode::ttl_expired;
    default:
      return SocksCode::general_failure;
  }
}

HttpAnswer http_answer_of(Outcome o) {
  switch (o) {
    case Outcome::connected:
      return {200, "Connection established", ""};
    case Outcome::forbidden:
      return {403, "Forbidden", "The exit does not connect to this address or port."};
    case Outcome::no_daemon:
      return {
          503, "Service Unavailable",
          "Not protected: no macrovpn daemon runs, so nothing goes out.  Start one with `macrovpn daemon`."};
    case Outcome::too_many:
      return {503, "Service Unavailable",
              "Too many connections or user names are in use; close some, or wait eleven minutes."};
    case Outcome::network_unreachable:
      return {502, "Bad Gateway", "The exit has no way to this kind of address."};
    case Outcome::host_unreachable:
      return {502, "Bad Gateway", "The host cannot be reached from the exit."};
    case Outcome::name_failed:
      return {502, "Bad Gateway", "The name could not be looked up; try again."};
    case Outcome::no_such_name:
      return {502, "Bad Gateway", "There is no such name, or it has no address."};
    case Outcome::timed_out:
      return {504, "Gateway Timeout", "Nobody answered in time.  See `macrovpn status`."};
    case Outcome::refused:
      return {502, "Bad Gateway", "The host refused the connection: nothing listens on this port."};
    default:
      return {502, "Bad Gateway", "The connection could not be made."};
  }
}

Outcome outcome_of(int error, const IcmpReport& icmp) {
  // An exit's policy answers "administratively prohibited"; as an errno that is the same as an unreachable
  // host.
  if (icmp.origin == SO_EE_ORIGIN_ICMP && icmp.type == ICMP_DEST_UNREACH &&
      (icmp.code == ICMP_PKT_FILTERED || icmp.code == ICMP_NET_ANO || icmp.code == ICMP_HOST_ANO))
    return Outcome::forbidden;
  if (icmp.origin == SO_EE_ORIGIN_ICMP6 && icmp.type == ICMP6_DST_UNREACH &&
      icmp.code == ICMP6_DST_UNREACH_ADMIN)
    return Outcome::forbidden;
  switch (error) {
    case ECONNREFUSED:
    case ECONNRESET:
      return Outcome::refused;
    case EACCES:
    case EPERM:
      return Outcome::forbidden;
    case ENETUNREACH:
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
      return Outcome::network_unreachable;
    case EHOSTUNREACH:
    case EHOSTDOWN:
      return Outcome::host_unreachable;
    case ETIMEDOUT:
      return Outcome::timed_out;
    default:
      return Outcome::failed;
  }
}

}  // namespace macrovpn::shell
