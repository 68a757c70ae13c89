#include "core/node/group_id.h"

namespace macrovpn::node {
namespace {

constexpr uint32_t kSlots4 = 10u << 24 | 10u << 16 | 128u << 8;
constexpr ByteArray<14> kSlots6{0xfd, 0x86, 0xea, 0x04, 0x11, 0x15, 0, 0, 0, 0, 0, 0, 0, 1};

std::optional<uint16_t> checked(uint32_t slot) {
  if (slot == 0 || slot > kLastSlot) return std::nullopt;
  return static_cast<uint16_t>(slot);
}

}  // namespace

IpAddress address_of_slot(uint16_t slot, IpFamily family) {
  MV_ASSERT(slot <= kLastSlot);
  if (slot == 0) return routing::InsideAddresses::get().client(family);
  if (family == IpFamily::v4) return IpAddress::v4(kSlots4 + slot);
  ByteArray<16> b{};
  std::copy(kSlots6.begin(), kSlots6.end(), b.begin());
  b[14] = static_cast<uint8_t>(slot >> 8);
  b[15] = static_cast<uint8_t>(slot);
  return IpAddress::v6(b);
}

std::optional<uint16_t> slot_of_address(const IpAddress& a) {
  if (a == routing::InsideAddresses::get().client(a.family())) return uint16_t{0};
  if (a.is_v4()) return checked(a.v4_host_order() - kSlots4);
  if (!equal(a.bytes().first(14), kSlots6)) return std::nullopt;
  return checked(load_be16(&a.bytes()[14]));
}

std::optional<uint16_t> slot_of_packet(Bytes p) {
  if (p.size() >= 20 && p[0] >> 4 == 4) return slot_of_address(IpAddress::v4(load_be32(&p[12])));
  if (p.size() >= 40 && p[0] >> 4 == 6) return slot_of_address(IpAddress::v6(*to_array<16>(p.subspan(8, 16))));
  return std::nullopt;
}

}  // namespace macrovpn::node
