#include "shell/websocket/frames.h"

namespace macrovpn::shell::websocket {
namespace {

constexpr uint8_t kFinal = 0x80, kReserved = 0x70, kMasked = 0x80;
constexpr size_t kShort = 125, kTwoBytes = 126, kMaskSize = 4;

// In steps of four, so that the compiler makes vectors of it.
void apply_mask(MutBytes bytes, const ByteArray<4>& mask, size_t offset) {
  ByteArray<4> turned;
  for (size_t i = 0; i < 4; i++) turned[i] = mask[(offset + i) % 4];
  for (size_t i = 0; i < bytes.size(); i++) bytes[i] ^= turned[i % 4];
}

}  // namespace

size_t FrameReader::header_size() const {
  if (have_ < 2) return 2;
  return 2 + ((header_[1] & 0x7f) == kTwoBytes ? 2 : 0) + (from_ == Role::client ? kMaskSize : 0);
}

std::optional<Broken> FrameReader::read(Bytes input, std::vector<Message>& out) {
  while (!broken_ && (!input.empty() || (in_payload_ && left_ == 0))) {
    if (in_payload_) {
      take_payload(input);
      if (left_ == 0) finish(out);
      continue;
    }
    header_[have_++] = input[0];
    input = input.subspan(1);
    if (have_ < 2 || (have_ > 2 && have_ < header_size())) continue;
    broken_ = on_header();
  }
  return broken_;
}

// At two bytes, and when all of it is there.
std::optional<Broken> FrameReader::on_header() {
  const size_t length = header_[1] & 0x7f;
  if (have_ == 2) {
    opcode_ = static_cast<Opcode>(header_[0] & 0x0f);
    last_ = (header_[0] & kFinal) != 0;
    const bool masked = (header_[1] & kMasked) != 0;
    if ((header_[0] & kReserved) != 0 || masked != (from_ == Role::client)) return Broken::protocol_error;
    if (opcode_ == Opcode::text) return Broken::not_binary;
    const bool known = opcode_ <= Opcode::binary || (is_control() && opcode_ <= Opcode::pong);
    const bool in_order = is_control() || (opcode_ == Opcode::continuation) == static_cast<bool>(message_);
    if (!known || !in_order || (is_control() && (!last_ || length > kShort))) return Broken::protocol_error;
    if (length > kTwoBytes) return Broken::too_big;
    if (have_ < header_size()) return std::nullopt;
  }
  size_t at = 2;
  left_ = length;
  if (length == kTwoBytes) {
    left_ = load_be16(&header_[2]);
    at = 4;
    if (left_ <= kShort) return Broken::protocol_error;
  }
  if (from_ == Role::client) std::copy_n(&header_[at], kMaskSize, mask_.begin());
  Packet& to = is_control() ? control_ : message_;
  if (!to) to = pool_.take();
  if (to.size() + left_ > kPacketMax) return Broken::too_big;
  read_ = have_ = 0;
  in_payload_ = true;
  return std::nullopt;
}

void FrameReader::take_payload(Bytes& input) {
  const size_t n = std::min(left_, input.size());
  if (n == 0) return;
  const MutBytes to((is_control() ? control_ : message_).push_back(n), n);
  std::copy_n(input.begin(), n, to.begin());
  if (from_ == Role::client) apply_mask(to, mask_, read_);
  input = input.subspan(n);
  left_ -= n;
  read_ += n;
}

void FrameReader::finish(std::vector<Message>& out) {
  in_payload_ = false;
  if (is_control()) {
    const Kind kind = opcode_ == Opcode::ping ? Kind::ping : opcode_ == Opcode::pong ? Kind::pong : Kind::close;
    out.push_back({kind, std::move(control_)});
  } else if (last_) {
    out.push_back({Kind::datagram, std::move(message_)});
  }
}

void write_frame(Role from, Kind kind, Bytes payload, Rng& rng, std::vector<uint8_t>& out) {
  MV_ASSERT(payload.size() <= (kind == Kind::datagram ? size_t{UINT16_MAX} : kShort));
  constexpr uint8_t kOpcodes[] = {2, 9, 10, 8};
  Writer w(out);
  const bool masked = from == Role::client;
  const uint8_t mask_bit = masked ? kMasked : 0;
  w.u8(kFinal | kOpcodes[static_cast<size_t>(kind)]);
  if (payload.size() <= kShort) {
    w.u8(static_cast<uint8_t>(mask_bit | payload.size()));
  } else {
    w.u8(mask_bit | kTwoBytes).be16(static_cast<uint16_t>(payload.size()));
  }
  const ByteArray<4> mask = masked ? rng.bytes<4>() : ByteArray<4>{};
  if (masked) w.bytes(mask);
  const size_t at = out.size();
  w.bytes(payload);
  if (masked) apply_mask(MutBytes(out).subspan(at), mask, 0);
}

}  // namespace macrovpn::shell::websocket
