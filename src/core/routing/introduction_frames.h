// Frames about relays behind a NAT (docs/protocol.md "Introductions"): such a relay registers with an introducer, others reach it through
// that one (SPLICE), and are told of each other to come together directly (CONNECT, INTRODUCE).
//
// What others learn: an introducer knows the addresses of the relays that register, as everybody does, and which relay wants which.
// A client sends none of these.
#pragma once
#include "core/routing/frames.h"
#include "model/guess_side.h"
#include "model/ip.h"

namespace macrovpn::routing {

// An EXTEND's number of an endpoint from here on: through the introducer of that number.
inline constexpr uint8_t kThroughIntroducer = 128, kNoIntroducer = 255;
using IntroductionNonce = ByteArray<12>;

struct RegisterFrame {
  PeerId self;
  uint64_t cookie = 0;  // of the last REGISTERED; 0: none yet
  crypto::Mac16 mac{};
  GuessSide guess = GuessSide::none;  // what the sender could be in a guess, if it has no other just now
};
struct RegisteredFrame {
  uint64_t cookie = 0;  // said again, it proves that what is sent to `seen` arrives
  Endpoint seen;        // where the session's packets come from
};
// An EXTEND in the session of a relay: with how many relays are before that one.
struct SpliceFrame {
  uint8_t relays_before = 0;
  PeerId relay;
  Bytes element;
};
struct ConnectFrame {
  PeerId self, wanted;
  IntroductionNonce nonce{};
  crypto::Mac16 mac{};
  GuessSide guess = GuessSide::none;  // with this one
};
struct IntroduceFrame {
  PeerId other;
  IntroductionNonce nonce{};
  Endpoint at;
  GuessSide guess = GuessSide::none;  // what the other could be
};

std::optional<RegisterFrame> read_register(Bytes body);
std::optional<RegisteredFrame> read_registered(Bytes body);
std::optional<SpliceFrame> read_splice(Bytes body);
std::optional<ConnectFrame> read_connect(Bytes body);
std::optional<IntroduceFrame> read_introduce(Bytes body);

// Each returns one whole frame.
std::vector<uint8_t> write_register(const RegisterFrame&);
std::vector<uint8_t> write_registered(const RegisteredFrame&);
std::vector<uint8_t> write_splice(const SpliceFrame&);
std::vector<uint8_t> write_connect(const ConnectFrame&);
std::vector<uint8_t> write_introduce(const IntroduceFrame&);

// What the MACs of REGISTER and CONNECT cover, under the trailer key of the two relays: the session's own static key, so that nobody
// can say them in another session.
std::vector<uint8_t> signed_register(const PublicKey& session_key);
std::vector<uint8_t> signed_connect(const PublicKey& session_key, const PeerId& wanted, const IntroductionNonce&);

}  // namespace macrovpn::routing
