// StunSide: how a relay tells others what their address looks like from outside (RFC 8489), and helps them find out what their NAT
// lets in (docs/protocol.md "STUN").  It keeps nothing but budgets.
//
//   masked request  -> answer, masked; from our other port if asked to (RFC 5780 CHANGE-REQUEST, "change port")
//   ... "call back" -> answer, and an indication to the other relay that was named, with a MAC under the key of the two
//   indication      -> if a relay vouches for it: an answer to the address that it names, which never heard of us
//   plain request   -> nothing, unless the operator wants that: a relay that answers strangers is found by scanning
//
// Reflection: a source address may be forged, so all that is sent because of one request, by both relays together, is no more
// than the request's bytes (stun.h), and who is called by a vouch is at a global address that is not on our own networks.
// Rates: kPerCaller of one address, kInAll of everybody; what is beyond is not answered.
//
// What we learn: that this address asked.  The called relay learns the same; it is the asker who chose it.
#pragma once
#include "core/discovery/stun.h"
#include "core/encryption/rate_limit.h"
#include "core/node/shared.h"

namespace macrovpn::node {

struct StunCounters {
  uint64_t answered = 0, called_back = 0, too_small = 0, too_many = 0, refused = 0;
};

class StunSide {
 public:
  static constexpr encryption::Rate kPerCaller{8, 32}, kPerRelay{20, 40}, kInAll{500, 500};
  explicit StunSide(Shared s) : s_(s) {}

  // A datagram that is no message of WireGuard under any key.  True: it was STUN, and has been dealt with.
  bool on_datagram(Now now, Datagram& d);
  const StunCounters& counters() const { return counters_; }

 private:
  using Message = discovery::stun::Message;
  void on_request(Now now, const Datagram& d, const Message& m, MaskId mask);
  void on_indication(Now now, const Datagram& d, const Message& m);
  bool call_back(Now now, const Datagram& d, const Message& m);  // whether the other relay was told
  bool is_vouched(Now now, Bytes indication, const Message& m);
  bool may_answer(Now now, const CallerKey& caller, const encryption::Rate& rate);
  struct To {
    SocketId socket;
    Endpoint endpoint;
    MaskId mask;
    IpAddress local{};
  };
  void send(const To& to, Bytes message, size_t most);

  Shared s_;
  encryption::RateLimit callers_{16'384};
  encryption::TokenBucket all_;
  StunCounters counters_;
};

}  // namespace macrovpn::node
