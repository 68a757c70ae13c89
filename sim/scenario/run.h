// Simulation: a scenario with a seed becomes a world, runs, and is judged.
#pragma once
#include <map>

#include "sim/actors/adversaries.h"
#include "sim/net/topology.h"
#include "sim/check/checker.h"
#include "sim/scenario/scenario.h"
#include "sim/scenario/story.h"
#include "sim/scenario/talk.h"

namespace macrovpn::sim {

// What is measured each virtual second, for --plot.
struct Sample {
  uint64_t second = 0, packets = 0, bytes_down = 0, circuits = 0, protected_clients = 0, clients = 0;
};

class Simulation {
 public:
  Simulation(const Scenario&, uint64_t seed);
  void watch(Watcher& w) { world_.watch(w); }
  void go();

  World& world() { return world_; }
  const World& world() const { return world_; }
  const Scenario& scenario() const { return scenario_; }
  const std::vector<std::unique_ptr<Checker>>& checkers() const { return checkers_; }
  const std::optional<Failure>& failure() const { return world_.failure(); }
  const std::vector<Sample>& samples() const { return samples_; }
  const Latencies& latencies() const { return latencies_; }
  const CollusionMeter& collusion() const { return meter_; }
  const std::map<Fault, uint64_t>& faults() const { return faults_; }
  size_t nodes() const;
  // Of the clients: the one that carried least, and the one that built fewest circuits.
  struct Least {
    uint64_t bytes = 0, circuits = 0;
    HostId bytes_of, circuits_of;
  };
  Least least() const;
  int64_t node_memory() const;  // of all that run

 private:
  class Sampler : public Watcher {
   public:
    explicit Sampler(Simulation& run) : run_(run) {}
    void each_second(World&) override;

   private:
    Simulation& run_;
  };
  // build.cpp
  void populate();
  void add(const Crowd&, size_t number);
  HostSpec placed(const Crowd&, HostKind);
  // troubles.cpp
  void plan(const Trouble&, size_t index);
  void strike(const Trouble&, size_t index);
  void hit(const Trouble&, HostId);
  void heal(const Trouble&, HostId);
  void disturb(const Trouble&, HostId);
  std::vector<HostId> victims(const Trouble&, Rng&) const;
  // judge.cpp
  void judge();

  Scenario scenario_;
  Streams streams_;
  SeededRng place_rng_;
  Topology topology_;
  Latencies latencies_;
  Coalition coalition_;
  World world_;
  std::vector<std::unique_ptr<Checker>> checkers_;
  CollusionMeter meter_;
  Sampler sampler_;
  std::vector<SeededRng> trouble_rngs_;
  std::vector<IpAddress> servers_;
  std::vector<LinkModel> good_up_, good_down_;  // by host
  std::vector<BoxId> homes_;                    // by host; UINT32_MAX: none
  std::vector<uint64_t> circuits_;              // by host, of nodes that are gone too
  std::map<Fault, uint64_t> faults_;
  std::vector<Sample> samples_;
};

}  // namespace macrovpn::sim
