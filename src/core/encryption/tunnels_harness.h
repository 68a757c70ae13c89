// Tests only: nodes with Tunnels on a virtual clock, joined by a wire that a test can cut, copy and bend.
#pragma once
#include <deque>
#include <functional>
#include <map>

#include "core/encryption/tunnels.h"
#include "crypto/x25519.h"

namespace macrovpn::encryption {

struct TestNode {
  TestNode(uint64_t seed, const char* endpoint, const TunnelLimits& limits = {})
      : rng(seed),
        keys(crypto::x25519_generate(rng)),
        at(*Endpoint::parse(endpoint)),
        tunnels(keys, {1, 2, 3, 4, 5, 6, 7, 8}, ShardId{3}, pool, rng, limits) {}
  Route route() const { return Route::udp(kListenSocket, at, kPlain); }

  SeededRng rng;
  PacketPool pool;
  KeyPair keys;
  Endpoint at;
  Tunnels tunnels;
  std::vector<Event> events;
  std::vector<std::vector<uint8_t>> payloads;  // opened, without keepalives
  size_t keepalives = 0;
  std::map<MessageType, size_t> sent;
  Accepted accepted;             // the last
  std::map<Drop, size_t> drops;  // why messages were refused

  template <class E>
  size_t count() const {
    return static_cast<size_t>(std::count_if(events.begin(), events.end(),
                                             [](const Event& e) { return std::holds_alternative<E>(e); }));
  }
};

struct Flying {
  Route from, to;
  std::vector<uint8_t> bytes;
  MessageType type() const { return static_cast<MessageType>(bytes[0]); }
};

class TestWire {
 public:
  Now now{Mono(std::chrono::hours(1)), wall_from_unix(1'750'000'000)};
  // False: the wire loses it.
  std::function<bool(const Flying&)> passes = [](const Flying&) { return true; };
  std::vector<Flying> seen;  // all that was sent, lost or not

  void add(TestNode& n) { nodes_[n.at] = &n; }
  void move(TestNode& n, const char* endpoint) {
    nodes_.erase(n.at);
    n.at = *Endpoint::parse(endpoint);
    nodes_[n.at] = &n;
  }

  void take(TestNode& n, Out& out) {
    n.events.insert(n.events.end(), out.events.begin(), out.events.end());
    for (Outgoing& m : out.messages) put(n, m.route, m.packet.bytes());
    out.messages.clear();
    out.events.clear();
  }
  void put(TestNode& n, const Route& to, Bytes bytes) {
    Flying f{n.route(), to, {bytes.begin(), bytes.end()}};
    n.sent[f.type()]++;
    seen.push_back(f);
    if (passes(f)) queue_.push_back(std::move(f));
  }

  // Everything in flight arrives, and what that causes.
  void settle() {
    while (!queue_.empty()) {
      const Flying f = std::move(queue_.front());
      queue_.pop_front();
      const auto to = nodes_.find(f.to.endpoint);
      if (to != nodes_.end()) deliver(*to->second, f);
    }
  }
  void advance(Duration by) {
    const Mono end = now.mono + by;
    for (;;) {
      Mono next = kNever;
      for (const auto& [at, n] : nodes_) next = std::min(next, n->tunnels.next_deadline());
      if (next > end) break;
      step_to(std::max(next, now.mono));
      for (const auto& [at, n] : nodes_) {
        if (n->tunnels.next_deadline() > now.mono) continue;
        Out out;
        n->tunnels.on_deadline(now, out);
        take(*n, out);
        n->tunnels.check_invariants();
      }
      settle();
    }
    step_to(end);
  }

  Drop deliver(TestNode& n, const Flying& f, const std::optional<PeerId>& relay = {}, Bytes early = {}) {
    Out out;
    const Drop d = dispatch(n, f, relay, early, out);
    if (d != Drop::none) n.drops[d]++;
    take(n, out);
    n.tunnels.check_invariants();
    return d;
  }

  Drop send(TestNode& n, PeerRef to, Bytes payload) {
    Packet p = n.pool.copy_of(payload);
    SealJob job{to, &p, {}, Drop::none};
    Out out;
    n.tunnels.seal_batch(now, {&job, 1}, out);
    if (job.result == Drop::none) put(n, job.route, p.bytes());
    take(n, out);
    n.tunnels.check_invariants();
    return job.result;
  }
  // The hop's first handshake, as whoever builds circuits sends it.
  Initiation call(TestNode& n, PeerRef hop) {
    const auto made = n.tunnels.start_handshake(now, hop);
    put(n, n.tunnels.info(hop)->route, made->message);
    return *made;
  }

 private:
  void step_to(Mono t) {
    now.wall += t - now.mono;
    now.mono = t;
  }
  Drop dispatch(TestNode& n, const Flying& f, const std::optional<PeerId>& relay, Bytes early, Out& out) {
    switch (f.type()) {
      case MessageType::initiation: {
        auto a =
            n.tunnels.on_initiation(now, {f.from, f.bytes.size() + early.size(), relay}, f.bytes, early, out);
        if (!a) return a.error();
        n.accepted = std::move(*a);
        return Drop::none;
      }
      case MessageType::response:
        return n.tunnels.on_response(now, f.from, f.bytes, out);
      case MessageType::cookie_reply:
        return n.tunnels.on_cookie_reply(now, f.from, f.bytes);
      case MessageType::transport:
        break;
    }
    Packet p = n.pool.copy_of(f.bytes);
    OpenJob job{&p, f.from, {}, Drop::none};
    n.tunnels.open_batch(now, {&job, 1}, out);
    if (job.result != Drop::none) return job.result;
    if (p.size() == 0) {
      n.keepalives++;
    } else {
      n.payloads.emplace_back(p.data(), p.data() + p.size());
    }
    return Drop::none;
  }

  std::map<Endpoint, TestNode*> nodes_;
  std::deque<Flying> queue_;
};

// A minimal IPv4 packet.
inline std::vector<uint8_t> ip_packet(const char* source, const char* destination, size_t size = 28) {
  std::vector<uint8_t> p(size);
  p[0] = 0x45;
  store_be16(&p[2], static_cast<uint16_t>(size));
  const auto s = *IpAddress::parse(source), d = *IpAddress::parse(destination);
  std::copy(s.bytes().begin(), s.bytes().end(), p.begin() + 12);
  std::copy(d.bytes().begin(), d.bytes().end(), p.begin() + 16);
  return p;
}

}  // namespace macrovpn::encryption
