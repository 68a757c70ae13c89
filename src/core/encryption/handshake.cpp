#include "core/encryption/handshake.h"

namespace macrovpn::encryption {
namespace {

constexpr size_t kNoiseAt1 = 8, kNoiseAt2 = 12;
constexpr size_t kNoise1 = noise_message1_size(12), kNoise2 = noise_message2_size(0);
static_assert(kNoiseAt1 + kNoise1 + 2 * kMacSize == kInitiationSize);
static_assert(kNoiseAt2 + kNoise2 + 2 * kMacSize == kResponseSize);

}  // namespace

Result<void, Drop> write_initiation(PendingInitiation& pending, const InitiationInput& in, MutBytes message) {
  MV_ASSERT(message.size() == kInitiationSize);
  store_le32(message.data(), static_cast<uint32_t>(MessageType::initiation));
  store_le32(message.data() + 4, pending.local.value);
  TRY_VOID(pending.noise.write_message1(in.ours, pending.ephemeral, in.theirs, in.static_shared, in.timestamp,
                                        message.subspan(kNoiseAt1, kNoise1)));
  pending.mac1 = write_macs(message, in.theirs, in.usable_cookie);
  return {};
}

ReceivedInitiation::ReceivedInitiation(const Noise& start, const crypto::DhKey& ours, Bytes message)
    : ours_(ours), message_(message), noise_(start) {
  MV_ASSERT(message.size() == kInitiationSize);
}

Bytes ReceivedInitiation::noise_part() const {
  return message_.subspan(kNoiseAt1, kNoise1);
}
PublicKey ReceivedInitiation::ephemeral() const {
  return {*to_array<32>(noise_part().first(32))};
}
Result<PublicKey, Drop> ReceivedInitiation::read_static() {
  return noise_.read_message1_static(ours_, noise_part());
}

Result<Tai64n, Drop> ReceivedInitiation::read_timestamp(const Secret<32>& static_shared) {
  Tai64n out{};
  TRY_VOID(noise_.read_message1_payload(static_shared, noise_part(), out));
  return out;
}

Result<HandshakeResult, Drop> ReceivedInitiation::write_response(const crypto::DhKey& own_ephemeral,
                                                                 SessionIndex local,
                                                                 const PublicKey& theirs,
                                                                 const Secret<32>& psk,
                                                                 const Cookie* usable_cookie, MutBytes out) {
  MV_ASSERT(out.size() == kResponseSize);
  store_le32(out.data(), static_cast<uint32_t>(MessageType::response));
  store_le32(out.data() + 4, local.value);
  store_le32(out.data() + 8, sender_index(message_).value);
  TRY_VOID(noise_.write_message2(own_ephemeral, ephemeral(), theirs, psk, {},
                                 out.subspan(kNoiseAt2, kNoise2)));
  write_macs(out, theirs, usable_cookie);
  const TransportKeys keys = noise_.split();
  return HandshakeResult{keys.responder_to_initiator, keys.initiator_to_responder, sender_index(message_),
                         noise_.hash()};
}

Result<HandshakeResult, Drop> read_response(const PendingInitiation& pending, const KeyPair& ours,
                                            const Secret<32>& psk, Bytes message) {
  MV_ASSERT(message.size() == kResponseSize);
  Noise noise = pending.noise;
  TRY_VOID(noise.read_message2(ours, pending.ephemeral, psk, message.subspan(kNoiseAt2, kNoise2), {}));
  const TransportKeys keys = noise.split();
  return HandshakeResult{keys.initiator_to_responder, keys.responder_to_initiator, sender_index(message),
                         noise.hash()};
}

}  // namespace macrovpn::encryption
