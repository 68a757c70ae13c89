// IP packets: what parses lies inside the bytes; rewriting an address and back restores the packet's
// addresses; answers to it parse and stay within their limits.
#include "core/routing/address_rewrite.h"
#include "core/routing/ip_reply.h"

namespace macrovpn::routing {
namespace {

void check_replies(Bytes packet, const IpHeader& h, PacketPool& pool) {
  const IpAddress& from = InsideAddresses::get().dns(h.destination.family());
  Packet error = pool.take(), reset = pool.take();
  if (make_unreachable(packet, h, Unreachable::prohibited, from, error)) {
    const auto e = parse_ip(error.bytes());
    MV_ASSERT(e && e->destination == h.source && e->size == error.size());
    MV_ASSERT(error.size() <= (h.is_v4() ? 576u : 1280u));
  }
  if (make_tcp_reset(packet, h, reset)) MV_ASSERT(parse_ip(reset.bytes()).ok());
}

void check(Bytes input) {
  PacketPool pool;
  if (input.size() > kPacketMax) return;
  Packet p = pool.copy_of(input);
  const auto h = parse_ip(p.bytes());
  if (!h) return;
  MV_ASSERT(h->size <= input.size() && h->payload_at <= h->size);
  check_replies(input, *h, pool);
  clamp_mss(p.bytes(), *h, 1280);
  if (rewrite_to_private(p.bytes(), LeaseNumber{5})) {
    const auto after = parse_ip(p.bytes());
    MV_ASSERT(after && lease_of_private(after->source) == LeaseNumber{5} &&
              after->destination == h->destination);
  }
  Packet back = pool.copy_of(input);
  static_cast<void>(rewrite_from_private(back.bytes()).ok());
}

}  // namespace
}  // namespace macrovpn::routing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace macrovpn;
  // Most of the first byte's values are no IP at all, and a wrong header checksum hides what lies behind it.
  std::vector<uint8_t> packet(data, data + size);
  routing::check(packet);
  if (packet.size() >= 20 && packet[0] == 0x45) {
    routing::seal_ipv4_header(packet);
    routing::check(packet);
  }
  return 0;
}
