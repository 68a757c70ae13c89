// A relay's signed descriptor and its renewal record: encoding, signing, verifying.
//
//   body      TLV: tag 1 | length 1 | value, tags ascending, no duplicates, unknown tags kept; at most 1024 bytes
//   signature block   seq 4 | expiry 4 | Ed25519 64   over "macrovpn descriptor 1" | BLAKE2b-256(body) | seq | expiry
//   renewal   short id 8 | seq 4 | expiry 4 | prekey 32 | Ed25519 64
//             over "macrovpn renewal 1" | BLAKE2b-256(body) | the first 48 bytes of the record
//
// seq is the unix second of signing.  Rules: expiry <= seq + 36 h; seq not more than 10 min in the future; the body's
// network id is ours; the family signature, if any, verifies; at least one endpoint.  A descriptor without a renewal
// has no prekey: such a relay can be extended to only hop by hop.
#pragma once
#include <vector>

#include "base/result.h"
#include "crypto/ed25519.h"
#include "model/network.h"
#include "model/relay.h"

namespace macrovpn::discovery {

inline constexpr size_t kMaxBody = 1024;
inline constexpr Duration kDescriptorLife = std::chrono::hours(36);
inline constexpr Duration kClockTolerance = std::chrono::minutes(10);

PeerId peer_id_of(const IdentityKey&);

// What a relay says of itself.  id, prekey and times of RelayInfo are filled by signing and verifying.
std::vector<uint8_t> encode_body(const RelayInfo&, const NetworkId&);
// A whole descriptor as it is stored in a file and sent: body length 2 LE | body | signature block | renewal.
std::vector<uint8_t> sign_descriptor(const RelayInfo&, const NetworkId&, const crypto::SigningKey&, Wall now);
// Every check; the error says which one failed and what to do.
Result<RelayInfo> verify_descriptor(Bytes descriptor, const NetworkId&, Wall now);

// In-tunnel proof that the identity key and the WireGuard key belong together (docs/protocol.md "BOUND").
crypto::Signature sign_binding(const crypto::SigningKey&, const ByteArray<32>& challenge, const PublicKey& caller,
                               const PublicKey& relay, const ByteArray<32>& handshake_hash);
bool verify_binding(const IdentityKey&, const crypto::Signature&, const ByteArray<32>& challenge,
                    const PublicKey& caller, const PublicKey& relay, const ByteArray<32>& handshake_hash);

}  // namespace macrovpn::discovery
