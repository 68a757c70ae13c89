// What a device is told and what it tells: the changes of uapi.h carried out on Tunnels.
#include <cerrno>

#include "crypto/x25519.h"
#include "shell/wireguard/device.h"

namespace macrovpn::shell {
namespace {

const uapi::Refusal kDone{};

// As stock devices show it (RFC 7748 §5).
PrivateKey clamped(PrivateKey key) {
  const std::span<uint8_t, 32> b = key.fill();
  b[0] &= 248;
  b[31] = static_cast<uint8_t>((b[31] & 127) | 64);
  return key;
}

}  // namespace

// One change after the other; those of a peer go to the one that was selected last.
struct WireGuardDevice::Applier {
  WireGuardDevice& d;
  Selected peer;
  encryption::Tunnels& tunnels() const { return d.tunnels_; }

  uapi::Refusal operator()(const uapi::SetPrivateKey& c) {
    d.private_key_ = c.key.is_zero() ? c.key : clamped(c.key);
    tunnels().set_identity(c.key.is_zero() ? KeyPair{} : crypto::x25519_from_secret(d.private_key_));
    std::erase_if(d.last_handshake_, [&](const auto& e) { return !tunnels().info(e.first); });
    return kDone;
  }
  uapi::Refusal operator()(const uapi::SetListenPort& c) { return d.set_listen_port(c.port); }
  uapi::Refusal operator()(const uapi::SetFwmark& c) { return d.set_fwmark(c.mark); }
  uapi::Refusal operator()(const uapi::ReplacePeers&) {
    for (const PeerRef ref : tunnels().peers()) d.remove_peer(ref);
    return kDone;
  }

  uapi::Refusal operator()(const uapi::SelectPeer& c) {
    peer = {};
    // Stock devices ignore themselves among their peers, so that one list of peers serves for all hosts.
    if (!d.private_key_.is_zero() && c.key == tunnels().public_key()) return kDone;
    if (const auto known = tunnels().find_configured(c.key)) {
      peer = {*known, false};
      return kDone;
    }
    const auto made =
        tunnels().add_configured(d.reactor_.now().mono, {c.key, {}, {}, {}, Duration::zero(), d.link_.mtu});
    if (!made) return {ENOSPC, "a device has at most 4096 peers"};
    peer = {*made, true};
    return kDone;
  }
  uapi::Refusal operator()(const uapi::UpdateOnly&) {
    if (peer.made) forget();
    return kDone;
  }
  uapi::Refusal operator()(const uapi::RemovePeer&) {
    forget();
    return kDone;
  }
  void forget() {
    d.remove_peer(peer.ref);
    peer = {};
  }

  uapi::Refusal operator()(const uapi::SetPresharedKey& c) {
    tunnels().set_preshared(peer.ref, c.key);
    return kDone;
  }
  uapi::Refusal operator()(const uapi::SetEndpoint& c) {
    tunnels().set_endpoint(d.reactor_.now(), peer.ref, Route::udp(kListenSocket, c.endpoint, kPlain), d.out_);
    return kDone;
  }
  uapi::Refusal operator()(const uapi::SetKeepalive& c) {
    tunnels().set_persistent_keepalive(d.reactor_.now().mono, peer.ref, c.interval);
    return kDone;
  }
  uapi::Refusal operator()(const uapi::ReplaceAllowedIps&) {
    tunnels().disallow_all(peer.ref);
    return kDone;
  }
  uapi::Refusal operator()(const uapi::AllowIp& c) {
    if (tunnels().allow(peer.ref, c.prefix)) return kDone;
    return {ENOSPC, "a device has at most 262144 allowed IPs"};
  }
  uapi::Refusal operator()(const uapi::DisallowIp& c) {
    tunnels().disallow(peer.ref, c.prefix);
    return kDone;
  }
};

uapi::Refusal WireGuardDevice::apply(const std::vector<uapi::Change>& changes) {
  Applier applier{*this, {}};
  uapi::Refusal refusal;
  for (const uapi::Change& c : changes) {
    refusal = std::visit(applier, c);
    if (refusal.number != 0) break;
  }
  // A device that is down keeps what it was told and is silent.
  if (!link_.up) tunnels_.pause_configured();
  return refusal;
}

// ---- the UDP port

uapi::Refusal WireGuardDevice::set_listen_port(uint16_t port) {
  if (link_.up && (!socket_ || port == 0 || port != port_)) return open_socket(port);
  port_ = port;
  return kDone;
}

// The old port stays until the new one is there.
uapi::Refusal WireGuardDevice::open_socket(uint16_t port) {
  auto opened = UdpSocket::open({IpAddress(), port}, mark_);
  if (!opened)
    return {EADDRINUSE,
            "cannot listen on UDP port " + std::to_string(port) +
                ": another program may use it; choose another with `wg set NAME listen-port PORT`"};
  close_socket();
  socket_ = std::move(opened).value();
  port_ = socket_->port();
  loops_.set_listen_port(port_);
  socket_->let_fragment();
  reactor_.add(socket_->fd(), EPOLLIN, [this](uint32_t) { read_socket(); });
  return kDone;
}

void WireGuardDevice::close_socket() {
  if (!socket_) return;
  reactor_.remove(socket_->fd());
  socket_.reset();
  socket_too_long_ = 0;
}

uapi::Refusal WireGuardDevice::set_fwmark(uint32_t mark) {
  if (mark == mark_) return kDone;
  if (socket_ && setsockopt(socket_->fd(), SOL_SOCKET, SO_MARK, &mark, sizeof mark) != 0)
    return {errno, "the system refuses a mark on our datagrams; it takes root's rights over the network"};
  mark_ = mark;
  return kDone;
}

// ---- peers

void WireGuardDevice::remove_peer(PeerRef ref) {
  tunnels_.remove(ref);
  last_handshake_.erase(ref);
}

uapi::PeerState WireGuardDevice::state_of(PeerRef ref) const {
  const auto info = tunnels_.info(ref);
  auto configured = tunnels_.configuration(ref);
  uapi::PeerState p;
  p.key = info->key;
  p.preshared = configured->preshared;
  if (info->route.kind == Route::Kind::udp) p.endpoint = info->route.endpoint;
  if (const auto at = last_handshake_.find(ref); at != last_handshake_.end()) p.last_handshake = at->second;
  p.rx_bytes = info->rx_bytes;
  p.tx_bytes = info->tx_bytes;
  p.persistent_keepalive = std::chrono::floor<std::chrono::seconds>(configured->persistent_keepalive);
  p.allowed_ips = std::move(configured->allowed_ips);
  return p;
}

uapi::DeviceState WireGuardDevice::state() const {
  uapi::DeviceState s{private_key_, port_, mark_, {}};
  for (const PeerRef ref : tunnels_.peers()) s.peers.push_back(state_of(ref));
  return s;
}

uapi::Counters WireGuardDevice::counters() const {
  uapi::Counters out;
  constexpr std::array kTypes = {"other", "initiation", "response", "cookie_reply", "transport"};
  for (size_t i = 0; i < kTypes.size(); i++)
    out.emplace_back(std::string("received_") + kTypes[i], received_[i]);
  for (size_t i = 1; i < kTypes.size(); i++) out.emplace_back(std::string("sent_") + kTypes[i], sent_[i]);
  const std::pair<const char*, uint64_t> own[] = {
      {"from_device", from_device_}, {"to_device", to_device_count_}, {"no_peer", no_peer_},
      {"not_sent", not_sent_},       {"not_written", not_written_},   {"looped", looped_},
      {"too_long", too_long_},       {"sessions", first_sessions_},   {"renewals", renewals_},
      {"gave_up", gave_up_},         {"received_too_long", received_too_long_}};
  out.insert(out.end(), std::begin(own), std::end(own));
  for (size_t i = 1; i < static_cast<size_t>(encryption::Drop::count_); i++) {
    const auto d = static_cast<encryption::Drop>(i);
    if (tunnels_.count(d) != 0) out.emplace_back(std::string("dropped_") + name_of(d), tunnels_.count(d));
  }
  return out;
}

}  // namespace macrovpn::shell
