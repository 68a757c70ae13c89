// Adding, removing and describing peers.
#include <algorithm>

#include "core/encryption/tunnels_impl.h"

namespace macrovpn::encryption {

Tunnels::Impl::Impl(const KeyPair& own, const ByteArray<8>& network_tag, ShardId own_shard, PacketPool& packets,
                    Rng& random, const TunnelLimits& l, const Common& common)
    : self(own),
      self_dh(own.secret),
      called_noise(start_of_handshake(own.pub)),
      network(network_tag),
      pool(packets),
      rng(random),
      limits(l),
      shard(own_shard),
      callers(common.callers),
      witness(common.witness),
      peers(own_shard),
      indexes(own_shard, random),
      own_strangers(l.ephemeral_peers),
      own_half_open(l.half_open),
      own_early(random),
      strangers(common.strangers ? *common.strangers : own_strangers),
      half_open(common.half_open ? *common.half_open : own_half_open),
      early_store(common.early ? *common.early : own_early),
      cookies(own.pub, random),
      load(l.load_threshold),
      early(network_tag, early_store),
      aead(common.aead ? *common.aead : own_aead.emplace()) {
  called_noise.show(witness);
}
Tunnels::Impl::~Impl() = default;

Result<PeerRef, Drop> Tunnels::Impl::add_configured(Mono now, const ConfiguredPeer& c) {
  if (peers.count(PeerKind::configured) >= limits.configured_peers) return refused(Drop::table_full);
  if (Peer* known = peers.find(c.key)) {
    if (known->kind == PeerKind::configured || c.key == self.pub) return refused(Drop::unknown_peer);
    owed.push_back(PeerGone{known->ref});  // a stranger becomes somebody that the user named
    remove(*known);
  }
  auto p = std::make_unique<Peer>();
  p->kind = PeerKind::configured;
  p->key = c.key;
  p->route = c.route;
  rekey_static(*p);
  p->configured = std::make_unique<ConfiguredState>(c.preshared, c.persistent_keepalive, c.mtu, c.shared_sources);
  Peer& added = peers.add(std::move(p));
  for (const IpPrefix& prefix : c.allowed_ips) {
    if (allowed.insert(prefix, added.ref)) continue;
    remove(added);
    return refused(Drop::table_full);
  }
  added.configured->timers.start_persistent(now);
  touch(added);
  return added.ref;
}

Result<PeerRef, Drop> Tunnels::Impl::add_hop(const HopPeer& h) {
  const auto shared = crypto::x25519(h.ours.secret, h.key);
  if (!shared) return refused(Drop::low_order_point);
  if (peers.count(PeerKind::hop) >= limits.hop_peers) return refused(Drop::table_full);
  auto p = std::make_unique<Peer>();
  p->kind = PeerKind::hop;
  p->key = h.key;
  p->static_shared = *shared;
  p->route = h.route;
  p->hop = std::make_unique<HopState>(h.ours);
  return peers.add(std::move(p)).ref;
}

std::vector<Route> Tunnels::Impl::proven_callers(Mono since, size_t most) const {
  std::vector<const Peer*> busy;
  peers.for_each([&](const Peer& p) {
    const bool proven = p.sessions.current != nullptr && !p.half_open();
    if (proven && p.route.kind == Route::Kind::udp && p.last_received >= since) busy.push_back(&p);
  });
  const size_t n = std::min(most, busy.size());
  std::partial_sort(busy.begin(), busy.begin() + static_cast<ptrdiff_t>(n), busy.end(),
                    [](const Peer* a, const Peer* b) { return a->rx_bytes > b->rx_bytes; });
  std::vector<Route> out;
  for (size_t i = 0; i < n; i++) out.push_back(busy[i]->route);
  return out;
}

void Tunnels::Impl::free_session(SessionPtr& s) {
  if (!s) return;
  indexes.erase(s->local);
  s.reset();
}

void Tunnels::Impl::free_pending(Peer& p) {
  if (!p.pending) return;
  indexes.erase(p.pending->local);
  p.pending.reset();
}

void Tunnels::Impl::free_keys(Peer& p) {
  free_pending(p);
  free_session(p.sessions.current);
  free_session(p.sessions.previous);
  free_session(p.sessions.next);
}

void Tunnels::Impl::remove(Peer& p) {
  free_keys(p);
  if (p.kind == PeerKind::configured) allowed.remove(p.ref);
  if (p.half_open()) half_open.remove(p.ephemeral.caller);
  if (p.kind == PeerKind::ephemeral) {
    strangers.remove(p.ephemeral.caller);
    if (callers != nullptr) callers->release(p.key, shard);
  }
  peers.remove(p);
}

PeerInfo Tunnels::Impl::info(const Peer& p) const {
  PeerInfo i;
  i.kind = p.kind;
  i.key = p.key;
  i.our_key = keys_for(p).pub;
  i.route = p.route;
  i.established = p.sessions.current != nullptr;
  i.h1 = p.h1;
  i.handshake_hash = p.handshake_hash;
  i.last_handshake = p.last_handshake;
  i.last_received = p.last_received;
  i.rx_bytes = p.rx_bytes;
  i.tx_bytes = p.tx_bytes;
  return i;
}

void Tunnels::Impl::check_invariants() const {
  peers.check_invariants();
  size_t live = 0, waiting = 0;
  for (const PeerRef ref : peers.refs()) {
    const Peer& p = *peers.find(ref);
    const auto owns = [&](SessionIndex i) {
      live++;
      return indexes.find(i) == &p;
    };
    MV_ASSERT(!p.pending || owns(p.pending->local));
    for (const SessionPtr* s : {&p.sessions.current, &p.sessions.previous, &p.sessions.next}) {
      MV_ASSERT(!*s || owns((*s)->local));
    }
    MV_ASSERT((p.configured != nullptr) == (p.kind == PeerKind::configured));
    MV_ASSERT((p.hop != nullptr) == (p.kind == PeerKind::hop));
    MV_ASSERT(p.kind != PeerKind::ephemeral || (!p.pending && !p.sessions.empty()));
    MV_ASSERT(p.kind == PeerKind::hop ? !p.sessions.next : true);
    MV_ASSERT(!p.configured || p.configured->staged.size() <= limits.staged_packets);
    MV_ASSERT(deadline_of(p) >= p.scheduled);  // never woken too late
    waiting += p.half_open();
  }
  MV_ASSERT(live == indexes.size() && (&half_open != &own_half_open || waiting == half_open.all()));
  MV_ASSERT(waiting <= limits.half_open && peers.count(PeerKind::ephemeral) <= limits.ephemeral_peers);
  MV_ASSERT(&strangers != &own_strangers || strangers.all() == peers.count(PeerKind::ephemeral));
  MV_ASSERT(peers.count(PeerKind::configured) <= limits.configured_peers);
  MV_ASSERT(peers.count(PeerKind::hop) <= limits.hop_peers && retired.empty());
}

}  // namespace macrovpn::encryption
