#include "shell/wireguard/device_worker.h"

#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>

#include "core/encryption/allowed_ips.h"
#include "core/routing/ip_reply.h"
#include "shell/wireguard/link_watch.h"

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

DeviceWorker::DeviceWorker(Reactor& reactor, routing::ShardPlace place, PacketDevice queue, DeviceCommons* commons,
                           const DeviceLog& log)
    : reactor_(reactor),
      place_(place),
      commons_(commons),
      log_(log),
      tunnels_({}, {}, place.shard, pool_, rng_),
      loops_(tunnels_, commons ? &commons->whereabouts : nullptr),
      device_(std::move(queue)) {
  reactor_.add(device_.fd(), EPOLLIN, [this](uint32_t) { read_device(); });
  if (commons_) commons_->crossing.bell(place_.shard).hang_in(reactor_, [this] { take_handed_over(); });
  reactor_.after_round([this] { flush(); });
}

DeviceWorker::~DeviceWorker() {
  reactor_.after_round({});
  close_socket();
  if (commons_) commons_->crossing.bell(place_.shard).take_from(reactor_);
  reactor_.remove(device_.fd());
}

std::optional<Wall> DeviceWorker::last_handshake(PeerRef peer) const {
  const auto at = last_handshake_.find(peer);
  return at == last_handshake_.end() ? std::nullopt : std::optional(at->second);
}

void DeviceWorker::tell_others(PeerRef peer) {
  if (!commons_) return;
  if (const auto trace = tunnels_.trace_of(peer)) commons_->whereabouts.set(peer, *trace);
}

void DeviceWorker::set_socket(UdpSocket socket, uint16_t port) {
  close_socket();
  socket_ = std::move(socket);
  loops_.set_listen_port(port);
  reactor_.add(socket_->fd(), EPOLLIN, [this](uint32_t) { read_socket(); });
}

void DeviceWorker::close_socket() {
  if (!socket_) return;
  reactor_.remove(socket_->fd());
  socket_.reset();
  socket_too_long_ = 0;
}

// What lies in a queue that is given up is lost, which is no more than a full queue would lose.
void DeviceWorker::take_packets(bool on) {
  if (on == takes_packets_) return;
  ifreq r{};
  r.ifr_flags = static_cast<short>(on ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE);
  if (ioctl(device_.fd(), TUNSETQUEUE, &r) != 0) return;  // then it goes on as before
  takes_packets_ = on;
  if (on) {
    reactor_.add(device_.fd(), EPOLLIN, [this](uint32_t) { read_device(); });
  } else {
    reactor_.remove(device_.fd());
  }
}

// ---- from the wire

void DeviceWorker::read_socket() {
  for (int i = 0; i < kRounds && socket_; i++) {
    incoming_.clear();
    const size_t n = socket_->receive(kListenSocket, pool_, incoming_);
    open_incoming(Handed::no);
    if (n < UdpSocket::kBatch) break;
  }
  incoming_.clear();
  if (socket_) count_too_long(socket_->dropped_as_too_long());
}

// Datagrams of the socket; who sent them cannot be told, since nothing of them was opened.
void DeviceWorker::count_too_long(uint64_t dropped) {
  if (dropped == socket_too_long_) return;
  if (counts_.received_too_long == 0)
    log_.error("a peer sends packets of more than " + std::to_string(kLargestMtu) +
               " bytes, which do not fit here and are lost: give its device an MTU of at most that");
  counts_.received_too_long += dropped - std::exchange(socket_too_long_, dropped);
}

void DeviceWorker::open_incoming(Handed handed) {
  for (node::Datagram& d : incoming_) {
    const size_t type = type_of(std::as_const(d.packet).bytes());
    if (handed == Handed::no) counts_.received[type]++;
    if (type == 0) continue;
    if (handed == Handed::no && is_anothers(d)) {
      const Bytes m = d.packet.bytes();
      hand_over(type == 1 ? ShardId{0} : shard_of(encryption::receiver_index(m)), node::ShardNote::Kind::datagram, d);
    } else if (type == 4) {
      opening_.push_back({&d.packet, route_of(d)});
    } else {
      open_collected();  // in the order of arrival: a handshake may replace the keys
      on_handshake_message(d, Handed::no);
    }
  }
  open_collected();
  if (!to_device_.empty()) {
    const size_t taken = device_.write_packets(to_device_);
    counts_.to_device += taken;
    counts_.not_written += to_device_.size() - taken;
  }
  to_device_.clear();
  send_to_others();
}

// handed: by worker 0, which has admitted it.
void DeviceWorker::on_handshake_message(node::Datagram& d, Handed handed) {
  const Now now = reactor_.now();
  const Route route = route_of(d);
  const Bytes message = d.packet.bytes();
  // Tunnels count what is refused; counters() tells.
  if (message[0] == 1) {
    const encryption::Caller caller{.from = route, .datagram_size = message.size(), .handed_over = handed == Handed::over};
    const auto accepted = tunnels_.on_initiation(now, caller, message, {}, out_);
    if (accepted.ok() && accepted->elsewhere) hand_over(*accepted->elsewhere, node::ShardNote::Kind::initiation, d);
  } else if (message[0] == 2) {
    static_cast<void>(tunnels_.on_response(now, route, message, out_));
  } else {
    static_cast<void>(tunnels_.on_cookie_reply(now, route, message));
  }
}

void DeviceWorker::open_collected() {
  if (opening_.empty()) return;
  tunnels_.open_batch(reactor_.now(), opening_, out_);
  for (const encryption::OpenJob& job : opening_) {
    if (job.result == Drop::none && job.packet->size() != 0) to_device_.push_back(std::move(*job.packet));
  }
  opening_.clear();
}

// ---- from the device

// Each batch leaves before the next is read, so that the far end works while we read on.
void DeviceWorker::read_device() {
  for (int i = 0; i < kRounds; i++) {
    take_handed_over();
    packets_.clear();
    if (device_.read_packets(pool_, packets_, UdpSocket::kBatch) == PacketDevice::Status::gone) {
      reactor_.remove(device_.fd());
      if (on_gone_) on_gone_();
      return;
    }
    const size_t n = packets_.size();
    counts_.from_device += n;
    seal_collected(Handed::no);
    send_queued();
    send_to_others();
    if (n < UdpSocket::kBatch) break;
  }
}

void DeviceWorker::seal_collected(Handed handed) {
  for (Packet& p : packets_) {
    const Bytes bytes = std::as_const(p).bytes();
    const auto inner = encryption::parse_inner_packet(bytes);
    if (inner && inner->length > kLargestMtu) {
      answer_too_long(bytes);
      continue;
    }
    const PeerRef peer = inner ? tunnels_.route_to(inner->destination) : PeerRef{};
    const bool own = shard_of(peer) == place_.shard;
    if (peer == PeerRef{} || (!own && handed == Handed::over)) {  // handed over once and no further
      counts_.no_peer++;
    } else if (!own) {
      counts_.crossed++;
      node::ShardMessage& m = to_others_.emplace_back();
      m.to = shard_of(peer);
      m.note.kind = node::ShardNote::Kind::outward;
      m.packet = std::move(p);
    } else if (loops_.is_loop(bytes)) {
      counts_.looped++;
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
void DeviceWorker::answer_too_long(Bytes packet) {
  counts_.too_long++;
  const auto h = routing::parse_ip(packet);
  Packet answer = pool_.take();
  if (h && routing::make_too_big(packet, *h, kLargestMtu, h->destination, answer))
    device_.write_packet(answer.bytes());
}

// ---- to the wire

void DeviceWorker::queue(const Route& route, Packet packet) {
  counts_.sent[type_of(std::as_const(packet).bytes())]++;
  outgoing_.push_back({route.socket, route.endpoint, std::move(packet), route.local});
}

void DeviceWorker::send_queued() {
  if (!outgoing_.empty()) counts_.not_sent += outgoing_.size() - (socket_ ? socket_->send(outgoing_) : 0);
  outgoing_.clear();
}

void DeviceWorker::flush() {
  const Now now = reactor_.now();
  if (now.mono >= tunnels_.next_deadline()) tunnels_.on_deadline(now, out_);
  for (encryption::Outgoing& m : out_.messages) queue(m.route, std::move(m.packet));
  out_.messages.clear();
  send_queued();
  for (const encryption::Event& e : out_.events) note(e);
  out_.events.clear();
  reactor_.wake_at(tunnels_.next_deadline());
}

void DeviceWorker::note(const encryption::Event& event) {
  if (const auto* up = std::get_if<encryption::SessionUp>(&event)) {
    if (tunnels_.info(up->peer)) last_handshake_[up->peer] = reactor_.now().wall;
    tell_others(up->peer);
    (up->first ? counts_.first_sessions : counts_.renewals)++;
    log_.verbose(up->first ? "a session with a peer is up" : "a session was renewed");
  } else if (std::holds_alternative<encryption::HandshakeFailed>(event)) {
    counts_.gave_up++;
    log_.verbose("a peer did not answer for 90 s; the next packet for it starts another try");
  } else if (const auto* moved = std::get_if<encryption::PeerMoved>(&event)) {
    tell_others(moved->peer);
  }
}

}  // namespace macrovpn::shell
