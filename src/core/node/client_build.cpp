// Building circuits.
//
// In one round trip: the message for each relay is the initiation of the client's handshake with it, followed
// by early data that only it can open: the next relay and the message for that one, down to the exit, for
// which it is the lease. So the messages are made from the exit backwards.  Each relay answers at once, and
// the answers of later hops come up inside the new sessions of earlier ones.
//
// Hop by hop (when a relay takes no early data, or none has a prekey): each handshake is carried by an EXTEND
// frame in the session before; one round trip per hop.
#include <algorithm>

#include "core/node/client_side.h"
#include "core/routing/introduction_frames.h"

namespace macrovpn::node {

using routing::ErrorCode;

ClientSide::ClientSide(Shared s) : s_(s), config_(*s.config.client) {
  if (!config_.saved_guards.empty()) {
    if (auto loaded = peers::GuardSet::load(config_.saved_guards); loaded.ok()) guards_ = std::move(loaded).value();
  }
  if (!config_.saved_middles.empty()) {
    if (auto loaded = peers::MiddleSet::load(config_.saved_middles); loaded.ok()) middles_ = std::move(loaded).value();
  }
  if (!config_.saved_observations.empty()) {
    if (auto loaded = peers::Observations::load(config_.saved_observations); loaded.ok()) seen_ = std::move(loaded).value();
  }
}

void ClientSide::save_guards(Effects& fx) {
  fx.events.push_back(GuardsChanged{guards_.save()});
}

// What a path may be made of: known, not expired, not banned, and where a path is wanted, not about to leave.
class ClientSide::Usable final : public routing::Candidates {
 public:
  enum class Leaving : uint8_t { left_out, too };
  Usable(const ClientSide& client, Now now, Leaving leaving) : client_(client), now_(now), leaving_(leaving) {}
  const RelayInfo* find(const PeerId& id) const override {
    const RelayInfo* r = client_.s_.directory.find(id, now_.wall);
    return r != nullptr && suits(*r) ? r : nullptr;
  }
  std::span<const RelayInfo* const> all() const override {
    if (!all_.empty()) return all_;
    for (const auto& [id, r] : client_.s_.directory.relays()) {
      if (r->expiry > now_.wall && suits(*r)) all_.push_back(r.get());
    }
    return all_;
  }
  Region region_of(const RelayInfo& r) const override { return client_.doubted_.contains(r.id) ? Region{} : r.region; }

 private:
  bool suits(const RelayInfo& r) const {
    return !client_.is_banned(r) && (leaving_ == Leaving::too || !client_.is_leaving(now_, r));
  }
  const ClientSide& client_;
  Now now_;
  Leaving leaving_;
  mutable std::vector<const RelayInfo*> all_;  // once somebody asked
};

// While none has ever worked, those that were tried are as good as none: but only if somebody has answered us, since where nothing gets
// through, or in an outage, more of them would learn our address for nothing.
size_t ClientSide::usable_guards(Now now, bool that_may_work) const {
  const Usable relays(*this, now, Usable::Leaving::too);
  const auto& have = guards_.all();
  that_may_work &= heard_anybody_ && std::all_of(have.begin(), have.end(), [](const auto& g) { return g.successes == 0; });
  return static_cast<size_t>(std::count_if(have.begin(), have.end(), [&](const auto& g) {
    const RelayInfo* r = relays.find(g.id);
    return r != nullptr && routing::fits(*r, routing::Role::guard) && !(that_may_work && g.never_worked());
  }));
}

void ClientSide::refill_guards(Now now, Effects& fx) {
  guards_.drop_expired(now.wall);
  bool changed = false;
  const Usable relays(*this, now, Usable::Leaving::too);
  while (usable_guards(now, true) < peers::GuardSet::kPrimary) {  // absent ones stay in the sample: they may return
    std::vector<const RelayInfo*> fresh;
    for (const RelayInfo* r : relays.all()) {
      const auto& have = guards_.all();
      const bool known = std::any_of(have.begin(), have.end(), [&](const auto& g) { return g.id == r->id; });
      const bool old_enough = now.wall - r->created >= s_.config.network.guard_age;
      if (!known && old_enough && routing::fits(*r, routing::Role::guard)) fresh.push_back(r);
    }
    std::vector<const RelayInfo*> alive = fresh;
    std::erase_if(alive, [&](const RelayInfo* r) { return std::binary_search(dead_.begin(), dead_.end(), r->id); });
    if (!alive.empty() || usable_guards(now, false) > 0) fresh = std::move(alive);
    const RelayInfo* drawn = routing::weighted_draw(fresh, s_.config.network, now.wall, s_.rng);
    if (drawn == nullptr) break;
    const auto added = guards_.add(drawn->id, now.wall);
    if (added == peers::GuardSet::Add::too_many_new && usable_guards(now, false) < peers::GuardSet::kPrimary) {
      if (now.mono < warn_of_guards_at_) break;
      warn_of_guards_at_ = now.mono + std::chrono::hours(24);
      fx.events.push_back(
          Warning{"More than two new entry relays in a week were refused: something may be making "
                  "your entry relays fail on purpose."});
      break;
    }
    if (added != peers::GuardSet::Add::added) break;
    changed = true;
  }
  if (changed) save_guards(fx);
}

void ClientSide::refill_middles(Now now, Effects& fx) {
  middles_.drop_expired(now.wall);
  if (!middles_.wants_more()) return;
  const std::vector<PeerId> before = middles_.ids();
  const Usable relays(*this, now, Usable::Leaving::too);
  std::vector<const RelayInfo*> pool;
  for (const RelayInfo* r : relays.all()) {
    if (routing::fits(*r, routing::Role::middle)) pool.push_back(r);
  }
  const routing::WeightedDraw draw(pool, s_.config.network, now.wall);
  for (size_t tries = 0; middles_.wants_more() && tries < 4 * peers::MiddleSet::kSize; tries++) {
    if (const RelayInfo* r = draw.draw(s_.rng)) middles_.add(r->id, now.wall, s_.rng);
  }
  if (middles_.ids() != before) fx.events.push_back(MiddlesChanged{middles_.save()});
}

Result<std::vector<const RelayInfo*>> ClientSide::pinned_path(Now now) const {
  std::vector<const RelayInfo*> path;
  for (const PeerId& id : config_.pinned_path) {
    const RelayInfo* r = s_.directory.find(id, now.wall);
    if (r == nullptr) return fail("a relay of the pinned path is not known; add its descriptor");
    path.push_back(r);
  }
  return path;
}

Result<std::vector<const RelayInfo*>> ClientSide::pick_path(Now now, const Group* group) {
  const Usable relays(*this, now, Usable::Leaving::left_out);
  routing::PathRequest request;
  request.hops = config_.hops;
  request.middles = middles_.ids();
  std::sort(request.middles.begin(), request.middles.end());  // the order of adding tells nothing
  request.exit_region = config_.exit_region;
  std::vector<PeerId> avoid, silent;  // the longest ago first
  if (group != nullptr) {
    avoid = group->avoid;
    if (group->has_lease) request.exit = group->exit;
  }
  for (const Silent& s : silent_) {
    if (now.mono - s.since < kSilentRest) silent.push_back(s.id);
  }
  std::vector<PeerId> doubted = seen_.failing(now.wall);
  for (const PeerId& id : dead_) {
    if (!seen_.works(id, now.wall)) doubted.push_back(id);
  }
  std::sort(doubted.begin(), doubted.end());
  // A relay that failed is better than no circuit, the longer ago the better: as few as possible of the first are allowed again, those
  // that only were on the way before the silent.  Whoever allows more has no fewer paths, so that halving finds them.
  const size_t all = avoid.size() + silent.size();
  const auto without = [&](size_t allowed) {
    const size_t of_avoid = std::min(allowed, avoid.size());
    request.avoid.assign(avoid.begin() + static_cast<std::ptrdiff_t>(of_avoid), avoid.end());
    request.silent.assign(silent.begin() + static_cast<std::ptrdiff_t>(allowed - of_avoid), silent.end());
    return routing::choose_path(request, relays, s_.config.network, now.wall, s_.rng);
  };
  const auto best = [&] {
    request.doubted = doubted;
    auto path = without(0);
    if (path.ok()) return path;
    request.doubted.clear();
    path = without(0);
    if (path.ok() || all == 0) return path;
    path = without(all);
    for (size_t none = 0, some = all; path.ok() && some - none > 1;) {
      const size_t middle = (none + some) / 2;
      if (auto better = without(middle); better.ok()) {
        path = std::move(better);
        some = middle;
      } else {
        none = middle;
      }
    }
    return path;
  };
  // A guard that failed just now only if the others have no way at all: else it would be asked again and again, with the one middle that is left.
  request.guards = guards_.in_order(now.mono);
  std::vector<PeerId> guards = request.guards;
  std::erase_if(request.guards, [&](const PeerId& id) { return guards_.failed_lately(id, now.mono); });
  if (!request.guards.empty() && request.guards.size() < guards.size()) {
    if (auto path = best(); path.ok()) return path;
  }
  request.guards = std::move(guards);
  return best();
}

Result<CircuitId> ClientSide::start_circuit(Now now, Group* group, Effects& fx) {
  if (config_.pinned_path.empty()) {
    refill_guards(now, fx);
    refill_middles(now, fx);
  }
  TRY(const auto path, config_.pinned_path.empty() ? pick_path(now, group) : pinned_path(now));
  const CircuitId id{next_circuit_++};
  Circuit& c = circuits_[id];
  c.id = id;
  c.hop_by_hop = config_.build == Build::hop_by_hop;
  c.hops.resize(path.size());
  for (size_t i = 0; i < path.size(); i++) c.hops[i].relay = *path[i];
  const uint16_t most = mtu_for(path.size(), path.front()->endpoints[0].address.family());
  c.path_mtu = {most, known_mtu(path.front()->id, most)};
  c.shares_guard = path.size() > 1;
  if (group != nullptr) {
    c.group = group->id;
    c.resumes = group->has_lease && group->exit == path.back()->id;
    c.lease = group->lease;
    c.lease_secret = group->lease_secret;
    group->replacement = id;
  }
  const bool prekeys_missing =
      std::any_of(path.begin(), path.end(), [](auto* r) { return r->prekey == PublicKey{}; });
  // The way to a relay behind a NAT may have to be made first: no time for a build that has one try.
  const bool guest_in_path = std::any_of(path.begin(), path.end(), [](auto* r) { return !r->introducers.empty(); });
  c.hop_by_hop |= prekeys_missing || guest_in_path;
  c.gives_up = now.mono + time_for(c);
  if (const auto added = add_peers(now, c); !added.ok()) {
    if (group != nullptr) group->replacement = {};
    destroy(id);
    return added.failure();
  }
  begin_build(now, c);
  return id;
}

Result<void> ClientSide::add_peers(Now now, Circuit& c) {
  for (size_t i = 0; i < c.hops.size(); i++) {
    Hop& hop = c.hops[i];
    if (i == 0 && c.shares_guard) {
      if (const auto link = links_.find(hop.relay.id); link != links_.end()) {
        const auto info = s_.tunnels.info(link->second.peer);
        if (link->second.up && !(info && info->established)) {  // lapsed while nobody used it
          link->second.up = false;
          link->second.building = c.id;
        }
        hop.peer = link->second.peer;
        hop.our_key = link->second.our_key;
        hop.up = link->second.up;
        continue;
      }
    }
    Route route;
    if (i == 0) {
      const Endpoint& e = hop.relay.endpoints[hop.endpoint];
      const auto mask = s_.masks.called(hop.relay.wireguard);
      if (!mask) return fail("too many relays are known at once");
      s_.masks.note_endpoint(e, *mask);
      route = Route::udp(kListenSocket, e, *mask);
    } else {
      hop.leg = {1 + static_cast<uint32_t>(s_.rng.below(kMaxLegNumber))};
      route = Route::through(c.hops[i - 1].peer, hop.leg);
    }
    const KeyPair ours = crypto::x25519_generate(s_.rng);
    const auto peer = s_.tunnels.add_hop(now.mono, {ours, hop.relay.wireguard, route});
    if (!peer.ok()) {
      if (peer.error() == encryption::Drop::low_order_point) banned_.insert(hop.relay.id);
      return fail("a relay's key cannot be used, or there are too many circuits at once");
    }
    hop.peer = *peer;
    hop.our_key = ours.pub;
    if (i == 0 && c.shares_guard) {
      links_[hop.relay.id] = {.peer = hop.peer, .our_key = ours.pub, .building = c.id};
    } else {
      hop_of_[hop.peer] = {c.id, i};
    }
  }
  return {};
}

void ClientSide::begin_build(Now now, Circuit& c) {
  c.build_started = now.mono;
  c.live.started(now.mono, s_.rng);
  const Hop& first = c.hops[0];
  if (c.shares_guard && !first.up && links_.at(first.relay.id).building != c.id) {
    c.state = Circuit::State::waiting_for_guard;
    return;
  }
  c.state = Circuit::State::building;
  c.tries_again = now.mono + (c.gives_up - now.mono) / 2;
  if (!c.hop_by_hop) return build_in_one_round_trip(now, c);
  extend_next(now, c, first.up ? 1 : 0);
}

// Hop by hop each is asked over those before it: over 1 + 2 + … + n links, where one round trip needs n.
Duration ClientSide::time_for(const Circuit& c) const {
  if (c.state == Circuit::State::building && has_answer(c)) return time_for_rest(c);
  return over_its_links(c, build_timeout_.current());
}

Duration ClientSide::over_its_links(const Circuit& c, Duration one_round_trip) {
  return c.hop_by_hop ? one_round_trip * static_cast<int64_t>(c.hops.size() + 1) / 2 : one_round_trip;
}

bool ClientSide::lacks_only_its_exit(const Circuit& c) {
  const size_t n = c.hops.size();
  return c.state == Circuit::State::building && n > 1 && c.hops[n - 2].up && !c.hops[n - 1].up;
}

// Somebody has answered in this build.
bool ClientSide::has_answer(const Circuit& c) {
  return std::any_of(c.hops.begin(), c.hops.end(), [](const Hop& h) { return h.up && h.up_after > Duration(0); });
}

// Then it is known how slow the network is, and what failed before does not count.  Relays that may be slow themselves, the exit above
// all, are given more at the last try.
Duration ClientSide::time_for_rest(const Circuit& c) const {
  Duration heard{0};
  for (const Hop& h : c.hops) heard = std::max(heard, h.up ? h.up_after : Duration(0));
  const auto group = groups_.find(c.group);
  const bool of_nobody = group == groups_.end();
  const int failures = of_nobody ? spare_failures_ : lacks_only_its_exit(c) ? group->second.exit_failures : group->second.failed_builds;
  const Duration usual = std::max(over_its_links(c, build_timeout_.undoubled()), heard * 2);
  return std::min<Duration>(usual * (failures < kBuildsBeforeNewExit - 1 ? 1 : 2), routing::BuildTimeout::kMost);
}

// Nothing repeats what a link loses while a circuit is built: asked once more, by new handshakes, where nobody has answered.
void ClientSide::try_again(Now now, Circuit& c) {
  c.tries_again = kNever;
  c.tried_again = true;
  // What was only slow is not awaited any more: the new handshakes have as much time as the first had.
  c.gives_up = std::max(c.gives_up, now.mono + time_for(c));
  const auto silent = std::find_if(c.hops.begin(), c.hops.end(), [](const Hop& h) { return !h.up; });
  if (silent == c.hops.end()) return;
  const auto n = static_cast<size_t>(silent - c.hops.begin());
  // The guard says nothing while those behind it are silent: only its answer shows that it is not the one.
  if (c.shares_guard && n > 0) {
    ping(now, c, 0, 0);
    if (!guard_was_heard(c)) renew_link(now, c);
  }
  if (n > 1) c.hop_by_hop = true;
  if (!c.hop_by_hop) return build_in_one_round_trip(now, c);
  extend_next(now, c, n);
}

// A guard that has started again knows our session no more, and says nothing to it.  A new handshake beside that session: if it is answered, what is
// being built over it is asked for once more (session_up), and if not, the session stays as good as it was.
void ClientSide::renew_link(Now now, Circuit& c) {
  const auto init = s_.tunnels.start_handshake(now, c.hops[0].peer);
  if (!init.ok()) return;
  links_.at(c.hops[0].relay.id).is_renewed = true;
  send_build(c, *init, {});
}

// Over the new session of a guard.
void ClientSide::ask_behind_guard(Now now, Circuit& c) {
  if (c.state != Circuit::State::building || c.hops[1].up) return;
  if (!c.hop_by_hop) return build_in_one_round_trip(now, c);
  extend_next(now, c, 1);
}

std::vector<uint8_t> ClientSide::lease_frame(const Circuit& c, const crypto::Hash32& h1) const {
  routing::LeaseFrame f;
  f.mtu = c.mtu();
  if (c.resumes) {
    f.flags |= routing::kLeaseResume;
    f.id = c.lease;
    f.resume_mac = routing::resume_mac(c.lease_secret, s_.config.network.id, h1);
  }
  return routing::write_lease(f);
}

void ClientSide::build_in_one_round_trip(Now now, Circuit& c) {
  const size_t first_new = c.hops[0].up ? 1 : 0;
  std::vector<uint8_t> frame;  // for the relay at hand, made of what comes after it
  for (size_t i = c.hops.size(); i-- > first_new;) {
    Hop& hop = c.hops[i];
    const auto init = s_.tunnels.start_handshake(now, hop.peer);
    if (!init.ok()) return;  // the timeout cleans up
    if (i + 1 == c.hops.size()) frame = lease_frame(c, init->h1);
    const auto early = s_.tunnels.seal_early(now.wall, hop.peer, hop.relay.prekey, frame);
    if (!early.ok()) return;
    if (i == 0) return send_build(c, *init, *early);
    frame = routing::write_extend(hop.relay.id, number_of_way(now, c, i),
                                  routing::write_element(init->message, hop.leg, *early));
  }
  s_.egress.frame(c.hops[0].peer, frame);  // the guard's session is up: the rest travels inside it
}

void ClientSide::send_build(Circuit& c, const encryption::Initiation& first, Bytes early) {
  const Hop& guard = c.hops[0];
  Packet p = s_.pool.copy_of(first.message);
  encryption::append_early(p, early);
  // Room for the answers, and no telling length.
  const size_t total = p.size() + 64 + s_.rng.below(192);
  encryption::append_padding(p, s_.rng, std::min(total, encryption::kMaxHandshakeDatagram));
  const Endpoint& e = guard.relay.endpoints[guard.endpoint];
  const auto mask = s_.masks.called(guard.relay.wireguard);
  if (!mask) return;
  s_.masks.note_endpoint(e, *mask);  // of a guard that was not used for long it was forgotten
  s_.egress.datagram(kListenSocket, e, *mask, std::move(p));
}

// What EXTEND says after the relay's id: the number of its endpoint, or of the introducer through which it is reached.  That one learns which two relays are
// neighbours here, so it is none of this circuit's and fits them as another hop would, except that it may be the very relay that extends.
uint8_t ClientSide::number_of_way(Now now, const Circuit& c, size_t at) {
  const Hop& hop = c.hops[at];
  if (hop.relay.introducers.empty()) return hop.endpoint;
  std::vector<uint8_t> fit;
  for (size_t i = 0; i < hop.relay.introducers.size(); i++) {
    const PeerId& id = hop.relay.introducers[i];
    if (at > 0 && c.hops[at - 1].relay.id == id) return hop.endpoint;
    const RelayInfo* r = s_.directory.find(id, now.wall);
    const bool apart = r != nullptr && std::all_of(c.hops.begin(), c.hops.end(), [&](const Hop& h) { return routing::diverse(*r, h.relay, s_.config.network); });
    if (apart) fit.push_back(static_cast<uint8_t>(routing::kThroughIntroducer + i));
  }
  // None: one that no relay has.  Only a relay that the guest has come to already extends to it then.
  return fit.empty() ? routing::kNoIntroducer : fit[s_.rng.below(fit.size())];
}

void ClientSide::extend_next(Now now, Circuit& c, size_t next) {
  if (next == c.hops.size()) return;
  Hop& hop = c.hops[next];
  const auto init = s_.tunnels.start_handshake(now, hop.peer);
  if (!init.ok()) return;
  if (next == 0) return send_build(c, *init, {});
  const auto element = routing::write_element(init->message, hop.leg, {});
  s_.egress.frame(c.hops[next - 1].peer, routing::write_extend(hop.relay.id, number_of_way(now, c, next), element));
}

}  // namespace macrovpn::node
