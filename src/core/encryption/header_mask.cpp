#include "core/encryption/header_mask.h"

namespace macrovpn::encryption {
namespace {

constexpr uint16_t kTrailerBit = 0x8000;
constexpr uint16_t kEarlySizeMask = 0x07ff;
constexpr size_t kStunHeader = 20;
constexpr uint32_t kStunCookie = 0x2112a442;

ByteArray<16> first16(const crypto::Hash32& h) {
  return *to_array<16>(Bytes(h).first(16));
}

bool has_type(const uint8_t* p, uint8_t lowest, uint8_t highest) {
  return p[0] >= lowest && p[0] <= highest && p[1] == 0 && p[2] == 0 && p[3] == 0;
}

void xor_stream(const ByteArray<32>& key, const ByteArray<16>& block, MutBytes whole) {
  crypto::chacha20_xor(key, block, whole.subspan(16));
}

}  // namespace

MaskKey::MaskKey(const ByteArray<8>& network_id, const PublicKey& called)
    : block_(first16(crypto::blake2b_256({as_bytes("macrovpn mask 1"), network_id, called.bytes}))),
      stream_(crypto::blake2b_256({as_bytes("macrovpn mask stream 1"), network_id, called.bytes})) {}

void MaskKey::mask_handshake(MutBytes whole) const {
  MV_ASSERT(whole.size() >= 16);
  block_.encrypt(whole.data());
  xor_stream(stream_, *to_array<16>(whole.first(16)), whole);
}

void MaskKey::unmask_handshake(MutBytes whole) const {
  MV_ASSERT(whole.size() >= 16);
  xor_stream(stream_, *to_array<16>(whole.first(16)), whole);
  block_.decrypt(whole.data());
}

void MaskKey::mask(MutBytes whole) const {
  if (whole[0] == static_cast<uint8_t>(MessageType::transport)) return mask_transport(whole.data());
  mask_handshake(whole);
}

std::optional<MessageType> MaskKey::unmask(MutBytes whole) const {
  if (whole.size() < kTransportOverhead) return std::nullopt;
  const ByteArray<16> masked = *to_array<16>(whole.first(16));
  block_.decrypt(whole.data());
  if (!has_type(whole.data(), 1, 4)) {
    std::copy(masked.begin(), masked.end(), whole.begin());
    return std::nullopt;
  }
  const auto type = static_cast<MessageType>(whole[0]);
  if (type != MessageType::transport) xor_stream(stream_, masked, whole);
  return type;
}

bool MaskKey::unmask_stun(MutBytes whole) const {
  if (whole.size() < kStunHeader || whole.size() > kMaxHandshakeDatagram) return false;
  const ByteArray<16> masked = *to_array<16>(whole.first(16));
  block_.decrypt(whole.data());
  if ((whole[0] & 0xc0) == 0 && load_be32(&whole[4]) == kStunCookie) {
    xor_stream(stream_, masked, whole);
    return true;
  }
  std::copy(masked.begin(), masked.end(), whole.begin());
  return false;
}

Result<PairKeys, Drop> PairKeys::derive(const ByteArray<8>& network_id, const KeyPair& ours,
                                        const PublicKey& theirs) {
  const auto shared = crypto::x25519(ours.secret, theirs);
  if (!shared) return Failure{Drop::low_order_point};
  const PublicKey& lower = std::min(ours.pub, theirs);
  const PublicKey& higher = std::max(ours.pub, theirs);
  const Secret<32> pair(crypto::keyed_blake2s_256(
      shared->reveal(), {as_bytes("macrovpn pair 1"), network_id, lower.bytes, higher.bytes}));
  const Secret<32> trailer(crypto::keyed_blake2s_256(pair.reveal(), {as_bytes("trailer")}));
  return PairKeys(first16(crypto::keyed_blake2s_256(pair.reveal(), {as_bytes("mask")})), trailer);
}

bool PairKeys::unmask(MutBytes whole) const {
  if (whole.size() < kTransportOverhead) return false;
  const ByteArray<16> masked = *to_array<16>(whole.first(16));
  block_.decrypt(whole.data());
  if (has_type(whole.data(), 4, 4)) return true;
  std::copy(masked.begin(), masked.end(), whole.begin());
  return false;
}

crypto::Mac16 PairKeys::trailer_mac(Bytes signed_part) const {
  return crypto::keyed_blake2s_128(trailer_key_.reveal(), {signed_part});
}
bool PairKeys::verify_trailer(Bytes signed_part, const crypto::Mac16& mac) const {
  return equal_constant_time(trailer_mac(signed_part), mac);
}

Result<HandshakeDatagram, Drop> parse_handshake_datagram(Bytes d) {
  if (d.size() > kMaxHandshakeDatagram) return Failure{Drop::too_large};
  if (d.size() < kCookieReplySize || !has_type(d.data(), 1, 3)) return Failure{Drop::malformed};
  HandshakeDatagram out;
  out.type = static_cast<MessageType>(d[0]);
  const size_t size = out.type == MessageType::initiation ? kInitiationSize
                      : out.type == MessageType::response ? kResponseSize
                                                          : kCookieReplySize;
  Reader r(d);
  out.message = r.take(size);
  if (out.type == MessageType::initiation) {
    const uint16_t length = r.le16();
    if ((length & ~(kTrailerBit | kEarlySizeMask)) != 0) return Failure{Drop::malformed};
    out.early = r.take(length & kEarlySizeMask);
    if ((length & kTrailerBit) != 0) {
      out.signed_part = d.first(std::min(d.size(), d.size() - r.left() + kTrailerSigned));
      out.trailer = Trailer{{r.fixed<20>()}, r.u8(), r.le64(), {}};
      const auto zeros = r.fixed<3>();
      out.trailer->mac = r.fixed<16>();
      if (zeros != ByteArray<3>{}) return Failure{Drop::malformed};
    }
  }
  if (!r.ok()) return Failure{Drop::malformed};
  return out;
}

void append_early(Packet& p, Bytes early) {
  MV_ASSERT(p.size() == kInitiationSize && early.size() <= kMaxEarlyData);
  store_le16(p.push_back(kLengthFieldSize), static_cast<uint16_t>(early.size()));
  if (!early.empty()) std::copy(early.begin(), early.end(), p.push_back(early.size()));
}

void append_trailer(Packet& p, const PairKeys& pair, const TrailerInput& in) {
  MV_ASSERT(p.size() >= kInitiationSize + kLengthFieldSize &&
            p.size() + kTrailerSize <= kMaxHandshakeDatagram);
  uint8_t* length = p.data() + kInitiationSize;
  MV_ASSERT(load_le16(length) == p.size() - kInitiationSize - kLengthFieldSize);
  store_le16(length, static_cast<uint16_t>(load_le16(length) | kTrailerBit));
  uint8_t* t = p.push_back(kTrailerSize);
  std::fill_n(t, kTrailerSize, uint8_t{0});
  std::copy(in.self.bytes.begin(), in.self.bytes.end(), t);
  t[in.self.bytes.size()] = in.relays_before;
  store_le64(t + in.self.bytes.size() + 1, in.number);
  const auto mac = pair.trailer_mac(Bytes(p.bytes()).first(p.size() - kTrailerSize + kTrailerSigned));
  std::copy(mac.begin(), mac.end(), t + kTrailerSigned);
}

void append_padding(Packet& p, Rng& rng, size_t total) {
  MV_ASSERT(total <= kMaxHandshakeDatagram);
  if (p.size() >= total) return;
  const size_t n = total - p.size();
  rng.fill({p.push_back(n), n});
}

}  // namespace macrovpn::encryption
