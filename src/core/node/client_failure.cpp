// How a circuit ends: it failed and somebody is to blame, it lapsed, or another took its place (docs/decisions/0008).
#include <algorithm>

#include "core/node/client_side.h"

namespace macrovpn::node {

using routing::ErrorCode;

void ClientSide::circuit_failed(Now now, CircuitId id, Effects& fx) {
  Circuit* c = find(id);
  if (c == nullptr) return;
  const bool was_building =
      c->state == Circuit::State::building || c->state == Circuit::State::waiting_for_guard;
  const GroupId group = c->group;
  // No refusal: it was silent, and the others were not.
  const bool exit_alone = lacks_only_its_exit(*c) && now.mono >= c->gives_up && c->gives_up != kLongAgo;
  Group* g = find_group(group);
  if (g != nullptr) {
    for (size_t i = 1; i + 1 < c->hops.size(); i++) {
      // A second time, though the network is there: it may be one that answers and carries nothing.
      if (is_avoided(*g, c->hops[i].relay.id) && has_answer(*c)) note_silent(now, c->hops[i].relay.id);
      avoid(*g, c->hops[i].relay.id);
      if (exit_alone && g->before_silent_exit.size() < kMaxAvoided) g->before_silent_exit.push_back(c->hops[i].relay.id);
    }
    if (g->trouble_since == kNever && g->active == id) g->trouble_since = c->live.last_heard();
    if (was_building) {
      g->failed_builds++;
      // Only silence behind a hop that answered says something about the exit.
      if (c->hops.size() == 1 || lacks_only_its_exit(*c)) g->exit_failures++;
      if (exit_alone) g->failed_builds = g->exit_failures;  // what failed before it for want of a network is over
    }
    if (g->active == id) g->active = {};
    if (g->replacement == id) g->replacement = {};
  }
  // What ends because its guard's session did has not had its time.
  if (c->state == Circuit::State::building && c->gives_up != kLongAgo) {
    if (trouble_.empty()) trouble_ = "a relay did not answer in time";
    // If others answered in time, one is dead, and no network is slow.
    if (!exit_alone && !has_answer(*c)) guard_was_heard(*c) ? build_timeout_.failed_behind_guard() : build_timeout_.failed();
    note_silent_of(now, *c);
    blame_guard(now, *c, fx);
  }
  destroy(id);
  if (group.is_nobody()) {
    spare_failures_ = std::min(spare_failures_ + 1, 6);
    retry_spares_ = now.mono + 250ms * (1 << spare_failures_);
  } else if (Group* again = find_group(group)) {
    if (again->failed_builds < 2 || (exit_alone && again->failed_builds < kAtOnce)) return rebuild(now, *again, fx);
    again->retry_at = now.mono + 100ms * (1 << std::min(again->failed_builds, 6));
  }
}

// The lease went to another session.  To a new circuit of ours, mostly; else somebody else has its secret, and what our
// program receives is not for us alone any more.
void ClientSide::on_moved(Now now, Circuit& c, const routing::LeaseId& lease, Effects& fx) {
  Group* g = find_group(c.group);
  if (c.state != Circuit::State::ready || c.lease != lease || g == nullptr || g->active != c.id) return;
  const bool ours = std::any_of(circuits_.begin(), circuits_.end(), [&](const auto& other) {
    return other.first != c.id && other.second.group == c.group && other.second.resumes && other.second.lease == lease;
  });
  if (ours) return;
  g->has_lease = false;
  fx.events.push_back(Warning{
      "Somebody else took over a program's place at its exit. The program gets a new one; its open connections are lost."});
  fx.events.push_back(LeaseLost{g->id});
  circuit_failed(now, c.id, fx);
}

bool ClientSide::is_avoided(const Group& g, const PeerId& id) {
  return std::find(g.avoid.begin(), g.avoid.end(), id) != g.avoid.end();
}

void ClientSide::avoid(Group& g, const PeerId& id) {
  if (is_avoided(g, id)) return;
  if (g.avoid.size() >= kMaxAvoided) g.avoid.erase(g.avoid.begin());
  g.avoid.push_back(id);
}

bool ClientSide::is_leaving(Now now, const RelayInfo& relay) const {
  const auto it = leaving_.find(relay.id);
  return it != leaving_.end() && now.mono < it->second.until && relay.signed_at <= it->second.signed_at;
}

// A relay of the circuit is about to end.  Another circuit first, then away from it; it says goodbye again until we have left.
void ClientSide::relay_leaves(Now now, Circuit& c, size_t hop, Effects& fx) {
  const RelayInfo& relay = c.hops[hop].relay;
  const RelayInfo* known = s_.directory.find(relay.id, now.wall);
  std::erase_if(leaving_, [&](const auto& l) { return l.second.until <= now.mono; });
  if (known != nullptr && !is_leaving(now, *known)) leaving_[relay.id] = {known->signed_at, now.mono + kLeaving};
  if (c.state == Circuit::State::draining) return;
  Group* g = find_group(c.group);
  const bool ready = c.state == Circuit::State::ready && (c.granted || hop + 1 != c.hops.size());
  if (g != nullptr && hop + 1 == c.hops.size() && g->has_lease && g->exit == relay.id) {
    g->has_lease = false;  // it ends with its exit
    fx.events.push_back(LeaseLost{g->id});
  }
  if (!ready) {
    trouble_ = std::string("a relay refused the circuit: ") + routing::describe(ErrorCode::going_away);
    return circuit_failed(now, c.id, fx);
  }
  if (g == nullptr) {
    c.gives_up = now.mono;  // a spare: the deadline takes another
    return;
  }
  if (g->active != c.id || g->replacement.value != 0) return;
  g->avoid.clear();
  static_cast<void>(start_circuit(now, g, fx).ok());  // if there is no way now: at the next goodbye
}

bool ClientSide::guard_was_heard(const Circuit& c) const {
  const auto info = s_.tunnels.info(c.hops[0].peer);
  return info && info->established && info->last_received >= c.build_started;
}

// A build failed.  The guard is to blame if it was silent itself, or if it carries nothing.
void ClientSide::blame_guard(Now now, const Circuit& c, Effects& fx) {
  const auto link = links_.find(c.hops[0].relay.id);
  if (!c.shares_guard || link == links_.end() || link->second.peer != c.hops[0].peer) return;
  const bool silent = !guard_was_heard(c);
  const bool heard_behind = std::any_of(c.hops.begin() + 1, c.hops.end(), [](const Hop& h) { return h.up; });
  const bool drops = link->second.up && !silent && !heard_behind && drops_what_it_carries(now, link->second, c.hops[1].relay.id);
  if (link->second.up && !drops && (!silent || ++link->second.lost_builds < 2)) return;
  guards_.failed(c.hops[0].relay.id, now.mono);
  seen_.failed(c.hops[0].relay.id, now.wall);
  save_guards(fx);
  if (!drops) return drop_link(c.hops[0].relay.id, c.id);
  for (const PeerId& innocent : link->second.unheard_over) note_answered(innocent);  // they were never asked
}

// A guard that answers handshakes and drops what it should carry would be kept for ever: nobody was heard from behind it.  Only over
// three relays within a minute, since a dead one behind it, or a hostile one, could else make a client give up its guards.  Relays
// there that work together gain that the client enters by another of its three guards for a minute; no guard is drawn for that.
bool ClientSide::drops_what_it_carries(Now now, GuardLink& link, const PeerId& unheard) {
  if (now.mono - link.first_unheard > kUnheardTime) {
    link.unheard = 0;
    link.unheard_over.clear();
    link.first_unheard = now.mono;
  }
  link.unheard++;
  auto& over = link.unheard_over;
  if (std::find(over.begin(), over.end(), unheard) == over.end()) over.push_back(unheard);
  // In a network of few relays there may be no third to ask.
  if (over.size() < kUnheardBehindGuard && (over.size() < 2 || link.unheard < kUnheardInAll)) return false;
  link.first_unheard = kLongAgo;
  return true;
}

// The first that was not heard, behind one that was: dead, or not let through.  Circuits of nobody do without it for a while, too.
void ClientSide::note_silent(Now now, const PeerId& id) {
  note_answered(id);
  seen_.failed(id, now.wall);
  if (silent_.size() >= kMaxAvoided) silent_.erase(silent_.begin());
  silent_.push_back({id, now.mono});
}
void ClientSide::note_silent_of(Now now, const Circuit& c) {
  for (size_t i = 1; i < c.hops.size(); i++) {
    if (c.hops[i - 1].up && !c.hops[i].up) return note_silent(now, c.hops[i].relay.id);
  }
}
void ClientSide::note_answered(const PeerId& id) {
  std::erase_if(silent_, [&](const Silent& s) { return s.id == id; });
}

// A circuit that was ready is dead.  All its hops were asked, twice: the first that did not answer is dead, or cannot be reached.  A guard
// is not given up for it: it may have started again without its sessions, and a new handshake tells.
void ClientSide::find_the_silent(Now now, Circuit& c, Effects& fx) {
  const auto answers = [&](const Hop& h) {
    const auto info = s_.tunnels.info(h.peer);
    return info && info->last_received >= c.live.probing_since();
  };
  if (c.hops.size() < 2) return;
  const PeerId guard = c.hops.front().relay.id;
  if (c.shares_guard && !answers(c.hops.front())) return drop_link(guard, c.id);
  const auto silent = std::find_if_not(c.hops.begin(), c.hops.end(), answers);
  if (silent != c.hops.end() && silent != c.hops.begin()) note_silent(now, silent->relay.id);
  if (Group* g = find_group(c.group); g != nullptr && answers(c.hops[c.hops.size() - 2])) g->exit_failures++;
  const auto link = links_.find(guard);
  if (!c.shares_guard || link == links_.end() || answers(c.hops[1])) return;
  if (!drops_what_it_carries(now, link->second, c.hops[1].relay.id)) return;
  guards_.failed(guard, now.mono);
  save_guards(fx);
}

// The session with a guard is over.  The circuits in it end at the next deadline, one by one.
void ClientSide::drop_link(const PeerId& guard, CircuitId but) {
  const auto link = links_.find(guard);
  if (link == links_.end()) return;
  for (auto& [id, c] : circuits_) {
    if (id != but && c.shares_guard && c.hops[0].peer == link->second.peer) c.gives_up = kLongAgo;
  }
  doomed_.push_back(link->second.peer);
  links_.erase(link);
}

void ClientSide::rebuild(Now now, Group& g, Effects& fx) {
  g.retry_at = kNever;
  if (g.replacement.value != 0) return;
  if (g.has_lease && g.exit_failures >= kBuildsBeforeNewExit) {
    g.has_lease = false;
    g.exit_failures = 0;
    for (const PeerId& innocent : std::exchange(g.before_silent_exit, {})) {
      note_answered(innocent);
      std::erase(g.avoid, innocent);
    }
    avoid(g, g.exit);
    fx.events.push_back(LeaseLost{g.id});
  }
  if (!g.has_lease && g.active.value == 0) {
    // Not one by a relay that has just failed, nor one whose guard has.
    const auto avoided = [&](const Hop& h) { return is_avoided(g, h.relay.id); };
    for (auto& [id, c] : circuits_) {
      if (!c.group.is_nobody() || c.state != Circuit::State::ready || c.gives_up <= now.mono) continue;
      if (guards_.failed_lately(c.hops.front().relay.id, now.mono)) continue;
      if (std::none_of(c.hops.begin(), c.hops.end(), avoided)) return give_to_group(now, c, g);
    }
  }
  if (const auto started = start_circuit(now, &g, fx); !started.ok()) {
    trouble_ = started.error().message;
    if (g.failed_builds++ == 0) fx.events.push_back(Warning{started.error().message});
    g.retry_at = now.mono + 2s;
  }
}

void ClientSide::keep_spares(Now now, Effects& fx) {
  if (retry_spares_ != kNever) return;
  size_t have = 0;
  for (const auto& [id, c] : circuits_) have += c.group.is_nobody() && c.state != Circuit::State::draining;
  while (have < config_.spare_circuits) {
    if (const auto started = start_circuit(now, nullptr, fx); !started.ok()) {
      trouble_ = started.error().message;
      retry_spares_ = now.mono + 5s;
      return;
    }
    have++;
  }
}

void ClientSide::directory_changed(Now now, Effects& fx) {
  retry_spares_ = kNever;
  for (auto& [id, g] : groups_) {
    if (g.active.value == 0 && g.replacement.value == 0) rebuild(now, g, fx);
  }
  keep_spares(now, fx);
}

void ClientSide::drain(Now now, CircuitId id) {
  Circuit* c = find(id);
  if (c == nullptr) return;
  c->state = Circuit::State::draining;
  c->gives_up = now.mono + kDrain;
}

void ClientSide::destroy(CircuitId id) {
  Circuit* c = find(id);
  if (c == nullptr) return;
  if (leaving_.contains(c->exit().relay.id)) release_lease(*c);
  for (size_t i = c->hops.size(); i-- > 1;) {
    if (c->hops[i - 1].up) s_.egress.frame_last(c->hops[i - 1].peer, routing::write_close(c->hops[i].leg));
  }
  for (size_t i = 0; i < c->hops.size(); i++) {
    if ((i == 0 && c->shares_guard) || c->hops[i].peer.value == 0) continue;
    hop_of_.erase(c->hops[i].peer);
    doomed_.push_back(c->hops[i].peer);
  }
  const PeerId guard = c->hops[0].relay.id;
  const auto link = links_.find(guard);
  const bool carried_guard = link != links_.end() && !link->second.up && link->second.building == id;
  if (carried_guard) drop_link(guard, id);  // nobody else would finish its handshake
  circuits_.erase(id);
}

void ClientSide::release_lease(const Circuit& c) {
  if (c.granted) s_.egress.frame_last(c.exit().peer, routing::write_lease_id(routing::FrameType::release, c.lease));
}

void ClientSide::end_all(Now) {
  for (const auto& [id, c] : circuits_) release_lease(c);
  groups_.clear();
  devices_.clear();
  slots_in_use_ = 0;
  while (!circuits_.empty()) destroy(circuits_.begin()->first);
}

// A relay under load wants its cookie in the initiation: asked again, once per hop.
void ClientSide::cookie_came(Now now, const Route& from) {
  for (auto& [id, c] : circuits_) {
    if (c.state != Circuit::State::building) continue;
    for (size_t i = 0; i < c.hops.size(); i++) {
      Hop& hop = c.hops[i];
      const auto info = s_.tunnels.info(hop.peer);
      const bool same = info && info->route.kind == from.kind && info->route.endpoint == from.endpoint &&
                        info->route.carrier == from.carrier && info->route.leg == from.leg;
      if (!same || hop.up || hop.sent_cookie) continue;
      hop.sent_cookie = true;
      c.gives_up = std::max(c.gives_up, now.mono + build_timeout_.current());
      if (i == 0) return begin_build(now, c);
      c.hop_by_hop = true;
      return extend_next(now, c, i);
    }
  }
}

void ClientSide::after_flush() {
  for (const PeerRef p : doomed_) s_.tunnels.remove(p);
  doomed_.clear();
}

Result<void> ClientSide::hop(Now now, TunId tun, Effects& fx) {
  if (groups_.empty())
    return fail("nothing runs through the VPN; start a program with `macrovpn run -- PROGRAM`");
  if (tun.value != 0 && !devices_.contains(tun)) return fail("no such program runs through the VPN");
  for (auto& [id, g] : groups_) {
    if ((tun.value != 0 && id.tun != tun) || g.replacement.value != 0) continue;
    if (const Circuit* c = find(g.active)) {
      if (!g.has_lease && !c->granted) continue;  // it came up just now: another would not know the lease that is on its way
      g.avoid.clear();
      for (size_t i = 1; i + 1 < c->hops.size(); i++) avoid(g, c->hops[i].relay.id);
    }
    TRY(const CircuitId started, start_circuit(now, &g, fx));
    static_cast<void>(started);
  }
  return {};
}

}  // namespace macrovpn::node
