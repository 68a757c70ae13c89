#include "core/discovery/gossip.h"

#include <utility>

namespace macrovpn::discovery {
namespace {

bool share_prefix(const IpAddress& a, const IpAddress& b, const Network& n) {
  if (a.family() != b.family()) return false;
  return IpPrefix::of(a, a.is_v4() ? n.diversity_v4 : n.diversity_v6).contains(b);
}

}  // namespace

Gossip::Gossip(RelaySet set, Rng& rng, const PeerId& self)
    : exchange_(std::move(set), rng, Answers::with_lists), rng_(rng), self_(self) {}

void Gossip::start(const Now& now, SyncOut& out) {
  fill_up(out);
  // The first comparison of a newcomer begins with its first session.
  compare_at_ = now.mono + rng_.between(Duration::zero(), kCompareLatest);
}

Inserted Gossip::publish(const Now& now, const EntryPtr& e) {
  const Inserted done = exchange_.publish(e);
  std::erase(exchange_.news(), Item{e->short_id, e->seq});
  if (is_news(done)) tell(now, {e->short_id, e->seq});
  return done;
}

void Gossip::tell(const Now& now, const Item& item) {
  if (fresh_.size() >= kMaxNews) return;
  fresh_.push_back(item);
  if (push_at_ != kNever) return;
  push_at_ = now.mono + rng_.between(kFirstPush, kLastPush);
  if (!is_small()) push_at_ = std::max(push_at_, pushed_at_ + kBetweenPushes);
}

void Gossip::on_session(const Now& now, SyncSession s, const PeerId& peer, SyncRole role, Opened opened,
                        SyncOut& out) {
  exchange_.open(now.mono, s, role, opened);
  if (opened == Opened::by_them) return;
  const auto n = std::find_if(neighbours_.begin(), neighbours_.end(), [&](const Neighbour& x) { return x.id == peer && !x.session; });
  if (n == neighbours_.end()) {  // drawn anew meanwhile
    out.hang_ups.push_back(s);
    return;
  }
  n->session = s;
  if (newcomer_ || n->replaces || is_small()) exchange_.begin_round(now, s, out);
  look(now, out);
}

bool Gossip::expect(const PeerId& id) {
  const bool known = std::any_of(neighbours_.begin(), neighbours_.end(), [&](const Neighbour& n) { return n.id == id; });
  if (known || id == self_ || neighbours_.size() >= kNeighbours) return false;
  neighbours_.push_back({id, std::nullopt, true});
  return true;
}

void Gossip::on_call_failed(const Now&, const PeerId& peer, SyncOut& out) {
  const auto n = std::find_if(neighbours_.begin(), neighbours_.end(), [&](const Neighbour& x) { return x.id == peer && !x.session; });
  if (n != neighbours_.end()) replace(peer, out);
}

void Gossip::on_closed(const Now& now, SyncSession s, SyncOut& out) {
  exchange_.close(s);
  const auto n = std::find_if(neighbours_.begin(), neighbours_.end(), [&](const Neighbour& x) { return x.session == s; });
  if (n != neighbours_.end()) {
    n->session.reset();
    const PeerId id = n->id;
    replace(id, out);
  }
  look(now, out);
}

void Gossip::on_message(const Now& now, SyncSession s, SyncKind kind, Bytes body, SyncOut& out) {
  exchange_.on_message(now, s, kind, body, out);
  look(now, out);
}

void Gossip::on_checked(const Now& now, uint64_t check, const Result<EntryPtr, CheckFailure>& result, SyncOut& out) {
  exchange_.on_checked(now, check, result, out);
  look(now, out);
}

// Somebody else in its place.
void Gossip::replace(const PeerId& id, SyncOut& out) {
  if (failed_.size() == kNeighbours) failed_.pop_front();
  failed_.push_back(id);
  for (const Neighbour& n : neighbours_) {
    if (n.id == id && n.session) out.hang_ups.push_back(*n.session);
  }
  std::erase_if(neighbours_, [&](const Neighbour& n) { return n.id == id; });
  fill_up(out, true);
}

bool Gossip::suits(const RelayEntry& e, bool other_prefixes) const {
  if (e.convicted() || e.id == self_ || std::find(failed_.begin(), failed_.end(), e.id) != failed_.end()) return false;
  return std::none_of(neighbours_.begin(), neighbours_.end(), [&](const Neighbour& n) {
    if (n.id == e.id) return true;
    if (!other_prefixes) return false;
    const EntryPtr known = set().find(short_id_of(n.id));
    return known && !known->convicted() && share_prefix(known->home, e.home, set().network());
  });
}

// Draws from the own copy, all alike; first only other prefixes, then, in a small network, any.
void Gossip::fill_up(SyncOut& out, bool replaces) {
  const auto all = set().all();
  for (const bool other_prefixes : {true, false}) {
    for (size_t tries = 0; !all.empty() && tries < 8 * kNeighbours && neighbours_.size() < kNeighbours; tries++) {
      const RelayEntry& e = *all[rng_.below(all.size())];
      if (!suits(e, other_prefixes)) continue;
      neighbours_.push_back({e.id, std::nullopt, replaces});
      out.calls.push_back(e.id);
    }
  }
}

void Gossip::redraw(SyncOut& out) {
  for (const Neighbour& n : neighbours_) {
    if (n.session) out.hang_ups.push_back(*n.session);
  }
  neighbours_.clear();
  failed_.clear();
  fill_up(out);
}

void Gossip::push(Mono now, SyncOut& out) {
  if (now < push_at_) return;
  push_at_ = kNever;
  std::vector<SyncSession> to;
  for (const Neighbour& n : neighbours_) {
    if (n.session) to.push_back(*n.session);
  }
  while (to.size() > kPushTo) to.erase(to.begin() + static_cast<std::ptrdiff_t>(rng_.below(to.size())));
  for (size_t i = 0; i < fresh_.size(); i += kMaxItems) {
    const auto body = encode_have(std::span(fresh_).subspan(i, std::min(kMaxItems, fresh_.size() - i)));
    for (const SyncSession s : to) out.messages.push_back({s, SyncKind::have, body});
  }
  // Nobody to tell yet: soon there will be.
  if (to.empty() && !neighbours_.empty()) {
    push_at_ = now + kLastPush;
  } else {
    fresh_.clear();
    pushed_at_ = now;
  }
}

void Gossip::compare(const Now& now, SyncOut& out) {
  if (now.mono < compare_at_) return;
  compare_at_ = now.mono + rng_.between(kCompareSoonest, kCompareLatest);
  exchange_.expire(now.wall);
  fill_up(out);
  std::vector<SyncSession> able;
  for (const Neighbour& n : neighbours_) {
    if (n.session) able.push_back(*n.session);
  }
  if (!able.empty()) exchange_.begin_round(now, able[rng_.below(able.size())], out);
}

void Gossip::end_round(const Now& now, const RoundEnd& round, SyncOut& out) {
  const auto n = std::find_if(neighbours_.begin(), neighbours_.end(), [&](const Neighbour& x) { return x.session == round.with; });
  if (n == neighbours_.end()) return;
  if (!round.answered || exchange_.is_muted(round.with)) {
    const PeerId id = n->id;
    return replace(id, out);
  }
  if (newcomer_) {
    newcomer_ = round.learned > kNextToNothing;
    if (newcomer_) exchange_.begin_round(now, round.with, out);
    if (newcomer_) return;
    redraw(out);  // from all, not from those whom it knew first
    for (size_t i = 0; is_small() && i < set().size(); i++) tell(now, {set().all()[i]->short_id, set().all()[i]->seq});
  } else if (rng_.below(kRedrawOneIn) == 0) {
    redraw(out);
  }
}

void Gossip::look(const Now& now, SyncOut& out) {
  for (const Item& item : exchange_.news()) {
    if (!newcomer_) tell(now, item);
  }
  if (!exchange_.news().empty() && is_small()) fill_up(out);
  exchange_.news().clear();
  while (!exchange_.rounds().empty()) {
    const auto ended = std::exchange(exchange_.rounds(), {});
    for (const RoundEnd& round : ended) end_round(now, round, out);
  }
}

void Gossip::on_deadline(const Now& now, SyncOut& out) {
  exchange_.on_deadline(now, out);
  look(now, out);
  push(now.mono, out);
  compare(now, out);
  look(now, out);
}

Mono Gossip::next_deadline() const { return std::min({exchange_.next_deadline(), push_at_, compare_at_}); }

void Gossip::check_invariants() const {
  exchange_.check_invariants();
  MV_ASSERT(neighbours_.size() <= kNeighbours && failed_.size() <= kNeighbours && fresh_.size() <= kMaxNews);
}

}  // namespace macrovpn::discovery
