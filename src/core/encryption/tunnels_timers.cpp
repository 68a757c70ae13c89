// Deadlines.  Each peer has one entry in an ordered queue.  Packets move a peer's timers mostly later, so the
// entry is moved only when something became due earlier; one that fires too soon just looks again.
// next_deadline() is the head of the queue, however many peers there are.
#include "core/encryption/tunnels_impl.h"

namespace macrovpn::encryption {

Mono Tunnels::Impl::deadline_of(const Peer& p) const {
  if (p.configured) return p.configured->timers.next();
  if (p.hop) return p.hop->timers.next();
  if (p.half_open()) return p.ephemeral.half_open_until;
  Mono out = kNever;
  for (const SessionPtr* s : {&p.sessions.current, &p.sessions.previous, &p.sessions.next}) {
    if (*s) out = std::min(out, (*s)->created + kRejectAfterTime);
  }
  return out;
}

void Tunnels::Impl::touch(Peer& p) {
  const Mono d = deadline_of(p);
  if (d < p.scheduled) peers.schedule(p, d);
}

Mono Tunnels::Impl::next_deadline() const {
  if (!owed.empty()) return kLongAgo;
  const Mono own = std::min(peers.next_deadline(), early.next_deadline());
  // Prekeys are looked after by one of those that share them.
  return shard == ShardId{0} ? std::min(own, early_store.next_deadline()) : own;
}

void Tunnels::Impl::on_deadline(Now now, Out& out) {
  out.events.insert(out.events.end(), owed.begin(), owed.end());
  owed.clear();
  early.expire(now.mono);
  if (shard == ShardId{0}) early_store.expire(now);
  while (Peer* p = peers.take_due(now.mono)) {
    const PeerRef ref = p->ref;
    switch (p->kind) {
      case PeerKind::configured:
        run_configured(now, *p, out);
        break;
      case PeerKind::hop:
        run_hop(now, *p, out);
        break;
      case PeerKind::ephemeral:
        run_ephemeral(now, *p, out);
        break;
    }
    if (peers.find(ref) == p) touch(*p);
  }
}

void Tunnels::Impl::run_configured(Now now, Peer& p, Out& out) {
  StockTimers& t = p.configured->timers;
  for (;;) {
    switch (t.due(now.mono)) {
      case TimerAction::none:
        return;
      // Nothing comes back: perhaps since the address of ours that was spoken to is on a network that we have left.
      case TimerAction::retry_handshake:
        p.route.local = {};
        initiate(now, p, Reason::retry, out);
        break;
      case TimerAction::new_handshake:
        p.route.local = {};
        initiate(now, p, Reason::rekey, out);
        break;
      case TimerAction::keepalive:
        send_keepalive(now, p, out);
        break;
      case TimerAction::give_up:
        p.configured->staged.clear();
        free_pending(p);
        out.events.push_back(HandshakeFailed{p.ref});
        break;
      case TimerAction::zero_keys:
        p.configured->staged.clear();
        free_keys(p);
        break;
    }
  }
}

void Tunnels::Impl::run_hop(Now now, Peer& p, Out& out) {
  HopTimers& t = p.hop->timers;
  for (;;) {
    switch (t.due(now.mono)) {
      case TimerAction::none:
      case TimerAction::keepalive:
        return;
      case TimerAction::retry_handshake:
        initiate(now, p, Reason::retry, out);
        break;
      case TimerAction::new_handshake:
        initiate(now, p, Reason::rekey, out);
        break;
      case TimerAction::give_up:
        free_pending(p);
        out.events.push_back(HandshakeFailed{p.ref});
        break;
      case TimerAction::zero_keys:  // a rekey that is under way may still bring the circuit back
        free_session(p.sessions.current);
        free_session(p.sessions.previous);
        break;
    }
  }
}

void Tunnels::Impl::run_ephemeral(Now now, Peer& p, Out& out) {
  bool gone = p.half_open() && p.ephemeral.half_open_until <= now.mono;
  for (SessionPtr* s : {&p.sessions.current, &p.sessions.previous, &p.sessions.next}) {
    if (*s && (*s)->expired(now.mono)) free_session(*s);
  }
  gone = gone || p.sessions.empty();
  if (!gone) return;
  out.events.push_back(PeerGone{p.ref});
  remove(p);
}

}  // namespace macrovpn::encryption
