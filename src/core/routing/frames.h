// Control frames and the sorting of what comes out of a session (docs/protocol.md "Inside a session of
// ours").
//
// What others learn: frames travel inside a session's AEAD.  A relay learns from EXTEND which relay comes
// next, an exit from LEASE that it is the exit; PING says nothing.
#pragma once
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "crypto/ed25519.h"
#include "crypto/hash.h"
#include "model/ids.h"
#include "model/keys.h"
#include "model/network.h"

namespace macrovpn::routing {

enum class PayloadKind : uint8_t { keepalive, ip, relayed, control, unknown };
PayloadKind kind_of(Bytes payload);

enum class FrameType : uint8_t {
  extend = 0x10,
  error = 0x11,
  close = 0x12,
  ping = 0x13,
  pong = 0x14,
  lease = 0x18,
  granted = 0x19,
  moved = 0x1a,
  release = 0x1b,
  bind = 0x1c,
  bound = 0x1d,
  directory = 0x20,  // core/discovery/sync_message.h
  dht_put = 0x24,  // core/discovery/dht_message.h
  dht_stored = 0x25,
  dht_get = 0x26,
  dht_found = 0x27,
  measure = 0x30,     // core/node/measure_side.h
  measure_ok = 0x31,
  sample = 0x32,
  echo = 0x33,
  dial = 0x34,    // call this relay
  dialed = 0x35,
  // Introductions (introduction_frames.h)
  register_here = 0x28,
  registered = 0x29,
  splice = 0x2a,
  connect = 0x2b,
  introduce = 0x2c,
};

enum class ErrorCode : uint8_t {
  none = 0,
  unknown_relay = 1,
  refused_endpoint = 2,
  too_deep = 3,
  full = 4,
  index_in_use = 5,
  early_refused = 6,
  no_exit = 7,
  no_such_lease = 8,
  no_such_leg = 9,
  going_away = 10,  // leg 0: the relay will end; leave it without haste
};
const char* describe(ErrorCode);  // for people

struct Frame {
  FrameType type;
  Bytes body;
};
// Walks the frames of one payload.  Stops at the padding; malformed() is true if a frame was cut short.
class FrameReader {
 public:
  explicit FrameReader(Bytes payload) : rest_(payload) {}
  std::optional<Frame> next();
  bool malformed() const { return malformed_; }

 private:
  Bytes rest_;
  bool malformed_ = false;
};

using LeaseId = ByteArray<16>;

// An initiation as it travels inside EXTEND and early data: message 148 (leg in its reserved bytes) | length
// 2 | early.
struct Element {
  Bytes message;
  LegNumber leg;
  Bytes early;
};
std::optional<Element> read_element(Bytes);
std::vector<uint8_t> write_element(Bytes message, LegNumber leg, Bytes early);

struct ExtendFrame {
  PeerId relay;
  uint8_t endpoint = 0;
  Bytes element;
};
struct ErrorFrame {
  ErrorCode code = ErrorCode::none;
  LegNumber leg;
};
struct PingFrame {
  uint64_t id = 0;
  size_t padding = 0;
};
inline constexpr uint8_t kLeaseResume = 1;
struct LeaseFrame {
  uint8_t flags = 0;
  uint16_t mtu = 0;
  LeaseId id{};
  crypto::Mac16 resume_mac{};
};
inline constexpr uint8_t kGrantedV4 = 1, kGrantedV6 = 2;
struct GrantedFrame {
  LeaseId id{};
  Secret<32> secret;
  uint8_t flags = 0;
  uint16_t mtu = 0;
};
// A relay asks another to call a third one; its signed descriptor says where and who.
struct DialFrame {
  uint64_t number = 0;
  Bytes descriptor;
};
enum class DialAnswer : uint8_t { no = 0, yes = 1, busy = 2 };  // busy: not tried
struct DialedFrame {
  uint64_t number = 0;
  DialAnswer answer = DialAnswer::no;
};
// A relay asks another to send back what it sends, for a while.
struct MeasureFrame {
  uint64_t measurer = 0;  // the first 8 bytes of its id, as a big-endian number
  uint16_t week = 0;      // low bits
  uint32_t rate = 0;      // bytes per second
  crypto::Signature signature{};
};
struct MeasureOkFrame {
  enum class Kind : uint8_t { no = 0, later = 1, yes = 2, over = 3 } kind = Kind::no;
  uint64_t background = 0;  // over: bytes carried for others meanwhile; else 0
};
struct BoundFrame {
  IdentityKey identity;
  crypto::Signature signature{};
};

std::optional<ExtendFrame> read_extend(Bytes body);
std::optional<ErrorFrame> read_error(Bytes body);
std::optional<LegNumber> read_close(Bytes body);
std::optional<PingFrame> read_ping(Bytes body);  // PONG too
std::optional<LeaseFrame> read_lease(Bytes body);
std::optional<GrantedFrame> read_granted(Bytes body);
std::optional<LeaseId> read_lease_id(Bytes body);  // MOVED, RELEASE
std::optional<ByteArray<32>> read_bind(Bytes body);
std::optional<BoundFrame> read_bound(Bytes body);
std::optional<DialFrame> read_dial(Bytes body);
std::optional<DialedFrame> read_dialed(Bytes body);
std::optional<MeasureFrame> read_measure(Bytes body);
std::optional<MeasureOkFrame> read_measure_ok(Bytes body);

// Each returns one whole frame: type 1 | length 2 | body.
std::vector<uint8_t> write_extend(const PeerId&, uint8_t endpoint, Bytes element);
std::vector<uint8_t> write_error(ErrorCode, LegNumber leg);
std::vector<uint8_t> write_close(LegNumber leg);
std::vector<uint8_t> write_ping(FrameType ping_or_pong, const PingFrame&);
std::vector<uint8_t> write_lease(const LeaseFrame&);
std::vector<uint8_t> write_granted(const GrantedFrame&);
std::vector<uint8_t> write_lease_id(FrameType moved_or_release, const LeaseId&);
std::vector<uint8_t> write_bind(const ByteArray<32>& challenge);
std::vector<uint8_t> write_bound(const BoundFrame&);
std::vector<uint8_t> write_dial(const DialFrame&);
std::vector<uint8_t> write_dialed(const DialedFrame&);
std::vector<uint8_t> write_measure(const MeasureFrame&);
std::vector<uint8_t> write_measure_ok(const MeasureOkFrame&);
std::vector<uint8_t> write_frame(FrameType, Bytes body);  // whose layout is another component's

inline constexpr size_t kFrameHeader = 3;

// Proof that a lease's holder asks for it, bound to the very handshake in which it asks.
crypto::Mac16 resume_mac(const Secret<32>& secret, const NetworkId& network, const crypto::Hash32& h1);

// Leg numbers sit in bytes 1..3 of a relayed message.
inline LegNumber leg_of(Bytes message) {
  return {load_le24(message.data() + 1)};
}
inline void set_leg(uint8_t* message, LegNumber leg) {
  store_le24(message + 1, leg.value);
}

}  // namespace macrovpn::routing
