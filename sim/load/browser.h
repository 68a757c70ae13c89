// Browser: a person who reads pages. A page is a first object, then the others over up to six connections to the same site, each used again
// and again (HTTP/1.1); then the person reads. Sizes, numbers and pauses have heavy tails (quantiles.h), unless they are given: then each is
// drawn from three to five quarters of it.
//
// A page that fails is asked for again soon, wherever its site is; where there is no way to a site's first address, by its other one.
// Names are not resolved: sites are addresses.
#pragma once
#include "sim/load/fetcher.h"
#include "sim/load/quantiles.h"

namespace macrovpn::sim {

struct BrowserConfig {
  std::vector<SiteAddress> sites;
  LocalAddresses local;
  TcpConfig tcp;
  uint64_t page_bytes = 0;                       // of a page with all its objects; 0: quantiles.h
  Duration reading{0};                           // between pages; 0: quantiles.h
  size_t most_connections = 6;
  uint64_t request_bytes = 450;
  Duration patience = std::chrono::seconds(60);  // for a page; then it is given up
  Duration again_after = std::chrono::seconds(2);  // a page failed
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
  bool try_other_address(Mono now, PacketSink& out);
  void plan_page();
  uint64_t next_object();
  Duration reading();

  BrowserConfig config_;
  Rng* random_;
  Fetcher fetcher_;
  bool loading_ = false;
  SiteAddress site_;
  Mono began_ = kNever;        // this page
  Mono next_page_ = kNever;
  uint64_t first_bytes_ = 0;   // of the first object
  uint64_t object_bytes_ = 0;  // of each of the others; 0: drawn
  size_t left_ = 0;            // objects not asked for yet
  bool has_first_ = false;     // the first object is there
  StallWatch watch_;
  LoadReport report_;
};

}  // namespace macrovpn::sim
