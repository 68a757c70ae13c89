#include "sim/actors/adversaries.h"

namespace macrovpn::sim {
namespace {

using node::Datagram;

struct Random {
  SeededRng rng;
  bool chance(Ppm share) { return rng.below(kAlways) < share; }
};

class Dropper final : public Mischief {
 public:
  Dropper(Ppm share, SeededRng rng) : share_(share), random_{rng} {}
  const char* name() const override { return "drops datagrams"; }
  Verdict leaves(World&, Host&, Datagram&) override { return {!random_.chance(share_)}; }

 private:
  Ppm share_;
  Random random_;
};

class Delayer final : public Mischief {
 public:
  Delayer(Ppm share, Duration most, SeededRng rng) : share_(share), most_(most), random_{rng} {}
  const char* name() const override { return "delays datagrams"; }
  Verdict leaves(World&, Host&, Datagram&) override {
    if (!random_.chance(share_)) return {};
    return {true, random_.rng.between(Duration(1), most_)};
  }

 private:
  Ppm share_;
  Duration most_;
  Random random_;
};

class Tamperer final : public Mischief {
 public:
  Tamperer(Ppm share, SeededRng rng) : share_(share), random_{rng} {}
  const char* name() const override { return "changes datagrams"; }
  Verdict leaves(World&, Host&, Datagram& d) override {
    if (d.packet.size() == 0 || !random_.chance(share_)) return {};
    const uint64_t bit = random_.rng.below(d.packet.size() * 8);
    d.packet.data()[bit / 8] = static_cast<uint8_t>(d.packet.data()[bit / 8] ^ 1u << bit % 8);
    return {};
  }

 private:
  Ppm share_;
  Random random_;
};

class Replayer final : public Mischief {
 public:
  Replayer(Ppm share, SeededRng rng) : share_(share), random_{rng} {}
  const char* name() const override { return "sends datagrams again"; }
  Verdict leaves(World& w, Host& h, Datagram& d) override {
    if (!random_.chance(share_)) return {};
    const Duration after = random_.rng.between(1ms, 30s);
    Endpoint source{h.address, d.socket == kListenSocket ? kListenPort : kEgressPort};
    // An address that nobody has: what is sent there is lost, and counted.
    if (random_.chance(kAlways / 2)) source = {IpAddress::v4(9u << 24 | static_cast<uint32_t>(random_.rng.below(1u << 24))), 40'000};
    w.inject(h.id, source, d.remote, d.packet.bytes(), after);
    return {};
  }

 private:
  Ppm share_;
  Random random_;
};

// Clients call from the listening socket, relays from the other; transport messages have sizes of 0 mod 16 and are left as they are.
class Trimmer final : public Mischief {
 public:
  const char* name() const override { return "trims handshakes"; }
  Verdict leaves(World&, Host& h, Datagram& d) override {
    constexpr size_t kKept = 420;  // the message, and early data and trailer of two hops
    if (d.socket == (h.relays() ? kEgressSocket : kListenSocket) && d.packet.size() % 16 != 0 && d.packet.size() > kKept) d.packet.truncate(d.packet.size() - 100);
    return {};
  }
};

class Echoer final : public Mischief {
 public:
  const char* name() const override { return "sends its answers twenty times"; }
  Verdict leaves(World& w, Host& h, Datagram& d) override {
    if (d.socket != kListenSocket || d.packet.size() % 16 == 0) return {};
    for (int i = 1; i < 20; i++) w.inject(h.id, {h.address, kListenPort}, d.remote, d.packet.bytes(), Duration(0));
    return {};
  }
};

class Refuser final : public Mischief {
 public:
  explicit Refuser(const Coalition& c) : coalition_(c) {}
  const char* name() const override { return "serves only circuits of its fellows"; }
  // What calls other relays leaves by the egress socket.
  Verdict leaves(World& w, Host&, Datagram& d) override {
    if (d.socket != kEgressSocket) return {};
    const Host* to = w.host_at(d.remote.address);
    return {to != nullptr && coalition_.members.contains(to->id)};
  }

 private:
  const Coalition& coalition_;
};

}  // namespace

std::unique_ptr<Mischief> make_dropper(Ppm share, SeededRng rng) { return std::make_unique<Dropper>(share, rng); }
std::unique_ptr<Mischief> make_delayer(Ppm share, Duration most, SeededRng rng) {
  return std::make_unique<Delayer>(share, most, rng);
}
std::unique_ptr<Mischief> make_tamperer(Ppm share, SeededRng rng) { return std::make_unique<Tamperer>(share, rng); }
std::unique_ptr<Mischief> make_replayer(Ppm share, SeededRng rng) { return std::make_unique<Replayer>(share, rng); }
std::unique_ptr<Mischief> make_trimmer() { return std::make_unique<Trimmer>(); }
std::unique_ptr<Mischief> make_echoer() { return std::make_unique<Echoer>(); }
std::unique_ptr<Mischief> make_refuser(const Coalition& c) { return std::make_unique<Refuser>(c); }

void CollusionMeter::each_second(World& w) {
  if (coalition_.members.empty()) return;
  const auto is_member = [&](const node::Hop& hop) {
    const Host* h = w.relay_of(hop.relay.id);
    return h != nullptr && coalition_.members.contains(h->id);
  };
  for (const auto& h : w.hosts()) {
    if (h->kind != HostKind::client || !h->runs()) continue;
    for (const auto& [id, c] : h->node->client()->circuits()) {
      if (c.state != node::Circuit::State::ready || c.group.is_nobody()) continue;
      circuits_++;
      const bool first = is_member(c.hops.front()), last = is_member(c.hops.back());
      both_ += first && last;
      one_ += first != last;
    }
  }
}

}  // namespace macrovpn::sim
