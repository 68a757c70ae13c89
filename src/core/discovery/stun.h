// STUN Binding (RFC 8489), and what RFC 5780 adds to find out how a NAT filters: reading and writing messages.  Pure bytes;
// whether anything is answered is decided elsewhere (core/node/stun_side.h), what answers mean in nat_probe.h.
//
//   0  1  2  3   4 .. 7        8 .. 19           20 ..
//   kind  size   21 12 A4 42   transaction id    attributes: type 2 | length 2 | value, padded to 4 bytes      all big endian
//
// Attributes that we know: XOR-MAPPED-ADDRESS, CHANGE-REQUEST ("change port" only), PADDING, and between our own nodes XOR-PEER-ADDRESS
// and two of our own, from the range that strangers ignore:
//
//   C0F0 call back  relay id 20                       asks for a call by that other relay
//   C0F2 called     nothing                           in an answer: that relay was told
//   C0F1 vouch      relay id 20 | number 8 | MAC 16   in an indication from relay to relay: "somebody at XOR-PEER-ADDRESS asked me";
//                                                     the last attribute; the MAC covers every byte before itself
//
// Who sends an answer tells the asker his own address as seen from there, and nothing else.
#pragma once
#include <optional>
#include <vector>

#include "crypto/hash.h"
#include "model/ip.h"
#include "model/keys.h"

namespace macrovpn::discovery::stun {

inline constexpr uint32_t kCookie = 0x2112a442;
inline constexpr size_t kHeader = 20;
inline constexpr size_t kLargestAnswer = 48;       // with an IPv6 address, and "called"
inline constexpr size_t kLargestIndication = 92;   // ditto
inline constexpr size_t kLeastRequest = 48;        // shorter ones are not answered: no answer is larger than what asked for it
inline constexpr size_t kLeastCallBack = 192;      // for those that make two relays send: not less than all that they send together
inline constexpr size_t kMaxMessage = 1600;        // RFC 5780 pads to 1500
inline constexpr size_t kMaxAttributes = 16;

enum class Kind : uint16_t { request = 0x0001, indication = 0x0011, answer = 0x0101, refusal = 0x0111 };  // of Binding
using TransactionId = ByteArray<12>;
enum class From : uint8_t { same, other_port, other_address };  // from where the answer shall come; relays have no other address

struct Vouch {
  PeerId relay;
  uint64_t number = 0;  // of trailers, core/node/trailer_numbers.h
  crypto::Mac16 mac{};
};

struct Message {
  Kind kind = Kind::request;
  TransactionId id{};
  From answer_from = From::same;
  std::optional<Endpoint> mapped;  // XOR-MAPPED-ADDRESS
  std::optional<Endpoint> peer;    // XOR-PEER-ADDRESS
  std::optional<PeerId> call_back;
  std::optional<Vouch> vouch;
  bool called = false;  // in an answer: the relay that CALL-BACK named was told
  size_t size = 0;  // of header and attributes; what stands behind is padding
};

// Exact: attributes end where the datagram does, as RFC 8489 wants it.  Shorter: padding may follow, under our header mask.
enum class Extent : uint8_t { exact, shorter };
// Nothing: no Binding message, cut off, or with an attribute that must be understood and is not.
std::optional<Message> read(Bytes datagram, Extent);

struct Question {
  From answer_from = From::same;
  std::optional<PeerId> call_back;
};
std::vector<uint8_t> write_request(const TransactionId&, const Question& = {});
// As others want it: with PADDING up to `total`, a multiple of 4.
std::vector<uint8_t> write_padded_request(const TransactionId&, size_t total);
enum class Called : uint8_t { no, yes };
std::vector<uint8_t> write_answer(const TransactionId&, const Endpoint& seen, Called = Called::no);
// With zeros for the MAC; signed_part() is what it covers.
std::vector<uint8_t> write_indication(const TransactionId&, const Endpoint& peer, const PeerId& self, uint64_t number);
Bytes signed_part(Bytes indication, const Message&);  // of a message with a vouch
void set_mac(MutBytes indication, const crypto::Mac16&);

}  // namespace macrovpn::discovery::stun
