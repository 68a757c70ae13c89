#include "core/encryption/tunnels.h"

#include "core/encryption/tunnels_impl.h"

namespace macrovpn::encryption {

Tunnels::Tunnels(const KeyPair& self, const ByteArray<8>& network_tag, ShardId shard, PacketPool& pool,
                 Rng& rng, const TunnelLimits& limits)
    : impl_(std::make_unique<Impl>(self, network_tag, shard, pool, rng, limits)) {}
Tunnels::~Tunnels() = default;

const PublicKey& Tunnels::public_key() const {
  return impl_->self.pub;
}
void Tunnels::accept_ephemeral_peers(bool on) {
  impl_->accept_ephemeral = on;
}

Result<PeerRef, Drop> Tunnels::add_configured(Mono now, const ConfiguredPeer& c) {
  return impl_->add_configured(now, c);
}
Result<PeerRef, Drop> Tunnels::add_hop(Mono, const HopPeer& h) {
  return impl_->add_hop(h);
}
void Tunnels::remove(PeerRef ref) {
  if (Peer* p = impl_->peers.find(ref)) impl_->remove(*p);
}
std::optional<PeerInfo> Tunnels::info(PeerRef ref) const {
  const Peer* p = impl_->peers.find(ref);
  return p ? std::optional(impl_->info(*p)) : std::nullopt;
}
std::vector<PeerRef> Tunnels::peers() const {
  return impl_->peers.refs();
}
PeerRef Tunnels::route_to(const IpAddress& destination) const {
  return impl_->allowed.find(destination);
}

PublicKey Tunnels::renew_prekey(Now now) {
  return impl_->early.renew(now);
}
bool Tunnels::needs_prekey(Now now) {
  return impl_->early.needs_prekey(now);
}
bool Tunnels::owns_index(SessionIndex i) const {
  return impl_->indexes.find(i) != nullptr;
}

Result<Initiation, Drop> Tunnels::start_handshake(Now now, PeerRef ref) {
  Peer* p = impl_->peers.find(ref);
  if (p == nullptr || p->kind == PeerKind::ephemeral) return impl_->refused(Drop::unknown_peer);
  return impl_->create_initiation(now, *p, Impl::Reason::asked);
}

Result<std::vector<uint8_t>, Drop> Tunnels::seal_early(Wall wall, PeerRef ref, const PublicKey& prekey,
                                                       Bytes plain) {
  const Peer* p = impl_->peers.find(ref);
  if (p == nullptr) return impl_->refused(Drop::unknown_peer);
  if (!p->pending) return impl_->refused(Drop::no_session);
  const auto shared = crypto::x25519(p->pending->ephemeral.secret, prekey);
  if (!shared) return impl_->refused(Drop::low_order_point);
  const auto key = early_key(p->pending->noise.chaining_key(), *shared, impl_->network);
  return seal_early_data(key, p->pending->noise.hash(), wall, plain);
}

Result<Accepted, Drop> Tunnels::on_initiation(Now now, const Caller& caller, Bytes message, Bytes early,
                                              Out& out) {
  auto accepted = impl_->on_initiation(now, caller, message, early, out);
  if (!accepted) impl_->counted(accepted.error());
  return accepted;
}
Drop Tunnels::on_response(Now now, const Route& from, Bytes message, Out& out) {
  return impl_->counted(impl_->on_response(now, from, message, out));
}
Drop Tunnels::on_cookie_reply(Now now, const Route& from, Bytes message) {
  return impl_->counted(impl_->on_cookie_reply(now, from, message));
}

void Tunnels::seal_batch(Now now, std::span<SealJob> jobs, Out& out) {
  impl_->seal_batch(now, jobs, out);
}
void Tunnels::open_batch(Now now, std::span<OpenJob> jobs, Out& out) {
  impl_->open_batch(now, jobs, out);
}
bool Tunnels::may_send(PeerRef ref, size_t datagram_size) {
  return impl_->may_send(ref, datagram_size);
}

Mono Tunnels::next_deadline() const {
  return impl_->next_deadline();
}
void Tunnels::on_deadline(Now now, Out& out) {
  impl_->on_deadline(now, out);
}

bool Tunnels::under_load(Mono now) const {
  return impl_->load.loaded(now);
}
std::vector<Route> Tunnels::proven_callers(Mono since, size_t most) const {
  return impl_->proven_callers(since, most);
}
uint64_t Tunnels::count(Drop d) const {
  return impl_->counters[static_cast<size_t>(d)];
}
size_t Tunnels::ephemeral_count() const {
  return impl_->peers.count(PeerKind::ephemeral);
}
void Tunnels::check_invariants() const {
  impl_->check_invariants();
}

}  // namespace macrovpn::encryption
