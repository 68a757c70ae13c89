#include "core/discovery/reach_check.h"

#include <algorithm>

namespace macrovpn::discovery {
namespace {

// When we call again who did not answer: a newcomer soon, one that lives here within half an hour.
constexpr Duration kSoon[] = {Duration::zero(), 5s, 30s};
constexpr Duration kPatient[] = {Duration::zero(), std::chrono::minutes(10), std::chrono::minutes(20)};
constexpr unsigned kOwnTries = 3;

bool share_prefix(const IpAddress& a, const IpAddress& b, const Network& n) {
  if (a.family() != b.family()) return false;
  return IpPrefix::of(a, a.is_v4() ? n.diversity_v4 : n.diversity_v6).contains(b);
}

}  // namespace

std::optional<bool> ReachCheck::known(Mono now, const RelayEntry& e) const {
  if (e.id == self_) return true;
  const auto it = known_.find(e.short_id);
  if (it == known_.end() || it->second.until <= now || it->second.home != e.home) return std::nullopt;
  return it->second.reached;
}

void ReachCheck::remember(Mono now, const RelayEntry& e, bool reached) {
  if (known_.size() >= kMaxRemembered) std::erase_if(known_, [&](const auto& k) { return k.second.until <= now; });
  if (known_.size() >= kMaxRemembered) known_.clear();
  known_[e.short_id] = {e.home, reached, now + (reached ? kReachedFor : kUnreachedFor)};
}

ReachCheck::Gate ReachCheck::on_entry(const Now& now, const EntryPtr& e, Heard heard, const RelaySet& set, ReachOut& out) {
  if (e->convicted()) return Gate::open;
  const EntryPtr old = set.find(e->short_id);
  if (old && old->id == e->id && (old->convicted() || old->home == e->home)) return Gate::open;  // a renewal: its place is its own
  if (const auto h = held_.find(e->short_id); h != held_.end()) {
    if (h->second.entry->home == e->home) {
      h->second.entry = e;
      return Gate::held;
    }
    held_.erase(h);
    cases_.erase(e->short_id);
  }
  const auto rivals = set.rivals_of(e);
  const auto is_known = known(now.mono, *e);
  if (is_known == false) return Gate::refused;
  if (rivals.empty() && (heard == Heard::from_others || is_known == true)) return Gate::open;
  if (held_.size() >= kMaxHeld) return Gate::refused;
  Held& held = held_[e->short_id];
  held.entry = e;
  if (is_known != true) open_case(e, false, heard == Heard::from_itself);
  for (const EntryPtr& r : rivals) {
    held.rivals.push_back(r->short_id);
    if (known(now.mono, *r) != true) open_case(r, true, false);
  }
  settle(now, set, out);
  return held_.contains(e->short_id) ? Gate::held : Gate::open;
}

void ReachCheck::open_case(const EntryPtr& e, bool lives_here, bool strangers_too) {
  if (cases_.contains(e->short_id)) return;
  Case& c = cases_[e->short_id];
  c.subject = e;
  c.lives_here = lives_here;
  c.strangers_too = strangers_too;
}

void ReachCheck::call(Mono now, Case& c, const std::optional<PeerId>& by, ReachOut& out) {
  const uint64_t number = next_number_++;
  calls_[number] = {c.subject->short_id, by, now + kCallTime};
  c.in_flight++;
  out.dials.push_back({number, by, c.subject});
}

bool ReachCheck::suits(const RelayEntry& e, const Case& c) const {
  return !e.convicted() && e.id != self_ && e.id != c.subject->id && !share_prefix(e.home, c.subject->home, network_) &&
         !share_prefix(e.home, own_, network_) && std::find(c.asked.begin(), c.asked.end(), e.id) == c.asked.end();
}

// Somebody else to ask: drawn, or (whether there is anybody at all) the first.
std::optional<PeerId> ReachCheck::stranger(const Case& c, const RelaySet& set, bool draw) const {
  const auto all = set.all();
  for (int tries = 0; draw && !all.empty() && tries < 32; tries++) {
    const RelayEntry& e = *all[rng_.below(all.size())];
    if (suits(e, c)) return e.id;
  }
  const auto any = std::find_if(all.begin(), all.end(), [&](const EntryPtr& e) { return suits(*e, c); });
  return any == all.end() ? std::nullopt : std::optional((*any)->id);
}

ReachCheck::Verdict ReachCheck::judge(const Case& c, const RelaySet& set) const {
  if (!c.we_reached) return c.own_tries >= kOwnTries && c.in_flight == 0 ? Verdict::unreached : Verdict::open;
  if (!c.strangers_too || c.yes >= kEnoughYes) return Verdict::reached;
  if (c.no >= kEnoughNo) return Verdict::unreached;
  if (c.in_flight != 0) return Verdict::open;
  // Nobody is left who could be asked: in a network of few relays our own call has to do, unless somebody said no.
  if (c.asked.size() >= kMostStrangers || !stranger(c, set, false)) return c.no > c.yes ? Verdict::unreached : Verdict::reached;
  return Verdict::open;
}

void ReachCheck::pursue(const Now& now, Case& c, const RelaySet& set, ReachOut& out) {
  if (!c.we_reached) {
    if (c.in_flight != 0 || c.own_tries >= kOwnTries || now.mono < c.next_try || calls_.size() >= kMaxCalls) return;
    c.own_tries++;
    return call(now.mono, c, std::nullopt, out);
  }
  while (c.strangers_too && c.in_flight + c.yes < kEnoughYes && c.asked.size() < kMostStrangers && calls_.size() < kMaxCalls) {
    const auto who = stranger(c, set, true);
    if (!who) return;
    c.asked.push_back(*who);
    call(now.mono, c, who, out);
  }
}

void ReachCheck::on_dialed(const Now& now, uint64_t number, Dialed answer, const RelaySet& set, ReachOut& out) {
  const auto it = calls_.find(number);
  if (it == calls_.end()) return;
  const Call done = it->second;
  calls_.erase(it);
  if (const auto found = cases_.find(done.subject); found != cases_.end()) {
    Case& c = found->second;
    c.in_flight--;
    if (done.by) {
      c.yes += answer == Dialed::yes;
      c.no += answer == Dialed::no;
    } else if (answer == Dialed::yes) {
      c.we_reached = true;
    } else if (c.own_tries < kOwnTries) {
      c.next_try = now.mono + (c.lives_here ? kPatient : kSoon)[c.own_tries];
    }
  }
  settle(now, set, out);
}

void ReachCheck::settle(const Now& now, const RelaySet& set, ReachOut& out) {
  for (auto it = cases_.begin(); it != cases_.end();) {
    Case& c = it->second;
    const Verdict v = judge(c, set);
    if (v == Verdict::open) {
      pursue(now, c, set, out);
      ++it;
      continue;
    }
    remember(now.mono, *c.subject, v == Verdict::reached);
    if (v == Verdict::unreached && c.lives_here) out.drop.push_back(c.subject);
    it = cases_.erase(it);
  }
  release(now, set, out);
}

// Those whose own case and whose rivals' are over.
void ReachCheck::release(const Now& now, const RelaySet&, ReachOut& out) {
  for (auto it = held_.begin(); it != held_.end();) {
    const Held& h = it->second;
    const bool waits = cases_.contains(it->first) || std::any_of(h.rivals.begin(), h.rivals.end(), [&](ShortId r) { return cases_.contains(r); });
    const auto verdict = known(now.mono, *h.entry);
    if (waits && verdict != false) {
      ++it;
      continue;
    }
    if (verdict == true) out.admit.push_back(h.entry);
    it = held_.erase(it);
  }
}

void ReachCheck::on_deadline(const Now& now, const RelaySet& set, ReachOut& out) {
  std::vector<uint64_t> late;
  for (const auto& [number, c] : calls_) {
    if (c.due <= now.mono) late.push_back(number);
  }
  for (const uint64_t number : late) on_dialed(now, number, Dialed::silent, set, out);
  settle(now, set, out);
}

Mono ReachCheck::next_deadline() const {
  Mono at = kNever;
  for (const auto& [number, c] : calls_) at = std::min(at, c.due);
  for (const auto& [id, c] : cases_) {
    if (!c.we_reached && c.in_flight == 0 && c.own_tries < kOwnTries && calls_.size() < kMaxCalls) at = std::min(at, c.next_try);
  }
  return at;
}

void ReachCheck::check_invariants() const {
  MV_ASSERT(held_.size() <= kMaxHeld && calls_.size() <= kMaxCalls && known_.size() <= kMaxRemembered);
  for (const auto& [id, c] : cases_) MV_ASSERT(c.own_tries <= kOwnTries && c.asked.size() <= kMostStrangers);
}

}  // namespace macrovpn::discovery
