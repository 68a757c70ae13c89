#include "core/discovery/client_copy.h"

#include <bit>
#include <utility>

namespace macrovpn::discovery {

std::string SyncVerdict::text() const {
  const auto n = [](size_t v) { return std::to_string(v); };
  switch (kind) {
    case Kind::accepted:
      return n(found) + " relays are known, by " + n(answered) + " sources" +
             (sources_differ ? "; the sources differ by more than a tenth, so one of them may be hiding relays: sync again later" : "");
    case Kind::shrunk:
      if (found >= before) {
        return n(lost) + " of the " + n(before) + " relays that were known are missing from what the sources have, with others in their place, as if " +
               "somebody were exchanging them; the old copy is used on: try from another network";
      }
      return "the directory shrank from " + n(before) + " relays to " + n(found) +
             ", as if somebody were hiding the rest; the old copy is used on: try from another network, or accept it if the network did shrink";
    case Kind::too_few_networks:
      return "the directory has " + n(found) + " relays, but all live in " + n(prefixes) +
             " networks, as if one owner had made them; it is not used: try from another network";
    case Kind::sources_disagree:
      return "the first relays that were asked know very different networks, so somebody among them hides relays or makes them up; nothing is "
             "used: try again with other relays, or get a new invite";
    case Kind::nobody_answered:
      return "no relay answered; the old copy is used on: check this computer's connection";
  }
  return {};
}

void ClientCopy::restore(const EntryPtr& e, bool could_be_chosen) {
  if (!is_news(exchange_.publish(e))) return;
  exchange_.news().clear();
  if (could_be_chosen && !e->convicted()) chosen_.insert(e->short_id);
  before_ = std::max(before_, chosen_.size());
}

void ClientCopy::sync(const Now& now, const std::vector<SyncSession>& sessions, SyncOut& out) {
  MV_ASSERT(!is_syncing() && !sessions.empty() && sessions.size() <= kSyncSources);
  exchange_.expire(now.wall);
  known_ = chosen_;
  std::erase_if(known_, [&](ShortId id) { return !set().find(id); });
  gone_before_ = std::move(exchange_.changes().gone);
  exchange_.changes() = {};
  kept_ = set();
  seen_.clear();
  at_ = 0;
  for (const SyncSession s : sessions) {
    exchange_.open(now.mono, s, SyncRole::relay);
    sources_.push_back({s});
  }
  begin_source(now, out);
  look(now, out);
}

void ClientCopy::begin_source(const Now& now, SyncOut& out) {
  sources_[at_].began = now.mono;
  exchange_.begin_round(now, sources_[at_].session, out);
}

Mono ClientCopy::next_deadline() const {
  const Mono own = is_syncing() ? sources_[at_].began + kSourcePatience : kNever;
  return std::min(own, exchange_.next_deadline());
}

void ClientCopy::on_message(const Now& now, SyncSession s, SyncKind kind, Bytes body, SyncOut& out) {
  exchange_.on_message(now, s, kind, body, out);
  look(now, out);
}

void ClientCopy::on_checked(const Now& now, uint64_t check, const Result<EntryPtr, CheckFailure>& result, SyncOut& out) {
  exchange_.on_checked(now, check, result, out);
  look(now, out);
}

void ClientCopy::on_closed(const Now& now, SyncSession s, SyncOut& out) {
  exchange_.close(s);
  look(now, out);
}

void ClientCopy::on_deadline(const Now& now, SyncOut& out) {
  exchange_.on_deadline(now, out);
  look(now, out);
  if (!is_syncing() || now.mono < sources_[at_].began + kSourcePatience) return;
  exchange_.close(sources_[at_].session);
  look(now, out);
}

void ClientCopy::look(const Now& now, SyncOut& out) {
  exchange_.news().clear();
  while (!exchange_.rounds().empty()) {
    auto ended = std::exchange(exchange_.rounds(), {});
    for (RoundEnd& round : ended) end_round(now, std::move(round), out);
  }
}

// With one source rounds go on until one ends equal, or some have brought nothing new: its answers may be lost on the way.
void ClientCopy::end_round(const Now& now, RoundEnd&& round, SyncOut& out) {
  if (at_ >= sources_.size() || sources_[at_].session != round.with) return;
  Source& source = sources_[at_];
  const bool learned = round.learned > 0 || round.lacking.size() > source.lacking.size();
  source.answered |= round.answered;
  source.lacking = std::move(round.lacking);
  source.has.insert(round.has.begin(), round.has.end());
  source.rounds++;
  source.idle = learned ? 0 : source.idle + 1;
  const bool go_on = round.answered && !round.equal && source.idle < kIdleRounds && source.rounds < kMaxRoundsOfOne;
  if (go_on && exchange_.is_open(source.session) && !exchange_.is_muted(source.session)) {
    exchange_.begin_round(now, source.session, out, source.lacking);
  } else {
    end_source(now, out);
  }
}

void ClientCopy::end_source(const Now& now, SyncOut& out) {
  Source& source = sources_[at_];
  // What a muted one said counts for nothing, and who was cut off has not said all.
  if (exchange_.is_muted(source.session) || !exchange_.is_open(source.session)) source.answered = false;
  if (source.answered) {
    for (const ShortId id : source.has) seen_[id] = static_cast<uint8_t>(seen_[id] | 1u << at_);
  }
  if (++at_ < sources_.size()) return begin_source(now, out);
  judge(now.wall);
  for (const Source& s : sources_) {
    exchange_.close(s.session);
    out.hang_ups.push_back(s.session);
  }
  sources_.clear();
  exchange_.forget_wants();
  exchange_.rounds().clear();
}

void ClientCopy::strike(Wall now, const RelayEntry& e, SyncVerdict& v) const {
  if (e.convicted() || now < e.descriptor.relay.signed_at + kMustBeKnownAfter || v.answered < kSyncSources) return;
  const auto lacks = [&](const Source& s) { return std::binary_search(s.lacking.begin(), s.lacking.end(), e.short_id); };
  const auto have = static_cast<size_t>(std::count_if(sources_.begin(), sources_.end(), [&](const Source& s) { return s.has.contains(e.short_id); }));
  for (const Source& s : sources_) {
    if (!lacks(s) || s.has.contains(e.short_id) || have + 1 != v.answered) continue;
    if (std::find(v.struck.begin(), v.struck.end(), s.session) == v.struck.end()) v.struck.push_back(s.session);
  }
}

size_t ClientCopy::prefixes_of(const std::set<ShortId>& ids) const {
  std::set<IpPrefix> prefixes;
  const Network& n = set().network();
  for (const ShortId id : ids) {
    const EntryPtr e = set().find(id);
    if (e) prefixes.insert(IpPrefix::of(e->home, e->home.is_v4() ? n.diversity_v4 : n.diversity_v6));
  }
  return prefixes.size();
}

SyncVerdict::Kind ClientCopy::verdict_on(const SyncVerdict& v) const {
  const bool fewer = v.found + kShrunkAtLeast <= v.before && v.found * 100 < v.before * (100 - kShrunkPercent);
  if (v.answered == 0) return SyncVerdict::Kind::nobody_answered;
  const bool others = v.lost >= kShrunkAtLeast && v.lost * 100 > known_.size() * kShrunkPercent;
  if (fewer || others) return SyncVerdict::Kind::shrunk;
  if (v.sources_differ && has_nothing_to_go_by()) return SyncVerdict::Kind::sources_disagree;
  if (v.found >= kLargeNetwork && v.prefixes < kFewPrefixes) return SyncVerdict::Kind::too_few_networks;
  return SyncVerdict::Kind::accepted;
}

// What is kept of a sync: relays that were here before, in their newest form; and where it is accepted, what enough sources have.
void ClientCopy::judge(Wall now) {
  SyncVerdict v;
  v.before = before_;
  for (const Source& s : sources_) v.answered += s.answered;
  RelaySet old(set().network());
  offered_ = RelaySet(set().network());
  SetChanges ignored;
  for (const EntryPtr& e : kept_.all()) {
    const EntryPtr newer = set().find(e->short_id);
    for (RelaySet* to : {&old, &offered_}) to->insert(newer && newer->id == e->id ? newer : e, ignored);
  }
  std::set<ShortId> found, by_all;
  size_t unlike = 0;
  for (const EntryPtr& e : set().all()) {
    const auto it = seen_.find(e->short_id);
    const auto times = static_cast<size_t>(it == seen_.end() ? 0 : std::popcount(it->second));
    unlike += times != 0 && times != v.answered;
    strike(now, *e, v);
    if (times < std::min<size_t>(2, v.answered) || times == 0) continue;
    offered_.insert(e, ignored);
    if (e->convicted()) continue;
    found.insert(e->short_id);
    if (times == v.answered) by_all.insert(e->short_id);
  }
  v.found = found.size();
  v.prefixes = prefixes_of(found);
  v.sources_differ = unlike * 100 > set().size() * kSourcesDifferPercent;
  for (const ShortId id : known_) {
    const EntryPtr e = set().find(id);
    v.lost += !found.contains(id) && (!e || !e->convicted());
  }
  v.kind = verdict_on(v);
  if (v.kind == SyncVerdict::Kind::accepted) {
    // Two of three that add what the third does not know may be one.
    if (v.sources_differ) std::erase_if(found, [&](ShortId id) { return !known_.contains(id) && !by_all.contains(id); });
    before_ = v.found = found.size();
    chosen_ = found;
  }
  refused_ = v.refused() ? std::move(found) : std::set<ShortId>{};
  keep(v.kind == SyncVerdict::Kind::accepted ? offered_ : old);
  verdict_ = std::move(v);
}

// Whoever stores the copy is told how it differs from the one before.
void ClientCopy::keep(const RelaySet& next) {
  SetChanges changes{{}, std::exchange(gone_before_, {})};
  for (const EntryPtr& e : kept_.all()) {
    if (next.find(e->short_id) != e) changes.gone.push_back(e);
  }
  for (const EntryPtr& e : next.all()) {
    if (kept_.find(e->short_id) != e) changes.come.push_back(e);
  }
  exchange_.changes() = std::move(changes);
  exchange_.replace_set(next);
  std::erase_if(chosen_, [&](ShortId id) {
    const EntryPtr e = set().find(id);
    return !e || e->convicted();
  });
}

void ClientCopy::accept_anyway() {
  if (refused_.empty() || is_syncing()) return;
  kept_ = set();
  chosen_ = std::exchange(refused_, {});
  before_ = chosen_.size();
  keep(offered_);
}

}  // namespace macrovpn::discovery
