// DNS messages: what parses can be written and parsed again to the same, cut messages keep their limit, and a
// resolver fed with anything keeps its tables in order.
#include "core/routing/dns_resolver.h"

namespace macrovpn::routing {
namespace {

bool same(const DnsMessage& a, const DnsMessage& b) {
  if (a.id != b.id || a.question != b.question || a.edns_udp_size != b.edns_udp_size) return false;
  for (size_t s = 0; s < 3; s++) {
    if (a.records[s].size() != b.records[s].size()) return false;
    for (size_t i = 0; i < a.records[s].size(); i++) {
      const DnsRecord &x = a.records[s][i], &y = b.records[s][i];
      if (x.name != y.name || x.type != y.type || x.ttl != y.ttl || x.data != y.data) return false;
    }
  }
  return true;
}

void check_codec(Bytes input) {
  const auto m = parse_dns(input);
  if (!m) return;
  const auto again = parse_dns(encode_dns(*m, SIZE_MAX));
  MV_ASSERT(again && same(*m, *again));
  MV_ASSERT(encode_dns(*m, kDnsPlainUdp).size() <= kDnsPlainUdp);
  DnsMessage filtered = *m;
  remove_private(filtered, [](const IpAddress& a) { return a.bytes()[0] % 2 == 0; });
}

// The first byte says how to split the rest into a query and its answer.
void check_resolver(Bytes input) {
  if (input.empty()) return;
  SeededRng rng(1);
  DnsResolver resolver(rng, {*Endpoint::parse("192.0.2.1:53")}, [](const IpAddress&) { return true; });
  DnsEffects out;
  const size_t cut = 1 + (input.size() - 1) * input[0] / 256;
  resolver.on_query(Mono(1s), LeaseNumber{1}, DnsTicket{1}, DnsTransport::udp, input.subspan(1, cut - 1),
                    out);
  const auto asks = out.asks;
  for (const auto& a : asks) {
    // With the right id and question in front, as a hostile upstream would have them.
    std::vector<uint8_t> answer = a.message;
    answer[2] |= 0x80;
    answer.insert(answer.end(), input.begin() + static_cast<ptrdiff_t>(cut), input.end());
    resolver.on_answer(Mono(1s), a.id, answer, out);
  }
  resolver.check_invariants();
  resolver.on_deadline(Mono(100s), out);
  resolver.forget(LeaseNumber{1}, out);
  resolver.check_invariants();
  MV_ASSERT(resolver.flights() == 0 && resolver.cache().bytes() == 0);
}

}  // namespace
}  // namespace macrovpn::routing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  macrovpn::routing::check_codec({data, size});
  macrovpn::routing::check_resolver({data, size});
  return 0;
}
