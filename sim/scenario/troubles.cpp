// A scenario's troubles happen: whom they hit is drawn from a stream of each sentence, so that another sentence changes nothing.
#include "sim/scenario/run.h"

namespace macrovpn::sim {
namespace {

// When so much of the network is hit, everybody's way is.
constexpr Ppm kMuch = 200'000;
constexpr Duration kSpread = 10s;  // those who are hit together are so within this time, or half of the pause until the next

}  // namespace

void Simulation::plan(const Trouble& t, size_t index) {
  const Duration end = t.until > Duration(0) ? t.until : scenario_.lasts;
  const Mono start = world_.now().mono;
  if (t.every == Duration(0)) return world_.at(start + t.first, [this, &t, index] { strike(t, index); });
  for (Duration d = t.first; d < end; d += t.every) world_.at(start + d, [this, &t, index] { strike(t, index); });
}

std::vector<HostId> Simulation::victims(const Trouble& t, Rng& rng) const {
  std::vector<HostId> all;
  for (const auto& h : world_.hosts()) {
    if (h->kind == t.who) all.push_back(h->id);
  }
  size_t n = t.share > 0 ? (all.size() * t.share + kAlways / 2) / kAlways : t.count;
  if (t.share > 0 && n == 0) n = 1;
  n = std::min(n, all.size());
  for (size_t i = 0; i < n; i++) std::swap(all[i], all[i + rng.below(all.size() - i)]);
  all.resize(n);
  return all;
}

void Simulation::strike(const Trouble& t, size_t index) {
  Rng& rng = trouble_rngs_[index];
  const Mono now = world_.now().mono;
  const Duration spread = t.every > Duration(0) ? std::min(kSpread, t.every / 2) : t.what == Fault::hop ? kSpread : Duration(0);
  for (const HostId id : victims(t, rng)) {
    const Mono hit_at = now + (spread > Duration(0) ? rng.between(Duration(0), spread) : Duration(0));
    world_.at(hit_at, [this, &t, id] { hit(t, id); });
    const Mono over = hit_at + t.lasts;
    if (t.what != Fault::hop) world_.host(id).trouble_until = std::max(world_.host(id).trouble_until, over);
    const bool relays = t.who != HostKind::client;
    if (relays && (t.share >= kMuch || t.who == HostKind::server)) world_.trouble_until(over);
    if (t.lasts > Duration(0)) world_.at(over, [this, &t, id] { heal(t, id); });
  }
}

void Simulation::hit(const Trouble& t, HostId id) {
  faults_[t.what]++;
  switch (t.what) {
    case Fault::crash: return world_.crash(id);
    case Fault::sleep: return world_.sleep(id);
    case Fault::leave: return world_.set_service(id, peers::Service::draining);
    case Fault::wrong_clock: return world_.set_skew(id, t.time);
    case Fault::hop: return world_.hop(id);
    case Fault::move: {
      Crowd somewhere;
      somewhere.kind = world_.host(id).kind;
      const HostSpec there = placed(somewhere, somewhere.kind);
      homes_[id.value] = BoxId{UINT32_MAX};
      world_.host(id).info.as_number = there.as_number;
      return world_.move(id, kInternet, there.address, there.place);
    }
    case Fault::block_udp: case Fault::forget_nat:
      if (homes_[id.value].value == UINT32_MAX) return;
      if (t.what == Fault::forget_nat) return world_.reboot_nat(homes_[id.value]);
      return world_.block_udp(homes_[id.value], true);
    case Fault::trim: return world_.set_mischief(id, make_trimmer());
    case Fault::echo: return world_.set_mischief(id, make_echoer());
    case Fault::drop: return world_.set_mischief(id, make_dropper(static_cast<Ppm>(t.amount), streams_.of("mischief", id.value)));
    case Fault::delay:
      return world_.set_mischief(id, make_delayer(static_cast<Ppm>(t.amount), t.time, streams_.of("mischief", id.value)));
    case Fault::tamper: return world_.set_mischief(id, make_tamperer(static_cast<Ppm>(t.amount), streams_.of("mischief", id.value)));
    case Fault::replay: return world_.set_mischief(id, make_replayer(static_cast<Ppm>(t.amount), streams_.of("mischief", id.value)));
    case Fault::refuse:
      coalition_.members.insert(id);
      return world_.set_mischief(id, make_refuser(coalition_));
    case Fault::collude: coalition_.members.insert(id); return;
    default: return disturb(t, id);
  }
}

// The links of a host, both ways.
void Simulation::disturb(const Trouble& t, HostId id) {
  LinkModel up = good_up_[id.value], down = good_down_[id.value];
  for (LinkModel* m : {&up, &down}) {
    switch (t.what) {
      case Fault::lose: m->loss = LossModel::independent(static_cast<Ppm>(t.amount)); break;
      case Fault::lose_in_bursts: m->loss = LossModel::bursts(static_cast<Ppm>(t.amount), 8); break;
      case Fault::reorder: m->reordered = static_cast<Ppm>(t.amount), m->reorder_by = 30ms; break;
      case Fault::duplicate: m->duplicated = static_cast<Ppm>(t.amount); break;
      case Fault::slow: m->rate = {t.amount / 8}; break;
      case Fault::mtu_hole: m->black_hole_above = t.amount; break;
      case Fault::cut_off: m->up = false; break;
      default: break;
    }
  }
  world_.set_links(id, up, down, std::string("has trouble with its links: ") + to_string(t.what));
}

void Simulation::heal(const Trouble& t, HostId id) {
  switch (t.what) {
    case Fault::crash: return world_.restart(id);
    case Fault::sleep: return world_.wake(id);
    case Fault::leave: return world_.set_service(id, peers::Service::open);
    case Fault::wrong_clock: return world_.set_skew(id, Duration(0));
    case Fault::hop: case Fault::move: case Fault::forget_nat: return;
    case Fault::block_udp:
      if (homes_[id.value].value != UINT32_MAX) world_.block_udp(homes_[id.value], false);
      return;
    case Fault::collude: coalition_.members.erase(id); return;
    case Fault::refuse: coalition_.members.erase(id); return world_.set_mischief(id, nullptr);
    case Fault::trim: case Fault::echo: case Fault::drop: case Fault::delay: case Fault::tamper: case Fault::replay:
      return world_.set_mischief(id, nullptr);
    default: return world_.set_links(id, good_up_[id.value], good_down_[id.value], "has good links again");
  }
}

}  // namespace macrovpn::sim
