// Browser: a person who reads pages. A page is a first object, then the others over up to six connections to the same site, each used again
// and again (HTTP/1.1); then the person reads. Sizes, numbers and pauses have heavy tails (quantiles.h).
//
// Names are not resolved: sites are addresses.
#pragma once
#include "sim/load/fetcher.h"
#include "sim/load/quantiles.h"

namespace macrovpn::sim {

struct BrowserConfig {
  std::vector<Endpoint> sites;
  IpAddress local;
  TcpConfig tcp;
  size_t most_connections = 6;
  uint64_t request_bytes = 450;
  Duration patience = std::chrono::seconds(60);  // for a page; then it is given up
  Mono begins{};                                 // plus a pause, so that not all begin at once
};

class Browser final : public Workload {
 public:
  Browser(BrowserConfig config, Rng& random);

  void on_packet(Mono now, Bytes packet, PacketSink& out) override;
  void on_deadline(Mono now, PacketSink& out) override;
  Mono next_deadline() const override;
  const LoadReport& report() const override { return report_; }
  void restart(Mono now) override;
  bool is_loading() const { return loading_; }

 private:
  void begin_page(Mono now, PacketSink& out);
  void advance(Mono now, PacketSink& out);
  void fetch_more(Mono now, PacketSink& out);
  void end_page(Mono now, bool whole, PacketSink& out);
  Duration reading() { return std::chrono::milliseconds(draw(reading_milliseconds(), *random_)); }

  BrowserConfig config_;
  Rng* random_;
  Fetcher fetcher_;
  bool loading_ = false;
  Endpoint site_;
  Mono began_ = kNever;        // this page
  Mono next_page_ = kNever;
  size_t left_ = 0;            // objects not asked for yet
  bool has_first_ = false;     // the first object is there
  StallWatch watch_;
  LoadReport report_;
};

}  // namespace macrovpn::sim
