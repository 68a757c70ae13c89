#include "shell/exit/dns_service.h"

#include <sys/socket.h>

#include <cerrno>

#include "core/routing/dns_stream.h"
#include "shell/exit/host_networks.h"
#include "shell/exit/socket_address.h"

namespace macrovpn::shell {

using routing::DnsAskId;
using routing::DnsEffects;
using routing::DnsTicket;
using routing::DnsTransport;

namespace {

constexpr Duration kConnectionIdle = 20s;
constexpr size_t kAskedPerConnection = 16;

// Writes from the front of `unsent`; false if the connection is broken.
bool send_some(int socket, std::vector<uint8_t>& unsent) {
  while (!unsent.empty()) {
    const ssize_t n = send(socket, unsent.data(), unsent.size(), MSG_NOSIGNAL);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    unsent.erase(unsent.begin(), unsent.begin() + n);
  }
  return true;
}

}  // namespace

DnsService::DnsService(ExitContext& context, Rng& rng)
    : context_(context),
      resolver_(
          rng, context.config.dns_upstreams.empty() ? read_name_servers() : context.config.dns_upstreams,
          [&context](const IpAddress& a) { return context.policy.may_be_told(a); },
          context.config.limits.dns),
      buffer_(65536) {}

DnsService::~DnsService() {
  if (timer_) context_.reactor.cancel(*timer_);
  while (!upstreams_.empty()) close_upstream(upstreams_.begin()->first);
  while (!connections_.empty()) close(connections_.begin());
}

void DnsService::query(LeaseNumber lease, const Endpoint& client, const Endpoint& server, Bytes message) {
  take(lease, {lease, client, server, 0}, DnsTransport::udp, message);
}

void DnsService::take(LeaseNumber lease, const Waiting& who, DnsTransport transport, Bytes message) {
  const DnsTicket ticket{next_++};
  DnsEffects effects;
  if (resolver_.on_query(context_.now(), lease, ticket, transport, message, effects) == routing::DnsTaken::no)
    return;
  if (const auto c = connections_.find(who.connection); c != connections_.end()) c->second.asked++;
  waiting_.emplace(ticket, who);
  process(std::move(effects));
}

// A question that cannot be sent fails at once, which makes the next one.
void DnsService::process(DnsEffects effects) {
  for (;;) {
    for (const DnsAskId id : effects.done) close_upstream(id);
    for (const auto& r : effects.replies) reply(r);
    std::vector<DnsAskId> failed;
    for (const auto& a : effects.asks)
      if (!open_upstream(a)) failed.push_back(a.id);
    if (failed.empty()) break;
    effects = {};
    for (const DnsAskId id : failed) resolver_.on_failure(context_.now(), id, effects);
  }
  arm();
}

void DnsService::reply(const DnsEffects::Reply& r) {
  const auto it = waiting_.find(r.ticket);
  if (it == waiting_.end()) return;
  const Waiting who = it->second;
  waiting_.erase(it);
  if (who.connection == 0)
    return context_.out.push_udp(who.server, who.client, r.message, context_.mtu_of(who.lease));
  const auto c = connections_.find(who.connection);
  if (c == connections_.end()) return;
  const auto bytes = routing::frame_dns(r.message);
  c->second.asked--;
  c->second.unsent.insert(c->second.unsent.end(), bytes.begin(), bytes.end());
  watch(c->second);
}

bool DnsService::open_upstream(const DnsEffects::Ask& a) {
  const bool udp = a.transport == DnsTransport::udp;
  Upstream up{
      open_socket(family_of(a.upstream.address), udp ? SOCK_DGRAM : SOCK_STREAM), a.transport, {}, {}};
  const SocketAddress to(a.upstream);
  if (!up.socket || (connect(up.socket.get(), to.data(), to.size) != 0 && errno != EINPROGRESS)) return false;
  up.unsent = udp ? std::vector<uint8_t>() : routing::frame_dns(a.message);
  if (udp && send(up.socket.get(), a.message.data(), a.message.size(), MSG_NOSIGNAL) < 0) return false;
  context_.reactor.add(up.socket.get(), udp ? EPOLLIN : EPOLLIN | EPOLLOUT,
                       [this, id = a.id](uint32_t events) { on_upstream(id, events); });
  upstreams_.emplace(a.id, std::move(up));
  return true;
}

void DnsService::close_upstream(DnsAskId id) {
  const auto it = upstreams_.find(id);
  if (it == upstreams_.end()) return;
  context_.reactor.remove(it->second.socket.get());
  upstreams_.erase(it);
}

void DnsService::on_upstream(DnsAskId id, uint32_t) {
  const auto it = upstreams_.find(id);
  if (it == upstreams_.end()) return;
  const bool alive = it->second.transport == DnsTransport::udp ? on_upstream_udp(id, it->second)
                                                               : on_upstream_tcp(id, it->second);
  if (alive) return;
  DnsEffects effects;
  resolver_.on_failure(context_.now(), id, effects);
  process(std::move(effects));
}

bool DnsService::on_upstream_udp(DnsAskId id, Upstream& up) {
  const ssize_t n = recv(up.socket.get(), buffer_.data(), buffer_.size(), 0);
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  DnsEffects effects;
  resolver_.on_answer(context_.now(), id, Bytes(buffer_).first(static_cast<size_t>(n)), effects);
  process(std::move(effects));
  return true;
}

bool DnsService::on_upstream_tcp(DnsAskId id, Upstream& up) {
  if (!send_some(up.socket.get(), up.unsent)) return false;
  if (up.unsent.empty()) context_.reactor.modify(up.socket.get(), EPOLLIN);
  const ssize_t n = recv(up.socket.get(), buffer_.data(), buffer_.size(), 0);
  if (n == 0) return false;
  if (n < 0) return errno == EAGAIN || errno == EINTR || errno == ENOTCONN;
  up.received.insert(up.received.end(), buffer_.begin(), buffer_.begin() + n);
  const auto message = routing::first_framed_dns(up.received);
  if (!message) return up.received.size() < routing::kDnsLargestFramed;
  DnsEffects effects;
  resolver_.on_answer(context_.now(), id, *message, effects);
  process(std::move(effects));
  return true;
}

void DnsService::adopt(LeaseNumber lease, Fd socket) {
  const ExitLimits& limits = context_.config.limits;
  if (connections_.size() >= limits.dns_connections ||
      per_lease_.count(lease) >= limits.dns_connections_per_lease) {
    context_.counters.dns_full++;
    return close_with_reset(socket);
  }
  const uint64_t id = next_++;
  per_lease_.add(lease);
  Connection& c = connections_[id];
  c.lease = lease;
  c.socket = std::move(socket);
  c.last = context_.now();
  c.wanted = EPOLLIN;
  context_.reactor.add(c.socket.get(), EPOLLIN, [this, id](uint32_t events) { on_connection(id, events); });
}

DnsService::Connections::iterator DnsService::close(Connections::iterator it) {
  context_.reactor.remove(it->second.socket.get());
  per_lease_.remove(it->second.lease);
  return connections_.erase(it);
}

void DnsService::on_connection(uint64_t id, uint32_t events) {
  const auto it = connections_.find(id);
  if (it == connections_.end()) return;
  Connection& c = it->second;
  c.last = context_.now();
  if (!send_some(c.socket.get(), c.unsent)) return static_cast<void>(close(it));
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
    const ssize_t n = recv(c.socket.get(), buffer_.data(), buffer_.size(), 0);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return static_cast<void>(close(it));
    if (n > 0) c.received.insert(c.received.end(), buffer_.begin(), buffer_.begin() + n);
  }
  take_messages(id);
}

// Answers may come while a message is taken; the connection is looked up again each time.
void DnsService::take_messages(uint64_t id) {
  for (auto it = connections_.find(id); it != connections_.end(); it = connections_.find(id)) {
    Connection& c = it->second;
    const auto message = c.asked < kAskedPerConnection ? routing::first_framed_dns(c.received) : std::nullopt;
    if (!message) return watch(c);
    const std::vector<uint8_t> query(message->begin(), message->end());
    c.received.erase(c.received.begin(), c.received.begin() + static_cast<ptrdiff_t>(2 + query.size()));
    take(c.lease, {c.lease, {}, {}, id}, DnsTransport::tcp, query);
  }
}

// Reads only while there is room for more queries and the answers are taken.
void DnsService::watch(Connection& c) {
  const bool reads = c.asked < kAskedPerConnection && c.unsent.size() < 65536;
  const uint32_t wanted = (reads ? uint32_t{EPOLLIN} : 0) | (c.unsent.empty() ? 0 : uint32_t{EPOLLOUT});
  if (wanted != c.wanted) context_.reactor.modify(c.socket.get(), wanted);
  c.wanted = wanted;
}

void DnsService::arm() {
  const Mono next = resolver_.next_deadline();
  if (timer_ && timer_->first == next) return;
  if (timer_) context_.reactor.cancel(*timer_);
  timer_.reset();
  if (next == kNever) return;
  timer_ = context_.reactor.at(next, [this] {
    timer_.reset();
    DnsEffects effects;
    resolver_.on_deadline(context_.now(), effects);
    process(std::move(effects));
  });
}

void DnsService::sweep(Mono now) {
  for (auto it = connections_.begin(); it != connections_.end();)
    it = now - it->second.last >= kConnectionIdle ? close(it) : std::next(it);
}

void DnsService::forget(LeaseNumber lease) {
  DnsEffects effects;
  resolver_.forget(lease, effects);
  process(std::move(effects));
  std::erase_if(waiting_, [&](const auto& w) { return w.second.lease == lease; });
  for (auto it = connections_.begin(); it != connections_.end();)
    it = it->second.lease == lease ? close(it) : std::next(it);
}

}  // namespace macrovpn::shell
