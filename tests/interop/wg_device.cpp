#include "wg_device.h"

#include <iostream>
#include <nlohmann/json.hpp>

#include "core/encryption/allowed_ips.h"
#include "shell/tun.h"

namespace macrovpn::interop {
namespace {

using encryption::Drop;
using Json = nlohmann::ordered_json;

// Batches read from one descriptor before the other gets its turn.
constexpr int kRounds = 4;

Json line(const char* event, Wall at) {
  return {{"event", event}, {"at", std::chrono::duration<double>(at.time_since_epoch()).count()}};
}

void print(const Json& j) {
  std::cout << j.dump() << std::endl;
}

size_t type_of(Bytes message) {
  return encryption::is_message(message) ? message[0] : 0;
}

Json counts_by_type(const std::array<uint64_t, 5>& n) {
  return {
      {"other", n[0]}, {"initiation", n[1]}, {"response", n[2]}, {"cookie_reply", n[3]}, {"transport", n[4]}};
}

}  // namespace

Result<std::unique_ptr<WgDevice>> WgDevice::open(shell::Reactor& reactor, const NodeOptions& o) {
  TRY(shell::UdpSocket socket, shell::UdpSocket::open({IpAddress(), o.listen_port}));
  TRY(shell::PacketDevice tun, shell::PacketDevice::create(o.ifname, shell::PacketDevice::Kind::tun));
  TRY_VOID(shell::configure_link(o.ifname, {.mtu = o.mtu, .addresses = o.addresses}));
  std::unique_ptr<WgDevice> device(new WgDevice(reactor, o, std::move(socket), std::move(tun)));
  TRY_VOID(device->add_peers(o.peers));
  Json j = line("ready", reactor.now().wall);
  j["public_key"] = to_base64(o.self.pub.bytes);
  j["port"] = device->socket_.port();
  print(j);
  return device;
}

WgDevice::WgDevice(shell::Reactor& reactor, const NodeOptions& o, shell::UdpSocket socket,
                   shell::PacketDevice tun)
    : reactor_(reactor),
      tunnels_(o.self, {}, ShardId{0}, pool_, rng_, o.limits),
      socket_(std::move(socket)),
      tun_(std::move(tun)) {
  reactor_.add(socket_.fd(), EPOLLIN, [this](uint32_t) { read_socket(); });
  reactor_.add(tun_.fd(), EPOLLIN, [this](uint32_t) { read_tun(); });
  reactor_.after_round([this] { flush(); });
}

WgDevice::~WgDevice() {
  reactor_.after_round({});
  reactor_.remove(socket_.fd());
  reactor_.remove(tun_.fd());
}

Result<void> WgDevice::add_peers(const std::vector<encryption::ConfiguredPeer>& peers) {
  for (const encryption::ConfiguredPeer& p : peers) {
    const auto ref = tunnels_.add_configured(reactor_.now().mono, p);
    if (!ref) return fail(std::string("the core refused a peer: ") + name_of(ref.error()));
    known_[*ref] = p.route.endpoint;
  }
  reactor_.wake_at(reactor_.now().mono);
  return {};
}

// ---- from the wire

void WgDevice::read_socket() {
  for (int i = 0; i < kRounds; i++) {
    incoming_.clear();
    const size_t n = socket_.receive(kListenSocket, pool_, incoming_);
    for (node::Datagram& d : incoming_) {
      const size_t type = type_of(std::as_const(d.packet).bytes());
      received_[type]++;
      if (type == 4) {
        opening_.push_back({&d.packet, Route::udp(kListenSocket, d.remote, kPlain)});
      } else if (type != 0) {
        open_collected();  // in the order of arrival: a handshake may replace the keys
        on_handshake_message(d.remote, d.packet.bytes());
      }
    }
    open_collected();
    if (n < shell::UdpSocket::kBatch) break;
  }
  incoming_.clear();
  tell_roaming();
}

void WgDevice::on_handshake_message(const Endpoint& from, Bytes message) {
  const Now now = reactor_.now();
  const Route route = Route::udp(kListenSocket, from, kPlain);
  // Refusals are counted by the core; print_stats() tells them.
  if (message[0] == 1) {
    static_cast<void>(tunnels_.on_initiation(now, {route, message.size(), {}}, message, {}, out_).ok());
  } else if (message[0] == 2) {
    static_cast<void>(tunnels_.on_response(now, route, message, out_));
  } else {
    static_cast<void>(tunnels_.on_cookie_reply(now, route, message));
  }
}

void WgDevice::open_collected() {
  if (opening_.empty()) return;
  tunnels_.open_batch(reactor_.now(), opening_, out_);
  for (const encryption::OpenJob& job : opening_) {
    if (job.result != Drop::none || job.packet->size() == 0) continue;
    if (tun_.write_packet(std::as_const(*job.packet).bytes())) to_tun_++;
  }
  opening_.clear();
}

// ---- from the device

void WgDevice::read_tun() {
  for (int i = 0; i < kRounds; i++) {
    packets_.clear();
    const auto status = tun_.read_packets(pool_, packets_, shell::UdpSocket::kBatch);
    if (status == shell::PacketDevice::Status::gone) return reactor_.stop();
    from_tun_ += packets_.size();
    for (Packet& p : packets_) {
      const auto inner = encryption::parse_inner_packet(std::as_const(p).bytes());
      const PeerRef peer = inner ? tunnels_.route_to(inner->destination) : PeerRef{};
      if (peer == PeerRef{}) {
        no_peer_++;
      } else {
        sealing_.push_back({peer, &p});
      }
    }
    tunnels_.seal_batch(reactor_.now(), sealing_, out_);
    for (encryption::SealJob& job : sealing_) {
      if (job.result == Drop::none) queue(job.route, std::move(*job.packet));
    }
    sealing_.clear();
    if (packets_.size() < shell::UdpSocket::kBatch) break;
  }
  packets_.clear();
}

// ---- to the wire

void WgDevice::queue(const Route& route, Packet packet) {
  sent_[type_of(std::as_const(packet).bytes())]++;
  outgoing_.push_back({route.socket, route.endpoint, std::move(packet)});
}

void WgDevice::flush() {
  const Now now = reactor_.now();
  if (now.mono >= tunnels_.next_deadline()) tunnels_.on_deadline(now, out_);
  for (encryption::Outgoing& m : out_.messages) queue(m.route, std::move(m.packet));
  out_.messages.clear();
  if (!outgoing_.empty()) not_sent_ += outgoing_.size() - socket_.send(outgoing_);
  outgoing_.clear();
  for (const encryption::Event& e : out_.events) tell(e);
  out_.events.clear();
  tunnels_.check_invariants();
  reactor_.wake_at(tunnels_.next_deadline());
}

// ---- what the tests read

void WgDevice::tell(const encryption::Event& event) const {
  const bool failed = std::holds_alternative<encryption::HandshakeFailed>(event);
  const auto* up = std::get_if<encryption::SessionUp>(&event);
  if (up == nullptr && !failed) return;
  Json j = line(failed ? "failed" : "session", reactor_.now().wall);
  if (up != nullptr) j["first"] = up->first;
  const PeerRef peer = std::visit([](const auto& e) { return e.peer; }, event);
  j["peer"] = to_base64(tunnels_.info(peer)->key.bytes);
  print(j);
}

void WgDevice::tell_roaming() {
  for (auto& [ref, endpoint] : known_) {
    const auto info = tunnels_.info(ref);
    if (info->route.endpoint == endpoint) continue;
    endpoint = info->route.endpoint;
    Json j = line("roam", reactor_.now().wall);
    j["peer"] = to_base64(info->key.bytes);
    j["endpoint"] = endpoint.reveal();
    print(j);
  }
}

void WgDevice::print_stats() const {
  const Now now = reactor_.now();
  Json j = line("stats", now.wall);
  j["received"] = counts_by_type(received_);
  j["sent"] = counts_by_type(sent_);
  j["from_tun"] = from_tun_;
  j["to_tun"] = to_tun_;
  j["no_peer"] = no_peer_;
  j["not_sent"] = not_sent_;
  for (size_t i = 1; i < static_cast<size_t>(Drop::count_); i++) {
    const auto d = static_cast<Drop>(i);
    if (tunnels_.count(d) != 0) j["drops"][name_of(d)] = tunnels_.count(d);
  }
  for (const PeerRef ref : tunnels_.peers()) {
    const auto info = tunnels_.info(ref);
    Json p = {{"established", info->established}, {"rx", info->rx_bytes}, {"tx", info->tx_bytes}};
    if (info->route.kind == Route::Kind::udp) p["endpoint"] = info->route.endpoint.reveal();
    if (info->last_handshake != kLongAgo)
      p["handshake_age"] = std::chrono::duration<double>(now.mono - info->last_handshake).count();
    j["peers"][to_base64(info->key.bytes)] = p;
  }
  print(j);
}

}  // namespace macrovpn::interop
