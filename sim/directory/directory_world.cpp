#include "sim/directory/directory_world.h"

#include <algorithm>

#include "crypto/x25519.h"

namespace macrovpn::sim {
namespace {

using namespace discovery;

constexpr int32_t kWorldSide = 1 << 16;
constexpr Duration kNearest = 5ms, kFarthest = 170ms;
constexpr Duration kCallGivenUp = 5s, kRekey = 120s;
// WireGuard: nothing came back for 15 s after a message, then a handshake that nobody answers.
constexpr Duration kSilenceNoticed = 20s;
constexpr uint64_t kIpUdp = 28, kTransport = 32, kFrameHeader = 3;
constexpr uint64_t kHandshake = 700;  // one datagram of it, with the random padding that hides its size

uint64_t wire_size(size_t body) { return kIpUdp + kTransport + (body + kFrameHeader + 15) / 16 * 16; }

// Each relay in a /24 of its own, eight to a /16.
Endpoint endpoint_of(NodeNumber n) {
  return {IpAddress::v4(0x0a000000 + ((n / 8) << 16) + ((n % 8) << 8) + 1), 51820};
}

// What a relay of a public network says: 205 bytes of body with the rest.
RelayDetails typical_details() {
  RelayDetails d;
  d.price = PriceClass{30};
  d.tls = TlsEntry{443, {7}, "files.example"};
  d.work = WorkProof{694, 1, 2};
  return d;
}

// Six in a week, as each relay measures six others (core/discovery/measured.h), and 14 renewals in a week.
constexpr size_t kResultsInWeek = 6;
constexpr uint64_t kRenewalsInWeek = 14;

void add_result(MeasuredRelays& m, Rng& rng) {
  if (m.now.size() == kResultsInWeek) {
    m.week++;
    m.before = std::exchange(m.now, {});
  }
  m.now.push_back({rng.u64(), static_cast<uint8_t>(100 + rng.below(60))});
  std::sort(m.now.begin(), m.now.end());
}

}  // namespace

DirectoryWorld::DirectoryWorld(const DirectoryOptions& o)
    : streams_(o.seed), wire_(streams_.of("wire")), loss_percent_(o.loss_percent),
      now_{Mono(std::chrono::hours(1)), wall_from_unix(1'800'000'000)}, relay_count_(o.relays) {
  network_.id = {{1, 2, 3, 4, 5, 6, 7, 8}};
  network_.pow_bits = 0;
  nodes_.resize(o.relays);
  RelaySet all(network_);
  SetChanges changes;
  SeededRng& wire = wire_;
  for (NodeNumber n = 0; n < o.relays; n++) {
    Node& node = nodes_[n];
    node.rng = streams_.of("relay", n);
    node.key = crypto::ed25519_generate(node.rng);
    node.id = peer_id_of(node.key.pub);
    node.short_id = short_id_of(node.id);
    by_id_[node.id] = n;
    node.x = static_cast<int32_t>(wire.below(kWorldSide));
    node.y = static_cast<int32_t>(wire.below(kWorldSide));
    node.info.wireguard = crypto::x25519_generate(node.rng).pub;
    node.info.endpoints = {endpoint_of(n), {IpAddress::v6({0x3f, 0xff, static_cast<uint8_t>(n >> 8), static_cast<uint8_t>(n)}), 51820}};
    node.info.flags.bits = 7;
    node.info.region.code = {'N', 'O'};
    node.info.bandwidth = {10'000'000};
    node.info.created = now_.wall - std::chrono::hours(1000);
    node.info.as_number = 64500 + n % 100;
    node.details = typical_details();
    node.details.measured.emplace();
    for (uint64_t results = kResultsInWeek + 1 + node.rng.below(kResultsInWeek); results > 0; results--) add_result(*node.details.measured, node.rng);
    all.insert(sign(node, now_.wall - wire.between(1h, 11h)), changes);
  }
  for (NodeNumber n = 0; n < o.relays; n++) {
    nodes_[n].gossip = std::make_unique<Gossip>(all, nodes_[n].rng, nodes_[n].id);
    nodes_[n].deadline = heap_.add({kDeadline, n});
  }
  for (NodeNumber n = 0; n < o.relays; n++) {
    SyncOut out;
    nodes_[n].gossip->start(now_of(nodes_[n]), out);
    perform(n, out);
  }
}

const RelaySet& DirectoryWorld::set_of(NodeNumber n) const {
  return nodes_[n].gossip ? nodes_[n].gossip->set() : nodes_[n].client->set();
}

Duration DirectoryWorld::delay(const Node& a, const Node& b) const {
  const int64_t apart = std::abs(a.x - b.x) + std::abs(a.y - b.y);
  return kNearest + (kFarthest - kNearest) * apart / (2 * kWorldSide);
}

EntryPtr DirectoryWorld::remember(Bytes bytes) {
  auto opened = open_descriptor(bytes, network_.id);
  MV_ASSERT(opened.ok());
  EntryPtr e = make_entry(*std::move(opened), network_);
  MV_ASSERT(e);
  return verified_[digest_of(bytes)] = e;
}

EntryPtr DirectoryWorld::sign(Node& node, Wall when) {
  node.info.prekey = crypto::x25519_generate(node.rng).pub;
  return remember(sign_descriptor(node.info, network_.id, node.key, when, std::nullopt, node.details));
}

Item DirectoryWorld::renew(NodeNumber n) {
  Node& node = nodes_[n];
  const EntryPtr mine = node.gossip->set().find(node.short_id);
  const Now here = now_of(node);
  EntryPtr e;
  bool measured = false;
  for (size_t i = 0; i < kResultsInWeek; i++) {
    if (node.rng.below(kRenewalsInWeek) != 0) continue;
    measured = true;
    add_result(*node.details.measured, node.rng);
  }
  if (mine && !mine->convicted() && measured) {
    e = sign(node, next_signing_time(mine->descriptor.relay.signed_at, here.wall));
  } else if (mine && !mine->convicted()) {
    const Wall when = next_signing_time(mine->descriptor.relay.signed_at, here.wall);
    const auto renewal = sign_renewal(mine->descriptor, node.key, when, crypto::x25519_generate(node.rng).pub);
    std::vector<uint8_t> bytes(mine->descriptor.without_renewal().begin(), mine->descriptor.without_renewal().end());
    Writer(bytes).bytes(renewal);
    e = remember(bytes);
  } else {
    e = sign(node, here.wall);
  }
  node.gossip->publish(here, e);
  reschedule(n);
  return {e->short_id, e->seq};
}

Item DirectoryWorld::change(NodeNumber n) {
  Node& node = nodes_[n];
  node.info.bandwidth.bytes_per_second = node.info.bandwidth.bytes_per_second * 5 / 4;
  const EntryPtr mine = node.gossip->set().find(node.short_id);
  const Now here = now_of(node);
  const EntryPtr e = sign(node, mine ? next_signing_time(wall_from_unix(mine->seq), here.wall) : here.wall);
  node.gossip->publish(here, e);
  reschedule(n);
  return {e->short_id, e->seq};
}

Item DirectoryWorld::equivocate(NodeNumber who, NodeNumber one, NodeNumber other) {
  Node& node = nodes_[who];
  for (const NodeNumber teller : {one, other}) {
    node.info.as_number++;
    nodes_[teller].gossip->publish(now_of(nodes_[teller]), sign(node, now_.wall));
    reschedule(teller);
  }
  return {node.short_id, kConvicted};
}

void DirectoryWorld::renew_every(Duration d) {
  renew_every_ = d;
  for (NodeNumber n = 0; n < relay_count_ && d > Duration::zero(); n++) {
    renewals_.push_back(heap_.add({kRenewal, n}));
    heap_.schedule(renewals_.back(), now_.mono + wire_.between(Duration::zero(), d));
  }
}

NodeNumber DirectoryWorld::add_client() {
  const NodeNumber n = static_cast<NodeNumber>(nodes_.size());
  Node& node = nodes_.emplace_back();
  node.rng = streams_.of("client", n);
  node.x = static_cast<int32_t>(wire_.below(kWorldSide));
  node.y = static_cast<int32_t>(wire_.below(kWorldSide));
  node.client = std::make_unique<ClientCopy>(network_, node.rng);
  node.deadline = heap_.add({kDeadline, n});
  return n;
}

NodeNumber DirectoryWorld::add_source(const RelaySet& set, Manner manner) {
  const NodeNumber n = add_client();
  Node& node = nodes_[n];
  node.client.reset();
  node.rng.fill(node.id.bytes);
  node.gossip = std::make_unique<Gossip>(set, node.rng, node.id);
  node.manner = manner;
  return n;
}

EntryPtr DirectoryWorld::sign_stranger(const IpAddress& home, Wall when) {
  Node stranger;
  stranger.key = crypto::ed25519_generate(wire_);
  stranger.rng = SeededRng(wire_.u64());
  stranger.info = nodes_.front().info;
  stranger.info.endpoints = {{home, 51820}};
  stranger.info.wireguard = crypto::x25519_generate(wire_).pub;
  return sign(stranger, when);
}

EntryPtr DirectoryWorld::signed_by(NodeNumber n, Wall when) { return sign(nodes_[n], when); }

void DirectoryWorld::sync(NodeNumber c, const std::vector<NodeNumber>& sources) {
  std::vector<SyncSession> sessions;
  for (const NodeNumber s : sources) {
    const SyncSession id{next_session_++};
    shake(sessions_[id] = {c, s, now_.mono});
    sessions.push_back(id);
    SyncOut none;
    if (nodes_[s].alive) nodes_[s].gossip->on_session(now_of(nodes_[s]), id, {}, SyncRole::client, Opened::by_them, none);
  }
  SyncOut out;
  nodes_[c].client->sync(now_of(nodes_[c]), sessions, out);
  perform(c, out);
}

// Both ends pay one datagram of the handshake.
void DirectoryWorld::shake(Session& s) {
  s.handshake = now_.mono;
  for (const NodeNumber n : {s.a, s.b}) {
    nodes_[n].traffic.sent += kHandshake;
    nodes_[n].traffic.received += kHandshake;
  }
}

void DirectoryWorld::fly(Duration after, Flight f) {
  if (free_flights_.empty()) {
    free_flights_.push_back(static_cast<uint32_t>(flights_.size()));
    flights_.emplace_back().event = heap_.add({kArrival, free_flights_.back()});
  }
  const uint32_t n = free_flights_.back();
  free_flights_.pop_back();
  f.event = flights_[n].event;
  flights_[n] = std::move(f);
  heap_.schedule(flights_[n].event, now_.mono + after);
}

void DirectoryWorld::send(NodeNumber from, const SyncMessage& m) {
  const auto s = sessions_.find(m.to);
  if (s == sessions_.end()) return;
  if (now_.mono - s->second.handshake >= kRekey) shake(s->second);
  const NodeNumber to = other_end(s->second, from);
  nodes_[from].traffic.sent += wire_size(m.body.size());
  messages_++;
  if (!hears(nodes_[from], nodes_[to]) && !s->second.doomed) {
    s->second.doomed = true;
    fly(kSilenceNoticed, {What::closed, from, to, m.to, {}, {}, {}});
  }
  if (!hears(nodes_[from], nodes_[to]) || wire_.below(100) < loss_percent_) return;
  fly(delay(nodes_[from], nodes_[to]), {What::message, to, from, m.to, m.kind, m.body, {}});
}

void DirectoryWorld::call(NodeNumber from, NodeNumber to) {
  if (!hears(nodes_[from], nodes_[to])) {
    nodes_[from].traffic.sent += kHandshake;
    return fly(kCallGivenUp, {What::call_failed, from, to, {}, {}, {}, {}});
  }
  const SyncSession id{next_session_++};
  shake(sessions_[id] = {from, to, now_.mono});
  const Duration one_way = delay(nodes_[from], nodes_[to]);
  fly(one_way, {What::session_there, to, from, id, {}, {}, {}});
  fly(one_way * 2, {What::session_here, from, to, id, {}, {}, {}});
}

Result<EntryPtr, CheckFailure> DirectoryWorld::check(const Node& node, const SyncCheck& c) {
  uint64_t name = digest_of(c.bytes);
  if (c.base) name = folded_product(name, digest_of(c.base->descriptor.without_renewal()));
  auto known = verified_.find(name);
  if (known == verified_.end()) {
    const auto checked = run_check(c, network_, CheckDepth::signatures_and_work, now_of(node).wall);
    if (!checked.ok()) return checked.failure();
    known = verified_.emplace(name, *checked).first;
  }
  const EntryPtr& e = known->second;
  if (node.censor && std::binary_search(targets_.begin(), targets_.end(), e->short_id)) return Failure{CheckFailure::stale};
  if (c.kind != Datum::half && !check_times(e->descriptor.relay, now_of(node).wall).ok()) return Failure{CheckFailure::stale};
  return e;
}

void DirectoryWorld::perform(NodeNumber n, SyncOut& out) {
  Node& node = nodes_[n];
  while (!out.checks.empty()) {
    const auto checks = std::exchange(out.checks, {});
    for (const SyncCheck& c : checks) {
      const auto result = check(node, c);
      if (node.gossip) node.gossip->on_checked(now_of(node), c.id, result, out);
      if (node.client) node.client->on_checked(now_of(node), c.id, result, out);
    }
  }
  for (const SyncMessage& m : out.messages) send(n, m);
  for (const PeerId& id : out.calls) call(n, by_id_.at(id));
  for (const SyncSession id : out.hang_ups) {
    const auto s = sessions_.find(id);
    if (s == sessions_.end()) continue;
    const NodeNumber other = other_end(s->second, n);
    if (node.gossip) node.gossip->exchange().close(id);
    fly(delay(node, nodes_[other]), {What::closed, other, n, id, {}, {}, {}});
    sessions_.erase(s);
  }
  reschedule(n);
}

void DirectoryWorld::reschedule(NodeNumber n) {
  Node& node = nodes_[n];
  const Mono next = node.gossip ? node.gossip->next_deadline() : node.client->next_deadline();
  heap_.schedule(node.deadline, next == kNever ? kNever : std::max(next, now_.mono + 1ms));
}

void DirectoryWorld::hear(Node& to, const Now& here, const Flight& f, SyncOut& out) {
  to.traffic.received += wire_size(f.body.size());
  if (to.manner == Manner::silent) return;
  if (to.manner == Manner::says_equal) {
    const auto asked = f.kind == SyncKind::ranges ? parse_ranges(f.body) : std::nullopt;
    if (asked) out.messages.push_back({f.session, SyncKind::ranges, encode_ranges({asked->key, {}})});
    return;
  }
  if (to.gossip) to.gossip->on_message(here, f.session, f.kind, f.body, out);
  if (to.client) to.client->on_message(here, f.session, f.kind, f.body, out);
}

void DirectoryWorld::arrive(uint32_t number) {
  const Flight f = std::move(flights_[number]);
  flights_[number].event = f.event;
  free_flights_.push_back(number);
  Node& to = nodes_[f.to];
  if (!to.alive) return;
  trace_.add(static_cast<uint64_t>(f.what) << 56 | uint64_t{f.to} << 24 | f.from);
  trace_.add(digest_of(f.body) ^ static_cast<uint64_t>(now_.mono.time_since_epoch().count()));
  SyncOut out;
  const Now here = now_of(to);
  if (f.what == What::message) {
    hear(to, here, f, out);
  } else if (f.what == What::closed) {
    if (to.gossip) to.gossip->on_closed(here, f.session, out);
    if (to.client) to.client->on_closed(here, f.session, out);
  } else if (f.what == What::call_failed) {
    to.gossip->on_call_failed(here, nodes_[f.from].id, out);
  } else if (sessions_.contains(f.session)) {
    const Opened opened = f.what == What::session_here ? Opened::by_us : Opened::by_them;
    to.gossip->on_session(here, f.session, nodes_[f.from].id, SyncRole::relay, opened, out);
  }
  perform(f.to, out);
}

void DirectoryWorld::on_deadline(NodeNumber n) {
  Node& node = nodes_[n];
  if (!node.alive) return;
  SyncOut out;
  if (node.gossip) node.gossip->on_deadline(now_of(node), out);
  if (node.client) node.client->on_deadline(now_of(node), out);
  perform(n, out);
}

void DirectoryWorld::run_for(Duration d) {
  const Mono end = now_.mono + d;
  const Wall wall_end = now_.wall + d;
  while (heap_.next() <= end) {
    const EventHeap::Due due = heap_.pop();
    now_.wall += due.at - now_.mono;
    now_.mono = due.at;
    switch (due.subject.kind) {
      case kDeadline:
        on_deadline(due.subject.number);
        break;
      case kArrival:
        arrive(due.subject.number);
        break;
      default:
        if (nodes_[due.subject.number].alive) renew(due.subject.number);
        heap_.schedule(due.id, now_.mono + renew_every_ * 9 / 10 + wire_.between(Duration::zero(), renew_every_ / 5));
    }
  }
  now_ = {end, wall_end};
}

}  // namespace macrovpn::sim
