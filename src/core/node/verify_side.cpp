#include "core/node/verify_side.h"

#include <algorithm>

#include "core/node/relay_side.h"

namespace macrovpn::node {

using discovery::Dialed;
using discovery::EntryPtr;
using discovery::Heard;
using discovery::ReachCheck;
using discovery::ReachOut;
using routing::FrameType;

namespace {

IpAddress own_address(const NodeConfig& c) {
  const auto& own = c.relay->own_networks;
  return own.empty() ? IpAddress{} : own.back().address;  // the host's own addresses come last
}

// A relay behind a NAT is reached through its introducers; its address takes no call from strangers.
bool has_introducers(const discovery::RelayEntry& e) { return !e.descriptor.details.introducers.empty(); }

}  // namespace

VerifySide::VerifySide(Shared s, RelayLinks& links, DirectorySide& directory)
    : s_(s), links_(links), directory_(directory), check_(s.config.network, s.self, own_address(s.config), s.rng), prober_(s.rng, s.config.directory->probed_each) {}

bool VerifySide::may_enter(const Now& now, const EntryPtr& e, discovery::SyncSession from) {
  // Whom we may not call (on our own network, or reached through others) we do not judge.
  if (e->convicted() || has_introducers(*e) || !may_send_to(s_.config, e->descriptor.relay.endpoints.front().address)) return true;
  const bool itself = directory_.caller_address(from) == e->home;
  ReachOut out;
  const auto gate = check_.on_entry(now, e, itself ? Heard::from_itself : Heard::from_others, set(), out);
  counters_.held += gate == ReachCheck::Gate::held;
  perform(now, out);
  return gate == ReachCheck::Gate::open;
}

void VerifySide::contest(Now now, const EntryPtr& own) {
  ReachOut out;
  static_cast<void>(check_.on_entry(now, own, Heard::from_others, set(), out));
  perform(now, out);
}

void VerifySide::perform(Now now, ReachOut& out) {
  admit_.insert(admit_.end(), out.admit.begin(), out.admit.end());
  drop_.insert(drop_.end(), out.drop.begin(), out.drop.end());
  for (const auto& wish : out.dials) start(now, wish);
}

// In the open, of the address's family, of different networks as far as there are such.
std::vector<RelayInfo> VerifySide::whom_to_ask(Now now, const IpAddress& ours) {
  std::vector<RelayInfo> all;
  for (const auto& [id, r] : s_.directory.relays()) {
    const IpAddress& at = r->endpoints.front().address;
    if (id != s_.self && r->introducers.empty() && r->expiry > now.wall && at.family() == ours.family() && may_send_to(s_.config, at)) all.push_back(*r);
  }
  for (size_t i = all.size(); i > 1; i--) std::swap(all[i - 1], all[s_.rng.below(i)]);
  const Network& n = s_.config.network;
  std::set<IpPrefix> taken;
  std::stable_partition(all.begin(), all.end(), [&](const RelayInfo& r) {
    const IpAddress& at = r.endpoints.front().address;
    return taken.insert(IpPrefix::of(at, at.is_v4() ? n.diversity_v4 : n.diversity_v6)).second;
  });
  if (all.size() > kAskedAboutUs) all.resize(kAskedAboutUs);
  return all;
}

bool VerifySide::ask_about_us(Now now, const EntryPtr& own) {
  if (about_us_ || own->id != s_.self) return false;
  AboutUs asked{0, {}, now.mono + kAboutUsTime};
  for (const RelayInfo& r : whom_to_ask(now, own->descriptor.relay.endpoints.front().address)) {
    const auto link = links_.open(now, contact_of(r), LinkUse::verification);
    if (!link) continue;
    asking_[*link] = {s_.rng.u64(), own, For::us};
    asked.open++;
  }
  if (asked.open == 0) return false;
  about_us_ = asked;
  return true;
}

void VerifySide::told(Now now, const Asking& a, Dialed answer) {
  if (a.whom == For::check) return tell(now, a.number, answer);
  if (!about_us_) return;
  about_us_->found.yes += answer == Dialed::yes;
  about_us_->found.no += answer == Dialed::no;
  about_us_->open--;
}

void VerifySide::carry_out(Now now, Effects& fx) {
  for (const auto& [caller, frame] : std::exchange(elsewhere_, {})) {
    ShardNote note;
    note.kind = ShardNote::Kind::frame;
    note.from = s_.config.place.shard;
    note.session = caller;
    fx.to_shards.push_back({shard_of(caller), note, s_.pool.copy_of(frame)});
  }
  if (about_us_ && about_us_->open == 0) {
    fx.events.push_back(about_us_->found);
    about_us_.reset();
  }
  for (const auto& [number, answer] : std::exchange(failed_, {})) tell(now, number, answer);
  for (const EntryPtr& e : std::exchange(drop_, {})) {
    counters_.dropped++;
    directory_.drop(now, e->short_id, fx);
  }
  for (const EntryPtr& e : std::exchange(admit_, {})) {
    if (e->expiry <= now.wall) continue;
    counters_.admitted++;
    static_cast<void>(directory_.publish(now, e, fx));
  }
}

void VerifySide::start(Now now, const discovery::DialWish& wish) {
  if (!wish.by) {
    counters_.called++;
    if (!call(now, wish.subject->descriptor.relay, {.number = wish.number})) failed_.emplace_back(wish.number, Dialed::no);
    return;
  }
  const EntryPtr other = set().find(discovery::short_id_of(*wish.by));
  const auto link = other && !other->convicted() ? links_.open(now, contact_of(other->descriptor.relay), LinkUse::verification) : std::nullopt;
  if (!link) return failed_.emplace_back(wish.number, Dialed::silent), void();
  counters_.asked++;
  asking_[*link] = {wish.number, wish.subject, For::check};
}

std::optional<PeerRef> VerifySide::call(Now now, const RelayInfo& relay, Dial dial) {
  const Endpoint& e = relay.endpoints.front();
  if (dials_.size() >= kMaxDials || !may_send_to(s_.config, e.address) || relay.wireguard == s_.config.wireguard.pub ||
      !addresses_.allow(now.mono, caller_key(e.address), kOfAddress))
    return std::nullopt;
  dial.to = contact_of(relay);
  dial.identity = relay.identity;
  const auto from = dial.asker ? std::optional(kEgressSocket) : std::nullopt;
  const auto link = links_.open(now, dial.to, LinkUse::verification, 0, from);
  if (link) dials_[*link] = dial;
  return link;
}

// A caller wants us to call somebody.
void VerifySide::on_dial(Now now, PeerRef caller, const CallerKey& budget, Bytes body) {
  const auto dial = routing::read_dial(body);
  if (!dial) return;
  const auto answer = [&](routing::DialAnswer a) { say(caller, {dial->number, a}); };
  if (!callers_.allow(now.mono, budget, kOfCaller) || !all_.take(now.mono, kInAll)) {
    counters_.refused++;
    return answer(routing::DialAnswer::busy);
  }
  const auto relay = discovery::verify_descriptor(dial->descriptor, s_.config.network.id, now.wall);
  if (!relay.ok() || !call(now, *relay, {.number = dial->number, .asker = caller})) {
    counters_.refused++;
    return answer(routing::DialAnswer::busy);  // not tried: that says nothing of the relay
  }
  counters_.served++;
}

void VerifySide::on_link(Now now, const LinkEvent& e) {
  using Kind = LinkEvent::Kind;
  if (const auto asked = asking_.find(e.link); asked != asking_.end()) {
    const Asking a = asked->second;
    if (e.kind == Kind::up) {
      links_.send(now, e.link, routing::write_dial({a.number, Bytes(a.subject->descriptor.bytes)}));
    } else {
      asking_.erase(asked);
      told(now, a, Dialed::silent);
    }
    return;
  }
  const auto it = dials_.find(e.link);
  if (it == dials_.end()) return;
  if (e.kind != Kind::up) return answered(now, it, Dialed::no);
  Dial& d = it->second;
  s_.rng.fill(d.challenge);
  d.until = now.mono + kBindTime;
  links_.send(now, e.link, routing::write_bind(d.challenge));
}

void VerifySide::on_link_frame(Now now, PeerRef link, const routing::Frame& f) {
  if (const auto asked = asking_.find(link); asked != asking_.end() && f.type == FrameType::dialed) {
    const auto said = routing::read_dialed(f.body);
    const Asking a = asked->second;
    if (!said || said->number != a.number) return;
    asking_.erase(asked);
    links_.close(link);
    using Answer = routing::DialAnswer;
    return told(now, a, said->answer == Answer::yes ? Dialed::yes : said->answer == Answer::no ? Dialed::no : Dialed::silent);
  }
  const auto it = dials_.find(link);
  if (it == dials_.end() || f.type != FrameType::bound || it->second.until == kNever) return;
  const auto bound = routing::read_bound(f.body);
  const auto info = s_.tunnels.info(link);
  if (!bound || !info) return;
  const Dial& d = it->second;
  const bool right = bound->identity == d.identity &&
                     discovery::verify_binding(d.identity, bound->signature,
                                               {s_.config.network.id, d.challenge, info->our_key, d.to.wireguard, info->handshake_hash});
  answered(now, it, right ? Dialed::yes : Dialed::no);
}

void VerifySide::answered(Now now, std::map<PeerRef, Dial>::iterator it, Dialed answer) {
  const Dial d = it->second;
  links_.close(it->first);
  dials_.erase(it);
  give_back_mask(now, d);
  if (d.probe) {
    using Found = discovery::LivenessProber::Found;
    counters_.silent += answer != Dialed::yes;
    return prober_.on_probed(now.mono, *d.probe, answer == Dialed::yes ? Found::alive : Found::silent);
  }
  if (!d.asker) {
    counters_.reached += answer == Dialed::yes;
    return tell(now, d.number, answer);
  }
  if (d.in_vain) return;
  const auto said = answer == Dialed::yes ? routing::DialAnswer::yes : routing::DialAnswer::no;
  say(*d.asker, {d.number, said});
}

void VerifySide::say(PeerRef caller, const routing::DialedFrame& what) {
  if (shard_of(caller) != s_.config.place.shard) {
    elsewhere_.emplace_back(caller, routing::write_dialed(what));
  } else if (s_.tunnels.kind_of(caller)) {
    s_.egress.frame(caller, routing::write_dialed(what));
  }
}

// Who is reached through others is not probed: that would be an introduction an hour for each of its introducers.
void VerifySide::probe(Now now) {
  const EntryPtr e = now.mono >= prober_.next_deadline() ? prober_.next(now.mono, set()) : nullptr;
  if (!e) return;
  const bool tried = !has_introducers(*e) && !e->convicted() && call(now, e->descriptor.relay, {.probe = e->short_id});
  counters_.probed += tried;
  if (!tried) prober_.on_probed(now.mono, e->short_id, discovery::LivenessProber::Found::not_tried);
}

// Who was called under an address of somebody whom we know must not cost us what that one says: datagrams from there are unmasked under
// one key.
void VerifySide::give_back_mask(Now now, const Dial& d) {
  const Endpoint& e = d.to.endpoints.front();
  for (const auto& [id, relay] : s_.directory.relays()) {
    if (relay->wireguard == d.to.wireguard || relay->expiry <= now.wall) continue;
    if (std::find(relay->endpoints.begin(), relay->endpoints.end(), e) == relay->endpoints.end()) continue;
    if (const auto mask = s_.masks.called(relay->wireguard)) s_.masks.note_endpoint(e, *mask);
    return;
  }
}

void VerifySide::tell(Now now, uint64_t number, Dialed answer) {
  ReachOut out;
  check_.on_dialed(now, number, answer, set(), out);
  perform(now, out);
}

void VerifySide::caller_gone(PeerRef caller) {
  for (auto& [link, d] : dials_) {
    if (d.asker == caller) d.in_vain = true;
  }
}

Mono VerifySide::next_deadline() const {
  if (!failed_.empty() || !admit_.empty() || !drop_.empty() || !elsewhere_.empty()) return kLongAgo;
  Mono at = std::min(check_.next_deadline(), prober_.next_deadline());
  if (about_us_) at = std::min(at, about_us_->until);
  for (const auto& [link, d] : dials_) at = std::min(at, d.until);
  return at;
}

void VerifySide::on_deadline(Now now) {
  std::vector<PeerRef> late;
  for (const auto& [link, d] : dials_) {
    if (d.until <= now.mono) late.push_back(link);
  }
  for (const PeerRef link : late) {
    if (const auto it = dials_.find(link); it != dials_.end()) answered(now, it, Dialed::no);
  }
  if (about_us_ && now.mono >= about_us_->until) {
    std::erase_if(asking_, [&](const auto& a) {
      if (a.second.whom == For::us) links_.close(a.first);
      return a.second.whom == For::us;
    });
    about_us_->open = 0;
  }
  probe(now);
  ReachOut out;
  check_.on_deadline(now, set(), out);
  perform(now, out);
}

void VerifySide::check_invariants() const {
  check_.check_invariants();
  MV_ASSERT(dials_.size() <= kMaxDials);
}

}  // namespace macrovpn::node
