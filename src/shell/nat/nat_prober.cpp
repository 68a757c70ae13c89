#include "shell/nat/nat_prober.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>

#include "core/encryption/header_mask.h"
#include "shell/clock.h"
#include "shell/driver/own_addresses.h"
#include "shell/driver/udp_socket.h"
#include "shell/system/names.h"

namespace macrovpn::shell {

namespace stun = discovery::stun;
using discovery::NatProbe;
using discovery::StunServer;

namespace {

constexpr size_t kRandomMore = 64;  // of padding

struct Server {
  StunServer what;
  std::optional<encryption::MaskKey> mask;
};

std::vector<Server> servers_of(const NatQuestion& q) {
  std::vector<Server> out;
  for (const Endpoint& e : q.servers) out.push_back({{StunServer::Kind::stun, {}, e}, {}});
  for (const RelayInfo& r : q.relays) {
    const auto e = endpoint_in(r, q.family);
    if (e && q.servers.empty()) out.push_back({{StunServer::Kind::relay, r.id, *e}, encryption::MaskKey(q.network.bytes, r.wireguard)});
  }
  while (out.size() > NatProbe::kMostServers) out.pop_back();
  return out;
}

// As the system sees us: its mark leads past the tunnel of `macrovpn up`, if we may set it.
uint32_t mark() {
  return geteuid() == 0 ? system::kMark : 0;
}

class Session {
 public:
  static Result<Session> open(const NatQuestion& q, Rng& rng) {
    Session s(q, rng);
    if (s.servers_.empty()) return fail("no relay is known that could be asked");
    const IpFamily family = s.servers_.front().what.endpoint.address.family();
    const auto local = outward_address(family, mark());
    if (!local) return fail("this computer has no route to the Internet");
    s.local_ = *local;
    const IpAddress any = family == IpFamily::v4 ? IpAddress() : IpAddress::v6(ByteArray<16>{});
    TRY(s.socket_, UdpSocket::open({any, 0}, mark()));
    return s;
  }
  Endpoint local() const { return {local_, socket_->port()}; }
  const std::vector<Server>& servers() const { return servers_; }

  void send(size_t server, Bytes message, size_t size) {
    const Server& to = servers_[server];
    Packet p = pool_->copy_of(message);
    if (to.mask) {
      encryption::append_padding(p, rng_, std::min(size, encryption::kMaxHandshakeDatagram));
      to.mask->mask_handshake(p.bytes());
    }
    std::vector<node::Datagram> batch;
    batch.push_back({SocketId{}, to.what.endpoint, std::move(p), {}});
    socket_->send(batch);
  }
  // What came until then, with its masks off.
  template <class F>
  void receive(Mono until, const F& f) {
    const Duration left = std::max(until - read_clocks().mono, Duration(0));
    pollfd p{socket_->fd(), POLLIN, 0};
    poll(&p, 1, static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(left).count()));
    std::vector<node::Datagram> batch;
    socket_->receive({}, *pool_, batch);
    for (node::Datagram& d : batch) {
      if (const auto m = read(d)) f(d.remote, *m);
    }
  }

 private:
  Session(const NatQuestion& q, Rng& rng) : rng_(rng), pool_(std::make_unique<PacketPool>()), servers_(servers_of(q)) {}
  std::optional<stun::Message> read(node::Datagram& d) const {
    for (const Server& s : servers_) {
      if (s.what.endpoint.address != d.remote.address && s.mask) continue;
      if (!s.mask) return stun::read(d.packet.bytes(), stun::Extent::exact);
      if (s.mask->unmask_stun(d.packet.bytes())) return stun::read(d.packet.bytes(), stun::Extent::shorter);
    }
    return std::nullopt;
  }

  Rng& rng_;
  std::unique_ptr<PacketPool> pool_;
  std::vector<Server> servers_;
  IpAddress local_;
  std::optional<UdpSocket> socket_;
};

}  // namespace

std::optional<Endpoint> endpoint_in(const RelayInfo& r, IpFamily family) {
  for (const Endpoint& e : r.endpoints) {
    if (e.address.family() == family) return e;
  }
  return std::nullopt;
}

Result<discovery::NatReport> probe_nat(const NatQuestion& question, Rng& rng) {
  TRY(Session session, Session::open(question, rng));
  std::vector<StunServer> servers;
  for (const Server& s : session.servers()) servers.push_back(s.what);
  NatProbe probe(std::move(servers), session.local(), rng);
  probe.start(read_clocks().mono);
  while (!probe.done()) {
    for (const auto& s : probe.take()) session.send(s.server, s.message, s.least + rng.below(kRandomMore));
    session.receive(probe.next_deadline(),
                    [&](const Endpoint& from, const stun::Message& m) { probe.on_answer(read_clocks().mono, from, m); });
    probe.on_deadline(read_clocks().mono);
  }
  return probe.report();
}

Result<std::vector<std::optional<Duration>>> reaches(const NatQuestion& question, size_t size, Rng& rng) {
  TRY(Session session, Session::open(question, rng));
  const size_t n = session.servers().size();
  std::vector<std::optional<Duration>> out(n);
  const auto all = [&] { return std::all_of(out.begin(), out.end(), [](const auto& d) { return d.has_value(); }); };
  for (int i = 0; i < 3 && !all(); i++) {
    std::vector<stun::TransactionId> ids(n);
    const Mono sent = read_clocks().mono;
    for (size_t s = 0; s < n; s++) {
      ids[s] = rng.bytes<12>();
      if (!out[s]) session.send(s, stun::write_request(ids[s]), size);
    }
    while (!all() && read_clocks().mono < sent + 700ms) {
      session.receive(sent + 700ms, [&](const Endpoint& from, const stun::Message& m) {
        for (size_t s = 0; s < n; s++) {
          if (!out[s] && m.id == ids[s] && m.mapped && from == session.servers()[s].what.endpoint) out[s] = read_clocks().mono - sent;
        }
      });
    }
  }
  return out;
}

}  // namespace macrovpn::shell
