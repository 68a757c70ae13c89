#include "core/node/exit_side.h"

#include "core/routing/address_rewrite.h"

namespace macrovpn::node {

using routing::ErrorCode;

namespace {
constexpr size_t kHeaders = kCarriedHeaders + encryption::kTransportOverhead;
}

void ExitSide::refuse(PeerRef session, ErrorCode code) {
  counters_.refused++;
  s_.egress.frame(session, routing::write_error(code, {0}));
}

void ExitSide::on_lease(Now now, PeerRef session, const CallerKey& caller, Bytes body,
                        const crypto::Hash32& h1, When when, Effects& fx) {
  const auto f = routing::read_lease(body);
  if (!f || f->mtu < kLeastMtu || f->mtu > kPacketMax) {
    counters_.refused++;
    return;
  }
  if (!s_.config.relay->exit) return refuse(session, ErrorCode::no_exit);
  if (s_.service != peers::Service::open) return refuse(session, ErrorCode::going_away);
  if (when == When::now && (f->flags & routing::kLeaseResume) == 0) {
    // The client asks again because GRANTED was lost, or because its circuit carries another size now.
    if (const auto held = leases_.granted(session)) return repeat(session, *held, f->mtu, fx);
  }
  if (const auto r = leases_.request(session, caller, *f, h1); !r.ok()) return refuse(session, r.error());
  if (when == When::now) session_confirmed(now, session, fx);
}

void ExitSide::repeat(PeerRef session, routing::LeaseTable::Taken held, uint16_t mtu, Effects& fx) {
  if (leases_.set_mtu(session, mtu)) {
    held.mtu = mtu;
    fx.exit_leases.push_back({held.number, mtu});
  }
  grant(session, held);
}

void ExitSide::session_confirmed(Now now, PeerRef session, Effects& fx) {
  const auto taken = leases_.confirmed(now.mono, session);
  if (!taken) return;
  if (!taken->ok()) return refuse(session, taken->error());
  const routing::LeaseTable::Taken& t = taken->value();
  grant(session, t);
  fx.exit_leases.push_back({t.number, t.mtu});
  for (const PeerRef old : t.moved_from) {
    s_.egress.frame(old, routing::write_lease_id(routing::FrameType::moved, t.id));
  }
}

void ExitSide::grant(PeerRef session, const routing::LeaseTable::Taken& t) {
  const uint8_t flags = routing::kGrantedV4 | (s_.config.relay->exit_v6 ? routing::kGrantedV6 : 0);
  s_.egress.frame(session, routing::write_granted({t.id, t.secret, flags, t.mtu}));
}

void ExitSide::on_release(Now now, PeerRef session, Bytes body) {
  if (const auto id = routing::read_lease_id(body)) leases_.release(now.mono, session, *id);
}

void ExitSide::session_gone(Now now, PeerRef session) {
  leases_.session_gone(now.mono, session);
}

void ExitSide::on_packet(Now now, PeerRef session, Packet packet, Effects& fx) {
  const routing::LeaseNumber lease = leases_.lease_of(session);
  if (lease.value == 0 || !routing::rewrite_to_private(packet.bytes(), lease).ok()) {
    counters_.without_lease++;
    return;
  }
  if (!s_.resources.carry(now.mono, session, packet.size() + kHeaders)) return;
  counters_.packets_out++;
  fx.exit_packets.push_back(std::move(packet));
}

void ExitSide::on_exit_packets(Now now, std::span<Packet> packets) {
  for (Packet& p : packets) {
    const auto lease = routing::rewrite_from_private(p.bytes());
    if (!lease.ok()) continue;
    const PeerRef session = leases_.session_of(*lease);
    if (session.value == 0 || !s_.resources.carry(now.mono, session, p.size() + kHeaders)) continue;
    counters_.packets_in++;
    s_.egress.payload(session, std::move(p));
  }
}

void ExitSide::end_all(Now now, Effects& fx) {
  leases_.close_all(now.mono);
  on_deadline(now, fx);
}

void ExitSide::on_deadline(Now now, Effects& fx) {
  std::vector<routing::LeaseNumber> forgotten;
  leases_.expire(now.mono, forgotten);
  for (const routing::LeaseNumber n : forgotten) fx.exit_leases.push_back({n, std::nullopt});
}

}  // namespace macrovpn::node
