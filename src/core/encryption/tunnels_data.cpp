// Data packets, a batch at a time and in place: find keys and frame (or check) each, run the AEAD over all,
// then do what follows for each.  A batch mostly belongs to one or two peers, so what a look-up found is kept
// for the next.
#include "core/encryption/tunnels_impl.h"

namespace macrovpn::encryption {
namespace {

constexpr size_t kPadding = 16;

size_t padding_of(const Peer& p, size_t n) {
  const size_t wanted = (kPadding - n % kPadding) % kPadding;
  if (!p.configured) return wanted;
  return std::min(wanted, p.configured->mtu - std::min(p.configured->mtu, n));
}

bool fits(const Packet& p, size_t padding) {
  return p.headroom() >= kTransportHeader && p.tailroom() >= padding + crypto::kTagSize;
}

Payload payload_of(size_t size) {
  return size == 0 ? Payload::keepalive : Payload::data;
}

}  // namespace

// ---- sealing

void Tunnels::Impl::frame(Session& s, Packet& p, size_t padding, crypto::AeadJob& job) {
  static_assert(kPadding <= crypto::kTagSize);
  const auto size = static_cast<uint32_t>(p.size() + padding);
  std::memset(p.push_back(padding + crypto::kTagSize), 0, kPadding);  // of one size, as the tag comes over the rest
  uint8_t* header = p.push_front(kTransportHeader);
  const uint64_t counter = s.send_counter++;
  store_le32(header, static_cast<uint32_t>(MessageType::transport));
  store_le32(header + 4, s.remote.value);
  store_le64(header + 8, counter);
  if (witness != nullptr) witness->seals(s.send, counter);
  job = {&s.send, counter, header + kTransportHeader, size, false};
}

Drop Tunnels::Impl::prepare_seal(Now now, SealJob& job, Departure& run, Out& out) {
  Peer& p = *run.peer;
  Packet& packet = *job.packet;
  const size_t padding = padding_of(p, packet.size());
  if (!fits(packet, padding)) return Drop::too_large;
  if (run.session == nullptr || !may_seal(*run.session, now.mono)) {
    if (!p.configured) return run.session == nullptr ? Drop::no_session : Drop::expired;
    stage(now, p, std::move(packet), out);
    return Drop::staged;
  }
  if (p.route.kind == Route::Kind::none) return Drop::no_route;
  job.route = p.route;
  if (packet.size() != 0) run.payload = Payload::data;
  frame(*run.session, packet, padding, jobs.emplace_back());
  run.packets++;
  run.bytes += packet.size();
  return Drop::none;
}

// What is the same for all packets of a run to one peer is looked up, and done afterwards, once.
void Tunnels::Impl::seal_batch(Now now, std::span<SealJob> batch, Out& out) {
  departures.clear();
  jobs.clear();
  for (size_t i = 0; i < batch.size();) {
    const PeerRef ref = batch[i].peer;
    Departure run{.peer = peers.find(ref)};
    if (run.peer != nullptr) {
      run.session = run.peer->sessions.current.get();
      if (run.session == nullptr && run.peer->half_open()) run.session = run.peer->sessions.next.get();
    }
    for (; i < batch.size() && batch[i].peer == ref; i++) {
      SealJob& job = batch[i];
      job.result = counted(run.peer == nullptr ? Drop::unknown_peer : prepare_seal(now, job, run, out));
    }
    if (run.packets != 0) departures.push_back(run);
  }
  aead.seal(jobs);
  for (const Departure& run : departures) after_sent(now, *run.peer, *run.session, run.payload, run.bytes, out);
}

void Tunnels::Impl::after_sent(Now now, Peer& p, const Session& s, Payload payload, size_t bytes, Out& out) {
  p.tx_bytes += bytes;
  if (p.kind == PeerKind::ephemeral) return;
  const bool worn = s.send_counter >= limits.rekey_after_messages;
  if (p.hop) {
    const bool idle_before = payload == Payload::data && p.hop->timers.on_data_sent(now.mono);
    if (idle_before || (worn && p.hop->timers.may_initiate(now.mono))) initiate(now, p, Reason::rekey, out);
    return;
  }
  p.configured->timers.on_sent(now.mono, payload, rng);
  const bool old = s.role == Role::initiator && now.mono - s.created >= kRekeyAfterTime;
  if (worn || old) initiate(now, p, Reason::rekey, out);
  touch(p);
}

void Tunnels::Impl::stage(Now now, Peer& p, Packet packet, Out& out) {
  auto& staged = p.configured->staged;
  staged.push_back(std::move(packet));
  if (staged.size() > limits.staged_packets) {
    staged.pop_front();
    counted(Drop::queue_full);
  }
  initiate(now, p, Reason::rekey, out);
}

void Tunnels::Impl::send_one(Now now, Peer& p, Packet packet, Out& out) {
  Session& s = *p.sessions.current;
  const Payload payload = payload_of(packet.size());
  crypto::AeadJob job;
  frame(s, packet, padding_of(p, packet.size()), job);
  crypto::aead_seal(*job.key, job.counter, {}, {job.data, job.size}, {job.data, job.size + crypto::kTagSize});
  const size_t size = packet.size();
  out.messages.push_back({p.ref, p.route, std::move(packet)});
  after_sent(now, p, s, payload, size, out);
}

void Tunnels::Impl::flush_staged(Now now, Peer& p, Out& out) {
  auto& staged = p.configured->staged;
  while (!staged.empty() && p.sessions.current && may_seal(*p.sessions.current, now.mono) &&
         p.route.kind != Route::Kind::none) {
    Packet packet = std::move(staged.front());
    staged.pop_front();
    send_one(now, p, std::move(packet), out);
  }
}

void Tunnels::Impl::send_keepalive(Now now, Peer& p, Out& out) {
  const bool usable = p.sessions.current && may_seal(*p.sessions.current, now.mono);
  if (usable && p.route.kind != Route::Kind::none) return send_one(now, p, pool.take(), out);
  if (usable || !p.configured) return;
  if (p.configured->staged.empty()) return stage(now, p, pool.take(), out);
  initiate(now, p, Reason::rekey, out);
}

// ---- opening

// Hops and legs are where they are; strangers and configured peers speak over UDP from anywhere.
bool Tunnels::Impl::accepts_from(const Peer& p, const Route& from) const {
  if (p.kind != PeerKind::hop) return from.kind == Route::Kind::udp;
  if (p.route.kind == Route::Kind::leg) return from.kind == Route::Kind::leg && from == p.route;
  return from.kind == p.route.kind;
}

void Tunnels::Impl::note_source(Peer& p, const Route& from, Out& out) {
  const bool stays = p.kind == PeerKind::hop || (p.kind == PeerKind::ephemeral && p.ephemeral.fixed_route);
  if (p.configured && p.route.kind == Route::Kind::udp && p.route.endpoint != from.endpoint)
    out.events.push_back(PeerMoved{p.ref});
  if (!stays) {
    p.route = from;
  } else if (from.kind == Route::Kind::udp && from.endpoint == p.route.endpoint) {
    p.route.mask = from.mask;  // a session answers as it was last spoken to
  }
}

Drop Tunnels::Impl::prepare_open(Mono now, const OpenJob& job, Work& w) {
  const Bytes m = std::as_const(*job.packet).bytes();
  if (!is_message(m) || m[0] != static_cast<uint8_t>(MessageType::transport)) return Drop::malformed;
  const SessionIndex index = receiver_index(m);
  if (w.session == nullptr || w.session->local != index) {
    w.peer = indexes.find(index);
    w.session = w.peer ? w.peer->sessions.find(index) : nullptr;
  }
  if (w.session == nullptr || !accepts_from(*w.peer, job.from)) return Drop::unknown_index;
  if (w.session->expired(now) || load_le64(m.data() + 8) >= limits.reject_after_messages)
    return Drop::expired;
  return Drop::none;
}

void Tunnels::Impl::open_batch(Now now, std::span<OpenJob> batch, Out& out) {
  work.clear();
  jobs.clear();
  Work w{};
  for (size_t i = 0; i < batch.size(); i++) {
    OpenJob& job = batch[i];
    job.result = prepare_open(now.mono, job, w);
    if (job.result != Drop::none) {
      counted(job.result);
      continue;
    }
    Packet& p = *job.packet;
    w.job = i;
    w.payload = payload_of(p.size() - kTransportOverhead);
    jobs.push_back({&w.session->receive, load_le64(p.data() + 8), p.data() + kTransportHeader,
                    static_cast<uint32_t>(p.size() - kTransportOverhead), false});
    work.push_back(w);
  }
  aead.open(jobs);
  for (size_t i = 0; i < work.size();) {
    Arrival run{work[i].peer, work[i].session};
    for (; i < work.size() && work[i].session == run.session; i++) {
      OpenJob& job = batch[work[i].job];
      job.result = counted(jobs[i].ok ? finish_open(now, job, work[i].payload, run, out) : Drop::bad_tag);
    }
    if (run.from != nullptr) after_received(now, run, out);
  }
  retired.clear();
}

Drop Tunnels::Impl::finish_open(Now now, OpenJob& job, Payload payload, Arrival& run, Out& out) {
  Peer& p = *run.peer;
  if (!run.session->window.accept(load_le64(job.packet->data() + 8))) return Drop::replayed_counter;
  job.peer = p.ref;
  run.bytes += job.packet->size();
  run.from = &job.from;
  if (payload == Payload::data) run.payload = payload;
  if (run.session == p.sessions.next.get()) {
    run.confirmed = true;
    confirm(now.mono, p, job.from, out);
  }
  job.packet->pop_front(kTransportHeader);
  job.packet->truncate(job.packet->size() - crypto::kTagSize);
  return deliver(p, *job.packet);
}

// Once for a run of packets from one session.
void Tunnels::Impl::after_received(Now now, const Arrival& run, Out& out) {
  Peer& p = *run.peer;
  p.rx_bytes += run.bytes;
  p.last_received = now.mono;
  note_source(p, *run.from, out);
  if (p.configured) {
    p.configured->timers.on_received(now.mono, run.payload);
    if (run.confirmed) flush_staged(now, p, out);
    const Session* s = p.sessions.current.get();
    if (s != nullptr && s->role == Role::initiator && now.mono - s->created >= kRekeyOnReceiveAfter &&
        p.configured->timers.take_last_minute()) {
      initiate(now, p, Reason::rekey, out);
    }
  }
  if (p.configured || run.confirmed) touch(p);
}

// What a configured peer sends must be an IP packet from an address that is its own.
Drop Tunnels::Impl::deliver(const Peer& p, Packet& packet) {
  if (!p.configured || packet.size() == 0) return Drop::none;
  const auto inner = parse_inner_packet(packet.bytes());
  if (!inner) return Drop::malformed;
  const auto& shared = p.configured->shared_sources;
  if (allowed.find(inner->source) != p.ref && std::find(shared.begin(), shared.end(), inner->source) == shared.end())
    return Drop::not_allowed_ip;
  packet.truncate(inner->length);
  return Drop::none;
}

// Gives up a session whose keys jobs of the running batch may still use.
void Tunnels::Impl::retire(SessionPtr& s) {
  if (!s) return;
  indexes.erase(s->local);
  retired.push_back(std::move(s));
}

}  // namespace macrovpn::encryption
