// WireGuard's four messages on the wire (whitepaper §5.4).  All integers little endian.
//
//   type 1  initiation  148   type 4 | sender 4 | ephemeral 32 | static 48 | timestamp 28 | mac1 16 | mac2 16
//   type 2  response     92   type 4 | sender 4 | receiver 4 | ephemeral 32 | empty 16 | mac1 16 | mac2 16
//   type 3  cookie       64   type 4 | receiver 4 | nonce 24 | cookie 32
//   type 4  transport  >=32   type 4 | receiver 4 | counter 8 | packet n | tag 16
//
// The type is one byte and three reserved ones, zero on every wire between two nodes; inside a session the
// reserved bytes carry the number of a leg (docs/protocol.md "Relayed messages").
#pragma once
#include "base/bytes.h"
#include "model/ids.h"

namespace macrovpn::encryption {

enum class MessageType : uint8_t { initiation = 1, response = 2, cookie_reply = 3, transport = 4 };

inline constexpr size_t kInitiationSize = 148;
inline constexpr size_t kResponseSize = 92;
inline constexpr size_t kCookieReplySize = 64;
inline constexpr size_t kTransportHeader = 16;
inline constexpr size_t kTransportOverhead = 32;  // header and tag

inline SessionIndex sender_index(Bytes message) {
  return {load_le32(message.data() + 4)};
}  // types 1, 2
inline SessionIndex receiver_index(Bytes message) {  // types 2, 3, 4
  return {load_le32(message.data() + (message[0] == 2 ? 8 : 4))};
}

// A whole message: right type, zero reserved bytes, right length (type 4: at least 32).  Says nothing of
// MACs.
inline bool is_message(Bytes m) {
  if (m.size() < 32 || m[1] != 0 || m[2] != 0 || m[3] != 0) return false;
  switch (m[0]) {
    case 1:
      return m.size() == kInitiationSize;
    case 2:
      return m.size() == kResponseSize;
    case 3:
      return m.size() == kCookieReplySize;
    case 4:
      return true;
    default:
      return false;
  }
}

}  // namespace macrovpn::encryption
