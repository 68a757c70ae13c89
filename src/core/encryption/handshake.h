// WireGuard's handshake messages (whitepaper §5.4.2, §5.4.3): Noise, framed, with timestamps and MACs.
//
// initiator:  write_initiation() ... read_response()          responder:  read_initiation_*() ...
// write_response()
#pragma once
#include "core/encryption/cookie.h"
#include "core/encryption/noise.h"
#include "core/encryption/tai64n.h"

namespace macrovpn::encryption {

inline constexpr std::string_view kPrologue = "WireGuard v1 zx2c4 Jason@zx2c4.com";

// What every handshake with this responder starts from.
inline Noise start_of_handshake(const PublicKey& responder) {
  return Noise(as_bytes(kPrologue), responder);
}

// What the two sides have after a handshake.
struct HandshakeResult {
  Secret<32> send, receive;
  SessionIndex remote;
  crypto::Hash32 hash{};
};

// An initiation that was sent and waits for its response.
struct PendingInitiation {
  PendingInitiation(const PublicKey& responder, const KeyPair& ephemeral_key)
      : noise(start_of_handshake(responder)), ephemeral(ephemeral_key) {}
  Noise noise;  // after message 1: its hash is H1, its chaining key C1
  KeyPair ephemeral;
  SessionIndex local;
  crypto::Mac16 mac1{};
};

struct InitiationInput {
  const KeyPair& ours;
  const PublicKey& theirs;
  const Secret<32>& static_shared;
  Tai64n timestamp;
  const Cookie* usable_cookie;
};
// `pending.local` is set by the caller before.
Result<void, Drop> write_initiation(PendingInitiation& pending, const InitiationInput&, MutBytes message);

// One initiation on its way through the responder.  Its mac1 was checked before.
class ReceivedInitiation {
 public:
  ReceivedInitiation(const Noise& start, const crypto::DhKey& ours, Bytes message);
  Result<PublicKey, Drop> read_static();
  Result<Tai64n, Drop> read_timestamp(const Secret<32>& static_shared);
  PublicKey ephemeral() const;
  const crypto::Hash32& h1() const { return noise_.hash(); }      // after read_timestamp()
  const Secret<32>& c1() const { return noise_.chaining_key(); }  // ditto
  // Last; spends this.  `own_ephemeral` is freshly drawn.
  Result<HandshakeResult, Drop> write_response(const crypto::DhKey& own_ephemeral, SessionIndex local, const PublicKey& theirs,
                                               const Secret<32>& psk, const Cookie* usable_cookie,
                                               MutBytes message);

 private:
  Bytes noise_part() const;
  const crypto::DhKey& ours_;  // outlives this
  Bytes message_;
  Noise noise_;
};

// Works on a copy of the pending state: a forged response leaves it as it was.
Result<HandshakeResult, Drop> read_response(const PendingInitiation& pending, const KeyPair& ours,
                                            const Secret<32>& psk, Bytes message);

}  // namespace macrovpn::encryption
