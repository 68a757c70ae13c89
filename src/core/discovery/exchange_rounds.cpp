// Comparing whole copies, and the clock of an exchange.
#include <utility>

#include "core/discovery/exchange.h"
#include "core/discovery/work.h"

namespace macrovpn::discovery {

Result<EntryPtr, CheckFailure> run_check(const SyncCheck& check, const Network& network, CheckDepth depth, Wall now) {
  const bool is_renewal = check.kind == Datum::renewal;
  auto opened = is_renewal ? with_renewal(check.base->descriptor, check.bytes) : open_descriptor(check.bytes, network.id);
  if (!opened.ok()) return Failure{CheckFailure::forged};
  const bool of_the_future = opened->relay.signed_at > now + kClockTolerance;  // halves may have expired
  if (check.kind == Datum::half ? of_the_future : !check_times(opened->relay, now).ok()) return Failure{CheckFailure::stale};
  EntryPtr entry = make_entry(*std::move(opened), network);
  if (!entry) return Failure{CheckFailure::forged};
  // The same body was checked before; only its epoch may have passed, which make_entry() saw.
  const bool known_body = check.base && check.base->descriptor.body_hash == entry->descriptor.body_hash;
  const bool look_at_work = check.work || (depth == CheckDepth::signatures_and_work && !known_body);
  if (look_at_work && !check_work(entry->descriptor, network)) return Failure{CheckFailure::forged};
  return entry;
}

void Exchange::begin_round(const Now& now, SyncSession s, SyncOut& out, std::vector<ShortId> known_to_lack) {
  const auto it = sessions_.find(s);
  if (it != sessions_.end() && it->second.round) return;
  if (it == sessions_.end() || it->second.muted) {
    ended_.push_back({s});
    return;
  }
  it->second.round = Round{};
  Round& round = *it->second.round;
  round.end.with = s;
  round.end.lacking = std::move(known_to_lack);
  send_root(now, s, it->second, out);
}

void Exchange::send_root(const Now& now, SyncSession s, Session& session, SyncOut& out) {
  Round& round = *session.round;
  round.key = rng_.bytes<16>();
  round.quiet_since = now.mono;
  round.roots++;
  const View view(set_, round.key, now.wall, round.end.lacking);
  const RangePart root{RangePart::Kind::fingerprint, kLowest, kHighest, view.fingerprint(kLowest, kHighest), {}};
  out.messages.push_back({s, SyncKind::ranges, encode_ranges({round.key, {root}})});
}

void Exchange::on_ranges(const Now& now, SyncSession s, Session& session, Bytes body, SyncOut& out) {
  const auto ranges = parse_ranges(body);
  if (!ranges) {
    counts_.malformed++;
    return;
  }
  const bool ours = session.round && session.round->key == ranges->key;
  if (!ours && answers_ == Answers::by_asking) return;  // clients are not asked
  if (!session.hashes.spend(now.mono, 0)) {
    counts_.over_budget++;
    return;
  }
  if (ours) {
    Round& round = *session.round;
    round.end.equal = !round.end.answered && ranges->parts.empty();
    round.end.answered = true;
    round.quiet_since = now.mono;
  }
  const View view(set_, ranges->key, now.wall, ours ? session.round->end.lacking : std::vector<ShortId>());
  if (ours && session.round->end.equal) note_same(session, view, kLowest, kHighest);
  std::vector<RangePart> parts;
  std::vector<Item> have;
  bool asked = false;
  for (const RangePart& part : ranges->parts) {
    const size_t before = view.hashed();
    if (part.kind == RangePart::Kind::list) {
      if (ours || session.role == SyncRole::relay) on_list(now, s, session, view, part, have);
    } else {
      asked = true;
      auto more = answer(view, part, answers_);
      if (ours && part.kind == RangePart::Kind::fingerprint && more.empty()) note_same(session, view, part.low, part.high);
      parts.insert(parts.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
    }
    if (!session.hashes.spend(now.mono, static_cast<int64_t>(view.hashed() - before) + 1)) {
      counts_.over_budget++;
      break;
    }
  }
  // Ours after an answer that was all equal: nothing more to say; theirs: that it is.
  if (asked && (!parts.empty() || !ours)) {
    for (auto& m : pack(ranges->key, std::move(parts))) {
      if (serve(now.mono, session, m.size())) out.messages.push_back({s, SyncKind::ranges, std::move(m)});
    }
  }
  have.resize(std::min(have.size(), kMaxReplyMessages * kMaxItems));
  for (size_t i = 0; i < have.size(); i += kMaxItems) {
    const auto some = std::span(have).subspan(i, std::min(kMaxItems, have.size() - i));
    if (serve(now.mono, session, some.size() * sizeof(Item))) out.messages.push_back({s, SyncKind::have, encode_have(some)});
  }
}

namespace {
void add_to(std::vector<ShortId>& to, const std::vector<ShortId>& more) {
  to.insert(to.end(), more.begin(), more.end());
  std::sort(to.begin(), to.end());
  to.erase(std::unique(to.begin(), to.end()), to.end());
}
}  // namespace

// It has the same as we in a range.
void Exchange::note_same(Session& session, const View& view, ShortId low, ShortId high) {
  if (answers_ != Answers::by_asking) return;
  std::vector<ShortId> same;
  for (const EntryPtr& e : set_.between(low, high)) {
    if (view.counts(*e)) same.push_back(e->short_id);
  }
  add_to(session.round->end.has, same);
}

void Exchange::on_list(const Now& now, SyncSession s, Session& session, const View& view, const RangePart& part, std::vector<Item>& have) {
  const Differences d = compare(view, set_, part);
  if (answers_ == Answers::by_asking) {
    add_to(session.round->end.lacking, d.lacking);
    add_to(session.round->end.has, d.same);
  } else {
    have.insert(have.end(), d.newer_here.begin(), d.newer_here.end());
  }
  for (const Item& i : d.want) consider(now, s, session, i, false);
  for (const ShortId id : d.disputed) {
    if (const EntryPtr known = set_.find(id)) consider(now, s, session, {id, known->seq}, true);
  }
}

// A round ends when both have been silent for a while and nothing is asked for any more.
void Exchange::watch_round(const Now& now, SyncSession s, Session& session, SyncOut& out) {
  Round& round = *session.round;
  const bool quiet = now.mono >= round.quiet_since + kAnswerTime && session.asked == 0 && session.to_ask.empty();
  if (!round.end.equal && !quiet && !session.muted) return;
  if (!round.end.answered && round.roots < kMaxRoots && !session.muted) return send_root(now, s, session, out);
  ended_.push_back(std::move(round.end));
  session.round.reset();
}

void Exchange::on_deadline(const Now& now, SyncOut& out) {
  while (!in_flight_.empty() && in_flight_.front().first <= now.mono) {
    const auto [due, id] = in_flight_.front();
    in_flight_.pop_front();
    const auto it = wants_.find(id);
    if (it == wants_.end() || !it->second.in_flight || it->second.checking || it->second.asked + kAnswerTime != due) continue;
    counts_.unanswered++;
    const auto s = sessions_.find(it->second.sources.front());
    if (s != sessions_.end() && ++s->second.unanswered >= kMaxUnanswered) {
      counts_.muted++;
      mute(s->first, s->second);
      continue;
    }
    ask_again(now.mono, it, out);
  }
  const bool pump_all = std::exchange(pump_due_, false);
  for (auto& [s, session] : sessions_) {
    if (pump_all && !session.muted) pump(now.mono, s, session, out);
    if (session.round) watch_round(now, s, session, out);
  }
}

Mono Exchange::next_deadline() const {
  if (pump_due_) return kLongAgo;
  Mono next = in_flight_.empty() ? kNever : in_flight_.front().first;
  for (const auto& [s, session] : sessions_) {
    if (!session.round) continue;
    const bool waits = session.asked > 0 || !session.to_ask.empty();
    if (session.round->end.equal || session.muted) return kLongAgo;
    if (!waits) next = std::min(next, session.round->quiet_since + kAnswerTime);
  }
  return next;
}

void Exchange::check_invariants() const {
  set_.check_invariants();
  MV_ASSERT(wants_.size() <= kMaxWants && checking_.size() <= kMaxChecks && halves_.size() <= kMaxHalves);
  MV_ASSERT(refused_.size() <= kMaxRefused && sessions_.size() <= kMaxSyncSessions);
  std::map<SyncSession, std::pair<size_t, size_t>> counted;  // wants, asked
  for (const auto& [id, w] : wants_) {
    MV_ASSERT(w.sources.size() <= kMaxSources && (!w.in_flight || !w.sources.empty()));
    for (const SyncSession s : w.sources) counted[s].first++;
    if (w.in_flight) counted[w.sources.front()].second++;
  }
  for (const auto& [s, session] : sessions_) {
    MV_ASSERT(session.wants == counted[s].first && session.asked == counted[s].second);
  }
}

}  // namespace macrovpn::discovery
