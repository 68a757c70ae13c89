// LoadProgram: a workload (sim/load) as a program of a host: a client's browser, transfer or call beside its node, or a site on a server.
#pragma once
#include <memory>

#include "sim/load/workload.h"
#include "sim/world/program.h"

namespace macrovpn::sim {

class LoadProgram final : public Program {
 public:
  explicit LoadProgram(std::unique_ptr<Workload> load) : load_(std::move(load)) {}

  void start(ProgramPort& port) override { settle(port); }
  void on_packet(ProgramPort& port, Bytes ip) override;
  void on_timer(ProgramPort& port) override;
  void stop(ProgramPort& port) override { port.wake_at(kNever); }
  const Workload& load() const { return *load_; }

 private:
  void settle(ProgramPort& port);

  std::unique_ptr<Workload> load_;
};

}  // namespace macrovpn::sim
