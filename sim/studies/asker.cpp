#include "sim/studies/asker.h"

#include "sim/load/udp.h"

namespace macrovpn::sim {
namespace {

constexpr size_t kQuestion = 64;  // bytes: the number, and what a question would say

void send_udp(ProgramPort& port, const UdpDatagram& d) {
  ByteArray<256> buffer{};
  const MutBytes whole = write_udp(d, buffer);
  Packet p = port.empty_packet();
  p.assign(whole);
  port.send(std::move(p));
}

}  // namespace

void Asker::start(ProgramPort& port) {
  began_ = port.now();
  ask(port);
}

void Asker::on_timer(ProgramPort& port) {
  if (!rests_) ask(port);
}

void Asker::ask(ProgramPort& port) {
  ByteArray<kQuestion> question{};
  store_be64(question.data(), next_++);
  send_udp(port, {from_, to_, question});
  stats.requests++;
  port.wake_at(began_ + every_ * static_cast<int64_t>(next_));
}

void Asker::on_packet(ProgramPort& port, Bytes ip) {
  const auto d = read_udp(ip);
  if (!d || d->source != to_ || d->destination.port != from_.port || d->payload.size() != kQuestion) return;
  stats.answered++;
  const Mono asked = began_ + every_ * static_cast<int64_t>(load_be64(d->payload.data()));
  if (asked >= since_ && answered_ == kNever) answered_ = port.now();
}

void Answerer::on_packet(ProgramPort& port, Bytes ip) {
  const auto d = read_udp(ip);
  if (!d || d->destination.port != kAnswererPort || d->payload.size() > 128) return;
  send_udp(port, {d->destination, d->source, d->payload});
}

}  // namespace macrovpn::sim
