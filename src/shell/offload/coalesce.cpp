#include "shell/offload/coalesce.h"

#include "base/checksum.h"
#include "shell/offload/virtio_header.h"

namespace macrovpn::shell {
namespace {

constexpr size_t kIp4Header = 20, kIp6Header = 40, kTcpHeader = 20, kUdpHeader = 8;
constexpr uint8_t kTcp = 6, kUdp = 17;
constexpr uint8_t kPsh = 0x08, kAck = 0x10;
constexpr uint32_t kMostTcp = 512;  // segments: an iovec each
constexpr uint32_t kMostUdp = 64;   // UDP_MAX_SEGMENTS of the kernels that have the least
constexpr size_t kLargest = 0xffff;

// Addresses and ports, mixed; equal flows have equal keys, others most likely not.
uint64_t key_of(Bytes p, size_t ip_header) {
  const Bytes addresses = ip_header == kIp4Header ? p.subspan(12, 8) : p.subspan(8, 32);
  uint64_t k = load_le32(&p[ip_header]);
  for (size_t i = 0; i < addresses.size(); i += 8) k = (k ^ load_le64(&addresses[i])) * 0x9e3779b97f4a7c15;
  return k ^ k >> 29;
}

// Of a length that the compiler knows: words are compared, without a call.
template <size_t N>
bool same(Bytes a, Bytes b, size_t at) {
  return std::memcmp(&a[at], &b[at], N) == 0;
}

bool same_flow(Bytes a, Bytes b, size_t ip_header) {
  return a[0] >> 4 == b[0] >> 4 &&
         (ip_header == kIp4Header ? a[9] == b[9] && same<8>(a, b, 12) : a[6] == b[6] && same<16>(a, b, 8) && same<16>(a, b, 24)) &&
         same<4>(a, b, ip_header);
}

// What of an IP header must be equal, or count up, for cutting to restore it.
bool same_network_header(Bytes first, Bytes p, size_t ip_header, uint32_t distance) {
  if (ip_header == kIp6Header) return same<4>(first, p, 0) && first[7] == p[7];
  const bool dont_fragment = (first[6] & 0x40) != 0;
  const bool counts_up = load_be16(&p[4]) == static_cast<uint16_t>(load_be16(&first[4]) + distance);
  return first[1] == p[1] && first[8] == p[8] && first[6] == p[6] && (counts_up || dont_fragment);
}

bool same_tcp_header(Bytes first, Bytes p, size_t at, size_t headers) {
  return same<4>(first, p, at + 8) && first[at + 12] == p[at + 12] &&    // acknowledgement, header length
         same<2>(first, p, at + 14) &&                                   // window
         equal(first.subspan(at + 18, headers - at - 18), p.subspan(at + 18, headers - at - 18));  // urgent, options
}

Checksum pseudo_header(Bytes p, size_t ip_header, uint8_t protocol, size_t length) {
  Checksum c;
  return c.add(ip_header == kIp4Header ? p.subspan(12, 8) : p.subspan(8, 32))
      .add_word(protocol)
      .add_word(static_cast<uint16_t>(length));
}

bool checksums_hold(Bytes p, size_t ip_header, bool tcp) {
  if (ip_header == kIp4Header && Checksum().add(p.first(kIp4Header)).complement() != 0) return false;
  return pseudo_header(p, ip_header, tcp ? kTcp : kUdp, p.size() - ip_header).add(p.subspan(ip_header)).complement() == 0;
}

}  // namespace

// ip_header 0: not of a flow that we can tell.  open: may be put together with others.
Coalescer::Group Coalescer::classify(Bytes p, bool udp_together) {
  Group g;
  g.size = static_cast<uint32_t>(p.size());
  const bool v4 = p.size() >= kIp4Header && p[0] == 0x45 && load_be16(&p[2]) == p.size() && (load_be16(&p[6]) & 0xbfff) == 0;
  const bool v6 = p.size() >= kIp6Header && p[0] >> 4 == 6 && kIp6Header + load_be16(&p[4]) == p.size();
  if (!v4 && !v6) return g;
  const size_t at = v4 ? kIp4Header : kIp6Header;
  const uint8_t protocol = v4 ? p[9] : p[6];
  if (protocol == kTcp && p.size() >= at + kTcpHeader) {
    g.tcp = true;
    g.headers = static_cast<uint16_t>(at + (size_t{p[at + 12]} >> 4 << 2));
    const bool plain = (p[at + 13] | kPsh) == (kAck | kPsh) && (p[at + 12] & 0x0f) == 0;
    g.open = plain && g.headers >= at + kTcpHeader && g.headers < p.size();
    g.next_sequence = static_cast<uint32_t>(load_be32(&p[at + 4]) + p.size() - g.headers);
  } else if (protocol == kUdp && p.size() >= at + kUdpHeader) {
    g.headers = static_cast<uint16_t>(at + kUdpHeader);
    g.open = udp_together && p.size() > g.headers && load_be16(&p[at + 4]) == p.size() - at && load_be16(&p[at + 6]) != 0;
  } else {
    return g;
  }
  g.ip_header = static_cast<uint16_t>(at);
  if (g.open) g.segment = static_cast<uint16_t>(p.size() - g.headers);
  return g;
}

// One entry a flow, so that a packet can only follow the newest of its group.  A new flow takes the oldest's place.
Coalescer::Flow& Coalescer::flow_of(const Group& c, Bytes p) {
  const uint64_t key = key_of(p, c.ip_header);
  for (Flow& f : flows_) {
    if (f.key != key) continue;
    const Group& g = groups_[f.group];
    if (g.ip_header == c.ip_header && same_flow(packet(g.first), p, c.ip_header)) return f;
  }
  if (flows_.size() < kMostFlows) return flows_.emplace_back(Flow{key, kNobody});
  return flows_[oldest_flow_++ % kMostFlows] = {key, kNobody};
}

bool Coalescer::join(Group& g, const Group& c, uint32_t index) {
  if (!g.open || !c.open || g.tcp != c.tcp || g.headers != c.headers || c.segment > g.segment) return false;
  if (g.size + c.segment > kLargest || g.count >= (g.tcp ? kMostTcp : kMostUdp)) return false;
  const Bytes first = packet(g.first), p = packet(index);
  if (!same_network_header(first, p, g.ip_header, g.count)) return false;
  if (g.tcp && (load_be32(&p[g.ip_header + 4]) != g.next_sequence || !same_tcp_header(first, p, g.ip_header, g.headers)))
    return false;
  if (!g.verified) g.open = g.verified = checksums_hold(first, g.ip_header, g.tcp);
  if (!g.open || !checksums_hold(p, c.ip_header, c.tcp)) return false;
  next_[g.last] = index;
  g.last = index;
  g.count++;
  g.size += c.segment;
  g.next_sequence = c.next_sequence;
  g.open = c.segment == g.segment;
  if (g.tcp && (p[g.ip_header + 13] & kPsh) != 0) {
    batch_[g.first].data()[g.ip_header + 13] |= kPsh;
    g.open = false;
  }
  return true;
}

void Coalescer::plan(std::span<Packet> batch) {
  batch_ = batch;
  groups_.clear();
  flows_.clear();
  oldest_flow_ = 0;
  next_.assign(batch.size(), kNobody);
  for (uint32_t i = 0; i < batch.size(); i++) {
    Group c = classify(packet(i), udp_ == Udp::together);
    c.first = c.last = i;
    // Nothing follows a PSH, as its sender wants it delivered.
    const bool pushed = c.tcp && c.open && (packet(i)[c.ip_header + 13] & kPsh) != 0;
    if (c.ip_header != 0) {
      Flow& f = flow_of(c, packet(i));
      if (f.group != kNobody && join(groups_[f.group], c, i)) continue;
      f.group = static_cast<uint32_t>(groups_.size());
    } else {
      flows_.clear();  // it may be of any of them: nothing may pass it
    }
    c.open &= !pushed;
    groups_.push_back(c);
  }
  for (Group& g : groups_) finish(g);
}

// Headers of the superpacket into the first packet, and the virtio header in front of it.
void Coalescer::finish(Group& g) {
  Packet& p = batch_[g.first];
  VirtioHeader h;
  if (g.count > 1) {
    uint8_t* ip = p.data();
    const bool v4 = g.ip_header == kIp4Header;
    if (v4) {
      store_be16(ip + 2, static_cast<uint16_t>(g.size));
      store_be16(ip + 10, 0);
      store_be16(ip + 10, Checksum().add(packet(g.first).first(kIp4Header)).complement());
    } else {
      store_be16(ip + 4, static_cast<uint16_t>(g.size - kIp6Header));
    }
    const size_t length = g.size - g.ip_header;
    h.flags = VirtioHeader::kNeedsChecksum;
    h.type = !g.tcp ? VirtioHeader::kUdp : v4 ? VirtioHeader::kTcp4 : VirtioHeader::kTcp6;
    h.header_size = g.headers;
    h.segment_size = g.segment;
    h.checksum_start = g.ip_header;
    h.checksum_offset = g.tcp ? 16 : 6;
    if (!g.tcp) store_be16(ip + g.ip_header + 4, static_cast<uint16_t>(length));
    store_be16(ip + g.ip_header + h.checksum_offset,
               pseudo_header(packet(g.first), g.ip_header, g.tcp ? kTcp : kUdp, length).folded());
  }
  h.write(p.push_front(VirtioHeader::kSize));
}

std::span<const iovec> Coalescer::write(size_t n) {
  const Group& g = groups_[n];
  parts_.clear();
  for (uint32_t i = g.first; i != kNobody; i = next_[i]) {
    const MutBytes whole = batch_[i].bytes();
    const MutBytes part = i == g.first ? whole : whole.subspan(g.headers);
    parts_.push_back({part.data(), part.size()});
  }
  return parts_;
}

// finish() and the PSH of join() taken back.  The checksums were right, so computing them gives the ones that were there.
void Coalescer::undo(Group& g) {
  Packet& p = batch_[g.first];
  p.pop_front(VirtioHeader::kSize);
  if (g.count == 1) return;
  uint8_t* const ip = p.data();
  uint8_t* const transport = ip + g.ip_header;
  const size_t length = p.size() - g.ip_header;
  if (g.ip_header == kIp4Header) {
    store_be16(ip + 2, static_cast<uint16_t>(p.size()));
    store_be16(ip + 10, 0);
    store_be16(ip + 10, Checksum().add(packet(g.first).first(kIp4Header)).complement());
  } else {
    store_be16(ip + 4, static_cast<uint16_t>(length));
  }
  if (g.tcp) {
    transport[13] = static_cast<uint8_t>(transport[13] & ~kPsh);  // a first one with PSH would have been alone
  } else {
    store_be16(transport + 4, static_cast<uint16_t>(length));
  }
  uint8_t* const sum = transport + (g.tcp ? 16 : 6);
  store_be16(sum, 0);
  const uint16_t right =
      pseudo_header(packet(g.first), g.ip_header, g.tcp ? kTcp : kUdp, length).add(packet(g.first).subspan(g.ip_header)).complement();
  store_be16(sum, right == 0 ? 0xffff : right);
}

std::span<const iovec> Coalescer::apart(size_t n) {
  Group& g = groups_[n];
  undo(g);
  parts_.clear();
  for (uint32_t i = g.first; i != kNobody; i = next_[i]) parts_.push_back({batch_[i].data(), batch_[i].size()});
  return parts_;
}

}  // namespace macrovpn::shell
