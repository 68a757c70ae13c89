#include "sim/tcp/path.h"

namespace macrovpn::sim {

TcpPath::TcpPath(const LinkModel& rightward, const LinkModel& leftward, const TcpConfig& config, uint64_t seed, size_t framing)
    : ends_{End{*IpAddress::parse("198.18.0.1"), SeededRng(seed), Link(rightward, ends_[0].random), TcpHost(config, ends_[0].random), {}},
            End{*IpAddress::parse("198.18.0.2"), SeededRng(~seed), Link(leftward, ends_[1].random), TcpHost(config, ends_[1].random), {}}},
      framing_(framing) {
  ends_[0].sink.path = ends_[1].sink.path = this;
  ends_[1].sink.side = Side::right;
}

void TcpPath::offer(Side from, Bytes packet) {
  packets_++;
  if (watch) watch(from, packet);
  const Sent sent = end(from).link.offer(now_, packet.size() + framing_);
  for (size_t i = 0; i < sent.copies; i++) {
    Flight f{sent.at[i], packets_, from == Side::left ? Side::right : Side::left, {}};
    if (!spare_.empty()) {
      f.bytes = std::move(spare_.back());
      spare_.pop_back();
    }
    f.bytes.assign(packet.begin(), packet.end());
    flying_.push_back(std::move(f));
    std::push_heap(flying_.begin(), flying_.end(), std::greater<>());
  }
}

Mono TcpPath::next_event() const {
  const Mono arrival = flying_.empty() ? kNever : flying_.front().at;
  return std::max(now_, std::min({arrival, ends_[0].tcp.next_deadline(), ends_[1].tcp.next_deadline()}));
}

void TcpPath::run_until(Mono then) {
  while (next_event() <= then) {
    now_ = next_event();
    if (!flying_.empty() && flying_.front().at <= now_) {
      std::pop_heap(flying_.begin(), flying_.end(), std::greater<>());
      Flight f = std::move(flying_.back());
      flying_.pop_back();
      end(f.to).tcp.on_packet(now_, f.bytes, end(f.to).sink);
      spare_.push_back(std::move(f.bytes));
      continue;
    }
    for (End& e : ends_) e.tcp.on_deadline(now_, e.sink);
  }
  now_ = std::max(now_, then);
}

}  // namespace macrovpn::sim
