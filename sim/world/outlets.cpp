#include "sim/world/outlets.h"

#include "core/routing/address_rewrite.h"
#include "core/routing/ip_reply.h"

namespace macrovpn::sim {
namespace {

constexpr uint32_t kSpace4 = 172u << 24 | 16u << 16;  // 172.16.0.0/12 (RFC 1918): nobody else's here
constexpr ByteArray<16> kSpace6{0xfd, 0x00, 0x17, 0x20};  // RFC 4193: nobody else's here

IpAddress internet_address(uint32_t number, IpFamily f) {
  if (f == IpFamily::v4) return IpAddress::v4(kSpace4 + number);
  ByteArray<16> b = kSpace6;
  store_be32(&b[12], number);
  return IpAddress::v6(b);
}

// One address of a whole packet, and the checksums that cover it (RFC 1624).
enum class End : uint8_t { source, destination };
void replace_address(MutBytes ip, const routing::IpHeader& h, End end, const IpAddress& value) {
  const size_t size = value.bytes().size(), at = (h.is_v4() ? 12 : 8) + (end == End::source ? 0 : size);
  const MutBytes field = ip.subspan(at, size);
  ByteArray<16> before{};
  std::copy(field.begin(), field.end(), before.begin());
  const Bytes old = Bytes(before).first(size);
  std::copy_n(value.bytes().begin(), size, field.begin());
  if (h.is_v4()) store_be16(&ip[10], routing::updated_checksum(load_be16(&ip[10]), old, value.bytes()));
  const size_t offset = routing::checksum_offset(h.protocol);
  if (!h.has_transport() || offset == 0 || !routing::covers_pseudo_header(h.protocol)) return;
  uint8_t* const checksum = &ip[h.payload_at + offset];
  const bool udp = h.protocol == routing::IpProtocol::udp;
  if (udp && load_be16(checksum) == 0) return;
  const uint16_t sum = routing::updated_checksum(load_be16(checksum), old, value.bytes());
  store_be16(checksum, udp && sum == 0 ? 0xffff : sum);
}

}  // namespace

void Outlets::set_mtu(HostId exit, routing::LeaseNumber lease, uint16_t mtu) {
  mtu_of_[{exit, lease.value}] = mtu;
}

void Outlets::forget(HostId exit, routing::LeaseNumber lease) {
  const Key key{exit, lease.value};
  mtu_of_.erase(key);
  const auto at = number_of_.find(key);
  if (at == number_of_.end()) return;
  outlets_[at->second].over = true;
  number_of_.erase(at);
}

void Outlets::forget_all(HostId exit) {
  const Key first{exit, 0}, end{HostId{exit.value + 1}, 0};
  for (auto at = number_of_.lower_bound(first); at != number_of_.end() && at->first < end; at = number_of_.erase(at)) {
    outlets_[at->second].over = true;
  }
  mtu_of_.erase(mtu_of_.lower_bound(first), mtu_of_.lower_bound(end));
}

uint16_t Outlets::mtu_of(HostId exit, routing::LeaseNumber lease) const {
  const auto at = mtu_of_.find({exit, lease.value});
  return at == mtu_of_.end() ? kUsualMtu : at->second;
}

bool Outlets::leave(HostId exit, MutBytes packet) {
  const auto ip = routing::parse_ip(packet);
  const routing::LeaseNumber lease = ip.ok() ? routing::lease_of_private(ip->source) : routing::LeaseNumber{0};
  if (lease.value == 0) return false;
  const auto [at, is_new] = number_of_.try_emplace({exit, lease.value}, static_cast<uint32_t>(outlets_.size()));
  if (is_new) {
    MV_ASSERT(outlets_.size() < kMost);
    outlets_.push_back({exit, lease});
  }
  static_cast<void>(routing::clamp_mss(packet, *ip, mtu_of(exit, lease)));
  replace_address(packet, *ip, End::source, internet_address(at->second, ip->source.family()));
  return true;
}

const Outlets::Outlet* Outlets::outlet(const IpAddress& internet) const {
  uint32_t number = UINT32_MAX;
  if (internet.is_v4()) {
    number = internet.v4_host_order() - kSpace4;
  } else if (equal(internet.bytes().first(12), Bytes(kSpace6).first(12))) {
    number = load_be32(&internet.bytes()[12]);
  }
  return number < outlets_.size() ? &outlets_[number] : nullptr;
}

std::optional<HostId> Outlets::exit_of(const IpAddress& internet) const {
  const Outlet* const o = outlet(internet);
  return o == nullptr ? std::nullopt : std::optional(o->exit);
}

Outlets::Entry Outlets::enter(MutBytes packet, const IpAddress& exit_address, Packet& answer) const {
  const auto ip = routing::parse_ip(packet);
  const Outlet* const o = ip.ok() ? outlet(ip->destination) : nullptr;
  if (o == nullptr || o->over) return Entry::over;
  const uint16_t mtu = mtu_of(o->exit, o->lease);
  if (ip->size > mtu) {
    return routing::make_too_big(packet, *ip, mtu, ip->is_v4() ? exit_address : ip->destination, answer) ? Entry::too_big : Entry::over;
  }
  static_cast<void>(routing::clamp_mss(packet, *ip, mtu));
  replace_address(packet, *ip, End::destination, routing::private_address(o->lease, ip->destination.family()));
  return Entry::taken;
}

}  // namespace macrovpn::sim
