#include "core/node/directory_side.h"

#include <algorithm>

namespace macrovpn::node {

using discovery::Gossip;
using discovery::Opened;
using discovery::SyncKind;
using discovery::SyncMessage;
using discovery::SyncOut;
using discovery::SyncRole;
using discovery::SyncSession;

DirectorySide::DirectorySide(Shared s, RelayLinks& links) : s_(s), links_(links), contacts_(s.config.directory->contacts), places_(s.config.network), bandwidths_(s.config.network, s.config.directory->measure_week) {
  if (s.config.relay) {
    gossip_ = std::make_unique<Gossip>(discovery::RelaySet(s.config.network), s.rng, s.self);
  } else {
    copy_ = std::make_unique<discovery::ClientCopy>(s.config.network, s.rng);
    if (auto saved = discovery::LivenessMemory::load(s.config.directory->saved_liveness); saved.ok()) liveness_ = std::move(saved).value();
  }
}

void DirectorySide::restore(const discovery::EntryPtr& e, bool could_be_chosen) {
  if (gossip_) {
    gossip_->add(e);
  } else {
    copy_->restore(e, could_be_chosen);
  }
}

void DirectorySide::restore_count(size_t chosen) {
  if (copy_) copy_->restore_count(chosen);
}

void DirectorySide::start(Now now, Effects& fx) {
  idle_check_ = now.mono + kCallerIdle;
  exchange().expire(now.wall);
  liveness_.drop_old(now.wall);
  liveness_changed_ = !liveness_.dead().empty();
  SyncOut out;
  if (gossip_) {
    gossip_->start(now, out);
    contacts_at_ = now.mono;
  } else {
    sync_at_ = now.mono;
  }
  perform(now, out, fx);
  if (copy_) choose(now);
}

discovery::Inserted DirectorySide::publish(Now now, const discovery::EntryPtr& e, Effects& fx) {
  SyncOut out;
  discovery::Inserted done{};
  if (gossip_) {
    done = gossip_->publish(now, e);
  } else {
    copy_->restore(e, true);
    done = set().find(e->short_id) == e ? discovery::Inserted::added : discovery::Inserted::older;
    choose(now);
  }
  perform(now, out, fx);
  return done;
}

void DirectorySide::add_contacts(Now now, std::vector<Contact> more) {
  for (Contact& c : more) {
    if (std::find(contacts_.begin(), contacts_.end(), c) == contacts_.end()) contacts_.push_back(std::move(c));
  }
  contact_tries_ = sync_failures_ = 0;
  if (gossip_) contacts_at_ = std::min(contacts_at_, now.mono);
  if (copy_ && set().size() == 0) sync_now(now);
}

void DirectorySide::drop(Now now, discovery::ShortId id, Effects& fx) {
  exchange().drop(id);
  follow(now, fx);
}

IpAddress DirectorySide::caller_address(SyncSession id) const {
  const auto it = talks_.find(id);
  return it == talks_.end() ? IpAddress{} : it->second.address;
}

// ---- sessions

SyncSession DirectorySide::begin_talk(Now now, PeerRef peer, bool is_link, SyncRole role) {
  const SyncSession id{next_talk_++};
  talks_[id] = {peer, is_link, role, now.mono};
  talk_of_[peer] = id;
  return id;
}

void DirectorySide::end_talk(SyncSession id) {
  const auto it = talks_.find(id);
  if (it == talks_.end()) return;
  if (it->second.is_link) links_.close(it->second.peer);
  talk_of_.erase(it->second.peer);
  talks_.erase(it);
}

void DirectorySide::closed(Now now, PeerRef peer, Effects& fx) {
  const auto it = talk_of_.find(peer);
  if (it == talk_of_.end()) return;
  const SyncSession id = it->second;
  end_talk(id);
  SyncOut out;
  if (gossip_) {
    gossip_->on_closed(now, id, out);
  } else {
    copy_->on_closed(now, id, out);
  }
  perform(now, out, fx);
}

void DirectorySide::caller_gone(Now now, PeerRef peer, Effects& fx) { closed(now, peer, fx); }

void DirectorySide::drop_idle_callers(Now now, Effects& fx) {
  if (now.mono < idle_check_) return;
  idle_check_ = now.mono + kCallerIdle;
  std::vector<PeerRef> idle;
  for (const auto& [id, t] : talks_) {
    if (!t.is_link && now.mono - t.heard >= kCallerIdle) idle.push_back(t.peer);
  }
  for (const PeerRef p : idle) closed(now, p, fx);
}

// First byte: the kind, and whether a client says it.
void DirectorySide::on_frame(Now now, const Speaker& from, Bytes body, bool is_link, Effects& fx) {
  const PeerRef peer = from.session;
  if (is_link && mapping_ && !body.empty() && body[0] == kMap) return on_map(now, peer, body.subspan(1));
  const bool is_map_ask = !body.empty() && body[0] == (kMapAsk | 0x80);
  if (body.empty() || (!is_map_ask && (body[0] & 0x7f) > static_cast<uint8_t>(SyncKind::ranges))) return;
  const auto kind = static_cast<SyncKind>(body[0] & 0x7f);
  const SyncRole role = body[0] & 0x80 ? SyncRole::client : SyncRole::relay;
  auto known = talk_of_.find(peer);
  SyncOut out;
  if (known == talk_of_.end()) {
    const auto callers = static_cast<size_t>(std::count_if(talks_.begin(), talks_.end(), [](const auto& t) { return !t.second.is_link; }));
    if (is_link || !gossip_ || callers >= kMaxCallers) return;
    const SyncSession id = begin_talk(now, peer, false, role);
    gossip_->on_session(now, id, {}, role, Opened::by_them, out);
    known = talk_of_.find(peer);
  }
  Talk& talk = talks_.at(known->second);
  if (talk.role != role) return;
  talk.heard = now.mono;
  talk.address = from.address;
  if (is_map_ask) return answer_map(now, known->second, talk, body.subspan(1), fx);
  if (gossip_) {
    gossip_->on_message(now, known->second, kind, body.subspan(1), out);
  } else {
    copy_->on_message(now, known->second, kind, body.subspan(1), out);
  }
  perform(now, out, fx);
}

void DirectorySide::on_checked(Now now, uint64_t check, const Result<discovery::EntryPtr, discovery::CheckFailure>& result, Effects& fx) {
  SyncOut out;
  if (gossip_) {
    gossip_->on_checked(now, check, result, out);
  } else {
    copy_->on_checked(now, check, result, out);
  }
  perform(now, out, fx);
}

void DirectorySide::on_link(Now now, const LinkEvent& e, Effects& fx) {
  if (e.kind == LinkEvent::Kind::ended) {
    mapping_link_gone(now, e.link);
    if (sync_ && !sync_->comparing) std::erase_if(sync_->up, [&](const auto& up) { return up.first == e.link; });
    closed(now, e.link, fx);
    return copy_ ? maybe_compare(now, fx) : void();
  }
  if (copy_) {
    if (!sync_) return;
    std::erase(sync_->called, e.link);
    if (e.kind == LinkEvent::Kind::up) sync_->up.emplace_back(e.link, e.relay);
    return maybe_compare(now, fx);
  }
  SyncOut out;
  if (e.kind == LinkEvent::Kind::failed) {
    gossip_->on_call_failed(now, e.relay, out);
  } else {
    const SyncSession id = begin_talk(now, e.link, true, SyncRole::relay);
    contact_tries_ = 0;
    gossip_->on_session(now, id, e.relay, SyncRole::relay, Opened::by_us, out);
  }
  perform(now, out, fx);
}

// ---- carrying out

void DirectorySide::send(Now now, const SyncMessage& m, Effects& fx) {
  const auto it = talks_.find(m.to);
  if (it == talks_.end()) return;
  say(now, it->second, static_cast<uint8_t>(static_cast<uint8_t>(m.kind) | (gossip_ ? 0 : 0x80)), m.body, fx);
}

void DirectorySide::say(Now now, const Talk& talk, uint8_t kind, Bytes what, Effects& fx) {
  std::vector<uint8_t> body{kind};
  body.insert(body.end(), what.begin(), what.end());
  const auto frame = routing::write_frame(routing::FrameType::directory, body);
  s_.resources.carry_always(frame.size() + kCarriedHeaders);
  const PeerRef peer = talk.peer;
  if (talk.is_link) return links_.send(now, peer, frame);
  if (shard_of(peer) == s_.config.place.shard) return s_.egress.frame(peer, frame);
  ShardNote note;
  note.kind = ShardNote::Kind::frame;
  note.from = s_.config.place.shard;
  note.session = peer;
  fx.to_shards.push_back({shard_of(peer), note, s_.pool.copy_of(frame)});
}

void DirectorySide::perform(Now now, SyncOut& out, Effects& fx) {
  for (const SyncMessage& m : out.messages) send(now, m, fx);
  for (auto& check : out.checks) fx.checks.push_back(std::move(check));
  for (const PeerId& id : out.calls) call_neighbour(now, id);
  std::vector<PeerRef> compared;  // a client's sources, which are asked for more
  for (const SyncSession id : out.hang_ups) {
    exchange().close(id);
    const auto it = talks_.find(id);
    if (copy_ && it != talks_.end() && links_.is_up(it->second.peer)) {
      compared.push_back(it->second.peer);
      talk_of_.erase(it->second.peer);
      talks_.erase(it);
    } else {
      end_talk(id);
    }
  }
  if (!compared.empty()) begin_mapping(now, std::move(compared));
  if (copy_) take_verdict(now, fx);
  follow(now, fx);
}

void DirectorySide::follow(Now now, Effects& fx) {
  if (copy_ && copy_->is_syncing()) return;  // what it brings is judged first
  discovery::SetChanges& changes = exchange().changes();
  if (changes.come.empty() && changes.gone.empty()) return;
  unjudged_ = true;
  if (gossip_) {
    changed_ = true;
    places_.apply(changes);
    if (first_seen_.size() > 2 * discovery::kMaxRelays) first_seen_.keep(set());  // those that come and go
    for (const auto& e : changes.gone) s_.directory.remove(e->id);
    for (const auto& e : changes.come) {
      if (!e->convicted()) static_cast<void>(s_.directory.insert(believed(*e, now.wall)));
    }
  }
  fx.directory.come.insert(fx.directory.come.end(), changes.come.begin(), changes.come.end());
  fx.directory.gone.insert(fx.directory.gone.end(), changes.gone.begin(), changes.gone.end());
  changes = {};
}

// ---- what is believed of a relay

// Its age as far as we know better, and the bandwidth that it counts as.
RelayInfo DirectorySide::believed(const discovery::RelayEntry& e, Wall now) {
  RelayInfo info = first_seen_.believed(e, now);
  info.bandwidth = bandwidths_.book().counted(e);
  return info;
}

void DirectorySide::judge(Now now) {
  const bool is_due = now.mono >= judge_at_ && (unjudged_ || bandwidths_.week_at(now.wall) != bandwidths_.week());
  if (!is_due || (copy_ && copy_->is_syncing())) return;
  unjudged_ = false;
  judge_at_ = now.mono + s_.config.directory->measure_week / 168;
  std::vector<discovery::EntryPtr> entries;
  for (const discovery::EntryPtr& e : set().all()) {
    if (!e->convicted() && (!copy_ || copy_->may_choose(e->short_id))) entries.push_back(e);
  }
  const bool measures = gossip_ && s_.config.directory->measuring == DirectoryConfig::Measuring::on;
  if (!bandwidths_.judge(now.wall, entries, measures ? Bandwidths::Draw::wanted : Bandwidths::Draw::for_results)) return;
  std::vector<std::pair<PeerId, Bandwidth>> anew;
  for (const auto& [id, r] : s_.directory.relays()) {
    const discovery::EntryPtr e = set().find(discovery::short_id_of(id));
    if (e && e->id == id && !e->convicted()) anew.emplace_back(id, bandwidths_.book().counted(*e));
  }
  for (const auto& [id, b] : anew) s_.directory.set_bandwidth(id, b);
  changed_ = true;
}

// ---- relays: whom to talk to

void DirectorySide::call_neighbour(Now now, const PeerId& id) {
  const discovery::EntryPtr e = set().find(discovery::short_id_of(id));
  const bool callable = e && !e->convicted();
  if (callable && links_.open(now, contact_of(e->descriptor.relay), LinkUse::directory)) return;
  failed_calls_.push_back(id);
  failed_at_ = std::min(failed_at_, now.mono + 1s);
}

bool DirectorySide::has_neighbours() const {
  return std::any_of(talks_.begin(), talks_.end(), [](const auto& t) { return t.second.is_link; });
}

// Whoever has no neighbour left begins again with those that it was told of.
void DirectorySide::call_contacts(Now now) {
  contacts_at_ = now.mono + std::min<Duration>(kSoonest * (1 << std::min(contact_tries_, 8u)), kLatest);
  if (has_neighbours() || contacts_.empty()) return;
  contact_tries_++;
  std::vector<Contact> some = contacts_;
  for (size_t n = 0; n < discovery::kNeighbours && !some.empty(); n++) {
    const auto at = some.begin() + static_cast<std::ptrdiff_t>(s_.rng.below(some.size()));
    if (at->wireguard != s_.config.wireguard.pub && gossip_->expect(at->id)) {
      if (!links_.open(now, *at, LinkUse::directory)) {
        failed_calls_.push_back(at->id);
        failed_at_ = std::min(failed_at_, now.mono + 1s);
      }
    }
    some.erase(at);
  }
}

Mono DirectorySide::next_deadline() const {
  const Mono own = std::min({idle_check_, failed_at_, contacts_at_, sync_ ? kNever : sync_at_, mapping_ ? mapping_->until : kNever});
  return std::min(own, gossip_ ? gossip_->next_deadline() : copy_->next_deadline());
}

void DirectorySide::on_deadline(Now now, const Client& client, Effects& fx) {
  drop_idle_callers(now, fx);
  SyncOut out;
  if (gossip_) {
    if (now.mono >= contacts_at_) call_contacts(now);
    if (now.mono >= failed_at_) {
      failed_at_ = kNever;
      for (const PeerId& id : std::exchange(failed_calls_, {})) gossip_->on_call_failed(now, id, out);
    }
    gossip_->on_deadline(now, out);
  } else {
    if (mapping_ && now.mono >= mapping_->until) end_mapping(now);
    if (!sync_ && now.mono >= sync_at_) begin_sync(now, client);
    copy_->on_deadline(now, out);
  }
  perform(now, out, fx);
  if (copy_) maybe_compare(now, fx);
  judge(now);
}

const discovery::SyncCounts& DirectorySide::counts() const { return gossip_ ? gossip_->exchange().counts() : copy_->exchange().counts(); }

void DirectorySide::check_invariants() const {
  MV_ASSERT((gossip_ == nullptr) != (copy_ == nullptr) && talks_.size() == talk_of_.size());
  if (gossip_) gossip_->check_invariants();
}

}  // namespace macrovpn::node
