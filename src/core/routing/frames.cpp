#include "core/routing/frames.h"

namespace macrovpn::routing {
namespace {

constexpr size_t kInitiation = 148;

std::vector<uint8_t> frame(FrameType type, size_t body_size) {
  std::vector<uint8_t> out;
  out.reserve(kFrameHeader + body_size);
  Writer(out).u8(static_cast<uint8_t>(type)).le16(static_cast<uint16_t>(body_size));
  return out;
}

LegNumber read_leg(Reader& r) {
  const auto b = r.fixed<3>();
  return {load_le24(b.data())};
}

void write_leg(Writer& w, LegNumber leg) {
  ByteArray<3> b;
  store_le24(b.data(), leg.value);
  w.bytes(b);
}

}  // namespace

PayloadKind kind_of(Bytes p) {
  if (p.empty()) return PayloadKind::keepalive;
  const uint8_t first = p[0];
  if (first >> 4 == 4 || first >> 4 == 6) return PayloadKind::ip;
  if (first >= 1 && first <= 4) return p.size() >= 32 ? PayloadKind::relayed : PayloadKind::unknown;
  if (first >= 0x10 && first <= 0x3f) return PayloadKind::control;
  return PayloadKind::unknown;
}

const char* describe(ErrorCode code) {
  switch (code) {
    case ErrorCode::none:
      return "no error";
    case ErrorCode::unknown_relay:
      return "the relay does not know the next one";
    case ErrorCode::refused_endpoint:
      return "the relay refuses the next one's endpoint";
    case ErrorCode::too_deep:
      return "the circuit is longer than five hops";
    case ErrorCode::full:
      return "the relay is full";
    case ErrorCode::index_in_use:
      return "the session index is in use there";
    case ErrorCode::early_refused:
      return "the relay took no early data";
    case ErrorCode::no_exit:
      return "the relay is no exit";
    case ErrorCode::no_such_lease:
      return "the exit does not know the lease";
    case ErrorCode::no_such_leg:
      return "the relay does not know the leg";
    case ErrorCode::going_away:
      return "the relay is about to end";
  }
  return "unknown error";
}

std::optional<Frame> FrameReader::next() {
  if (rest_.empty() || rest_[0] == 0) return std::nullopt;
  Reader r(rest_);
  const uint8_t type = r.u8();
  const uint16_t size = r.le16();
  const Bytes body = r.take(size);
  if (!r.ok() || type < 0x10 || type > 0x3f) {
    malformed_ = true;
    rest_ = {};
    return std::nullopt;
  }
  rest_ = r.rest();
  return Frame{static_cast<FrameType>(type), body};
}

std::optional<Element> read_element(Bytes b) {
  Reader r(b);
  Element e;
  e.message = r.take(kInitiation);
  const uint16_t size = r.le16();
  e.early = r.take(size);
  if (!r.done() || e.message[0] != 1) return std::nullopt;
  e.leg = leg_of(e.message);
  if (e.leg.value == 0) return std::nullopt;
  return e;
}

std::vector<uint8_t> write_element(Bytes message, LegNumber leg, Bytes early) {
  MV_ASSERT(message.size() == kInitiation);
  std::vector<uint8_t> out;
  out.reserve(kInitiation + 2 + early.size());
  Writer(out).bytes(message).le16(static_cast<uint16_t>(early.size())).bytes(early);
  set_leg(out.data(), leg);
  return out;
}

std::optional<ExtendFrame> read_extend(Bytes body) {
  Reader r(body);
  ExtendFrame f;
  f.relay.bytes = r.fixed<20>();
  f.endpoint = r.u8();
  f.element = r.rest();
  return r.ok() ? std::optional(f) : std::nullopt;
}

std::optional<ErrorFrame> read_error(Bytes body) {
  Reader r(body);
  ErrorFrame f;
  f.code = static_cast<ErrorCode>(r.u8());
  f.leg = read_leg(r);
  return r.done() ? std::optional(f) : std::nullopt;
}

std::optional<LegNumber> read_close(Bytes body) {
  Reader r(body);
  const LegNumber leg = read_leg(r);
  return r.done() ? std::optional(leg) : std::nullopt;
}

std::optional<PingFrame> read_ping(Bytes body) {
  Reader r(body);
  PingFrame f;
  f.id = r.le64();
  f.padding = r.left();
  return r.ok() ? std::optional(f) : std::nullopt;
}

std::optional<LeaseFrame> read_lease(Bytes body) {
  Reader r(body);
  LeaseFrame f;
  f.flags = r.u8();
  f.mtu = r.le16();
  f.id = r.fixed<16>();
  f.resume_mac = r.fixed<16>();
  return r.done() ? std::optional(f) : std::nullopt;
}

std::optional<GrantedFrame> read_granted(Bytes body) {
  Reader r(body);
  GrantedFrame f;
  f.id = r.fixed<16>();
  f.secret = Secret<32>(r.fixed<32>());
  f.flags = r.u8();
  f.mtu = r.le16();
  return r.done() ? std::optional(f) : std::nullopt;
}

std::optional<LeaseId> read_lease_id(Bytes body) {
  return to_array<16>(body);
}
std::optional<ByteArray<32>> read_bind(Bytes body) {
  return to_array<32>(body);
}

std::optional<BoundFrame> read_bound(Bytes body) {
  Reader r(body);
  BoundFrame f;
  f.identity.bytes = r.fixed<32>();
  f.signature = r.fixed<64>();
  return r.done() ? std::optional(f) : std::nullopt;
}

std::vector<uint8_t> write_extend(const PeerId& relay, uint8_t endpoint, Bytes element) {
  auto out = frame(FrameType::extend, 21 + element.size());
  Writer(out).bytes(relay.bytes).u8(endpoint).bytes(element);
  return out;
}

std::vector<uint8_t> write_error(ErrorCode code, LegNumber leg) {
  auto out = frame(FrameType::error, 4);
  Writer w(out);
  w.u8(static_cast<uint8_t>(code));
  write_leg(w, leg);
  return out;
}

std::vector<uint8_t> write_close(LegNumber leg) {
  auto out = frame(FrameType::close, 3);
  Writer w(out);
  write_leg(w, leg);
  return out;
}

std::vector<uint8_t> write_ping(FrameType type, const PingFrame& f) {
  auto out = frame(type, 8 + f.padding);
  Writer(out).le64(f.id).zeros(f.padding);
  return out;
}

std::vector<uint8_t> write_lease(const LeaseFrame& f) {
  auto out = frame(FrameType::lease, 35);
  Writer(out).u8(f.flags).le16(f.mtu).bytes(f.id).bytes(f.resume_mac);
  return out;
}

std::vector<uint8_t> write_granted(const GrantedFrame& f) {
  auto out = frame(FrameType::granted, 51);
  Writer(out).bytes(f.id).bytes(f.secret.reveal()).u8(f.flags).le16(f.mtu);
  return out;
}

std::vector<uint8_t> write_lease_id(FrameType type, const LeaseId& id) {
  auto out = frame(type, 16);
  Writer(out).bytes(id);
  return out;
}

std::vector<uint8_t> write_bind(const ByteArray<32>& challenge) {
  auto out = frame(FrameType::bind, 32);
  Writer(out).bytes(challenge);
  return out;
}

std::vector<uint8_t> write_frame(FrameType type, Bytes body) {
  auto out = frame(type, body.size());
  Writer(out).bytes(body);
  return out;
}

std::vector<uint8_t> write_bound(const BoundFrame& f) {
  auto out = frame(FrameType::bound, 96);
  Writer(out).bytes(f.identity.bytes).bytes(f.signature);
  return out;
}

crypto::Mac16 resume_mac(const Secret<32>& secret, const NetworkId& network, const crypto::Hash32& h1) {
  return crypto::keyed_blake2s_128(secret.reveal(), {as_bytes("macrovpn resume 1"), network.bytes, h1});
}

std::optional<DialFrame> read_dial(Bytes body) {
  if (body.size() <= 8) return std::nullopt;
  return DialFrame{load_le64(body.data()), body.subspan(8)};
}

std::optional<DialedFrame> read_dialed(Bytes body) {
  if (body.size() != 9 || body[8] > static_cast<uint8_t>(DialAnswer::busy)) return std::nullopt;
  return DialedFrame{load_le64(body.data()), static_cast<DialAnswer>(body[8])};
}

std::vector<uint8_t> write_dial(const DialFrame& f) {
  std::vector<uint8_t> body(8);
  store_le64(body.data(), f.number);
  body.insert(body.end(), f.descriptor.begin(), f.descriptor.end());
  return write_frame(FrameType::dial, body);
}

std::vector<uint8_t> write_dialed(const DialedFrame& f) {
  std::vector<uint8_t> body(9);
  store_le64(body.data(), f.number);
  body[8] = static_cast<uint8_t>(f.answer);
  return write_frame(FrameType::dialed, body);
}

// short id 8 | week 2 | rate 4 | signature 64
std::optional<MeasureFrame> read_measure(Bytes body) {
  Reader r(body);
  MeasureFrame f;
  f.measurer = r.be64();
  f.week = r.le16();
  f.rate = r.le32();
  f.signature = r.fixed<64>();
  return r.done() ? std::optional(f) : std::nullopt;
}

std::vector<uint8_t> write_measure(const MeasureFrame& f) {
  std::vector<uint8_t> body;
  Writer(body).be64(f.measurer).le16(f.week).le32(f.rate).bytes(f.signature);
  return write_frame(FrameType::measure, body);
}

// kind 1 | background 8
std::optional<MeasureOkFrame> read_measure_ok(Bytes body) {
  using Kind = MeasureOkFrame::Kind;
  Reader r(body);
  const auto kind = static_cast<Kind>(r.u8());
  const MeasureOkFrame f{kind, r.le64()};
  if (!r.done() || kind > Kind::over || (kind != Kind::over && f.background != 0)) return std::nullopt;
  return f;
}

std::vector<uint8_t> write_measure_ok(const MeasureOkFrame& f) {
  std::vector<uint8_t> body;
  Writer(body).u8(static_cast<uint8_t>(f.kind)).le64(f.background);
  return write_frame(FrameType::measure_ok, body);
}

}  // namespace macrovpn::routing
