#include "core/encryption/loop_guard.h"

namespace macrovpn::encryption {
namespace {

constexpr uint8_t kUdp = 17, kFragmentHeader = 44;
constexpr size_t kFragmentHeaderSize = 8, kUdpHeader = 8;
// Longer ways through tunnels of one device are nobody's.
constexpr int kMostSteps = 64;

}  // namespace

// What matters of a packet; nothing of one that is not UDP.
struct LoopGuard::View {
  IpAddress destination;
  Bytes udp;  // header and what follows; empty in a later fragment
  uint32_t id = 0;
  bool later = false, fragment = false;

  static std::optional<View> of(Bytes p) {
    if (p.size() >= 20 && p[0] >> 4 == 4) return of_v4(p);
    if (p.size() >= 40 && p[0] >> 4 == 6) return of_v6(p);
    return std::nullopt;
  }
  static std::optional<View> of_v4(Bytes p) {
    const size_t header = size_t{p[0]} % 16 * 4;
    if (p[9] != kUdp || header < 20 || p.size() < header) return std::nullopt;
    View v;
    v.destination = IpAddress::v4(*to_array<4>(p.subspan(16, 4)));
    v.id = load_be16(&p[4]);
    v.later = (load_be16(&p[6]) & 0x1fff) != 0;
    v.fragment = (load_be16(&p[6]) & 0x3fff) != 0;
    if (!v.later) v.udp = p.subspan(header);
    return v;
  }
  static std::optional<View> of_v6(Bytes p) {
    View v;
    v.destination = IpAddress::v6(*to_array<16>(p.subspan(24, 16)));
    size_t at = 40;
    uint8_t protocol = p[6];
    if (protocol == kFragmentHeader && p.size() >= at + kFragmentHeaderSize) {
      protocol = p[at];
      v.fragment = true;
      v.later = load_be16(&p[at + 2]) >> 3 != 0;
      v.id = load_be32(&p[at + 4]);
      at += kFragmentHeaderSize;
    }
    if (protocol != kUdp) return std::nullopt;
    if (!v.later) v.udp = p.subspan(at);
    return v;
  }
};

bool LoopGuard::is_loop(Bytes packet) {
  const auto v = View::of(packet);
  if (!v) return false;
  if (v->later) return cut_ && v->id == cut_id_ && v->destination == cut_destination_;
  if (v->udp.size() < kUdpHeader || load_be16(v->udp.data()) != port_) return false;
  const Endpoint to{v->destination, load_be16(v->udp.data() + 2)};
  const PeerRef peer = sent_to(to, v->udp.subspan(kUdpHeader));
  if (peer == PeerRef{} || !circles(peer)) return false;
  if (v->fragment) {
    cut_ = true;
    cut_id_ = v->id;
    cut_destination_ = v->destination;
  }
  return true;
}

PeerRef LoopGuard::sent_to(const Endpoint& to, Bytes message) const {
  const PeerRef own = tunnels_.sent_to(to, message);
  return own == PeerRef{} && others_ != nullptr ? others_->sent_to(to, message) : own;
}

std::optional<Endpoint> LoopGuard::endpoint_of(PeerRef peer) const {
  if (const auto trace = tunnels_.trace_of(peer)) return trace->endpoint;
  return others_ != nullptr ? others_->endpoint_of(peer) : std::nullopt;
}

bool LoopGuard::circles(PeerRef first) const {
  PeerRef at = first;
  for (int i = 0; i < kMostSteps; i++) {
    const auto endpoint = endpoint_of(at);
    if (!endpoint) return false;
    at = tunnels_.route_to(endpoint->address);
    if (at == first) return true;
    if (at == PeerRef{}) return false;
  }
  return false;  // a circle that it is not part of: that one is cut where it closes
}

}  // namespace macrovpn::encryption
