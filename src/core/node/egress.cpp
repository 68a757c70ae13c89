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

void Egress::datagram(SocketId socket, const Endpoint& to, MaskId mask, Packet&& packet, const IpAddress& local) {
  // Nobody spoke under it for long, and its relay has left the directory.
  if (!masks_.mask(mask, packet.bytes())) return;
  done_.push_back({socket, to, std::move(packet), local});
}

// A whole message: out, or into the session that carries it.
void Egress::place(PeerRef peer, const Route& route, Packet&& message) {
  if (route.kind == Route::Kind::udp) {
    emit(peer, route, std::move(message));
  } else if (route.kind == Route::Kind::leg) {
    routing::set_leg(message.data(), route.leg);
    payload(route.carrier, std::move(message));
  }
}

void Egress::emit(PeerRef peer, const Route& route, Packet&& message) {
  const MessageType type = static_cast<MessageType>(message.data()[0]);
  MaskId mask = route.mask;
  if (type != MessageType::transport && mask != kPlain) {
    // Handshakes go under the called side's key; a pair mask on an answer's route says that we were the
    // called side.
    if (masks_.is_pair(mask)) mask = kOwnMask;
    if (type == MessageType::initiation) {
      encryption::append_early(message, {});
      encryption::append_padding(message, rng_, message.size() + rng_.below(kInitiationPadding));
    } else {
      encryption::append_padding(message, rng_, message.size() + rng_.below(kAnswerPadding));
    }
  }
  if (peer.value != 0 && !tunnels_.may_send(peer, message.size())) return;
  datagram(route.socket, route.endpoint, mask, std::move(message), route.local);
}

void Egress::seal_layer(Now now, std::vector<encryption::Event>& events) {
  sealing_.swap(seal_);
  jobs_.clear();
  for (ToSeal& s : sealing_) jobs_.push_back({s.peer, &s.packet, {}, encryption::Drop::none});
  encryption::Out out;
  tunnels_.seal_batch(now, jobs_, out);
  for (size_t i = 0; i < sealing_.size(); i++) {
    if (jobs_[i].result != encryption::Drop::none || !sealing_[i].packet) continue;
    place(sealing_[i].peer, jobs_[i].route, std::move(sealing_[i].packet));
  }
  sealing_.clear();
  for (Outgoing& m : out.messages) place(m.peer, m.route, std::move(m.packet));
  events.insert(events.end(), out.events.begin(), out.events.end());
}

void Egress::flush(Now now, Effects& fx, std::vector<encryption::Event>& events) {
  while (!seal_.empty() || !whole_.empty() || !last_.empty()) {
    if (seal_.empty() && whole_.empty()) {
      seal_.push_back(std::move(last_.front()));
      last_.pop_front();
    }
    sending_.swap(whole_);
    for (Outgoing& m : sending_) place(m.peer, m.route, std::move(m.packet));
    sending_.clear();
    if (!seal_.empty()) seal_layer(now, events);
  }
  if (fx.datagrams.empty()) {
    fx.datagrams.swap(done_);
  } else {
    for (Datagram& d : done_) fx.datagrams.push_back(std::move(d));
  }
  done_.clear();
}

void Egress::rest() {
  MV_ASSERT(seal_.empty() && whole_.empty() && last_.empty());
  seal_ = decltype(seal_)();
  sealing_ = decltype(sealing_)();
  last_ = decltype(last_)();
  whole_ = decltype(whole_)();
  sending_ = decltype(sending_)();
  jobs_ = decltype(jobs_)();
  done_ = decltype(done_)();
}

}  // namespace macrovpn::node
