// Simulation: a scenario with a seed becomes a world, runs, and is judged.
#pragma once
#include <deque>
#include <map>

#include "sim/actors/adversaries.h"
#include "sim/check/checker.h"
#include "sim/load/schedule.h"
#include "sim/net/topology.h"
#include "sim/scenario/scenario.h"
#include "sim/scenario/story.h"
#include "sim/scenario/work.h"

namespace macrovpn::sim {

// What is measured each virtual second, for --plot.
struct Sample {
  uint64_t second = 0, packets = 0, delivered = 0, circuits = 0, protected_clients = 0, clients = 0;
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
  // What clients' programs did; one for each client that does anything.
  struct Worker {
    HostId host;
    Work work;
    const Workload* load;
    uint64_t file;  // bytes of one; downloads and uploads
  };
  const std::vector<Worker>& workers() const { return workers_; }
  LoadReport load_of(Work) const;   // all together; of calls what both sides heard
  uint64_t transferred(Work) const; // bytes of the transfers that were done
  uint64_t wrong_bytes() const;     // that programs got, on both sides
  const CollusionMeter& collusion() const { return meter_; }
  const std::map<Fault, uint64_t>& faults() const { return faults_; }
  size_t nodes() const;
  // Of the clients: the one to and from which fewest bytes of contents were carried, and the one that built fewest circuits.
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
  void add_client(const Crowd&, HostId);
  // roaming.cpp
  struct Laptop {
    HostId host;
    Crowd crowd;
    SeededRng rng;
    std::unique_ptr<RoamingLaptop> habits;
  };
  void add_laptop(const Crowd&, HostId);
  void plan_step(Laptop&);
  void take_step(Laptop&, const LaptopStep&);
  void change_network(Laptop&, Access);
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
  Coalition coalition_;
  World world_;
  std::vector<std::unique_ptr<Checker>> checkers_;
  CollusionMeter meter_;
  Sampler sampler_;
  std::vector<SeededRng> trouble_rngs_;
  std::vector<IpAddress> servers_;
  std::deque<SeededRng> program_rngs_;
  std::vector<Worker> workers_;
  std::vector<const Workload*> sites_;
  std::deque<Laptop> laptops_;
  std::vector<LinkModel> good_up_, good_down_;  // by host
  std::vector<BoxId> homes_;                    // by host; UINT32_MAX: none
  std::vector<uint64_t> circuits_;              // by host, of nodes that are gone too
  std::map<Fault, uint64_t> faults_;
  std::vector<Sample> samples_;
};

}  // namespace macrovpn::sim
