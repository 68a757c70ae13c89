#include "shell/wireguard/device.h"

#include "core/encryption/allowed_ips.h"
#include "core/routing/ip_reply.h"

namespace macrovpn::shell {
namespace {

using encryption::Drop;

// Batches read from one descriptor before the other gets its turn.
constexpr int kRounds = 4;

size_t type_of(Bytes message) {
  return encryption::is_message(message) ? message[0] : 0;
}

Route route_of(const node::Datagram& d) {
  return Route::udp(kListenSocket, d.remote, kPlain, d.local);
}

}  // namespace

WireGuardDevice::WireGuardDevice(Reactor& reactor, PacketDevice device, const DeviceLog& log)
    : reactor_(reactor), log_(log), tunnels_({}, {}, ShardId{0}, pool_, rng_), device_(std::move(device)) {
  reactor_.add(device_.fd(), EPOLLIN, [this](uint32_t) { read_device(); });
  reactor_.after_round([this] { flush(); });
}

WireGuardDevice::~WireGuardDevice() {
  reactor_.after_round({});
  close_socket();
  reactor_.remove(device_.fd());
}

void WireGuardDevice::set_link(const Link& link) {
  const Link before = std::exchange(link_, link);
  if (link.mtu != before.mtu) tunnels_.set_mtu(link.mtu);
  if (link.up == before.up) return;
  log_.verbose(link.up ? "the device is up" : "the device is down");
  if (!link.up) {
    close_socket();
    tunnels_.pause_configured();
    return;
  }
  if (const uapi::Refusal r = open_socket(port_); r.number != 0) log_.error(r.why);
  tunnels_.resume_configured(reactor_.now().mono);
}

// ---- from the wire

void WireGuardDevice::read_socket() {
  for (int i = 0; i < kRounds && socket_; i++) {
    incoming_.clear();
    const size_t n = socket_->receive(kListenSocket, pool_, incoming_);
    open_incoming();
    if (n < UdpSocket::kBatch) break;
  }
  incoming_.clear();
  if (socket_) count_too_long(socket_->dropped_as_too_long());
}

// Datagrams of the socket; who sent them cannot be told, since nothing of them was opened.
void WireGuardDevice::count_too_long(uint64_t dropped) {
  if (dropped == socket_too_long_) return;
  if (received_too_long_ == 0)
    log_.error("a peer sends packets of more than " + std::to_string(kLargestMtu) +
               " bytes, which do not fit here and are lost: give its device an MTU of at most that");
  received_too_long_ += dropped - std::exchange(socket_too_long_, dropped);
}

void WireGuardDevice::open_incoming() {
  for (node::Datagram& d : incoming_) {
    const size_t type = type_of(std::as_const(d.packet).bytes());
    received_[type]++;
    if (type == 4) {
      opening_.push_back({&d.packet, route_of(d)});
    } else if (type != 0) {
      open_collected();  // in the order of arrival: a handshake may replace the keys
      on_handshake_message(d);
    }
  }
  open_collected();
  if (!to_device_.empty()) {
    const size_t taken = device_.write_packets(to_device_);
    to_device_count_ += taken;
    not_written_ += to_device_.size() - taken;
  }
  to_device_.clear();
}

void WireGuardDevice::on_handshake_message(const node::Datagram& d) {
  const Now now = reactor_.now();
  const Route route = route_of(d);
  const Bytes message = d.packet.bytes();
  // Tunnels count what is refused; counters() tells.
  if (message[0] == 1) {
    static_cast<void>(tunnels_.on_initiation(now, {route, message.size(), {}}, message, {}, out_).ok());
  } else if (message[0] == 2) {
    static_cast<void>(tunnels_.on_response(now, route, message, out_));
  } else {
    static_cast<void>(tunnels_.on_cookie_reply(now, route, message));
  }
}

void WireGuardDevice::open_collected() {
  if (opening_.empty()) return;
  tunnels_.open_batch(reactor_.now(), opening_, out_);
  for (const encryption::OpenJob& job : opening_) {
    if (job.result == Drop::none && job.packet->size() != 0) to_device_.push_back(std::move(*job.packet));
  }
  opening_.clear();
}

// ---- from the device

// Each batch leaves before the next is read, so that the far end works while we read on.
void WireGuardDevice::read_device() {
  for (int i = 0; i < kRounds; i++) {
    packets_.clear();
    if (device_.read_packets(pool_, packets_, UdpSocket::kBatch) == PacketDevice::Status::gone) {
      reactor_.remove(device_.fd());
      if (on_gone_) on_gone_();
      return;
    }
    const size_t n = packets_.size();
    from_device_ += n;
    seal_collected();
    send_queued();
    if (n < UdpSocket::kBatch) break;
  }
}

void WireGuardDevice::seal_collected() {
  for (Packet& p : packets_) {
    const Bytes bytes = std::as_const(p).bytes();
    const auto inner = encryption::parse_inner_packet(bytes);
    if (inner && inner->length > kLargestMtu) {
      answer_too_long(bytes);
      continue;
    }
    const PeerRef peer = inner ? tunnels_.route_to(inner->destination) : PeerRef{};
    if (peer == PeerRef{}) {
      no_peer_++;
    } else if (loops_.is_loop(bytes)) {
      looped_++;
    } else {
      sealing_.push_back({peer, &p});
    }
  }
  tunnels_.seal_batch(reactor_.now(), sealing_, out_);
  for (encryption::SealJob& job : sealing_) {
    if (job.result == Drop::none) queue(job.route, std::move(*job.packet));
  }
  sealing_.clear();
  packets_.clear();
}

// It was sent before the MTU was put back (link_watch.h), or that could not be done.
void WireGuardDevice::answer_too_long(Bytes packet) {
  too_long_++;
  const auto h = routing::parse_ip(packet);
  Packet answer = pool_.take();
  if (h && routing::make_too_big(packet, *h, kLargestMtu, h->destination, answer))
    device_.write_packet(answer.bytes());
}

// ---- to the wire

void WireGuardDevice::queue(const Route& route, Packet packet) {
  sent_[type_of(std::as_const(packet).bytes())]++;
  outgoing_.push_back({route.socket, route.endpoint, std::move(packet), route.local});
}

void WireGuardDevice::send_queued() {
  if (!outgoing_.empty()) not_sent_ += outgoing_.size() - (socket_ ? socket_->send(outgoing_) : 0);
  outgoing_.clear();
}

void WireGuardDevice::flush() {
  const Now now = reactor_.now();
  if (now.mono >= tunnels_.next_deadline()) tunnels_.on_deadline(now, out_);
  for (encryption::Outgoing& m : out_.messages) queue(m.route, std::move(m.packet));
  out_.messages.clear();
  send_queued();
  for (const encryption::Event& e : out_.events) note(e);
  out_.events.clear();
  reactor_.wake_at(tunnels_.next_deadline());
}

void WireGuardDevice::note(const encryption::Event& event) {
  if (const auto* up = std::get_if<encryption::SessionUp>(&event)) {
    if (tunnels_.info(up->peer)) last_handshake_[up->peer] = reactor_.now().wall;
    (up->first ? first_sessions_ : renewals_)++;
    log_.verbose(up->first ? "a session with a peer is up" : "a session was renewed");
  } else if (std::holds_alternative<encryption::HandshakeFailed>(event)) {
    gave_up_++;
    log_.verbose("a peer did not answer for 90 s; the next packet for it starts another try");
  }
}

}  // namespace macrovpn::shell
