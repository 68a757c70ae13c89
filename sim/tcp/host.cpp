#include "sim/tcp/host.h"

namespace macrovpn::sim {
namespace {

constexpr uint16_t kFirstPort = 32768, kPorts = 28232;  // as Linux: 32768 to 60999

}  // namespace

std::optional<ConnectionId> TcpHost::connect(Mono now, const IpAddress& local, const Endpoint& remote, std::unique_ptr<TcpContent> content,
                                             PacketSink& out) {
  if (connections_.size() >= kMostConnections) {
    counters_.full++;
    return std::nullopt;
  }
  const auto c = add({{local, free_port(local, remote)}, remote}, std::move(content));
  c->second.tcp.connect(now, out);
  const ConnectionId id{c->first};
  settle(c);
  return id;
}

uint16_t TcpHost::free_port(const IpAddress& local, const Endpoint& remote) {
  const auto start = static_cast<uint16_t>(random_->below(kPorts));
  for (uint32_t i = 0; i < kPorts; i++) {
    const auto port = static_cast<uint16_t>(kFirstPort + (start + i) % kPorts);
    if (!by_ends_.contains({{local, port}, remote})) return port;
  }
  MV_ASSERT(false);  // kMostConnections is less than kPorts
  return 0;
}

TcpHost::Connections::iterator TcpHost::add(const Ends& ends, std::unique_ptr<TcpContent> content) {
  const uint64_t id = next_id_++;
  TcpContent& shown = *content;
  const auto [c, fresh] = connections_.emplace(id, Connection{std::move(content), TcpEndpoint(config_, ends.local, ends.remote, random_->u32(), shown)});
  MV_ASSERT(fresh && by_ends_.emplace(ends, id).second);
  return c;
}

// Its deadline has changed, or it is gone.
void TcpHost::settle(Connections::iterator c) {
  Connection& connection = c->second;
  const bool gone = connection.tcp.is_gone();
  const Mono deadline = gone ? kNever : connection.tcp.next_deadline();
  if (deadline != connection.deadline) {
    // The node of the set is used again: nothing is allocated for each packet.
    auto node = deadlines_.extract({connection.deadline, c->first});
    if (deadline != kNever) {
      if (node.empty()) {
        deadlines_.emplace(deadline, c->first);
      } else {
        node.value().first = deadline;
        deadlines_.insert(std::move(node));
      }
    }
    connection.deadline = deadline;
  }
  if (!gone) return;
  by_ends_.erase({connection.tcp.local(), connection.tcp.remote()});
  connections_.erase(c);
}

TcpEndpoint* TcpHost::find(ConnectionId id) {
  const auto c = connections_.find(id.value);
  return c == connections_.end() ? nullptr : &c->second.tcp;
}

void TcpHost::flush(Mono now, ConnectionId id, PacketSink& out) {
  const auto c = connections_.find(id.value);
  if (c == connections_.end()) return;
  c->second.tcp.flush(now, out);
  settle(c);
}

void TcpHost::abort(Mono, ConnectionId id, PacketSink& out) {
  const auto c = connections_.find(id.value);
  if (c == connections_.end()) return;
  c->second.tcp.abort(out);
  settle(c);
}

void TcpHost::on_packet(Mono now, Bytes packet, PacketSink& out) {
  const auto read = read_segment(packet);
  if (!read) {
    const auto ip = routing::parse_ip(packet);
    if (ip && (ip->protocol == routing::IpProtocol::icmp || ip->protocol == routing::IpProtocol::icmpv6)) return on_icmp(now, packet, *ip, out);
    counters_.bad_packets++;
    return;
  }
  const TcpSegment& s = *read;
  const auto known = by_ends_.find({s.destination, s.source});
  if (known == by_ends_.end()) return s.has(routing::kTcpSyn) && !s.has(routing::kTcpAck) ? on_syn(now, s, out) : refuse(s, out);
  const auto c = connections_.find(known->second);
  c->second.tcp.on_segment(now, s, out);
  settle(c);
}

void TcpHost::on_syn(Mono now, const TcpSegment& s, PacketSink& out) {
  const auto service = services_.find(s.destination.port);
  if (service == services_.end() || s.has(routing::kTcpRst)) return refuse(s, out);
  if (connections_.size() >= kMostConnections) {
    counters_.full++;
    return refuse(s, out);
  }
  counters_.accepted++;
  const auto c = add({s.destination, s.source}, service->second(s.source));
  c->second.tcp.accept(now, s, out);
  settle(c);
}

// RFC 9293 §3.10.7.1.
void TcpHost::refuse(const TcpSegment& s, PacketSink& out) {
  counters_.unknown++;
  if (s.has(routing::kTcpRst)) return;
  counters_.refused++;
  TcpSegment reset{.source = s.destination, .destination = s.source};
  if (s.has(routing::kTcpAck)) {
    reset.sequence = s.acknowledged;
    reset.flags = routing::kTcpRst;
  } else {
    reset.acknowledged = s.sequence + static_cast<uint32_t>(s.payload.size()) + (s.has(routing::kTcpSyn) ? 1 : 0) + (s.has(routing::kTcpFin) ? 1 : 0);
    reset.flags = routing::kTcpRst | routing::kTcpAck;
  }
  ByteArray<128> buffer;
  const MutBytes packet = start_segment(reset, 0, buffer);
  finish_segment(packet);
  out.send(packet);
}

// An error quotes the packet of ours that it is about.
void TcpHost::on_icmp(Mono now, Bytes packet, const routing::IpHeader& h, PacketSink& out) {
  const Bytes body = packet.subspan(h.payload_at, h.size - size_t{h.payload_at});
  const size_t ip = h.is_v4() ? 20 : 40;
  if (body.size() < 8 + ip + 4) return;
  const Bytes quoted = body.subspan(8);
  const bool tcp = (h.is_v4() ? quoted[9] : quoted[6]) == static_cast<uint8_t>(routing::IpProtocol::tcp);
  if (!tcp || quoted[0] >> 4 != (h.is_v4() ? 4 : 6)) return;
  const auto address = [&](size_t at4, size_t at6) {
    return h.is_v4() ? IpAddress::v4(load_be32(&quoted[at4])) : IpAddress::v6(*to_array<16>(quoted.subspan(at6, 16)));
  };
  const Ends ends{{address(12, 8), load_be16(&quoted[ip])}, {address(16, 24), load_be16(&quoted[ip + 2])}};
  const auto known = by_ends_.find(ends);
  if (known == by_ends_.end()) return;
  const auto c = connections_.find(known->second);
  const bool too_big = h.is_v4() ? h.icmp_type == 3 && h.icmp_code == 4 : h.icmp_type == 2;
  const bool unreachable = h.is_v4() ? h.icmp_type == 3 : h.icmp_type == 1;
  if (too_big) {
    c->second.tcp.on_too_big(now, static_cast<uint16_t>(load_be32(&body[4])), out);
  } else if (unreachable) {
    c->second.tcp.on_unreachable(now);
  }
  settle(c);
}

void TcpHost::on_deadline(Mono now, PacketSink& out) {
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    const auto c = connections_.find(deadlines_.begin()->second);
    c->second.tcp.on_deadline(now, out);
    settle(c);
  }
}

void TcpHost::forget_all() {
  deadlines_.clear();
  by_ends_.clear();
  connections_.clear();
}

void TcpHost::check_invariants() const {
  MV_ASSERT(connections_.size() <= kMostConnections);
  MV_ASSERT(by_ends_.size() == connections_.size() && deadlines_.size() <= connections_.size());
  for (const auto& [id, c] : connections_) {
    c.tcp.check_invariants();
    MV_ASSERT(c.deadline == kNever || deadlines_.contains({c.deadline, id}));
  }
}

}  // namespace macrovpn::sim
