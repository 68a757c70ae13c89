// Site: a computer that clients visit. Answers exchanges of any size on its TCP ports, and calls on a UDP port.
#pragma once
#include "sim/load/call.h"
#include "sim/tcp/exchange.h"
#include "sim/tcp/host.h"

namespace macrovpn::sim {

struct SiteConfig {
  std::vector<uint16_t> ports{80, 443};
  uint16_t call_port = 5004;
  Duration playout = 80ms;
  TcpConfig tcp;
};

class Site final : public Workload {
 public:
  Site(const SiteConfig& config, Rng& random);

  void on_packet(Mono now, Bytes packet, PacketSink& out) override;
  void on_deadline(Mono now, PacketSink& out) override;
  Mono next_deadline() const override { return std::min(host_.next_deadline(), calls_.next_deadline()); }
  // Requests are `done`, their bodies `bytes_down`, their answers `bytes_up`; calls as CallAnswerer has them.
  const LoadReport& report() const override;
  void restart(Mono now) override;
  const TcpHost& host() const { return host_; }

 private:
  ExchangeTotals totals_;
  TcpHost host_;
  CallAnswerer calls_;
  mutable LoadReport report_;
};

}  // namespace macrovpn::sim
