// We call: initiations, responses, cookie replies.
#include "core/encryption/tunnels_impl.h"

namespace macrovpn::encryption {

Result<Initiation, Drop> Tunnels::Impl::create_initiation(Now now, Peer& p, Reason reason) {
  // Without a key of our own, or with a peer whose key is of low order, there is no secret to share.
  if (p.configured && (!has_identity() || p.static_shared.is_zero())) return Failure{Drop::no_session};
  auto pending = std::make_unique<PendingInitiation>(p.key, crypto::x25519_generate(rng));
  pending->noise.show(witness);
  Tai64n timestamp;
  if (p.hop) {
    timestamp = tai64n_of_count(++p.hop->initiations);
  } else {
    timestamp = p.configured->last_sent = tai64n_of(now.wall, p.configured->last_sent);
  }
  pending->local = indexes.draw(&p);
  Initiation out;
  const Cookie* cookie = p.cookie.usable(now.mono) ? &p.cookie : nullptr;
  const auto written =
      write_initiation(*pending, {keys_for(p), p.key, p.static_shared, timestamp, cookie}, out.message);
  MV_ASSERT(written.ok());  // the peer's key was checked when it was added
  out.h1 = p.pending_h1 = pending->noise.hash();
  free_pending(p);
  p.pending = std::move(pending);

  if (p.hop) {
    if (reason != Reason::retry) p.hop->timers.restart_attempts(now.mono);
    using Attempt = HopTimers::Attempt;
    p.hop->timers.on_initiation_sent(now.mono, reason == Reason::asked ? Attempt::first : Attempt::rekey,
                                     rng);
  } else {
    if (reason != Reason::retry) p.configured->timers.restart_attempts(now.mono);
    p.configured->timers.on_initiation_sent(now.mono, rng);
  }
  p.tx_bytes += kInitiationSize;
  touch(p);
  return out;
}

void Tunnels::Impl::initiate(Now now, Peer& p, Reason reason, Out& out) {
  if (p.configured && reason != Reason::retry) p.configured->timers.restart_attempts(now.mono);
  const bool may = p.hop ? p.hop->timers.may_initiate(now.mono) : p.configured->timers.may_initiate(now.mono);
  if (!may || p.route.kind == Route::Kind::none) return;
  const auto made = create_initiation(now, p, reason);
  if (!made) return;
  out.messages.push_back({p.ref, p.route, pool.copy_of(made->message)});
}

Drop Tunnels::Impl::on_response(Now now, const Route& from, Bytes message, Out& out) {
  if (!is_message(message) || message.size() != kResponseSize) return Drop::malformed;
  Peer* p = indexes.find(receiver_index(message));
  if (p == nullptr || !p->pending || p->pending->local != receiver_index(message)) return Drop::unknown_index;
  if (!accepts_from(*p, from)) return Drop::unknown_index;
  if (!(p->hop ? CookieChecker(p->hop->ours.pub, rng) : cookies).check_mac1(message)) return Drop::bad_mac1;
  const auto result = read_response(*p->pending, keys_for(*p), psk_of(*p), message);
  if (!result) return result.error();
  p->rx_bytes += message.size();
  p->last_received = now.mono;
  note_source(*p, from, out);
  become_initiator_session(now, *p, *result, out);
  return Drop::none;
}

void Tunnels::Impl::become_initiator_session(Now now, Peer& p, const HandshakeResult& result, Out& out) {
  Sessions& s = p.sessions;
  free_session(s.previous);
  if (s.next) {  // ours crossed theirs: they may still send with the newer of the two
    s.previous = std::move(s.next);
    free_session(s.current);
  } else {
    s.previous = std::move(s.current);
  }
  s.current =
      std::make_unique<Session>(result, p.pending->local, Role::initiator, now.mono, ReplayWindow::kMax);
  p.pending.reset();  // its index lives on in the session
  p.h1 = p.pending_h1;
  p.handshake_hash = result.hash;
  p.last_handshake = now.mono;
  const bool first = !std::exchange(p.was_up, true);
  if (p.hop) {
    p.hop->timers.on_session(now.mono, rng);
  } else {
    p.configured->timers.on_received(now.mono, Payload::keepalive);
    p.configured->timers.on_session(now.mono);
    p.configured->timers.on_handshake_complete();
  }
  out.events.push_back(SessionUp{p.ref, first});
  // The first packet tells the responder that we have the keys.
  if (p.configured && !p.configured->staged.empty()) {
    flush_staged(now, p, out);
  } else {
    send_keepalive(now, p, out);
  }
  touch(p);
}

// Never roams: a cookie reply proves nothing but that our initiation was seen.
Drop Tunnels::Impl::on_cookie_reply(Now now, const Route& from, Bytes message) {
  if (!is_message(message) || message.size() != kCookieReplySize) return Drop::malformed;
  Peer* p = indexes.find(receiver_index(message));
  if (p == nullptr || !p->pending || p->pending->local != receiver_index(message)) return Drop::unknown_index;
  if (!accepts_from(*p, from)) return Drop::unknown_index;
  const auto cookie = open_cookie_reply(message, p->key, p->pending->mac1);
  if (!cookie) return Drop::bad_handshake;
  p->cookie = {*cookie, now.mono};
  return Drop::none;
}

}  // namespace macrovpn::encryption
