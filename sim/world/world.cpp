#include "sim/world/world.h"

#include "sim/engine/memory_meter.h"

namespace macrovpn::sim {
namespace {

constexpr int64_t kFirstDay = 1'790'000'000;  // unix seconds
constexpr int kCallsAtOnce = 1'000;           // deadlines of one node at one instant

}  // namespace

const char* to_string(HostKind k) {
  switch (k) {
    case HostKind::client: return "client";
    case HostKind::relay: return "relay";
    case HostKind::exit: return "exit";
    case HostKind::server: return "server";
  }
  return "host";
}

World::World(const WorldConfig& config) : config_(config), streams_(config.seed) {
  now_ = {Mono(1000s), wall_from_unix(kFirstDay)};
  began_ = now_.mono;
  realms_.emplace_back();
  second_ = heap_.add({kSecond, 0});
  news_ = heap_.add({kNews, 0});
  const int64_t before = bytes_held();
  const Packet one = pool_.take();
  slot_bytes_ = bytes_held() - before;
}

World::~World() {
  outbox_.clear();
  batch_.clear();
  spare_effects_.clear();
  flights_.clear();
  hosts_.clear();
}

HostId World::add_host(const HostSpec& spec) {
  const HostId id{static_cast<uint32_t>(hosts_.size())};
  hosts_.push_back(std::make_unique<Host>(id, spec.kind, spec.name, streams_, spec.up, spec.down));
  Host& h = *hosts_.back();
  h.place = spec.place;
  give_address(h, spec.realm, spec.address);
  h.deadline = heap_.add({kNodeDeadline, id.value});
  if (spec.kind == HostKind::server) {
    servers_[h.address] = id;
    if (!spec.address6.is_unspecified()) servers_[spec.address6] = id;
    return id;
  }
  SeededRng keys = streams_.of("keys", id.value);
  h.disk.wireguard = crypto::x25519_generate(keys);
  if (h.relays()) h.disk.identity = crypto::ed25519_generate(keys);
  h.config.network = config_.network;
  h.config.client = spec.client;
  if (h.relays()) {
    const bool exit = spec.kind == HostKind::exit;
    h.config.relay = node::RelayConfig{exit, exit && spec.exit_v6, {}};
    h.info.bandwidth = spec.bandwidth;
    h.info.as_number = spec.as_number;
    h.info.flags.set(RelayFlag::middle);
    if (exit) h.info.flags.set(RelayFlag::exit), h.info.flags.set(RelayFlag::exit_v4);
    if (exit && spec.exit_v6) h.info.flags.set(RelayFlag::exit_v6);
    if (!exit && spec.takes_guard) h.info.flags.set(RelayFlag::guard);
  }
  if (started_) boot(h);
  return id;
}

void World::give_address(Host& h, RealmId realm, const IpAddress& wanted) {
  Realm& r = realms_[realm.value];
  MV_ASSERT(realm != kInternet || !wanted.is_unspecified());
  h.realm = realm;
  h.address = wanted.is_unspecified() ? IpAddress::v4((uint32_t{192} << 24 | uint32_t{168} << 16) + 2 + r.next_address++) : wanted;
  MV_ASSERT(r.at.emplace(h.address, Attached{h.id, {UINT32_MAX}}).second);
}

BoxId World::add_nat(const NatModel& model, RealmId outside, const IpAddress& address, Place place) {
  const BoxId id{static_cast<uint32_t>(boxes_.size())};
  const RealmId inside{static_cast<uint32_t>(realms_.size())};
  realms_.emplace_back();
  realms_.back().box = id;
  auto rng = std::make_unique<SeededRng>(streams_.of("nat", id.value));
  Rng& draws = *rng;
  boxes_.push_back({Nat(model, address, draws), inside, outside, std::move(rng), place});
  MV_ASSERT(realms_[outside.value].at.emplace(address, Attached{{UINT32_MAX}, id}).second);
  return id;
}

RealmId World::inside_of(BoxId id) const { return boxes_[id.value].inside; }
void World::block_udp(BoxId id, bool blocked) { boxes_[id.value].udp_blocked = blocked; }

void World::add_program(HostId id, std::unique_ptr<Program> program) {
  Host& h = host(id);
  const auto index = static_cast<uint32_t>(h.programs.size());
  MV_ASSERT(index < 256);
  h.programs.push_back({std::move(program), heap_.add({kProgramTimer, id.value << 8 | index})});
  if (started_) run_programs(h, [](Program& p, ProgramPort& port) { p.start(port); }, index);
}

void World::start() {
  for (auto& h : hosts_) {
    if (h->kind != HostKind::server) boot(*h);
  }
  started_ = true;
  spread_news();
  for (auto& h : hosts_) {
    for (size_t i = 0; i < h->programs.size(); i++) {
      run_programs(*h, [](Program& p, ProgramPort& port) { p.start(port); }, i);
    }
  }
  heap_.schedule(second_, now_.mono + 1s);
  heap_.schedule(news_, now_.mono + config_.news);
}

void World::at(Mono when, std::function<void()> what) {
  const EventId id = heap_.add({kOnce, static_cast<uint32_t>(onces_.size())});
  onces_.push_back(std::move(what));
  heap_.schedule(id, std::max(when, now_.mono));
}

void World::run_for(Duration d) {
  const Mono end = now_.mono + d;
  while (!failure_ && heap_.next() <= end) step();
  if (failure_) return;
  now_.wall += end - now_.mono;
  now_.mono = end;
}

void World::step() {
  const EventHeap::Due due = heap_.pop();
  MV_ASSERT(due.at >= now_.mono);
  now_.wall += due.at - now_.mono;
  now_.mono = due.at;
  counters_.events++;
  trace_.add(static_cast<uint64_t>(due.at.time_since_epoch().count()));
  trace_.add(uint64_t{due.subject.kind} << 32 | (due.subject.kind == kFlight ? 0 : due.subject.number));
  const uint32_t n = due.subject.number;
  switch (due.subject.kind) {
    case kNodeDeadline: return run_deadline(*hosts_[n]);
    case kFlight: return on_flight(n);
    case kProgramTimer:
      if (hosts_[n >> 8]->asleep) return heap_.schedule(due.id, now_.mono + 1s);  // it has its turn when the host is awake
      return run_programs(*hosts_[n >> 8], [](Program& p, ProgramPort& port) { p.on_timer(port); }, n & 255);
    case kOnce: {
      heap_.remove(due.id);
      const auto what = std::move(onces_[n]);
      return what();
    }
    case kSecond: return second();
    case kNews:
      heap_.schedule(news_, now_.mono + config_.news);
      return spread_news();
    default: MV_ASSERT(false);
  }
}

void World::second() {
  heap_.schedule(second_, now_.mono + 1s);
  tell([&](Watcher& w) { w.each_second(*this); });
}

void World::run_deadline(Host& h) {
  if (!h.runs()) return;
  if (h.called_at != now_.mono) h.calls_at_once = 0;
  h.called_at = now_.mono;
  if (++h.calls_at_once > kCallsAtOnce) {
    return fail({"progress", "a node asks to be called at an instant only while it has something to do then",
                 h.name + " was called " + std::to_string(kCallsAtOnce) + " times at one instant and asks again", {h.id}});
  }
  note(h, Happened::What::deadline, h.id, 0);
  call(h, [&](node::Node& n, node::Effects& fx) { n.on_deadline(now_of(h), fx); });
}

namespace {

// A node exchanges a full vector of its own for an empty one of ours: what it holds is counted without these.
template <class... V>
int64_t room_of(const V&... vectors) {
  return static_cast<int64_t>((... + (vectors.capacity() * sizeof(vectors[0]))));
}

}  // namespace

// Up to what is the same before and after a call.  Packets, effects and what watchers keep grow while a node runs and are not its own.
int64_t World::held_by_nodes(const node::Effects& fx) const {
  return bytes_held() - held_by_watchers_ - static_cast<int64_t>(pool_.slots()) * slot_bytes_ -
         room_of(fx.datagrams, fx.tun_packets, fx.exit_packets, fx.exit_leases, fx.events, fx.to_shards);
}

// Every call of a node comes through here: effects are carried out, programs that got packets answer, memory is counted.
void World::call(Host& h, const std::function<void(node::Node&, node::Effects&)>& f) {
  node::Effects fx;
  if (!spare_effects_.empty()) {
    fx = std::move(spare_effects_.back());
    spare_effects_.pop_back();
  }
  const int64_t before = held_by_nodes(fx);
  called_.push_back(&h);
  f(*h.node, fx);
  called_.pop_back();
  h.memory += held_by_nodes(fx) - before;
  apply(h, fx);
  fx.datagrams.clear(), fx.tun_packets.clear(), fx.exit_packets.clear(), fx.exit_leases.clear();
  const int64_t with_events = bytes_held();
  fx.events.clear();  // words and lists in them were the node's until now
  h.memory -= with_events - bytes_held();
  spare_effects_.push_back(std::move(fx));
  if (h.node) reschedule(h);
  tell([&](Watcher& w) { w.touched(*this, h); });
}

void World::reschedule(Host& h) {
  const Mono next = h.node->next_deadline();
  heap_.schedule(h.deadline, next == kNever ? kNever : std::max(next, now_.mono));
}

void World::apply(Host& h, node::Effects& fx) {
  MV_ASSERT(fx.to_shards.empty());
  for (node::Datagram& d : fx.datagrams) send(h, std::move(d));
  for (const node::ExitLease& l : fx.exit_leases) {
    l.mtu ? outlets_.set_mtu(h.id, l.number, *l.mtu) : outlets_.forget(h.id, l.number);
  }
  for (Packet& p : fx.exit_packets) from_exit(h, std::move(p));
  for (const node::NodeEvent& e : fx.events) {
    if (std::holds_alternative<node::PrekeyChanged>(e)) {
      h.info.prekey = std::get<node::PrekeyChanged>(e).prekey;
      publish(h);
    } else if (const auto* g = std::get_if<node::GuardsChanged>(&e)) {
      h.disk.guards = g->saved;
    } else if (const auto* m = std::get_if<node::MiddlesChanged>(&e)) {
      h.disk.middles = m->saved;
    } else if (std::holds_alternative<node::CircuitReady>(e)) {
      h.counters.circuits++;
    } else if (std::holds_alternative<node::LeaseMoved>(e)) {
      h.counters.moved++;
    } else if (std::holds_alternative<node::LeaseLost>(e)) {
      h.counters.lost_leases++;
    }
    tell([&](Watcher& w) { w.node_event(*this, h, e); });
  }
  for (node::TunPacket& p : fx.tun_packets) {
    h.counters.inner_down++;
    h.counters.inner_down_bytes += p.packet.size();
    note(h, Happened::What::program_got, h.id, p.packet.size());
    tell([&](Watcher& w) { w.program_got(*this, h, p.packet.bytes()); });
    tell([&](Watcher& w) { w.device_got(*this, h, p.tun, p.packet.bytes()); });
    for (size_t i = 0; i < h.programs.size(); i++) {
      run_programs(h, [&](Program& program, ProgramPort& port) { program.on_packet(port, p.packet.bytes()); }, i);
    }
  }
}

void World::Witness::seals(const Secret<32>& key, uint64_t counter) {
  tell([&](Watcher& w, const Host& h) { w.seals(world, h, key, counter); });
}

void World::Witness::seals_once(const Secret<32>& key) {
  tell([&](Watcher& w, const Host& h) { w.seals_once(world, h, key); });
}

template <class F>
void World::Witness::tell(F f) {
  const int64_t before = bytes_held();
  world.tell([&](Watcher& w) { f(w, *world.called_.back()); });
  world.held_by_watchers_ += bytes_held() - before;
}

void World::fail(Failure f) {
  if (!failure_) failure_ = std::move(f);
}

}  // namespace macrovpn::sim
