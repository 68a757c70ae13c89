// Payloads out of sessions: opened a layer at a time for the whole batch, then handed to whom they concern.
#include <algorithm>

#include "core/node/node.h"

namespace macrovpn::node {

using encryption::MessageType;
using encryption::PeerKind;
using routing::FrameType;
using routing::PayloadKind;

namespace {

// Frames taken from one payload: each may be answered by a datagram of its own.
constexpr int kMostFrames = 4;

// The length that an IP packet claims; what follows is padding.
size_t ip_size(Bytes p) {
  if (p[0] >> 4 == 4) return p.size() >= 20 ? load_be16(&p[2]) : 0;
  return p.size() >= 40 ? 40u + load_be16(&p[4]) : 0;
}

}  // namespace

void Node::open_all(Now now, Effects& fx) {
  while (!opening_.empty()) {
    opened_.swap(opening_);
    jobs_.clear();
    for (Opening& o : opened_) jobs_.push_back({&o.packet, o.from, {}, encryption::Drop::none});
    encryption::Out out;
    tunnels_.open_batch(now, jobs_, out);
    take(out);
    on_tunnel_events(now, fx);  // a confirmation comes before what it carries
    for (size_t i = 0; i < opened_.size(); i++) {
      if (jobs_[i].result != encryption::Drop::none) continue;
      on_payload(now, jobs_[i].peer, opened_[i].from, std::move(opened_[i].packet), fx);
    }
    opened_.clear();
  }
}

void Node::on_payload(Now now, PeerRef peer, const Route& from, Packet&& packet, Effects& fx) {
  const auto kind = tunnels_.kind_of(peer);
  if (!kind) return;
  if (*kind == PeerKind::configured) return on_phone_packet(now, peer, std::move(packet), fx);
  const bool from_above = kind == PeerKind::hop;
  const bool from_below = kind == PeerKind::ephemeral;  // a caller of ours; else a relay that we called
  if (from_below && relay_ && !relay_->comes_its_way(peer, masks_.is_pair(from.mask))) {
    counters_.bad_payload++;
    return;
  }
  switch (routing::kind_of(packet.bytes())) {
    case PayloadKind::keepalive:
      return;
    case PayloadKind::ip: {
      const size_t size = ip_size(packet.bytes());
      if (size == 0 || size > packet.size()) break;
      packet.truncate(size);
      if (from_above && client_) return client_->on_ip(now, peer, std::move(packet), fx);
      if (from_below && exit_) return exit_->on_packet(now, peer, std::move(packet), fx);
      break;
    }
    case PayloadKind::relayed:
      if (from_above && is_spliced(peer)) return relay_->on_spliced(now, peer, std::move(packet));
      if (from_above) return on_relayed_up(now, peer, std::move(packet), fx);
      if (from_below && relay_) return relay_->on_relayed_down(now, peer, std::move(packet));
      break;
    case PayloadKind::control:
      if (from_above && links_.use_of(peer)) return on_link_payload(now, peer, packet.bytes(), fx);
      if (from_above && is_about_links(peer, packet.bytes())) return;
      if (from_above && client_) return client_->on_control(now, peer, packet.bytes(), fx);
      if (from_below && relay_) {
        routing::FrameReader reader(packet.bytes());
        for (int n = 0; n < kMostFrames; n++) {
          const auto f = reader.next();
          if (!f) return;
          on_request(now, peer, *f, fx);
        }
        return;
      }
      break;
    case PayloadKind::unknown:
      break;
  }
  counters_.bad_payload++;
}

// A message from a later hop of a circuit of ours, carried by `carrier`.
void Node::on_relayed_up(Now now, PeerRef carrier, Packet&& packet, Effects& fx) {
  const Route from = Route::through(carrier, routing::leg_of(packet.bytes()));
  const MessageType type = static_cast<MessageType>(packet.data()[0]);
  routing::set_leg(packet.data(), {0});
  if (type == MessageType::transport) {
    opening_.push_back({std::move(packet), from});
    return;
  }
  encryption::Out out;
  if (type == MessageType::response && packet.size() >= encryption::kResponseSize) {
    static_cast<void>(tunnels_.on_response(now, from, packet.bytes().first(encryption::kResponseSize), out));
  } else if (type == MessageType::cookie_reply && packet.size() >= encryption::kCookieReplySize) {
    const auto drop = tunnels_.on_cookie_reply(now, from, packet.bytes().first(encryption::kCookieReplySize));
    if (drop == encryption::Drop::none) links_.cookie_came(now, from);
  } else {
    counters_.bad_payload++;
  }
  take(out);
  on_tunnel_events(now, fx);
}

// A control frame from a caller.
void Node::on_request(Now now, PeerRef peer, const routing::Frame& f, Effects& fx) {
  switch (f.type) {
    case FrameType::extend:
      return relay_->on_extend(now, peer, f.body);
    case FrameType::close:
      if (const auto leg = routing::read_close(f.body)) on_close(now, peer, *leg, fx);
      return;
    case FrameType::ping:
      if (const auto p = routing::read_ping(f.body)) answer_ping(now, peer, *p);
      return;
    case FrameType::lease: {
      const auto info = tunnels_.info(peer);
      if (info && relay_->may_lease(now, peer)) exit_->on_lease(now, peer, relay_->caller_of(peer), f.body, info->h1, ExitSide::When::now, fx);
      return;
    }
    case FrameType::release:
      if (relay_->may_lease(now, peer)) exit_->on_release(now, peer, f.body, fx);
      return;
    case FrameType::bind:
      return answer_bind(now, peer, f.body);
    case FrameType::dial:
      return on_dial(now, peer, f.body, fx);
    case FrameType::measure:
    case FrameType::sample:
      return on_measuring(now, peer, f, fx);
    case FrameType::directory:
      return on_question(now, peer, f.body, fx);
    case FrameType::dht_put:
    case FrameType::dht_get:
      return on_record_request(now, peer, f, fx);
    case FrameType::splice:
      return relay_->on_splice(now, peer, f.body);
    case FrameType::register_here:
    case FrameType::connect:
      if (relay_->comes_its_way(peer, false)) introductions_->on_request(now, peer, f);
      return;
    default:
      counters_.bad_payload++;
  }
}

// Leg 0: the session itself has served (relay_links.h).
void Node::on_close(Now now, PeerRef peer, LegNumber leg, Effects& fx) {
  if (leg.value != 0) return relay_->on_close(peer, leg);
  introductions_->session_gone(peer);
  if (measure_) measure_->caller_gone(peer);
  if (live_) return live_->caller_gone(now, peer, fx);
  on_question(now, peer, {}, fx);
}

// Small ones tell whether a circuit lives and are only counted; one that measures an MTU is a packet like others.
void Node::answer_ping(Now now, PeerRef peer, const routing::PingFrame& p) {
  const auto pong = routing::write_ping(FrameType::pong, p);
  if (pong.size() <= peers::Resources::kSmall) {
    resources_.carry_always(pong.size());
  } else if (!resources_.carry(now.mono, peer, pong.size())) {
    return;
  }
  egress_.frame(peer, pong);
}

void Node::answer_bind(Now now, PeerRef peer, Bytes body) {
  const auto challenge = routing::read_bind(body);
  const auto info = tunnels_.info(peer);
  if (!challenge || !info || !config_.identity || !relay_->may_sign(now, peer)) return;
  const auto signature = discovery::sign_binding(
      *config_.identity,
      {config_.network.id, *challenge, info->key, config_.wireguard.pub, info->handshake_hash});
  egress_.frame(peer, routing::write_bound({config_.identity->pub, signature}));
}

// Measurements are the first shard's, whichever the caller's session is at.
void Node::on_measuring(Now now, PeerRef peer, const routing::Frame& f, Effects& fx) {
  const bool measures = config_.directory && config_.directory->measuring == DirectoryConfig::Measuring::on;
  const auto info = tunnels_.info(peer);
  if (!info) return;
  if (measure_) return measure_->on_request(now, {peer, relay_->caller_of(peer), info->handshake_hash}, f);
  if (!measures || config_.place.shard == ShardId{0}) {
    if (f.type == FrameType::measure && routing::read_measure(f.body)) egress_.frame(peer, routing::write_measure_ok({routing::MeasureOkFrame::Kind::no, 0}));
    return;
  }
  std::vector<uint8_t> typed{static_cast<uint8_t>(f.type)};
  typed.insert(typed.end(), f.body.begin(), f.body.end());
  ShardNote note;
  note.kind = ShardNote::Kind::measure;
  note.from = config_.place.shard;
  note.session = peer;
  note.caller = relay_->caller_of(peer);
  note.h1 = info->handshake_hash;
  fx.to_shards.push_back({ShardId{0}, note, pool_.copy_of(typed)});
}

void Node::on_tunnel_events(Now now, Effects& fx) {
  std::vector<encryption::Event> events;
  events.swap(events_);
  for (const encryption::Event& e : events) {
    if (const auto* up = std::get_if<encryption::SessionUp>(&e)) {
      if (exit_) exit_->session_confirmed(now, up->peer, fx);
      if (client_ && tunnels_.kind_of(up->peer) == PeerKind::hop) client_->heard_somebody();
      if (links_.session_up(now, up->peer)) continue;
      if (client_) client_->session_up(now, up->peer, fx);
    } else if (const auto* failed = std::get_if<encryption::HandshakeFailed>(&e)) {
      if (!links_.handshake_failed(failed->peer) && client_) client_->handshake_failed(now, failed->peer, fx);
    } else if (const auto* gone = std::get_if<encryption::PeerGone>(&e)) {
      if (verify_) verify_->caller_gone(gone->peer);
      if (measure_) measure_->caller_gone(gone->peer);
      if (relay_) relay_->session_gone(gone->peer);
      if (exit_) exit_->session_gone(now, gone->peer, fx);
      if (relay_) on_close(now, gone->peer, {0}, fx);
    }
  }
}

}  // namespace macrovpn::node
