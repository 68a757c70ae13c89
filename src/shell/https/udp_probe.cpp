#include "shell/https/udp_probe.h"

namespace macrovpn::shell::https {
namespace {

constexpr uint16_t kRequest = 0x0001, kAnswer = 0x0101;
constexpr uint32_t kCookie = 0x2112a442;
constexpr size_t kHeader = 20, kLeastRequest = 64, kMostAnswer = 256;
constexpr uint64_t kPadding = 192;

}  // namespace

Packet UdpProbe::ask(PacketPool& pool, Rng& rng) {
  id_ = rng.bytes<12>();
  asked_ = true;
  std::vector<uint8_t> d;
  Writer w(d);
  w.be16(kRequest).be16(0).be32(kCookie).bytes(id_);
  d.resize(kLeastRequest + rng.below(kPadding));
  rng.fill(MutBytes(d).subspan(kHeader));
  mask_.mask_handshake(d);
  return pool.copy_of(d);
}

bool UdpProbe::is_answer(Bytes datagram) const {
  if (!asked_ || datagram.size() < kHeader || datagram.size() > kMostAnswer) return false;
  std::vector<uint8_t> d(datagram.begin(), datagram.end());
  mask_.unmask_handshake(d);
  Reader r(d);
  const uint16_t kind = r.be16();
  r.be16();
  return kind == kAnswer && r.be32() == kCookie && r.fixed<12>() == id_;
}

}  // namespace macrovpn::shell::https
