#include "core/node/egress.h"

#include "core/routing/frames.h"

namespace macrovpn::node {

using encryption::MessageType;
using encryption::Outgoing;

namespace {
// Random lengths for handshakes, so that 148 and 92 do not show.
constexpr uint64_t kInitiationPadding = 256, kAnswerPadding = 48;
}  // namespace

void Egress::frame(PeerRef peer, Bytes frame) {
  payload(peer, pool_.copy_of(frame));
}

void Egress::datagram(SocketId socket, const Endpoint& to, MaskId mask, Packet packet, const IpAddress& local) {
  // Nobody spoke under it for long, and its relay has left the directory.
  if (!masks_.mask(mask, packet.bytes())) return;
  done_.push_back({socket, to, std::move(packet), local});
}

void Egress::emit(Outgoing& m) {
  const MessageType type = static_cast<MessageType>(m.packet.data()[0]);
  MaskId mask = m.route.mask;
  if (type != MessageType::transport && mask != kPlain) {
    // Handshakes go under the called side's key; a pair mask on an answer's route says that we were the
    // called side.
    if (masks_.is_pair(mask)) mask = kOwnMask;
    if (type == MessageType::initiation) {
      encryption::append_early(m.packet, {});
      encryption::append_padding(m.packet, rng_, m.packet.size() + rng_.below(kInitiationPadding));
    } else {
      encryption::append_padding(m.packet, rng_, m.packet.size() + rng_.below(kAnswerPadding));
    }
  }
  if (m.peer.value != 0 && !tunnels_.may_send(m.peer, m.packet.size())) return;
  datagram(m.route.socket, m.route.endpoint, mask, std::move(m.packet), m.route.local);
}

void Egress::seal_layer(Now now, std::vector<encryption::Event>& events) {
  sealing_.swap(seal_);
  jobs_.clear();
  for (ToSeal& s : sealing_) jobs_.push_back({s.peer, &s.packet, {}, encryption::Drop::none});
  encryption::Out out;
  tunnels_.seal_batch(now, jobs_, out);
  for (size_t i = 0; i < sealing_.size(); i++) {
    if (jobs_[i].result != encryption::Drop::none || !sealing_[i].packet) continue;
    whole_.push_back({sealing_[i].peer, jobs_[i].route, std::move(sealing_[i].packet)});
  }
  sealing_.clear();
  for (Outgoing& m : out.messages) whole_.push_back(std::move(m));
  events.insert(events.end(), out.events.begin(), out.events.end());
}

void Egress::flush(Now now, Effects& fx, std::vector<encryption::Event>& events) {
  while (!seal_.empty() || !whole_.empty() || !last_.empty()) {
    if (seal_.empty() && whole_.empty()) {
      seal_.push_back(std::move(last_.front()));
      last_.pop_front();
    }
    sending_.swap(whole_);
    for (Outgoing& m : sending_) {
      if (m.route.kind == Route::Kind::udp) {
        emit(m);
      } else if (m.route.kind == Route::Kind::leg) {
        routing::set_leg(m.packet.data(), m.route.leg);
        payload(m.route.carrier, std::move(m.packet));
      }
    }
    sending_.clear();
    if (!seal_.empty()) seal_layer(now, events);
  }
  for (Datagram& d : done_) fx.datagrams.push_back(std::move(d));
  done_.clear();
}

}  // namespace macrovpn::node
