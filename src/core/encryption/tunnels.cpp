#include "core/encryption/tunnels.h"

#include "core/encryption/tunnels_impl.h"

namespace macrovpn::encryption {

Tunnels::Tunnels(const KeyPair& self, const ByteArray<8>& network_tag, ShardId shard, PacketPool& pool,
                 Rng& rng, const TunnelLimits& limits, const Common& common)
    : impl_(std::make_unique<Impl>(self, network_tag, shard, pool, rng, limits, common)) {}
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
std::optional<PeerKind> Tunnels::kind_of(PeerRef ref) const {
  const Peer* p = impl_->peers.find(ref);
  return p == nullptr ? std::nullopt : std::optional(p->kind);
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

void Tunnels::set_identity(const KeyPair& self) {
  impl_->set_identity(self);
}
std::optional<PeerRef> Tunnels::find_configured(const PublicKey& key) const {
  const Peer* p = impl_->peers.find(key);
  return p && p->configured ? std::optional(p->ref) : std::nullopt;
}
std::optional<ConfiguredPeer> Tunnels::configuration(PeerRef ref) const {
  const Peer* p = impl_->configured(ref);
  return p ? std::optional(impl_->configuration(*p)) : std::nullopt;
}
void Tunnels::set_preshared(PeerRef ref, const Secret<32>& psk) {
  if (Peer* p = impl_->configured(ref)) p->configured->preshared = psk;
}
void Tunnels::set_endpoint(Now now, PeerRef ref, const Route& route, Out& out) {
  Peer* p = impl_->configured(ref);
  if (p == nullptr) return;
  p->route = route;
  impl_->send_waiting(now, *p, out);
}
void Tunnels::set_persistent_keepalive(Mono now, PeerRef ref, Duration interval) {
  Peer* p = impl_->configured(ref);
  if (p == nullptr) return;
  p->configured->timers.set_persistent(now, interval);
  impl_->touch(*p);
}
bool Tunnels::allow(PeerRef ref, const IpPrefix& prefix) {
  const bool anothers = ref != PeerRef{} && shard_of(ref) != impl_->shard;
  return (!anothers && impl_->configured(ref) == nullptr) || impl_->allowed.insert(prefix, ref);
}
void Tunnels::disallow(PeerRef ref, const IpPrefix& prefix) {
  impl_->allowed.remove_one(prefix, ref);
}
void Tunnels::disallow_all(PeerRef ref) {
  impl_->allowed.remove(ref);
}
void Tunnels::keep_elsewhere(const PublicKey& key, ShardId owner) {
  MV_ASSERT(owner != impl_->shard);
  impl_->elsewhere[key] = owner;
}
void Tunnels::forget_elsewhere(const PublicKey& key) {
  impl_->elsewhere.erase(key);
}
void Tunnels::set_mtu(size_t mtu) {
  impl_->for_each_configured([&](Peer& p) { p.configured->mtu = mtu; });
}
void Tunnels::pause_configured() {
  impl_->for_each_configured([&](Peer& p) { impl_->pause(p); });
}
void Tunnels::resume_configured(Mono now) {
  impl_->for_each_configured([&](Peer& p) {
    p.configured->timers.start_persistent(now);
    impl_->touch(p);
  });
}
PeerRef Tunnels::sent_to(const Endpoint& to, Bytes message) const {
  return impl_->sent_to(to, message);
}

std::optional<Trace> Tunnels::trace_of(PeerRef ref) const {
  const Peer* p = impl_->configured(ref);
  return p ? impl_->trace_of(*p) : std::nullopt;
}

PublicKey Tunnels::renew_prekey(Now now) {
  return impl_->early_store.renew(now);
}
bool Tunnels::needs_prekey(Now now) {
  return impl_->early_store.prekeys(now).empty();
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
  if (impl_->witness != nullptr) impl_->witness->seals_once(key);
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
void Tunnels::rest() {
  impl_->work = decltype(impl_->work)();
  impl_->departures = decltype(impl_->departures)();
  impl_->jobs = decltype(impl_->jobs)();
}
void Tunnels::check_invariants() const {
  impl_->check_invariants();
}

}  // namespace macrovpn::encryption
