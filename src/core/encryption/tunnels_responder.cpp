// We are called: who may, what it costs, and what is answered.
//
// In the order of cost: mac1 (a hash), load and mac2, the caller's rate, then two Diffie-Hellmans that tell
// who it is, then a session.  State is changed only after everything has been verified.
#include "core/encryption/tunnels_impl.h"

namespace macrovpn::encryption {

CallerKey Tunnels::Impl::caller_of(const Caller& c) const {
  return c.verified_relay ? caller_key(*c.verified_relay) : caller_key(c.from.endpoint.address);
}
size_t Tunnels::Impl::half_open_share(const Caller& c) const {
  return c.verified_relay ? limits.half_open_per_relay : limits.half_open_per_source;
}

// A caller that did not prove its address could wear out the budget of another one whose address it forges,
// so the budget of unproven callers, once used up, only makes them prove it (a cookie); what is proven has
// its own.  A relay whose trailer verified is proven by that.
Drop Tunnels::Impl::admit(Now now, const Caller& c, Bytes message, Out& out) {
  if (!is_message(message) || message.size() != kInitiationSize) return Drop::malformed;
  if (!has_identity()) return Drop::unknown_peer;
  if (c.from.kind != Route::Kind::udp) return Drop::no_route;
  if (!cookies.check_mac1(message)) return Drop::bad_mac1;
  if (c.handed_over) return Drop::none;
  load.count(now.mono);
  const unsigned n = limits.handshakes_per_second;
  CallerKey who = caller_of(c);
  if (c.verified_relay) {
    const Rate r{n * kRelayRateFactor, kHandshakeBurst * kRelayRateFactor};
    return rate.allow(now.mono, who, r) ? Drop::none : Drop::rate_limited;
  }
  const Rate r{n, kHandshakeBurst};
  if (cookies.check_mac2(now.mono, message, c.from.endpoint)) {
    who.bytes.back() = 1;  // an address leaves the last byte free
    return rate.allow(now.mono, who, r) ? Drop::none : Drop::rate_limited;
  }
  if (!load.loaded(now.mono) && rate.allow(now.mono, who, r)) return Drop::none;
  // A reply costs as much as all before it: half of a flood's cost would be paid for its own answers.
  if (!cookies_left.take(now.mono, {limits.cookies_per_second, kCookieBurst})) return Drop::no_cookie_left;
  out.messages.push_back({{}, c.from, pool.copy_of(cookies.reply(now.mono, message, c.from.endpoint))});
  return Drop::cookie_required;
}

Result<Accepted, Drop> Tunnels::Impl::on_initiation(Now now, const Caller& caller, Bytes message,
                                                    Bytes early_data, Out& out) {
  if (const Drop d = admit(now, caller, message, out); d != Drop::none) return Failure{d};
  ReceivedInitiation received(called_noise, self_dh, message);
  TRY(const PublicKey key, received.read_static());
  const Peer* known = peers.find(key);
  if (const auto at = elsewhere.find(key); at != elsewhere.end() && known == nullptr && !caller.handed_over) {
    Accepted theirs;
    theirs.elsewhere = at->second;
    return theirs;
  }
  if (key == self.pub || (known == nullptr && !accept_ephemeral)) return Failure{Drop::unknown_peer};
  const bool configured = known != nullptr && known->kind == PeerKind::configured;
  if (caller.who != Caller::Who::anybody && configured != (caller.who == Caller::Who::configured))
    return Failure{Drop::unknown_peer};
  Secret<32> shared;
  if (known != nullptr) {
    if (known->static_shared.is_zero()) return Failure{Drop::low_order_point};
    shared = known->static_shared;
  } else {
    const auto dh = self_dh.shared_with(key);
    if (!dh) return Failure{Drop::low_order_point};
    shared = *dh;
  }
  TRY(const Tai64n timestamp, received.read_timestamp(shared));
  Accepted accepted;
  if (known == nullptr && callers != nullptr) {
    const ShardId owner = callers->claim(key, shard);
    if (owner != shard && caller.handed_over) return Failure{Drop::unknown_peer};
    if (owner != shard) return accepted.elsewhere = owner, accepted;
  }
  accepted.is_new = known == nullptr;
  accepted.h1 = received.h1();
  const auto recognised = recognise(now, caller, key, shared, timestamp);
  if (!recognised) {
    if (known == nullptr && callers != nullptr) callers->release(key, shard);
    return recognised.failure();
  }
  Peer* const peer = *recognised;
  if (peer->kind == PeerKind::ephemeral && !early_data.empty()) {
    open_early(now, caller, received, early_data, accepted);
  }

  const SessionIndex local = indexes.draw(peer);
  const Cookie* cookie = peer->cookie.usable(now.mono) ? &peer->cookie : nullptr;
  ByteArray<kResponseSize> response;
  ephemeral_dh.draw(rng);
  const auto result = received.write_response(ephemeral_dh, local, key, psk_of(*peer), cookie, response);
  ephemeral_dh.forget();
  if (!result) {  // the ephemeral is of low order: nobody honest
    indexes.erase(local);
    if (accepted.is_new) remove(*peer);
    return result.failure();
  }
  accepted.peer = peer->ref;
  peer->h1 = accepted.h1;
  become_responder_session(now, *peer, local, *result, caller, out);
  out.messages.push_back({peer->ref, caller.from, pool.copy_of(response)});
  return accepted;
}

// The peer of a static key whose initiation decrypted; a new one if it is a stranger and there is room.
Result<Peer*, Drop> Tunnels::Impl::recognise(Now now, const Caller& caller, const PublicKey& key,
                                             const Secret<32>& shared, const Tai64n& timestamp) {
  Peer* p = peers.find(key);
  if (p == nullptr) {
    TRY(p, add_ephemeral(now.mono, caller, key, shared));
  } else if (timestamp <= p->greatest_timestamp) {
    return Failure{Drop::replayed_timestamp};
  } else if (p->configured) {
    if (now.mono - p->configured->last_initiation_received < kInitiationFlood)
      return Failure{Drop::rate_limited};
    p->configured->last_initiation_received = now.mono;
  }
  p->greatest_timestamp = timestamp;
  return p;
}

Result<Peer*, Drop> Tunnels::Impl::add_ephemeral(Mono now, const Caller& caller, const PublicKey& key,
                                                 const Secret<32>& shared) {
  const CallerKey who = caller_of(caller);
  const size_t share = caller.verified_relay ? limits.ephemeral_per_relay : limits.ephemeral_per_source;
  if (!strangers.try_add(who, share)) return Failure{Drop::table_full};
  if (!half_open.try_add(who, half_open_share(caller))) {
    strangers.remove(who);
    return Failure{Drop::table_full};
  }
  auto p = std::make_unique<Peer>();
  p->key = key;
  p->static_shared = shared;
  p->ephemeral.caller = who;
  p->ephemeral.half_open_until = now + kHalfOpenTime;
  return &peers.add(std::move(p));
}

void Tunnels::Impl::become_responder_session(Now now, Peer& p, SessionIndex local,
                                             const HandshakeResult& result, const Caller& caller, Out& out) {
  Sessions& s = p.sessions;
  free_session(s.next);
  free_session(s.previous);
  const size_t eager = p.configured ? ReplayWindow::kMax : ReplayWindow::kEagerSmall;
  s.next = std::make_unique<Session>(result, local, Role::responder, now.mono, eager);
  p.handshake_hash = result.hash;
  p.last_handshake = p.last_received = now.mono;
  p.rx_bytes += kInitiationSize;
  p.tx_bytes += kResponseSize;
  if (p.configured) {
    note_source(p, caller.from, out);
    p.configured->timers.on_received(now.mono, Payload::keepalive);
    p.configured->timers.on_session(now.mono);
    p.configured->timers.on_sent(now.mono, Payload::keepalive, rng);
  } else {
    p.ephemeral.fixed_route = caller.verified_relay.has_value();
    // An initiation can be caught and sent on from elsewhere once; a session that is up moves only with its
    // packets.
    if (!p.ephemeral.confirmed) {
      // What one address has sent is no credit for another, which may be forged.
      if (p.route.endpoint != caller.from.endpoint) p.ephemeral.budget = 0;
      p.route = caller.from;
      p.ephemeral.budget += caller.datagram_size;
    }
  }
  touch(p);
}

void Tunnels::Impl::open_early(Now now, const Caller& caller, const ReceivedInitiation& received,
                               Bytes sealed, Accepted& accepted) {
  const size_t share =
      caller.verified_relay ? EarlyReplayCache::kShareOfRelay : EarlyReplayCache::kShareOfSource;
  auto plain =
      early.open(now, {received.c1(), received.h1(), received.ephemeral(), caller_of(caller), share}, sealed);
  if (plain) {
    accepted.early_plain = std::move(*plain);
  } else {
    accepted.early = counted(plain.error());
  }
}

// The first authenticated packet under `next`.
void Tunnels::Impl::confirm(Mono now, Peer& p, const Route& from, Out& out) {
  Sessions& s = p.sessions;
  retire(s.previous);
  s.previous = std::move(s.current);
  s.current = std::move(s.next);
  const bool first = !std::exchange(p.was_up, true);
  if (p.configured) {
    p.configured->timers.on_handshake_complete();
  } else {
    if (!std::exchange(p.ephemeral.confirmed, true)) half_open.remove(p.ephemeral.caller);
    p.ephemeral.half_open_until = kNever;
    // Whoever repeats the first packet faster must not pull a relayed session to himself.
    if (!p.ephemeral.fixed_route) p.route = from;
  }
  p.last_received = now;
  out.events.push_back(SessionUp{p.ref, first});
}

bool Tunnels::Impl::may_send(PeerRef ref, size_t datagram_size) {
  // A cookie reply to a stranger: never more than the smallest initiation.
  if (ref == PeerRef{}) return datagram_size <= kInitiationSize;
  Peer* p = peers.find(ref);
  if (p == nullptr) return false;
  if (!p->half_open()) return true;
  if (datagram_size > p->ephemeral.budget) return false;
  p->ephemeral.budget -= datagram_size;
  return true;
}

}  // namespace macrovpn::encryption
