#include "shell/exit/ping_exit.h"

#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <sys/socket.h>

#include <cerrno>

#include "shell/clock.h"
#include "shell/exit/socket_address.h"

namespace macrovpn::shell {
namespace {

constexpr unsigned kReadsPerTurn = 32;
constexpr size_t kIcmpHeader = 8;

uint8_t reply_type(IpFamily f) {
  return f == IpFamily::v4 ? 0 : 129;
}

Fd open_raw(IpFamily f) {
  Fd fd = f == IpFamily::v4 ? open_socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)
                            : open_socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6);
  if (!fd) return fd;
  if (f == IpFamily::v4) {
    const icmp_filter only{~(1u << reply_type(f))};
    setsockopt(fd.get(), SOL_RAW, ICMP_FILTER, &only, sizeof only);
  } else {
    icmp6_filter only;
    std::fill(std::begin(only.data), std::end(only.data), ~0u);
    only.data[reply_type(f) / 32] &= ~(1u << reply_type(f) % 32);
    setsockopt(fd.get(), SOL_ICMPV6, ICMPV6_FILTER, &only, sizeof only);
  }
  return fd;
}

Fd open_datagram(IpFamily f) {
  return f == IpFamily::v4 ? open_socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP)
                           : open_socket(AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6);
}

}  // namespace

PingExit::PingExit(ExitContext& context)
    : context_(context), next_id_(static_cast<uint16_t>(OsRng().u32())) {}

PingExit::~PingExit() {
  while (!pings_.empty()) close(pings_.begin());
}

void PingExit::send(Bytes packet, const IpHeader& h, LeaseNumber lease) {
  Ping* p = find_or_open({lease, h.destination.family(), h.source_port});
  if (p == nullptr) return;
  p->last = context_.now();
  const Bytes in = packet.subspan(h.payload_at, h.size - h.payload_at);
  std::vector<uint8_t> icmp(in.begin(), in.end());
  // A ping socket writes id and checksum itself; the kernel does an ICMPv6 checksum in any case.
  store_be16(&icmp[4], p->outside_id);
  store_be16(&icmp[2], 0);
  if (h.is_v4()) store_be16(&icmp[2], routing::internet_checksum(icmp));
  const SocketAddress to({h.destination, 0});
  if (sendto(p->socket.get(), icmp.data(), icmp.size(), MSG_NOSIGNAL, to.data(), to.size) >= 0) {
    context_.counters.pings++;
  } else if (errno != EAGAIN && errno != ENOBUFS && errno != EMSGSIZE) {
    context_.send_unreachable(packet, h, unreachable_of(errno));
  }
}

PingExit::Ping* PingExit::find_or_open(const Key& key) {
  if (const auto it = pings_.find(key); it != pings_.end()) return it->second.get();
  const ExitLimits& limits = context_.config.limits;
  if (pings_.size() >= limits.pings || per_lease_.count(key.lease) >= limits.pings_per_lease) {
    context_.counters.pings_full++;
    return nullptr;
  }
  auto p = std::make_unique<Ping>(
      Ping{key, Kind::datagram, open_datagram(key.family), next_id_++, context_.now()});
  if (!p->socket) {
    p->kind = Kind::raw;
    p->socket = open_raw(key.family);
  }
  if (!p->socket) {
    context_.counters.pings_impossible++;
    return nullptr;
  }
  context_.reactor.add(p->socket.get(), EPOLLIN, [this, ping = p.get()](uint32_t) { on_readable(*ping); });
  per_lease_.add(key.lease);
  return pings_.emplace(key, std::move(p)).first->second.get();
}

void PingExit::on_readable(Ping& p) {
  uint8_t buffer[kPacketMax];
  for (unsigned i = 0; i < kReadsPerTurn; i++) {
    SocketAddress from;
    const ssize_t n = recvfrom(p.socket.get(), buffer, sizeof buffer, MSG_TRUNC, from.data(), &from.size);
    if (n < 0 && errno == EAGAIN) return;
    const auto peer = from.endpoint();
    if (n < 0 || n > static_cast<ssize_t>(sizeof buffer) || !peer) continue;
    Bytes icmp = Bytes(buffer, static_cast<size_t>(n));
    // A raw IPv4 socket shows the IP header.
    if (p.kind == Kind::raw && p.key.family == IpFamily::v4) {
      const size_t header = icmp.empty() ? 0 : size_t{icmp[0]} % 16 * 4;
      if (icmp.size() < header) continue;
      icmp = icmp.subspan(header);
    }
    if (icmp.size() < kIcmpHeader || icmp[0] != reply_type(p.key.family) || icmp[1] != 0) continue;
    if (p.kind == Kind::raw && load_be16(&icmp[4]) != p.outside_id) continue;
    if (context_.policy.may_be_told(peer->address)) reply(p, peer->address, icmp);
  }
}

void PingExit::reply(Ping& p, const IpAddress& from, Bytes icmp) {
  p.last = context_.now();
  const size_t header = from.is_v4() ? 20 : 40;
  if (header + icmp.size() > context_.mtu_of(p.key.lease))
    return;  // the request came that way, so this is not one of ours
  Packet out = context_.out.take();
  const IpProtocol protocol = from.is_v4() ? IpProtocol::icmp : IpProtocol::icmpv6;
  const MutBytes t = routing::start_ip(from, routing::private_address(p.key.lease, p.key.family), protocol,
                                       icmp.size(), out);
  std::copy(icmp.begin(), icmp.end(), t.begin());
  store_be16(&t[4], p.key.id);
  routing::finish_ip(out);
  context_.out.push(std::move(out));
}

PingExit::Pings::iterator PingExit::close(Pings::iterator it) {
  context_.reactor.remove(it->second->socket.get());
  per_lease_.remove(it->first.lease);
  return pings_.erase(it);
}

void PingExit::sweep(Mono now) {
  for (auto it = pings_.begin(); it != pings_.end();)
    it = now - it->second->last >= context_.config.limits.ping_idle ? close(it) : std::next(it);
}

void PingExit::forget(LeaseNumber lease) {
  for (auto it = pings_.lower_bound({lease, {}, 0}); it != pings_.end() && it->first.lease == lease;)
    it = close(it);
}

}  // namespace macrovpn::shell
