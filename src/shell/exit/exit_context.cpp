#include "shell/exit/exit_context.h"

#include <cerrno>

namespace macrovpn::shell {

using routing::InsideAddresses;
using routing::Unreachable;

PacketOutput::~PacketOutput() {
  if (armed_) reactor_.cancel(*armed_);
}

void PacketOutput::push(Packet p) {
  queue_.push_back(std::move(p));
  pushed();
}

void PacketOutput::pushed() {
  if (!armed_ && !queue_.empty()) armed_ = reactor_.after(Duration::zero(), [this] { flush(); });
}

void PacketOutput::flush() {
  armed_.reset();
  std::vector<Packet> batch = std::move(queue_);
  queue_.clear();
  on_packets_(batch);
  batch.clear();
  if (queue_.empty()) queue_ = std::move(batch);  // keeps its capacity
}

void PacketOutput::push_udp(const Endpoint& from, const Endpoint& to, Bytes payload, uint16_t mtu) {
  std::vector<uint8_t> t(8 + payload.size());
  MV_ASSERT(t.size() <= 65515);
  store_be16(&t[0], from.port);
  store_be16(&t[2], to.port);
  store_be16(&t[4], static_cast<uint16_t>(t.size()));
  std::copy(payload.begin(), payload.end(), t.begin() + 8);
  const uint16_t sum = routing::internet_checksum(
      t, routing::pseudo_header_sum(from.address, to.address, IpProtocol::udp, t.size()));
  store_be16(&t[6], sum == 0 ? 0xffff : sum);
  const size_t header = from.address.is_v4() ? 20 : 40;
  Packet p = take();
  if (header + t.size() <= std::min<size_t>(mtu, kPacketMax)) {
    const MutBytes body = routing::start_ip(from.address, to.address, IpProtocol::udp, t.size(), p);
    std::copy(t.begin(), t.end(), body.begin());
    return push(std::move(p));
  }
  routing::start_ip(from.address, to.address, IpProtocol::udp, 0, p);
  push_fragments(p, t, std::min<uint16_t>(mtu, kPacketMax));
}

// `header` is an IP header without contents; RFC 791 §2.3, RFC 8200 §4.5.
void PacketOutput::push_fragments(const Packet& header, Bytes transport, uint16_t mtu) {
  const bool v4 = header.data()[0] >> 4 == 4;
  const uint32_t id = fragment_id_++;
  const size_t fixed = header.size() + (v4 ? 0 : 8);
  if (mtu < fixed + 8) return;
  const size_t step = (mtu - fixed) & ~size_t{7};
  for (size_t at = 0; at < transport.size(); at += step) {
    const Bytes part = transport.subspan(at, std::min(step, transport.size() - at));
    const bool more = at + part.size() < transport.size();
    Packet p = pool_.copy_of(header.bytes());
    if (!v4) {
      uint8_t* f = p.push_back(8);
      f[0] = std::exchange(p.data()[6], uint8_t{44});
      f[1] = 0;
      store_be16(f + 2, static_cast<uint16_t>(at | (more ? 1 : 0)));
      store_be32(f + 4, id);
    }
    std::copy(part.begin(), part.end(), p.push_back(part.size()));
    if (v4) {
      store_be16(p.data() + 2, static_cast<uint16_t>(p.size()));
      store_be16(p.data() + 4, static_cast<uint16_t>(id));
      store_be16(p.data() + 6, static_cast<uint16_t>(at / 8 | (more ? 0x2000 : 0)));
      routing::seal_ipv4_header(p.bytes());
    } else {
      store_be16(p.data() + 4, static_cast<uint16_t>(p.size() - 40));
    }
    push(std::move(p));
  }
}

size_t PerLease::count(LeaseNumber n) const {
  const auto it = counts_.find(n);
  return it == counts_.end() ? 0 : it->second;
}

void PerLease::remove(LeaseNumber n) {
  const auto it = counts_.find(n);
  MV_ASSERT(it != counts_.end() && it->second > 0);
  if (--it->second == 0) counts_.erase(it);
}

void ExitContext::send_unreachable(Bytes packet, const IpHeader& h, Unreachable why) {
  // From our own inside address: the far end did not say it.  A closed port alone is the far host's own word.
  const IpAddress& from =
      why == Unreachable::port ? h.destination : InsideAddresses::get().dns(h.destination.family());
  Packet p = out.take();
  if (routing::make_unreachable(packet, h, why, from, p)) out.push(std::move(p));
}

void ExitContext::send_reset(Bytes packet, const IpHeader& h) {
  Packet p = out.take();
  if (routing::make_tcp_reset(packet, h, p)) out.push(std::move(p));
}

void ExitContext::set_mtu(PacketDevice& device, LeaseNumber lease, uint16_t mtu) {
  mtu = std::min(mtu, config.mtu);
  const bool narrower = mtu < mtu_of(lease);
  mtus[lease] = mtu;
  const auto sent = newest.find(lease);
  if (!narrower || sent == newest.end()) return;
  sent->second.each_larger_than(mtu, [&](Bytes p) {
    if (const auto h = routing::parse_ip(p)) answer_too_big(device, p, *h, mtu);
  });
}

// IPv6 hears of no MTU below 1280 (RFC 8201 §4): such a connection could only hang, and so both ends are told that it is
// over, in the other's name.  Programs then try again, over IPv4.
void ExitContext::answer_too_big(PacketDevice& device, Bytes packet, const IpHeader& h, uint16_t mtu) {
  Packet answer = out.take();
  if (h.is_v4() || mtu >= routing::kLeastV6Mtu) {
    if (routing::make_too_big(packet, h, mtu, h.destination, answer)) device.write_packet(answer.bytes());
    return;
  }
  if (routing::make_tcp_reset(packet, h, answer)) device.write_packet(answer.bytes());
  Packet end = out.take();
  if (routing::make_tcp_end(packet, h, end)) out.push(std::move(end));
}

Unreachable unreachable_of(int error) {
  switch (error) {
    case ECONNREFUSED:
      return Unreachable::port;
    case EACCES:
    case EPERM:
      return Unreachable::prohibited;
    case EHOSTUNREACH:
    case EHOSTDOWN:
    case ETIMEDOUT:
      return Unreachable::host;
    default:
      return Unreachable::no_route;
  }
}

}  // namespace macrovpn::shell
