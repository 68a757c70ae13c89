// Sessions of our own with relays (relay_links.h), and the live directory and the records that they are for.
#include "core/node/node.h"

namespace macrovpn::node {

using routing::FrameType;

void Node::on_link_payload(Now now, PeerRef link, Bytes payload, Effects& fx) {
  routing::FrameReader reader(payload);
  while (const auto f = reader.next()) {
    switch (f->type) {
      case FrameType::directory:
        if (live_ && links_.use_of(link) == LinkUse::directory) live_->on_frame(now, {link, {}}, f->body, true, fx);
        break;
      case FrameType::bound:
      case FrameType::dialed:
        if (verify_ && links_.use_of(link) == LinkUse::verification) verify_->on_link_frame(now, link, *f);
        break;
      case FrameType::measure_ok:
      case FrameType::echo:
        if (measure_ && links_.use_of(link) == LinkUse::measurement) measure_->on_link_frame(now, link, *f);
        break;
      case FrameType::dht_stored:
      case FrameType::dht_found:
        if (records_ && links_.use_of(link) == LinkUse::records) records_->on_link_frame(now, link, *f, fx);
        break;
      case FrameType::registered:
      case FrameType::introduce:
      case FrameType::error:
        if (is_spliced(link)) on_introduction_frame(now, link, *f);
        break;
      default:
        break;  // PONG and goodbyes: that something was heard is all there is to know
    }
  }
}

// Whether the payload of a circuit's session is an error about a link that goes over it.
bool Node::is_about_links(PeerRef carrier, Bytes payload) {
  routing::FrameReader reader(payload);
  const auto f = reader.next();
  if (!f || f->type != FrameType::error) return false;
  const auto e = routing::read_error(f->body);
  return e && links_.on_carrier_error(carrier, *e);
}

void Node::on_link_events(Now now, Effects& fx) {
  for (auto events = links_.take_events(); !events.empty(); events = links_.take_events()) {
    for (const LinkEvent& e : events) {
      switch (e.use) {
        case LinkUse::verification:
          if (verify_) verify_->on_link(now, e);
          break;
        case LinkUse::measurement:
          if (measure_) measure_->on_link(now, e);
          break;
        case LinkUse::directory:
          if (live_) live_->on_link(now, e, fx);
          break;
        case LinkUse::introduction:
          if (introductions_) introductions_->on_link_event(now, e);
          break;
        case LinkUse::records:
          if (records_) records_->on_link(now, e, fx);
          break;
      }
    }
  }
  if (verify_) verify_->carry_out(now, fx);
  if (measure_) measure_->carry_out(fx);
  if (relay_) relay_->drop_lost_splices();
  if (!live_) return;
  if (auto dead = live_->take_dead(); dead && client_) {
    client_->believe_dead(*std::move(dead));
    fx.events.push_back(LivenessChanged{live_->saved_liveness()});
  }
  if (!live_->take_changed()) return;
  if (client_) client_->directory_changed(now, fx);
}

// A caller's frame about the directory, or nothing: it is gone.  The directory lives at the first shard.
void Node::on_question(Now now, PeerRef caller, Bytes body, Effects& fx) {
  if (service_ == peers::Service::closed) return;
  const auto info = tunnels_.info(caller);
  const Endpoint from = info ? info->route.endpoint : Endpoint{};
  if (live_) return live_->on_frame(now, {caller, from.address}, body, false, fx);
  if (config_.place.shard == ShardId{0}) {
    counters_.bad_payload += !body.empty();
    return;
  }
  ShardNote note;
  note.kind = ShardNote::Kind::question;
  note.from = config_.place.shard;
  note.session = caller;
  note.remote = from;
  fx.to_shards.push_back({ShardId{0}, note, pool_.copy_of(body)});
}

// Who calls relays is at the first shard too.
void Node::on_dial(Now now, PeerRef caller, Bytes body, Effects& fx) {
  const CallerKey budget = relay_->caller_of(caller);
  if (verify_) return verify_->on_dial(now, caller, budget, body);
  if (config_.place.shard == ShardId{0}) return;
  ShardNote note;
  note.kind = ShardNote::Kind::dial;
  note.from = config_.place.shard;
  note.session = caller;
  note.caller = budget;
  fx.to_shards.push_back({ShardId{0}, note, pool_.copy_of(body)});
}

// Records are at the first shard too.
void Node::on_record_request(Now now, PeerRef caller, const routing::Frame& f, Effects& fx) {
  if (service_ == peers::Service::closed) return;
  const CallerKey budget = relay_->caller_of(caller);
  if (records_kept_) return records_kept_->on_request(now, caller, budget, f.type, f.body, fx);
  if (config_.place.shard == ShardId{0}) {
    counters_.bad_payload++;
    return;
  }
  ShardNote note;
  note.kind = ShardNote::Kind::record;
  note.from = config_.place.shard;
  note.session = caller;
  note.caller = budget;
  std::vector<uint8_t> typed{static_cast<uint8_t>(f.type)};
  typed.insert(typed.end(), f.body.begin(), f.body.end());
  fx.to_shards.push_back({ShardId{0}, note, pool_.copy_of(typed)});
}

Result<RecordTicket> Node::put_record(Now now, const RecordPut& put, Effects& fx) {
  if (!records_) return fail("records need the live directory; switch it on: macrovpn config set network.live true");
  auto ticket = records_->put(now, put, fx);
  finish(now, fx);
  return ticket;
}

Result<RecordTicket> Node::get_record(Now now, const RecordGet& get, Effects& fx) {
  if (!records_) return fail("records need the live directory; switch it on: macrovpn config set network.live true");
  auto ticket = records_->get(now, get, fx);
  finish(now, fx);
  return ticket;
}

void Node::forget_question(Now now, RecordTicket ticket, Effects& fx) {
  if (records_) records_->forget(ticket);
  finish(now, fx);
}

void Node::watch_directory(Now now, Effects& fx) {
  if (!live_ || now.mono < live_->next_deadline()) return;
  DirectorySide::Client client;
  if (client_) client = {client_->way_to_relays(), client_->guard_ids(), !client_->groups().empty()};
  live_->on_deadline(now, client, fx);
}

discovery::Inserted Node::publish(Now now, const discovery::EntryPtr& entry, Effects& fx) {
  MV_ASSERT(live_ != nullptr);
  const auto done = live_->publish(now, entry, fx);
  if (verify_ && done == discovery::Inserted::crowded_out && entry->id == discovery::peer_id_of(config_.identity->pub)) verify_->contest(now, entry);
  finish(now, fx);
  return done;
}

void Node::on_checked(Now now, uint64_t check, const Result<discovery::EntryPtr, discovery::CheckFailure>& result, Effects& fx) {
  if (live_) live_->on_checked(now, check, result, fx);
  finish(now, fx);
}

bool Node::ask_about_us(Now now, const discovery::EntryPtr& own, Effects& fx) {
  const bool asked = verify_ && verify_->ask_about_us(now, own);
  finish(now, fx);
  return asked;
}

discovery::Liveness Node::liveness(Now now, const PeerId& id) const {
  const discovery::ShortId short_id = discovery::short_id_of(id);
  if (verify_ && verify_->prober().is_dead(now.mono, short_id)) return discovery::Liveness::dead;
  return live_ ? live_->liveness(short_id) : discovery::Liveness::unknown;
}

void Node::accept_directory(Now now, Effects& fx) {
  if (live_) live_->accept_anyway(now, fx);
  finish(now, fx);
}

void Node::add_contacts(Now now, std::vector<Contact> contacts, Effects& fx) {
  if (live_) live_->add_contacts(now, std::move(contacts));
  finish(now, fx);
}

void Node::follow_directory(Now now, const discovery::SetChanges& changes, Effects& fx) {
  for (const auto& e : changes.gone) directory_.remove(e->id);
  for (const auto& e : changes.come) {
    if (!e->convicted()) static_cast<void>(directory_.insert(e->descriptor.relay));
  }
  finish(now, fx);
}

}  // namespace macrovpn::node
