#include "shell/exit/rootless_exit.h"

#include <signal.h>
#include <sys/resource.h>

#include "shell/exit/host_networks.h"
#include "shell/exit/ping_exit.h"
#include "shell/exit/tcp_exit.h"
#include "shell/exit/udp_exit.h"

namespace macrovpn::shell {

using routing::ExitVerdict;
using routing::Unreachable;

namespace {

constexpr Duration kTick = 5s;
constexpr unsigned kTicksPerHostCheck = 6;
constexpr size_t kPacketsPerTurn = 256;

// A flow needs two descriptors, and two pipes' four while both ways hold bytes.
void raise_descriptor_limit() {
  rlimit r{};
  if (getrlimit(RLIMIT_NOFILE, &r) != 0) return;
  r.rlim_cur = r.rlim_max;
  setrlimit(RLIMIT_NOFILE, &r);
}

routing::ExitPolicy make_policy(const ExitConfig& c) {
  const HostNetworks host = read_host_networks();
  return {{c.extra_global, host.addresses, host.networks}, c.is_relay};
}

}  // namespace

// In the order in which each needs the ones before it.
struct RootlessExit::Parts {
  Parts(Reactor& r, Rng& rng, PacketPool& pool, ExitConfig c, OnPackets on_packets, ExitNamespace n)
      : reactor(r),
        config(std::move(c)),
        inside(std::move(n)),
        policy(make_policy(config)),
        out(r, pool,
            [this, f = std::move(on_packets)](std::span<Packet> packets) {
              counters.packets_out += packets.size();
              f(packets);
            }),
        context{reactor, config, policy, counters, out, mtus, {}},
        dns(context, rng),
        tcp(context, dns, inside),
        udp(context, inside,
            [this](LeaseNumber l, const Endpoint& from, const Endpoint& to, Bytes q) {
              dns.query(l, from, to, q);
            }),
        ping(context) {}

  Reactor& reactor;
  const ExitConfig config;
  ExitNamespace inside;
  routing::ExitPolicy policy;
  ExitCounters counters;
  std::unordered_map<LeaseNumber, uint16_t> mtus;
  PacketOutput out;
  std::vector<Packet> admitted, read;  // scratch
  ExitContext context;
  DnsService dns;
  TcpExit tcp;
  UdpExit udp;
  PingExit ping;
  Reactor::TimerId timer{kNever, 0};
  unsigned ticks = 0;

  bool admit(Packet& packet);
  bool admit_icmp(Bytes packet, const IpHeader&, LeaseNumber);
  void sort_out(std::vector<Packet>& packets);
};

Result<std::unique_ptr<RootlessExit>> RootlessExit::create(Reactor& reactor, Rng& rng, PacketPool& pool,
                                                           ExitConfig config, OnPackets on_packets) {
  TRY(ExitNamespace inside, make_exit_namespace(config.mtu, config.device));
  signal(SIGPIPE, SIG_IGN);
  raise_descriptor_limit();
  auto parts = std::make_unique<Parts>(reactor, rng, pool, std::move(config), std::move(on_packets),
                                       std::move(inside));
  return std::unique_ptr<RootlessExit>(new RootlessExit(std::move(parts)));
}

RootlessExit::RootlessExit(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {
  parts_->reactor.add(parts_->inside.device.fd(), EPOLLIN, [this](uint32_t) { on_device(); });
  parts_->timer = parts_->reactor.after(kTick, [this] { tick(); });
}

RootlessExit::~RootlessExit() {
  parts_->reactor.cancel(parts_->timer);
  parts_->reactor.remove(parts_->inside.device.fd());
}

void RootlessExit::inject(std::span<Packet> packets) {
  Parts& p = *parts_;
  p.counters.packets_in += packets.size();
  p.admitted.clear();
  for (Packet& packet : packets)
    if (p.admit(packet)) p.admitted.push_back(std::move(packet));
  p.counters.device_full += p.admitted.size() - p.inside.device.write_packets(p.admitted);
  p.admitted.clear();
}

// True: it goes into the private network.
bool RootlessExit::Parts::admit(Packet& packet) {
  const auto h = routing::parse_ip(packet.bytes());
  if (!h) {
    counters.malformed++;
    return false;
  }
  packet.truncate(h->size);
  const LeaseNumber lease = routing::lease_of_private(h->source);
  if (lease.value == 0) {
    counters.wrong_source++;
    return false;
  }
  switch (h->protocol) {
    case IpProtocol::tcp:
      routing::clamp_mss(packet.bytes(), *h, context.mtu_of(lease));
      return tcp.admit(packet, *h, lease);
    case IpProtocol::udp:
      return udp.admit(packet.bytes(), *h, lease);
    default:
      return admit_icmp(packet.bytes(), *h, lease);
  }
}

bool RootlessExit::Parts::admit_icmp(Bytes packet, const IpHeader& h, LeaseNumber lease) {
  ExitVerdict verdict = policy.judge(h);
  // Pings in fragments are not worth the machinery.
  if (verdict == ExitVerdict::allowed && h.fragment != routing::Fragment::none)
    verdict = ExitVerdict::protocol;
  if (verdict == ExitVerdict::allowed) {
    ping.send(packet, h, lease);
    return false;
  }
  counters.denied[static_cast<size_t>(verdict)]++;
  context.send_unreachable(packet, h, Unreachable::prohibited);
  return false;
}

void RootlessExit::on_device() {
  Parts& p = *parts_;
  auto& queue = p.out.queue();
  const auto status = p.inside.device.read_packets(p.out.pool(), queue, kPacketsPerTurn);
  p.sort_out(queue);
  p.out.pushed();
  if (status == PacketDevice::Status::gone) p.reactor.modify(p.inside.device.fd(), 0);
}

// Leaves what is for clients: the kernel's own words (router solicitations and the like) are not, and what is too big for a
// lease would be lost on the way, so that the kernel must hear of it: once a batch and lease is enough for all its connections.
void RootlessExit::Parts::sort_out(std::vector<Packet>& packets) {
  LeaseNumber newest{}, told{};
  uint16_t mtu = 0;
  routing::NewestSegments* sent = nullptr;
  read.clear();
  read.swap(packets);  // taken out first: an answer may put more into the queue
  for (Packet& packet : read) {
    const auto h = routing::parse_ip(packet.bytes());
    const LeaseNumber lease = h ? routing::lease_of_private(h->destination) : LeaseNumber{};
    if (lease.value == 0) continue;
    if (lease != newest) {
      newest = lease;
      mtu = context.mtu_of(lease);
      sent = context.newest_of(lease);
    }
    if (sent != nullptr) sent->on_packet(packet.bytes());
    if (mtu < config.mtu) routing::clamp_mss(packet.bytes(), *h, mtu);
    if (h->size <= mtu) {
      packets.push_back(std::move(packet));
    } else if (std::exchange(told, lease) != lease || !h->is_v4()) {
      context.answer_too_big(inside.device, packet.bytes(), *h, mtu);
    }
  }
  read.clear();
}

void RootlessExit::tick() {
  Parts& p = *parts_;
  const Mono now = p.context.now();
  p.tcp.sweep(now);
  p.udp.sweep(now);
  p.ping.sweep(now);
  p.dns.sweep(now);
  if (++p.ticks % kTicksPerHostCheck == 0) {
    HostNetworks host = read_host_networks();
    p.policy.set_own(std::move(host.addresses), std::move(host.networks));
  }
  p.timer = p.reactor.after(kTick, [this] { tick(); });
}

void RootlessExit::set_mtu(LeaseNumber lease, uint16_t mtu) {
  parts_->context.set_mtu(parts_->inside.device, lease, mtu);
}

void RootlessExit::forget(LeaseNumber lease) {
  parts_->tcp.forget(lease);
  parts_->udp.forget(lease);
  parts_->ping.forget(lease);
  parts_->dns.forget(lease);
  parts_->context.forget(lease);
}

const ExitCounters& RootlessExit::counters() const {
  return parts_->counters;
}

RootlessExit::Sizes RootlessExit::sizes() const {
  return {parts_->tcp.flows(), parts_->udp.ports(), parts_->ping.open(), parts_->dns.resolver().flights()};
}

PacketDevice::Kind RootlessExit::device_kind() const {
  return parts_->inside.device.kind();
}

}  // namespace macrovpn::shell
