// Packets between a group's TUN and its circuit.
#include "core/node/client_side.h"
#include "core/routing/address_rewrite.h"
#include "core/routing/ip_reply.h"

namespace macrovpn::node {
namespace {

// Only the constant inside addresses may be a source: whatever else a program's kernel emits (link-local
// chatter, a spoofed address) would tell the exit something about this machine.
bool from_inside(Bytes p) {
  const auto& inside = routing::InsideAddresses::get();
  if (p.size() >= 20 && p[0] >> 4 == 4) return equal(p.subspan(12, 4), inside.client4.bytes());
  if (p.size() >= 40 && p[0] >> 4 == 6) return equal(p.subspan(8, 16), inside.client6.bytes());
  return false;
}

constexpr Duration kIdle = 100s;

}  // namespace

Result<void> ClientSide::attach(Now now, TunId tun, Effects& fx) {
  if (groups_.size() >= kMaxGroups) return fail("too many programs run through the VPN at once; close one");
  Group& g = groups_[tun];
  g.tun = tun;
  if (g.active.value == 0 && g.replacement.value == 0) rebuild(now, g, fx);
  keep_spares(now, fx);
  return {};
}

void ClientSide::detach(Now, TunId tun) {
  Group* g = group_of(tun);
  if (g == nullptr) return;
  if (const Circuit* c = find(g->active); c != nullptr && g->has_lease) {
    s_.egress.frame(c->exit().peer, routing::write_lease_id(routing::FrameType::release, g->lease));
  }
  std::vector<CircuitId> own;
  for (const auto& [id, c] : circuits_) {
    if (c.tun == tun) own.push_back(id);
  }
  for (const CircuitId id : own) destroy(id);
  groups_.erase(tun);
}

void ClientSide::send_packet(Now now, Circuit& c, Packet packet) {
  c.live.sent(now.mono);
  c.tx_bytes += packet.size();
  s_.egress.payload(c.exit().peer, std::move(packet));
}

void ClientSide::flush_waiting(Now now, Group& g, Circuit& c) {
  for (Packet& p : g.waiting) send_packet(now, c, std::move(p));
  g.waiting.clear();
}

void ClientSide::on_tun_packets(Now now, TunId tun, std::span<Packet> packets, Effects& fx) {
  Group* g = group_of(tun);
  if (g == nullptr) return;
  Circuit* c = find(g->active);
  if (c != nullptr && c->live.idle_for(now.mono) > kIdle) {
    // The sessions may have lapsed: a circuit nobody used is not rekeyed.  The lease lives on for a while.
    for (const Hop& h : c->hops) {
      const auto info = s_.tunnels.info(h.peer);
      if (info && info->established) continue;
      circuit_failed(now, c->id, fx);
      c = find(g->active);
      break;
    }
  }
  for (Packet& p : packets) {
    if (!from_inside(p.bytes())) continue;
    if (c != nullptr && c->state == Circuit::State::ready) {
      if (p.size() <= c->mtu) {
        send_packet(now, *c, std::move(p));
      } else {
        too_big(*g, *c, p, fx);
      }
      continue;
    }
    if (g->waiting.size() >= kMaxWaiting) g->waiting.pop_front();
    g->waiting.push_back(std::move(p));
  }
}

// The program's kernel learns the path MTU as it would from a router (RFC 1191, RFC 8201).
void ClientSide::too_big(const Group& g, const Circuit& c, const Packet& packet, Effects& fx) {
  const auto header = routing::parse_ip(packet.bytes());
  if (!header.ok()) return;
  const IpAddress& router = routing::InsideAddresses::get().dns(header->destination.family());
  Packet reply = s_.pool.take();
  if (routing::make_too_big(packet.bytes(), *header, c.mtu, router, reply)) {
    fx.tun_packets.push_back({g.tun, std::move(reply)});
  }
}

void ClientSide::on_ip(Now now, PeerRef peer, Packet packet, Effects& fx) {
  const auto it = hop_of_.find(peer);
  if (it == hop_of_.end()) return;
  Circuit* c = find(it->second.first);
  if (c == nullptr || it->second.second + 1 != c->hops.size() || c->tun.value == 0)
    return;  // only from the exit
  c->live.received(now.mono);
  c->rx_bytes += packet.size();
  fx.tun_packets.push_back({c->tun, std::move(packet)});
}

void ClientSide::check_invariants() const {
  for (const auto& [peer, where] : hop_of_) {
    const auto c = circuits_.find(where.first);
    MV_ASSERT(c != circuits_.end() && c->second.hops.at(where.second).peer == peer);
  }
  for (const auto& [tun, g] : groups_) {
    MV_ASSERT(g.waiting.size() <= kMaxWaiting);
    MV_ASSERT(g.active.value == 0 || circuits_.contains(g.active));
    MV_ASSERT(g.replacement.value == 0 || circuits_.contains(g.replacement));
  }
  for (const auto& [id, c] : circuits_) MV_ASSERT(c.pings.size() <= kMaxPings);
}

}  // namespace macrovpn::node
