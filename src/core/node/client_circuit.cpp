// The life of a circuit after its messages are out: hops come up, it becomes ready, it is watched, and it
// dies or is replaced.  A lease moves with its group from circuit to circuit.
#include <algorithm>

#include "core/discovery/descriptor.h"
#include "core/node/client_side.h"

namespace macrovpn::node {

using routing::ErrorCode;
using routing::FrameType;

Circuit* ClientSide::find(CircuitId id) {
  const auto it = circuits_.find(id);
  return it == circuits_.end() ? nullptr : &it->second;
}

Group* ClientSide::find_group(const GroupId& id) {
  const auto it = groups_.find(id);
  return it == groups_.end() ? nullptr : &it->second;
}

bool ClientSide::protects() const {
  // Not before the exit took us.
  const auto is_ready = [](const auto& c) {
    return c.second.state == Circuit::State::ready && (c.second.granted || c.second.resumes);
  };
  if (groups_.empty()) return std::any_of(circuits_.begin(), circuits_.end(), is_ready);
  return std::all_of(groups_.begin(), groups_.end(), [&](const auto& g) {
    if (g.second.while_used && !g.second.served) return true;  // new: its first packets wait, that is all
    const auto c = circuits_.find(g.second.active);
    return c != circuits_.end() && is_ready(*c);
  });
}

std::optional<Way> ClientSide::way_to_relays() const {
  const Circuit* best = nullptr;
  for (const auto& [id, c] : circuits_) {
    if (c.state != Circuit::State::ready || !(c.granted || c.resumes)) continue;
    const auto lives = [&](const Hop& h) {  // an idle one lapses, and is made again when it is needed
      const auto info = s_.tunnels.info(h.peer);
      return info && info->established;
    };
    if (!std::all_of(c.hops.begin(), c.hops.end(), lives)) continue;
    if (best == nullptr || c.gives_up > best->gives_up) best = &c;
  }
  if (best == nullptr) return std::nullopt;
  const size_t n = best->hops.size();
  Way way{best->hops[n > 1 ? n - 2 : 0].peer, {}};
  for (const Hop& h : best->hops) way.hops.push_back(h.relay.id);
  return way;
}

std::vector<PeerId> ClientSide::guard_ids() const {
  std::vector<PeerId> out;
  for (const auto& g : guards_.all()) out.push_back(g.id);
  return out;
}

// ---- coming up

void ClientSide::session_up(Now now, PeerRef peer, Effects& fx) {
  if (const auto it = hop_of_.find(peer); it != hop_of_.end()) {
    Circuit* c = find(it->second.first);
    if (c == nullptr) return;
    const size_t index = it->second.second;
    if (!c->hops[index].up) return hop_up(now, *c, index, fx);
    // Keys are exchanged anew.  An exit that started again meanwhile answers that, and pings, and has no lease.
    const bool has_lease = c->state == Circuit::State::ready && c->granted && c->live.is_used(now.mono, connections_of(*c));
    if (index + 1 == c->hops.size() && has_lease) ask_lease_again(now, *c);
    return;
  }
  for (auto& [guard, link] : links_) {
    if (link.peer != peer) continue;
    if (link.up && std::exchange(link.is_renewed, false)) {
      for (auto& [id, c] : circuits_) {
        if (c.shares_guard && c.hops[0].peer == peer) ask_behind_guard(now, c);
      }
    }
    if (std::exchange(link.up, true)) return;
    network_is_there(now);
    for (auto& [id, c] : circuits_) {
      if (!c.shares_guard || c.hops[0].peer != peer) continue;
      if (id == link.building) {
        hop_up(now, c, 0, fx);
      } else {
        c.hops[0].up = true;
        if (c.state == Circuit::State::waiting_for_guard) begin_build(now, c);
      }
    }
    return;
  }
}

// Until now it may have been the network that failed, and not who was called over it.
void ClientSide::heard_somebody() {
  if (!std::exchange(heard_anybody_, true)) guards_.forgive();
}

// An entry relay has just answered.  What failed before for want of a network is tried again at once.
void ClientSide::network_is_there(Now now) {
  for (auto& [id, g] : groups_) {
    g.failed_builds = 0;
    if (g.retry_at != kNever) g.retry_at = now.mono;
  }
  spare_failures_ = 0;
  if (retry_spares_ != kNever) retry_spares_ = now.mono;
}

void ClientSide::hop_up(Now now, Circuit& c, size_t index, Effects& fx) {
  Hop& hop = c.hops[index];
  hop.up = true;
  hop.up_after = now.mono - c.build_started;
  note_answered(hop.relay.id);
  const bool last = index + 1 == c.hops.size();
  if (c.hop_by_hop && c.state == Circuit::State::building) {
    if (last) {
      s_.egress.frame(hop.peer, lease_frame(c, s_.tunnels.info(hop.peer)->h1));
    } else if (!c.hops[index + 1].up) {
      extend_next(now, c, index + 1);
    }
  }
  if (c.state == Circuit::State::building && !last) {
    const Duration time = time_for_rest(c);
    c.gives_up = std::min(c.gives_up, now.mono + time);
    if (c.tries_again != kNever) c.tries_again = std::min(c.tries_again, now.mono + time / 2);
  }
  const bool all = std::all_of(c.hops.begin(), c.hops.end(), [](const Hop& h) { return h.up; });
  if (all && c.state == Circuit::State::building) ready(now, c, fx);
}

void ClientSide::ready(Now now, Circuit& c, Effects& fx) {
  c.state = Circuit::State::ready;
  c.ready_after = now.mono - c.build_started;
  if (c.tried_again) {
    build_timeout_.succeeded();
  } else {
    // As what one round trip would have taken (time_for).
    const auto n = static_cast<int64_t>(c.hops.size());
    build_timeout_.succeeded(c.hop_by_hop ? c.ready_after * 2 / (n + 1) : c.ready_after);
  }
  const PeerId& guard = c.hops[0].relay.id;
  const auto& guards = guards_.all();
  const bool failed_since = std::any_of(guards.begin(), guards.end(), [&](const auto& g) { return g.id == guard && g.failed_at > c.build_started; });
  if (!failed_since) guards_.succeeded(guard);  // else luck with one that carries little
  if (const auto link = links_.find(guard); link != links_.end()) link->second.lost_builds = 0;
  note_worked(now, c);
  // A spare lapses before its sessions do; a circuit in use rekeys.
  c.gives_up = c.group.is_nobody() ? now.mono + s_.rng.between(120s, 150s) : kNever;
  c.asked_lease = now.mono;
  spare_failures_ = 0;
  // The first packet confirms every session on the way, and with the last one the lease.
  ping(now, c, c.hops.size() - 1, 0);
  c.path_mtu.started(now.mono);
  ping_on_the_way(now, c);
  ask_binding(now, c);
  fx.events.push_back(CircuitReady{c.id, c.group});
  if (Group* g = find_group(c.group)) give_to_group(now, c, *g);
}

// In a build of one round trip each hop's answer took the way to it and back; one that was tried again, or went hop by hop, took longer.
void ClientSide::note_worked(Now now, const Circuit& c) {
  for (size_t i = 0; i < c.hops.size(); i++) {
    const Hop& h = c.hops[i];
    seen_.worked(h.relay.id, now.wall);
    const bool is_round_trip = !c.hop_by_hop && !c.tried_again && h.up_after != Duration::zero();
    if (is_round_trip) seen_.round_trip(h.relay.id, h.up_after, i == 0 ? peers::Observations::Way::direct : peers::Observations::Way::through_others);
  }
}

void ClientSide::give_to_group(Now now, Circuit& c, Group& g) {
  const CircuitId old = g.active;
  c.group = g.id;
  c.gives_up = kNever;
  g.active = c.id;
  g.served |= c.granted;
  g.replacement = {};
  g.failed_builds = g.exit_failures = 0;
  g.retry_at = kNever;
  g.avoid.clear();
  g.before_silent_exit.clear();
  if (c.granted) {  // a spare that has its lease already
    g.has_lease = true;
    g.exit = c.exit().relay.id;
    g.lease = c.lease;
    g.lease_secret = c.lease_secret;
  }
  flush_waiting(now, g, c);
  if (old.value != 0 && old != c.id) drain(now, old);
}

// ---- frames

void ClientSide::on_control(Now now, PeerRef peer, Bytes payload, Effects& fx) {
  CircuitId id{};
  size_t hop = 0;
  const auto own = hop_of_.find(peer);
  const bool is_own = own != hop_of_.end();
  if (is_own) std::tie(id, hop) = own->second;
  routing::FrameReader reader(payload);
  while (const auto f = reader.next()) {
    if (is_own) {
      if (Circuit* c = find(id)) on_frame(now, *c, hop, *f, fx);
      continue;
    }
    // The shared guard: a frame concerns the circuit whose leg, ping or challenge it names.
    std::vector<CircuitId> through;
    for (const auto& [cid, c] : circuits_) {
      if (c.shares_guard && c.hops[0].peer == peer) through.push_back(cid);
    }
    for (const CircuitId cid : through) {
      if (Circuit* c = find(cid)) on_frame(now, *c, 0, *f, fx);
    }
  }
}

void ClientSide::on_frame(Now now, Circuit& c, size_t hop, const routing::Frame& f, Effects& fx) {
  const bool from_exit = hop + 1 == c.hops.size();
  switch (f.type) {
    case FrameType::error:
      if (const auto e = routing::read_error(f.body)) on_error(now, c, hop, *e, fx);
      return;
    case FrameType::pong:
      if (const auto p = routing::read_ping(f.body); p) {
        const auto sent = c.pings.find(p->id);
        if (sent != c.pings.end() && sent->second.hop == hop) on_pong(now, c, p->id);
      }
      return;
    case FrameType::granted:
      if (const auto g = routing::read_granted(f.body); g && from_exit) on_granted(now, c, *g, fx);
      return;
    case FrameType::bound:
      if (const auto b = routing::read_bound(f.body)) on_bound(now, c, hop, *b, fx);
      return;
    case FrameType::moved:
      if (const auto id = routing::read_lease_id(f.body); id && from_exit) on_moved(now, c, *id, fx);
      return;
    default:
      return;  // requests are not for clients
  }
}

void ClientSide::on_error(Now now, Circuit& c, size_t hop, const routing::ErrorFrame& e, Effects& fx) {
  const bool from_exit = hop + 1 == c.hops.size();
  if (!from_exit && e.leg.value != 0 && e.leg != c.hops[hop + 1].leg) return;  // another circuit's leg
  if (e.code == ErrorCode::going_away) return relay_leaves(now, c, hop, fx);
  if (e.code == ErrorCode::early_refused) {
    if (c.hop_by_hop) return;  // one refusal is all there can be
    // The exit's answer to the handshake may come before it: all there is to do then is to ask for the lease, with the same proof.
    const bool lacks_lease = c.state == Circuit::State::ready && from_exit && !c.granted;
    if (c.state != Circuit::State::building && !lacks_lease) return;
    c.hop_by_hop = true;
    if (lacks_lease) return ask_lease_again(now, c);
    c.gives_up = now.mono + time_for(c);
    if (!c.hops[hop].up) return;  // its response is on the way; hop_up() goes on
    if (from_exit) {
      s_.egress.frame(c.hops[hop].peer, lease_frame(c, s_.tunnels.info(c.hops[hop].peer)->h1));
    } else {
      extend_next(now, c, hop + 1);
    }
    return;
  }
  if (e.code == ErrorCode::no_such_lease && from_exit && c.resumes) {
    c.resumes = false;
    if (Group* g = find_group(c.group)) g->has_lease = false;
    fx.events.push_back(LeaseLost{c.group});
    s_.egress.frame(c.exit().peer, lease_frame(c, {}));
    return;
  }
  if (c.state == Circuit::State::draining) return;
  trouble_ = std::string("a relay refused the circuit: ") + routing::describe(e.code);
  if (Group* g = find_group(c.group); g != nullptr && from_exit) {
    g->has_lease = false;  // this exit will not serve us
    avoid(*g, c.exit().relay.id);
  }
  circuit_failed(now, c.id, fx);
}

void ClientSide::on_granted(Now now, Circuit& c, const routing::GrantedFrame& f, Effects& fx) {
  trouble_.clear();
  c.granted = true;
  c.exits_v6 = (f.flags & routing::kGrantedV6) != 0;
  c.asked_lease = kNever;
  if (f.mtu != c.mtu()) tell_mtu(now, c);  // it changed while the answer was on its way
  c.lease = f.id;
  c.lease_secret = f.secret;
  Group* g = find_group(c.group);
  if (g == nullptr || g->active != c.id) return;
  if (g->has_lease && g->lease != f.id) fx.events.push_back(LeaseLost{g->id});
  if (c.resumes && g->lease == f.id && !c.move_told) {
    c.move_told = true;
    const bool trouble = g->trouble_since != kNever;
    fx.events.push_back(LeaseMoved{g->id, trouble ? now.mono - g->trouble_since : Duration::zero()});
  }
  g->trouble_since = kNever;
  g->has_lease = g->served = true;
  g->exit = c.exit().relay.id;
  g->lease = f.id;
  g->lease_secret = f.secret;
}

// ---- pings and proofs

void ClientSide::ping(Now now, Circuit& c, size_t hop, uint16_t size) {
  const uint64_t id = s_.rng.u64();
  if (c.pings.size() >= kMaxPings) {
    const auto oldest = std::min_element(c.pings.begin(), c.pings.end(), [](const auto& a, const auto& b) {
      return a.second.sent < b.second.sent;
    });
    c.pings.erase(oldest);
  }
  c.pings[id] = {hop, now.mono, size};
  const size_t least = routing::kFrameHeader + 8;
  // No size of its own by which a link's observer could tell pings, or follow one along the circuit.
  if (size == 0) size = static_cast<uint16_t>(least + s_.rng.below(kPingPadding));
  const size_t padding = size > least ? size - least : 0;
  s_.egress.frame(c.hops[hop].peer, routing::write_ping(FrameType::ping, {id, padding}));
  // A large one says nothing about life when it is lost.
  if (hop + 1 == c.hops.size() && c.pings[id].size == 0) c.live.pinged(now.mono);
}

// Every hop but the exit.
void ClientSide::ping_on_the_way(Now now, Circuit& c) {
  for (size_t i = 0; i + 1 < c.hops.size(); i++) ping(now, c, i, 0);
}

void ClientSide::on_pong(Now now, Circuit& c, uint64_t id) {
  const auto it = c.pings.find(id);
  const Circuit::Ping p = it->second;
  c.pings.erase(it);
  const Duration took = now.mono - p.sent;
  c.hops[p.hop].round_trip = took;
  seen_.round_trip(c.hops[p.hop].relay.id, took, p.hop == 0 ? peers::Observations::Way::direct : peers::Observations::Way::through_others);
  if (p.hop + 1 != c.hops.size()) return;
  c.live.pong(now.mono, took);
  c.path_mtu.pong(now.mono, p.size, p.sent);
}

void ClientSide::ask_binding(Now now, Circuit& c) {
  bool missing = false;
  for (Hop& h : c.hops) {
    if (bound_.contains({h.relay.id, h.relay.wireguard})) h.bound = true;
    if (h.bound) continue;
    missing = true;
    if (c.binding_tries == 0) s_.rng.fill(h.challenge);
    s_.egress.frame(h.peer, routing::write_bind(h.challenge));
  }
  c.binding_tries++;
  c.check_binding = missing ? now.mono + std::max<Duration>(kBindingTimeout, c.ready_after * 2) : kNever;
}

void ClientSide::on_bound(Now now, Circuit& c, size_t hop, const routing::BoundFrame& f, Effects& fx) {
  Hop& h = c.hops[hop];
  if (h.bound || c.binding_tries == 0) return;
  const auto info = s_.tunnels.info(h.peer);
  if (!info) return;
  const bool right = f.identity == h.relay.identity &&
                     discovery::verify_binding(h.relay.identity, f.signature,
                                               {s_.config.network.id, h.challenge, h.our_key, h.relay.wireguard,
                                                info->handshake_hash});
  if (right) {
    h.bound = true;
    bound_.insert({h.relay.id, h.relay.wireguard});
    return;
  }
  if (c.shares_guard && hop == 0) return;  // may answer another circuit's challenge; the timeout decides
  banned_.insert(h.relay.id);
  fx.events.push_back(
      Warning{"A relay could not prove that its keys belong together and is not used any more."});
  circuit_failed(now, c.id, fx);
}

// ---- watching

Mono ClientSide::deadline_of(const Circuit& c) const {
  Mono d = c.gives_up;
  if (c.state == Circuit::State::building) d = std::min(d, c.tries_again);
  if (c.state != Circuit::State::ready) return d;
  d = std::min({d, c.live.next_check(), c.path_mtu.next_check(), c.check_binding, lease_retry(c)});
  return d;
}

routing::Liveness::Connections ClientSide::connections_of(const Circuit& c) const {
  const auto g = groups_.find(c.group);
  return g != groups_.end() && g->second.flows.any() ? routing::Liveness::Connections::open : routing::Liveness::Connections::none;
}

void ClientSide::check(Now now, Circuit& c, Effects& fx, std::vector<CircuitId>& failed) {
  if (now.mono < deadline_of(c)) return;
  if (now.mono >= c.gives_up) return failed.push_back(c.id);
  if (c.state == Circuit::State::building) return try_again(now, c);
  if (now.mono >= lease_retry(c)) ask_lease_again(now, c);
  if (now.mono >= c.check_binding) {
    constexpr int kTries = 3;
    // Silence proves nothing against the relay, which may just have died: only the circuit goes.
    if (c.binding_tries >= kTries) return failed.push_back(c.id);
    ask_binding(now, c);
  }
  switch (c.live.check(now.mono, s_.rng, connections_of(c))) {
    case routing::Liveness::Verdict::nothing:
      break;
    case routing::Liveness::Verdict::ping:
      ping(now, c, c.hops.size() - 1, 0);
      if (!c.live.is_silent()) break;
      ping_on_the_way(now, c);
      c.path_mtu.silent(now.mono);
      break;
    case routing::Liveness::Verdict::dead:
      find_the_silent(now, c, fx);
      return failed.push_back(c.id);
  }
  check_mtu(now, c, fx, failed);
}

Mono ClientSide::forgotten_at(const Group& g) {
  if (!g.while_used) return kNever;
  return g.last_packet + (g.flows.any() ? routing::Liveness::kConnectionOpen : kSlotForgotten);
}

Mono ClientSide::next_deadline() const {
  Mono d = retry_spares_;
  for (const auto& [id, c] : circuits_) d = std::min(d, deadline_of(c));
  for (const auto& [id, g] : groups_) {
    d = std::min(d, g.retry_at);
    d = std::min(d, forgotten_at(g));
  }
  return d;
}

void ClientSide::on_deadline(Now now, Effects& fx) {
  std::vector<CircuitId> failed;
  for (auto& [id, c] : circuits_) check(now, c, fx, failed);
  for (const CircuitId id : failed) {
    Circuit* c = find(id);
    if (c == nullptr) continue;
    const bool lapsed_spare =
        c->state == Circuit::State::ready && c->group.is_nobody() && now.mono >= c->gives_up;
    if (c->state == Circuit::State::draining || lapsed_spare) {
      destroy(id);
    } else {
      circuit_failed(now, id, fx);
    }
  }
  std::vector<GroupId> forgotten;
  for (auto& [gid, g] : groups_) {
    if (now.mono >= forgotten_at(g)) {
      forgotten.push_back(gid);
    } else if (now.mono >= g.retry_at) {
      rebuild(now, g, fx);
    }
  }
  for (const GroupId& gid : forgotten) forget_group(gid);
  if (now.mono >= retry_spares_) retry_spares_ = kNever;
  keep_spares(now, fx);
}

void ClientSide::handshake_failed(Now now, PeerRef peer, Effects& fx) {
  for (const auto& [guard, link] : links_) {
    if (link.peer == peer) return drop_link(guard, {});
  }
  std::vector<CircuitId> over;
  for (const auto& [id, c] : circuits_) {
    if (std::any_of(c.hops.begin(), c.hops.end(), [&](const Hop& h) { return h.peer == peer; }))
      over.push_back(id);
  }
  for (const CircuitId id : over) circuit_failed(now, id, fx);
}

}  // namespace macrovpn::node
