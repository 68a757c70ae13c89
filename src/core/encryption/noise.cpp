#include "core/encryption/noise.h"

namespace macrovpn::encryption {
namespace {

constexpr std::string_view kConstruction = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";

PublicKey key_at(Bytes in) {
  return {*to_array<32>(in.first(32))};
}
Failure<Drop> low_order() {
  return Failure{Drop::low_order_point};
}

}  // namespace

Noise::Noise(Bytes prologue, const PublicKey& responder) {
  h_ = crypto::blake2s({as_bytes(kConstruction)});  // longer than 32 bytes, so hashed (Noise §5.2)
  ck_ = Secret<32>(h_);
  mix_hash(prologue);
  mix_hash(responder.bytes);
}

void Noise::mix_hash(Bytes data) {
  h_ = crypto::blake2s({h_, data});
}

void Noise::mix_key(Bytes input) {
  ck_ = crypto::hkdf_blake2s(ck_.reveal(), input, 1).t1;
}

void Noise::mix_cipher_key(Bytes input) {
  const auto out = crypto::hkdf_blake2s(ck_.reveal(), input, 2);
  ck_ = out.t1;
  key_ = out.t2;
}

void Noise::mix_psk(const Secret<32>& psk) {
  const auto out = crypto::hkdf_blake2s(ck_.reveal(), psk.reveal(), 3);
  ck_ = out.t1;
  mix_hash(out.t2.reveal());
  key_ = out.t3;
}

void Noise::mix_ephemeral(const PublicKey& e) {
  mix_hash(e.bytes);
  mix_key(e.bytes);
}

// Every key of this pattern is used once, so the nonce is always 0.
void Noise::seal(Bytes plain, MutBytes out) {
  if (witness_ != nullptr) witness_->seals_once(key_);
  crypto::aead_seal(key_, 0, h_, plain, out);
  mix_hash(out);
}

bool Noise::open(Bytes sealed, MutBytes out) {
  if (!crypto::aead_open(key_, 0, h_, sealed, out)) return false;
  mix_hash(sealed);
  return true;
}

Result<void, Drop> Noise::write_message1(const KeyPair& ours, const KeyPair& ephemeral,
                                         const PublicKey& theirs, const Secret<32>& static_shared,
                                         Bytes payload, MutBytes out) {
  MV_ASSERT(out.size() == noise_message1_size(payload.size()));
  std::copy(ephemeral.pub.bytes.begin(), ephemeral.pub.bytes.end(), out.begin());
  mix_ephemeral(ephemeral.pub);
  const auto es = crypto::x25519(ephemeral.secret, theirs);
  if (!es) return low_order();
  mix_cipher_key(es->reveal());
  seal(ours.pub.bytes, out.subspan(32, kSealedStatic));
  mix_cipher_key(static_shared.reveal());
  seal(payload, out.subspan(32 + kSealedStatic));
  return {};
}

Result<PublicKey, Drop> Noise::read_message1_static(const crypto::DhKey& ours, Bytes in) {
  MV_ASSERT(in.size() >= noise_message1_size(0));
  const PublicKey ephemeral = key_at(in);
  mix_ephemeral(ephemeral);
  const auto es = ours.shared_with(ephemeral);
  if (!es) return low_order();
  mix_cipher_key(es->reveal());
  PublicKey out;
  if (!open(in.subspan(32, kSealedStatic), out.bytes)) return Failure{Drop::bad_handshake};
  return out;
}

Result<void, Drop> Noise::read_message1_payload(const Secret<32>& static_shared, Bytes in, MutBytes payload) {
  MV_ASSERT(in.size() == noise_message1_size(payload.size()));
  mix_cipher_key(static_shared.reveal());
  if (!open(in.subspan(32 + kSealedStatic), payload)) return Failure{Drop::bad_handshake};
  return {};
}

Result<void, Drop> Noise::write_message2(const crypto::DhKey& ephemeral, const PublicKey& their_ephemeral,
                                         const PublicKey& their_static, const Secret<32>& psk, Bytes payload,
                                         MutBytes out) {
  MV_ASSERT(out.size() == noise_message2_size(payload.size()));
  const PublicKey e = ephemeral.public_key();
  std::copy(e.bytes.begin(), e.bytes.end(), out.begin());
  mix_ephemeral(e);
  const auto ee = ephemeral.shared_with(their_ephemeral);
  const auto se = ephemeral.shared_with(their_static);
  if (!ee || !se) return low_order();
  mix_key(ee->reveal());
  mix_key(se->reveal());
  mix_psk(psk);
  seal(payload, out.subspan(32));
  return {};
}

Result<void, Drop> Noise::read_message2(const KeyPair& ours, const KeyPair& ephemeral, const Secret<32>& psk,
                                        Bytes in, MutBytes payload) {
  MV_ASSERT(in.size() == noise_message2_size(payload.size()));
  const PublicKey theirs = key_at(in);
  mix_ephemeral(theirs);
  const auto ee = crypto::x25519(ephemeral.secret, theirs);
  const auto se = crypto::x25519(ours.secret, theirs);
  if (!ee || !se) return low_order();
  mix_key(ee->reveal());
  mix_key(se->reveal());
  mix_psk(psk);
  if (!open(in.subspan(32), payload)) return Failure{Drop::bad_handshake};
  return {};
}

TransportKeys Noise::split() const {
  const auto out = crypto::hkdf_blake2s(ck_.reveal(), {}, 2);
  return {out.t1, out.t2};
}

}  // namespace macrovpn::encryption
