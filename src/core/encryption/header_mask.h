// The header mask and the trailer (docs/protocol.md "Header mask", "Trailer"): pure functions of bytes and
// keys.
//
//   masked handshake   AES(bytes 0-15) ‖ ChaCha20(bytes 16..end), the encrypted block being counter and nonce
//   masked transport   AES(bytes 0-15) ‖ rest as it is
//
//   type 1:  message 148 ‖ length 2 ‖ early data ‖ [trailer 48] ‖ random padding
//   type 2:  message 92 ‖ random padding          type 3:  message 64 ‖ random padding
//   length:  bits 0-10 size of the early data, bit 15 a trailer follows, others zero
//   trailer: relay id 20 ‖ relays before it 1 ‖ number 8 ‖ zeros 3 ‖ MAC 16 (over all before it, from byte 0 of
//   the datagram)
//
// The mask hides WireGuard's signature from a wire tapper who does not hold the directory; it authenticates
// nothing. Who holds the directory can unmask handshakes and what clients and guards exchange, and then sees
// plain WireGuard.
#pragma once
#include <optional>

#include "base/packet.h"
#include "base/result.h"
#include "base/rng.h"
#include "core/encryption/drop.h"
#include "core/encryption/messages.h"
#include "crypto/hash.h"
#include "crypto/mask.h"
#include "crypto/x25519.h"
#include "model/keys.h"

namespace macrovpn::encryption {

inline constexpr size_t kMaxHandshakeDatagram = 1232;
inline constexpr size_t kLengthFieldSize = 2;
inline constexpr size_t kTrailerSize = 48;
inline constexpr size_t kTrailerSigned = 32;  // of the trailer, before its MAC
inline constexpr size_t kMaxEarlyData = kMaxHandshakeDatagram - kInitiationSize - kLengthFieldSize;

// The mask under the public key of the side that was called.  Handshakes of everybody; transport of client
// and guard.
class MaskKey {
 public:
  MaskKey(const ByteArray<8>& network_id, const PublicKey& called);

  void mask_transport(uint8_t* first16) const { block_.encrypt(first16); }
  void unmask_transport(uint8_t* first16) const { block_.decrypt(first16); }
  void mask_handshake(MutBytes whole) const;    // whole.size() >= 16
  void unmask_handshake(MutBytes whole) const;  // ditto

  // Masks by the type in byte 0.
  void mask(MutBytes whole) const;
  // Unmasks a datagram if it is one under this key: its type.  Otherwise nothing, and the bytes are as they
  // were. A stranger's datagram passes with a chance of 2^-30; what follows (MACs, indexes) refuses it.
  std::optional<MessageType> unmask(MutBytes whole) const;
  // The same for a STUN message (RFC 8489: two zero bits, the cookie 2112A442 in bytes 4-7), which is masked as a handshake is.
  // A stranger's datagram passes with a chance of 2^-34.
  bool unmask_stun(MutBytes whole) const;

 private:
  crypto::AesBlock block_;
  ByteArray<32> stream_;
};

// What two relays share (static-static DH): the mask of their transport headers and the MAC of trailers.
class PairKeys {
 public:
  static Result<PairKeys, Drop> derive(const ByteArray<8>& network_id, const KeyPair& ours,
                                       const PublicKey& theirs);

  void mask_transport(uint8_t* first16) const { block_.encrypt(first16); }
  void unmask_transport(uint8_t* first16) const { block_.decrypt(first16); }
  // Unmasks the header of a transport datagram under this pair; false, and the bytes as they were, if it is
  // none.
  bool unmask(MutBytes whole) const;

  // Over message ‖ length ‖ early data ‖ first 32 bytes of the trailer.
  crypto::Mac16 trailer_mac(Bytes signed_part) const;
  bool verify_trailer(Bytes signed_part, const crypto::Mac16& mac) const;

 private:
  PairKeys(const ByteArray<16>& mask, const Secret<32>& trailer) : block_(mask), trailer_key_(trailer) {}
  crypto::AesBlock block_;
  Secret<32> trailer_key_;
};

// What a relay says that forwards an initiation.  Believed only after PairKeys::verify_trailer().
struct Trailer {
  PeerId relay;
  uint8_t relays_before = 0;
  uint64_t number = 0;  // rises with every initiation that this relay sends to us: a replay is known by it
  crypto::Mac16 mac{};
};

// An unmasked handshake datagram, cut.  The views live as long as the datagram.
struct HandshakeDatagram {
  MessageType type = MessageType::initiation;
  Bytes message;  // exactly 148, 92 or 64 bytes
  Bytes early;    // type 1 only; may be empty
  std::optional<Trailer> trailer;
  Bytes signed_part;  // what the trailer's MAC covers; empty without one
};
// Fails with malformed or too_large.
Result<HandshakeDatagram, Drop> parse_handshake_datagram(Bytes unmasked);

// ---- writing, in this order; the packet holds the message and grows behind.
void append_early(Packet& initiation, Bytes early);  // the length field, even if there is no early data
// After append_early (or over message ‖ length ‖ early data as they came inside an EXTEND).
struct TrailerInput {
  const PeerId& self;
  uint8_t relays_before;
  uint64_t number;
};
void append_trailer(Packet& initiation, const PairKeys&, const TrailerInput&);
// Random bytes up to `total`; nothing if it is that long already.  Asserts total <= kMaxHandshakeDatagram.
void append_padding(Packet&, Rng&, size_t total);

}  // namespace macrovpn::encryption
