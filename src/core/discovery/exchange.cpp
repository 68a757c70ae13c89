#include "core/discovery/exchange.h"

#include <utility>

#include "core/discovery/body.h"

namespace macrovpn::discovery {
namespace {

// Of which relay something claims to be.  Cheap: nothing is verified.
std::optional<ShortId> subject_of(const DataItem& item) {
  if (item.kind == Datum::renewal) {
    if (item.bytes.size() != kRenewalSize) return std::nullopt;
    return ShortId{load_be64(item.bytes.data())};
  }
  Reader r(item.bytes);
  const auto body = parse_body(r.take(r.le16()));
  if (!r.ok() || !body.ok()) return std::nullopt;
  return short_id_of(peer_id_of(body->relay.identity));
}

// When it says that it was signed.
std::optional<uint32_t> claimed_seq(const DataItem& item) {
  if (item.kind == Datum::renewal) return load_le32(item.bytes.data() + 8);
  Reader r(item.bytes);
  r.take(r.le16());
  uint32_t seq = r.le32();
  r.take(kBlockSize - 4);
  if (!r.ok()) return std::nullopt;
  if (r.left() == kRenewalSize) {
    r.take(8);
    seq = r.le32();
  }
  return seq;
}

}  // namespace

Exchange::Exchange(RelaySet set, Rng& rng, Answers answers) : set_(std::move(set)), rng_(rng), answers_(answers) {}

bool Exchange::Budget::spend(Mono now, int64_t amount) {
  const int64_t ms = std::min<int64_t>((now - at) / 1ms, 1'000'000);
  if (ms > 0) {
    left = std::min(burst, left + ms * rate / 1000);
    at = now;
  }
  if (left < 0) return false;
  left -= amount;
  return true;
}

void Exchange::open(Mono now, SyncSession s, SyncRole role, Opened opened) {
  if (sessions_.size() >= kMaxSyncSessions) {
    counts_.full++;
    return;
  }
  sessions_.emplace(s, Session{.role = role,
                               .opened = opened,
                               .bytes = {kServeBurst, kServeBurst, kServeRate, now},
                               .hashes = {kHashBurst, kHashBurst, kHashRate, now},
                               .checks = {kCheckBurst, kCheckBurst, kCheckRate, now}});
}

void Exchange::close(SyncSession s) {
  const auto it = sessions_.find(s);
  if (it == sessions_.end()) return;
  mute(s, it->second);
  if (it->second.round) {
    it->second.round->end.with = s;
    ended_.push_back(std::move(it->second.round->end));
  }
  sessions_.erase(it);
}

bool Exchange::is_muted(SyncSession s) const {
  const auto it = sessions_.find(s);
  return it != sessions_.end() && it->second.muted;
}

// Nothing more is expected of it.
void Exchange::mute(SyncSession s, Session& session) {
  session.muted = true;
  session.to_ask.clear();
  session.asked = 0;
  if (session.wants == 0) return;
  for (auto it = wants_.begin(); it != wants_.end();) {
    const auto at = it++;
    Want& w = at->second;
    if (!w.sources.empty() && w.sources.front() == s) w.in_flight = false;
    drop_source(w, s);
    if (w.sources.empty() && !w.checking) {
      forget(at);
    } else if (!w.sources.empty() && !w.in_flight && !w.checking) {
      if (const auto next = sessions_.find(w.sources.front()); next != sessions_.end()) next->second.to_ask.push_back(at->first);
      pump_due_ = true;
    }
  }
}

void Exchange::drop_source(Want& w, SyncSession s) {
  if (std::erase(w.sources, s) == 0) return;
  if (const auto it = sessions_.find(s); it != sessions_.end()) it->second.wants--;
}

void Exchange::forget(Wants::iterator it) {
  Want& w = it->second;
  if (w.in_flight) {
    if (const auto s = sessions_.find(w.sources.front()); s != sessions_.end() && s->second.asked > 0) s->second.asked--;
  }
  while (!w.sources.empty()) drop_source(w, w.sources.back());
  wants_.erase(it);
}

void Exchange::forget_wants() {
  MV_ASSERT(sessions_.empty());
  wants_.clear();
  checking_.clear();
  in_flight_.clear();
  halves_.clear();
}

void Exchange::on_message(const Now& now, SyncSession s, SyncKind kind, Bytes body, SyncOut& out) {
  const auto it = sessions_.find(s);
  if (it == sessions_.end() || it->second.muted) return;
  Session& session = it->second;
  switch (kind) {
    case SyncKind::have:
      on_have(now, s, session, body, out);
      break;
    case SyncKind::want:
      on_want(now, s, session, body, out);
      break;
    case SyncKind::data:
      on_data(now, s, session, body, out);
      break;
    case SyncKind::ranges:
      on_ranges(now, s, session, body, out);
      break;
  }
  pump(now.mono, s, session, out);
}

void Exchange::on_have(const Now& now, SyncSession s, Session& session, Bytes body, SyncOut&) {
  const auto items = parse_have(body);
  if (!items) {
    counts_.malformed++;
  } else if (session.role == SyncRole::client) {
    counts_.unsolicited++;  // relays take nothing from clients
  } else {
    for (const Item& i : *items) consider(now, s, session, i, false);
  }
}

bool Exchange::is_refused(Mono now, ShortId id, uint32_t seq) {
  if (now - refused_since_ > kRefusedFor) {
    refused_.clear();
    refused_since_ = now;
  }
  const auto it = refused_.find(id);
  return it != refused_.end() && it->second >= seq;
}

// disputed: we have one of the same second and other contents.
void Exchange::consider(const Now& now, SyncSession s, Session& session, const Item& item, bool disputed) {
  const EntryPtr known = set_.find(item.id);
  if (known && (known->convicted() || (known->seq >= item.seq && !disputed))) return;
  if (item.seq != kConvicted && wall_from_unix(item.seq) > now.wall + kClockTolerance) return;
  if (is_refused(now.mono, item.id, item.seq)) return;
  auto it = wants_.find(item.id);
  const size_t most = session.opened == Opened::by_us ? kMaxWantsOfOne : kMaxWantsOfCaller;
  if (it == wants_.end()) {
    if (wants_.size() >= kMaxWants || session.wants >= most) {
      counts_.full++;
      return;
    }
    it = wants_.emplace(item.id, Want{}).first;
  }
  Want& w = it->second;
  w.whole |= disputed || item.seq == kConvicted;
  w.seq = std::max(w.seq, item.seq);
  const bool known_source = std::find(w.sources.begin(), w.sources.end(), s) != w.sources.end();
  if (known_source || w.sources.size() >= kMaxSources || session.wants >= most) return;
  w.sources.push_back(s);
  session.wants++;
  if (!w.in_flight && !w.checking) session.to_ask.push_back(item.id);
}

// Asks for what waits, when half of the window is free: so many questions go together.
void Exchange::pump(Mono now, SyncSession s, Session& session, SyncOut& out) {
  if (session.asked > kWindow / 2 || session.to_ask.empty()) return;
  std::vector<Wanted> batch;
  const auto send = [&] {
    if (!batch.empty()) out.messages.push_back({s, SyncKind::want, encode_want(batch)});
    batch.clear();
  };
  while (session.asked < kWindow && !session.to_ask.empty()) {
    const auto it = wants_.find(session.to_ask.front());
    session.to_ask.pop_front();
    if (it == wants_.end() || it->second.in_flight || it->second.checking) continue;
    Want& w = it->second;
    if (w.sources.empty() || w.sources.front() != s) continue;
    const EntryPtr known = set_.find(it->first);
    const bool renewal_will_do = known && !known->convicted() && !w.whole;
    batch.push_back({it->first, renewal_will_do ? static_cast<uint32_t>(unix_seconds(known->descriptor.body_signed_at)) : 0});
    w.in_flight = true;
    w.asked = now;
    session.asked++;
    in_flight_.emplace_back(now + kAnswerTime, it->first);
    if (batch.size() == kMaxItems) send();
  }
  send();
}

// The first source did not deliver: the next one, or the same again.
void Exchange::ask_again(Mono now, Wants::iterator it, SyncOut& out) {
  Want& w = it->second;
  if (w.in_flight) {
    if (const auto s = sessions_.find(w.sources.front()); s != sessions_.end() && s->second.asked > 0) s->second.asked--;
    std::rotate(w.sources.begin(), w.sources.begin() + 1, w.sources.end());
    w.in_flight = false;
  }
  const auto next = w.sources.empty() ? sessions_.end() : sessions_.find(w.sources.front());
  if (++w.tries >= kMaxTries || next == sessions_.end()) return forget(it);
  next->second.to_ask.push_back(it->first);
  pump(now, next->first, next->second, out);
}

// Whether so much more may be sent to it.
bool Exchange::serve(Mono now, Session& session, size_t bytes) {
  const auto n = static_cast<int64_t>(bytes);
  if (session.bytes.spend(now, n) && serve_all_.spend(now, n)) return true;
  counts_.over_budget++;
  return false;
}

void Exchange::on_want(const Now& now, SyncSession s, Session& session, Bytes body, SyncOut& out) {
  const auto wanted = parse_want(body);
  if (!wanted) {
    counts_.malformed++;
    return;
  }
  if (answers_ == Answers::by_asking) return;  // clients serve nobody
  std::vector<uint8_t> message;
  const auto add = [&](Datum kind, Bytes bytes) {
    if (message.size() + kDataHeader + bytes.size() > kMaxSyncMessage) {
      out.messages.push_back({s, SyncKind::data, std::move(message)});
      message.clear();
    }
    append_data(message, kind, bytes);
  };
  for (const Wanted& w : *wanted) {
    const EntryPtr e = set_.find(w.id);
    if (!e) continue;
    if (!serve(now.mono, session, e->descriptor.bytes.size() + 1)) break;
    if (e->convicted()) {
      add(Datum::half, e->conviction->first);
      add(Datum::half, e->conviction->second);
      continue;
    }
    const SignedDescriptor& d = e->descriptor;
    const bool same_body = w.body_time != 0 && wall_from_unix(w.body_time) == d.body_signed_at && !d.renewal().empty();
    add(same_body ? Datum::renewal : Datum::whole, same_body ? d.renewal() : Bytes(d.bytes));
  }
  if (!message.empty()) out.messages.push_back({s, SyncKind::data, std::move(message)});
}

// Not what is known already, or older: that would be checked, at 19 ms each, for nothing.
bool Exchange::is_worth_checking(const Want& w, const DataItem& item, const EntryPtr& known) const {
  if (item.kind == Datum::half || !known || known->convicted()) return true;
  const auto seq = claimed_seq(item);
  return seq && (*seq > known->seq || (*seq == known->seq && w.whole));
}

void Exchange::on_data(const Now& now, SyncSession s, Session& session, Bytes body, SyncOut& out) {
  const auto items = parse_data(body);
  if (!items) {
    counts_.malformed++;
    return;
  }
  for (const DataItem& item : *items) {
    const auto id = subject_of(item);
    const auto it = id ? wants_.find(*id) : wants_.end();
    const EntryPtr known = id ? set_.find(*id) : nullptr;
    const bool renewable = known && !known->convicted();
    if (it == wants_.end() || std::find(it->second.sources.begin(), it->second.sources.end(), s) == it->second.sources.end() ||
        (item.kind == Datum::renewal && !renewable)) {
      counts_.unsolicited++;
      continue;
    }
    if ((it->second.checking && item.kind != Datum::half) || !is_worth_checking(it->second, item, known)) continue;
    if (!session.checks.spend(now.mono, 1)) {
      counts_.over_budget++;
      continue;
    }
    if (checking_.size() >= kMaxChecks) {  // not its fault: asked for again
      if (it->second.in_flight) in_flight_.emplace_back((it->second.asked = now.mono) + kAnswerTime, *id);
      continue;
    }
    if (session.round) session.round->quiet_since = now.mono;
    if (session.unanswered > 0) session.unanswered--;
    it->second.checking = true;
    checking_[next_check_] = {*id, s, item.kind};
    out.checks.push_back({next_check_++, item.kind, {item.bytes.begin(), item.bytes.end()}, renewable ? known : nullptr});
  }
}

void Exchange::on_checked(const Now& now, uint64_t id, const Result<EntryPtr, CheckFailure>& result, SyncOut& out) {
  const auto check = checking_.find(id);
  if (check == checking_.end()) return;
  const Checking what = check->second;
  checking_.erase(check);
  const auto it = wants_.find(what.id);
  if (it != wants_.end()) it->second.checking = false;
  if (result.ok() && answers_ == Answers::by_asking && !what.work && what.kind != Datum::half && it != wants_.end() &&
      set_.would_displace(*result)) {
    // Others would have to go for it: is its work done?
    it->second.checking = true;
    checking_[next_check_] = {what.id, what.from, Datum::whole, true};
    out.checks.push_back({next_check_++, Datum::whole, (*result)->descriptor.bytes, nullptr, true});
    return;
  }
  if (result.ok()) {
    take(now, what, *result);
  } else if (result.error() == CheckFailure::stale) {
    // Older than what was announced, or than our clock allows: as if nothing had come.  What was announced proves nothing of the relay.
    counts_.stale++;
    if (const auto s = sessions_.find(what.from); s != sessions_.end()) s->second.unanswered++;
    if (it != wants_.end()) ask_again(now.mono, it, out);
  } else if (what.kind == Datum::renewal) {
    // Of another body than ours, though of one second: no forgery yet.
    if (it != wants_.end()) it->second.whole = true, ask_again(now.mono, it, out);
  } else {
    counts_.forged++;
    if (const auto s = sessions_.find(what.from); s != sessions_.end() && !s->second.muted) {
      counts_.muted++;
      mute(what.from, s->second);
    }
    if (const auto left = wants_.find(what.id); left != wants_.end()) ask_again(now.mono, left, out);
  }
  if (const auto left = wants_.find(what.id); left != wants_.end() && left->second.sources.empty()) forget(left);
  if (const auto s = sessions_.find(what.from); s != sessions_.end() && !s->second.muted) pump(now.mono, s->first, s->second, out);
}

// A verified entry.  Halves of a conviction wait for each other.
void Exchange::take(const Now& now, const Checking& what, const EntryPtr& e) {
  Inserted done = Inserted::older;
  if (what.kind != Datum::half && gate_ != nullptr && !gate_->may_enter(now, e, what.from)) {
    done = Inserted::crowded_out;  // for now
  } else if (what.kind != Datum::half) {
    done = insert(e);
  } else {
    const EntryPtr known = set_.find(e->short_id);
    if (known && !known->convicted() && contradict(known->descriptor, e->descriptor)) {
      done = insert_proof(now, make_conviction(*known, *e));
    } else if (const auto other = std::find_if(halves_.begin(), halves_.end(),
                   [&](const EntryPtr& h) { return contradict(h->descriptor, e->descriptor); }); other != halves_.end()) {
      done = insert_proof(now, make_conviction(**other, *e));
      halves_.erase(other);
    } else if (!known || !known->convicted()) {
      if (halves_.size() == kMaxHalves) halves_.pop_front();
      halves_.push_back(e);
      // The want stays for the other half.
      if (const auto it = wants_.find(what.id); it != wants_.end() && it->second.in_flight) {
        it->second.asked = now.mono;
        in_flight_.emplace_back(now.mono + kAnswerTime, what.id);
      }
      return;
    }
  }
  const auto it = wants_.find(what.id);
  const auto from = sessions_.find(what.from);
  if (from != sessions_.end() && from->second.round) {
    auto& end = from->second.round->end;
    end.learned += is_news(done);
    if (answers_ == Answers::by_asking) end.has.push_back(e->short_id);
  }
  if (it == wants_.end()) return;
  if ((done == Inserted::crowded_out || done == Inserted::banned) && refused_.size() < kMaxRefused) refused_[what.id] = e->seq;
  forget(it);
}

// A proof counts for its time only; whoever kept it may say it again and again.
Inserted Exchange::insert_proof(const Now& now, const EntryPtr& e) { return e->expiry > now.wall ? insert(e) : Inserted::older; }

Inserted Exchange::insert(const EntryPtr& e) {
  const Inserted done = set_.insert(e, changes_);
  if (is_news(done)) news_.push_back({e->short_id, set_.find(e->short_id)->seq});
  return done;
}

Inserted Exchange::publish(const EntryPtr& e) { return insert(e); }

}  // namespace macrovpn::discovery
