#include "core/node/record_asker.h"

#include <algorithm>

namespace macrovpn::node {

using discovery::DhtGet;
using discovery::DhtKeeper;
using discovery::DhtKind;
using discovery::DhtOut;
using discovery::DhtPutOperation;
using routing::FrameType;
using Kind = RecordOutcome::Kind;

namespace {

constexpr Duration kLookAgain = 250ms, kLookAgainUnasked = 30s;  // for a circuit; where no person waits
constexpr size_t kMaxTellings = RecordAsker::kMaxOwners * discovery::kMaxDhtKept * 2;  // today's key and tomorrow's

Result<void> check_name(const std::string& name) {
  if (name.empty() || name.size() > kMaxRecordName) return fail("a record's name has 1 to " + std::to_string(kMaxRecordName) + " bytes");
  return {};
}

Result<void> check(const RecordPut& p) {
  TRY_VOID(check_name(p.name));
  if (p.value.size() > discovery::kMaxDhtValue) {
    return fail("too long: " + std::to_string(discovery::kMaxDhtValue) + " bytes at most, this has " + std::to_string(p.value.size()));
  }
  if (p.life < 1s || p.life > discovery::kMaxDhtLife) return fail("a record lives 1 second to 24 hours");
  return {};
}

}  // namespace

RecordAsker::RecordAsker(Shared s, RelayLinks& links, DirectorySide& directory, const ClientSide* client, RecordHolder* holder)
    : s_(s), links_(links), directory_(directory), client_(client), holder_(holder) {}

// Each takes two numbers (DhtGet).  The first is anybody's guess, so that nobody learns how many there were before.
RecordTicket RecordAsker::next_ticket() {
  if (next_number_ == 0) next_number_ = 2 * static_cast<uint32_t>(1 + s_.rng.below(1u << 29));
  return RecordTicket{std::exchange(next_number_, next_number_ + 2)};
}

Result<RecordTicket> RecordAsker::get(Now now, const RecordGet& g, Effects& fx) {
  TRY_VOID(check_name(g.name));
  if (waiting_.size() >= kMaxWaiting) return fail("too many questions for records wait already; ask again later");
  const RecordTicket ticket = next_ticket();
  const auto name = discovery::dht_name(s_.config.network.id, g.name);
  waiting_.push_back({ticket, {.question = DhtGet(s_.config.network, g.service, g.owner, name, ticket.value), .gives_up = now.mono + kWayPatience}});
  start_some(now, fx);
  return ticket;
}

DhtKeeper* RecordAsker::keeper_of(const crypto::SigningKey& owner) {
  const auto known = keepers_.find(owner.pub);
  if (known != keepers_.end()) return &known->second;
  if (keepers_.size() >= kMaxOwners) return nullptr;
  return &keepers_.emplace(owner.pub, DhtKeeper(s_.config.network, owner)).first->second;
}

Result<RecordTicket> RecordAsker::put(Now now, const RecordPut& p, Effects& fx) {
  TRY_VOID(check(p));
  if (waiting_.size() >= kMaxWaiting) return fail("too many questions for records wait already; ask again later");
  DhtKeeper* keeper = keeper_of(p.owner);
  if (keeper == nullptr) return fail("records of " + std::to_string(kMaxOwners) + " keys are kept by this node already; wait until one's have expired");
  const auto name = discovery::dht_name(s_.config.network.id, p.name);
  if (!keeper->keep(p.service, name, p.value, now.wall + p.life)) {
    return fail("this key has " + std::to_string(discovery::kMaxDhtKept) + " records already; wait until one has expired");
  }
  const RecordTicket ticket = next_ticket();
  const auto key = discovery::dht_key(s_.config.network.id, {static_cast<uint8_t>(p.service), p.owner.pub, name, discovery::dht_day(now.wall)});
  auto due = keeper->due(now, directory_.places());
  const auto first = std::find_if(due.begin(), due.end(), [&](const auto& d) { return d.key == key; });
  std::vector<uint8_t> record;  // none: no relay is known, and nobody is asked
  if (first != due.end()) {
    record = std::move(first->record);
    due.erase(first);
  }
  waiting_.push_back({ticket, {.question = DhtPutOperation(std::move(record), key, ticket.value), .owner = p.owner.pub, .service = p.service,
                               .name = name, .gives_up = now.mono + kWayPatience}});
  queue_tellings(*keeper, std::move(due));
  start_some(now, fx);
  return ticket;
}

void RecordAsker::queue_tellings(DhtKeeper& keeper, std::vector<DhtKeeper::Due>&& due) {
  for (auto& d : due) {
    if (tellings_.size() >= kMaxTellings) return;
    const RecordTicket ticket = next_ticket();
    tellings_.push_back({ticket, {.question = DhtPutOperation(std::move(d.record), d.key, ticket.value, std::move(d.relays)), .own = true,
                                  .owner = keeper.owner()}});
  }
}

void RecordAsker::look_after_kept(Now now) {
  for (auto it = keepers_.begin(); it != keepers_.end();) {
    if (now.mono >= it->second.next_deadline()) queue_tellings(it->second, it->second.due(now, directory_.places()));
    it = it->second.size() == 0 ? keepers_.erase(it) : std::next(it);
  }
}

void RecordAsker::forget(RecordTicket ticket) {
  std::erase_if(waiting_, [&](const auto& w) { return w.first == ticket; });
  const auto it = running_.find(ticket);
  if (it == running_.end()) return;
  for (const auto& [relay, link] : it->second.links) {
    whose_.erase(link);
    links_.close(link);
  }
  running_.erase(it);
}

std::optional<RecordProgress> RecordAsker::progress(RecordTicket ticket) const {
  const auto it = running_.find(ticket);
  if (it != running_.end()) {
    const RecordOutcome o = outcome_of(it->second.question);
    return RecordProgress{RecordProgress::Phase::asking, o.asked, o.answered};
  }
  const bool waits = std::any_of(waiting_.begin(), waiting_.end(), [&](const auto& w) { return w.first == ticket; });
  return waits ? std::optional(RecordProgress{}) : std::nullopt;
}

size_t RecordAsker::kept() const {
  size_t n = 0;
  for (const auto& [owner, k] : keepers_) n += k.size();
  return n;
}

// ---- one question

void RecordAsker::start_some(Now now, Effects& fx) {
  look_again_ = kNever;
  while (running_.size() < kMaxRunning && !(waiting_.empty() && tellings_.empty())) {
    auto& queue = waiting_.empty() ? tellings_ : waiting_;
    const bool has_way = client_ == nullptr || client_->way_to_relays();
    const bool knows_relays = directory_.places().size() > 0;
    if (!has_way && knows_relays && now.mono < queue.front().second.gives_up) {
      look_again_ = now.mono + (waiting_.empty() ? kLookAgainUnasked : kLookAgain);
      return;
    }
    auto [ticket, op] = std::move(queue.front());
    queue.pop_front();
    const auto it = running_.emplace(ticket, std::move(op)).first;
    if (!knows_relays || !has_way) {
      end(now, it, {.kind = knows_relays ? Kind::no_circuit : Kind::no_relays}, fx);
      continue;
    }
    DhtOut out;
    std::visit([&](auto& q) { q.start(now, directory_.places(), out); }, it->second.question);
    carry_out(now, it, out, fx);
  }
}

void RecordAsker::carry_out(Now now, Operations::iterator it, DhtOut& out, Effects& fx) {
  Operation& op = it->second;
  while (!out.asks.empty()) {
    DhtOut more;
    for (const discovery::DhtAsk& a : std::exchange(out.asks, {})) {
      if (!ask(now, op, a, more)) std::visit([&](auto& q) { q.on_failed(now, a.relay, directory_.places(), more); }, op.question);
    }
    out = std::move(more);
  }
  if (std::visit([](const auto& q) { return q.is_done(); }, op.question)) end(now, it, outcome_of(op.question), fx);
}

// False: it cannot be reached.
bool RecordAsker::ask(Now now, Operation& op, const discovery::DhtAsk& a, DhtOut& more) {
  if (holder_ != nullptr && a.relay == s_.self) {
    const auto said = holder_->ask_self(now, a.kind, a.body);
    if (!said) return false;
    if (auto* get = std::get_if<DhtGet>(&op.question)) get->on_found(now, a.relay, *said, directory_.places(), more);
    if (auto* put = std::get_if<DhtPutOperation>(&op.question)) put->on_stored(now, a.relay, *said, directory_.places(), more);
    return true;
  }
  auto link = op.links.find(a.relay);
  if (link == op.links.end()) {
    const auto opened = link_to(now, a.relay);
    if (!opened) return false;
    link = op.links.emplace(a.relay, *opened).first;
    whose_[*opened] = RecordTicket{std::visit([](const auto& q) { return q.number(); }, op.question)};
  }
  links_.send(now, link->second, routing::write_frame(a.kind == DhtKind::put ? FrameType::dht_put : FrameType::dht_get, a.body));
  return true;
}

std::optional<PeerRef> RecordAsker::link_to(Now now, const PeerId& id) {
  const discovery::EntryPtr e = directory_.set().find(discovery::short_id_of(id));
  if (!e || e->id != id || e->convicted()) return std::nullopt;
  const Contact to = contact_of(e->descriptor.relay);
  if (client_ == nullptr) return links_.open(now, to, LinkUse::records);
  const auto way = client_->way_to_relays();
  if (!way || std::find(way->hops.begin(), way->hops.end(), id) != way->hops.end()) return std::nullopt;
  return links_.open_through(now, way->carrier, to, LinkUse::records);
}

void RecordAsker::on_link(Now now, const LinkEvent& e, Effects& fx) {
  const auto whose = whose_.find(e.link);
  if (e.kind == LinkEvent::Kind::up || whose == whose_.end()) return;
  const auto it = running_.find(whose->second);
  whose_.erase(whose);
  it->second.links.erase(e.relay);
  DhtOut out;
  std::visit([&](auto& q) { q.on_failed(now, e.relay, directory_.places(), out); }, it->second.question);
  carry_out(now, it, out, fx);
  start_some(now, fx);
}

void RecordAsker::on_link_frame(Now now, PeerRef link, const routing::Frame& f, Effects& fx) {
  const auto whose = whose_.find(link);
  const auto relay = links_.relay_of(link);
  if (whose == whose_.end() || !relay) return;
  const auto it = running_.find(whose->second);
  DhtOut out;
  if (auto* get = std::get_if<DhtGet>(&it->second.question); get != nullptr && f.type == FrameType::dht_found)
    get->on_found(now, *relay, f.body, directory_.places(), out);
  if (auto* put = std::get_if<DhtPutOperation>(&it->second.question); put != nullptr && f.type == FrameType::dht_stored)
    put->on_stored(now, *relay, f.body, directory_.places(), out);
  carry_out(now, it, out, fx);
  start_some(now, fx);
}

RecordOutcome RecordAsker::outcome_of(const Question& question) {
  RecordOutcome o;
  if (const auto* get = std::get_if<DhtGet>(&question)) {
    o.asked = get->relays_asked();
    o.answered = get->relays_answered();
    o.record = get->result();
    o.kind = o.record ? Kind::found : o.answered > 0 ? Kind::none : Kind::nobody;
    return o;
  }
  const auto& put = std::get<DhtPutOperation>(question);
  o.asked = put.asked();
  o.answered = put.answered();
  o.holders = put.stored();
  o.newer = put.older();
  o.enough = put.succeeded();
  o.kind = o.holders > 0 ? Kind::stored : o.answered > 0 ? Kind::refused : Kind::nobody;
  return o;
}

void RecordAsker::end(Now, Operations::iterator it, const RecordOutcome& outcome, Effects& fx) {
  const RecordTicket ticket = it->first;
  settle(it->second, outcome);
  if (!it->second.own) fx.events.push_back(RecordEnded{ticket, outcome});
  forget(ticket);
}

// What nobody keeps is not kept by us either: the person was told so.  Who was asked in vain is told at the next look.
void RecordAsker::settle(Operation& op, const RecordOutcome& outcome) {
  const auto* put = std::get_if<DhtPutOperation>(&op.question);
  const auto keeper = put != nullptr ? keepers_.find(op.owner) : keepers_.end();
  if (keeper == keepers_.end()) return;
  if (!op.own && outcome.holders == 0) {
    keeper->second.forget(op.service, op.name);
    if (keeper->second.size() == 0) keepers_.erase(keeper);
    return;
  }
  for (const PeerId& relay : put->lacking()) keeper->second.missed(put->key(), relay);
}

Mono RecordAsker::next_look() const {
  Mono at = look_again_;
  for (const auto& [owner, k] : keepers_) at = std::min(at, k.next_deadline());
  return at;
}

Mono RecordAsker::next_deadline() const {
  Mono at = next_look();
  for (const auto& [ticket, op] : running_) at = std::min(at, std::visit([](const auto& q) { return q.next_deadline(); }, op.question));
  return at;
}

void RecordAsker::on_deadline(Now now, Effects& fx) {
  std::vector<RecordTicket> late;
  for (const auto& [ticket, op] : running_) {
    if (std::visit([](const auto& q) { return q.next_deadline(); }, op.question) <= now.mono) late.push_back(ticket);
  }
  for (const RecordTicket ticket : late) {
    const auto it = running_.find(ticket);
    DhtOut out;
    std::visit([&](auto& q) { q.on_deadline(now, directory_.places(), out); }, it->second.question);
    carry_out(now, it, out, fx);
  }
  look_after_kept(now);
  start_some(now, fx);
}

void RecordAsker::check_invariants() const {
  MV_ASSERT(running_.size() <= kMaxRunning && waiting_.size() <= kMaxWaiting && tellings_.size() <= kMaxTellings && keepers_.size() <= kMaxOwners);
  for (const auto& [link, ticket] : whose_) MV_ASSERT(running_.contains(ticket));
}

}  // namespace macrovpn::node
