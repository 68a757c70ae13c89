#include "core/routing/newest_segments.h"

#include <cstring>

#include "core/routing/ip_packet.h"

namespace macrovpn::routing {

void NewestSegments::remember(Bytes p) {
  const bool v4 = p[0] == 0x45 && p[9] == 6 && (load_be16(&p[6]) & 0x3fff) == 0, v6 = p[0] >> 4 == 6 && p[6] == 6;
  if (!v4 && !v6) return;
  // Both addresses and both ports, one after the other.
  const size_t at = v4 ? 12 : 8, n = v4 ? 12 : 36, headers = v4 ? 40 : 60;
  const auto is_of = [&](const Segment& s) {
    return s.header_size == headers && std::memcmp(&s.headers[at], &p[at], n) == 0;
  };
  if (!is_of(segments_[last_])) {
    size_t i = 0;
    while (i < kFlows && !is_of(segments_[i])) i++;
    last_ = i < kFlows ? i : (last_ + 1) % kFlows;
  }
  Segment& s = segments_[last_];
  s.size = p.size();
  s.header_size = headers;
  std::copy_n(p.begin(), headers, s.headers.begin());
  store_be16(&s.headers[v4 ? 2 : 4], static_cast<uint16_t>(v4 ? headers : headers - 40));
  s.headers[headers - 20 + 12] = 5 << 4;  // no options either
  if (v4) seal_ipv4_header(MutBytes(s.headers).first(headers));
}

}  // namespace macrovpn::routing
