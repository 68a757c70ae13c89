// Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s (Noise revision 34; whitepaper §5.4), nothing of WireGuard's framing.
// Prologue and payloads are arguments, so that published vectors can hold it to its word.
//
//   IKpsk2:   <- s      ...      -> e, es, s, ss      <- e, ee, se, psk
//
//   message 1:  e 32 | sealed static 48 | sealed payload n + 16
//   message 2:  e 32 | sealed payload n + 16
//
// With a psk modifier "e" also mixes the ephemeral into the chaining key (Noise §9.2).
#pragma once
#include "base/result.h"
#include "core/encryption/drop.h"
#include "core/encryption/seal_witness.h"
#include "crypto/aead.h"
#include "crypto/hash.h"
#include "crypto/x25519.h"
#include "model/keys.h"

namespace macrovpn::encryption {

inline constexpr size_t kSealedStatic = 32 + crypto::kTagSize;
constexpr size_t noise_message1_size(size_t payload) {
  return 32 + kSealedStatic + payload + crypto::kTagSize;
}
constexpr size_t noise_message2_size(size_t payload) {
  return 32 + payload + crypto::kTagSize;
}

struct TransportKeys {
  Secret<32> initiator_to_responder, responder_to_initiator;
};

// One side of one handshake.  Functions are called in the protocol's order; after a failure the object is
// spent.
class Noise {
 public:
  // Both sides start from the responder's static key, which IK assumes known.
  Noise(Bytes prologue, const PublicKey& responder);

  // ---- initiator.  `static_shared` is DH(our static, their static), which a caller may keep.
  Result<void, Drop> write_message1(const KeyPair& ours, const KeyPair& ephemeral, const PublicKey& theirs,
                                    const Secret<32>& static_shared, Bytes payload, MutBytes out);
  Result<void, Drop> read_message2(const KeyPair& ours, const KeyPair& ephemeral, const Secret<32>& psk,
                                   Bytes in, MutBytes payload);

  // ---- responder.  Message 1 is read in two steps: who it is decides about static_shared and payload.
  Result<PublicKey, Drop> read_message1_static(const crypto::DhKey& ours, Bytes in);
  Result<void, Drop> read_message1_payload(const Secret<32>& static_shared, Bytes in, MutBytes payload);
  Result<void, Drop> write_message2(const crypto::DhKey& ephemeral, const PublicKey& their_ephemeral,
                                    const PublicKey& their_static, const Secret<32>& psk, Bytes payload,
                                    MutBytes out);

  void show(SealWitness* w) { witness_ = w; }  // from now on, also what copies of this seal; none: nobody
  TransportKeys split() const;
  const crypto::Hash32& hash() const { return h_; }
  const Secret<32>& chaining_key() const { return ck_; }

 private:
  void mix_hash(Bytes data);
  void mix_key(Bytes input);         // chaining key only
  void mix_cipher_key(Bytes input);  // chaining key and the key of the next seal or open
  void mix_psk(const Secret<32>& psk);
  void mix_ephemeral(const PublicKey&);
  void seal(Bytes plain, MutBytes out);
  bool open(Bytes sealed, MutBytes out);

  Secret<32> ck_, key_;
  crypto::Hash32 h_;
  SealWitness* witness_ = nullptr;  // outlives this
};

}  // namespace macrovpn::encryption
