#include "shell/exit/udp_exit.h"

#include <linux/errqueue.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "shell/exit/socket_address.h"
#include "shell/message.h"

namespace macrovpn::shell {

using routing::ExitVerdict;
using routing::Unreachable;

namespace {

constexpr size_t kMaxUdp = 65507;
constexpr unsigned kReadsPerTurn = 64;
constexpr Duration kYoung = 15s;  // a port used since then is not taken from its lease to make room

struct Received {
  std::optional<Endpoint> peer, destination;
  std::optional<sock_extended_err> error;
  size_t size = 0;
};

std::optional<Received> receive(int socket, MutBytes buffer, int flags) {
  SocketAddress peer;
  iovec io{buffer.data(), buffer.size()};
  alignas(cmsghdr) char control[512];
  msghdr m = message_of(io, control);
  m.msg_name = peer.data();
  m.msg_namelen = peer.size;
  const ssize_t n = recvmsg(socket, &m, flags);
  if (n < 0) return std::nullopt;
  Received r;
  r.size = static_cast<size_t>(n);
  r.peer = peer.endpoint();
  for (cmsghdr* h = CMSG_FIRSTHDR(&m); h != nullptr; h = CMSG_NXTHDR(&m, h)) {
    if ((h->cmsg_level == SOL_IP && h->cmsg_type == IP_ORIGDSTADDR) ||
        (h->cmsg_level == SOL_IPV6 && h->cmsg_type == IPV6_ORIGDSTADDR)) {
      SocketAddress to;
      std::memcpy(to.data(), CMSG_DATA(h), std::min<size_t>(h->cmsg_len - CMSG_LEN(0), sizeof(sockaddr_in6)));
      r.destination = to.endpoint();
    } else if ((h->cmsg_level == SOL_IP && h->cmsg_type == IP_RECVERR) ||
               (h->cmsg_level == SOL_IPV6 && h->cmsg_type == IPV6_RECVERR)) {
      r.error.emplace();
      std::memcpy(&*r.error, CMSG_DATA(h), sizeof *r.error);
    }
  }
  return r;
}

bool is_transient(int error) {
  return error == EAGAIN || error == ENOBUFS || error == EINTR;
}

}  // namespace

UdpExit::UdpExit(ExitContext& context, ExitNamespace& inside, OnDns dns)
    : context_(context), inside_(inside), dns_(std::move(dns)), buffer_(65536) {
  for (const Fd* s : {&inside_.udp4, &inside_.udp6})
    if (*s) context_.reactor.add(s->get(), EPOLLIN, [this, fd = s->get()](uint32_t) { on_reassembled(fd); });
}

UdpExit::~UdpExit() {
  for (const Fd* s : {&inside_.udp4, &inside_.udp6})
    if (*s) context_.reactor.remove(s->get());
  while (!ports_.empty()) close(ports_.begin());
}

bool UdpExit::admit(Bytes packet, const IpHeader& h, LeaseNumber lease) {
  const ExitVerdict verdict = context_.policy.judge(h);
  // A later fragment of a query to our resolver names no port, and looks like any packet to the host.
  const bool dns_fragment =
      h.fragment != routing::Fragment::none && routing::InsideAddresses::get().is_dns(h.destination);
  if (verdict != ExitVerdict::allowed && verdict != ExitVerdict::dns && !dns_fragment) {
    context_.counters.denied[static_cast<size_t>(verdict)]++;
    context_.send_unreachable(packet, h, Unreachable::prohibited);
    return false;
  }
  if (h.fragment != routing::Fragment::none) return true;
  const Endpoint client{h.source, h.source_port}, server{h.destination, h.destination_port};
  const Bytes payload = packet.subspan(h.payload_at + 8u, h.size - h.payload_at - 8u);
  if (verdict == ExitVerdict::dns) {
    dns_(lease, client, server, payload);
  } else if (const int error = send({lease, client}, server, payload); error != 0 && !is_transient(error)) {
    context_.counters.udp_errors++;
    context_.send_unreachable(packet, h, unreachable_of(error));
  }
  return false;
}

int UdpExit::send(const Key& key, const Endpoint& to, Bytes payload) {
  int error = 0;
  Port* port = find_or_open(key, error);
  if (port == nullptr) return error;
  port->last = context_.now();
  const SocketAddress address(to);
  // The first call may only deliver an error that an earlier datagram met, which comes by the error queue as
  // well.
  for (int i = 0; i < 2; i++) {
    if (sendto(port->socket.get(), payload.data(), payload.size(), MSG_NOSIGNAL, address.data(),
               address.size) >= 0)
      return 0;
    error = errno;
  }
  return error;
}

UdpExit::Port* UdpExit::find_or_open(const Key& key, int& error) {
  if (const auto it = ports_.find(key); it != ports_.end()) return it->second.get();
  if (!make_room(key.lease)) {
    context_.counters.udp_full++;
    error = EACCES;
    return nullptr;
  }
  const int family = family_of(key.client.address);
  auto port = std::make_unique<Port>(Port{key, open_socket(family, SOCK_DGRAM), context_.now()});
  if (!port->socket) {
    error = errno;
    return nullptr;
  }
  set_option(port->socket.get(), family == AF_INET ? SOL_IP : SOL_IPV6,
             family == AF_INET ? IP_RECVERR : IPV6_RECVERR, 1);
  context_.reactor.add(port->socket.get(), EPOLLIN,
                       [this, p = port.get()](uint32_t events) { on_readable(*p, events); });
  context_.counters.udp_opened++;
  per_lease_.add(key.lease);
  return ports_.emplace(key, std::move(port)).first->second.get();
}

// A lease at its limit gives up its own longest idle port, never somebody else's.
bool UdpExit::make_room(LeaseNumber lease) {
  const ExitLimits& limits = context_.config.limits;
  if (ports_.size() < limits.udp_ports && per_lease_.count(lease) < limits.udp_ports_per_lease) return true;
  auto oldest = ports_.end();
  for (auto it = ports_.lower_bound({lease, {}}); it != ports_.end() && it->first.lease == lease; ++it)
    if (oldest == ports_.end() || it->second->last < oldest->second->last) oldest = it;
  if (oldest == ports_.end() || context_.now() - oldest->second->last < kYoung) return false;
  close(oldest);
  return true;
}

void UdpExit::on_reassembled(int socket) {
  for (unsigned i = 0; i < kReadsPerTurn; i++) {
    const auto r = receive(socket, buffer_, 0);
    if (!r) return;
    const LeaseNumber lease = r->peer ? routing::lease_of_private(r->peer->address) : LeaseNumber{};
    if (lease.value == 0 || !r->destination) continue;
    const Bytes payload = Bytes(buffer_).first(r->size);
    // Judged again, now that the port is certain.
    const ExitVerdict verdict =
        context_.policy.judge(r->destination->address, r->destination->port, IpProtocol::udp);
    if (verdict == ExitVerdict::dns) {
      dns_(lease, *r->peer, *r->destination, payload);
    } else if (verdict != ExitVerdict::allowed) {
      context_.counters.denied[static_cast<size_t>(verdict)]++;
    } else if (send({lease, *r->peer}, *r->destination, payload) != 0) {
      context_.counters.udp_errors++;
    }
  }
}

void UdpExit::on_readable(Port& port, uint32_t events) {
  if ((events & EPOLLERR) != 0) on_error_queue(port);
  for (unsigned i = 0; i < kReadsPerTurn; i++) {
    const auto r = receive(port.socket.get(), buffer_, 0);
    if (!r) {
      if (errno == EAGAIN) return;
      continue;  // an error that is in the error queue too
    }
    // Anybody may answer, but nobody in a private network, and nobody as one of us.
    if (!r->peer || r->size > kMaxUdp || !context_.policy.may_be_told(r->peer->address)) {
      context_.counters.udp_unwanted++;
      continue;
    }
    port.last = context_.now();
    context_.out.push_udp(*r->peer, port.key.client, Bytes(buffer_).first(r->size),
                          context_.mtu_of(port.key.lease));
  }
}

// The kernel gives back the datagram and whom it was for, from which the packet is made again to be quoted.
void UdpExit::on_error_queue(Port& port) {
  for (unsigned i = 0; i < kReadsPerTurn; i++) {
    const auto r = receive(port.socket.get(), buffer_, MSG_ERRQUEUE);
    if (!r) return;
    const bool by_icmp =
        r->error && (r->error->ee_origin == SO_EE_ORIGIN_ICMP || r->error->ee_origin == SO_EE_ORIGIN_ICMP6);
    // Too big: the kernel learned the path's MTU and fragments from now on.
    if (!by_icmp || !r->peer || r->size > kPacketMax - 48 || r->error->ee_errno == EMSGSIZE) continue;
    context_.counters.udp_errors++;
    Packet sent = context_.out.take();
    const MutBytes t =
        routing::start_ip(port.key.client.address, r->peer->address, IpProtocol::udp, 8 + r->size, sent);
    store_be16(&t[0], port.key.client.port);
    store_be16(&t[2], r->peer->port);
    store_be16(&t[4], static_cast<uint16_t>(t.size()));
    std::copy_n(buffer_.begin(), r->size, t.begin() + 8);
    routing::finish_ip(sent);
    if (const auto h = routing::parse_ip(sent.bytes()))
      context_.send_unreachable(sent.bytes(), *h, unreachable_of(static_cast<int>(r->error->ee_errno)));
  }
}

void UdpExit::close(Ports::iterator it) {
  context_.reactor.remove(it->second->socket.get());
  per_lease_.remove(it->first.lease);
  ports_.erase(it);
}

void UdpExit::sweep(Mono now) {
  for (auto it = ports_.begin(); it != ports_.end();) {
    const auto next = std::next(it);
    if (now - it->second->last >= context_.config.limits.udp_idle) close(it);
    it = next;
  }
}

void UdpExit::forget(LeaseNumber lease) {
  for (auto it = ports_.lower_bound({lease, {}}); it != ports_.end() && it->first.lease == lease;) {
    const auto next = std::next(it);
    close(it);
    it = next;
  }
}

}  // namespace macrovpn::shell
