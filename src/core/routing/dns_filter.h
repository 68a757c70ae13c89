// What an exit's DNS forwarder asks and tells, for its clients' safety and its host's.
#pragma once
#include <functional>

#include "core/routing/dns_message.h"
#include "model/ip.h"

namespace macrovpn::routing {

enum class DnsAsk : uint8_t {
  forward,
  refuse,      // ANY, zone transfers, meta types, classes other than IN
  name_error,  // names that mean something on the host's own network only; answered "does not exist" by us
};
// Single labels, localhost, .local, .internal, .home.arpa, .lan, .onion ...: the exit's resolver may know its
// LAN, which is nobody's business; for the same reason reverse names of addresses that may not be told.
DnsAsk judge_question(const DnsQuestion&, const std::function<bool(const IpAddress&)>& may_be_told);

// Takes out the records by which an answer could lead a client to a private address (DNS rebinding): A and
// AAAA, mapped and translated forms, and SVCB/HTTPS records with such hints.  Returns how many.
size_t remove_private(DnsMessage&, const std::function<bool(const IpAddress&)>& may_be_told);

// The address that a name under in-addr.arpa or ip6.arpa stands for; a part of an address is filled with
// zeros.
std::optional<IpAddress> reverse_address(const DnsName&);

}  // namespace macrovpn::routing
