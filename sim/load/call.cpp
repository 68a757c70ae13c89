#include "sim/load/call.h"

namespace macrovpn::sim {
namespace {

constexpr size_t kHeader = 20;
constexpr Duration kForgetFastest = 10s;
constexpr size_t kGoodbye = 8;
constexpr int kGoodbyes = 3;

uint64_t pattern_of(uint64_t call, uint32_t number) {
  return call ^ uint64_t{number} << 32;
}

}  // namespace

bool CallEar::hear(Mono now, uint64_t call, Bytes payload, LoadReport& report) {
  if (payload.size() != CallMouth::kBytes || load_be64(payload.data()) != call) return false;
  const uint32_t number = load_be32(&payload[8]);
  report.wrong_bytes += wrong_bytes(pattern_of(call, number), 0, payload.subspan(kHeader));
  if (number < next_) {
    const uint32_t back = next_ - 1 - number;
    if (back < 64 && (seen_ >> back & 1) != 0) {
      report.packets_twice++;
      return true;
    }
    if (back < 64) seen_ |= uint64_t{1} << back;
  } else {
    const uint32_t step = number + 1 - next_;
    seen_ = (step < 64 ? seen_ << step : 0) | 1;
    next_ = number + 1;
  }
  report.packets_received++;
  report.bytes_down += payload.size();
  const Duration took = now - Mono(Duration(static_cast<int64_t>(load_be64(&payload[12]))));
  if (took <= fastest_ || now - fastest_since_ > kForgetFastest) {
    fastest_ = took;
    fastest_since_ = now;
  }
  if (took > fastest_ + playout_) report.packets_late++;
  report.latency.add(took);
  if (last_heard_ != kNever) {
    report.longest_stall = std::max<Duration>(report.longest_stall, now - last_heard_);
    if (now - last_heard_ >= LoadReport::kStall) report.stalls++;
  }
  last_heard_ = now;
  return true;
}

void CallMouth::speak(Mono now, uint64_t call, const Endpoint& from, const Endpoint& to, LoadReport& report, PacketSink& out) {
  while (next_ <= now) {
    ByteArray<kBytes> payload;
    store_be64(payload.data(), call);
    store_be32(&payload[8], number_);
    store_be64(&payload[12], static_cast<uint64_t>(now.time_since_epoch().count()));
    fill_pattern(pattern_of(call, number_), 0, MutBytes(payload).subspan(kHeader));
    ByteArray<256> buffer;
    out.send(write_udp({from, to, payload}, buffer));
    report.packets_sent++;
    report.bytes_up += kBytes;
    number_++;
    next_ += kEvery;
  }
}

// ---- the caller

void Call::on_packet(Mono now, Bytes packet, PacketSink&) {
  const auto d = read_udp(packet);
  if (!d || d->source != config_.remote || d->destination != config_.local) return;
  // After the goodbye too: what was said before it came.
  ear_.hear(now, id_, d->payload, report_);
}

void Call::on_deadline(Mono now, PacketSink& out) {
  if (now >= begin_) {
    begin_ = kNever;
    end_ = now + config_.lasts;
    id_ = random_->u64();
    ear_ = CallEar(config_.playout, now);
    mouth_ = {};
    mouth_.begin(now);
  }
  if (now >= end_) return hang_up(now, out);
  mouth_.speak(now, id_, config_.local, config_.remote, report_, out);
}

void Call::hang_up(Mono now, PacketSink& out) {
  ByteArray<kGoodbye> goodbye;
  store_be64(goodbye.data(), id_);
  ByteArray<64> buffer;
  for (int i = 0; i < kGoodbyes; i++) out.send(write_udp({config_.local, config_.remote, goodbye}, buffer));
  (ear_.highest() > 0 ? report_.done : report_.failed)++;
  end_ = kNever;
  mouth_.end();
  begin_ = now + config_.pause;
}

Mono Call::next_deadline() const {
  return std::min({begin_, end_, mouth_.next()});
}

void Call::restart(Mono now) {
  if (end_ != kNever) report_.failed++;
  end_ = kNever;
  mouth_.end();
  begin_ = now + config_.pause;
}

// ---- the other side

void CallAnswerer::on_packet(Mono now, Bytes packet, PacketSink&) {
  const auto d = read_udp(packet);
  if (!d || d->destination.port != port_ || (d->payload.size() != CallMouth::kBytes && d->payload.size() != kGoodbye)) return;
  const uint64_t id = load_be64(d->payload.data());
  auto found = calls_.find(id);
  if (d->payload.size() == kGoodbye) {
    if (found != calls_.end()) calls_.erase(found), report_.done++;
    return;
  }
  if (found == calls_.end()) {
    if (calls_.size() >= kMostCalls) {
      report_.failed++;
      return;
    }
    found = calls_.emplace(id, Ongoing{d->destination, d->source, CallEar(playout_), {}, now, 0}).first;
    found->second.mouth.begin(now);
    if (beat_ == kNever) beat_ = now;
  }
  Ongoing& call = found->second;
  call.remote = d->source;
  call.heard = now;
  call.said_since = 0;
  call.ear.hear(now, id, d->payload, report_);
}

void CallAnswerer::on_deadline(Mono now, PacketSink& out) {
  if (now < beat_) return;
  for (auto c = calls_.begin(); c != calls_.end();) {
    if (now - c->second.heard >= kSilence) {
      report_.done++;
      report_.packets_sent -= c->second.said_since;
      report_.bytes_up -= c->second.said_since * CallMouth::kBytes;
      c = calls_.erase(c);
      continue;
    }
    const uint64_t before = report_.packets_sent;
    c->second.mouth.speak(now, c->first, c->second.local, c->second.remote, report_, out);
    c->second.said_since += report_.packets_sent - before;
    ++c;
  }
  beat_ = calls_.empty() ? kNever : beat_ + CallMouth::kEvery;
}

}  // namespace macrovpn::sim
