#include "sim/programs/load_program.h"

namespace macrovpn::sim {
namespace {

struct ToPort final : PacketSink {
  explicit ToPort(ProgramPort& p) : port(p) {}
  void send(Bytes packet) override {
    Packet copy = port.empty_packet();
    copy.assign(packet);
    port.send(std::move(copy));
  }
  ProgramPort& port;
};

}  // namespace

void LoadProgram::on_packet(ProgramPort& port, Bytes ip) {
  ToPort out(port);
  load_->on_packet(port.now(), ip, out);
  settle(port);
}

void LoadProgram::on_timer(ProgramPort& port) {
  ToPort out(port);
  if (load_->next_deadline() <= port.now()) load_->on_deadline(port.now(), out);
  settle(port);
}

void LoadProgram::settle(ProgramPort& port) {
  const LoadReport& report = load_->report();
  stats.requests = report.done + report.failed;
  stats.answered = report.done;
  stats.bytes_up = report.bytes_up;
  stats.bytes_down = report.bytes_down;
  port.wake_at(load_->next_deadline());
}

}  // namespace macrovpn::sim
