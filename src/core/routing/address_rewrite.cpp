#include "core/routing/address_rewrite.h"

#include <bit>

namespace macrovpn::routing {
namespace {

constexpr uint32_t kPrivate4 = 100u << 24 | 64u << 16;
constexpr ByteArray<12> kPrivate6{0xfd, 0x86, 0xea, 0x04, 0x11, 0x15, 0xff, 0xff};
constexpr size_t kIcmpHeader = 8;

enum class End : uint8_t { source, destination };

size_t address_offset(bool v4, End end) {
  if (v4) return end == End::source ? 12 : 16;
  return end == End::source ? 8 : 24;
}

// A run of bytes under up to two checksums that lie elsewhere in the packet.
class Patcher {
 public:
  explicit Patcher(MutBytes packet) : packet_(packet) {}
  // Every later change is also covered by the checksum at `field`.
  void cover(size_t field) { fields_[count_++] = field; }
  void write(size_t at, Bytes value) {
    ByteArray<16> before{};
    std::copy_n(packet_.begin() + static_cast<ptrdiff_t>(at), value.size(), before.begin());
    for (size_t i = 0; i < count_; i++) fix(fields_[i], Bytes(before).first(value.size()), value);
    std::copy(value.begin(), value.end(), packet_.begin() + static_cast<ptrdiff_t>(at));
  }
  // The checksum at `field`, itself covered by those of cover(), after bytes under it change.
  void update(size_t field, Bytes before, Bytes after, bool zero_means_none) {
    const uint16_t old = load_be16(&packet_[field]);
    if (zero_means_none && old == 0) return;
    uint16_t now = updated_checksum(old, before, after);
    if (zero_means_none && now == 0) now = 0xffff;
    uint8_t value[2];
    store_be16(value, now);
    write(field, value);
  }

 private:
  void fix(size_t field, Bytes before, Bytes after) {
    store_be16(&packet_[field], updated_checksum(load_be16(&packet_[field]), before, after));
  }
  MutBytes packet_;
  size_t fields_[2]{};
  size_t count_ = 0;
};

struct Place {
  bool v4;
  size_t header;     // where the IP header starts
  size_t transport;  // and its transport header
  size_t end;        // of what is there
  IpProtocol protocol;
  bool has_transport;
};

// Replaces one address of the header at `place`, with the checksums that cover it.
void replace(Patcher& patch, MutBytes packet, const Place& place, End end, const IpAddress& value) {
  const size_t at = place.header + address_offset(place.v4, end);
  ByteArray<16> before{};
  const size_t n = value.bytes().size();
  std::copy_n(packet.begin() + static_cast<ptrdiff_t>(at), n, before.begin());
  patch.write(at, value.bytes());
  if (place.v4) patch.update(place.header + 10, Bytes(before).first(n), value.bytes(), false);
  const size_t offset = checksum_offset(place.protocol);
  if (!place.has_transport || offset == 0 || !covers_pseudo_header(place.protocol)) return;
  if (place.transport + offset + 2 > place.end) return;  // a quotation that was cut short
  patch.update(place.transport + offset, Bytes(before).first(n), value.bytes(),
               place.protocol == IpProtocol::udp);
}

bool is_icmp_error(const IpHeader& h) {
  if (!h.has_transport()) return false;
  if (h.protocol == IpProtocol::icmpv6) return !h.is_v4() && h.icmp_type < 128;
  if (h.protocol != IpProtocol::icmp || !h.is_v4()) return false;
  return h.icmp_type == 3 || h.icmp_type == 5 || h.icmp_type == 11 || h.icmp_type == 12;
}

// The header quoted in an ICMP error: only what is needed to find its addresses and checksums, as it may be
// cut.
Result<Place, RewriteDrop> quoted(Bytes packet, const IpHeader& h) {
  const size_t at = h.payload_at + kIcmpHeader;
  const size_t smallest = h.is_v4() ? 20 : 40;
  if (h.size < at + smallest || packet[at] >> 4 != (h.is_v4() ? 4 : 6))
    return Failure{RewriteDrop::malformed};
  Place p{h.is_v4(), at, at + smallest, h.size, {}, true};
  if (p.v4) {
    if ((packet[at] & 15) != 5) return Failure{RewriteDrop::malformed};  // we let no options out
    p.protocol = static_cast<IpProtocol>(packet[at + 9]);
    p.has_transport = (load_be16(&packet[at + 6]) & 0x1fff) == 0;
  } else {
    p.protocol = static_cast<IpProtocol>(packet[at + 6]);
    if (packet[at + 6] == 44 && h.size >= at + 48) {  // one fragment header; others we take for opaque
      p.protocol = static_cast<IpProtocol>(packet[at + 40]);
      p.transport = at + 48;
      p.has_transport = load_be16(&packet[at + 42]) >> 3 == 0;
    }
  }
  return p;
}

IpAddress address_at(Bytes packet, const Place& p, End end) {
  const size_t at = p.header + address_offset(p.v4, end);
  return p.v4 ? IpAddress::v4(load_be32(&packet[at])) : IpAddress::v6(*to_array<16>(packet.subspan(at, 16)));
}

// `end` of the packet changes from `from` to `to`; in a quotation it is the other end, which must match.
Result<void, RewriteDrop> rewrite(MutBytes packet, const IpHeader& h, End end, const IpAddress& from,
                                  const IpAddress& to) {
  const Place outer{h.is_v4(), 0, h.payload_at, h.size, h.protocol, h.has_transport()};
  if (is_icmp_error(h)) {
    TRY(const Place inner, quoted(packet, h));
    const End other = end == End::source ? End::destination : End::source;
    if (address_at(packet, inner, other) != from) return Failure{RewriteDrop::wrong_address};
    Patcher under(packet);
    under.cover(h.payload_at + checksum_offset(h.protocol));
    replace(under, packet, inner, other, to);
  }
  Patcher plain(packet);
  replace(plain, packet, outer, end, to);
  return {};
}

}  // namespace

const InsideAddresses& InsideAddresses::get() {
  static const InsideAddresses addresses{
      *IpAddress::parse("10.10.0.2"),   *IpAddress::parse("fd86:ea04:1115::2"),
      *IpAddress::parse("10.10.0.1"),   *IpAddress::parse("fd86:ea04:1115::1"),
      *IpPrefix::parse("10.10.0.0/16"), *IpPrefix::parse("fd86:ea04:1115::/48")};
  return addresses;
}

IpAddress private_address(LeaseNumber n, IpFamily family) {
  MV_ASSERT(n.value >= 1 && n.value <= kMaxLeaseNumber);
  if (family == IpFamily::v4) return IpAddress::v4(kPrivate4 + n.value);
  ByteArray<16> b{};
  std::copy(kPrivate6.begin(), kPrivate6.end(), b.begin());
  store_be32(&b[12], n.value);
  return IpAddress::v6(b);
}

LeaseNumber lease_of_private(const IpAddress& a) {
  uint32_t n = 0;
  if (a.is_v4()) {
    n = a.v4_host_order() - kPrivate4;
  } else if (equal(a.bytes().first(12), kPrivate6)) {
    n = load_be32(&a.bytes()[12]);
  }
  return LeaseNumber{n <= kMaxLeaseNumber ? n : 0};
}

IpPrefix private_network(IpFamily family) {
  if (family == IpFamily::v4) return IpPrefix::of(IpAddress::v4(kPrivate4), 10);
  return IpPrefix::of(private_address(LeaseNumber{1}, IpFamily::v6), 96);
}

IpPrefix private_network(IpFamily family, const ShardPlace& place) {
  if (place.shards == 1) return private_network(family);
  const IpAddress first = private_address(LeaseNumber{numbers_of(place).first}, family);
  const int of_all = family == IpFamily::v4 ? 10 : 106;
  return IpPrefix::of(first, static_cast<unsigned>(of_all + std::countr_zero(std::bit_ceil(place.shards))));
}

Result<void, RewriteDrop> rewrite_to_private(MutBytes packet, LeaseNumber lease) {
  const auto h = parse_ip(packet);
  if (!h) return Failure{RewriteDrop::malformed};
  const IpAddress& inside = InsideAddresses::get().client(h->source.family());
  if (h->source != inside) return Failure{RewriteDrop::wrong_address};
  return rewrite(packet, *h, End::source, inside, private_address(lease, h->source.family()));
}

Result<LeaseNumber, RewriteDrop> rewrite_from_private(MutBytes packet) {
  const auto h = parse_ip(packet);
  if (!h) return Failure{RewriteDrop::malformed};
  const LeaseNumber lease = lease_of_private(h->destination);
  if (lease.value == 0) return Failure{RewriteDrop::wrong_address};
  const IpAddress& inside = InsideAddresses::get().client(h->destination.family());
  TRY_VOID(rewrite(packet, *h, End::destination, h->destination, inside));
  return lease;
}

Result<void, RewriteDrop> rewrite_to_inside(MutBytes packet) {
  const auto h = parse_ip(packet);
  if (!h) return Failure{RewriteDrop::malformed};
  const IpAddress& inside = InsideAddresses::get().client(h->source.family());
  return rewrite(packet, *h, End::source, h->source, inside);
}

Result<void, RewriteDrop> rewrite_from_inside(MutBytes packet, const IpAddress& local4,
                                              const IpAddress& local6) {
  const auto h = parse_ip(packet);
  if (!h) return Failure{RewriteDrop::malformed};
  const IpAddress& inside = InsideAddresses::get().client(h->destination.family());
  if (h->destination != inside) return Failure{RewriteDrop::wrong_address};
  return rewrite(packet, *h, End::destination, inside, inside.is_v4() ? local4 : local6);
}

}  // namespace macrovpn::routing
