// A client's copy: when it is compared, with whom, and what comes of it.
#include <algorithm>

#include "core/node/directory_side.h"
#include "core/routing/path.h"

namespace macrovpn::node {

using discovery::SyncOut;
using discovery::SyncRole;
using discovery::SyncSession;
using discovery::SyncVerdict;

namespace {

bool share_prefix(const Contact& a, const Contact& b, const Network& n) {
  const IpAddress& x = a.endpoints[0].address;
  const IpAddress& y = b.endpoints[0].address;
  if (x.family() != y.family()) return false;
  return IpPrefix::of(x, x.is_v4() ? n.diversity_v4 : n.diversity_v6).contains(y);
}

}  // namespace

// Over a circuit whoever is not part of it; directly only the guards.
std::vector<const RelayInfo*> DirectorySide::possible_sources(Now now, const Client& client) const {
  const auto& some = client.way ? client.way->hops : client.guards;
  std::vector<const RelayInfo*> all, good;
  for (const auto& [id, r] : s_.directory.relays()) {
    const bool is_one = std::find(some.begin(), some.end(), id) != some.end();
    if (is_one == client.way.has_value() || r->expiry <= now.wall || r->endpoints.empty()) continue;
    all.push_back(r.get());
    const auto strikes = strikes_.find(id);
    if (strikes == strikes_.end() || strikes->second < kStruckOut) good.push_back(r.get());
  }
  return good.size() < discovery::kSyncSources ? all : good;
}

// Three of different networks as far as there are; at the very start the contacts, each alike.
std::vector<Contact> DirectorySide::draw_sources(Now now, const Client& client) const {
  std::vector<Contact> drawn;
  if (!client.way && !contacts_.empty()) {
    for (const bool other_networks : {true, false}) {
      for (std::vector<Contact> left = contacts_; !left.empty() && drawn.size() < discovery::kSyncSources;) {
        const auto at = left.begin() + static_cast<std::ptrdiff_t>(s_.rng.below(left.size()));
        const bool taken = std::any_of(drawn.begin(), drawn.end(), [&](const Contact& d) {
          return d.wireguard == at->wireguard || (other_networks && share_prefix(d, *at, s_.config.network));
        });
        if (!taken && !at->endpoints.empty()) drawn.push_back(std::move(*at));
        left.erase(at);
      }
    }
    return drawn;
  }
  std::vector<const RelayInfo*> sources;
  for (const bool other_networks : {true, false}) {
    std::vector<const RelayInfo*> pool = possible_sources(now, client);
    while (sources.size() < discovery::kSyncSources) {
      std::erase_if(pool, [&](const RelayInfo* r) {
        return std::any_of(sources.begin(), sources.end(), [&](const RelayInfo* s) {
          return s->id == r->id || (other_networks && !routing::diverse(*s, *r, s_.config.network));
        });
      });
      const RelayInfo* next = routing::weighted_draw(pool, s_.config.network, now.wall, s_.rng);
      if (next == nullptr) break;
      sources.push_back(next);
    }
  }
  for (const RelayInfo* r : sources) drawn.push_back(contact_of(*r));
  return drawn;
}

void DirectorySide::begin_sync(Now now, const Client& client) {
  is_used_ = client.is_used;
  // A circuit is waited for while there are relays to make one of.
  if (!client.way && !s_.directory.relays().empty()) {
    if (no_way_since_ == kNever) no_way_since_ = now.mono;
    if (now.mono - no_way_since_ < kWayPatience) {
      sync_at_ = now.mono + 500ms;
      return;
    }
  }
  no_way_since_ = kNever;
  Sync sync;
  asked_.clear();
  for (const Contact& to : draw_sources(now, client)) {
    const auto link =
        client.way ? links_.open_through(now, client.way->carrier, to, LinkUse::directory) : links_.open(now, to, LinkUse::directory);
    if (!link) continue;
    sync.called.push_back(*link);
    asked_.push_back(to.id);
  }
  sync_at_ = kNever;
  sync_ = std::move(sync);
}

// All that were called are up, or did not answer.
void DirectorySide::maybe_compare(Now now, Effects& fx) {
  if (!sync_ || sync_->comparing || !sync_->called.empty()) return;
  SyncOut out;
  if (sync_->up.empty()) {
    SyncVerdict none;
    none.kind = SyncVerdict::Kind::nobody_answered;
    sync_.reset();
    sync_failures_++;
    sync_at_ = now.mono + std::min<Duration>(kSoonest * (1 << std::min(sync_failures_, 9u)), kLatest);
    last_ = none;
    fx.events.push_back(DirectorySynced{none, set().size(), {}});
    return;
  }
  sync_->comparing = true;
  std::vector<SyncSession> sessions;
  for (const auto& [link, relay] : sync_->up) {
    sessions.push_back(begin_talk(now, link, true, SyncRole::relay));
    sync_->compared[sessions.back()] = relay;
  }
  copy_->sync(now, sessions, out);
  perform(now, out, fx);
}

void DirectorySide::take_verdict(Now now, Effects& fx) {
  const auto verdict = copy_->take_verdict();
  if (!verdict) return;
  DirectorySynced synced{*verdict, 0, {}};
  for (const SyncSession session : verdict->struck) {
    const PeerId& source = sync_->compared.at(session);
    strikes_[source]++;
    synced.struck.push_back(source);
  }
  sync_.reset();
  const bool again = verdict->refused() || verdict->kind == SyncVerdict::Kind::nobody_answered;
  sync_failures_ = again ? sync_failures_ + 1 : 0;
  ever_synced_ |= verdict->kind == SyncVerdict::Kind::accepted;
  const Duration usual = is_used_ ? kSyncEvery : kSyncIdle;
  const Duration soon = std::min<Duration>(kSoonest * (1 << std::min(sync_failures_, 9u)), kLatest);
  last_ = *verdict;
  choose(now);
  if (verdict->kind == SyncVerdict::Kind::accepted) {
    first_seen_.keep(set());
    std::erase_if(strikes_, [&](const auto& s) { return set().find(discovery::short_id_of(s.first)) == nullptr; });
  }
  const bool thin = s_.directory.relays().size() < kThin;
  const Duration next = thin ? std::min<Duration>(kSoonest * (2 << std::min(thin_syncs_++, 12u)), usual) : s_.rng.between(usual / 2, usual * 3 / 2);
  sync_at_ = now.mono + (again ? soon : next);
  synced.known = set().size();
  fx.events.push_back(std::move(synced));
}

void DirectorySide::accept_anyway(Now now, Effects& fx) {
  if (!copy_) return;
  copy_->accept_anyway();
  choose(now);
  follow(now, fx);
}

// The Directory holds what may be chosen, in its newest form.
void DirectorySide::choose(Now now) {
  std::vector<PeerId> gone;
  for (const auto& [id, r] : s_.directory.relays()) {
    const discovery::ShortId short_id = discovery::short_id_of(id);
    const discovery::EntryPtr e = set().find(short_id);
    if (!e || e->id != id || !copy_->may_choose(short_id)) gone.push_back(id);
  }
  for (const PeerId& id : gone) s_.directory.remove(id);
  for (const discovery::EntryPtr& e : set().all()) {
    if (!e->convicted() && copy_->may_choose(e->short_id) && e->expiry > now.wall)
      static_cast<void>(s_.directory.insert(believed(*e, now.wall)));
  }
  changed_ = places_stale_ = unjudged_ = true;
  judge_at_ = kLongAgo;  // a client's copy changes seldom, and as a whole
  judge(now);
}

// A client asks seldom, and its copy changes as a whole: made anew when it is wanted.
const discovery::DhtPlaces& DirectorySide::places() {
  if (copy_ && std::exchange(places_stale_, false)) {
    std::vector<discovery::EntryPtr> chosen;
    for (const discovery::EntryPtr& e : set().all()) {
      if (copy_->may_choose(e->short_id)) chosen.push_back(e);
    }
    places_.reset(chosen);
  }
  return places_;
}

DirectoryStatus DirectorySide::status() const {
  DirectoryStatus st;
  st.known = set().size();
  st.ever_synced = gossip_ ? !gossip_->is_newcomer() : ever_synced_;
  st.last = last_;
  if (gossip_) {
    st.neighbours = gossip_->neighbours();
    st.up = static_cast<size_t>(std::count_if(talks_.begin(), talks_.end(), [](const auto& t) { return t.second.is_link; }));
    return st;
  }
  st.sources = asked_;
  if (!sync_) return st;
  st.phase = sync_->comparing ? DirectoryStatus::Phase::syncing : DirectoryStatus::Phase::calling;
  st.up = sync_->up.size();
  return st;
}

}  // namespace macrovpn::node
