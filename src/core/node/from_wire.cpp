// Datagrams in: unmasked, sorted into messages for our own sessions, answers for legs, and calls from
// outside.
#include "core/node/node.h"

namespace macrovpn::node {

using encryption::MessageType;

namespace {

// A plain message is whole WireGuard; only masked ones have a length field, early data, a trailer and
// padding.
Result<encryption::HandshakeDatagram, encryption::Drop> cut(Bytes datagram, MaskId mask) {
  if (mask != kPlain) return encryption::parse_handshake_datagram(datagram);
  encryption::HandshakeDatagram out;
  out.type = static_cast<MessageType>(datagram[0]);
  out.message = datagram;
  return out;
}

}  // namespace

void Node::on_datagrams(Now now, std::span<Datagram> batch, Effects& fx) {
  for (Datagram& d : batch) sort(now, d, fx);
  open_all(now, fx);
  finish(now, fx);
}

void Node::sort(Now now, Datagram& d, Effects& fx) {
  counters_.datagrams++;
  if (is_way_socket(d.socket) && !(introductions_ && introductions_->lets_in(now, d))) {
    counters_.unknown++;
    return;
  }
  const auto found = masks_.unmask(d.remote, d.packet.bytes());
  // Phones are stock WireGuard and speak plainly.
  if (!found || (d.socket == kPhoneSocket && found->mask != kPlain)) {
    if (!found && introductions_ && introductions_->on_datagram(now, d)) return;
    if (!found && stun_ && stun_->on_datagram(now, d)) return;
    counters_.unknown++;
    return;
  }
  if (found->type != MessageType::transport) {
    open_all(now, fx);  // what came before a handshake is handled before it
    return on_handshake(now, d, found->mask, fx);
  }
  if (tunnels_.owns_index(encryption::receiver_index(d.packet.bytes()))) {
    opening_.push_back({std::move(d.packet), Route::udp(d.socket, d.remote, found->mask, d.local)});
  } else if (const auto owner = owner_elsewhere(d); owner && !(relay_ && relay_->expects(now, d.remote, encryption::receiver_index(d.packet.bytes())))) {
    hand_over(*owner, ShardNote::Kind::datagram, d, found->mask, {}, fx);
  } else if (relay_) {
    relay_->on_answer(now, d.remote, std::move(d.packet));
  }
}

void Node::on_handshake(Now now, Datagram& d, MaskId mask, Effects& fx) {
  const auto h = cut(d.packet.bytes(), mask);
  if (!h.ok()) {
    counters_.malformed++;
    return;
  }
  if (h->type == MessageType::initiation) return on_initiation(now, d, mask, *h, fx);
  if (!tunnels_.owns_index(encryption::receiver_index(h->message))) {
    if (relay_) relay_->on_answer(now, d.remote, pool_.copy_of(h->message));
    return;
  }
  const Route from = Route::udp(d.socket, d.remote, mask, d.local);
  encryption::Out out;
  if (h->type == MessageType::response) {
    static_cast<void>(tunnels_.on_response(now, from, h->message, out));
  } else {
    const auto drop = tunnels_.on_cookie_reply(now, from, h->message);
    if (drop == encryption::Drop::none) links_.cookie_came(now, from);
    if (drop == encryption::Drop::none && client_) client_->cookie_came(now, from);
    if (drop == encryption::Drop::none) links_.cookie_came(now, from);
  }
  take(out);
  on_tunnel_events(now, fx);
}

// An address (a client) if there is no trailer; nothing if the trailer is not believed.  A replay of a
// relay's initiation is known by its number and goes before it costs that relay anything of its share, or us
// a Diffie-Hellman.
std::optional<Upstream> Node::who_sent(Now now, const Endpoint& from,
                                       const encryption::HandshakeDatagram& h) {
  const auto refuse = [](uint64_t& counter) {
    counter++;
    return std::nullopt;
  };
  if (!h.trailer) return Upstream{0, std::nullopt, caller_key(from.address)};
  const encryption::Trailer& t = *h.trailer;
  const RelayInfo* relay = directory_.find(t.relay, now.wall);
  if (relay == nullptr) return refuse(counters_.unknown_relay);
  const auto pair = masks_.pair(relay->wireguard);
  if (!pair || !masks_.pair_keys(*pair).verify_trailer(h.signed_part, t.mac))
    return refuse(counters_.bad_trailer);
  if (!masks_.accept_number(*pair, t.number, now.wall)) return refuse(counters_.replayed_trailer);
  if (t.relays_before >= kMostRelaysBefore) return refuse(counters_.too_deep);
  return Upstream{t.relays_before + 1u, relay->id, caller_key(relay->id)};
}

void Node::on_initiation(Now now, Datagram& d, MaskId mask, const encryption::HandshakeDatagram& h, Effects& fx) {
  const auto upstream = who_sent(now, d.remote, h);
  if (upstream) answer(now, d, mask, h, *upstream, Handed::no, fx);
}

void Node::answer(Now now, Datagram& d, MaskId mask, const encryption::HandshakeDatagram& h, const Upstream& from,
                  Handed handed, Effects& fx) {
  if (from.relay) mask = *masks_.pair(directory_.find(*from.relay, now.wall)->wireguard);
  const encryption::Caller caller{Route::udp(d.socket, d.remote, mask, d.local), d.packet.size(), from.relay,
                                  handed == Handed::over,
                                  d.socket == kPhoneSocket ? encryption::Caller::Who::configured
                                                           : encryption::Caller::Who::strangers};
  encryption::Out out;
  const auto accepted = tunnels_.on_initiation(now, caller, h.message, h.early, out);
  take(out);
  if (accepted.ok() && accepted->elsewhere) {
    hand_over(*accepted->elsewhere, ShardNote::Kind::initiation, d, mask, from, fx);
  } else if (accepted.ok()) {
    if (from.relay) masks_.note_endpoint(d.remote, mask);
    const auto info = tunnels_.info(accepted->peer);
    if (relay_ && info && info->kind == encryption::PeerKind::ephemeral) {
      relay_->session_accepted(accepted->peer, from);
      on_early(now, *accepted, fx);
    }
  }
  on_tunnel_events(now, fx);
}

void Node::on_early(Now now, const encryption::Accepted& a, Effects& fx) {
  if (a.early != encryption::Drop::none) {
    relay_->error(a.peer, routing::ErrorCode::early_refused, {0});
    return;
  }
  routing::FrameReader reader(a.early_plain);
  const auto f = reader.next();
  if (!f) return;
  if (f->type == routing::FrameType::extend) relay_->on_extend(now, a.peer, f->body);
  if (f->type == routing::FrameType::lease) {
    exit_->on_lease(now, a.peer, relay_->caller_of(a.peer), f->body, a.h1, ExitSide::When::at_confirmation,
                    fx);
  }
}

}  // namespace macrovpn::node
