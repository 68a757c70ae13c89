#include "shell/proxy/name_message.h"

namespace macrovpn::shell {

using routing::DnsCode;

namespace {

uint16_t type_of(IpFamily f) {
  return f == IpFamily::v4 ? routing::kDnsA : routing::kDnsAaaa;
}

std::optional<IpAddress> address_in(const routing::DnsRecord& r, IpFamily family) {
  if (r.type != type_of(family) || r.klass != routing::kDnsClassIn) return std::nullopt;
  if (family == IpFamily::v4) return IpAddress::v4(load_be32(r.data.data()));
  return IpAddress::v6(*to_array<16>(r.data));
}

}  // namespace

std::vector<uint8_t> encode_question(const NameQuestion& q) {
  routing::DnsMessage m;
  m.id = q.id;
  m.question = {q.name, type_of(q.family), routing::kDnsClassIn};
  m.edns_udp_size = routing::kDnsSafeUdp;
  return encode_dns(m, SIZE_MAX);
}

std::optional<NameAnswer> read_answer(Bytes message, const NameQuestion& q) {
  const auto m = routing::parse_dns(message);
  if (!m || !m->is_response || m->id != q.id || !m->question || m->question->type != type_of(q.family) ||
      m->question->name.lowered() != q.name.lowered())
    return std::nullopt;
  NameAnswer out;
  out.truncated = m->truncated;
  if (m->code != DnsCode::no_error && m->code != DnsCode::name_error) {
    out.outcome = Outcome::name_failed;
    return out;
  }
  // The resolver has followed the aliases; whatever addresses stand there are the name's.
  for (const auto& r : m->section(routing::DnsSection::answer))
    if (const auto a = address_in(r, q.family); a && out.addresses.size() < kMaxAddressesOfName)
      out.addresses.push_back(*a);
  if (out.addresses.empty()) out.outcome = Outcome::no_such_name;
  return out;
}

}  // namespace macrovpn::shell
