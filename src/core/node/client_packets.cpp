// Packets between a group's TUN and its circuit.
#include <algorithm>

#include "core/node/client_side.h"
#include "core/routing/address_rewrite.h"
#include "core/routing/ip_reply.h"

namespace macrovpn::node {
namespace {

constexpr Duration kIdle = 100s;

// An exit is nobody's friend.  It may answer, and it may not open a connection to what a program listens on.  Nor may it
// name another group's local address: the kernel's reset would leave through that group's exit and tell both exits that
// the groups are one client's.
bool is_for_a_program(Bytes packet) {
  const auto h = routing::parse_ip(packet);
  if (!h || h->destination != routing::InsideAddresses::get().client(h->destination.family())) return false;
  const bool opens = (h->tcp_flags & (routing::kTcpSyn | routing::kTcpAck)) == routing::kTcpSyn;
  return h->protocol != routing::IpProtocol::tcp || !opens;
}

}  // namespace

Result<void> ClientSide::attach(Now now, TunId tun, Slots slots, Effects& fx) {
  if (slots == Slots::own_while_used) {
    devices_[tun] = slots;
    return {};
  }
  if (groups_.size() >= kMaxGroups) return fail("too many programs run through the VPN at once; close one");
  devices_[tun] = slots;
  Group& g = groups_[{tun}];
  g.id = {tun};
  if (g.active.value == 0 && g.replacement.value == 0) rebuild(now, g, fx);
  keep_spares(now, fx);
  return {};
}

void ClientSide::detach(Now, TunId tun) {
  devices_.erase(tun);
  std::vector<GroupId> own;
  for (const auto& [id, g] : groups_) {
    if (id.tun == tun) own.push_back(id);
  }
  for (const GroupId& id : own) forget_group(id);
}

void ClientSide::forget_group(const GroupId& id) {
  const Group* g = find_group(id);
  if (const Circuit* c = find(g->active); c != nullptr && g->has_lease) {
    s_.egress.frame(c->exit().peer, routing::write_lease_id(routing::FrameType::release, g->lease));
  }
  std::vector<CircuitId> own;
  for (const auto& [cid, c] : circuits_) {
    if (c.group == id) own.push_back(cid);
  }
  for (const CircuitId cid : own) destroy(cid);
  if (id.slot != 0) slots_in_use_--;
  groups_.erase(id);
}

void ClientSide::send_packet(Now now, Circuit& c, Packet&& packet) {
  c.live.sent(now.mono);
  c.path_mtu.carried(packet.size());
  c.tx_bytes += packet.size();
  s_.egress.payload(c.exit().peer, std::move(packet));
}

void ClientSide::flush_waiting(Now now, Group& g, Circuit& c) {
  for (Packet& p : g.waiting) send_packet(now, c, std::move(p));
  g.waiting.clear();
}

size_t ClientSide::slots_of(TunId tun) const {
  return static_cast<size_t>(std::count_if(
      groups_.begin(), groups_.end(), [tun](const auto& g) { return g.first.tun == tun && g.first.slot != 0; }));
}

// Whether a packet may bring this group of its device into being.
bool ClientSide::may_appear(const GroupId& id) const {
  const auto device = devices_.find(id.tun);
  if (device == devices_.end() || groups_.size() >= kMaxGroups) return false;
  if (id.slot == 0) return device->second == Slots::own_while_used;
  if (slots_in_use_ >= kMaxSlotGroups) return false;
  return device->second == Slots::many || (device->second == Slots::few && slots_of(id.tun) < kFewSlots);
}

// Only an address of a group may be a source: whatever else a program's kernel emits (link-local chatter, a spoofed
// address) would tell the exit something about this machine.
Group* ClientSide::group_of_packet(Now now, TunId tun, Bytes packet, Effects& fx) {
  const auto slot = slot_of_packet(packet);
  if (!slot) return nullptr;
  const GroupId id{tun, *slot};
  if (Group* known = find_group(id)) return known;
  if (!may_appear(id)) return nullptr;
  if (id.slot != 0) slots_in_use_++;
  Group& g = groups_[id];
  g.id = id;
  g.while_used = true;
  g.last_packet = now.mono;
  rebuild(now, g, fx);
  keep_spares(now, fx);
  return &g;
}

// The group's circuit, if it can carry packets now.
Circuit* ClientSide::usable_circuit(Now now, Group& g, Effects& fx) {
  Circuit* c = find(g.active);
  if (c != nullptr && c->live.idle_for(now.mono) > kIdle) {
    // The sessions may have lapsed: a circuit nobody used is not rekeyed.  The lease lives on for a while.
    for (const Hop& h : c->hops) {
      const auto info = s_.tunnels.info(h.peer);
      if (info && info->established) continue;
      circuit_failed(now, c->id, fx);
      c = find(g.active);
      break;
    }
  }
  return c != nullptr && c->state == Circuit::State::ready ? c : nullptr;
}

void ClientSide::on_tun_packets(Now now, TunId tun, std::span<Packet> packets, Effects& fx) {
  for (Packet& p : packets) {
    Group* g = group_of_packet(now, tun, p.bytes(), fx);
    if (g == nullptr) continue;
    g->last_packet = now.mono;
    g->flows.on_packet(p.bytes(), routing::OpenFlows::From::program);
    g->sent.on_packet(p.bytes());
    Circuit* c = usable_circuit(now, *g, fx);
    if (c != nullptr && refuse(*g, *c, p.bytes(), p.size(), fx)) continue;
    if (g->id.slot != 0 && !routing::rewrite_to_inside(p.bytes())) continue;
    if (c != nullptr) {
      send_packet(now, *c, std::move(p));
      continue;
    }
    if (g->waiting.size() >= kMaxWaiting) g->waiting.pop_front();
    g->waiting.push_back(std::move(p));
  }
}

// IPv6 where the exit has none, which it said with the lease, or where the circuit is too narrow for it: the program
// tries IPv4 at once, instead of after a round trip or a timeout.  Names are asked for over either.
bool ClientSide::no_way_for(const Circuit& c, Bytes packet) {
  if (packet[0] >> 4 != 6 || c.carries_v6()) return false;
  return packet.size() >= 40 && !equal(packet.subspan(24, 16), routing::InsideAddresses::get().dns6.bytes());
}

// Answers what the circuit does not carry; true if it does not.  `size`: that the packet had, which may be cut.
bool ClientSide::refuse(const Group& g, const Circuit& c, Bytes packet, size_t size, Effects& fx) {
  const bool no_way = no_way_for(c, packet);
  if (!no_way && size <= c.mtu()) return false;
  no_way ? unreachable(g, packet, fx) : too_big(g, c, packet, fx);
  return true;
}

void ClientSide::unreachable(const Group& g, Bytes packet, Effects& fx) {
  const auto header = routing::parse_ip(packet);
  if (!header.ok()) return;
  const IpAddress& router = routing::InsideAddresses::get().dns(header->destination.family());
  Packet reply = s_.pool.take();
  // An open connection takes an ICMP error for a passing trouble and would hang.
  const bool open = header->protocol == routing::IpProtocol::tcp && (header->tcp_flags & routing::kTcpSyn) == 0;
  if (open ? routing::make_tcp_reset(packet, *header, reply)
           : routing::make_unreachable(packet, *header, routing::Unreachable::no_route, router, reply)) {
    fx.tun_packets.push_back({g.id.tun, std::move(reply)});
  }
}

// The program's kernel learns the path MTU as it would from a router (RFC 1191, RFC 8201).
void ClientSide::too_big(const Group& g, const Circuit& c, Bytes packet, Effects& fx) {
  const auto header = routing::parse_ip(packet);
  if (!header.ok()) return;
  const IpAddress& router = routing::InsideAddresses::get().dns(header->destination.family());
  Packet reply = s_.pool.take();
  if (routing::make_too_big(packet, *header, c.mtu(), router, reply)) {
    fx.tun_packets.push_back({g.id.tun, std::move(reply)});
  }
}

// How much came in this second.  Little says nothing of the relays, and after a pause the window is no second.
void ClientSide::note_rate(Now now, Circuit& c) {
  const Duration took = now.mono - c.rate_since;
  if (took < kRateWindow) return;
  const uint64_t bytes = c.rx_bytes - c.rate_from;
  c.rate_since = now.mono;
  c.rate_from = c.rx_bytes;
  if (took > 2 * kRateWindow || bytes < kRateWorthNoting) return;
  const Bandwidth rate{bytes * 1'000 / static_cast<uint64_t>(took / 1ms)};
  for (const Hop& h : c.hops) seen_.throughput(h.relay.id, rate);
}

void ClientSide::on_ip(Now now, PeerRef peer, Packet&& packet, Effects& fx) {
  const auto it = hop_of_.find(peer);
  if (it == hop_of_.end()) return;
  Circuit* c = find(it->second.first);
  if (c == nullptr || it->second.second + 1 != c->hops.size() || c->group.is_nobody())
    return;  // only from the exit
  c->live.received(now.mono);
  c->path_mtu.carried(packet.size());
  c->rx_bytes += packet.size();
  note_rate(now, *c);
  if (!is_for_a_program(packet.bytes())) return;
  const GroupId id = c->group;
  if (Group* g = find_group(id)) {
    g->last_packet = now.mono;
    g->flows.on_packet(packet.bytes(), routing::OpenFlows::From::world);
  }
  if (id.slot != 0 && !routing::rewrite_from_inside(packet.bytes(), address_of_slot(id.slot, IpFamily::v4),
                                                    address_of_slot(id.slot, IpFamily::v6)))
    return;
  fx.tun_packets.push_back({id.tun, std::move(packet)});
}

void ClientSide::check_invariants() const {
  for (const auto& [peer, where] : hop_of_) {
    const auto c = circuits_.find(where.first);
    MV_ASSERT(c != circuits_.end() && c->second.hops.at(where.second).peer == peer);
  }
  MV_ASSERT(groups_.size() <= kMaxGroups);
  for (const auto& [gid, g] : groups_) {
    MV_ASSERT(g.id == gid && devices_.contains(gid.tun));
    MV_ASSERT(g.waiting.size() <= kMaxWaiting);
    MV_ASSERT(g.active.value == 0 || circuits_.contains(g.active));
    MV_ASSERT(g.replacement.value == 0 || circuits_.contains(g.replacement));
  }
  MV_ASSERT(slots_in_use_ == static_cast<size_t>(std::count_if(
                                 groups_.begin(), groups_.end(), [](const auto& g) { return g.first.slot != 0; })));
  for (const auto& [id, c] : circuits_) MV_ASSERT(c.pings.size() <= kMaxPings);
}

}  // namespace macrovpn::node
