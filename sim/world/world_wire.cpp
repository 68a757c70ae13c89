// Datagrams on their way.  A flight is an entry of flights_ and one of the heap; it has at most three stages:
//
//   held ─ a dishonest sender waits ─>  up link, NATs outwards
//   far  ─ on the map ───────────────>  NATs inwards, down link
//   near ─ on the down link ─────────>  the host
#include "sim/world/world.h"

namespace macrovpn::sim {

uint32_t World::new_flight() {
  if (free_flights_.empty()) {
    const auto n = static_cast<uint32_t>(flights_.size());
    flights_.emplace_back();
    flights_.back().event = heap_.add({kFlight, n});
    return n;
  }
  const uint32_t n = free_flights_.back();
  free_flights_.pop_back();
  return n;
}

void World::end_flight(uint32_t n) {
  Flight& f = flights_[n];
  const EventId event = f.event;
  heap_.schedule(event, kNever);
  f = {};
  f.event = event;
  free_flights_.push_back(n);
}

// What a node sends.
void World::send(Host& from, node::Datagram d) {
  Duration delay{0};
  if (from.mischief) {
    const Mischief::Verdict v = from.mischief->leaves(*this, from, d);
    counters_.mischief += !v.pass || v.delay > Duration(0);
    if (!v.pass) return;
    delay = v.delay;
  }
  const uint32_t n = new_flight();
  Flight& f = flights_[n];
  f.packet = std::move(d.packet);
  f.source = {d.local.is_unspecified() ? from.address : d.local, d.socket == kListenSocket ? kListenPort : kEgressPort};
  f.target = d.remote;
  f.from = from.id;
  f.socket = d.socket;
  if (delay == Duration(0)) return launch(from, n);
  f.stage = Stage::held;
  heap_.schedule(f.event, now_.mono + delay);
}

void World::inject(HostId from, const Endpoint& source, const Endpoint& target, Bytes bytes, Duration delay) {
  const uint32_t n = new_flight();
  Flight& f = flights_[n];
  f.packet = pool_.copy_of(bytes);
  f.source = source;
  f.target = target;
  f.from = from;
  f.socket = source.port == kListenPort ? kListenSocket : kEgressSocket;
  f.forged = source.address != host(from).address;
  f.made_up = true;
  f.stage = Stage::held;
  heap_.schedule(f.event, now_.mono + delay);
}

void World::launch(Host& from, uint32_t n) {
  Flight& f = flights_[n];
  if (!f.internet) {
    from.counters.datagrams_out++;
    from.counters.bytes_out += f.packet.size();
    counters_.datagrams++;
    counters_.bytes += f.packet.size();
    const Host* to = host_at(f.target.address);
    note(from, Happened::What::sent, to ? to->id : HostId{UINT32_MAX}, f.packet.size());
    tell([&](Watcher& w) {
      w.leaves(*this, {from, f.socket, f.source, f.target, f.packet.bytes(), f.forged, f.made_up});
    });
  }
  if (f.internet && config_.beyond) {
    f.stage = Stage::near;
    return heap_.schedule(f.event, now_.mono + *config_.beyond);
  }
  const Sent sent = from.up.offer(now_.mono, f.packet.size() + node::kCarriedHeaders);
  counters_.lost_on_links += sent.copies == 0;
  if (sent.copies == 0) return end_flight(n);
  if (sent.copies == 2) {
    const uint32_t twin = new_flight();
    Flight &a = flights_[n], &b = flights_[twin];  // f may have moved
    const EventId event = b.event;
    b = {pool_.copy_of(a.packet.bytes()), a.source, a.target, a.from, a.to, a.socket, a.stage, a.internet, a.forged, a.made_up, event};
    heap_.schedule(event, sent.at[1]);
    out_through_boxes(from, twin);
  }
  heap_.schedule(flights_[n].event, sent.at[0]);
  out_through_boxes(from, n);
}

// The translation happens as it leaves; its time on the up link and on the map follow.  The event's time is that at the end of
// the up link.
void World::out_through_boxes(Host& from, uint32_t n) {
  Flight& f = flights_[n];
  f.stage = Stage::far;
  const Mono sent = heap_.time_of(f.event);
  if (f.internet) {
    heap_.schedule(f.event, sent + distance(from.place, hosts_[f.to.value]->place));
    return;
  }
  RealmId realm = from.realm;
  bool inside = f.forged;  // forgers are not behind NATs that check
  while (!inside && realms_[realm.value].box && !realms_[realm.value].at.contains(f.target.address)) {
    Box& box = boxes_[realms_[realm.value].box->value];
    if (box.udp_blocked) {
      counters_.blocked++;
      return end_flight(n);
    }
    const auto t = box.nat.from_inside(now_.mono, f.source, f.target);
    if (!t.ok()) {
      counters_.at_nats++;
      return end_flight(n);
    }
    f.source = t->source;
    f.target = t->destination;
    inside = t->to_inside;
    if (!inside) realm = box.outside;
  }
  if (!f.forged) senders_[f.source] = from.id;
  const auto there = realms_[realm.value].at.find(f.target.address);
  if (there == realms_[realm.value].at.end()) {
    counters_.nowhere++;
    return end_flight(n);
  }
  // Where a NAT stands does not matter on the map: whoever is behind it is near.
  Attached at = there->second;
  Place place = from.place;
  if (at.host.value != UINT32_MAX) place = hosts_[at.host.value]->place;
  if (at.box.value != UINT32_MAX) place = boxes_[at.box.value].place;
  heap_.schedule(f.event, sent + distance(from.place, place));
}

void World::on_flight(uint32_t n) {
  Flight& f = flights_[n];
  switch (f.stage) {
    case Stage::held: return launch(*hosts_[f.from.value], n);
    case Stage::far: return reach_far(n);
    case Stage::near: return deliver(n);
  }
}

bool World::in_through_boxes(Flight& f) {
  RealmId realm = kInternet;
  if (!f.forged) {  // it may have stayed inside
    realm = hosts_[f.from.value]->realm;
    while (realm != kInternet && !realms_[realm.value].at.contains(f.target.address)) {
      realm = boxes_[realms_[realm.value].box->value].outside;
    }
  }
  for (;;) {
    const auto at = realms_[realm.value].at.find(f.target.address);
    if (at == realms_[realm.value].at.end()) {
      counters_.nowhere++;
      return false;
    }
    if (at->second.host.value != UINT32_MAX) {
      f.to = at->second.host;
      return true;
    }
    Box& box = boxes_[at->second.box.value];
    if (box.udp_blocked) {
      counters_.blocked++;
      return false;
    }
    const auto t = box.nat.from_outside(now_.mono, f.source, f.target);
    if (!t.ok()) {
      counters_.at_nats++;
      return false;
    }
    f.source = t->source;
    f.target = t->destination;
    realm = box.inside;
  }
}

void World::reach_far(uint32_t n) {
  Flight& f = flights_[n];
  if (!f.internet && !in_through_boxes(f)) return end_flight(n);
  offer_down(*hosts_[f.to.value], n);
}

void World::offer_down(Host& to, uint32_t n) {
  Flight& f = flights_[n];
  const Sent sent = to.down.offer(now_.mono, f.packet.size() + node::kCarriedHeaders);
  counters_.lost_on_links += sent.copies == 0;
  if (sent.copies == 0) return end_flight(n);
  f.stage = Stage::near;
  heap_.schedule(f.event, sent.at[0]);
  if (sent.copies < 2) return;
  const uint32_t twin = new_flight();
  Flight &a = flights_[n], &b = flights_[twin];
  const EventId event = b.event;
  b = {pool_.copy_of(a.packet.bytes()), a.source, a.target, a.from, a.to, a.socket, Stage::near, a.internet, a.forged, a.made_up, event};
  heap_.schedule(event, sent.at[1]);
}

// With all others that reach the same host at this instant: one batch for its node.
void World::deliver(uint32_t first) {
  Host& to = *hosts_[flights_[first].to.value];
  if (flights_[first].internet) {
    Flight f = std::move(flights_[first]);
    flights_[first].event = f.event;
    end_flight(first);
    trace_.add(digest_of(f.packet.bytes()));
    return to.kind == HostKind::server ? serve(to, f) : to_exit(to, f);
  }
  std::vector<node::Datagram> batch = std::move(batch_);
  batch.clear();
  for (uint32_t n = first;;) {
    Flight& f = flights_[n];
    counters_.delivered++;
    trace_.add(uint64_t{to.id.value} << 32 | f.from.value);
    trace_.add(digest_of(f.packet.bytes()));
    to.counters.datagrams_in++;
    to.counters.bytes_in += f.packet.size();
    note(to, Happened::What::got, f.from, f.packet.size());
    const SocketId socket = f.target.port == kListenPort ? kListenSocket : kEgressSocket;
    node::Datagram d{socket, f.source, std::move(f.packet)};
    const bool forged = f.forged;
    end_flight(n);
    counters_.to_the_dead += !to.runs();
    if (to.runs() && (!to.mischief || to.mischief->reaches(*this, to, d).pass)) {
      tell([&](Watcher& w) { w.reaches(*this, {to, d.socket, d.remote, d.packet.bytes(), forged}); });
      batch.push_back(std::move(d));
    }
    if (heap_.next() != now_.mono || heap_.next_subject().kind != kFlight) break;
    n = heap_.next_subject().number;
    if (flights_[n].stage != Stage::near || flights_[n].internet || flights_[n].to != to.id) break;
    heap_.pop();
  }
  counters_.batches++;
  if (!batch.empty()) {
    call(to, [&](node::Node& node, node::Effects& fx) { node.on_datagrams(now_of(to), batch, fx); });
  }
  batch.clear();
  batch_ = std::move(batch);
}

const Host* World::host_at(const IpAddress& a) const {
  const auto at = realms_[0].at.find(a);
  return at == realms_[0].at.end() || at->second.host.value == UINT32_MAX ? nullptr : hosts_[at->second.host.value].get();
}

const Host* World::behind(const Endpoint& source) const {
  const auto at = senders_.find(source);
  return at == senders_.end() ? nullptr : hosts_[at->second.value].get();
}

}  // namespace macrovpn::sim
