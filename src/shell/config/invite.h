// An invite: all that a newcomer needs to join a network, as a link that fits into a QR code.
//
//   macrovpn:BASE64URL (RFC 4648 §5, without padding) of
//   size 2 | version 1 | signed_at 4 | key 32 | pow_bits 1 | max_per_v4_24 2 | v4_16 2 | v6_48 2 | v6_32 2 | diversity_v4 1 | v6 1 |
//   guard age 4 | name length 1 | name | ranges 1 | n × (4 or 6, length 1, address 4 or 16) | signature 64 |
//   relays 1 | n × (identity 32 | WireGuard key 32 | endpoints 1 | n × (4 or 6, address 4 or 16, port 2)) | checksum 4
//
// The signature is the network's, over the network file with these rules and no seeds (network_file.h): an invite changes no rule.
// The relays are whom the inviter believes to be a good start; nobody else vouches for them, as nobody vouches for the link.  They
// are keys and addresses: what they say of others is verified and compared.  The checksum (the first 4 bytes of
// BLAKE2b-256("macrovpn invite 1" | all before)) tells a typing error from a forgery.
//
// Whoever reads the link learns the network's name, its rules and these relays; nothing of who invites whom.
#pragma once
#include <string>

#include "base/result.h"
#include "crypto/ed25519.h"
#include "model/network.h"

namespace macrovpn::shell {

inline constexpr size_t kInviteRelays = 3, kInviteEndpoints = 2;
inline constexpr size_t kMaxInviteText = 1000;  // what a QR code that a phone reads off a screen holds

struct Invite {
  Network network;  // without seeds
  crypto::Signature signature;
  std::vector<Seed> relays;  // at most kInviteRelays, of each at most kInviteEndpoints
};

// Fails if it is too long for a QR code.
Result<std::string> to_link(const Invite&);
// White space in it is of mail programs and terminals; the error says whether it was cut off, mistyped or changed.
Result<Invite> parse_invite(std::string_view text);
bool looks_like_invite(std::string_view text);

}  // namespace macrovpn::shell
