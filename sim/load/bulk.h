// Bulk: transfers of a given size to or from a site, one after the other, each on a connection of its own; one that fails is begun again, by
// the site's other address if there is no way to the first.
#pragma once
#include "sim/load/fetcher.h"

namespace macrovpn::sim {

struct BulkConfig {
  SiteAddress site;
  LocalAddresses local;
  TcpConfig tcp;
  uint64_t down = 0, up = 0;     // bytes of each transfer
  uint64_t transfers = 1;        // that are wanted whole
  Duration pause{0};             // between two
  Duration pause_after_failure = std::chrono::seconds(2);
  Duration patience = std::chrono::seconds(60);  // without a byte; then it has failed: who only receives is told of nothing
  Mono begins{};
};

class Bulk final : public Workload {
 public:
  Bulk(const BulkConfig& config, Rng& random);

  void on_packet(Mono now, Bytes packet, PacketSink& out) override;
  void on_deadline(Mono now, PacketSink& out) override;
  Mono next_deadline() const override;
  const LoadReport& report() const override { return report_; }
  void restart(Mono now) override;
  bool is_finished() const { return report_.done >= config_.transfers; }
  // Of transfers that were done; zero before.
  uint64_t kilobits_per_second() const;

 private:
  void advance(Mono now, PacketSink& out);
  void end_failed(Mono now, PacketSink& out);

  BulkConfig config_;
  Fetcher fetcher_;
  Mono next_ = kNever;  // when the next transfer begins
  Mono patient_until_ = kNever;
  StallWatch watch_;
  LoadReport report_;
};

}  // namespace macrovpn::sim
