#include "sim/reference/trial.h"

#include "core/routing/address_rewrite.h"
#include "sim/actors/adversaries.h"

namespace macrovpn::sim {
namespace {

constexpr uint16_t kMailPort = 25;
constexpr Duration kLook = 100ms;
constexpr Duration kAskAgain = 1s;
constexpr const char* kPromise = "a tunnel does what its user may expect of it, and nothing else (sim/reference/model.h)";

struct Heard {
  uint64_t number;
  Endpoint from, to;
};
// What is in a packet of ours; nothing: it is none.
std::optional<Heard> heard(Bytes ip) {
  const auto number = SmallNet::number_of(ip);
  if (!number) return std::nullopt;
  const auto h = routing::parse_ip(ip);
  return Heard{*number, {h->source, h->source_port}, {h->destination, h->destination_port}};
}

LinkModel link_with(Disturbance d) {
  LinkModel m;
  if (d == kLoses) m.loss = LossModel::independent(150'000);
  if (d == kDoubles) m.duplicated = 300'000;
  if (d == kReorders) m.reordered = 200'000, m.reorder_by = 150ms;
  return m;
}

}  // namespace

// What the model is shown of packets.
class Trial::Eyes final : public Watcher {
 public:
  explicit Eyes(Trial& t) : t_(t) {}

  void server_got(World& w, const Host&, const Host& exit, Bytes ip) override {
    const auto h = heard(ip);
    const auto relay = t_.net_.relay_number(exit.id);
    if (!h || !relay) return;
    t_.wrong(t_.model_.came_out(w.now().mono, h->number, h->to,
                                {*relay, exit.info.region, t_.lives_[*relay], h->from.address}), 0);
  }
  void device_got(World& w, const Host& client, TunId tun, Bytes ip) override {
    const auto device = t_.net_.device_of(client.id, tun);
    const auto parsed = routing::parse_ip(ip);
    if (!device || !parsed.ok()) return;
    const bool opens = parsed->protocol == routing::IpProtocol::tcp && (parsed->tcp_flags & routing::kTcpSyn) != 0;
    if (opens) return t_.wrong(t_.model_.connection_opened(*device), client_of(*device));
    if (const auto h = heard(ip)) t_.wrong(t_.model_.came_back(w.now().mono, h->number, *device, h->from), client_of(*device));
  }
  void leaves(World& w, const Leaving& d) override {
    const auto client = t_.net_.client_number(d.from.id);
    const Host* to = w.host_at(d.target.address);
    if (client && to != nullptr && to->relays()) t_.wrong(t_.model_.entered_by(*client, to->info.id), *client);
  }

 private:
  Trial& t_;
};

Trial::Trial(uint64_t seed) : net_(seed), rng_(Streams(seed).of("trial")), checkers_(all_checkers({})), eyes_(std::make_unique<Eyes>(*this)) {
  asked_again_.fill(kNever);
  std::erase_if(checkers_, [](const auto& c) { return std::string_view(c->name()) == "recovery"; });  // the model judges it here
  net_.world().watch(*eyes_);
  for (auto& c : checkers_) net_.world().watch(*c);
}
Trial::~Trial() = default;

TrialResult Trial::run(const std::vector<Operation>& operations) {
  World& w = net_.world();
  w.start();
  for (size_t i = 0; i < kDevices; i++) turn(i, false);
  TrialResult result;
  for (const Operation& o : operations) {
    if (w.failure()) break;
    if (told) told(w, o);
    result.done++;
    carry_out(o);
    compare();
    pass(o.then);
  }
  if (!w.failure()) make_well();
  result.failure = w.failure();
  result.lasted = w.elapsed();
  result.hash = w.trace_hash();
  result.packets = next_number_ - 1;
  result.answered = model_.answered();
  result.promised = model_.promised();
  return result;
}

// At the end nothing is wrong any more: who is on has an answer by the deadline, and steady tunnels lose nothing, not by hopping either.
void Trial::make_well() {
  for (uint8_t i = 0; i < kRelays; i++) {
    carry_out({Deed::start_relay, i, 0, {}});
    carry_out({Deed::replay, i, 1, {}});
    carry_out({Deed::skew, i, 0, {}});
  }
  for (uint8_t i = 0; i < kClients; i++) {
    for (const Deed d : {Deed::wake, Deed::start, Deed::mend, Deed::unblock_udp}) carry_out({d, i, 0, {}});
  }
  for (uint8_t i = 0; i < kDevices; i++) carry_out({Deed::ask, i, 0, {}});
  pass(50s);
  for (const Deed d : {Deed::ask, Deed::say, Deed::hop, Deed::say}) {
    for (uint8_t i = 0; i < kDevices; i++) carry_out({d, i, 1, {}});
    pass(2s);
  }
  pass(10s);
  for (size_t i = 0; i < kDevices; i++) turn(i, false);
  pass(5s);
}

void Trial::pass(Duration d) {
  World& w = net_.world();
  const Mono end = now() + d;
  while (now() < end && !w.failure()) {
    w.run_for(std::min<Duration>(kLook, end - now()));
    repeat_questions();
    compare();
  }
}

// ---- what is done

void Trial::carry_out(const Operation& o) {
  switch (o.deed) {
    case Deed::turn_on: case Deed::turn_off:
      if (net_.world().host(net_.client(client_of(o.who))).asleep) return;  // nobody turns anything at a computer that sleeps
      return turn(o.who, o.deed == Deed::turn_on);
    case Deed::ask:
      if (model_.is_asking(o.who) || !model_.is_on(o.who)) return;
      model_.asks(now(), o.who);
      asks_server_[o.who] = o.what;
      asked_again_[o.who] = now();
      return repeat_questions();
    case Deed::say: return send(o.who, net_.server(o.what), false);
    case Deed::trespass: return trespass(o.who, static_cast<Trespass>(o.what));
    case Deed::hop: {
      const size_t client = client_of(o.who);
      if (!net_.world().host(net_.client(client)).runs()) return;
      model_.hopped(now(), o.who, said(client));
      return net_.world().command(net_.client(client), [&](node::Node& n, Now t, node::Effects& fx) {
        static_cast<void>(n.hop(t, net_.tun(o.who), fx));
      });
    }
    case Deed::stop_relay: case Deed::start_relay: case Deed::drain_relay: case Deed::replay: case Deed::skew: return on_relay(o);
    case Deed::block_udp: case Deed::unblock_udp: case Deed::forget_nat: case Deed::disturb: case Deed::mend: case Deed::roam:
      return on_links(o);
    case Deed::wait: case Deed::kCount: return;
    default: return on_client(o);
  }
}

void Trial::turn(size_t device, bool on) {
  model_.turned(now(), device, on);
  if (!on) asked_again_[device] = kNever;
  if (!net_.world().host(net_.client(client_of(device))).runs()) return;  // when it runs again
  net_.world().command(net_.client(client_of(device)), [&](node::Node& n, Now t, node::Effects& fx) {
    if (!on) return n.detach(t, net_.tun(device), fx);
    MV_ASSERT(n.attach(t, net_.tun(device), node::Slots::only_own, fx).ok());
  });
}

void Trial::on_client(const Operation& o) {
  World& w = net_.world();
  const HostId id = net_.client(o.who);
  switch (o.deed) {
    case Deed::sleep:
      if (!w.host(id).runs()) return;
      w.sleep(id);
      return model_.client_awake(now(), o.who, false);
    case Deed::wake:
      if (!w.host(id).node || !w.host(id).asleep) return;
      w.wake(id);
      model_.client_awake(now(), o.who, true);
      for (size_t i = 0; i < kDevices; i++) {
        if (client_of(i) == o.who) turn(i, model_.is_on(i));
      }
      return;
    case Deed::kill:
      if (!w.host(id).node) return;
      w.crash(id);
      return model_.client_runs(now(), o.who, false);
    case Deed::start:
      if (!w.host(id).node) start_client(o.who);
      return;
    case Deed::reconfigure: return reconfigure(o.who, static_cast<Settings>(o.what));
    default: return;
  }
}

void Trial::start_client(size_t client) {
  net_.world().restart(net_.client(client));
  model_.client_runs(now(), client, true);
  for (size_t i = 0; i < kDevices; i++) {
    if (client_of(i) == client) turn(i, model_.is_on(i));
  }
}

void Trial::reconfigure(size_t client, Settings s) {
  World& w = net_.world();
  if (w.host(net_.client(client)).node) {
    w.crash(net_.client(client));
    model_.client_runs(now(), client, false);
  }
  node::ClientConfig& c = *w.host(net_.client(client)).config.client;
  if (s == kTwoHops || s == kThreeHops) c.hops = s == kTwoHops ? 2 : 3;
  if (s == kHopByHop || s == kOneRoundTrip) c.build = s == kHopByHop ? node::Build::hop_by_hop : node::Build::one_round_trip;
  if (s == kAnyRegion) c.exit_region.reset();
  if (s == kHomeRegion) c.exit_region = net_.home();
  model_.settings(now(), client, c.hops, c.exit_region);
  start_client(client);
}

void Trial::on_relay(const Operation& o) {
  World& w = net_.world();
  const HostId id = net_.relay(o.who);
  switch (o.deed) {
    case Deed::stop_relay:
      if (!w.host(id).node) return;
      w.crash(id);
      return model_.relay_serves(now(), o.who, false);
    case Deed::start_relay:
      if (w.host(id).node) {
        if (model_.serves(o.who)) return;
        w.crash(id);  // it drained
      }
      w.restart(id);
      lives_[o.who]++;
      return model_.relay_serves(now(), o.who, true);
    case Deed::drain_relay:
      if (!w.host(id).node) return;
      w.set_service(id, peers::Service::draining);
      return model_.relay_serves(now(), o.who, false);
    case Deed::replay:
      return w.set_mischief(id, o.what == 0 ? make_replayer(200'000, w.streams().of("mischief", id.value)) : nullptr);
    case Deed::skew:
      w.set_skew(id, o.what == 0 ? Duration(0) : o.what == 1 ? Duration(20min) : Duration(-20min));
      return model_.relay_changed(now());
    default: return;
  }
}

void Trial::on_links(const Operation& o) {
  World& w = net_.world();
  const HostId id = net_.client(o.who);
  const auto nat = net_.nat_of(o.who);
  switch (o.deed) {
    case Deed::block_udp: case Deed::unblock_udp:
      if (!nat) return;
      w.block_udp(*nat, o.deed == Deed::block_udp);
      return model_.udp_blocked(now(), o.who, o.deed == Deed::block_udp);
    case Deed::forget_nat:
      if (!nat) return;
      w.reboot_nat(*nat);
      return model_.moved(now(), o.who);
    case Deed::roam:
      if (nat) w.block_udp(*nat, false);
      model_.udp_blocked(now(), o.who, false);
      net_.roam(o.who, o.what);
      return model_.moved(now(), o.who);
    case Deed::disturb:
      w.set_links(id, link_with(static_cast<Disturbance>(o.what)), link_with(static_cast<Disturbance>(o.what)), words_of(o));
      return model_.disturbed(now(), o.who, true);
    case Deed::mend:
      w.set_links(id, {}, {}, words_of(o));
      return model_.disturbed(now(), o.who, false);
    default: return;
  }
}

// ---- packets

void Trial::send(size_t device, const Endpoint& to, bool has_repeats) {
  submit(device, routing::InsideAddresses::get().client4, to, {device, to, true, has_repeats});
}

void Trial::trespass(size_t device, Trespass what) {
  const IpAddress inside = routing::InsideAddresses::get().client4, site = net_.server(0).address;
  const auto v4 = [](uint32_t a, uint32_t b, uint32_t c, uint32_t d) { return IpAddress::v4(a << 24 | b << 16 | c << 8 | d); };
  Endpoint to{site, kAskPort};
  IpAddress from = inside;
  switch (what) {
    case kPrivateAddress: to.address = v4(192, 168, 77, 7); break;
    case kMail: to.port = kMailPort; break;
    case kLinkLocal: to.address = v4(169, 254, 1, 1); break;
    case kOtherTunnel: to.address = v4(100, 64, 0, 77); break;
    case kForeignSource: from = v4(192, 168, 0, 2); break;
    case kSlotSource: from = v4(10, 10, 128, 5); break;
    case kIpv6:
      from = routing::InsideAddresses::get().client6;
      to.address = *IpAddress::parse("2001:db8::1");
      break;
    case kTrespasses: return;
  }
  submit(device, from, to, {device, to, false, false});
}

void Trial::submit(size_t device, const IpAddress& from, const Endpoint& to, Model::Sent s) {
  const uint64_t number = next_number_++;
  constexpr std::array<size_t, 3> kSizes = {40, 500, 1200};
  std::vector<Packet> one;
  one.push_back(net_.packet(from, to, {number, static_cast<uint8_t>(rng_.below(2)), kSizes[rng_.below(kSizes.size())],
                                       to.port == kMailPort ? routing::IpProtocol::tcp : routing::IpProtocol::udp}));
  model_.sent(now(), number, s);
  net_.world().send_as_program(net_.client(client_of(device)), net_.tun(device), one);
}

void Trial::repeat_questions() {
  for (size_t i = 0; i < kDevices; i++) {
    if (asked_again_[i] > now()) continue;
    if (!model_.is_asking(i)) {
      asked_again_[i] = kNever;
      continue;
    }
    asked_again_[i] = now() + kAskAgain;
    send(i, net_.server(asks_server_[i]), true);
  }
}

// ---- comparing

Model::Said Trial::said(size_t client) const {
  Model::Said s;
  const Host& h = net_.world().host(net_.client(client));
  if (!h.runs()) return s;
  s.connected = h.node->state() == controller::State::connected;
  for (size_t i = 0; i < kDevices; i++) {
    const auto group = h.node->client()->groups().find({net_.tun(i)});
    if (client_of(i) != client || group == h.node->client()->groups().end()) continue;
    const auto circuit = h.node->client()->circuits().find(group->second.active);
    if (circuit == h.node->client()->circuits().end() || circuit->second.state != node::Circuit::State::ready) continue;
    for (const node::Hop& hop : circuit->second.hops) s.paths[i].push_back(hop.relay.id);
  }
  return s;
}

void Trial::compare() {
  for (size_t i = 0; i < kClients; i++) wrong(model_.judge(now(), i, said(i)), i);
}

void Trial::wrong(const Wrong& w, size_t client) {
  if (w) net_.world().fail({"reference", kPromise, *w, {net_.client(client)}});
}

}  // namespace macrovpn::sim
