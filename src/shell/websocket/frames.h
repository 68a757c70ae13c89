// WebSocket frames (RFC 6455 §5), where a binary message is a datagram.
//
//    0                   1                   2                   3
//   |F|R|R|R| opcode|M| length (7)  | length (16), if 126 …         |
//   |  mask (32), if M, always from a client and never from a server |  payload …
//
// Binary messages of at most kPacketMax bytes, whole or in fragments; ping, pong and close between them.  All else (text, reserved bits,
// lengths not in their shortest form, a mask where none belongs) breaks the protocol, and nothing more is read.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "base/packet.h"
#include "base/rng.h"

namespace macrovpn::shell::websocket {

enum class Role : uint8_t { client, server };  // who writes a frame

enum class Kind : uint8_t { datagram, ping, pong, close };
struct Message {
  Kind kind;
  Packet payload;  // empty ones too; of a control frame at most 125 bytes
};

// Why a connection must end (§7.4.1).
enum class Broken : uint16_t { protocol_error = 1002, not_binary = 1003, too_big = 1009 };

class FrameReader {
 public:
  // from: whose frames these are.  The pool outlives it and the messages.
  FrameReader(Role from, PacketPool& pool) : from_(from), pool_(pool) {}
  // Takes all of it, in whatever pieces it came; appends whole messages.  Why the connection must end, from then on every time.
  std::optional<Broken> read(Bytes input, std::vector<Message>& out);

 private:
  enum class Opcode : uint8_t { continuation = 0, text = 1, binary = 2, close = 8, ping = 9, pong = 10 };
  std::optional<Broken> on_header();
  size_t header_size() const;
  void take_payload(Bytes& input);
  void finish(std::vector<Message>& out);
  bool is_control() const { return static_cast<uint8_t>(opcode_) >= 8; }

  Role from_;
  PacketPool& pool_;
  std::optional<Broken> broken_;
  ByteArray<8> header_{};
  size_t have_ = 0;       // bytes of the header
  bool in_payload_ = false, last_ = false;
  Opcode opcode_ = Opcode::binary;
  ByteArray<4> mask_{};
  size_t left_ = 0, read_ = 0;  // bytes of this frame's payload
  Packet message_;              // what came of a binary message; none: the next frame begins one
  Packet control_;
};

// Appends a whole frame.  rng: masks what a client writes.
void write_frame(Role from, Kind kind, Bytes payload, Rng& rng, std::vector<uint8_t>& out);
inline constexpr size_t kMostFrameHeader = 8;

}  // namespace macrovpn::shell::websocket
