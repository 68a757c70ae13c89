#include "sim/check/mark.h"

#include "core/routing/ip_packet.h"
#include "sim/engine/trace_hash.h"

namespace macrovpn::sim {
namespace {

std::optional<uint64_t> mark(Bytes packet, bool with_destination) {
  const auto ip = routing::parse_ip(packet);
  if (!ip.ok() || !ip->has_transport()) return std::nullopt;
  const size_t checksum = routing::checksum_offset(ip->protocol);
  if (checksum == 0 || ip->payload_at + checksum + 2 > ip->size) return std::nullopt;
  TraceHash h;
  if (with_destination) h.add(digest_of(ip->destination.bytes()));
  h.add(digest_of(packet.subspan(ip->payload_at, checksum)));
  h.add(digest_of(packet.subspan(ip->payload_at + checksum + 2, ip->size - ip->payload_at - checksum - 2u)));
  return h.value();
}

}  // namespace

std::optional<uint64_t> mark_of(Bytes ip) { return mark(ip, true); }
std::optional<uint64_t> ports_mark_of(Bytes ip) { return mark(ip, false); }

}  // namespace macrovpn::sim
