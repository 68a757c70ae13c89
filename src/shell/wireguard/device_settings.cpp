// What a device is told and what it tells: the changes of uapi.h carried out on the Tunnels of its workers, who stand meanwhile.
#include <algorithm>
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
  DeviceWorker& owner() const { return d.worker_of(peer.ref); }
  encryption::Tunnels& tunnels() const { return owner().tunnels(); }
  Now now() const { return d.reactor_.now(); }

  uapi::Refusal operator()(const uapi::SetPrivateKey& c) {
    d.private_key_ = c.key.is_zero() ? c.key : clamped(c.key);
    const KeyPair pair = c.key.is_zero() ? KeyPair{} : crypto::x25519_from_secret(d.private_key_);
    if (const auto ourselves = c.key.is_zero() ? std::nullopt : d.find(pair.pub)) d.remove_peer(*ourselves);
    for (const auto& post : d.posts_) post->worker->tunnels().set_identity(pair);
    return kDone;
  }
  uapi::Refusal operator()(const uapi::SetListenPort& c) { return d.set_listen_port(c.port); }
  uapi::Refusal operator()(const uapi::SetFwmark& c) { return d.set_fwmark(c.mark); }
  uapi::Refusal operator()(const uapi::ReplacePeers&) {
    while (!d.peers_.empty()) d.remove_peer(d.peers_.back());
    return kDone;
  }

  uapi::Refusal operator()(const uapi::SelectPeer& c) {
    peer = {};
    // Stock devices ignore themselves among their peers, so that one list of peers serves for all hosts.
    if (!d.private_key_.is_zero() && c.key == d.first().tunnels().public_key()) return kDone;
    if (const auto known = d.find(c.key)) {
      peer = {*known, false};
      return kDone;
    }
    const auto made = d.add_peer(c.key);
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
    tunnels().set_endpoint(now(), peer.ref, Route::udp(kListenSocket, c.endpoint, kPlain), owner().out());
    owner().tell_others(peer.ref);
    return kDone;
  }
  uapi::Refusal operator()(const uapi::SetKeepalive& c) {
    tunnels().set_persistent_keepalive(now().mono, peer.ref, c.interval);
    return kDone;
  }

  // ---- what every worker knows
  uapi::Refusal operator()(const uapi::ReplaceAllowedIps&) {
    for (const auto& post : d.posts_) post->worker->tunnels().disallow_all(peer.ref);
    return kDone;
  }
  // All tables are the same, so all are full at the same time.
  uapi::Refusal operator()(const uapi::AllowIp& c) {
    for (const auto& post : d.posts_) {
      if (!post->worker->tunnels().allow(peer.ref, c.prefix)) return {ENOSPC, "a device has at most 262144 allowed IPs"};
    }
    return kDone;
  }
  uapi::Refusal operator()(const uapi::DisallowIp& c) {
    for (const auto& post : d.posts_) post->worker->tunnels().disallow(peer.ref, c.prefix);
    return kDone;
  }
};

uapi::Refusal WireGuardDevice::apply(const std::vector<uapi::Change>& changes) {
  const auto standing = halt();
  Applier applier{*this, {}};
  uapi::Refusal refusal;
  for (const uapi::Change& c : changes) {
    refusal = std::visit(applier, c);
    if (refusal.number != 0) break;
  }
  // A device that is down keeps what it was told and is silent.
  if (!link_.up) pause_peers();
  for (size_t i = 1; i < posts_.size(); i++) posts_[i]->worker->take_packets(posts_[i]->peers != 0);
  return refusal;
}

// ---- the UDP port

uapi::Refusal WireGuardDevice::set_listen_port(uint16_t port) {
  if (link_.up && (!open_ || port == 0 || port != port_)) return open_sockets(port);
  port_ = port;
  return kDone;
}

// The old port stays until the new one is there.
uapi::Refusal WireGuardDevice::open_sockets(uint16_t port) {
  auto opened = UdpSocket::open_group({IpAddress(), port}, posts_.size(), rng_, mark_);
  if (!opened && posts_.size() > 1 && UdpSocket::open({IpAddress(), port}, mark_)) return {EOPNOTSUPP, opened.error().message};
  if (!opened)
    return {EADDRINUSE,
            "cannot listen on UDP port " + std::to_string(port) +
                ": another program may use it; choose another with `wg set NAME listen-port PORT`"};
  port_ = opened->front().port();
  open_ = true;
  for (size_t i = 0; i < posts_.size(); i++) {
    (*opened)[i].let_fragment();
    posts_[i]->worker->set_socket(std::move((*opened)[i]), port_);
  }
  return kDone;
}

void WireGuardDevice::close_sockets() {
  for (const auto& post : posts_) post->worker->close_socket();
  open_ = false;
}

uapi::Refusal WireGuardDevice::set_fwmark(uint32_t mark) {
  if (mark == mark_) return kDone;
  for (const auto& post : posts_) {
    if (!post->worker->set_mark(mark))
      return {errno, "the system refuses a mark on our datagrams; it takes root's rights over the network"};
  }
  mark_ = mark;
  return kDone;
}

// ---- peers

std::optional<PeerRef> WireGuardDevice::find(const PublicKey& key) const {
  for (const auto& post : posts_) {
    if (const auto known = post->worker->tunnels().find_configured(key)) return known;
  }
  return std::nullopt;
}

std::optional<PeerRef> WireGuardDevice::add_peer(const PublicKey& key) {
  if (peers_.size() >= kMostPeers) return std::nullopt;
  const auto fewest = std::min_element(posts_.begin(), posts_.end(), [](const auto& a, const auto& b) { return a->peers < b->peers; });
  encryption::Tunnels& owner = (*fewest)->worker->tunnels();
  const auto made = owner.add_configured(reactor_.now().mono, {key, {}, {}, {}, Duration::zero(), link_.mtu});
  if (!made) return std::nullopt;
  (*fewest)->peers++;
  peers_.push_back(*made);
  if (shard_of(*made) != ShardId{0}) first().tunnels().keep_elsewhere(key, shard_of(*made));
  return *made;
}

void WireGuardDevice::remove_peer(PeerRef ref) {
  if (std::erase(peers_, ref) == 0) return;
  first().tunnels().forget_elsewhere(worker_of(ref).tunnels().info(ref)->key);
  posts_[shard_of(ref).value]->peers--;
  worker_of(ref).tunnels().remove(ref);
  worker_of(ref).forget(ref);
  for (const auto& post : posts_) post->worker->tunnels().disallow_all(ref);
  if (commons_) commons_->whereabouts.forget(ref);
}

void WireGuardDevice::pause_peers() {
  for (const auto& post : posts_) post->worker->tunnels().pause_configured();
}

// ---- what it tells

uapi::PeerState WireGuardDevice::state_of(PeerRef ref) const {
  const DeviceWorker& owner = worker_of(ref);
  const auto info = owner.tunnels().info(ref);
  auto configured = owner.tunnels().configuration(ref);
  uapi::PeerState p;
  p.key = info->key;
  p.preshared = configured->preshared;
  if (info->route.kind == Route::Kind::udp) p.endpoint = info->route.endpoint;
  p.last_handshake = owner.last_handshake(ref);
  p.rx_bytes = info->rx_bytes;
  p.tx_bytes = info->tx_bytes;
  p.persistent_keepalive = std::chrono::floor<std::chrono::seconds>(configured->persistent_keepalive);
  p.allowed_ips = std::move(configured->allowed_ips);
  return p;
}

uapi::DeviceState WireGuardDevice::state() const {
  const auto standing = halt();
  uapi::DeviceState s{private_key_, port_, mark_, {}};
  for (const PeerRef ref : peers_) s.peers.push_back(state_of(ref));
  return s;
}

uapi::Counters WireGuardDevice::counters() const {
  const auto standing = halt();
  const auto sum = [&](auto value) {
    uint64_t n = 0;
    for (const auto& post : posts_) n += value(*post->worker);
    return n;
  };
  const auto of = [&](uint64_t DeviceCounts::*which) { return sum([&](const DeviceWorker& w) { return w.counts().*which; }); };
  uapi::Counters out;
  constexpr std::array kTypes = {"other", "initiation", "response", "cookie_reply", "transport"};
  for (size_t i = 0; i < kTypes.size(); i++)
    out.emplace_back(std::string("received_") + kTypes[i], sum([&](const DeviceWorker& w) { return w.counts().received[i]; }));
  for (size_t i = 1; i < kTypes.size(); i++)
    out.emplace_back(std::string("sent_") + kTypes[i], sum([&](const DeviceWorker& w) { return w.counts().sent[i]; }));
  using C = DeviceCounts;
  const std::pair<const char*, uint64_t C::*> own[] = {
      {"from_device", &C::from_device}, {"to_device", &C::to_device},        {"no_peer", &C::no_peer},
      {"not_sent", &C::not_sent},       {"not_written", &C::not_written},    {"looped", &C::looped},
      {"too_long", &C::too_long},       {"sessions", &C::first_sessions},    {"renewals", &C::renewals},
      {"gave_up", &C::gave_up},         {"received_too_long", &C::received_too_long}};
  for (const auto& [name, which] : own) out.emplace_back(name, of(which));
  for (size_t i = 1; i < static_cast<size_t>(encryption::Drop::count_); i++) {
    const auto d = static_cast<encryption::Drop>(i);
    const uint64_t n = sum([&](const DeviceWorker& w) { return w.tunnels().count(d); });
    if (n != 0) out.emplace_back(std::string("dropped_") + name_of(d), n);
  }
  if (posts_.size() > 1) add_counters_of_workers(out);
  return out;
}

// How the work is spread, and what passes between workers.
void WireGuardDevice::add_counters_of_workers(uapi::Counters& out) const {
  out.emplace_back("workers", posts_.size());
  for (size_t i = 0; i < posts_.size(); i++) {
    const std::string name = "worker_" + std::to_string(i);
    const DeviceWorker& w = *posts_[i]->worker;
    out.emplace_back(name + "_peers", posts_[i]->peers);
    out.emplace_back(name + "_received_transport", w.counts().received[4]);
    out.emplace_back(name + "_from_device", w.counts().from_device);
    out.emplace_back(name + "_crossed", w.counts().crossed);
    out.emplace_back(name + "_strays", w.counts().strays);
    out.emplace_back(name + "_lost_between", w.lost());
  }
}

}  // namespace macrovpn::shell
