#include "shell/exit/kernel_exit.h"

#include "shell/exit/dns_service.h"
#include "shell/exit/exit_context.h"
#include "shell/exit/host_networks.h"
#include "shell/exit/kernel_forwarding.h"

namespace macrovpn::shell {

using routing::ExitVerdict;
using routing::Fragment;
using routing::Unreachable;

namespace {

constexpr Duration kTick = 5s;
constexpr unsigned kTicksPerHostCheck = 6;
constexpr size_t kPacketsPerTurn = 256;

}  // namespace

struct KernelExit::Parts {
  Parts(Reactor& r, Rng& rng, PacketPool& pool, ExitConfig c, OnPackets on_packets, KernelForwarding f)
      : reactor(r),
        config(std::move(c)),
        forwarding(std::move(f)),
        policy({config.extra_global, {}, {}}, config.is_relay),
        out(r, pool,
            [this, g = std::move(on_packets)](std::span<Packet> packets) {
              counters.packets_out += packets.size();
              g(packets);
            }),
        context{reactor, config, policy, counters, out, mtus, {}},
        dns(context, rng) {
    read_host();
  }
  void read_host() {
    HostNetworks host = read_host_networks();
    policy.set_own(std::move(host.addresses), std::move(host.networks));
  }

  Reactor& reactor;
  const ExitConfig config;
  KernelForwarding forwarding;
  routing::ExitPolicy policy;
  ExitCounters counters;
  std::unordered_map<LeaseNumber, uint16_t> mtus;
  PacketOutput out;
  std::vector<Packet> admitted;  // scratch
  ExitContext context;
  DnsService dns;
  Reactor::TimerId timer{kNever, 0};
  unsigned ticks = 0;

  bool admit(Packet& packet);
  void answer_dns(Bytes packet, const IpHeader&, LeaseNumber);
  bool deliver(Packet& packet);
};

Result<std::unique_ptr<KernelExit>> KernelExit::create(Reactor& reactor, Rng& rng, PacketPool& pool,
                                                       ExitConfig config, OnPackets on_packets) {
  if (config.listen_port >= kFirstClientPort)
    return fail("an exit through the kernel sends clients' traffic from the ports " +
                std::to_string(kFirstClientPort) + " to 65535: let the relay --listen on a lower one");
  TRY(KernelForwarding f, KernelForwarding::set_up(config.mtu, config.place));
  auto parts =
      std::make_unique<Parts>(reactor, rng, pool, std::move(config), std::move(on_packets), std::move(f));
  return std::unique_ptr<KernelExit>(new KernelExit(std::move(parts)));
}

KernelExit::KernelExit(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {
  parts_->reactor.add(parts_->forwarding.device().fd(), EPOLLIN, [this](uint32_t) { on_device(); });
  parts_->timer = parts_->reactor.after(kTick, [this] { tick(); });
}

KernelExit::~KernelExit() {
  parts_->reactor.cancel(parts_->timer);
  parts_->reactor.remove(parts_->forwarding.device().fd());
}

void KernelExit::inject(std::span<Packet> packets) {
  Parts& p = *parts_;
  p.counters.packets_in += packets.size();
  p.admitted.clear();
  for (Packet& packet : packets)
    if (p.admit(packet)) p.admitted.push_back(std::move(packet));
  p.counters.device_full += p.admitted.size() - p.forwarding.device().write_packets(p.admitted);
  p.admitted.clear();
}

bool KernelExit::Parts::admit(Packet& packet) {
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
  const ExitVerdict verdict = policy.judge(*h);
  if (verdict == ExitVerdict::dns) {
    answer_dns(packet.bytes(), *h, lease);
    return false;
  }
  if (verdict != ExitVerdict::allowed) {
    counters.denied[static_cast<size_t>(verdict)]++;
    context.send_unreachable(packet.bytes(), *h, Unreachable::prohibited);
    return false;
  }
  routing::clamp_mss(packet.bytes(), *h, context.mtu_of(lease));
  return true;
}

// UDP is answered packet by packet.  TCP is refused: it would need a listener in the host's own network
// behind a DNAT rule, which opens to the tunnel what every other rule here keeps shut.  A client meets it
// only for answers above 1232 bytes; RootlessExit, the default, answers both.
void KernelExit::Parts::answer_dns(Bytes packet, const IpHeader& h, LeaseNumber lease) {
  if (h.protocol == IpProtocol::tcp) return context.send_reset(packet, h);
  if (h.fragment != Fragment::none) return;
  dns.query(lease, {h.source, h.source_port}, {h.destination, h.destination_port},
            packet.subspan(h.payload_at + 8u, h.size - h.payload_at - 8u));
}

// What came from the kernel; false: not for a client.  The answer to what is too big for a lease goes back
// the way it came, where the kernel translates it as part of its connection.
bool KernelExit::Parts::deliver(Packet& packet) {
  const auto h = routing::parse_ip(packet.bytes());
  if (!h) return false;
  const LeaseNumber lease = routing::lease_of_private(h->destination);
  if (lease.value == 0) return false;
  const uint16_t mtu = context.mtu_of(lease);
  routing::clamp_mss(packet.bytes(), *h, mtu);
  if (routing::NewestSegments* sent = context.newest_of(lease)) sent->on_packet(packet.bytes());
  if (h->size <= mtu) return true;
  context.answer_too_big(forwarding.device(), packet.bytes(), *h, mtu);
  return false;
}

void KernelExit::on_device() {
  Parts& p = *parts_;
  std::vector<Packet> batch;
  const auto status = p.forwarding.device().read_packets(p.out.pool(), batch, kPacketsPerTurn);
  for (Packet& packet : batch)
    if (p.deliver(packet)) p.out.push(std::move(packet));
  if (status == PacketDevice::Status::gone) p.reactor.modify(p.forwarding.device().fd(), 0);
}

void KernelExit::tick() {
  Parts& p = *parts_;
  p.dns.sweep(p.context.now());
  if (++p.ticks % kTicksPerHostCheck == 0) p.read_host();
  p.timer = p.reactor.after(kTick, [this] { tick(); });
}

void KernelExit::set_mtu(LeaseNumber lease, uint16_t mtu) {
  parts_->context.set_mtu(parts_->forwarding.device(), lease, mtu);
}

void KernelExit::forget(LeaseNumber lease) {
  parts_->dns.forget(lease);
  parts_->context.forget(lease);
}

const ExitCounters& KernelExit::counters() const {
  return parts_->counters;
}
const std::string& KernelExit::device_name() const {
  return parts_->forwarding.name();
}

}  // namespace macrovpn::shell
