// What changes while a device runs: our own key, and everything that a configured peer was given.  A change
// keeps the session unless it is about the keys themselves, so that whoever edits a configuration cuts nobody
// off.
#include "core/encryption/tunnels_impl.h"

namespace macrovpn::encryption {

Peer* Tunnels::Impl::configured(PeerRef ref) const {
  Peer* p = peers.find(ref);
  return p != nullptr && p->configured ? p : nullptr;
}

// Zero where there is nothing to share: no key of our own, or theirs is of low order.  Such a peer may stand
// in a configuration, as with stock devices; it is never called and never answered.
void Tunnels::Impl::rekey_static(Peer& p) {
  p.static_shared = {};
  if (!has_identity()) return;
  if (const auto shared = self_dh.shared_with(p.key)) p.static_shared = *shared;
}

void Tunnels::Impl::set_identity(const KeyPair& own) {
  if (own.secret == self.secret) return;
  self = own;
  self_dh.set(own.secret);
  called_noise = start_of_handshake(own.pub);
  called_noise.show(witness);
  cookies.set_self(own.pub);
  for (const PeerRef ref : peers.refs()) {
    Peer& p = *peers.find(ref);
    if (p.kind == PeerKind::hop) continue;
    const bool ourselves = has_identity() && p.key == self.pub;
    if (p.kind == PeerKind::ephemeral) owed.push_back(PeerGone{ref});
    if (p.kind == PeerKind::ephemeral || ourselves) {
      remove(p);
      continue;
    }
    free_keys(p);
    rekey_static(p);
    p.configured->timers.forget_handshake();
    touch(p);
  }
}

ConfiguredPeer Tunnels::Impl::configuration(const Peer& p) const {
  const ConfiguredState& c = *p.configured;
  return {p.key, c.preshared, p.route, allowed.of(p.ref), c.timers.persistent(), c.mtu,
          c.shared_sources};
}

void Tunnels::Impl::send_waiting(Now now, Peer& p, Out& out) {
  if (p.configured->staged.empty()) return;
  flush_staged(now, p, out);
  if (!p.configured->staged.empty()) initiate(now, p, Reason::rekey, out);
  touch(p);
}

void Tunnels::Impl::pause(Peer& p) {
  free_keys(p);
  p.configured->staged.clear();
  p.configured->timers = StockTimers(p.configured->timers.persistent());
}

PeerRef Tunnels::Impl::sent_to(const Endpoint& to, Bytes m) const {
  if (m.size() < 8 || m[1] != 0 || m[2] != 0 || m[3] != 0) return {};
  const auto is_at = [&](const Peer& p) {
    return p.configured && p.route.kind == Route::Kind::udp && p.route.endpoint == to;
  };
  const SessionIndex index{load_le32(m.data() + 4)};
  if (m[0] == 1 || m[0] == 2) {  // the sender index is ours
    const Peer* p = indexes.find(index);
    return p != nullptr && is_at(*p) ? p->ref : PeerRef{};
  }
  PeerRef found;
  if (m[0] != 4) return found;
  peers.for_each([&](const Peer& p) {  // the receiver index is theirs
    if (!is_at(p)) return;
    for (const SessionPtr* s : {&p.sessions.current, &p.sessions.previous}) {
      if (*s && (*s)->remote == index) found = p.ref;
    }
  });
  return found;
}

std::optional<Trace> Tunnels::Impl::trace_of(const Peer& p) const {
  if (p.route.kind != Route::Kind::udp) return std::nullopt;
  const auto index = [](const SessionPtr& s) { return s ? s->remote : SessionIndex{}; };
  return Trace{p.route.endpoint, {index(p.sessions.current), index(p.sessions.previous)}};
}

}  // namespace macrovpn::encryption
