// RelayOperator: what the operator of a relay allowed, watched over while it runs: hours, the monthly amount, the end.  Counts what
// was carried and keeps the counts on disk.
//
// The counts are written when 1/200 of the amount was carried since the last time, every 30 s while something is carried, and at
// the end: so much is lost at most when the process is killed, and what a tick more brings.
#pragma once
#include <functional>
#include <nlohmann/json_fwd.hpp>

#include "app/daemon.h"
#include "core/peers/service.h"
#include "core/peers/traffic_ledger.h"
#include "shell/driver/driver.h"

namespace macrovpn::app {

class RelayOperator {
 public:
  // What calls its argument for the driver of each worker, on that worker's thread, one after the other; shard 0's first.
  using Each = std::function<void(const std::function<void(shell::Driver&)>&)>;
  RelayOperator(shell::Reactor& reactor, Each each, const DaemonOptions& options)
      : reactor_(reactor), each_(std::move(each)), options_(options), policy_(limits_of(options)) {}
  ~RelayOperator();
  RelayOperator(const RelayOperator&) = delete;
  RelayOperator& operator=(const RelayOperator&) = delete;

  // Reads the counts; `changed` is called whenever the service changes, `ended` once a relay that was stopped has nothing left.
  Result<void> start(std::function<void()> changed, std::function<void()> ended);
  void stop();  // drains first
  bool stopping() const { return stopping_; }
  peers::Service service() const { return policy_.service(); }
  nlohmann::json json() const;

 private:
  static peers::ServiceLimits limits_of(const DaemonOptions&);
  static constexpr Duration kTick = std::chrono::milliseconds(250), kDrainTick = std::chrono::milliseconds(20);
  static constexpr Duration kStoreEvery = std::chrono::seconds(30);
  static constexpr uint64_t kStoreParts = 200;
  void tick();
  void schedule();
  void count();
  void judge();
  void store_sometimes();
  void store();
  std::string file() const { return options_.paths.state + "/traffic"; }

  shell::Reactor& reactor_;
  Each each_;
  const DaemonOptions& options_;
  peers::ServicePolicy policy_;
  std::optional<peers::TrafficLedger> ledger_;
  peers::TrafficRecord stored_;
  std::function<void()> changed_, ended_;
  std::optional<shell::Reactor::TimerId> timer_;
  uint64_t counted_ = 0;  // of the node's bytes
  Mono last_carried_ = kLongAgo, stored_at_ = kLongAgo;
  bool stopping_ = false;
  bool in_use_ = false;  // there are legs or leases
};

}  // namespace macrovpn::app
