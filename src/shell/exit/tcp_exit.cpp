#include "shell/exit/tcp_exit.h"

#include <sys/socket.h>

#include <cerrno>

#include "shell/exit/socket_address.h"

namespace macrovpn::shell {

using routing::ExitVerdict;
using routing::Unreachable;

TcpExit::TcpExit(ExitContext& context, DnsService& dns, ExitNamespace& inside)
    : context_(context),
      dns_(dns),
      inside_(inside),
      pipes_(context.config.limits.pipes),
      acceptor_(
          context.reactor, [this](Fd s) { join(std::move(s)); }, [this] { context_.counters.tcp_full++; }) {
  for (const Fd* l : {&inside_.tcp4, &inside_.tcp6})
    if (*l) acceptor_.add(l->get());
}

TcpExit::~TcpExit() {
  while (!flows_.empty()) close(flows_.begin());
}

bool TcpExit::admit(Packet& packet, const IpHeader& h, LeaseNumber lease) {
  const bool opens = (h.tcp_flags & (routing::kTcpSyn | routing::kTcpAck)) == routing::kTcpSyn;
  if (opens) return on_syn(packet, h, lease);
  if ((h.tcp_flags & routing::kTcpRst) == 0) return true;
  // The client gave up before we had connected; a reset of a joined flow is the kernel's matter.
  const auto it = flows_.find({lease, {h.source, h.source_port}, {h.destination, h.destination_port}});
  if (it == flows_.end() || it->second->state != State::connecting) return true;
  close(it);
  return false;
}

bool TcpExit::on_syn(Packet& packet, const IpHeader& h, LeaseNumber lease) {
  Key key{lease, {h.source, h.source_port}, {h.destination, h.destination_port}};
  if (const auto it = flows_.find(key); it != flows_.end())
    return it->second->state != State::connecting;  // connecting: a repetition
  const ExitVerdict verdict = context_.policy.judge(h);
  if (verdict == ExitVerdict::dns) return true;
  if (verdict != ExitVerdict::allowed) {
    context_.counters.denied[static_cast<size_t>(verdict)]++;
    context_.send_unreachable(packet.bytes(), h, Unreachable::prohibited);
    return false;
  }
  const ExitLimits& limits = context_.config.limits;
  if (flows_.size() >= limits.tcp_flows || per_lease_.count(lease) >= limits.tcp_flows_per_lease) {
    context_.counters.tcp_full++;
    context_.send_reset(packet.bytes(), h);
    return false;
  }
  connect_outside(key, std::move(packet), h);
  return false;
}

// The address that was judged is the one that is connected to: both are the packet's.
void TcpExit::connect_outside(Key key, Packet syn, const IpHeader& h) {
  Fd s = open_socket(family_of(h.destination), SOCK_STREAM);
  if (!s) return refuse(syn.bytes(), errno);
  prepare_tcp(s.get());
  const SocketAddress to(key.server);
  if (connect(s.get(), to.data(), to.size) != 0 && errno != EINPROGRESS) return refuse(syn.bytes(), errno);
  auto flow = std::make_unique<Flow>();
  flow->key = key;
  flow->since = context_.now();
  flow->outside = std::move(s);
  flow->syn = std::move(syn);
  context_.reactor.add(flow->outside.get(), EPOLLOUT, [this, f = flow.get()](uint32_t) { on_connected(*f); });
  per_lease_.add(key.lease);
  flows_.emplace(key, std::move(flow));
}

void TcpExit::on_connected(Flow& f) {
  const int error = pending_error(f.outside.get());
  if (error != 0) {
    const Packet syn = std::move(f.syn);
    close(flows_.find(f.key));
    return refuse(syn.bytes(), error);
  }
  // From here on the kernel inside answers, and repetitions go in.
  context_.reactor.remove(f.outside.get());
  f.state = State::ready;
  context_.counters.tcp_opened++;
  f.since = context_.now();
  const Packet syn = std::move(f.syn);
  if (!inside_.device.write_packet(syn.bytes())) context_.counters.device_full++;
}

void TcpExit::refuse(Bytes syn, int error) {
  const auto h = routing::parse_ip(syn);
  MV_ASSERT(h.ok());
  if (error == ENETUNREACH || error == EHOSTUNREACH || error == ETIMEDOUT || error == EADDRNOTAVAIL ||
      error == EAFNOSUPPORT) {
    context_.counters.tcp_unreachable++;
    return context_.send_unreachable(syn, *h, unreachable_of(error));
  }
  context_.counters.tcp_refused++;
  context_.send_reset(syn, *h);
}

void TcpExit::join(Fd s) {
  const auto client = peer_of(s.get()), server = local_of(s.get());
  const LeaseNumber lease = client ? routing::lease_of_private(client->address) : LeaseNumber{};
  if (lease.value == 0 || !server) return close_with_reset(s);
  prepare_tcp(s.get());
  if (context_.policy.judge(server->address, server->port, IpProtocol::tcp) == ExitVerdict::dns)
    return dns_.adopt(lease, std::move(s));
  const auto it = flows_.find({lease, *client, *server});
  // Without a held connection (it lapsed meanwhile) there is nothing to join: connecting now would skip the
  // hold.
  if (it == flows_.end() || it->second->state != State::ready) return close_with_reset(s);
  Flow& f = *it->second;
  f.state = State::joined;
  f.pair = std::make_unique<SplicePair>(context_.reactor, pipes_, std::move(s), std::move(f.outside),
                                        [this, key = f.key](SplicePair::End how) {
                                          if (how == SplicePair::End::broken) context_.counters.tcp_broken++;
                                          close(flows_.find(key));
                                        });
}

void TcpExit::close(Flows::iterator it) {
  MV_ASSERT(it != flows_.end());
  Flow& f = *it->second;
  if (f.state == State::connecting) context_.reactor.remove(f.outside.get());
  close_with_reset(f.outside);
  per_lease_.remove(f.key.lease);
  flows_.erase(it);
}

bool TcpExit::lapsed(const Flow& f, Mono now) const {
  const ExitLimits& limits = context_.config.limits;
  if (!f.pair) return now - f.since >= limits.tcp_connect;
  return now - f.pair->last_moved() >= (f.pair->is_half_closed() ? limits.tcp_half_closed : limits.tcp_idle);
}

void TcpExit::sweep(Mono now) {
  for (auto it = flows_.begin(); it != flows_.end();) {
    const auto next = std::next(it);
    if (Flow& f = *it->second; lapsed(f, now)) {
      const Packet syn = std::move(f.syn);
      if (f.pair) f.pair->reset_both();
      close(it);
      if (syn) refuse(syn.bytes(), ETIMEDOUT);
    }
    it = next;
  }
}

void TcpExit::forget(LeaseNumber lease) {
  for (auto it = flows_.lower_bound({lease, {}, {}}); it != flows_.end() && it->first.lease == lease;) {
    const auto next = std::next(it);
    if (it->second->pair) it->second->pair->reset_both();
    close(it);
    it = next;
  }
}

}  // namespace macrovpn::shell
