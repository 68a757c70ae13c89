// A relay's signed descriptor and its renewal record: encoding, signing, verifying.
//
//   body      TLV: tag 1 | length 1 | value, tags ascending, no duplicates, unknown tags kept; at most 1024
//   bytes signature block   seq 4 | expiry 4 | Ed25519 64   over "macrovpn descriptor 1" | BLAKE2b-256(body)
//   | seq | expiry renewal   short id 8 | seq 4 | expiry 4 | prekey 32 | Ed25519 64
//             over "macrovpn renewal 1" | BLAKE2b-256(body) | the first 48 bytes of the record
//
// seq is the unix second of signing.  Rules: expiry <= seq + 36 h; seq not more than 10 min in the future;
// the body's network id is ours; the family signature, if any, verifies; at least one endpoint.  A descriptor
// without a renewal has no prekey: such a relay can be extended to only hop by hop.  Where there is a
// renewal, its times are the ones that count: a body that was signed last week lives on through its renewals.
//
// Tags (lengths and layouts in docs/protocol.md "Descriptor"): 1 version, 2 network id, 3 identity key, 4
// WireGuard key, 5 flags, 6 endpoints, 7 created, 8 region, 9 AS number, 10 bandwidth, 11 family; those of
// RelayDetails: 12 protocol versions, 13 introducers, 14 price, 15 exit ports, 16 TLS, 17 work, 18 measured.  1 to 7 are
// required.  A tag that we do not know is skipped, but it is hashed and stored as it came, so that old and
// new versions agree on the bytes.
//
// What a reader learns: exactly what a relay publishes of itself.  No client ever has a descriptor.
#pragma once
#include <optional>
#include <vector>

#include "base/result.h"
#include "crypto/ed25519.h"
#include "crypto/hash.h"
#include "model/network.h"
#include "model/relay.h"
#include "model/relay_details.h"

namespace macrovpn::discovery {

inline constexpr size_t kMaxBody = 1024;
inline constexpr size_t kBlockSize = 4 + 4 + 64;
inline constexpr size_t kRenewalSize = 8 + 4 + 4 + 32 + 64;
inline constexpr Duration kDescriptorLife = std::chrono::hours(36);
inline constexpr Duration kClockTolerance = std::chrono::minutes(10);

PeerId peer_id_of(const IdentityKey&);

// That a relay belongs to an operator's family: the family key signs the relay's id, and the relay's own
// signature covers the body in which it names the family.  Neither can claim the other alone.
struct FamilyProof {
  IdentityKey family;
  crypto::Signature signature;  // over "macrovpn family 1" | network id | relay id
};
FamilyProof sign_family(const crypto::SigningKey& family_key, const PeerId& relay, const NetworkId&);

// A descriptor whose signatures hold, with the very bytes that were signed: so it can be handed on.
struct SignedDescriptor {
  std::vector<uint8_t> bytes;  // body length | body | block | [newest renewal]
  RelayInfo relay;
  RelayDetails details;  // details.work: claimed only, work.h checks it
  Wall body_signed_at;   // of the block: names the body among all that the relay ever signed
  crypto::Hash32 body_hash{};
  Bytes without_renewal() const { return Bytes(bytes).first(2 + load_le16(bytes.data()) + kBlockSize); }
  Bytes renewal() const { return Bytes(bytes).subspan(without_renewal().size()); }  // empty: none
};

// What a relay says of itself.  id, prekey and times of RelayInfo are filled by signing and verifying.  The
// bandwidth is rounded down to two significant bits and `created` to the hour, so that neither identifies.  A
// family is written with its proof only: RelayInfo::family alone is not.  Asserts 1..4 endpoints.
std::vector<uint8_t> encode_body(const RelayInfo&, const NetworkId&,
                                 const std::optional<FamilyProof>& = std::nullopt, const RelayDetails& = {});
// A whole descriptor as it is stored in a file and sent: body length 2 LE | body | signature block | renewal.
// The identity is the signing key's, whatever RelayInfo says; a zero prekey leaves the renewal out.
//
// Two bodies signed in one second convict their relay (equivocation.h): `now` comes from next_signing_time().
std::vector<uint8_t> sign_descriptor(const RelayInfo&, const NetworkId&, const crypto::SigningKey&, Wall now,
                                     const std::optional<FamilyProof>& = std::nullopt, const RelayDetails& = {});
// The second to sign in: now, but later than whatever was signed last.
Wall next_signing_time(Wall last, Wall now);
// A renewal record of that body, kRenewalSize.
std::vector<uint8_t> sign_renewal(const SignedDescriptor&, const crypto::SigningKey&, Wall now, const PublicKey& prekey);

// All checks that no clock is needed for; the error says which one failed and what to do.
Result<SignedDescriptor> open_descriptor(Bytes descriptor, const NetworkId&);
// The same descriptor with another renewal in place of its own, for one signature instead of two or three.
Result<SignedDescriptor> with_renewal(const SignedDescriptor&, Bytes renewal);
// Signed in the future, or expired.
Result<void> check_times(const RelayInfo&, Wall now);
// Both, for those who want the relay only.
Result<RelayInfo> verify_descriptor(Bytes descriptor, const NetworkId&, Wall now);

// In-tunnel proof that the identity key and the WireGuard key belong together (docs/protocol.md "BOUND").
struct Binding {
  NetworkId network;
  ByteArray<32> challenge{};
  PublicKey caller, relay;
  ByteArray<32> handshake_hash{};  // final, of the session
};
crypto::Signature sign_binding(const crypto::SigningKey&, const Binding&);
bool verify_binding(const IdentityKey&, const crypto::Signature&, const Binding&);

}  // namespace macrovpn::discovery
