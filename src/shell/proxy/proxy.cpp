#include "shell/proxy/proxy.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "shell/exit/socket_address.h"

namespace macrovpn::shell {
namespace {

bool is_loopback(const IpAddress& a) {
  static const IpPrefix v4 = *IpPrefix::parse("127.0.0.0/8"), v6 = *IpPrefix::parse("::1/128");
  return v4.contains(a) || v6.contains(a);
}

}  // namespace

std::optional<Endpoint> parse_listen_address(std::string_view text) {
  if (!text.ends_with(":0")) return Endpoint::parse(text);
  auto at = Endpoint::parse(std::string(text.substr(0, text.size() - 1)) + "1");
  if (at) at->port = 0;
  return at;
}

Result<Fd> listen_on_loopback(const Endpoint& at) {
  if (!is_loopback(at.address))
    return fail(
        "the proxy listens on loopback only (127.0.0.1 or [::1]), since everybody who reaches another "
        "address could use it");
  Fd fd = open_socket(family_of(at.address), SOCK_STREAM);
  if (!fd) return fail(std::string("cannot open a socket: ") + std::strerror(errno));
  set_option(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  const SocketAddress address(at);
  if (bind(fd.get(), address.data(), address.size) == 0 && listen(fd.get(), 1024) == 0) return fd;
  if (errno == EADDRINUSE)
    return fail("port " + std::to_string(at.port) +
                " is in use by another program: end it, or choose another port with --listen");
  return fail("cannot listen on port " + std::to_string(at.port) + ": " + std::strerror(errno) +
              "; choose another with --listen");
}

Proxy::Proxy(ProxyContext& context, std::vector<Fd> listeners)
    : context_(context),
      listeners_(std::move(listeners)),
      acceptor_(
          context.reactor(), [this](Fd s) { admit(std::move(s)); }, [this] { context_.counters.full++; }) {
  for (const Fd& l : listeners_) acceptor_.add(l.get());
  sweep_ = context_.reactor().after(context_.limits.sweep_every, [this] { sweep(); });
}

Proxy::~Proxy() {
  if (sweep_) context_.reactor().cancel(*sweep_);
}

bool Proxy::is_ours(int socket) {
  const auto peer = peer_of(socket), ours = local_of(socket);
  return peer && ours && context_.owner.is_ours_tcp(*peer, *ours);
}

void Proxy::admit(Fd s) {
  context_.counters.accepted++;
  if (!is_ours(s.get())) {
    context_.counters.not_ours++;
    return close_with_reset(s);
  }
  if (!make_room()) {
    context_.counters.full++;
    return close_with_reset(s);
  }
  const uint64_t id = next_id_++;
  connections_[id] =
      std::make_unique<ClientConnection>(context_, std::move(s), [this, id] { connections_.erase(id); });
}

// Connections that have not said what they want cannot shut the others out: the oldest of them goes.
bool Proxy::make_room() {
  if (connections_.size() >= context_.limits.connections) return false;
  size_t asking = 0;
  auto oldest = connections_.end();
  for (auto it = connections_.begin(); it != connections_.end(); ++it) {
    if (!it->second->is_asking()) continue;
    if (asking++ == 0) oldest = it;
  }
  if (asking < context_.limits.asking) return true;
  context_.counters.evicted++;
  oldest->second->reset();
  connections_.erase(oldest);
  return true;
}

void Proxy::sweep() {
  const Mono now = context_.now();
  for (auto it = connections_.begin(); it != connections_.end();) {
    const auto next = std::next(it);
    if (it->second->has_lapsed(now)) {
      it->second->reset();
      connections_.erase(it);
    }
    it = next;
  }
  context_.groups.sweep(now);
  sweep_ = context_.reactor().after(context_.limits.sweep_every, [this] { sweep(); });
}

}  // namespace macrovpn::shell
