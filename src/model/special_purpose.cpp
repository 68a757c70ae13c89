#include "model/special_purpose.h"

#include <array>

namespace macrovpn {
namespace {

enum class Reach : uint8_t { no, yes };  // the registries' "globally reachable"; their n/a is no

// The longest block that contains an address decides, so order does not matter.
template <size_t N>
struct Block {
  ByteArray<N> base;
  uint8_t length;
  Reach reach;
};

constexpr Block<4> block4(uint8_t a, uint8_t b, uint8_t c, uint8_t d, uint8_t length, Reach r) {
  return {{a, b, c, d}, length, r};
}
// The first four 16-bit groups, and the last one: no block needs those between.
constexpr Block<16> block6(std::array<uint16_t, 4> head, uint16_t last, uint8_t length, Reach r) {
  Block<16> out{{}, length, r};
  for (size_t i = 0; i < 4; i++) {
    out.base[2 * i] = static_cast<uint8_t>(head[i] >> 8);
    out.base[2 * i + 1] = static_cast<uint8_t>(head[i]);
  }
  out.base[14] = static_cast<uint8_t>(last >> 8);
  out.base[15] = static_cast<uint8_t>(last);
  return out;
}

constexpr Block<4> kBlocks4[] = {
    block4(0, 0, 0, 0, 0, Reach::yes),       // what no other row names
    block4(0, 0, 0, 0, 8, Reach::no),        // this network
    block4(10, 0, 0, 0, 8, Reach::no),       // private use
    block4(100, 64, 0, 0, 10, Reach::no),    // shared address space
    block4(127, 0, 0, 0, 8, Reach::no),      // loopback
    block4(169, 254, 0, 0, 16, Reach::no),   // link local
    block4(172, 16, 0, 0, 12, Reach::no),    // private use
    block4(192, 0, 0, 0, 24, Reach::no),     // IETF protocol assignments
    block4(192, 0, 0, 9, 32, Reach::yes),    // Port Control Protocol anycast
    block4(192, 0, 0, 10, 32, Reach::yes),   // TURN anycast
    block4(192, 0, 2, 0, 24, Reach::no),     // TEST-NET-1
    block4(192, 88, 99, 0, 24, Reach::no),   // deprecated 6to4 relay anycast, 6a44
    block4(192, 168, 0, 0, 16, Reach::no),   // private use
    block4(198, 18, 0, 0, 15, Reach::no),    // benchmarking
    block4(198, 51, 100, 0, 24, Reach::no),  // TEST-NET-2
    block4(203, 0, 113, 0, 24, Reach::no),   // TEST-NET-3
    block4(224, 0, 0, 0, 4, Reach::no),      // multicast
    block4(240, 0, 0, 0, 4, Reach::no),      // reserved, limited broadcast
};

// Only 2000::/3 has been given out as global unicast; the rest of the space is reserved, local or multicast,
// so the registry's rows there (loopback, discard, SRv6, fc00::/7, fe80::/10 ...) need no line of their own.
constexpr Block<16> kBlocks6[] = {
    block6({0, 0, 0, 0}, 0, 0, Reach::no),
    block6({0x2000, 0, 0, 0}, 0, 3, Reach::yes),
    block6({0x2001, 0, 0, 0}, 0, 23, Reach::no),    // IETF protocol assignments; Teredo, benchmarking, ORCHID
    block6({0x2001, 1, 0, 0}, 1, 128, Reach::yes),  // Port Control Protocol anycast
    block6({0x2001, 1, 0, 0}, 2, 128, Reach::yes),  // TURN anycast
    block6({0x2001, 1, 0, 0}, 3, 128, Reach::yes),  // DNS-SD SRP anycast
    block6({0x2001, 3, 0, 0}, 0, 32, Reach::yes),   // AMT
    block6({0x2001, 4, 0x112, 0}, 0, 48, Reach::yes),  // AS112-v6
    block6({0x2001, 0x20, 0, 0}, 0, 28, Reach::yes),   // ORCHIDv2
    block6({0x2001, 0x30, 0, 0}, 0, 28, Reach::yes),   // Drone Remote ID
    block6({0x2001, 0xdb8, 0, 0}, 0, 32, Reach::no),   // documentation
    block6({0x2002, 0, 0, 0}, 0, 16, Reach::no),       // 6to4: anybody's relay decides what it reaches
    block6({0x3fff, 0, 0, 0}, 0, 20, Reach::no),       // documentation
};

template <size_t N>
bool contains(const Block<N>& block, Bytes address) {
  const size_t whole = block.length / 8, left = block.length % 8;
  if (!equal(address.first(whole), Bytes(block.base).first(whole))) return false;
  return left == 0 || (address[whole] ^ block.base[whole]) >> (8 - left) == 0;
}

template <size_t N, size_t Rows>
bool reachable(const Block<N> (&blocks)[Rows], Bytes address) {
  const Block<N>* best = &blocks[0];
  for (const Block<N>& b : blocks)
    if (b.length > best->length && contains(b, address)) best = &b;
  return best->reach == Reach::yes;
}

}  // namespace

std::optional<IpAddress> embedded_v4(const IpAddress& a) {
  static constexpr ByteArray<12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff},
      kNat64{0, 0x64, 0xff, 0x9b};
  if (a.is_v4()) return std::nullopt;
  const Bytes head = a.bytes().first(12);
  if (!equal(head, kMapped) && !equal(head, kNat64)) return std::nullopt;
  return IpAddress::v4(load_be32(a.bytes().data() + 12));
}

bool is_global_unicast(const IpAddress& a, std::span<const IpPrefix> extra_global) {
  for (const IpPrefix& p : extra_global)
    if (p.contains(a)) return true;
  if (const auto inner = embedded_v4(a)) return is_global_unicast(*inner, extra_global);
  return a.is_v4() ? reachable(kBlocks4, a.bytes()) : reachable(kBlocks6, a.bytes());
}

}  // namespace macrovpn
