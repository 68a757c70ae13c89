#include "sim/tcp/endpoint.h"

namespace macrovpn::sim {
namespace {

using routing::kTcpAck;
using routing::kTcpFin;
using routing::kTcpPsh;
using routing::kTcpRst;
using routing::kTcpSyn;

constexpr size_t kLargestPacket = 2048;
constexpr uint16_t kLeastMss = 256;

uint16_t mss_for(const TcpConfig& config, const Endpoint& local) {
  return static_cast<uint16_t>(config.mtu - tcp_headers(local.address.family()));
}

uint8_t scale_for(uint32_t window) {
  uint8_t scale = 0;
  while (scale < 14 && window >> scale > 65535) scale++;
  return scale;
}

// SplitMix64's finisher.
uint64_t mixed(uint64_t z) {
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

uint64_t pattern_word(uint64_t stream, uint64_t index) {
  return mixed(stream + index * 0x9e3779b97f4a7c15);
}

// Splits [offset, offset + size) into whole words of the pattern and the parts of words before and behind them, and calls
// part(position, word, first byte of it, bytes) for these and word(position, word) for those.
template <class Part, class Whole>
void walk_pattern(uint64_t stream, uint64_t offset, size_t size, Part part, Whole word) {
  size_t at = 0;
  uint64_t index = offset / 8;
  if (const size_t first = offset % 8; first != 0 && size != 0) {
    at = std::min(8 - first, size);
    part(size_t{0}, pattern_word(stream, index++), first, at);
  }
  for (; at + 8 <= size; at += 8) word(at, pattern_word(stream, index++));
  if (at < size) part(at, pattern_word(stream, index), size_t{0}, size - at);
}

}  // namespace

void fill_pattern(uint64_t stream, uint64_t offset, MutBytes out) {
  walk_pattern(
      stream, offset, out.size(),
      [&](size_t at, uint64_t w, size_t first, size_t n) {
        for (size_t i = 0; i < n; i++) out[at + i] = static_cast<uint8_t>(w >> 8 * (first + i));
      },
      [&](size_t at, uint64_t w) { store_le64(&out[at], w); });
}

size_t wrong_bytes(uint64_t stream, uint64_t offset, Bytes came) {
  size_t wrong = 0;
  const auto part = [&](size_t at, uint64_t w, size_t first, size_t n) {
    for (size_t i = 0; i < n; i++) wrong += came[at + i] != static_cast<uint8_t>(w >> 8 * (first + i)) ? 1 : 0;
  };
  walk_pattern(stream, offset, came.size(), part, [&](size_t at, uint64_t w) {
    if (load_le64(&came[at]) != w) part(at, w, 0, 8);
  });
  return wrong;
}

const char* to_string(TcpFailure f) {
  switch (f) {
    case TcpFailure::none:
      return "none";
    case TcpFailure::refused:
      return "refused";
    case TcpFailure::reset:
      return "reset";
    case TcpFailure::unreachable:
      return "unreachable";
    case TcpFailure::timed_out:
      return "timed out";
  }
  return "?";
}

TcpEndpoint::TcpEndpoint(const TcpConfig& config, const Endpoint& local, const Endpoint& remote, uint32_t initial_sequence, TcpContent& content)
    : config_(config), local_(local), remote_(remote), content_(&content), initial_(initial_sequence),
      our_scale_(scale_for(config.receiver.window)), sender_(config.sender, mss_for(config, local)), receiver_(config.receiver) {
  MV_ASSERT(config.mtu <= kLargestPacket);
}

// Offsets around where each side is; nothing for what lies before the first byte.
std::optional<uint64_t> TcpEndpoint::our_offset(uint32_t number) const {
  const auto off = static_cast<int32_t>(number - wire(sender_.acknowledged()));
  const auto at = static_cast<int64_t>(sender_.acknowledged()) + off;
  return at < 0 ? std::nullopt : std::optional(static_cast<uint64_t>(at));
}
std::optional<uint64_t> TcpEndpoint::peer_offset(uint32_t number) const {
  const uint64_t here = receiver_.in_order();
  const auto off = static_cast<int32_t>(number - (peer_initial_ + 1 + static_cast<uint32_t>(here)));
  const auto at = static_cast<int64_t>(here) + off;
  return at < 0 ? std::nullopt : std::optional(static_cast<uint64_t>(at));
}

uint16_t TcpEndpoint::window_field() const {
  return static_cast<uint16_t>(std::min<uint32_t>(config_.receiver.window >> our_scale_, 65535));
}

// ---- opening

void TcpEndpoint::connect(Mono now, PacketSink& out) {
  MV_ASSERT(state_ == TcpState::closed);
  state_ = TcpState::opening;
  send_syn(now, out);
}

void TcpEndpoint::accept(Mono now, const TcpSegment& syn, PacketSink& out) {
  MV_ASSERT(state_ == TcpState::closed);
  state_ = TcpState::opening;
  accepted_ = true;
  take_options(syn);
  send_syn(now, out);
}

void TcpEndpoint::take_options(const TcpSegment& syn) {
  peer_initial_ = syn.sequence;
  peer_mss_ = std::max(syn.mss.value_or(536), kLeastMss);
  peer_sacks_ = syn.sack_permitted;
  peer_scale_ = syn.scale.value_or(0);
  if (!syn.scale) our_scale_ = 0;
}

void TcpEndpoint::send_syn(Mono now, PacketSink& out) {
  TcpSegment s{.source = local_, .destination = remote_, .sequence = initial_, .flags = kTcpSyn,
               .window = static_cast<uint16_t>(std::min<uint32_t>(config_.receiver.window, 65535)), .mss = mss_for(config_, local_),
               .scale = our_scale_, .sack_permitted = true};
  if (accepted_) {
    s.flags |= kTcpAck;
    s.acknowledged = peer_initial_ + 1;
  }
  ByteArray<kLargestPacket> buffer;
  const MutBytes packet = start_segment(s, 0, buffer);
  finish_segment(packet);
  syn_sent_ = now;
  syn_deadline_ = now + RoundTrip::kInitialTimeout * (int64_t{1} << syns_);
  syns_++;
  out.send(packet);
}

void TcpEndpoint::open(Mono now, const TcpSegment& segment) {
  state_ = TcpState::open;
  syn_deadline_ = kNever;
  if (syns_ == 1) sender_.sample_round_trip(now - syn_sent_);
  sender_.set_mss(std::min(peer_mss_, mss_for(config_, local_)));
  sender_.set_limit(segment.has(kTcpSyn) ? segment.window : uint64_t{segment.window} << peer_scale_);
}

void TcpEndpoint::on_opening(Mono now, const TcpSegment& s, PacketSink& out) {
  const bool answers = s.has(kTcpAck) && s.acknowledged == initial_ + 1;
  if (s.has(kTcpRst)) {
    if (answers || (accepted_ && s.sequence == peer_initial_ + 1)) fail(TcpFailure::refused);
    return;
  }
  if (accepted_ && s.has(kTcpSyn) && !s.has(kTcpAck)) return send_syn(now, out);  // it did not get our answer
  if (!answers || (!accepted_ && !s.has(kTcpSyn))) return;
  if (!accepted_) {
    take_options(s);
    receiver_.answer_at_once();
  }
  open(now, s);
}

// ---- segments

void TcpEndpoint::on_segment(Mono now, const TcpSegment& s, PacketSink& out) {
  if (state_ == TcpState::closed || failure_ != TcpFailure::none) return;
  const TcpState before = state_;
  if (state_ == TcpState::opening) on_opening(now, s, out);
  if (state_ == TcpState::open || (state_ == TcpState::over && failure_ == TcpFailure::none)) {
    const auto at = peer_offset(s.sequence);
    if (before != TcpState::opening && s.has(kTcpRst)) {
      // In the window: the strictest check (RFC 5961) asks for the very next number, which a reset made of a lost segment misses.
      if (at && *at <= receiver_.limit()) fail(TcpFailure::reset);
    } else if (s.has(kTcpSyn)) {
      if (before != TcpState::opening) receiver_.answer_at_once();  // our acknowledgement was lost
    } else {
      if (s.has(kTcpAck)) take_ack(now, s);
      take_data(now, s);
    }
  }
  content_->changed(now, *this);
  flush(now, out);
}

void TcpEndpoint::take_ack(Mono now, const TcpSegment& s) {
  const auto acknowledged = our_offset(s.acknowledged);
  if (!acknowledged) return;
  std::array<ByteRange, kMostSacks> sacks;
  size_t count = 0;
  for (size_t i = 0; i < s.sack_count; i++) {
    const auto begin = our_offset(s.sacks[i].begin), end = our_offset(s.sacks[i].end);
    if (begin && end && *begin < *end) sacks[count++] = {*begin, *end};
  }
  sender_.set_limit(*acknowledged + (uint64_t{s.window} << peer_scale_));
  sender_.on_ack(now, *acknowledged, std::span(sacks).first(count));
}

void TcpEndpoint::take_data(Mono now, const TcpSegment& s) {
  const auto begin = peer_offset(s.sequence);
  const bool fin = s.has(kTcpFin);
  if (s.payload.empty() && !fin) return;
  const uint64_t end = begin.value_or(0) + s.payload.size();
  if (!begin || (peer_end_ && end > *peer_end_)) return receiver_.answer_at_once();
  if (receiver_.on_range(now, *begin, end + (fin ? 1 : 0)) != Receiver::Taken::taken) return;
  if (fin) peer_end_ = end;
  if (!s.payload.empty()) content_->show(*begin, s.payload);
  received_ = receiver_.in_order() - (peer_ended() ? 1 : 0);
}

// ---- sending

TcpSegment TcpEndpoint::blank() const {
  return {.source = local_, .destination = remote_, .acknowledged = peer_initial_ + 1 + static_cast<uint32_t>(receiver_.in_order()),
          .flags = kTcpAck, .window = window_field()};
}

void TcpEndpoint::flush(Mono now, PacketSink& out) {
  if (failure_ == TcpFailure::none && (state_ == TcpState::open || state_ == TcpState::over)) {
    send_pieces(now, out);
    if (receiver_.wants_ack(now)) send_ack(out);
  }
  end_if_done(now);
}

void TcpEndpoint::send_pieces(Mono now, PacketSink& out) {
  while (const auto piece = sender_.next(now)) send_piece(*piece, out);
}

void TcpEndpoint::send_piece(const ByteRange& piece, PacketSink& out) {
  TcpSegment s = blank();
  const uint64_t data_end = std::min(piece.end, sender_.written());
  s.sequence = wire(piece.begin);
  if (piece.end > sender_.written()) s.flags |= kTcpFin;
  if (data_end == sender_.written()) s.flags |= kTcpPsh;
  const size_t payload = data_end - piece.begin;
  ByteArray<kLargestPacket> buffer;
  const MutBytes packet = start_segment(s, payload, buffer);
  if (payload != 0) content_->fill(piece.begin, packet.last(payload));
  finish_segment(packet);
  // It acknowledges, but shows no SACK: those need the room.
  std::array<ByteRange, kMostSacks> gaps;
  if (receiver_.sacks(gaps) == 0) receiver_.on_ack_sent();
  out.send(packet);
}

void TcpEndpoint::send_ack(PacketSink& out) {
  TcpSegment s = blank();
  s.sequence = wire(sender_.sent());
  std::array<ByteRange, kMostSacks> gaps;
  const size_t count = peer_sacks_ ? receiver_.sacks(gaps) : 0;
  for (size_t i = 0; i < count; i++) {
    const auto base = peer_initial_ + 1;
    s.sacks[i] = {base + static_cast<uint32_t>(gaps[i].begin), base + static_cast<uint32_t>(gaps[i].end)};
  }
  s.sack_count = static_cast<uint8_t>(count);
  ByteArray<kLargestPacket> buffer;
  const MutBytes packet = start_segment(s, 0, buffer);
  finish_segment(packet);
  receiver_.on_ack_sent();
  out.send(packet);
}

void TcpEndpoint::on_too_big(Mono now, uint16_t mtu, PacketSink& out) {
  const size_t headers = tcp_headers(local_.address.family());
  if (state_ != TcpState::open || mtu < headers + kLeastMss) return;
  sender_.set_mss(static_cast<uint32_t>(mtu - headers));
  flush(now, out);
}

void TcpEndpoint::on_unreachable(Mono now) {
  if (state_ != TcpState::opening) return;
  fail(TcpFailure::unreachable);
  content_->changed(now, *this);
}

void TcpEndpoint::abort(PacketSink& out) {
  if (state_ == TcpState::open || state_ == TcpState::opening) {
    TcpSegment s = blank();
    s.sequence = wire(sender_.sent());
    s.flags = kTcpRst | kTcpAck;
    ByteArray<kLargestPacket> buffer;
    const MutBytes packet = start_segment(s, 0, buffer);
    finish_segment(packet);
    out.send(packet);
  }
  fail(TcpFailure::reset);
}

// ---- time and the end

Mono TcpEndpoint::next_deadline() const {
  if (state_ == TcpState::opening) return syn_deadline_;
  if (state_ == TcpState::closed || is_gone()) return kNever;
  return std::min({sender_.next_deadline(), receiver_.next_deadline(), over_at_});
}

void TcpEndpoint::on_deadline(Mono now, PacketSink& out) {
  if (state_ == TcpState::opening) {
    if (now < syn_deadline_) return;
    if (syns_ >= config_.most_syns) {
      fail(TcpFailure::timed_out);
      return content_->changed(now, *this);
    }
    return send_syn(now, out);
  }
  if (failure_ != TcpFailure::none) return;
  if (now >= over_at_) {
    gone_ = true;
    over_at_ = kNever;
  }
  sender_.on_deadline(now);
  if (sender_.has_failed()) {
    fail(TcpFailure::timed_out);
    return content_->changed(now, *this);
  }
  flush(now, out);
}

void TcpEndpoint::fail(TcpFailure why) {
  if (failure_ == TcpFailure::none) failure_ = why;
  state_ = TcpState::over;
  over_at_ = kNever;
}

void TcpEndpoint::end_if_done(Mono now) {
  if (state_ == TcpState::open && sender_.is_done() && peer_ended()) {
    state_ = TcpState::over;
    over_at_ = now + config_.linger;
  }
}

void TcpEndpoint::check_invariants() const {
  sender_.check_invariants();
  receiver_.check_invariants();
  MV_ASSERT(received_ <= receiver_.in_order());
}

}  // namespace macrovpn::sim
