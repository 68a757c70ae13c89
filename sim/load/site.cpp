#include "sim/load/site.h"

namespace macrovpn::sim {

Site::Site(const SiteConfig& config, Rng& random) : host_(config.tcp, random), calls_(config.call_port, config.playout) {
  for (const uint16_t port : config.ports)
    host_.listen(port, [this](const Endpoint&) { return std::make_unique<ExchangeServer>(totals_); });
}

void Site::on_packet(Mono now, Bytes packet, PacketSink& out) {
  if (read_udp(packet)) {
    calls_.on_packet(now, packet, out);
  } else {
    host_.on_packet(now, packet, out);
  }
}

void Site::on_deadline(Mono now, PacketSink& out) {
  host_.on_deadline(now, out);
  calls_.on_deadline(now, out);
}

const LoadReport& Site::report() const {
  report_ = calls_.report();
  report_.done += totals_.requests;
  report_.failed += totals_.refused;
  report_.bytes_down += totals_.body_bytes;
  report_.bytes_up += totals_.answer_bytes;
  report_.wrong_bytes += totals_.wrong;
  return report_;
}

void Site::restart(Mono now) {
  host_.forget_all();
  calls_.restart(now);
}

}  // namespace macrovpn::sim
