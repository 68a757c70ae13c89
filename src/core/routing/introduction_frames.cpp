#include "core/routing/introduction_frames.h"

namespace macrovpn::routing {
namespace {

std::vector<uint8_t> start(FrameType type) { return {static_cast<uint8_t>(type), 0, 0}; }

std::vector<uint8_t> finish(std::vector<uint8_t> frame) {
  store_le16(&frame[1], static_cast<uint16_t>(frame.size() - kFrameHeader));
  return frame;
}

void write_endpoint(Writer& w, const Endpoint& e) {
  w.u8(static_cast<uint8_t>(e.address.family())).bytes(e.address.bytes()).le16(e.port);
}

// The last thing in a body: whatever else is there makes it unreadable.
std::optional<Endpoint> read_last_endpoint(Reader& r) {
  const uint8_t family = r.u8();
  Endpoint e;
  if (family == 4) {
    e.address = IpAddress::v4(r.fixed<4>());
  } else if (family == 6) {
    e.address = IpAddress::v6(r.fixed<16>());
  } else {
    return std::nullopt;
  }
  e.port = r.le16();
  const bool usable = e.port != 0 && !e.address.is_unspecified();
  return r.done() && usable ? std::optional(e) : std::nullopt;
}

std::optional<GuessSide> read_guess(Reader& r) {
  const uint8_t side = r.u8();
  return side <= static_cast<uint8_t>(GuessSide::hard) ? std::optional(static_cast<GuessSide>(side)) : std::nullopt;
}

}  // namespace

std::optional<RegisterFrame> read_register(Bytes body) {
  Reader r(body);
  RegisterFrame f;
  f.self.bytes = r.fixed<20>();
  f.cookie = r.le64();
  const auto guess = read_guess(r);
  f.mac = r.fixed<16>();
  if (!guess || !r.done()) return std::nullopt;
  f.guess = *guess;
  return f;
}

std::optional<RegisteredFrame> read_registered(Bytes body) {
  Reader r(body);
  RegisteredFrame f;
  f.cookie = r.le64();
  const auto seen = read_last_endpoint(r);
  if (!seen) return std::nullopt;
  f.seen = *seen;
  return f;
}

std::optional<SpliceFrame> read_splice(Bytes body) {
  Reader r(body);
  SpliceFrame f;
  f.relays_before = r.u8();
  f.relay.bytes = r.fixed<20>();
  if (!r.ok()) return std::nullopt;
  f.element = r.take(r.left());
  return f;
}

std::optional<ConnectFrame> read_connect(Bytes body) {
  Reader r(body);
  ConnectFrame f;
  f.self.bytes = r.fixed<20>();
  f.wanted.bytes = r.fixed<20>();
  f.nonce = r.fixed<12>();
  const auto guess = read_guess(r);
  f.mac = r.fixed<16>();
  if (!guess || !r.done()) return std::nullopt;
  f.guess = *guess;
  return f;
}

std::optional<IntroduceFrame> read_introduce(Bytes body) {
  Reader r(body);
  IntroduceFrame f;
  f.other.bytes = r.fixed<20>();
  f.nonce = r.fixed<12>();
  const auto guess = read_guess(r);
  const auto at = read_last_endpoint(r);
  if (!guess || !at) return std::nullopt;
  f.guess = *guess;
  f.at = *at;
  return f;
}

std::vector<uint8_t> write_register(const RegisterFrame& f) {
  auto out = start(FrameType::register_here);
  Writer(out).bytes(f.self.bytes).le64(f.cookie).u8(static_cast<uint8_t>(f.guess)).bytes(f.mac);
  return finish(std::move(out));
}

std::vector<uint8_t> write_registered(const RegisteredFrame& f) {
  auto out = start(FrameType::registered);
  Writer w(out);
  w.le64(f.cookie);
  write_endpoint(w, f.seen);
  return finish(std::move(out));
}

std::vector<uint8_t> write_splice(const SpliceFrame& f) {
  auto out = start(FrameType::splice);
  Writer(out).u8(f.relays_before).bytes(f.relay.bytes).bytes(f.element);
  return finish(std::move(out));
}

std::vector<uint8_t> write_connect(const ConnectFrame& f) {
  auto out = start(FrameType::connect);
  Writer(out).bytes(f.self.bytes).bytes(f.wanted.bytes).bytes(f.nonce).u8(static_cast<uint8_t>(f.guess)).bytes(f.mac);
  return finish(std::move(out));
}

std::vector<uint8_t> write_introduce(const IntroduceFrame& f) {
  auto out = start(FrameType::introduce);
  Writer w(out);
  w.bytes(f.other.bytes).bytes(f.nonce).u8(static_cast<uint8_t>(f.guess));
  write_endpoint(w, f.at);
  return finish(std::move(out));
}

std::vector<uint8_t> signed_register(const PublicKey& session_key) {
  std::vector<uint8_t> out;
  Writer(out).bytes(as_bytes("macrovpn register 1")).bytes(session_key.bytes);
  return out;
}

std::vector<uint8_t> signed_connect(const PublicKey& session_key, const PeerId& wanted, const IntroductionNonce& nonce) {
  std::vector<uint8_t> out;
  Writer(out).bytes(as_bytes("macrovpn connect 1")).bytes(session_key.bytes).bytes(wanted.bytes).bytes(nonce);
  return out;
}

}  // namespace macrovpn::routing
